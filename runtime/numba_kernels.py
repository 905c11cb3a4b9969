"""One kernel to LLVM text by Numba: the second engine, and the reference for the first.

A kernel is a Python function; Numba infers its types and translates it, and calls a function for
each word it uses (`runtime/intrinsics.py`), whose text is that of `runtime/words.py`. The result
is merged into one module with the convention of `runtime/lowering.py`. Numba also makes machine
code of its part, which is not used. Importing this module imports numba.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from numba.core import compiler, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from ..ir.record import dataclass
from .ahead import host_features
from .builder import Builder, Value, llvm_type, module, quoted
from .intrinsics import numba_type, prepare, word_symbol
from .kernel import VOCABULARY, KernelSpec
from .link import LLVM_LOCK, merged
from .lowering import Lowered, lowered_text
from .making import MAKING, hold_while_forking
from .vector_text import registers
from .vectors import shares_functions
from .words import word

hold_while_forking(MAKING, global_compiler_lock, LLVM_LOCK)


@dataclass(frozen=True)
class NumbaCode:
    """LLVM text that defines `symbol` in Numba's convention: int32 f(result *, error **, ...)."""

    symbol: str
    returns_status: bool
    llvm: str


def lower_by_numba(function: ast.FunctionDef, spec: KernelSpec, symbol: str, path: str) -> Lowered:
    """The LLVM text of a kernel, to be called `symbol`; `path` is the file its source lies in."""
    words = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    words &= VOCABULARY.keys()
    code = _compile(_define(function, path)[spec.name], spec, words)
    machine = registers(host_features())
    shares = shares_functions(function, machine)
    functions = _functions(words, shares=shares, avx512=machine.masked)
    texts = (code.llvm, functions, _entry(code, spec, symbol))
    return lowered_text(merged(texts, symbol), code.returns_status)


def _define(function: ast.FunctionDef, path: str) -> dict[str, Any]:
    """Execute one definition; line numbers are those of the file."""
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(ast.Module([function], []), path, "exec"), namespace)
    return namespace


def _compile(function: Any, spec: KernelSpec, words: Collection[str]) -> NumbaCode:
    with global_compiler_lock:
        prepare(words)
        result = compiler.compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            function,
            tuple(map(numba_type, spec.kinds)),
            None,
            _flags(),
            {},
        )
        text = str(result.library.get_llvm_str())
    returns_status = result.signature.return_type != types.none
    return NumbaCode(result.fndesc.llvm_func_name, returns_status, text)


def _flags() -> Any:
    """Nothing that raises, allocates or touches the interpreter; buffers do not alias."""
    flags = compiler.Flags()
    flags.nrt = False
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.boundscheck = False
    flags.noalias = True
    return flags


def _functions(words: Collection[str], *, shares: bool, avx512: bool) -> str:
    """The functions that Numba's code calls for words; `shares` and `avx512` as in `Builder`."""
    symbols: dict[str, str] = {}
    texts = []
    for name in sorted(words):
        found = word(name)
        if found is None:
            continue
        b = Builder(symbols, shares=shares, avx512=avx512)
        b.attributes["alwaysinline"] = None
        parameters = [Value(kind, f"%x{i}") for i, kind in enumerate(found.operands)]
        b.ret(found.emit(b, *parameters))
        result = "void" if found.result is None else llvm_type(found.result)
        texts.append(b.function("", result, word_symbol(name), [x.typed for x in parameters]))
    return module(symbols, *texts)


def _entry(code: NumbaCode, spec: KernelSpec, symbol: str) -> str:
    """The function that has the kernel's own parameters."""
    kinds = [llvm_type(kind) for kind in spec.kinds]
    inner, arguments = quoted(code.symbol), [f"{kind} %x{i}" for i, kind in enumerate(kinds)]
    parameters = ", ".join(x.replace("ptr", "ptr noalias") for x in arguments)
    status = "%status = load i64, ptr %result\n  ret i64 %status"
    return f"""
declare i32 @{inner}({", ".join(["ptr", "ptr", *kinds])})
define {"i64" if code.returns_status else "void"} @{symbol}({parameters}) {{
  %result = alloca i64
  %error = alloca ptr
  call i32 @{inner}({", ".join(["ptr %result", "ptr %error", *arguments])})
  {status if code.returns_status else "ret void"}
}}"""
