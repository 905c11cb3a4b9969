"""One Python function to machine code, by Numba.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite.binding import ffi
from numba.core import compiler, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu_options import FastMathOptions
from numba.core.registry import cpu_target

from .intrinsics import prepare
from .making import MAKING, hold_while_forking

hold_while_forking(MAKING, global_compiler_lock, ffi.lib._lock)


@dataclass(frozen=True, eq=False)
class CompiledFunction:
    """Machine code with Numba's calling convention: int32 f(result *, error **, operands...)."""

    symbol: str
    address: int
    returns_status: bool
    library: Any  # owns the machine code

    def llvm(self) -> str:
        return str(self.library.get_llvm_str())

    def asm(self) -> str:
        return str(self.library.get_asm_str())


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
) -> CompiledFunction:
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
        symbol = result.fndesc.llvm_func_name
        address = result.library.get_pointer_to_function(symbol)
    returns_status = result.signature.return_type != types.none
    return CompiledFunction(symbol, address, returns_status, result.library)
