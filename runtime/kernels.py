"""Kernels: object code that functions of generated source were made into, kept by content.

    found = kernel_table().find(kernel_symbol(text, spec), store)
    kernel = compiled(symbol, lowered(symbol, function, spec, path))

A kernel is found by its canonical source and its buffer types: in this process, then in the store,
else it is compiled. Two that differ only in names share machine code, and so do all
layers of a network that have the same form. `runtime/lowering.py` translates a function to LLVM
text; with `TAPELESS_ENGINE=numba` Numba does. Importing this module imports neither numba nor
llvmlite; compiling does.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

from ..ir.errors import TapelessError
from ..ir.record import dataclass
from .identity import digest
from .loading import Linked
from .spec import KernelSpec, Products
from .store import Store, recall

if TYPE_CHECKING:
    import ast

    from .loading import Form
    from .lowering import Lowered

Origin = Literal["memory", "cache", "compiled"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """Object code that defines the C function `symbol` of the kernel's parameters, which returns
    a status, an int64, or nothing. It calls matrix routines for `products`
    (`spec.called_products`), those of `libraries`, and elementary `functions`
    (`runtime/functions.py`)."""

    symbol: str
    form: Form
    returns_status: bool
    products: Mapping[str, Products | None]
    libraries: tuple[str, ...]
    functions: tuple[str, ...]
    image: bytes
    packed_text: bytes

    @property
    def text(self) -> str:
        """The LLVM text it was made of, before LLVM's passes."""
        import zlib  # lazily: its object code alone is run

        return zlib.decompress(self.packed_text).decode()

    def llvm(self) -> str:
        """The LLVM text after them."""
        from .link import optimised  # lazily: llvmlite

        return str(optimised(self.text, self.form))

    def asm(self) -> str:
        """The assembly for this machine."""
        from .link import assembly, optimised  # lazily: llvmlite

        return assembly(optimised(self.text, self.form))

    def pack(self) -> bytes:
        """As the payload of an entry: `unpack` makes the kernel again."""
        products, code = dict(self.products), (self.image, self.packed_text)
        calls = products, self.libraries, self.functions
        return marshal.dumps((self.symbol, self.form, self.returns_status, *calls, *code))


def unpack(payload: bytes) -> Kernel:
    """The kernel of a payload whose MAC was right."""
    return Kernel(*marshal.loads(payload))


class KernelTable:
    """The kernels loaded in this process, by symbol, with the machine code they lie in."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[Kernel, Linked]] = {}

    def find(self, symbol: str, store: Store | None) -> tuple[Kernel, Origin] | None:
        """The kernel, and where it was, if it has been compiled before."""
        if symbol in self._loaded:
            return self._loaded[symbol][0], "memory"
        payload = recall(store, symbol)
        return None if payload is None else (unpack(payload), "cache")

    def add(self, kernels: Iterable[Kernel], linked: Linked) -> None:
        """Note where kernels were loaded; they stay."""
        self._loaded |= {kernel.symbol: (kernel, linked) for kernel in kernels}

    def address(self, symbol: str) -> int | None:
        """Where a kernel lies in memory; None if it is not loaded."""
        _, linked = self._loaded.get(symbol, (None, None))
        return None if linked is None else linked.addresses[symbol]


@cache
def kernel_table() -> KernelTable:
    """The table of this process. Use it under `making.MAKING`."""
    return KernelTable()


def engine() -> str:
    """What translates kernels to LLVM text: "direct", or "numba" where `TAPELESS_ENGINE` says so.

    TapelessError for another name.
    """
    name = os.environ.get("TAPELESS_ENGINE", "").lower() or "direct"
    if name not in ("direct", "numba"):
        raise TapelessError(f"TAPELESS_ENGINE: no engine named {name}; there are direct and numba")
    return name


def kernel_symbol(text: str, spec: KernelSpec) -> str:
    """A name that says what the kernel of this source computes, on whatever machine, and what
    translates it."""
    from .canonical import canonical  # lazily: a cached program does without

    return f"kernel_{digest(engine(), canonical(text), *spec.kinds)[:32]}"


def compiled(symbol: str, kernel: Lowered) -> Kernel:
    """The kernel after LLVM's passes, as object code."""
    import zlib  # lazily: see above

    from .ahead import made

    image, packed = made(kernel.text, kernel.form), zlib.compress(kernel.text.encode(), 1)
    calls = kernel.products, kernel.libraries, kernel.functions
    return Kernel(symbol, kernel.form, kernel.returns_status, *calls, image, packed)


def lowered(symbol: str, function: ast.FunctionDef, spec: KernelSpec, path: str) -> Lowered:
    """The LLVM text of a kernel; `path` is the file its source lies in. ValueError if it is not of
    the form that `runtime/kernel.py` describes."""
    count = len(function.args.args)
    if count != len(spec.kinds):
        raise ValueError(f"kernel {spec.name} has {count} parameters, its spec says otherwise")
    if engine() == "numba":
        from .numba_kernels import lower_by_numba  # lazily: numba

        return lower_by_numba(function, spec, symbol, path)
    from .ahead import host_features  # lazily: a cached program does without
    from .lowering import lower
    from .vector_text import registers

    return lower(function, spec.kinds, symbol, registers(host_features()))
