"""The op records, one module per family. Importing this package fills the registry `OPS`."""

from . import (
    arithmetic,
    autodiff,
    composite,
    constant,
    dot,
    functions,
    fused,
    index,
    logic,
    move,
    reduce,
    sort,
)
from .constant import scalar_constant, uniform_value

__all__ = [
    "arithmetic",
    "autodiff",
    "composite",
    "constant",
    "dot",
    "functions",
    "fused",
    "index",
    "logic",
    "move",
    "reduce",
    "scalar_constant",
    "sort",
    "uniform_value",
]
