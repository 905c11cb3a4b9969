"""What a call is specialised on."""

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import tapeless as tl
from tapeless import errors
from tapeless.compiler.signature import (
    ArraySpec,
    ScalarSpec,
    StaticSpec,
    argument_name,
    bind,
    describe,
    parameters,
)
from tapeless.ir.types import Type


class Mode(enum.IntEnum):
    TRAIN = 1


class Pair(NamedTuple):
    left: float


@dataclass(frozen=True)
class Rates:
    first: float


def key(static=(), **arguments):
    return describe(arguments, static).key


def test_leaves_in_order_with_names_and_specs():
    x, w = np.ones((2, 3), np.float32), np.ones((3, 2))
    described = describe({"p": {"w": w.T, "n": None}, "x": x, "lr": 0.1, "act": len})
    assert described.names == ("p.w", "x", "lr", "act")
    assert [leaf is other for leaf, other in zip(described.leaves[1:], (x, 0.1), strict=True)]
    assert described.specs == (
        ArraySpec(Type(np.dtype(np.float64), (2, 3)), contiguous=False),
        ArraySpec(Type(np.dtype(np.float32), (2, 3)), contiguous=True),
        ScalarSpec(Type(np.dtype(np.float64)), weak=True),
        StaticSpec(type(len), len),
    )
    assert argument_name(described.treedef, 0) == "p['w']"


def test_numbers_do_not_change_the_key():
    assert key(a=1.0) == key(a=2.0)
    assert key(a=np.float32(1)) == key(a=np.float32(2))
    assert key(a=np.ones(3)) == key(a=np.zeros(3))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1.0, 1), (1, True), (1.0, np.float64(1)), (np.float32(1), np.float64(1)), ("a", "b"),
     (np.ones(3), np.ones(4)), (np.ones(3), np.ones(3, np.float32)), (None, 1.0), ([1.0], (1.0,)),
     (np.ones(()), np.float64(1)), ({"a": 1.0}, {"b": 1.0}), (len, max), (Mode.TRAIN, 1),
     (np.ones((2, 2)), np.ones((2, 2), order="F")), ({1: 1.0}, {1.0: 1.0}), ({1: 1.0}, {True: 1.0}),
     ({0.0: 1.0}, {-0.0: 1.0}), ([{(1,): 1.0}], [{(True,): 1.0}])],
)  # fmt: skip
def test_what_changes_the_key(one, other):
    assert key(a=one) != key(a=other)


def test_static_arguments_are_compared_by_value_and_type():
    assert key(("n",), n=3) == key(("n",), n=3)
    assert key(("n",), n=3) != key(("n",), n=4)
    assert key(("n",), n=1) != key(("n",), n=True)
    assert describe({"n": (1, 2)}, ("n",)).leaves == ()
    with pytest.raises(errors.TraceError, match=r"argument n: .*hashable"):
        describe({"n": [1]}, ("n",))


@pytest.mark.parametrize(
    ("one", "other"),
    [((2,), (2.0,)), ((1, "a"), (True, "a")), (0.0, -0.0), ((0.0,), (-0.0,)), (Pair(1), Pair(1.0)),
     ((1,), (Pair(1),)), ((Mode.TRAIN,), (1,)), (((2,),), ((2.0,),)), (Rates(1), Rates(1.0)),
     (np.float32(0), np.float32(-0.0)), (frozenset({1}), frozenset({1.0}))],
)  # fmt: skip
def test_equal_static_arguments_that_a_step_can_tell_apart(one, other):
    assert key(("n",), n=one) != key(("n",), n=other)
    assert key(("n",), n=other) == key(("n",), n=other)


def test_calls_with_equal_values_of_other_types_are_served_by_other_programs():
    def step(p, c):
        return [x * k * c[0] for k, x in p.items()]

    made, x = tl.compile(step, static_argnames="c"), np.arange(3)
    cases = [({k: x}, (c,)) for k in (1, 1.0, -0.0, 0.0) for c in (2, 2.0)]
    for p, c in [*cases, *cases]:  # traced, and then at speed
        (got,), (want,) = made(p, c), step(p, c)
        assert got.dtype == want.dtype
        assert got.tobytes() == want.tobytes()
    assert len(made._programs) == len(cases)


def test_unhashable_objects_are_refused():
    with pytest.raises(errors.TraceError, match=r"argument p\['s'\]: set"):
        describe({"p": {"s": {1}}})


def test_huge_ints_are_refused():
    with pytest.raises(OverflowError, match="64 bits"):
        describe({"n": 2**63})


def test_binding_leaves_defaults_to_the_function_unless_they_can_be_written():
    def fn(x, lr=0.5, state=[1.0], *rest, scale=2, **more):  # noqa: B006
        pass

    bound = bind(parameters(fn), (1,), {"extra": 3})
    assert bound.arguments == {"x": 1, "state": [1.0], "rest": (), "more": {"extra": 3}}
    assert bind(parameters(fn), (1, 2), {"scale": 3}).arguments["scale"] == 3
    with pytest.raises(TypeError, match="missing"):
        bind(parameters(fn), (), {})


def test_callables_without_a_signature_take_anything():
    assert bind(parameters(max), (1, 2), {"key": 3}).arguments == {
        "args": (1, 2), "kwargs": {"key": 3},
    }  # fmt: skip
