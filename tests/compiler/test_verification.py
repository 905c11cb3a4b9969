"""`Program.verify` forgives rounding, however much of a result it is, and nothing else."""

import re

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.codegen import nest
from tapeless.compiler.pipeline import STEPS
from tapeless.compiler.verification import ILL_CONDITIONED, close, gap, moved, relative, ulps
from tapeless.ir.builder import rebuild
from tapeless.ir.errors import VerifyError
from tapeless.ir.parse import parse


@tl.compile
def step(p, x, y):
    def loss_fn(p):
        h = np.tanh(x @ p["w"] + p["b"])
        return np.mean((h @ p["v"] - y) ** 2)

    loss, g = tl.value_and_grad(loss_fn)(p)
    for k in p:
        p[k] -= 0.1 * g[k]
    return loss


def symmetric(dtype=np.float64):
    """Every sample with its opposite: the gradients of the bias cancel."""
    random = np.random.default_rng(0)
    half = random.normal(size=(8, 3))
    x = np.concatenate([half, -half])
    y = x @ random.normal(size=(3, 2))
    p = {"w": random.normal(size=(3, 4)), "b": np.zeros(4), "v": random.normal(size=(4, 2))}
    return tl.tree.map(lambda a: a.astype(dtype), (p, x, y))


def break_pass(monkeypatch, visit):
    """A pass named `sabotage` at the start of the stage `optimized`."""

    def sabotage(graph):
        return rebuild(graph, visit)

    at = next(k for k, s in enumerate(STEPS) if s.stage == "optimized")
    steps = (*STEPS[:at], STEPS[at]._replace(run=sabotage), *STEPS[at:])
    monkeypatch.setattr("tapeless.compiler.pipeline.STEPS", steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_result_that_cancels_is_as_uncertain_as_it_is(dtype):
    arguments = symmetric(dtype)
    report = step.lower(*arguments).verify(*arguments)
    assert report.rows[2].error == 0.0 and report.rows[2].note == ""  # the reference itself
    assert all(row.note in ("", ILL_CONDITIONED) for row in report.rows[2:])
    assert report.error < 1e-3 or ILL_CONDITIONED in str(report)
    tl.compile(step.function, check=True)(*arguments)


@pytest.mark.parametrize(
    ("visit", "culprit"),
    [
        (lambda b, n, ops: [b.sin(*ops)] if n.op.name == "tanh" else None, r"%h is wrong .*sin"),
        (
            lambda b, n, ops: [b.mul(b.sub(*ops), 1.0 + 1e-6)] if n.op.name == "sub" else None,
            r"is wrong by [\d.]+e-0[67] of its largest element, [\d.]+e\+(09|10) ulp",
        ),
        (
            lambda b, n, ops: (
                [b.abs(b.dot(*ops, **n.attrs))]
                if n.op.name == "dot" and n.result.shape == (3, 4)
                else None
            ),
            r"%gw is wrong by .*abs",
        ),
    ],
    ids=["op", "scale", "gradient"],
)
def test_a_wrong_pass_is_named_on_symmetric_data_too(monkeypatch, visit, culprit):
    break_pass(monkeypatch, visit)
    arguments = symmetric()
    broken = tl.compile(step.function).lower(*arguments)
    with pytest.raises(VerifyError, match=culprit) as caught:
        broken.verify(*arguments)
    assert "after pass 'sabotage'" in str(caught.value)
    assert "test_verification.py:" in str(caught.value)


def test_a_wrong_gradient_that_cancels_is_caught_where_it_does_not_cancel(monkeypatch):
    """The sum over the samples is 0 whatever its sign; the terms are not."""

    def flip(b, node, operands):
        return [b.neg(b.tanh(*operands))] if node.op.name == "tanh" else None

    break_pass(monkeypatch, flip)
    arguments = symmetric()
    with pytest.raises(VerifyError, match=r"neg.* after pass 'sabotage'"):
        tl.compile(step.function).lower(*arguments).verify(*arguments)


def test_wrong_native_code_is_named_with_the_op_the_line_and_the_ulps(monkeypatch):
    """A call of a step compiled with `check=True` raises, and writes nothing."""
    right = nest.scalar_expression

    def wrong(node, operands):
        text = right(node, operands)
        return f"({text} * 1.0625)" if node.op.name == "tanh" else text

    monkeypatch.setattr(nest, "scalar_expression", wrong)
    arguments = symmetric()
    before = tl.tree.map(np.copy, arguments)
    with pytest.raises(VerifyError) as caught:
        tl.compile(step.function, check=True, cache=False)(*arguments)
    message = str(caught.value)
    amount = re.search(r"is wrong by (\S+) of its largest element, (\S+) ulp", message)
    assert amount and "native code" in message and "test_verification.py:" in message
    relative_error, ulps_away = map(float, amount.groups())
    assert 0.01 < relative_error < 1
    assert 0.4 < ulps_away * np.finfo(float).eps / relative_error < 2.1
    assert all(map(np.array_equal, tl.tree.leaves(before), tl.tree.leaves(arguments)))


def test_ulps():
    one = np.float32([1.0, -0.25])
    assert ulps(one, one) == 0.0 and ulps(one, np.nextafter(one, np.float32(2))) == 1.0
    assert ulps(np.array([3.0, 0.0]), np.array([3.0, 7 * np.spacing(3.0)])) == 7.0
    assert ulps(np.array([7, 8]), np.array([7, 3])) == 5.0
    assert ulps(np.array([np.nan]), np.zeros(1)) == np.inf


def test_moved_arguments_are_a_few_units_in_the_last_place_away():
    leaves = [np.linspace(1, 2, 50), np.arange(3), np.float32([1, 0, -3]), np.array([True])]
    graph = parse("f(%x:f64[50]) {\n  %y:f64[50] = tanh %x\n} -> %y")
    first, second = moved(leaves, graph)
    for changed in (first, second):
        assert [a.dtype for a in changed] == [a.dtype for a in leaves]
        assert 0 < gap(leaves[0], changed[0]) <= 4 * 2 * np.finfo(float).eps
        assert changed[1] is leaves[1] and changed[3] is leaves[3] and changed[2][1] == 0
    assert (first[0] != second[0]).any()
    assert all((a == b).all() for a, b in zip(first, moved(leaves, graph)[0], strict=True))


def test_a_step_that_computes_in_f32_is_as_uncertain_as_f32():
    @tl.compile
    def mixed(w, x):
        def loss(w):
            z = x.astype(np.float32) @ w.astype(np.float32)
            return np.mean(np.tanh(z).sum(1) ** 2) * np.float64(1)

        return tl.value_and_grad(loss)(w)

    random = np.random.default_rng(0)
    for _ in range(3):
        arguments = random.normal(size=(40, 30)), random.normal(size=(50, 40))
        assert mixed.lower(*arguments).verify(*arguments).error > 1e-9


def test_close():
    a = np.array([1.0, -2.0, np.nan, np.inf])
    assert close(a, a.copy()) and close(a, a + 1e-10) and not close(a, a + 1e-8)
    assert close(a, a + 1e-8, motion=1e-9) and not close(a, -a, motion=1e-9)
    assert not close(a, np.zeros(4)) and not close(a, a[:3])
    assert close(np.float32([1.0]), np.float32([1.0001]))
    assert close(np.arange(3), np.arange(3)) and not close(np.arange(3), np.arange(3) + 1, 1.0)
    assert gap(a, a + 1) == 1.0 and relative(a, a + 1) == 0.5
    assert relative(np.array([np.nan]), np.zeros(1)) == np.inf


def test_an_index_made_of_a_float_may_cross_the_end(monkeypatch):
    """Arguments that are moved over the end of an array say nothing, and stop nothing."""

    @tl.compile
    def pick(x, table):
        return table[np.floor(x * 4).astype(np.int64)] * np.sum(x - 1)

    x, table = np.array([0.9999999999999999, 0.6]), np.arange(4.0)
    assert pick.lower(x, table).verify(x, table).error < 1e-12
    break_pass(monkeypatch, lambda b, n, ops: [b.cos(*ops)] if n.op.name == "floor" else None)
    broken = tl.compile(pick.function).lower(x, table)
    with pytest.raises(VerifyError, match=r"result 0 is wrong .* after pass 'sabotage'"):
        broken.verify(x, table)
