"""LLVM text to object code, and to machine code in this process.

    image = compile_text(text)               object code of text that is to be optimised
    image = object_code(text)                of text that needs no passes
    image = object_code(text, loops=False)   made quickly, of text that runs straight through

What of this can be done without llvmlite is in `runtime/loading.py`; importing this module imports
it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from llvmlite import binding as llvm
from llvmlite.binding import ffi

from .loading import Linked, assemble, link
from .making import MAKING, hold_while_forking

__all__ = [
    "LLVM_LOCK",
    "Linked",
    "add_symbol",
    "assemble",
    "assembly",
    "compile_text",
    "host_features",
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
    _prepare()
    return llvm.create_lljit_compiler()


@cache
def _prepare() -> None:
    """Make this machine known to LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


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


def object_code(text: str, *, loops: bool = True) -> bytes:
    """The object code of LLVM text as it stands; `loops` says that its speed matters."""
    return _object_code(parsed(text), _target_machine(3 if loops else 0))


def compile_text(text: str) -> bytes:
    """The object code of LLVM text after LLVM's passes."""
    return _object_code(optimised(text), _target_machine())


def optimised(text: str) -> Any:
    """The module of LLVM text after LLVM's passes."""
    module = parsed(_target_head() + text)
    builder = llvm.create_pass_builder(_target_machine(), _tuning())
    builder.getModulePassManager().run(module, builder)
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
    return str(_target_machine().emit_assembly(module))


def parsed(text: str) -> Any:
    """The module of LLVM text."""
    return llvm.parse_assembly(text)


def host_features() -> Mapping[str, bool]:
    """The features of this processor, in LLVM's names."""
    features: Mapping[str, bool] = llvm.get_host_cpu_features()
    return features


def add_symbol(symbol: str, address: int) -> None:
    """Let code compiled by Numba call `symbol`."""
    llvm.add_symbol(symbol, address)


def _object_code(module: Any, machine: Any) -> bytes:
    return bytes(machine.emit_object(module))


@cache
def _target_machine(level: int = 3) -> Any:
    """This machine, as LLVM sees it; what it emits, with so much care, may be loaded anywhere."""
    _prepare()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=level, reloc="pic", codemodel="small"
    )


@cache
def _target_head() -> str:
    """The start of a text that is to be optimised: sizes and alignments on this machine."""
    machine = _target_machine()
    return f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n'


@cache
def _tuning() -> Any:
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization, tuning.slp_vectorization = True, False
    return tuning
