"""Programs that mutate arrays: the caller sees what NumPy would have left."""

import numpy as np
import pytest
from conformance import conforms, run_traced
from tapeless import errors
from tapeless.compiler.trace import trace


def arrays():
    return np.arange(12.0).reshape(3, 4), np.arange(4.0) + 1


def in_place_operators(x, v):
    x += v
    x -= 1
    x *= 2
    x /= v
    x //= 0.5
    x %= 3
    x **= 2
    return x


def slices(x, v):
    x[1] = v
    x[:, 2] = 7
    x[::2, 1:3] += 1
    x[-1, ::-1] = v
    x[..., 0] = x[0, 0]
    x[0, 1] += 5


def slices_of_slices(x, v):
    row = x[1:]
    row[1][2:] = 9
    part = row[:, 1:3]
    part *= -1
    row[0] = v
    return part


def transposed(x, v):
    x.T[0] = 1
    x.T[1:, 2] += 3
    y = x.T
    y[:, 1] = v
    x[0] = 5
    return y


def rows(x, v):
    for row in x:
        row *= 2
        row[0] = -1
    for k in range(len(x)):
        x[k] += v * k


def overlapping(x, v):
    x[1:] += x[:-1]
    v[:-1] = v[1:]
    x[:, ::-1] += x


def swap(x, v):
    x[0], x[1] = x[1], x[0].copy()
    x[[0, 2]] = x[[2, 0]]


def swap_views(x, v):
    """The same mistake as in NumPy: both rows end up equal."""
    x[0], x[1] = x[1], x[0]


def reshaped_view(x, v):
    flat = x.reshape(-1)
    flat[5] = 100
    grid = x.reshape(2, 6)
    grid[:, 0] += 1
    x.ravel()[0] = -7
    v.reshape(2, 2)[1, 0] = 3


def reshaped_copy(x, v):
    flat = x.T.reshape(-1)
    flat[0] = 100
    part = x[:, :2].ravel()
    part += 1
    return flat, part


def masks(x, v):
    x[x > 5] = 0
    x[x < 2] = -1.5
    x[:, v > 2] = 8
    x[v[:3] > 2] = v


def fancy(x, v):
    x[[0, 0]] += 1
    x[np.array([2, 1]), np.array([0, 3])] = v[:2]
    x[:, [1, 2]] *= 2
    x[np.arange(3), [0, 1, 2]] = -v[:3]
    np.add.at(x, [0, 0, 1], v)
    np.subtract.at(v, np.array([1, 1]), 1)
    x[1:, [0, 3]] = v[2:]
    return x[[1, 1, 2]], x[:, [0, -1]], x[[0, 1], 1:3], x[0, :, None], x[1, [0, 1]]


def outputs(x, v):
    np.add(x, v, out=x)
    np.multiply(v, 2, out=v)
    np.sqrt(np.abs(x), out=x)
    np.copyto(v, 3)
    np.copyto(x, 1.5, where=x > 2)
    buffer = np.empty_like(x)
    np.subtract(x, 1, out=buffer)
    np.dot(x, np.ones((4, 4), x.dtype), out=buffer)
    np.sum(x, axis=0, out=v)
    np.negative(x, out=x, where=x > 0)
    x.fill(2)
    return buffer


def aliases(x, v):
    a = b = x
    a += 1
    c = x[0]
    x[0] = 0
    b[1] = c
    c += 1
    w = v[:]
    w[0] = 42
    return c


def scalars_rebind(x, v):
    s = x.sum()
    t = s
    s += 1
    e = v[0]
    v[0] = 99
    e += 1
    k = v.mean()
    k *= 2
    return s, t, e, k


def zero_dimensional(x, v):
    z = np.zeros((), like=x)
    w = z
    w += 3
    y = v[0, ...]
    y += 1
    q = x.reshape(-1)[:1].reshape(())
    q[...] = 5
    return z, v


def diagonals(x, v):
    square = x[:, :3]
    d = np.diagonal(square)
    np.fill_diagonal(square, -1)
    return d, np.broadcast_to(v, (2, 4))


def broadcast_views(x, v):
    y = np.broadcast_to(v, (2, 4))
    v += 1
    return y


def expanded(x, v):
    x[:, None, :][0, 0, 1] = 3
    np.expand_dims(v, 0)[0] += 1
    np.squeeze(v[None])[1] = -5
    first, second = np.split(x, 2, axis=1)
    first += 1
    second[:] = 0
    np.flip(x, 0)[0] += 2
    np.swapaxes(x, 0, 1)[0] = 6


def local_buffer(x, v):
    grad = np.zeros_like(x)
    for k in range(3):
        grad[k] += x[k] * v
        grad[:, k] -= 1
    out = np.zeros(3, like=x)
    out[1] = grad.sum()
    return grad, out


def concrete_accumulator(x, v):
    total = np.zeros(4)
    total += v
    total += x[0]
    total *= 2
    return total


def integers(x, v):
    n = np.zeros((3,), np.int64, like=x)
    n += 2
    n[1] = 7.9
    n //= 2
    return n


PROGRAMS = [
    in_place_operators, slices, slices_of_slices, transposed, rows, overlapping, swap, swap_views,
    reshaped_view, reshaped_copy, masks, fancy, outputs, aliases, scalars_rebind,
    zero_dimensional, diagonals, broadcast_views, expanded, local_buffer, concrete_accumulator,
    integers,
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_program(program, dtype):
    x, v = arrays()
    if program is concrete_accumulator and dtype is np.float32:
        dtype = np.float64
    conforms(program, x.astype(dtype), v.astype(dtype), exact=False)


@pytest.mark.parametrize("index", [0, 1, -1])
def test_traced_scalar_index_is_a_view(index):
    def program(x, i):
        row = x[i]
        row += 1
        x[i, 2] = 50
        x[1:, :][i - 1, 0] *= 3
        return x[i, 1], x[:, i]

    conforms(program, np.arange(12.0).reshape(3, 4), np.int64(index))
    conforms(program, np.arange(12.0).reshape(3, 4), index)


def test_traced_zero_dimensional_index_is_a_copy():
    def program(x, i):
        row = x[i]
        row += 1
        return row

    conforms(program, np.arange(12.0).reshape(3, 4), np.array(1))


def test_traced_index_arrays():
    def program(x, y, i):
        x[np.arange(3), y] -= 1
        x[i] = 7
        x[:, y] *= 2
        return x[np.arange(3), y], x[i, 1], x[0, :, None][y], x[None, y, 1:], x[y][:, i]

    conforms(program, np.arange(12.0).reshape(3, 4), np.array([0, 2, -1]), np.array([1, 1]))


def test_index_arrays_beside_ints_and_apart():
    def program(x, i):
        x[0, :, i] = -1
        return x[0, :, i], x[:, 0, i], x[i, :, i], x[:, i, i], x[i, 1], x[i, None, :, i], x[..., i]

    conforms(program, np.arange(60.0).reshape(3, 4, 5), np.array([0, 2]))


def test_fortran_argument_reshapes_to_a_copy_or_raises():
    def program(x):
        y = x.reshape(-1)
        y[0] = 100
        return y

    with pytest.raises(errors.TraceError, match=r"\.copy\(\)"):
        run_traced(program, np.asfortranarray(np.ones((3, 4))))
    conforms(lambda x: x.reshape(-1) * 2, np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    conforms(lambda x: x.reshape(3, 2, 2), np.asfortranarray(np.arange(12.0).reshape(3, 4)))


def test_unknown_layout_is_poisoned_only_when_used():
    def safe(x):
        y = (x.T + 1).reshape(-1)
        y += 1
        return y

    conforms(safe, np.arange(12.0).reshape(3, 4))

    def unsafe(x):
        z = x.T + 1
        z.reshape(-1)[0] = 5
        return z

    with pytest.raises(errors.TraceError, match="layout"):
        run_traced(unsafe, np.ones((3, 4)))


def test_updates_are_only_what_was_written():
    p = {"a": np.ones(3), "b": np.ones(3)}
    graph = trace(lambda p, x: p["a"].__iadd__(x), (p, 1.0), {}).graph
    assert [target.name for target, _ in graph.updates] == ["p.a"]


def test_view_write_back_adds_no_node():
    def step(x):
        x[1:3] += 1

    graph = trace(step, (np.ones(5),), {}).graph
    assert [node.op.name for node in graph.nodes if node.op.name != "constant"] == [
        "slice", "add", "update",
    ]  # fmt: skip
