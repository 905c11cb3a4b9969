"""What `x[mask]` reads: elements whose number the trace does not know.

    x[mask] *= 2
    x[mask] = np.log(y[mask])
    loss[y >= 0].mean()

Elementwise functions of them are computed for all elements of `x`, and written back where the mask
holds; reductions leave out what the mask leaves out. Everything else would need their number.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...ir.builder import Builder
from ...ir.errors import TraceError
from ...ir.graph import Value
from . import source
from .handle import Unshaped
from .promotion import lift, same_kind
from .recorder import located

if TYPE_CHECKING:
    from .traced import TracedArray


REDUCTIONS: Final = frozenset(
    {np.sum, np.mean, np.prod, np.any, np.all, np.var, np.std, np.count_nonzero}
)
"""What needs no number of elements. (The largest of no elements is an error, so not max.)"""

ELEMENTWISE: Final = frozenset({np.where, np.clip})
"""Functions of elements that are no ufuncs."""


class MaskedRead(NDArrayOperatorsMixin, Unshaped):
    """A copy of the elements of `whole` (an array of the step) where `mask` holds; the mask covers
    axes from `front` on."""

    def __init__(self, whole: TracedArray, mask: Value, front: int) -> None:
        self.whole = whole
        self.mask = mask
        self.front = front
        error = TraceError(
            "reading x[mask] has a shape that depends on the data. Such elements can be computed"
            " with, written by the same mask, and summed or averaged; else use"
            " np.where(mask, x, 0), or a reduction with where=mask"
        )
        self.error = located(error, source.user_frame())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if method != "__call__" or kwargs or (out is not None and out[0] is not self):
            raise self.error
        if ufunc.nout > 1 or ufunc.signature:
            raise self.error
        result = ufunc(*(self._spread(x) for x in inputs))
        if out is None:
            return self._like(result)
        same_kind(result.dtype, self.whole.dtype, f"np.{ufunc.__name__} in place")
        self.whole = result.astype(self.whole.dtype)
        return self

    def _spread(self, x: Any) -> Any:
        """An operand for all elements: a number, or a read by the same mask."""
        if isinstance(x, MaskedRead) and self.alike(x):
            return x.whole
        if isinstance(x, MaskedRead) or np.ndim(lift(x)):
            raise self.error
        return x

    def _like(self, whole: TracedArray) -> MaskedRead:
        return MaskedRead(whole, self.mask, self.front)

    def alike(self, other: MaskedRead) -> bool:
        """Whether `other` is read by the same mask from an array of the same shape."""
        b = self.whole.recorder.builder
        mine, theirs = (x.whole.shape for x in (self, other))
        return (
            (self.front, mine) == (other.front, theirs)
            and self.mask.shape == other.mask.shape
            and same_value(b, self.mask, other.mask)
        )

    # --- reductions --------------------------------------------------------------------------

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in ELEMENTWISE and not kwargs:
            return self._like(function(*(self._spread(x) for x in args)))
        if function not in REDUCTIONS or not args or args[0] is not self:
            raise self.error
        return self._reduced(function, *args[1:], **kwargs)

    def _reduced(self, function: Any, axis: Any = None, **kwargs: Any) -> Any:
        """The reduction over all elements, or over those that the mask chooses."""
        given = {k: v for k, v in kwargs.items() if v is not None and v is not np._NoValue}
        if set(given) - {"dtype", "ddof"}:
            raise self.error
        axes, chosen = self._axes(axis), self._chosen()
        if function is np.count_nonzero:
            return np.sum((self.whole != 0) & chosen, axis=axes)
        return function(self.whole, axis=axes, where=chosen, **given)

    def _axes(self, axis: Any) -> tuple[int, ...] | None:
        if axis is None:
            return None
        rank = self.whole.ndim - len(self.mask.shape) + 1
        k = operator.index(axis)
        if not -rank <= k < rank or k % rank != self.front:
            raise self.error
        return tuple(range(self.front, self.front + len(self.mask.shape)))

    def _chosen(self) -> TracedArray:
        """The mask with an axis of extent 1 for each axis behind those it covers."""
        mask = self.whole.recorder.fresh(self.mask, scalar=False)
        behind = self.whole.ndim - self.front - mask.ndim
        return mask.reshape(mask.shape + (1,) * behind)

    def sum(self, axis: Any = None, dtype: Any = None) -> Any:
        return np.sum(self, axis, dtype=dtype)

    def mean(self, axis: Any = None, dtype: Any = None) -> Any:
        return np.mean(self, axis, dtype=dtype)

    def prod(self, axis: Any = None, dtype: Any = None) -> Any:
        return np.prod(self, axis, dtype=dtype)

    def var(self, axis: Any = None, dtype: Any = None, ddof: float = 0) -> Any:
        return np.var(self, axis, dtype=dtype, ddof=ddof)

    def std(self, axis: Any = None, dtype: Any = None, ddof: float = 0) -> Any:
        return np.std(self, axis, dtype=dtype, ddof=ddof)

    def any(self, axis: Any = None) -> Any:
        return np.any(self, axis)

    def all(self, axis: Any = None) -> Any:
        return np.all(self, axis)

    # --- the rest ----------------------------------------------------------------------------

    def copy(self) -> MaskedRead:
        return self._like(self.whole.copy())

    def astype(self, dtype: Any) -> MaskedRead:
        return self._like(self.whole.astype(dtype))

    def __iter__(self) -> NoReturn:
        raise self.error

    def __float__(self) -> float:
        raise self.error

    def __int__(self) -> int:
        raise self.error

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self.error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.error

    def __getitem__(self, key: Any) -> NoReturn:
        raise self.error

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise self.error

    def __len__(self) -> int:
        raise self.error

    def __bool__(self) -> bool:
        raise self.error


def same_value(b: Builder, first: Value, second: Value) -> bool:
    """Whether two values are computed by the same operations from the same values."""
    pending, seen = [(first, second)], set()
    while pending:
        pair = v, w = pending.pop()
        if v is w or pair in seen:
            continue
        seen.add(pair)
        p, q = b.producer.get(v), b.producer.get(w)
        if p is None or q is None or p.op is not q.op or p.op.name == "arg":
            return False
        if p.results.index(v) != q.results.index(w) or p.attrs.keys() != q.attrs.keys():
            return False
        if not all(_same_attribute(p.attrs[name], q.attrs[name]) for name in p.attrs):
            return False
        pending += zip(p.operands, q.operands, strict=True)
    return True


def _same_attribute(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return bool(a == b)
