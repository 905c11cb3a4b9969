"""Training steps as people write them in classes: under NumPy, compiled and interpreted.

Every idiom is an object with a method `step(x, y)`. Five steps must leave three copies of it equal,
attribute by attribute: types, dtypes, shapes, and what is shared with what.
"""

import copy

import numpy as np
import pytest
import tapeless as tl
from conformance import same_state


class HandWritten:
    """Backprop by hand over plain attributes."""

    def __init__(self, rng, dtype):
        self.n_in, self.hidden = 3, 4
        self.W1 = rng.standard_normal((self.n_in, self.hidden)).astype(dtype)
        self.b1 = np.zeros(self.hidden, dtype)
        self.W2 = rng.standard_normal((self.hidden, 2)).astype(dtype)
        self.lr, self.name, self.hook = 0.05, "net", None

    def forward(self, x):
        self.z = x @ self.W1 + self.b1
        self.h = np.maximum(self.z, 0)
        return self.h @ self.W2

    def step(self, x, y):
        error = (self.forward(x) - y) / len(x)
        gh = error @ self.W2.T * (self.z > 0)
        self.W2 -= self.lr * self.h.T @ error
        self.W1 = self.W1 - self.lr * x.T @ gh
        self.b1 -= self.lr * gh.sum(axis=0)
        return np.sum(error**2)


class OverParams:
    """`value_and_grad` with respect to a dict the object holds."""

    def __init__(self, rng, dtype):
        self.params = {
            f"W{k}": rng.standard_normal(shape).astype(dtype)
            for k, shape in enumerate([(3, 4), (4, 2)])
        }
        self.depth, self.lr, self.t = 2, 0.05, 0

    def loss(self, params, x, y):
        for k in range(self.depth):
            x = np.tanh(x @ params[f"W{k}"])
        return np.mean((x - y) ** 2)

    def gradient(self, x, y):
        return tl.value_and_grad(self.loss)(self.params, x, y)

    def step(self, x, y):
        loss, grads = self.gradient(x, y)
        for key in self.params:
            self.params[key] -= self.lr * grads[key]
        self.t += 1
        return loss


class Dense:
    def __init__(self, rng, n, m, dtype):
        self.W = rng.standard_normal((n, m)).astype(dtype) / n
        self.b = np.zeros(m, dtype)

    def __call__(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, g):
        self.dW, self.db = self.x.T @ g, g.sum(axis=0)
        return g @ self.W.T


class Tanh:
    def __call__(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, g):
        return g * (1 - self.y**2)


class Layers:
    """A list of layers that cache what backward needs."""

    def __init__(self, rng, dtype):
        self.layers = [Dense(rng, 3, 4, dtype), Tanh(), Dense(rng, 4, 2, dtype)]

    def step(self, x, y):
        out = x
        for layer in self.layers:
            out = layer(out)
        g = (out - y) / len(x)
        for layer in reversed(self.layers):
            g = layer.backward(g)
        for layer in self.layers:
            if isinstance(layer, Dense):
                layer.W -= 0.1 * layer.dW
                layer.b -= 0.1 * layer.db
        self.loss = np.mean((out - y) ** 2)
        return self.loss


class Momentum:
    """Holds the arrays it updates, by name, as an optimiser gets them from a model."""

    def __init__(self, named, lr=0.05, beta=0.9):
        self.named = named
        self.v = {name: np.zeros_like(w) for name, w in named.items()}
        self.lr, self.beta = lr, beta

    def step(self, grads):
        for name, w in self.named.items():
            self.v[name] = self.beta * self.v[name] + grads[name]
            w -= self.lr * self.v[name]


class Sequential(Layers):
    """Model and optimiser share their arrays."""

    def __init__(self, rng, dtype):
        super().__init__(rng, dtype)
        self.dense = [layer for layer in self.layers if isinstance(layer, Dense)]
        named = {f"{k}.{n}": getattr(d, n) for k, d in enumerate(self.dense) for n in ("W", "b")}
        self.optimizer = Momentum(named)

    def step(self, x, y):
        out = x
        for layer in self.layers:
            out = layer(out)
        g = (out - y) / len(x)
        for layer in self.layers[::-1]:
            g = layer.backward(g)
        self.optimizer.step(
            {f"{k}.{n}": getattr(d, "d" + n) for k, d in enumerate(self.dense) for n in ("W", "b")}
        )
        return np.sum(out)


class Adam:
    """A counter that is a Python int."""

    def __init__(self, rng, dtype):
        self.w = rng.standard_normal((3, 2)).astype(dtype)
        self.m, self.v = np.zeros_like(self.w), np.zeros_like(self.w)
        self.lr, self.beta1, self.beta2, self.eps, self.t = 1e-2, 0.9, 0.999, 1e-8, 0

    def step(self, x, y):
        g = x.T @ (x @ self.w - y)
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v[...] = self.beta2 * self.v + (1 - self.beta2) * g * g
        m = self.m / (1 - self.beta1**self.t)
        v = self.v / (1 - self.beta2**self.t)
        self.w -= self.lr * m / (np.sqrt(v) + self.eps)
        return np.mean(g)


class BatchNorm:
    """Running statistics, in place, and a flag that decides."""

    def __init__(self, rng, dtype):
        self.gamma, self.mean, self.var = np.ones(3, dtype), np.zeros(3, dtype), np.ones(3, dtype)
        self.momentum, self.eps, self.training, self.calls = 0.1, 1e-5, True, 0

    def step(self, x, y):
        self.calls += 1
        if not self.training:
            return np.mean(self.gamma * x * (x - self.mean) / np.sqrt(self.var + self.eps))
        mean, var = x.mean(axis=0), x.var(axis=0)
        self.mean += self.momentum * (mean - self.mean)
        self.var += self.momentum * (var - self.var)
        normal = (x - mean) / np.sqrt(var + self.eps)
        self.gamma -= 0.01 * np.sum(normal * x, axis=0)
        return np.mean(self.gamma * normal * x)


class Recurrent:
    """Sizes, depths and probabilities that Python code asks for."""

    __slots__ = ("W", "history", "keep", "steps", "width")

    def __init__(self, rng, dtype):
        self.width, self.steps, self.keep = 3, 4, 0.0
        self.W = rng.standard_normal((self.width, self.width)).astype(dtype) / 2
        self.history = []

    def step(self, x, y):
        h = np.zeros((len(x), self.width), dtype=x.dtype)
        for _ in range(self.steps):
            h = np.tanh(h @ self.W + x)
        if self.keep > 0:
            h = h * self.keep
        self.history = [h[:, : self.width - 1].sum(), self.steps]
        self.W = self.W * (1 - 1e-3)
        return np.sum(h)


IDIOMS = [HandWritten, OverParams, Layers, Sequential, Adam, BatchNorm, Recurrent]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.__name__)
def test_five_steps_leave_every_attribute_as_numpy_does(idiom, dtype):
    tolerance = 2e-5 if dtype == np.float32 else 1e-11
    rng = np.random.default_rng(0)
    for_numpy = idiom(rng, dtype)
    compiled, interpreted = copy.deepcopy(for_numpy), copy.deepcopy(for_numpy)
    step = tl.compile(idiom.step)
    for k in range(5):
        x = rng.standard_normal((5, 3)).astype(dtype)
        y = rng.standard_normal((5, 2)).astype(dtype)
        for net in (for_numpy, compiled, interpreted):
            if hasattr(net, "training"):
                net.training = k not in (2, 3)
        expected = for_numpy.step(x, y)
        for result in (step(compiled, x, y), step.interpret(interpreted, x, y)):
            np.testing.assert_allclose(result, expected, rtol=10 * tolerance)
        same_state(compiled, for_numpy, tolerance)
        same_state(interpreted, for_numpy, tolerance)
    assert len(step.programs) <= 2, [str(p.described.names) for p in step.programs]
