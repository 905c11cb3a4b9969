"""LLVM text to machine code in this process, without Numba.

Importing this module imports llvmlite. Text given here is straight-line or already optimised: it
goes through code generation only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding as llvm


@dataclass(frozen=True)
class Linked:
    """Machine code; it lives as long as this object."""

    addresses: Mapping[str, int]
    tracker: Any


@cache
def _jit() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler()


_numbers = itertools.count()


def link(text: str, exports: tuple[str, ...], imports: Mapping[str, int]) -> Linked:
    """Compile LLVM text; `imports` gives the addresses of the symbols it declares."""
    jit = _jit()
    builder = llvm.JITLibraryBuilder().add_ir(text)
    for symbol, address in imports.items():
        builder.import_symbol(symbol, address)
    for symbol in exports:
        builder.export_symbol(symbol)
    tracker = builder.link(jit, f"tapeless.{next(_numbers)}")
    return Linked({symbol: tracker[symbol] for symbol in exports}, tracker)


def assembly(text: str) -> str:
    """The assembly of LLVM text on this machine."""
    _jit()
    module = llvm.parse_assembly(text)
    return str(target_machine().emit_assembly(module))


@cache
def target_machine() -> Any:
    """This machine, as LLVM sees it."""
    _jit()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2)


def add_symbol(symbol: str, address: int) -> None:
    """Let code compiled by Numba call `symbol`."""
    llvm.add_symbol(symbol, address)
