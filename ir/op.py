"""The op record: everything the compiler knows about one operation, in one place.

To add an elementwise op, write one record in `ir/ops/functions.py` or a file beside it:

    define(elementwise("tanh", np.tanh, "tanh_{t}({0})", [lambda b, x, y: 1 - y*y], "doc"))

A record holds

- `infer`:     the type rule, operand types and attributes to result types;
- `evaluate`:  the NumPy meaning, which *defines* the op (the interpreter calls it);
- `jacobian`:  the local derivative as a sum of terms (see `ir/jacobian.py`), `ZERO` for an op
               whose value is piecewise constant, or None when no rule exists (asking is an error);
- `scalar`:    for elementwise ops, the expression generated code evaluates per element;
- `attrs`:     the attributes with their defaults, from which text is printed and parsed;
- `samples`:   operands and attributes that the table tests run through every executor.

Structured ops share a `kind`; code generation has one emitter per kind, never one per op.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, overload

from .record import dataclass
from .types import Type

if TYPE_CHECKING:
    from .builder import Builder
    from .graph import Node
    from .jacobian import Axes, Term

Attrs = Mapping[str, Any]
Infer = Callable[[tuple[Type, ...], Attrs], tuple[Type, ...]]
JacobianRule = Callable[["Builder", "Node", int, "Axes"], "Sequence[Term]"]


def _zero(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return ()


ZERO: Final[JacobianRule] = _zero
"""The rule of an op whose value does not change with its operands: no terms."""

REQUIRED: Final = object()
"""The default of an attribute that must be given."""


@dataclass(frozen=True)
class Sample:
    """One call for the table tests: operand types (or arrays) and attributes.

    `low`, `high` bound the random floats drawn for operands given as types; `adjust` makes of the
    array drawn for an operand one that the op accepts (a positive definite matrix).
    """

    operands: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    low: float = -2.0
    high: float = 2.0
    adjust: Mapping[int, Callable[[Any], Any]] = field(default_factory=dict)


class Samples(Sequence[Sample]):
    """Samples that are made when somebody looks: only tests do."""

    def __init__(self, make: Callable[[], Sequence[Sample]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Sequence[Sample]:
        return self._make()

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, k: int) -> Sample: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Sample]: ...
    def __getitem__(self, k: int | slice) -> Sample | Sequence[Sample]:
        return self._made[k]


@dataclass(frozen=True, eq=False)
class Op:
    """One operation of the IR. Identity is equality: there is one record per name."""

    name: str
    kind: str
    infer: Infer
    evaluate: Callable[..., Any]
    doc: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    jacobian: JacobianRule | None = None
    scalar: str | None = None
    samples: Sequence[Sample] = ()
    commutative: bool = False

    @property
    def differentiable(self) -> bool:
        """Whether a derivative can flow through this op."""
        return self.jacobian is not ZERO

    def __repr__(self) -> str:
        return f"Op({self.name})"


_OPS: dict[str, Op] = {}

if TYPE_CHECKING:
    OPS = _OPS
    """The closed registry: `ir.ops` fills it when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name != "OPS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(f"{__package__}.ops")
    return _OPS


def define(op: Op) -> Op:
    """Enter a record into the registry; a name is defined once."""
    if op.name in _OPS:
        raise ValueError(f"op {op.name} is defined twice")
    _OPS[op.name] = op
    return op
