"""Random chains of views, random indices and writes through them, against NumPy."""

import itertools

import numpy as np
import pytest
from conformance import conforms, run_traced, same
from hypothesis import given, settings
from hypothesis import strategies as st
from tapeless import check_grads, errors
from tapeless import compile as compile_step


@st.composite
def slices(draw, n):
    """A slice of an axis of n elements that may also be an int or run backwards."""
    if n and draw(st.integers(0, 3)) == 0:
        return draw(st.integers(-n, n - 1))
    bound = st.none() | st.integers(-n - 1, n + 1)
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -2])))


@st.composite
def indices(draw, shape, arrays=False):
    """An index expression: slices, ints, newaxis, Ellipsis, and perhaps integer arrays."""
    used = draw(st.integers(0, len(shape)))
    items = [draw(slices(n)) for n in shape[:used]]
    if arrays:
        length = draw(st.integers(1, 3))
        for axis, n in enumerate(shape[:used]):
            if n and draw(st.booleans()):
                inside = st.integers(-n, n - 1)
                items[axis] = draw(st.lists(inside, min_size=length, max_size=length))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.append(Ellipsis)
    return tuple(items)


@st.composite
def view_steps(draw):
    """A chain of view operations that fits shape (4, 3, 2), as (name, argument) pairs."""
    x = np.zeros((4, 3, 2))
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(["index", "index", "transpose", "reshape", "ravel", "flip"]))
        if name == "index":
            argument = draw(indices(x.shape))
        elif name == "transpose":
            argument = tuple(draw(st.permutations(range(x.ndim))))
        elif name == "reshape":
            argument = draw(st.sampled_from([(-1,), (1, -1), (-1, 1), (2, -1), (-1, 2)]))
        else:
            argument = None
        try:
            after = view(x, name, argument)
        except ValueError:
            continue
        if not isinstance(after, np.ndarray) or after.size == 0:
            continue
        x = after
        steps.append((name, argument))
    return steps


def view(x, name, argument):
    match name:
        case "index":
            return x[argument]
        case "transpose":
            return x.transpose(argument)
        case "reshape":
            return x.reshape(argument)
        case "ravel":
            return x.ravel()
    return np.flip(x)


def original(order):
    return np.asarray(np.arange(24.0).reshape(4, 3, 2), order=order)


@settings(max_examples=200)
@given(steps=view_steps(), other=view_steps())
def test_writes_through_views_are_seen_by_other_views(steps, other):
    def program(x):
        first, second = x, x
        for name, argument in steps:
            first = view(first, name, argument)
        for name, argument in other:
            second = view(second, name, argument)
        first += 100
        second *= 2
        first[...] = first + 1
        return first, second

    mine, theirs = original("C"), original("C")
    expected = program(theirs)
    same(run_traced(program, mine), expected)
    same(mine, theirs)


@settings(max_examples=200)
@given(steps=view_steps())
def test_unknown_layouts_are_right_or_refused(steps):
    def program(x):
        first = x
        for name, argument in steps:
            first = view(first, name, argument)
        first += 100
        return first

    mine, theirs = original("F"), original("F")
    expected = program(theirs)
    try:
        result = run_traced(program, mine)
    except errors.TraceError as error:
        assert ".copy()" in str(error)
        return
    same(result, expected)
    same(mine, theirs)


@settings(max_examples=300)
@given(data=st.data())
def test_index_arrays_read_write_and_accumulate(data):
    index = data.draw(indices((4, 3, 2), arrays=True))

    def program(x):
        read = x[index]
        x[index] += 10
        x[index] = read * 0.5
        return x[index], read

    mine, theirs = original("C"), original("C")
    try:
        expected = program(theirs)
    except IndexError:
        with pytest.raises(errors.TapelessError):
            run_traced(program, mine)
        return
    same(run_traced(program, mine), expected)
    same(mine, theirs)


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 2, 4, 3), (0, 3, 2)])
def test_a_diagonal_of_any_two_axes(shape):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    for one, two in itertools.permutations(range(len(shape)), 2):
        for offset in (-4, -1, 0, 2):
            conforms(lambda x, o=offset, i=one, j=two: np.diagonal(x, o, i, j) * 1.0, x)


@pytest.mark.parametrize(
    "spec",
    ["ijij->ji", "ijij->", "ijji->ij", "iijj->ji", "ijik->jk", "kiji->kij", "kijij->ijk", "iii->i"],
)
def test_einsum_reads_diagonals_where_they_lie(spec):
    extents = {"i": 3, "j": 2, "k": 4}
    x = np.random.default_rng(1).normal(size=[extents[c] for c in spec.split("->")[0]])
    conforms(lambda x: np.einsum(spec, x) * 2.0, x)
    conforms(lambda x: np.einsum(spec, x.T) * 2.0, x.T.copy())
    check_grads(lambda x: np.sum(np.einsum(spec, x) ** 3), (x,), order=2)


def test_no_array_is_copied_for_a_diagonal():
    x = np.zeros((4, 3, 4, 3))
    step = compile_step(lambda x: (np.einsum("ijij->ij", x) * 2.0, np.diagonal(x, 0, 0, 2) * 2.0))
    assert all(len(v.shape) < 4 for n in step.lower(x).graph().nodes for v in n.results)
