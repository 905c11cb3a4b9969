"""Compile generated source: kernels by Numba, the driver as straight-line LLVM text.

The contract with code generation (`runtime/kernel.py` describes the source):

    module = compile_source(source, path, specs, driver="step")
    module.address      address of the C function  int64_t step(void **table)
    module.call(table)  calls it, given the address of a pointer table; the status, 0 = ok

    run_plain(source, table, driver="step")     the same text as plain Python

A kernel is compiled once per process: two that differ only in names share machine code, and so do
all layers of a network that have the same form. Importing this module imports neither numba nor
llvmlite; compiling does.
"""

from __future__ import annotations

import ast
import ctypes
import hashlib
import linecache
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .canonical import canonical
from .driver import Callee, translate
from .kernel import ROUTINES, VOCABULARY, KernelSpec, routine_symbol
from .making import MAKING
from .places import source_directory

if TYPE_CHECKING:
    from .link import Linked
    from .numba_kernels import CompiledFunction


@dataclass(frozen=True, eq=False)
class NativeModule:
    """A compiled step. Its machine code lives as long as this object.

    timings     seconds per part: "kernels" and "driver"
    reused      how many kernels had been compiled before in this process
    """

    source: str
    path: str
    kernels: Mapping[str, CompiledFunction]
    driver_name: str
    driver_text: str
    linked: Linked
    timings: Mapping[str, float] = field(default_factory=dict)
    reused: int = 0

    @property
    def address(self) -> int:
        """The C function `int64_t step(void **table)`; keep this object while calling it."""
        return self.linked.addresses[self.driver_name]

    @cached_property
    def call(self) -> Callable[[int], int]:
        """The step as a Python function of the table's address. It keeps the GIL: matrix products
        change OpenBLAS's thread count for a moment, and Ctrl-C waits for the end of the step."""
        function = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.address)
        function.machine_code = self.linked  # type: ignore[attr-defined]  # keeps it loaded
        return function

    def llvm(self) -> str:
        """LLVM text: each distinct kernel as optimised by Numba, then the driver."""
        return "\n".join([*(k.llvm() for k in self._distinct()), self.driver_text])

    def asm(self) -> str:
        """Assembly of the same, for this machine."""
        from .link import assembly  # lazily: llvmlite

        return "\n".join([*(k.asm() for k in self._distinct()), assembly(self.driver_text)])

    def _distinct(self) -> Iterable[CompiledFunction]:
        return {kernel.symbol: kernel for kernel in self.kernels.values()}.values()


class KernelStore:
    """The kernels compiled in this process, by canonical source and buffer types."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, KernelSpec], CompiledFunction] = {}

    def get(
        self, function: ast.FunctionDef, spec: KernelSpec, path: str
    ) -> tuple[CompiledFunction, bool]:
        """The compiled kernel, and whether it was there already."""
        key = canonical(function), KernelSpec("", spec.buffers, spec.extents)
        with MAKING:
            if key in self._compiled:
                return self._compiled[key], True
            self._compiled[key] = _compile_kernel(function, spec, path)
            return self._compiled[key], False


@cache
def kernel_store() -> KernelStore:
    """The store of this process."""
    return KernelStore()


def _compile_kernel(function: ast.FunctionDef, spec: KernelSpec, path: str) -> CompiledFunction:
    from .intrinsics import NUMBA, BufferType  # lazily: numba
    from .numba_kernels import compile_function
    from .routines import export_routines

    count = len(function.args.args)
    if count != len(spec.buffers) + spec.extents:
        raise ValueError(f"kernel {spec.name} has {count} parameters, its spec says otherwise")
    words = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    words &= VOCABULARY.keys()
    if any(word.rpartition("_")[0] in ROUTINES for word in words):
        export_routines()
    buffers = [BufferType(NUMBA[name]) for name in spec.buffers]
    compiled = _define(function, path)[spec.name]
    return compile_function(compiled, buffers + [NUMBA["i64"]] * spec.extents, words)


def _define(function: ast.FunctionDef, path: str) -> dict[str, Any]:
    """Execute one definition; line numbers are those of the file."""
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(ast.Module([function], []), path, "exec"), namespace)
    return namespace


def compile_source(
    source: str,
    path: Path | None,
    specs: Sequence[KernelSpec],
    driver: str = "step",
    *,
    keep: bool = True,
) -> NativeModule:
    """Compile a source text and write it to `path` (None: a file named by content in the private
    source folder), where tracebacks and profilers find it. With `keep=False`, and where no file can
    be written, the text is kept in `linecache`, where tracebacks find it too.

    ValueError if the text is not of the form `runtime/kernel.py` describes.
    """
    location = _write(source, path) if keep else _remember(source)
    functions = _functions(source, location)
    started = time.perf_counter()
    kernels, reused = {}, 0
    for spec in specs:
        kernels[spec.name], found = kernel_store().get(functions[spec.name], spec, location)
        reused += found
    compiled = time.perf_counter()
    text, linked = _link_driver(functions[driver], specs, kernels)
    timings = {"kernels": compiled - started, "driver": time.perf_counter() - compiled}
    return NativeModule(source, location, kernels, driver, text, linked, timings, reused)


def _functions(source: str, path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(source, path)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _link_driver(
    function: ast.FunctionDef,
    specs: Sequence[KernelSpec],
    kernels: Mapping[str, CompiledFunction],
) -> tuple[str, Linked]:
    from .link import link  # lazily: llvmlite

    callees = _routine_callees()
    for spec in specs:
        parameters = (*(f"{name}*" for name in spec.buffers), *["i64"] * spec.extents)
        compiled = kernels[spec.name]
        callees[spec.name] = Callee(compiled.symbol, parameters, True, compiled.returns_status)
    text = translate(function, callees)
    imports = {kernel.symbol: kernel.address for kernel in kernels.values()}
    if any(f'@"{callee.symbol}"' in text for callee in _routine_callees().values()):
        from .routines import export_routines

        imports |= export_routines()
    return text, link(text, (function.name,), imports)


def _routine_callees() -> dict[str, Callee]:
    callees = {}
    for routine, layout in ROUTINES.items():
        for dtype in ("f32", "f64"):
            kinds = {"i": "i64", "f": dtype, "p": f"{dtype}*"}
            parameters = tuple(kinds[letter] for letter in layout)
            symbol = routine_symbol(routine, dtype)
            callees[f"{routine}_{dtype}"] = Callee(symbol, parameters, is_kernel=False)
    return callees


def _write(source: str, path: Path | None) -> str:
    """Put the text where tracebacks, profilers and readers find it; the file's name."""
    try:
        target = path if path is not None else source_directory() / f"{_digest(source)}.py"
        if not target.exists() or target.read_text() != source:
            target.write_text(source)
        return str(target)
    except OSError:
        return _remember(source)


def _remember(source: str) -> str:
    """Keep the text in `linecache`, which tracebacks read too; the name it has there."""
    name = f"<tapeless {_digest(source)}.py>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return name


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def run_plain(source: str, table: Sequence[np.ndarray], driver: str = "step") -> int:
    """Run the text as plain Python on a table of flat arrays, which it changes; the status.

    Slow: this is how tests (and debuggers) see what generated code does.
    """
    namespace: dict[str, Any] = {}
    exec(compile(source, "<generated>", "exec"), namespace)
    return int(namespace[driver](table))
