"""The op records, one module per family. Importing this package fills the registry `OPS`."""

from . import autodiff, composite, constant, dot, elementwise, fused, index, move, reduce, sort
from .constant import scalar_constant, uniform_value

__all__ = [
    "autodiff",
    "composite",
    "constant",
    "dot",
    "elementwise",
    "fused",
    "index",
    "move",
    "reduce",
    "scalar_constant",
    "sort",
    "uniform_value",
]
