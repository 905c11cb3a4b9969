"""A compiled step in memory, made of the object code of its kernels and of its driver.

    module = load_source(source, driver_text, symbols, store)      what an earlier process compiled
    module.address      address of the C function  int64_t step(void **table)
    module.call(table)  calls it, given the address of a pointer table; the status, 0 = ok

`runtime/engine.py` compiles what is not there yet. Importing this module imports neither numba nor
llvmlite.
"""

from __future__ import annotations

import ctypes
import linecache
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..ir.record import dataclass
from . import functions, libraries, matrix
from .bundle import DRIVER
from .clock import Clock
from .files import keep
from .identity import sha256
from .kernels import Kernel, Origin, kernel_table
from .loading import Linked, assemble, assemble_ahead, link
from .making import MAKING
from .modes import DEFAULTS, RunOptions
from .needs import addresses, needs_of
from .places import source_directory
from .pool import pool_ahead
from .store import Store

if TYPE_CHECKING:
    from .lowering import Lowered


@dataclass(frozen=True, eq=False)
class NativeModule:
    """A compiled step. Its machine code lives as long as this object.

    timings     seconds per phase: "find" the kernels ("cache" if some were stored), "lower" them
                to LLVM text ("numba" if it does), "routines", "llvm", "store", "link". They are
                the caller's, who waits for other processes (`runtime/ahead.py`)
    origins     how many kernels were in "memory", came from the "cache", or were "compiled"
    """

    source: str
    location: str | None
    kernels: Mapping[str, Kernel]
    driver_text: str
    linked: Linked
    timings: Mapping[str, float]
    origins: Mapping[Origin, int]

    @cached_property
    def path(self) -> str:
        """The file the source lies in; that of a step from the cache is looked for when asked."""
        return written(self.source) if self.location is None else self.location

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
    return NativeModule(source, None, kernels, driver_text, linked, clock.phases, origins)


def load(
    text: str,
    kernels: Iterable[Kernel],
    store: Store | None,
    options: RunOptions,
    clock: Clock,
) -> Linked:
    """Load a driver with the kernels it calls that are not loaded yet. RuntimeError if the object
    code cannot be loaded."""
    table = kernel_table()
    distinct = {kernel.symbol: kernel for kernel in kernels}
    found = {symbol: table.address(symbol) for symbol in distinct}
    imports = {symbol: address for symbol, address in found.items() if address is not None}
    new = [kernel for symbol, kernel in distinct.items() if symbol not in imports]
    needs = needs_of(text, new)
    clock.done("link")
    imports |= addresses(needs, store, options)
    clock.done("routines" if needs.calls else "link")
    images = [*(kernel.image for kernel in new), assemble(text, store, "straight")]
    linked = link(images, (DRIVER, *(kernel.symbol for kernel in new)), imports)
    table.add(new, linked)
    clock.done("link")
    return linked


def load_ahead(
    text: str, kernels: Mapping[str, Kernel | Lowered], store: Store | None, clock: Clock
) -> None:
    """Make what `load` will need of a driver with these kernels, by symbol, and some of that in
    other processes, beside the kernels that are not compiled yet."""
    table = kernel_table()
    new = [kernel for symbol, kernel in kernels.items() if table.address(symbol) is None]
    assemble_ahead(text, store, "straight")
    needs = needs_of(text, new)
    if needs.pool:
        pool_ahead(store)
    if needs.functions:
        functions.functions_ahead(needs.functions, store)
    for name in needs.libraries:
        libraries.library_ahead(name, store)
    for dtype, products in needs.products.items():
        matrix.export_routines(dtype, store, products)
    if needs.products:
        clock.done("routines")


def written(source: str) -> str:
    """Put the text where tracebacks, profilers and readers find it; the file's name."""
    try:
        target = os.path.join(source_directory(), f"{_digest(source)}.py")
        keep(target, source.encode())
        return target
    except OSError:
        return remembered(source)


def remembered(source: str) -> str:
    """Keep the text in `linecache`, which tracebacks read too; the name it has there."""
    name = f"<tapeless {_digest(source)}.py>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return name


def _digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()[:16]
