"""Kernels: object code that Numba's LLVM text was made into, kept by content.

    kernel, origin = kernel_table().get(symbol, function, spec, path, store)

A kernel is found by its canonical source and its buffer types: in this process, then in the store,
else it is compiled and stored. Two that differ only in names share machine code, and so do all
layers of a network that have the same form. Importing this module imports neither numba nor
llvmlite; compiling does.
"""

from __future__ import annotations

import ast
import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from .canonical import canonical
from .identity import digest
from .kernel import ROUTINES, VOCABULARY, KernelSpec
from .store import Store

if TYPE_CHECKING:
    from .link import Linked

Origin = Literal["memory", "cache", "compiled"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """Object code that defines `symbol` with Numba's convention: int32 f(result *, error **,
    operands...). `routines` says whether it calls any of the matrix routines."""

    symbol: str
    returns_status: bool
    routines: bool
    image: bytes
    packed_llvm: bytes

    def llvm(self) -> str:
        """The LLVM text, as optimised by Numba."""
        return zlib.decompress(self.packed_llvm).decode()

    def asm(self) -> str:
        """The assembly for this machine."""
        from .link import assembly  # lazily: llvmlite

        return assembly(self.llvm())

    def pack(self) -> bytes:
        """As the payload of an entry: `unpack` makes the kernel again."""
        fields = [self.symbol, self.returns_status, self.routines, len(self.image)]
        head = json.dumps(fields).encode()
        return struct.pack("<I", len(head)) + head + self.image + self.packed_llvm


def unpack(payload: bytes) -> Kernel:
    """The kernel of a payload whose MAC was right."""
    (length,) = struct.unpack_from("<I", payload)
    body = 4 + length
    symbol, returns_status, routines, size = json.loads(payload[4:body])
    return Kernel(
        symbol, returns_status, routines, payload[body : body + size], payload[body + size :]
    )


class KernelTable:
    """The kernels loaded in this process, by symbol, with the machine code they lie in."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[Kernel, Linked]] = {}

    def get(
        self,
        symbol: str,
        function: ast.FunctionDef,
        spec: KernelSpec,
        path: str,
        store: Store | None,
    ) -> tuple[Kernel, Origin]:
        """The kernel that `kernel_symbol` calls `symbol`, and where it was."""
        found = self.find(symbol, store)
        if found is not None:
            return found
        kernel = _compile(symbol, function, spec, path, store)
        if store is not None:
            store.put(store.key(symbol), kernel.pack())
        return kernel, "compiled"

    def find(self, symbol: str, store: Store | None) -> tuple[Kernel, Origin] | None:
        """The kernel, and where it was, if it has been compiled before."""
        if symbol in self._loaded:
            return self._loaded[symbol][0], "memory"
        payload = store.get(store.key(symbol)) if store is not None else None
        return None if payload is None else (unpack(payload), "cache")

    def add(self, kernels: Iterable[Kernel], linked: Linked) -> None:
        """Note where kernels were loaded; they stay."""
        self._loaded |= {kernel.symbol: (kernel, linked) for kernel in kernels}

    def address(self, kernel: Kernel) -> int | None:
        """Where a kernel lies in memory; None if it is not loaded."""
        _, linked = self._loaded.get(kernel.symbol, (None, None))
        return None if linked is None else linked.addresses[kernel.symbol]


@cache
def kernel_table() -> KernelTable:
    """The table of this process. Use it under `making.MAKING`."""
    return KernelTable()


def kernel_symbol(function: ast.FunctionDef, spec: KernelSpec) -> str:
    """A name that says what the kernel computes, on whatever machine."""
    return f"kernel_{digest(canonical(function), *spec.buffers, str(spec.extents))[:32]}"


def _compile(
    symbol: str, function: ast.FunctionDef, spec: KernelSpec, path: str, store: Store | None
) -> Kernel:
    from .intrinsics import NUMBA, BufferType  # lazily: numba
    from .link import assemble_as
    from .numba_kernels import compile_function
    from .routines import export_routines

    count = len(function.args.args)
    if count != len(spec.buffers) + spec.extents:
        raise ValueError(f"kernel {spec.name} has {count} parameters, its spec says otherwise")
    words = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    words &= VOCABULARY.keys()
    routines = any(word.rpartition("_")[0] in ROUTINES for word in words)
    if routines:
        export_routines(store)
    buffers = [BufferType(NUMBA[name]) for name in spec.buffers]
    code = compile_function(
        _define(function, path)[spec.name], buffers + [NUMBA["i64"]] * spec.extents, words
    )
    image, llvm = assemble_as(symbol, code.symbol, code.llvm)
    return Kernel(symbol, code.returns_status, routines, image, zlib.compress(llvm.encode(), 1))


def _define(function: ast.FunctionDef, path: str) -> dict[str, Any]:
    """Execute one definition; line numbers are those of the file."""
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(ast.Module([function], []), path, "exec"), namespace)
    return namespace
