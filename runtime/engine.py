"""Compile generated source: each kernel by itself, the driver as straight-line LLVM text.

The contract with code generation (`runtime/kernel.py` describes the source):

    module = compile_source(source, specs)
    module.address      address of the C function  int64_t step(void **table)
    module.call(table)  calls it, given the address of a pointer table; the status, 0 = ok

    run_plain(source, table)    the same text as plain Python

Kernels come from this process, from the store, or are translated (`runtime/kernels.py`). Importing
this module imports neither numba nor llvmlite; compiling imports llvmlite.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.record import dataclass
from .ahead import ahead, dropping
from .bundle import DRIVER
from .clock import Clock
from .driver import Callee, translate
from .kernels import Kernel, Origin, compiled, engine, kernel_symbol, kernel_table, lowered
from .making import MAKING
from .modes import DEFAULTS, RunOptions
from .module import NativeModule, load, load_ahead, remembered, written
from .spec import ROUTINES, KernelSpec, routine_symbol
from .store import Store, warn_once

if TYPE_CHECKING:
    from .lowering import Lowered


def compile_source(
    source: str,
    specs: Sequence[KernelSpec],
    options: RunOptions = DEFAULTS,
    *,
    keep: bool = True,
    store: Store | None = None,
) -> NativeModule:
    """Compile a source text and write it to a file named by content in the private source folder,
    where tracebacks and profilers find it. With `keep=False`, and where no file can be written, the
    text is kept in `linecache`, where tracebacks find it too. What is in the `store` is not
    compiled.

    ValueError if the text is not of the form `runtime/kernel.py` describes.
    """
    location = written(source) if keep else remembered(source)
    making = _Making(source, location, _functions(source, location), specs, options)
    with MAKING, dropping():
        try:
            return making.module(store)
        except RuntimeError as error:  # object code that cannot be loaded
            if store is None:
                raise
            warn_once(f"{store.folder}: {error}; compiled again and replaced")
            return making.module(store.without_reading())


@dataclass
class _Making:
    """The way from source to a loaded module."""

    source: str
    path: str
    functions: Mapping[str, ast.FunctionDef]
    specs: Sequence[KernelSpec]
    options: RunOptions

    def module(self, store: Store | None) -> NativeModule:
        """Find or compile the kernels, then link them with the driver."""
        clock, origins = Clock(), Counter[Origin]()
        kernels: dict[str, Kernel] = {}
        new: dict[str, KernelSpec] = {}
        for spec in self.specs:
            symbol = self.symbols[spec.name]
            origin: Origin = "memory"
            if symbol not in kernels and symbol not in new:
                found = kernel_table().find(symbol, store)
                if found is None:
                    new[symbol], origin = spec, "compiled"
                else:
                    kernels[symbol], origin = found
            origins[origin] += 1
        clock.done("cache" if origins["cache"] else "find")
        texts = self._lowered(new, clock)
        driver = self._driver_text({**kernels, **texts})
        kept = None if self.options.ticks else store
        load_ahead(driver, {**kernels, **texts}, kept, clock)
        kernels |= self._compiled(texts, store, clock)
        named = {name: kernels[symbol] for name, symbol in self.symbols.items()}
        linked = load(driver, kernels.values(), kept, self.options, clock)
        return NativeModule(self.source, self.path, named, driver, linked, clock.phases, origins)

    @cached_property
    def symbols(self) -> dict[str, str]:
        """The symbol of each kernel, by its name in the source."""
        lines = self.source.splitlines()
        return {
            spec.name: kernel_symbol(_text(self.functions[spec.name], lines), spec)
            for spec in self.specs
        }

    def _lowered(self, new: Mapping[str, KernelSpec], clock: Clock) -> dict[str, Lowered]:
        """Kernels as LLVM text, by symbol, which other processes may compile from now on."""
        texts: dict[str, Lowered] = {}
        for symbol, spec in new.items():
            texts[symbol] = lowered(symbol, self.functions[spec.name], spec, self.path)
            ahead(texts[symbol].text, texts[symbol].form)
        if new:
            clock.done("lower" if engine() == "direct" else engine())
        return texts

    def _compiled(
        self, texts: Mapping[str, Lowered], store: Store | None, clock: Clock
    ) -> dict[str, Kernel]:
        """Kernels made now, by symbol, and stored."""
        if not texts:
            return {}
        kernels = {symbol: compiled(symbol, text) for symbol, text in texts.items()}
        clock.done("llvm")
        if store is not None:
            for symbol, kernel in kernels.items():
                store.put(store.key(symbol), kernel.pack())
            clock.done("store")
        return kernels

    def _driver_text(self, kernels: Mapping[str, Kernel | Lowered]) -> str:
        """The driver's LLVM text; the kernels are given by symbol."""
        callees = _routine_callees()
        for spec in self.specs:
            symbol = self.symbols[spec.name]
            kernel = kernels[symbol]
            calls = bool(kernel.products or kernel.libraries)
            callees[spec.name] = Callee(symbol, spec.kinds, True, kernel.returns_status, calls)
        others = self.functions.keys() - {DRIVER, *(spec.name for spec in self.specs)}
        chains = {name: f for name, f in self.functions.items() if name in others}
        return translate(self.functions[DRIVER], callees, self.options, chains)


def _functions(source: str, path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(source, path)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _text(function: ast.FunctionDef, lines: Sequence[str]) -> str:
    """The source of a function among the lines of its file."""
    return "\n".join(lines[function.lineno - 1 : function.end_lineno])


def _routine_callees() -> dict[str, Callee]:
    callees = {}
    for routine, layout in ROUTINES.items():
        for dtype in ("f32", "f64"):
            kinds = {"i": "i64", "f": dtype, "p": f"{dtype}*"}
            parameters = tuple(kinds[letter] for letter in layout)
            symbol = routine_symbol(routine, dtype)
            callees[f"{routine}_{dtype}"] = Callee(symbol, parameters, False, uses_pool=True)
    return callees


def run_plain(source: str, table: Sequence[np.ndarray]) -> int:
    """Run the text as plain Python on a table of flat arrays, which it changes; the status.

    Slow: this is how tests (and debuggers) see what generated code does.
    """
    namespace: dict[str, Any] = {}
    exec(compile(source, "<generated>", "exec"), namespace)
    return int(namespace[DRIVER](table))
