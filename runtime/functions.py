"""Elementary functions that long kernels call, compiled once for all of them.

    addresses = export_functions(("exp_f32",), store)

    tapeless.shared.exp_f32                     of a number
    tapeless.vector.shared.exp_f32.16, ...8     of a vector, which LLVM calls in loops it vectorises

`runtime/function_text.py` makes their code; in the store each lies by itself. Importing this module
does not import llvmlite.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from .builder import BITS, KEPT
from .loading import Linked, Made, no_imports, shared
from .store import Store, kept

_REGISTER_BITS: Final = 512
SHARED: Final = "tapeless.shared."


def lane_counts(dtype: str) -> tuple[int, ...]:
    """Elements of the vectors that a function is made for, widest first: a register of its own
    dtype's, and of f64's."""
    return tuple(dict.fromkeys(_REGISTER_BITS // BITS[t] for t in (dtype, "f64")))


def function_symbol(op: str, dtype: str, lanes: int = 0) -> str:
    """The function of vectors of so many elements, or of numbers."""
    return f"{KEPT}shared.{op}_{dtype}.{lanes}" if lanes else f"{SHARED}{op}_{dtype}"


def export_functions(words: Iterable[str], store: Store | None) -> dict[str, int]:
    """The addresses of functions such as "exp_f32" and of their vector forms, by symbol; they stay
    loaded."""
    addresses: dict[str, int] = {}
    for word in words:
        addresses |= _linked(word, store).addresses
    return addresses


def shared_name(word: str) -> str:
    """The name of a function's code among what programs share."""
    return f"function {word}"


def functions_ahead(words: Iterable[str], store: Store | None) -> None:
    """Say that they will be exported: other processes may begin to make them."""
    from .ahead import ahead  # lazily: see below

    for word in words:
        if store is None or not store.has(store.key(*_parts(word))):
            ahead(_text(word), "vectors")


def _parts(word: str) -> tuple[str, ...]:
    return "function", word


@cache
def _text(word: str) -> str:
    from .function_text import function_text  # lazily: a step from the cache does without

    op, _, dtype = word.rpartition("_")
    return function_text(op, dtype)


@cache
def _linked(word: str, store: Store | None) -> Linked:
    op, _, dtype = word.rpartition("_")

    def make() -> bytes:
        from .ahead import made  # lazily: a step from the cache does without

        return made(_text(word), "vectors")

    names = [function_symbol(op, dtype, n) for n in (0, *lane_counts(dtype))]
    return shared(
        shared_name(word),
        store,
        lambda: Made([kept(store, _parts(word), make)], names),
        no_imports,
    )
