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
    linalg,
    logic,
    move,
    random,
    reduce,
    scan,
    sort,
    windows,
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
    "linalg",
    "logic",
    "move",
    "random",
    "reduce",
    "scalar_constant",
    "scan",
    "sort",
    "uniform_value",
    "windows",
]
