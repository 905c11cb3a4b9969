"""One step of recurrent layers, with the parameters, gate order and layouts of torch.

Input (n, inputs) or (inputs,), state (n, hidden) or (hidden,), w_ih (gates * hidden, inputs), w_hh
(gates * hidden, hidden), biases (gates * hidden,) or None; ShapeError if they do not fit. A loop
over time in a step is unrolled.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ...ir.errors import ShapeError
from ._shared import Array
from .activations import sigmoid
from .dense import linear
from .piecewise import relu


def rnn_cell(
    input: Array,
    hx: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
) -> Array:
    """tanh (or relu) of input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh: the next state.

    Source: Elman, "Finding Structure in Time", 1990.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
    _check("rnn_cell", 1, input, hx, w_ih, w_hh, b_ih, b_hh)
    z = linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh)
    return np.tanh(z) if nonlinearity == "tanh" else relu(z)


def gru_cell(
    input: Array,
    hx: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
) -> Array:
    """(1 - z) n + z hx with the gates r, z (sigmoid) and n = tanh(i_n + r h_n): the next state.

    The rows of the weights are those of r, z, n; i_n and h_n are the parts of the input and of the
    state.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014; r after
    the product, as in cuDNN.
    """
    _check("gru_cell", 3, input, hx, w_ih, w_hh, b_ih, b_hh)
    i_r, i_z, i_n = np.split(linear(input, w_ih, b_ih), 3, axis=-1)
    h_r, h_z, h_n = np.split(linear(hx, w_hh, b_hh), 3, axis=-1)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    n = np.tanh(i_n + r * h_n)
    return n + z * (hx - n)


def lstm_cell(
    input: Array,
    hx: tuple[Array, Array],
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
) -> tuple[Array, Array]:
    """(h, c) from hx = (h, c): c <- f c + i g, h <- o tanh(c).

    The gates i, f, o (sigmoid) and g (tanh) have their rows in the order i, f, g, o.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; f: Gers et al., 2000.
    """
    h, c = hx
    _check("lstm_cell", 4, input, h, w_ih, w_hh, b_ih, b_hh)
    if np.shape(h) != np.shape(c):
        raise ShapeError(f"lstm_cell: h {np.shape(h)} and c {np.shape(c)} differ in shape")
    gates = linear(input, w_ih, b_ih) + linear(h, w_hh, b_hh)
    i, f, g, o = np.split(gates, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def _check(
    name: str,
    gates: int,
    input: Array,
    hx: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
) -> None:
    if np.ndim(input) not in (1, 2) or np.ndim(input) != np.ndim(hx):
        raise ShapeError(
            f"{name}: input {np.shape(input)} and state {np.shape(hx)} must be (n, inputs) and"
            " (n, hidden), or (inputs,) and (hidden,)"
        )
    inputs, hidden, lead = input.shape[-1], hx.shape[-1], input.shape[:-1]
    rows = gates * hidden
    wanted = [
        ("hx", hx, (*lead, hidden)),
        ("w_ih", w_ih, (rows, inputs)),
        ("w_hh", w_hh, (rows, hidden)),
        ("b_ih", b_ih, (rows,)),
        ("b_hh", b_hh, (rows,)),
    ]
    for parameter, value, shape in wanted:
        if value is not None and np.shape(value) != shape:
            raise ShapeError(f"{name}: {parameter} {np.shape(value)} must have shape {shape}")
