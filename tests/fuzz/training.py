"""Training steps at random: layers, a loss, its `gradient` node, and an optimiser's updates.

    program = training_step(random.Random(7))       # a graph of the stage `trace`

Here weights are updated by contractions, states in place, and a label picks its logit: what the
steps of `steps.py` put together only by chance. Data lie off the grid of ties.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Value
from tapeless.ir.types import F32, F64, Type

from .growing import Program


@dataclass(frozen=True)
class Extents:
    """What the extents of a step are drawn from: rows, features, widths of layers and of gates,
    height and width of images."""

    rows: tuple[int, ...]
    features: tuple[int, ...]
    widths: tuple[int, ...]
    gates: tuple[int, ...]
    images: tuple[int, ...]


USUAL_STEP: Final = Extents(
    (1, 2, 7, 16, 33), (1, 3, 8, 17), (1, 2, 5, 8, 16, 65), (1, 4, 8), (5, 7)
)
LARGE_STEP: Final = Extents((64, 100, 256), (64, 130, 300), (10, 128, 257), (33, 64), (12, 17))


def training_step(rng: random.Random, extents: Extents = USUAL_STEP) -> Program:
    """A random step: the loss as its output, parameters and states updated."""
    return _Step(rng, extents).program()


class _Step:
    def __init__(self, rng: random.Random, extents: Extents) -> None:
        self.extents = extents
        self.rng = rng
        self.draw = np.random.default_rng(rng.getrandbits(32))
        self.b = Builder()
        self.dtype = rng.choice((F32, F32, F64))
        self.rows = rng.choice(extents.rows)
        self.inputs: list[Value] = []
        self.arguments: list[np.ndarray] = []
        self.parameters: list[Value] = []
        self.inside: list[Value] = []
        self.updates: list[tuple[Value, Value]] = []

    def given(self, array: np.ndarray, name: str) -> Value:
        value = Value(Type(array.dtype, array.shape), f"{name}{len(self.inputs)}")
        self.inputs.append(value)
        self.arguments.append(array)
        return value

    def data(self, shape: Sequence[int], name: str = "x") -> Value:
        return self.given(self.draw.normal(size=tuple(shape)).astype(self.dtype), name)

    def parameter(self, shape: Sequence[int]) -> Value:
        """An input that is trained, as the gradient sees it."""
        scale = 1 / max(1.0, float(np.sqrt(shape[0]))) if shape else 1.0
        array = np.asarray(self.draw.normal(size=tuple(shape)) * scale).astype(self.dtype)
        outside = self.given(array, "W")
        inside = self.b.arg(outside)
        self.parameters.append(outside)
        self.inside.append(inside)
        return inside

    # The network

    def program(self) -> Program:
        h = self.data((self.rows, self.rng.choice(self.extents.features)))
        if self.rng.random() < 0.3:
            h = self.convolved()
        for _ in range(self.rng.randint(1, 3)):
            h = self.layer(h)
        loss = self.loss(h)
        if self.rng.random() < 0.3:
            loss = self.decayed(loss)
        gradients = self.b.emit("gradient", (loss, *self.inside), {}).results
        self.optimise(gradients)
        outputs = [loss]
        if self.rng.random() < 0.2:
            outputs.append(self.rng.choice(gradients))
        graph = Graph(
            "step", tuple(self.inputs), tuple(self.b.nodes), tuple(outputs), tuple(self.updates)
        )
        return Program(graph, self.arguments)

    def convolved(self) -> Value:
        """Rows of features out of an image by one or two convolutions and, now and then, pools."""
        y = self.data(
            (self.rows, self.rng.choice((1, 2, 3)), *[self.rng.choice(self.extents.images)] * 2)
        )
        for _ in range(self.rng.choice((1, 1, 2))):
            y = self.convolution(y)
            if self.rng.random() < 0.5:
                y = self.pool(y)
        return self.b.reshape(y, shape=(self.rows, y.type.size // self.rows))

    def windows(self, x: Value, sizes: Sequence[int], dilations: Sequence[int]) -> Value:
        """Windows over height and width that fit, apart or overlapping."""
        size = min(self.rng.choice(sizes), x.shape[2])
        stride = self.rng.choice((1, 1, 2, 3))
        dilation = self.rng.choice(dilations) if 2 * size - 1 <= x.shape[2] else 1
        return self.b.windows(
            x, axes=(2, 3), sizes=(size, size), strides=(stride,) * 2, dilations=(dilation,) * 2
        )

    def convolution(self, x: Value) -> Value:
        """With all channels of an image, or each with its own kernel."""
        b, channels = self.b, x.shape[1]
        if self.rng.random() < 0.5:
            x = b.pad(x, low=(0, 0, 1, 1), high=(0, 0, 1, 1))
        w = self.windows(x, (1, 2, 3), (1, 1, 2))
        inside = w.shape[4:]
        if self.rng.random() < 0.25:
            z = b.dot(w, self.parameter((channels, *inside)), spec="abcdef,bef->abcd")
        else:
            kernel = self.parameter((self.rng.choice((2, 4)), channels, *inside))
            z = b.dot(w, kernel, spec="abcdef,gbef->agcd")
        return b.maximum(z, 0.0) if self.rng.random() < 0.7 else b.tanh(z)

    def pool(self, x: Value) -> Value:
        """The largest, or the mean, of each window."""
        b, w = self.b, self.windows(x, (2, 3), (1,))
        if self.rng.random() < 0.7:
            return b.max(w, axes=(4, 5))
        return b.div(b.sum(w, axes=(4, 5)), float(w.shape[4] * w.shape[5]))

    def layer(self, h: Value) -> Value:
        b, width = self.b, self.rng.choice(self.extents.widths)
        weight = self.parameter((h.shape[1], width))
        z = b.dot(h, weight, spec="ab,bc->ac")
        if self.rng.random() < 0.7:
            z = b.add(z, self.parameter((width,)))
        kind = self.rng.randrange(9)
        if kind == 0:
            return b.maximum(z, 0.0)
        if kind == 1:
            return b.select(b.gt(z, 0.0), z, b.mul(z, 0.1))
        if kind == 2:
            return self.normalised(z)
        if kind == 3 and width == h.shape[1]:
            return b.add(h, b.tanh(z))
        if kind == 4:
            return b.mul(z, b.sigmoid(z))
        if kind == 5:
            return b.mul(b.softmax(z, axis=1), z)
        if kind == 6:
            return self.gated(h)
        return b.emit(self.rng.choice(("tanh", "sigmoid", "softplus", "erf")), (z,), {}).result

    def gated(self, h: Value) -> Value:
        """Products with parts of one weight, joined again element by element."""
        b, n, width = self.b, h.shape[1], self.rng.choice(self.extents.gates)
        weight = self.parameter((n, 3 * width))
        parts = (
            b.dot(h, b.slice(weight, spec=((0, n, 1), (k, k + width, 1))), spec="ab,bc->ac")
            for k in (0, width, 2 * width)
        )
        gate, value, more = parts
        return b.add(b.mul(b.sigmoid(gate), b.tanh(value)), more)

    def normalised(self, z: Value) -> Value:
        """Every row with mean 0 and variance 1, scaled and shifted."""
        b, n = self.b, z.shape[1]
        ones = (self.rows, 1)
        centred = b.sub(z, b.div(b.reshape(b.sum(z, axes=(1,)), shape=ones), float(n)))
        variance = b.div(b.reshape(b.sum(b.mul(centred, centred), axes=(1,)), shape=ones), float(n))
        unit = b.div(centred, b.sqrt(b.add(variance, 0.1)))
        return b.add(b.mul(unit, self.parameter((n,))), self.parameter((n,)))

    def loss(self, h: Value) -> Value:
        b, kind = self.b, self.rng.randrange(4)
        whole = tuple(range(h.type.rank))
        if kind == 0:
            error = b.sub(h, self.data(h.shape, "t"))
            return b.div(b.sum(b.mul(error, error), axes=whole), float(h.type.size))
        if kind == 1:
            labels = self.given(self.draw.integers(0, h.shape[1], self.rows), "y")
            logits = b.log(b.softmax(h, axis=1))
            picked = b.gather(logits, b.iota(n=self.rows), labels, axes=(0, 1))
            return b.neg(b.div(b.sum(picked, axes=(0,)), float(self.rows)))
        if kind == 2:
            target = self.given((self.draw.random(h.shape) < 0.5).astype(self.dtype), "t")
            return b.sum(b.sub(b.softplus(h), b.mul(target, h)), axes=whole)
        far = b.abs(b.sub(h, self.data(h.shape, "t")))
        near = b.lt(far, 1.0)
        return b.sum(b.select(near, b.mul(b.mul(far, far), 0.5), b.sub(far, 0.5)), axes=whole)

    def decayed(self, loss: Value) -> Value:
        b = self.b
        for w in self.inside:
            square = b.sum(b.mul(w, w), axes=tuple(range(w.type.rank)))
            loss = b.add(loss, b.mul(square, 0.01))
        return loss

    # The optimiser

    def optimise(self, gradients: Sequence[Value]) -> None:
        rate = self.given(np.asarray(self.draw.uniform(0.01, 0.1), self.dtype), "lr")
        step = self.rng.choice((self.sgd, self.sgd, self.momentum, self.adam))
        for w, g in zip(self.parameters, gradients, strict=True):
            if self.rng.random() < 0.9:
                step(w, g, rate)

    def state(self, like: Value, name: str) -> Value:
        array = self.draw.uniform(0.1, 1, like.shape).astype(self.dtype)
        return self.given(np.asarray(array), name)

    def sgd(self, w: Value, g: Value, rate: Value) -> None:
        self.updates.append((w, self.b.sub(w, self.b.mul(rate, g))))

    def momentum(self, w: Value, g: Value, rate: Value) -> None:
        b, m = self.b, self.state(w, "m")
        velocity = b.add(b.mul(m, 0.9), g)
        self.updates += [(m, velocity), (w, b.sub(w, b.mul(rate, velocity)))]

    def adam(self, w: Value, g: Value, rate: Value) -> None:
        b, m, v = self.b, self.state(w, "m"), self.state(w, "v")
        mean = b.add(b.mul(m, 0.9), b.mul(g, 0.1))
        square = b.add(b.mul(v, 0.99), b.mul(b.mul(g, g), 0.01))
        step = b.div(b.mul(rate, mean), b.add(b.sqrt(square), 0.01))
        self.updates += [(m, mean), (v, square), (w, b.sub(w, step))]


__all__ = ["training_step"]
