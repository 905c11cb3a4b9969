"""IR ops that NumPy has no name for, as functions of arrays and of traced arrays alike.

A library function calls `apply("erf", x)` where NumPy has no function to call. Between traced
arrays the op is recorded; between concrete ones its record is evaluated with NumPy at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.builder import complete_attrs
from ..ir.op import OPS, Op
from ..ir.types import F64, Type
from . import tree
from .tracing.handle import Handle
from .tracing.promotion import as_value, is_number, lift, recorder_now


def apply(op: str, *operands: Any, **attrs: Any) -> Any:
    """The op named `op` of arrays, NumPy scalars, Python numbers and traced ones.

    Arrays keep their dtypes, numbers take the dtype of the first array (alone they are f64); an op
    of several results gives a tuple. Results of shape () are NumPy scalars. ShapeError or
    DTypeError from the op's type rule, TraceError for an array of another trace.
    """
    record = OPS[op]
    traced = next((x for x in operands if isinstance(x, Handle)), None)
    if traced is None:
        return _evaluated(record, operands, attrs)
    return traced.recorder.statement(_recorded, (record, operands), attrs)


def stop_gradient(x: Any) -> Any:
    """x (arrays in containers too), as a constant to all derivatives: their value is 0 there."""
    return tree.map(lambda leaf: apply("stop_gradient", leaf), x)


def _recorded(op: Op, operands: Sequence[Any], /, **attrs: Any) -> Any:
    recorder = recorder_now()
    lifted = [lift(x) for x in operands]
    strong = [x.type.dtype if isinstance(x, Handle) and not x.weak else None for x in lifted]
    number = next(filter(None, strong), F64)
    values = [as_value(x, dtype or number) for x, dtype in zip(lifted, strong, strict=True)]
    results = recorder.builder.emit(op, values, attrs).results
    arrays = tuple(recorder.fresh(value) for value in results)
    return arrays[0] if len(arrays) == 1 else arrays


def _evaluated(op: Op, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    strong = (np.asarray(x).dtype for x in operands if not is_number(x))
    number = next(strong, F64)
    arrays = [np.asarray(x, number if is_number(x) else None) for x in operands]
    full = complete_attrs(op, attrs)
    types = op.infer(tuple(Type(a.dtype, a.shape) for a in arrays), full)
    with np.errstate(all="ignore"):
        found = op.evaluate(*arrays, **full)
    several = found if isinstance(found, tuple) else (found,)
    results = tuple(np.asarray(a, t.dtype)[()] for a, t in zip(several, types, strict=True))
    return results[0] if len(results) == 1 else results
