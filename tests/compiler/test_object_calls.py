"""Objects from call to call, in every way of running a step, and their derivatives."""

import numpy as np
import pytest
import tapeless as tl
from conformance import Box, Slotted, same_state

X = np.arange(6.0).reshape(2, 3)


def scaled(box, x):
    if box.training:
        box.W = box.W + x
    return np.sum(box.W * box.scale)


def change_flag(box):
    box.training = False


def new_attribute(box):
    box.more = X


def lost_attribute(box):
    del box.extra


def other_number(box):
    box.scale = 3


def other_array(box):
    box.W = np.ones((2, 3))


def other_class(box):
    box.inner = Slotted()


def shared_child(box):
    box.other = box.inner


@pytest.mark.parametrize(
    "change",
    [
        change_flag,
        new_attribute,
        lost_attribute,
        other_number,
        other_array,
        other_class,
        shared_child,
    ],
)
def test_a_change_between_calls_is_seen(change):
    def make():
        return Box(
            W=X.copy(), training=True, scale=2.0, inner=Box(t=1), other=Box(t=2), extra=X + 1
        )

    def step(box, x):
        if type(box.inner) is Box:
            box.inner.t += 1
            box.other.t += 1
        if hasattr(box, "extra"):
            x = x + box.extra
        return scaled(box, x)

    compiled, box, plain = tl.compile(step), make(), make()
    for k in range(6):
        if k == 3:
            change(box)
            change(plain)
        np.testing.assert_allclose(compiled(box, X), step(plain, X))
    same_state(box.inner, plain.inner)
    same_state(box.other, plain.other)
    assert len(compiled.programs) == (1 if change is other_array else 2)


def test_slots_and_methods_on_the_fast_way():
    class Net(Slotted):
        __slots__ = ("act",)

        def twice(self, x):
            return self.W * x

        @tl.compile
        def run(self, x):
            return np.sum(self.act(x))

    net = Net()
    net.act = net.twice
    for k in range(1, 4):
        net.W = np.full(2, float(k))
        assert net.run(2.0) == 4 * k
    assert len(Net.run.programs) == 1


def test_bound_methods_and_callable_objects():
    class Net:
        def __init__(self):
            self.W = np.ones(3)

        def __call__(self, x):
            self.W = self.W + 1
            return x @ self.W

    net = Net()
    for step, expected in ((tl.compile(net), 6), (tl.compile(net.__call__), 9)):
        assert step(X)[0] == expected
    assert net.W.tolist() == [3, 3, 3]
    assert step.interpret(X)[0] == 12 and len(step.programs) == 1
    assert tl.compare(step, (X,), seconds=0.001).compiled.difference == 0
    assert net.W.tolist() == [4, 4, 4]
    with pytest.raises(TypeError, match="compiled already"):
        tl.compile(step)


def test_verify_check_and_interpret_work_on_copies():
    class Net:
        def __init__(self):
            self.W, self.inner, self.t = X.copy(), Box(W=X.copy()), 0

        @tl.compile(check=True)
        def step(self, x):
            self.t += 1
            self.inner.W += self.t * x
            self.W = np.tanh(self.inner.W)
            return np.sum(self.W)

    net, plain = Net(), Net()
    program = net.step.lower(X)
    program.verify(net, X)
    for stage in program.stages:
        assert program.interpret(stage, net, X) == pytest.approx(Net.step.function(Net(), X))
    same_state(net, plain)
    assert net.step(X) == pytest.approx(Net.step.function(plain, X))
    same_state(net, plain)


# --- gradients -------------------------------------------------------------------------------


def loss(net, x):
    for layer in net.layers:
        x = np.tanh(x @ layer.W * layer.scale) if layer.kind == "tanh" else x
    return np.sum(x**2) + np.sum(net.shared * net.layers[0].W)


def network():
    rng = np.random.default_rng(0)
    layers = [
        Box(W=rng.standard_normal((3, 3)), scale=2.0, kind="tanh", order=np.arange(3)) for _ in "ab"
    ]
    net = Box(layers=layers, shared=layers[0].W, rng=rng, t=1)
    layers[0].net = net
    return net


def test_the_gradient_of_an_object_is_an_object_of_its_class():
    net = network()
    g = tl.grad(loss)(net, X)
    assert type(g) is Box and g.layers[0].net is g
    assert g.shared is g.layers[0].W and g.rng is net.rng
    assert (g.t, g.layers[0].scale, g.layers[0].order) == (None, None, None)
    assert g.layers[1].kind == "tanh"

    def flat(W0, W1):
        a = np.tanh(X @ W0 * 2.0)
        return np.sum(np.tanh(a @ W1 * 2.0) ** 2) + np.sum(W0 * W0)

    expected = tl.grad(flat, argnums=(0, 1))(net.layers[0].W, net.layers[1].W)
    for layer, e in zip(g.layers, expected, strict=True):
        np.testing.assert_allclose(layer.W, e, rtol=1e-12)
    tl.check_grads(loss, (net, X), order=2)


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_the_gradient_of_an_object_inside_a_step(how):
    def step(net, x):
        value, g = tl.value_and_grad(loss)(net, x)
        for layer, d in zip(net.layers, g.layers, strict=True):
            layer.W -= 0.1 * d.W
        return value

    mine, theirs = network(), network()
    compiled = tl.compile(step)
    value = (compiled if how == "call" else compiled.interpret)(mine, X)
    expected, g = tl.value_and_grad(loss)(theirs, X)
    assert value == pytest.approx(expected)
    for layer, other, d in zip(mine.layers, theirs.layers, g.layers, strict=True):
        np.testing.assert_allclose(layer.W, other.W - 0.1 * d.W)
    assert mine.shared is mine.layers[0].W


def test_other_derivatives_of_objects():
    box = Box(W=X, n=2)
    _, pull = tl.vjp(lambda box: box.W * box.n, box)
    np.testing.assert_array_equal(pull(X)[0].W, 2 * X)
    _, pushed = tl.jvp(lambda box: box.W * box.n, (box,), (Box(W=X + 1, n=0),))
    np.testing.assert_array_equal(pushed, 2 * X + 2)
    J = tl.jacobian(lambda box: box.W[0])(box)
    np.testing.assert_array_equal(J.W[:, 0], np.eye(3))
    first, second = tl.grad(lambda a, b: np.sum(a.W * b.W * b.W), argnums=(0, 1))(box, box)
    np.testing.assert_allclose((first.W, second.W), (X * X, 2 * X * X))

    def keeping(box):
        box.h = box.W
        return np.sum(box.W)

    with pytest.raises(tl.errors.TraceError, match="argument 0 is being differentiated"):
        tl.grad(keeping)(box)


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_an_object_may_hold_its_own_compiled_step(how):
    class Net:
        def __init__(self):
            self.W, self.t = X.copy(), 0
            self.step = tl.compile(self.plain)

        def plain(self, x):
            self.t += 1
            self.W -= x / self.t
            return self.W.sum()

    class Special(Net):
        def plain(self, x):
            return super().plain(x * 2)

    for kind in (Net, Special):
        net, other = kind(), kind()
        for _ in range(3):
            run = net.step if how == "call" else net.step.interpret
            assert run(X) == pytest.approx(other.plain(X))
        np.testing.assert_allclose(net.W, other.W)
        assert net.t == 3 and len(net.step.programs) == 1
