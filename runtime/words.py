"""The words of generated code that have one signature each, as LLVM instructions.

    word("exp_f32")     Word(("f32",), "f32", ...): what it takes, what it gives, how it is emitted

Conversions to any of the dtypes (`f32(x)`), `at`, `copy` and `zero` depend on their operands' types
and are the business of whoever reads the source.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Final

from ..ir.record import dataclass
from .builder import Builder, Value
from .builder_lanes import call_vector_function
from .emitters import EMITTERS, PREDICATES
from .kernel import VECTOR_WORDS, VOCABULARY, arity, routine_symbol
from .spec import ROUTINES, SORT_ROUTINES, WINDOW_ROUTINES

_ROUTINES: Final = ROUTINES | WINDOW_ROUTINES | SORT_ROUTINES


@dataclass(frozen=True)
class Word:
    """A function of generated code: the kinds of its operands (`runtime/builder.py`) and of its
    result, None for a routine, and its emitter."""

    operands: tuple[str, ...]
    result: str | None
    emit: Callable[..., Value | None]


@cache
def word(name: str) -> Word | None:
    """The word of a name; None for one of another kind, or none."""
    if name not in VOCABULARY or "_" not in name:
        return None
    if "_from_" in name:
        target, _, source = name.partition("_from_")
        return Word((source,), target, partial(_convert, target))
    op, _, dtype = name.rpartition("_")
    if op == "select":
        return Word(("bool", dtype, dtype), dtype, Builder.select)
    if op in _ROUTINES:
        return Word(routine_operands(op, dtype), None, partial(_call_routine, op, dtype))
    if name in VECTOR_WORDS:
        return Word((dtype,) * arity(op), dtype, partial(call_vector_function, op))
    if op not in EMITTERS:
        return None
    count, emit = EMITTERS[op]
    return Word((dtype,) * count, "bool" if op in PREDICATES else dtype, emit)


def routine_operands(routine: str, dtype: str) -> tuple[str, ...]:
    """The kinds of a routine's operands; flags are i64, as integers are."""
    kinds = {"f": dtype, "i": "i64", "p": f"{dtype}*", "o": "i64*"}
    return tuple(kinds[letter] for letter in _ROUTINES[routine])


def _convert(target: str, b: Builder, x: Value) -> Value:
    return b.convert(x, target)


def _call_routine(routine: str, dtype: str, b: Builder, *operands: Value) -> None:
    """Call the C function that one of the libraries defines."""
    b.call_void(routine_symbol(routine, dtype), *operands)
