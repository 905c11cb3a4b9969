"""NumPy for steps: `from tapeless import numpy as np`.

Outside a trace every name here does what NumPy's does: the call goes through to it. Inside, it
also does what plain `import numpy as np` cannot, because NumPy asks no traced array there:

- arrays made in the step are arrays of the step, so that traced values can be written into them and
  index them: `h = np.zeros((3, 4)); h[:, t] = x`, `np.eye(k)[labels]`, `np.asarray(C)[i]`;
- lists of traced values: `np.array([a, b])`, `np.sum([a, b])`, `np.c_[a, b]`, `np.r_[a, 0, b]`;
- conversions by a scalar type: `np.float32(x)`.

What a trace does not know raises an error that says what to write instead. Arrays made in the step
without traced values are constants: their elements still convert to Python numbers.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, Final

import numpy

from ..compiler.active import active
from ..compiler.tracing import assembly, creation, dispatch
from ..compiler.tracing.generators import DRAW_OTHERWISE
from ..compiler.tracing.promotion import holds_traced
from ..compiler.tracing.recorder import Recorder
from ..ir.errors import TraceError
from ..ir.types import DTYPES

CREATED: Final[frozenset[Any]] = frozenset({
    numpy.arange, numpy.array, numpy.asanyarray, numpy.asarray, numpy.ascontiguousarray,
    numpy.copy, numpy.empty, numpy.empty_like, numpy.eye, numpy.full, numpy.full_like,
    numpy.geomspace, numpy.identity, numpy.linspace, numpy.logspace, numpy.ones, numpy.ones_like,
    numpy.tri, numpy.zeros, numpy.zeros_like,
})  # fmt: skip
"""Functions whose result is an array of the step even when their arguments are concrete."""

GENERATORS: Final = frozenset({"default_rng", "get_state"})
"""Functions of np.random that draw nothing."""


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function; inside a trace what stands in for it, if a traced array is involved."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            return function(*args, **kwargs)
        kwargs.pop("like", None)
        if any(map(holds_traced, (*args, *kwargs.values()))):
            return recorder.statement(dispatch.function_call, (function, args, kwargs), {})
        if function in CREATED:
            return _created(recorder, function, args, kwargs)
        return function(*args, **kwargs)

    return call


def _created(recorder: Recorder, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The array NumPy makes, as an array of the step if the step can hold it."""
    made = function(*args, **kwargs)
    if not isinstance(made, numpy.ndarray) or made.dtype not in DTYPES.values():
        return made
    if function in (numpy.empty, numpy.empty_like):
        made.fill(0)
    given = [x for x in (*args, *kwargs.values()) if isinstance(x, numpy.ndarray)]
    borrowed = any(numpy.may_share_memory(made, x) for x in given)
    return recorder.statement(creation.lifted, (made, borrowed), {})


class ScalarType(type):
    """A NumPy scalar type that also converts traced values. It counts as NumPy's own in
    `isinstance`, `issubclass` and wherever a dtype is expected."""

    dtype: numpy.dtype

    def __call__(cls, value: Any = 0) -> Any:
        if holds_traced(value):
            recorder = active()
            assert recorder is not None
            return recorder.statement(creation.converted, (value, cls.dtype), {})
        return cls.dtype.type(value)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.dtype.type)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.dtype.type)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.dtype.type

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __repr__(cls) -> str:
        return repr(cls.dtype.type)


def _scalar_type(scalar: type) -> type:
    return ScalarType(
        scalar.__name__, (), {"dtype": numpy.dtype(scalar), "__doc__": scalar.__doc__}
    )


def _drawing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of np.random: an error inside a trace, where it would draw only once."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if active() is not None:
            raise TraceError(
                f"np.random.{function.__name__} is called inside the step; its numbers would be"
                f" the same in every call. Instead {DRAW_OTHERWISE}"
            )
        return function(*args, **kwargs)

    return call


class Joiner:
    """np.r_ and np.c_: index expressions that join arrays, traced ones too."""

    def __init__(self, own: Any, axis: int) -> None:
        self._own = own
        self._axis = axis

    def __getitem__(self, key: Any) -> Any:
        recorder = active()
        if recorder is None or not holds_traced(key):
            return self._own[key]
        items = key if isinstance(key, tuple) else (key,)
        parts = [self._own[item] if isinstance(item, slice) else item for item in items]
        return recorder.statement(assembly.joined, (parts, self._axis), {})


class Namespace:
    """A module of NumPy's as a step sees it; names are looked up when they are used."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        self.__doc__ = module.__doc__

    def __getattr__(self, name: str) -> Any:
        found = self._wrapped(name, getattr(self._module, name))
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return dir(self._module)

    def __repr__(self) -> str:
        return f"<{self._module.__name__} for steps>"

    def _wrapped(self, name: str, found: Any) -> Any:
        if isinstance(found, types.ModuleType):
            return Namespace(found) if found.__name__ in WRAPPED else found
        if isinstance(found, type):
            own = issubclass(found, numpy.generic) and found in SCALARS
            return _scalar_type(found) if own else found
        if self._module is numpy.random:
            return _drawing(found) if callable(found) and name not in GENERATORS else found
        if found is numpy.r_ or found is numpy.c_:
            return Joiner(found, 0 if found is numpy.r_ else 1)
        if callable(found) and not isinstance(found, numpy.ufunc):
            return _function(found)
        return found


SCALARS: Final = frozenset(dtype.type for dtype in DTYPES.values())
WRAPPED: Final = frozenset(
    f"numpy.{name}" for name in ("fft", "lib", "lib.stride_tricks", "linalg", "random")
)

_main: Final = Namespace(numpy)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # what Python itself asks a module for
        raise AttributeError(name)
    return getattr(_main, name)


def __dir__() -> list[str]:
    return dir(numpy)
