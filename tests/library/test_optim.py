"""`tl.optim`: published update rules, in place, eagerly and in the compiled step."""

import numpy as np
import pytest
import tapeless as tl
from tapeless.ir.errors import DTypeError

optim = tl.optim


def params(dtype=np.float64):
    return {"w": np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3), "b": [np.ones(3, dtype)]}


def loss(p):
    return np.sum(p["w"] ** 2) + np.sum(np.exp(p["b"][0]))


def gradients(p):
    return {"w": 2 * p["w"], "b": [np.exp(p["b"][0])]}


def eager(opt, p, state):
    opt.update(p, gradients(p), state)


def stepper(opt):
    def step(p, state):
        value, grads = tl.value_and_grad(loss)(p)
        opt.update(p, grads, state)
        return value

    return tl.compile(step)


def run(how, opt, steps, dtype=np.float64):
    p = params(dtype)
    state = opt.init(p)
    step = None if how == "eager" else stepper(opt)
    for _ in range(steps):
        if step is None:
            eager(opt, p, state)
        elif how == "interpreted":
            step.interpret(p, state)
        else:
            step(p, state)
    return p, state


def reference_sgd(steps, lr, momentum, nesterov):
    p = params()
    velocity = tl.tree.map(np.zeros_like, p)
    for _ in range(steps):
        g = gradients(p)
        velocity = tl.tree.map(lambda v, g: momentum * v + g, velocity, g)
        step = tl.tree.map(lambda v, g: g + momentum * v, velocity, g) if nesterov else velocity
        p = tl.tree.map(lambda p, s: p - lr * s, p, step)
    return p


def reference_adam(steps, lr, b1, b2, eps):
    p = params()
    m = v = tl.tree.map(np.zeros_like, p)
    for t in range(1, steps + 1):
        g = gradients(p)
        m = tl.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = tl.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, v, g)
        mean = tl.tree.map(lambda m, t=t: m / (1 - b1**t), m)
        spread = tl.tree.map(lambda v, t=t: np.sqrt(v / (1 - b2**t)) + eps, v)
        p = tl.tree.map(lambda p, m, s: p - lr * m / s, p, mean, spread)
    return p


def check(found, expected, rtol=1e-12):
    for a, b in zip(tl.tree.leaves(found), tl.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol)


HOW = ["eager", "interpreted", "compiled"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (0.9, False), (0.9, True)])
def test_sgd(how, momentum, nesterov):
    p, _ = run(how, optim.sgd(0.05, momentum, nesterov), 4)
    check(p, reference_sgd(4, 0.05, momentum, nesterov))


@pytest.mark.parametrize("how", HOW)
def test_adam(how):
    p, state = run(how, optim.adam(0.1, (0.8, 0.95), 1e-6), 5)
    check(p, reference_adam(5, 0.1, 0.8, 0.95, 1e-6))
    assert state["t"].shape == () and state["t"].dtype == np.int64 and state["t"] == 5


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("opt", [optim.sgd(0.1, 0.9), optim.adam(0.1)])
def test_f32_stays_f32_and_in_place(how, opt):
    p = params(np.float32)
    state = opt.init(p)
    before = tl.tree.leaves((p, state))
    if how == "eager":
        eager(opt, p, state)
    else:
        step = stepper(opt)
        (step.interpret if how == "interpreted" else step)(p, state)
    after = tl.tree.leaves((p, state))
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert all(a.dtype == np.float32 for a in tl.tree.leaves(p))
    check(p, run("eager", opt, 1)[0], rtol=1e-5)


def test_the_learning_rate_may_be_an_argument():
    @tl.compile
    def step(p, lr):
        optim.sgd(lr).update(p, tl.grad(loss)(p), {})

    p = params()
    step(p, 0.1)
    step(p, 0.2)
    expected = params()
    for lr in (0.1, 0.2):
        optim.sgd(lr).update(expected, gradients(expected), {})
    check(p, expected)
    assert len(step.programs) == 1


@pytest.mark.parametrize("bad", [{"w": np.zeros(3, int)}, [1.0], [np.float32(1)]])
def test_parameters_must_be_floating_arrays(bad):
    with pytest.raises(DTypeError, match="only floating arrays"):
        optim.adam().init(bad)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum"):
        optim.sgd(0.1, nesterov=True)
