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


def reference_adamw(steps, lr, b1, b2, eps, decay):
    p = params()
    m = v = tl.tree.map(np.zeros_like, p)
    for t in range(1, steps + 1):
        g = gradients(p)
        m = tl.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = tl.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, v, g)
        p = tl.tree.map(
            lambda p, m, v, t=t: (
                p - lr * decay * p - lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
            ),
            p,
            m,
            v,
        )
    return p


def reference_amsgrad(steps, lr, b1, b2, eps):
    """As torch: the largest second moment, corrected by the step's own factor."""
    p = params()
    m = v = most = tl.tree.map(np.zeros_like, p)
    for t in range(1, steps + 1):
        g = gradients(p)
        m = tl.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = tl.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, v, g)
        most = tl.tree.map(np.maximum, most, v)
        spread = tl.tree.map(lambda v, t=t: np.sqrt(v / (1 - b2**t)) + eps, most)
        p = tl.tree.map(lambda p, m, s, t=t: p - lr * m / (1 - b1**t) / s, p, m, spread)
    return p


def reference_lion(steps, lr, b1, b2, decay):
    p = params()
    m = tl.tree.map(np.zeros_like, p)
    for _ in range(steps):
        g = gradients(p)
        c = tl.tree.map(lambda m, g: np.sign(b1 * m + (1 - b1) * g), m, g)
        p = tl.tree.map(lambda p, c: p - lr * (c + decay * p), p, c)
        m = tl.tree.map(lambda m, g: b2 * m + (1 - b2) * g, m, g)
    return p


def reference_adagrad(steps, lr, decay, start, eps):
    p = params()
    total = tl.tree.map(lambda p: np.full_like(p, start), p)
    for t in range(1, steps + 1):
        g = gradients(p)
        total = tl.tree.map(lambda s, g: s + g**2, total, g)
        rate = lr / (1 + (t - 1) * decay)
        p = tl.tree.map(lambda p, g, s, r=rate: p - r * g / (np.sqrt(s) + eps), p, g, total)
    return p


def reference_rmsprop(steps, lr, alpha, eps, momentum, centered):
    p = params()
    square = mean = velocity = tl.tree.map(np.zeros_like, p)
    for _ in range(steps):
        g = gradients(p)
        square = tl.tree.map(lambda s, g: alpha * s + (1 - alpha) * g**2, square, g)
        mean = tl.tree.map(lambda m, g: alpha * m + (1 - alpha) * g, mean, g)
        around = mean if centered else tl.tree.map(np.zeros_like, mean)
        spread = tl.tree.map(lambda s, m: np.sqrt(s - m**2) + eps, square, around)
        velocity = tl.tree.map(lambda v, g, s: momentum * v + g / s, velocity, g, spread)
        p = tl.tree.map(lambda p, v: p - lr * v, p, velocity)
    return p


def check(found, expected, rtol=1e-12, atol=0.0):
    for a, b in zip(tl.tree.leaves(found), tl.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


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
def test_adamw(how):
    p, state = run(how, optim.adamw(0.1, (0.8, 0.95), 1e-6, 0.3), 5)
    check(p, reference_adamw(5, 0.1, 0.8, 0.95, 1e-6, 0.3))
    assert state["t"].shape == () and state["t"] == 5


@pytest.mark.parametrize("how", HOW)
def test_amsgrad(how):
    p, state = run(how, optim.amsgrad(0.1, (0.8, 0.3), 1e-6), 5)
    check(p, reference_amsgrad(5, 0.1, 0.8, 0.3, 1e-6))
    assert list(state) == ["m", "v", "v_max", "t"]
    # Falling gradients: the largest second moment is not the last.
    assert np.any(state["v_max"]["w"] > state["v"]["w"])


@pytest.mark.parametrize("how", HOW)
def test_lion(how):
    p, state = run(how, optim.lion(0.1, (0.8, 0.95), 0.2), 5)
    check(p, reference_lion(5, 0.1, 0.8, 0.95, 0.2))
    assert list(state) == ["m"]


COUPLED = [
    lambda decay: optim.sgd(0.05, 0.9, weight_decay=decay),
    lambda decay: optim.adam(0.1, weight_decay=decay),
    lambda decay: optim.amsgrad(0.1, weight_decay=decay),
    lambda decay: optim.adagrad(0.1, weight_decay=decay),
    lambda decay: optim.rmsprop(0.1, weight_decay=decay),
]


@pytest.mark.parametrize("make", COUPLED, ids=lambda make: type(make(0)).__name__)
def test_weight_decay_is_the_gradient_of_half_the_squares(make):
    """The rule with decay and the rule without on a loss with the penalty take the same steps."""

    def penalised(p):
        return loss(p) + 0.15 * sum(np.sum(np.square(leaf)) for leaf in tl.tree.leaves(p))

    found, _ = run("compiled", make(0.3), 3)
    expected = params()
    opt = make(0.0)
    state = opt.init(expected)
    for _ in range(3):
        opt.update(expected, tl.grad(penalised)(expected), state)
    check(found, expected, atol=1e-15)  # one parameter comes to rest at 0


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("decay", "start"), [(0.0, 0.0), (0.5, 0.1)])
def test_adagrad(how, decay, start):
    opt = optim.adagrad(0.2, decay, initial_accumulator_value=start, eps=1e-6)
    p, state = run(how, opt, 4)
    check(p, reference_adagrad(4, 0.2, decay, start, 1e-6))
    assert list(state) == (["sum", "t"] if decay else ["sum"])
    assert not decay or (state["t"].shape == () and state["t"] == 4)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("momentum", "centered"), [(0.0, False), (0.9, False), (0.9, True)])
def test_rmsprop(how, momentum, centered):
    opt = optim.rmsprop(0.05, 0.8, 1e-6, momentum=momentum, centered=centered)
    p, state = run(how, opt, 4)
    check(p, reference_rmsprop(4, 0.05, 0.8, 1e-6, momentum, centered))
    assert len(state) == 1 + bool(momentum) + centered


def test_rmsprop_centered_on_a_constant_gradient():
    """The variance is 0 up to rounding; the step stays a number."""
    p = {"w": np.zeros(50)}
    opt = optim.rmsprop(1e-3, 0.5, eps=1.0, centered=True)
    state, g = opt.init(p), {"w": np.linspace(0.1, 7, 50)}
    for _ in range(60):
        opt.update(p, g, state)
    assert np.all(np.isfinite(p["w"]))


EVERY = [
    optim.sgd(0.1, 0.9),
    optim.adam(0.1),
    optim.adamw(0.1),
    optim.amsgrad(0.1, weight_decay=0.1),
    optim.lion(0.1, weight_decay=0.1),
    optim.adam(optim.schedules.warmup(3, optim.schedules.cosine(0.1, 9))),
    optim.adagrad(0.1, 0.1),
    optim.rmsprop(0.03, momentum=0.5, centered=True),
]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("opt", EVERY, ids=lambda opt: type(opt).__name__)
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


@pytest.mark.parametrize("name", ["adam", "adamw", "amsgrad", "lion", "adagrad", "rmsprop"])
def test_the_learning_rate_of_adaptive_methods_may_be_an_argument(name):
    make = getattr(optim, name)

    @tl.compile
    def step(p, state, lr):
        make(lr).update(p, tl.grad(loss)(p), state)

    p = params()
    state = make().init(p)
    expected = params()
    wanted = make().init(expected)
    for lr in (0.03, 0.05):
        step(p, state, lr)
        make(lr).update(expected, gradients(expected), wanted)
    check(p, expected)
    assert len(step.programs) == 1


@pytest.mark.parametrize("bad", [{"w": np.zeros(3, int)}, [1.0], [np.float32(1)]])
def test_parameters_must_be_floating_arrays(bad):
    with pytest.raises(DTypeError, match="only floating arrays"):
        optim.adam().init(bad)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum"):
        optim.sgd(0.1, nesterov=True)
