"""What a training step is, before anyone runs it: data, loss, backprop by hand, optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from .workload import Array, Params

Loss: TypeAlias = Callable[[Any, Any, Any, Any], Any]
Backprop: TypeAlias = Callable[[Params, Array, Array], tuple[Any, Params]]

BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Problem:
    """One training problem.

    `loss(nn, p, x, y)` takes its functions from `nn`, a namespace with the names of
    `torch.nn.functional`; `backprop(p, x, y)` is loss and gradients in hand-written NumPy,
    None where nobody would write them.
    """

    name: str
    what: str
    params: Callable[[np.random.Generator], Params]
    batch: Callable[[np.random.Generator], tuple[Array, Array]]
    loss: Loss
    backprop: Backprop | None = None
    learning_rate: float = 0.01
    optimizer: Literal["sgd", "adam"] = "sgd"
