"""The array a step sees while it is traced: NumPy's operators, methods and dispatch protocols."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import numpy as np

from . import creation, dispatch, elementwise, indexing, misuse, ownership, shapes
from .handle import Handle, Unshaped
from .known import asked
from .promotion import is_number
from .registry import FUNCTIONS, METHODS

F = TypeVar("F", bound=Callable[..., Any])


def operation(function: F) -> F:
    """One operation of the user's: it gets the line, and so do its errors."""

    @functools.wraps(function)
    def run(self: TracedArray, *args: Any, **kwargs: Any) -> Any:
        return self.recorder.statement(function, (self, *args), kwargs)

    return run  # type: ignore[return-value]


class TracedArray(Handle):
    """An array, NumPy scalar or Python number of a step that is being traced.

    It has no values, only a shape and a dtype; NumPy's functions, operators and methods on it are
    recorded. Writing to it, or to any view of it, follows NumPy's rules.
    """

    __slots__ = ()

    # --- what is known ---------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @shape.setter
    def shape(self, _: Any) -> NoReturn:
        raise misuse.here("assigning to x.shape is not supported; write x = x.reshape(shape)")

    @property
    def dtype(self) -> np.dtype:
        return self.buffer.value.type.dtype

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> int:
        return math.prod(self._shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def T(self) -> TracedArray:
        return shapes.transpose(self)

    @property
    def mT(self) -> TracedArray:
        return shapes.matrix_transpose(self)

    @property
    def real(self) -> TracedArray:
        return self

    def __repr__(self) -> str:
        return f"TracedArray({self.type})"

    def __len__(self) -> int:
        if not self._shape:
            raise misuse.here(misuse.NO_LENGTH)
        return self._shape[0]

    def __iter__(self) -> Iterator[TracedArray]:
        return (self[k] for k in range(len(self)))

    # --- indexing --------------------------------------------------------------------------

    @operation
    def __getitem__(self, key: Any) -> TracedArray:
        return indexing.select(self, key).read()

    def __delitem__(self, key: Any) -> NoReturn:
        raise misuse.here("elements of an array cannot be deleted; take the others, x[1:]")

    @operation
    def __setitem__(self, key: Any, value: Any) -> None:
        self.check_writable()
        selection = indexing.select(self, key)
        if selection.basic and selection.view.same_place(value):
            return  # x[k] += v has already written through the view
        selection.write(value)

    # --- operators -------------------------------------------------------------------------

    @operation
    def _binary(self, ufunc: np.ufunc, other: Any, *, swapped: bool = False) -> Any:
        if self.weak and isinstance(other, (list, tuple)):  # Python's, not NumPy's: [0] * n
            return other * operator.index(self) if ufunc is np.multiply else NotImplemented
        pair = (other, self) if swapped else (self, other)
        if self.weak and (is_number(other) or (isinstance(other, Handle) and other.weak)):
            return dispatch.python_arithmetic(ufunc, pair)
        if not dispatch.is_arraylike(other):
            return NotImplemented
        if ufunc is np.power and not swapped:
            return elementwise.raised(self, other)
        return FUNCTIONS[ufunc](*pair) if ufunc in FUNCTIONS else elementwise.apply(ufunc, pair)

    @operation
    def _unary(self, ufunc: np.ufunc) -> Any:
        if self.weak:
            return dispatch.python_arithmetic(ufunc, (self,))
        return elementwise.apply(ufunc, (self,))

    @operation
    def _in_place(self, ufunc: np.ufunc, other: Any) -> Any:
        """`x += v` writes into an array and rebinds a scalar, as in NumPy."""
        if self.kind != "array":
            return self._binary(ufunc, other)
        if not dispatch.is_arraylike(other):
            return NotImplemented
        self.check_writable()
        new = dispatch.call(ufunc, (self, other), {})
        dispatch.store(self, new, f"np.{ufunc.__name__} in place")
        return self

    def __add__(self, other: Any) -> Any:
        return self._binary(np.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(np.add, other, swapped=True)

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(np.add, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other, swapped=True)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(np.subtract, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other, swapped=True)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(np.multiply, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(np.true_divide, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(np.true_divide, other, swapped=True)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(np.true_divide, other)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(np.floor_divide, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(np.floor_divide, other, swapped=True)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._in_place(np.floor_divide, other)

    def __mod__(self, other: Any) -> Any:
        return self._binary(np.remainder, other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(np.remainder, other, swapped=True)

    def __imod__(self, other: Any) -> Any:
        return self._in_place(np.remainder, other)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __pow__(self, other: Any) -> Any:
        return self._binary(np.power, other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(np.power, other, swapped=True)

    def __ipow__(self, other: Any) -> Any:
        return self._in_place(np.power, other)

    def __matmul__(self, other: Any) -> Any:
        return self._binary(np.matmul, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._binary(np.matmul, other, swapped=True)

    def __imatmul__(self, other: Any) -> Any:
        return self._in_place(np.matmul, other)

    def __and__(self, other: Any) -> Any:
        return self._binary(np.bitwise_and, other)

    def __rand__(self, other: Any) -> Any:
        return self._binary(np.bitwise_and, other, swapped=True)

    def __iand__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_and, other)

    def __or__(self, other: Any) -> Any:
        return self._binary(np.bitwise_or, other)

    def __ror__(self, other: Any) -> Any:
        return self._binary(np.bitwise_or, other, swapped=True)

    def __ior__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_or, other)

    def __xor__(self, other: Any) -> Any:
        return self._binary(np.bitwise_xor, other)

    def __rxor__(self, other: Any) -> Any:
        return self._binary(np.bitwise_xor, other, swapped=True)

    def __ixor__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_xor, other)

    def __lshift__(self, other: Any) -> Any:
        return self._binary(np.left_shift, other)

    def __rlshift__(self, other: Any) -> Any:
        return self._binary(np.left_shift, other, swapped=True)

    def __ilshift__(self, other: Any) -> Any:
        return self._in_place(np.left_shift, other)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(np.right_shift, other)

    def __rrshift__(self, other: Any) -> Any:
        return self._binary(np.right_shift, other, swapped=True)

    def __irshift__(self, other: Any) -> Any:
        return self._in_place(np.right_shift, other)

    def __lt__(self, other: Any) -> Any:
        return self._binary(np.less, other)

    def __le__(self, other: Any) -> Any:
        return self._binary(np.less_equal, other)

    def __gt__(self, other: Any) -> Any:
        return self._binary(np.greater, other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(np.greater_equal, other)

    def __eq__(self, other: object) -> Any:
        misuse.check_compared(self, other)
        return self._binary(np.equal, other)

    def __ne__(self, other: object) -> Any:
        misuse.check_compared(self, other)
        return self._binary(np.not_equal, other)

    def __neg__(self) -> Any:
        return self._unary(np.negative)

    def __pos__(self) -> Any:
        return self._unary(np.positive)

    def __abs__(self) -> Any:
        return self._unary(np.absolute)

    def __invert__(self) -> Any:
        return self._unary(np.invert)

    def __round__(self, decimals: int | None = None) -> Any:
        if self.weak and self.type.is_integer and (decimals or 0) >= 0:
            return self
        if self.weak or (decimals is None and not self.type.is_integer):  # Python's digits
            return round(self.item(), decimals)
        return self.round(decimals or 0)

    # --- dispatch --------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Unshaped) for x in inputs):
            return NotImplemented
        out = kwargs.pop("out", None)
        owners = ownership.owners(out[0]) if out and isinstance(out[0], np.ndarray) else 0
        args = (ufunc, method, inputs, out, owners, kwargs)
        return self.recorder.statement(dispatch.ufunc_call, args, {})

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Unshaped) for kind in types):
            return NotImplemented
        return self.recorder.statement(dispatch.function_call, (function, args, dict(kwargs)), {})

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            method = METHODS[name]
            return lambda *args, **kwargs: self.recorder.statement(
                dispatch.invoke, (f"x.{name}", method, (self, *args), kwargs), {}
            )
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced array has no attribute {name!r}")
        raise misuse.unsupported(f"ndarray.{name} is not supported; {elementwise.nearest(name)}")

    # --- methods that are not functions of the same parameters --------------------------------

    @operation
    def reshape(self, *shape: Any, order: str = "C") -> TracedArray:
        return shapes.reshape(self, shapes.shape_of(*shape), order)

    @operation
    def transpose(self, *axes: Any) -> TracedArray:
        whole = len(axes) == 1 and not isinstance(axes[0], int)
        return shapes.transpose(self, axes[0] if whole else axes or None)

    @operation
    def flatten(self, order: str = "C") -> TracedArray:
        return shapes.ravel(self, order).reshaped_copy((self.size,))

    @operation
    def copy(self, order: str = "C") -> TracedArray:
        return creation.astype(self, self.dtype, order)  # type: ignore[no-any-return]

    @operation
    def fill(self, value: Any) -> None:
        self.__setitem__(..., value)

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> TracedArray:
        return self.copy()

    # --- Python numbers: of values that depend on no argument but the numbers of objects -----

    def _concrete(self, refused: Callable[[], Exception]) -> Any:
        if (found := asked(self)) is None:
            raise refused()
        return found

    def __hash__(self) -> int:
        return hash(self._concrete(misuse.no_hash).item())

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise misuse.no_copy_outside()

    def __bool__(self) -> bool:
        return bool(self._concrete(misuse.no_truth))

    def __float__(self) -> float:
        return float(self._concrete(lambda: misuse.no_number("float")))

    def __int__(self) -> int:
        return int(self._concrete(lambda: misuse.no_number("int")))

    def __complex__(self) -> complex:
        return complex(self._concrete(lambda: misuse.no_number("complex")))

    def __index__(self) -> int:
        return operator.index(self._concrete(misuse.no_index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._concrete(misuse.no_array), dtype)

    def item(self, *args: Any) -> Any:
        return self._concrete(lambda: misuse.no_number("number")).item(*args)

    def tolist(self) -> Any:
        return self._concrete(lambda: misuse.no_number("list")).tolist()

    def __format__(self, spec: str) -> str:
        found = asked(self)
        if found is None and spec:
            raise misuse.no_format()
        return repr(self) if found is None else format(found[()], spec)

    def __contains__(self, item: Any) -> bool:
        return item in self._concrete(misuse.no_truth)
