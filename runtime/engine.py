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
import ctypes
import linecache
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from ..ir.record import dataclass
from .clock import Clock
from .driver import Callee, translate
from .files import keep
from .functions import export_functions
from .identity import sha256
from .kernel import ROUTINES, KernelSpec, routine_dtypes, routine_symbol
from .kernels import Kernel, Origin, compiled, engine, kernel_symbol, kernel_table, lowered
from .loading import Linked, assemble, link
from .making import MAKING
from .matrix import export_routines
from .modes import DEFAULTS, RunOptions
from .places import source_directory
from .pool import export_pool, thread_cell, thread_count
from .store import Store, warn_once

DRIVER: Final = "step"
"""The function of generated source that calls the others."""


@dataclass(frozen=True, eq=False)
class NativeModule:
    """A compiled step. Its machine code lives as long as this object.

    timings     seconds per phase: "find" the kernels ("cache" if some were stored), "lower" them
                to LLVM text ("numba" if it does), "llvm", "store", "routines", "link"
    origins     how many kernels were in "memory", came from the "cache", or were "compiled"
    """

    source: str
    path: str
    kernels: Mapping[str, Kernel]
    driver_text: str
    linked: Linked
    timings: Mapping[str, float] = field(default_factory=dict)
    origins: Mapping[Origin, int] = field(default_factory=dict)

    @property
    def address(self) -> int:
        """The C function `int64_t step(void **table)`; keep this object while calling it."""
        return self.linked.addresses[DRIVER]

    @cached_property
    def call(self) -> Callable[[int], int]:
        """The step as a Python function of the table's address. It keeps the GIL: matrix products
        change OpenBLAS's thread count for a moment, and Ctrl-C waits for the end of the step."""
        function = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.address)
        function.machine_code = self.linked  # type: ignore[attr-defined]  # keeps it loaded
        return function

    def llvm(self) -> str:
        """LLVM text: each distinct kernel after its passes, then the driver."""
        return "\n".join([*(k.llvm() for k in self._distinct()), self.driver_text])

    def asm(self) -> str:
        """Assembly of the same, for this machine."""
        from .link import assembly, parsed  # lazily: llvmlite

        driver = assembly(parsed(self.driver_text))
        return "\n".join([*(k.asm() for k in self._distinct()), driver])

    def _distinct(self) -> Iterable[Kernel]:
        return {kernel.symbol: kernel for kernel in self.kernels.values()}.values()


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
    location = _write(source) if keep else _remember(source)
    making = _Making(source, location, _functions(source, location), specs, options)
    with MAKING:
        try:
            return making.module(store)
        except RuntimeError as error:  # object code that cannot be loaded
            if store is None:
                raise
            warn_once(f"{store.folder}: {error}; compiled again and replaced")
            return making.module(replace(store, reads=False))


def load_source(
    source: str,
    driver_text: str,
    symbols: Mapping[str, str],
    store: Store,
    options: RunOptions = DEFAULTS,
) -> NativeModule | None:
    """The module of a source that was compiled before, found by the symbols of its kernels and the
    driver's LLVM text: the source is not even read. None if a kernel is not there any more."""
    clock = Clock()
    location = _write(source)
    kernels: dict[str, Kernel] = {}
    origins: Counter[Origin] = Counter()
    with MAKING:
        for name, symbol in symbols.items():
            found = kernel_table().find(symbol, store)
            if found is None:
                return None
            kernels[name], origin = found
            origins[origin] += 1
        clock.done("cache")
        try:
            linked = load(driver_text, kernels.values(), store, options, clock)
        except RuntimeError:  # `compile_source` finds out what cannot be loaded
            return None
    return NativeModule(source, location, kernels, driver_text, linked, clock.phases, origins)


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
        symbols = self._symbols()
        kernels: dict[str, Kernel] = {}
        new: dict[str, KernelSpec] = {}
        for spec in self.specs:
            symbol = symbols[spec.name]
            origin: Origin = "memory"
            if symbol not in kernels and symbol not in new:
                found = kernel_table().find(symbol, store)
                if found is None:
                    new[symbol], origin = spec, "compiled"
                else:
                    kernels[symbol], origin = found
            origins[origin] += 1
        clock.done("cache" if origins["cache"] else "find")
        kernels |= self._compiled(new, store, clock)
        named = {spec.name: kernels[symbols[spec.name]] for spec in self.specs}
        text = self._driver_text(named)
        kept = None if self.options.ticks else store
        linked = load(text, named.values(), kept, self.options, clock)
        return NativeModule(self.source, self.path, named, text, linked, clock.phases, origins)

    def _symbols(self) -> dict[str, str]:
        """The symbol of each kernel, by its name in the source."""
        lines = self.source.splitlines()
        return {
            spec.name: kernel_symbol(_text(self.functions[spec.name], lines), spec)
            for spec in self.specs
        }

    def _compiled(
        self, new: Mapping[str, KernelSpec], store: Store | None, clock: Clock
    ) -> dict[str, Kernel]:
        """Kernels made now, by symbol, and stored."""
        if not new:
            return {}
        texts = {
            symbol: lowered(symbol, self.functions[spec.name], spec, self.path)
            for symbol, spec in new.items()
        }
        clock.done("lower" if engine() == "direct" else engine())
        kernels = {symbol: compiled(symbol, text) for symbol, text in texts.items()}
        clock.done("llvm")
        if store is not None:
            for symbol, kernel in kernels.items():
                store.put(store.key(symbol), kernel.pack())
            clock.done("store")
        return kernels

    def _driver_text(self, kernels: Mapping[str, Kernel]) -> str:
        callees = _routine_callees()
        for spec in self.specs:
            kernel = kernels[spec.name]
            callees[spec.name] = Callee(
                kernel.symbol, spec.kinds, True, kernel.returns_status, bool(kernel.routines)
            )
        return translate(self.functions[DRIVER], callees, self.options)


def load(
    text: str,
    kernels: Iterable[Kernel],
    store: Store | None,
    options: RunOptions,
    clock: Clock,
) -> Linked:
    """Load a driver with the kernels it calls that are not loaded yet. RuntimeError if the object
    code cannot be loaded."""
    threads, table = thread_count(options.threads), kernel_table()
    distinct = {kernel.symbol: kernel for kernel in kernels}
    addresses = {symbol: table.address(kernel) for symbol, kernel in distinct.items()}
    imports = {symbol: address for symbol, address in addresses.items() if address is not None}
    new = [kernel for symbol, kernel in distinct.items() if symbol not in imports]
    dtypes = {*routine_dtypes(text), *(name for kernel in new for name in kernel.routines)}
    functions = dict.fromkeys(word for kernel in new for word in kernel.functions)
    if dtypes or functions:
        clock.done("link")
        for dtype in dtypes:
            imports |= export_routines(dtype, store)
        imports |= export_functions(functions, store)
        clock.done("routines")
    if "@tapeless_threads" in text:
        imports |= export_pool(store)
        imports["tapeless_threads"] = ctypes.addressof(thread_cell(threads))
    images = [*(kernel.image for kernel in new), assemble(text, store)]
    linked = link(images, (DRIVER, *(kernel.symbol for kernel in new)), imports)
    table.add(new, linked)
    clock.done("link")
    return linked


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


def _write(source: str) -> str:
    """Put the text where tracebacks, profilers and readers find it; the file's name."""
    try:
        target = os.path.join(source_directory(), f"{_digest(source)}.py")
        keep(target, source.encode())
        return target
    except OSError:
        return _remember(source)


def _remember(source: str) -> str:
    """Keep the text in `linecache`, which tracebacks read too; the name it has there."""
    name = f"<tapeless {_digest(source)}.py>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return name


def _digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()[:16]


def run_plain(source: str, table: Sequence[np.ndarray]) -> int:
    """Run the text as plain Python on a table of flat arrays, which it changes; the status.

    Slow: this is how tests (and debuggers) see what generated code does.
    """
    namespace: dict[str, Any] = {}
    exec(compile(source, "<generated>", "exec"), namespace)
    return int(namespace[DRIVER](table))
