"""LLVM text to object code to machine code in this process, without Numba.

    image = assemble(text, store)            object code, from the store if it was made before
    linked = link([image], ("step",), {"k0": address})

Text given here is straight-line or already optimised: it goes through code generation only. What
runs always comes from object code, so it has the same bits fresh and from the store. Importing this
module imports llvmlite.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from llvmlite import binding as llvm
from llvmlite.binding import ffi

from .making import MAKING, hold_while_forking
from .store import Store

LLVM_LOCK: Final = ffi.lib._lock

hold_while_forking(MAKING, LLVM_LOCK)


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


def link(images: Iterable[bytes], exports: Iterable[str], imports: Mapping[str, int]) -> Linked:
    """Load object code; `imports` gives the addresses of the symbols it takes from elsewhere, the
    C library's excepted. RuntimeError if it cannot be loaded."""
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


def assemble(text: str, store: Store | None) -> bytes:
    """The object code of LLVM text."""
    if store is None:
        return _object_code(_parse(text))
    key = store.key("llvm", text)
    image = store.get(key)
    if image is None:
        image = _object_code(_parse(text))
        store.put(key, image)
    return image


def assemble_as(name: str, symbol: str, text: str) -> tuple[bytes, str]:
    """The object code and the text of LLVM text whose function `symbol` is called `name`; whatever
    else it defines is its own."""
    module = _parse(text)
    module.get_function(symbol).name = name
    for value in itertools.chain(module.functions, module.global_variables):
        if not value.is_declaration and value.name != name:
            value.linkage = "internal"
    renamed = str(module)
    return _object_code(module), renamed


def assembly(text: str) -> str:
    """The assembly of LLVM text on this machine."""
    return str(_target_machine().emit_assembly(_parse(text)))


def host_features() -> Mapping[str, bool]:
    """The features of this processor, in LLVM's names."""
    features: Mapping[str, bool] = llvm.get_host_cpu_features()
    return features


def add_symbol(symbol: str, address: int) -> None:
    """Let code compiled by Numba call `symbol`."""
    llvm.add_symbol(symbol, address)


def _parse(text: str) -> Any:
    _jit()
    return llvm.parse_assembly(text)


def _object_code(module: Any) -> bytes:
    return bytes(_target_machine().emit_object(module))


@cache
def _target_machine() -> Any:
    """This machine, as LLVM sees it; what it emits may be loaded anywhere."""
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic", codemodel="small"
    )
