"""One Python function to optimised LLVM text, by Numba.

Numba also makes machine code of it, which is not used: what runs is made of this text by
`runtime/link.py`, so that a step has the same bits whether it was just compiled or comes from the
cache. Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numba.core import compiler, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu_options import FastMathOptions
from numba.core.registry import cpu_target

from .intrinsics import prepare
from .link import LLVM_LOCK
from .making import MAKING, hold_while_forking

hold_while_forking(MAKING, global_compiler_lock, LLVM_LOCK)


@dataclass(frozen=True)
class NumbaCode:
    """LLVM text that defines `symbol` in Numba's convention: int32 f(result *, error **, ...)."""

    symbol: str
    returns_status: bool
    llvm: str


def _flags() -> Any:
    """Nothing that raises, allocates or touches the interpreter; buffers do not alias.

    `contract` lets a product and a sum become one FMA, which rounds less; every other freedom
    would lose NaN, infinities or signed zeros.
    """
    flags = compiler.Flags()
    flags.nrt = False
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.boundscheck = False
    flags.noalias = True
    flags.fastmath = FastMathOptions({"contract"})
    return flags


def compile_function(
    function: Callable[..., Any], operands: Sequence[Any], words: Iterable[str]
) -> NumbaCode:
    """Compile `function` for operands of the given Numba types; `words` are the names of the
    vocabulary it uses. It returns nothing or an int64."""
    with global_compiler_lock:
        prepare(words)
        result = compiler.compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            function,
            tuple(operands),
            None,
            _flags(),
            {},
        )
        text = str(result.library.get_llvm_str())
    returns_status = result.signature.return_type != types.none
    return NumbaCode(result.fndesc.llvm_func_name, returns_status, text)
