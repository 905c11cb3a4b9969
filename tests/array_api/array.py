"""The array of the namespace: a NumPy array whose every operation is traced and run as a step."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from . import execution
from .standard import ARITHMETIC_OPERATORS, COMPARISONS, UNARY_OPERATORS


class Array:
    """An eager array. Only reading its elements as Python numbers does without a trace."""

    __slots__ = ("_data",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: np.ndarray) -> None:
        self._data = data

    def __repr__(self) -> str:
        return repr(self._data).replace("array(", "Array(", 1)

    # --- attributes ------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def T(self) -> Any:
        if self.ndim != 2:
            raise ValueError("x.T needs two dimensions; use x.mT or permute_dims")
        return step(lambda x: x.T, self)

    @property
    def mT(self) -> Any:
        return step(lambda x: x.mT, self)

    # --- indexing --------------------------------------------------------------------------

    def __getitem__(self, key: Any, /) -> Any:
        if holds_mask(key):
            return wrapped(self._data[bare(key)].copy())  # its shape depends on the data
        return step(operator.getitem, self, key)

    def __setitem__(self, key: Any, value: Any, /) -> None:
        step(operator.setitem, self, key, value)

    def __len__(self) -> int:
        return len(self._data)

    # --- Python numbers, exchange ------------------------------------------------------------

    def __bool__(self, /) -> bool:
        return bool(self._scalar())

    def __int__(self, /) -> int:
        return int(self._scalar())

    def __float__(self, /) -> float:
        return float(self._scalar())

    def __complex__(self, /) -> complex:
        return complex(self._scalar())

    def __index__(self, /) -> int:
        return operator.index(self._scalar())

    def _scalar(self) -> Any:
        if self.ndim:
            raise TypeError(f"an array of shape {self.shape} is not a number")
        return self._data[()]

    def __dlpack__(self, /, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self, /) -> Any:
        return self._data.__dlpack_device__()

    def to_device(self, device: Any, /, *, stream: Any = None) -> Array:
        if device != "cpu" or stream is not None:
            raise ValueError(f"no device {device!r}; there is only 'cpu', without streams")
        return self

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        from . import namespace  # which imports this module

        if api_version not in (None, *namespace.VERSIONS):
            raise ValueError(f"version {api_version!r} of the standard is not known")
        return namespace


def step(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """A call as a step; arrays in its result as `Array`."""
    return wrapped(execution.run(function, args, kwargs))


def wrapped(result: Any) -> Any:
    """NumPy arrays in a result as `Array`."""
    if isinstance(result, (np.ndarray, np.generic)):
        return Array(np.asarray(result))
    if isinstance(result, (list, tuple)):
        items = [wrapped(item) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def bare(x: Any) -> Any:
    """`Array`s in `x` as NumPy arrays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(bare, x))
    return x._data if isinstance(x, Array) else x


def holds_mask(key: Any) -> bool:
    """Whether a Boolean array selects: a read whose shape depends on the data."""
    return any(
        isinstance(item, Array) and item.dtype == np.bool_
        for item in (key if isinstance(key, tuple) else (key,))
    )


NUMBERS = (bool, int, float)


def _unary(name: str) -> Any:
    operation = getattr(operator, name)

    def method(self: Array, /) -> Any:
        return step(operation, self)

    return method


def _binary(operation: Any) -> Any:
    def method(self: Array, other: Any, /) -> Any:
        if not isinstance(other, (Array, *NUMBERS)):
            return NotImplemented
        return step(operation, self, other)

    return method


def _swapped(operation: Any) -> Any:
    return lambda x, y: operation(y, x)


def _in_place(operation: Any) -> Any:
    def method(self: Array, other: Any, /) -> Any:
        if not isinstance(other, (Array, *NUMBERS)):
            return NotImplemented

        def written(x: Any, y: Any) -> None:
            before = x
            x = operation(x, y)
            assert x is before, "an in-place operator made a new array"

        step(written, self, other)
        return self

    return method


def _define(name: str, method: Any) -> None:
    method.__name__ = name
    method.__qualname__ = f"Array.{name}"
    setattr(Array, name, method)


for _name in UNARY_OPERATORS:
    _define(_name, _unary(_name))
for _name in COMPARISONS:
    _define(_name, _binary(getattr(operator, _name)))
for _name in ARITHMETIC_OPERATORS:
    _operation = getattr(operator, _name)
    _define(_name, _binary(_operation))
    _define(f"__r{_name[2:]}", _binary(_swapped(_operation)))
    _define(f"__i{_name[2:]}", _in_place(getattr(operator, f"__i{_name[2:]}")))
