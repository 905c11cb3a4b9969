"""Attributes a step cannot use: in its objects something stands for them that says why.

An object may hold what no step can trace, a generator, a set of weights in another library's type,
and still have steps that do not touch it. So nothing is refused before it is used.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ...ir.errors import TapelessError, TraceError, UnsupportedError
from ..signature import is_generator
from . import source
from .generators import RandomGuard
from .recorder import located


class Refused:
    """Stands for `name`, a value of class `kind` the step sees but must not use."""

    __slots__ = ("_kind", "_name", "_why")

    def __init__(self, name: str, kind: type, why: str) -> None:
        self._name, self._kind, self._why = name, kind, why

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self._kind  # isinstance answers as outside the step

    def __repr__(self) -> str:
        return f"<{self._name}, a {self._kind.__name__}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error()

    def _error(self) -> TapelessError:
        error: TapelessError = UnsupportedError(f"{self._name}: {self._why}")
        if is_generator(self._kind):
            error = TraceError(f"{self._name}: {RandomGuard.message}")
        return located(error, source.user_frame())

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self._error()


_USES = """
    array array_ufunc array_function bool bytes call complex contains delitem enter float format
    getitem index int iter len next reversed setitem
    abs add and divmod floordiv ge gt invert le lshift lt matmul mod mul neg or pos pow radd rand
    rfloordiv rmatmul rmod rmul ror rpow rshift rsub rtruediv rxor sub truediv xor
"""
for _use in _USES.split():
    setattr(Refused, f"__{_use}__", Refused._refuse)


def is_refused(x: object) -> bool:
    """Whether `x` is one (isinstance would believe its `__class__`)."""
    return type(x) is Refused
