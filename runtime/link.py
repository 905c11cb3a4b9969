"""LLVM text to object code, and to machine code in this process.

    image = object_code(text, "optimised")       object code of text that is to be optimised
    image = object_code(text)                    of text that needs no passes
    image = object_code(text, "straight")        made quickly, of text that runs straight through

What of this can be done without llvmlite is in `runtime/loading.py`; importing this module imports
it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from llvmlite import binding as llvm
from llvmlite.binding import ffi

from .host import prepare, target_head, target_machine, tuning
from .llvm_process import PASSES
from .loading import Linked, assemble, link
from .making import MAKING, hold_while_forking

if TYPE_CHECKING:
    from .loading import Form

__all__ = [
    "LLVM_LOCK",
    "Linked",
    "add_symbol",
    "assemble",
    "assembly",
    "link",
    "link_by_llvm",
    "merged",
    "object_code",
    "optimised",
    "parsed",
]

LLVM_LOCK: Final = ffi.lib._lock

hold_while_forking(MAKING, LLVM_LOCK)


@cache
def _jit() -> Any:
    prepare()
    return llvm.create_lljit_compiler()


_numbers = itertools.count()


def link_by_llvm(
    images: Iterable[bytes], exports: Iterable[str], imports: Mapping[str, int]
) -> Linked:
    """What `link` does, for object code of any form and on any system."""
    jit = _jit()
    builder = llvm.JITLibraryBuilder()
    for image in images:
        builder.add_object_img(image)
    builder.add_current_process()
    for symbol, address in imports.items():
        builder.import_symbol(symbol, address)
    names = tuple(exports)
    for symbol in names:
        builder.export_symbol(symbol)
    tracker = builder.link(jit, f"tapeless.{next(_numbers)}")
    return Linked({symbol: tracker[symbol] for symbol in names}, tracker)


def object_code(text: str, form: Form = "loops") -> bytes:
    """The object code of LLVM text. RuntimeError if LLVM refuses it."""
    module = optimised(text, form) if form in PASSES else parsed(text)
    return bytes(target_machine(0 if form == "straight" else 3).emit_object(module))


def optimised(text: str, form: Form = "optimised") -> Any:
    """The module of LLVM text after the passes of its form."""
    module = parsed(target_head() + text)
    builder = llvm.create_pass_builder(target_machine(), tuning())
    vectors = form == "vectors"
    passes = llvm.create_new_module_pass_manager() if vectors else builder.getModulePassManager()
    for name in PASSES[form]:
        getattr(ffi.lib, f"LLVMPY_module_Add{name}Pass")(passes)
    passes.run(module, builder)
    return module


def merged(texts: Iterable[str], symbol: str) -> str:
    """Modules as one, of which only `symbol` is seen; the other functions it calls become part of
    it."""
    module, *others = map(parsed, texts)
    for other in others:
        module.link_in(other)
    for value in itertools.chain(module.functions, module.global_variables):
        if not (value.is_declaration or value.name == symbol or value.name.startswith("llvm.")):
            value.linkage = "internal"
    return str(module)


def assembly(module: Any) -> str:
    """The assembly of a module on this machine."""
    return str(target_machine().emit_assembly(module))


def parsed(text: str) -> Any:
    """The module of LLVM text."""
    return llvm.parse_assembly(text)


def add_symbol(symbol: str, address: int) -> None:
    """Let code compiled by Numba call `symbol`."""
    llvm.add_symbol(symbol, address)
