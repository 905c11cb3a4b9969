"""What `x[mask]` reads: elements whose number the trace does not know.

Elementwise functions of them are computed for all elements of `x`, and written back where the mask
holds: `x[mask] *= 2`, `x[mask] = np.log(y[mask])`. Everything else would need their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...ir.errors import TraceError
from ...ir.graph import Value
from . import source
from .handle import Unshaped
from .promotion import lift, same_kind
from .recorder import located

if TYPE_CHECKING:
    from .traced import TracedArray


class MaskedRead(NDArrayOperatorsMixin, Unshaped):
    """A copy of the elements of `whole` (an array of the step) where `mask` holds; the mask covers
    axes from `front` on."""

    def __init__(self, whole: TracedArray, mask: Value, front: int) -> None:
        self.whole = whole
        self.place = (mask, front, whole.shape)
        error = TraceError(
            "reading x[mask] has a shape that depends on the data; use np.where(mask, x, 0), or a"
            " reduction with where=mask (x[mask].sum() is np.where(mask, x, 0).sum())"
        )
        self.error = located(error, source.user_frame())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if method != "__call__" or kwargs or (out is not None and out[0] is not self):
            raise self.error
        result = ufunc(*(self._spread(x) for x in inputs))
        if isinstance(result, tuple):
            raise self.error
        if out is None:
            return MaskedRead(result, *self.place[:2])
        same_kind(result.dtype, self.whole.dtype, f"np.{ufunc.__name__} in place")
        self.whole = result.astype(self.whole.dtype)
        return self

    def _spread(self, x: Any) -> Any:
        """An operand for all elements: a number, or a read by the same mask."""
        if isinstance(x, MaskedRead) and x.place == self.place:
            return x.whole
        if isinstance(x, MaskedRead) or np.ndim(lift(x)):
            raise self.error
        return x

    def __array_function__(self, *args: Any) -> NoReturn:
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
