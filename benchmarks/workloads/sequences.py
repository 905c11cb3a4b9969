"""Three steps of other kinds: a recurrent network, a transformer's block, a mixture of experts.

Their gradients by hand would be pages, so the peers are the libraries that derive them.
"""

from typing import Any

import numpy as np

from ..training import Problem
from ..workload import Array, Params


def _weights(rng: np.random.Generator, *shape: int) -> Array:
    made: Array = (rng.standard_normal(shape) / np.sqrt(shape[-2])).astype(np.float32)
    return made


def _labelled(*shape: int, rows: int, classes: int) -> Any:
    """Random inputs with a label per row."""

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(shape).astype(np.float32), rng.integers(0, classes, rows)

    return batch


def lstm(steps: int = 20, rows: int = 32, inputs: int = 64, hidden: int = 128) -> Problem:
    """An LSTM over a sequence, (steps, rows, inputs), classified by its last state."""
    classes = 10

    def params(rng: np.random.Generator) -> Params:
        return {
            "Wx": _weights(rng, inputs, 4 * hidden),
            "Wh": _weights(rng, hidden, 4 * hidden),
            "b": np.zeros(4 * hidden, np.float32),
            "W": _weights(rng, hidden, classes),
        }

    def loss(nn: Any, p: Any, x: Any, y: Any) -> Any:
        h = x[0] @ p["Wx"][:, :hidden] * 0
        c = h
        for t in range(steps):
            z = x[t] @ p["Wx"] + h @ p["Wh"] + p["b"]
            i, f = nn.sigmoid(z[:, :hidden]), nn.sigmoid(z[:, hidden : 2 * hidden])
            g, o = nn.tanh(z[:, 2 * hidden : 3 * hidden]), nn.sigmoid(z[:, 3 * hidden :])
            c = f * c + i * g
            h = o * nn.tanh(c)
        return nn.cross_entropy(h @ p["W"], y)

    what = f"LSTM of {hidden}, {steps} steps of {inputs}, batch {rows}"
    batch = _labelled(steps, rows, inputs, rows=rows, classes=classes)
    return Problem("lstm", what, params, batch, loss)


def attention(rows: int = 8, length: int = 64, width: int = 128, heads: int = 4) -> Problem:
    """A block of a transformer: attention and a two-layer network, each normalised and added."""
    classes, each = 10, width // heads

    def params(rng: np.random.Generator) -> Params:
        p = {k: _weights(rng, width, width) for k in ("Wq", "Wk", "Wv", "Wo")}
        p |= {"W1": _weights(rng, width, 4 * width), "b1": np.zeros(4 * width, np.float32)}
        p |= {"W2": _weights(rng, 4 * width, width), "b2": np.zeros(width, np.float32)}
        for k in "12":
            p |= {f"g{k}": np.ones(width, np.float32), f"s{k}": np.zeros(width, np.float32)}
        return p | {"W": _weights(rng, width, classes)}

    def split(a: Any) -> Any:
        return a.reshape((rows, length, heads, each)).swapaxes(1, 2)

    def loss(nn: Any, p: Any, x: Any, y: Any) -> Any:
        n = nn.layer_norm(x, (width,), p["g1"], p["s1"])
        q, k, v = (split(n @ p[name]) for name in ("Wq", "Wk", "Wv"))
        scores = nn.softmax(q @ k.swapaxes(2, 3) * each**-0.5, -1)
        mixed = (scores @ v).swapaxes(1, 2).reshape((rows, length, width))
        x = x + mixed @ p["Wo"]
        n = nn.layer_norm(x, (width,), p["g2"], p["s2"])
        x = x + nn.relu(n @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
        return nn.cross_entropy(x.mean(1) @ p["W"], y)

    what = f"transformer block: {heads} heads of {each}, {rows} sequences of {length}"
    batch = _labelled(rows, length, width, rows=rows, classes=classes)
    return Problem("attention", what, params, batch, loss)


def experts(rows: int = 128, inputs: int = 64, hidden: int = 128, count: int = 4) -> Problem:
    """A mixture: networks weighted by the softmax of a gate that sees the input, too."""
    classes = 10

    def params(rng: np.random.Generator) -> Params:
        p: Params = {"G": _weights(rng, inputs, count)}
        for k in range(count):
            p |= {f"W{k}": _weights(rng, inputs, hidden), f"b{k}": np.zeros(hidden, np.float32)}
            p[f"V{k}"] = _weights(rng, hidden, classes)
        return p

    def loss(nn: Any, p: Any, x: Any, y: Any) -> Any:
        gate = nn.softmax(x @ p["G"], -1)
        outputs = [nn.relu(x @ p[f"W{k}"] + p[f"b{k}"]) @ p[f"V{k}"] for k in range(count)]
        return nn.cross_entropy(sum(gate[:, k : k + 1] * z for k, z in enumerate(outputs)), y)

    what = f"mixture of {count} experts {inputs}-{hidden}-{classes}, batch {rows}"
    return Problem(
        "experts", what, params, _labelled(rows, inputs, rows=rows, classes=classes), loss
    )
