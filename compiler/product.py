"""What is left of a program once it is compiled: all that a later process needs to run it.

    product = Product.of(generated, module)
    store.put(key, pack(product))
    product = unpack(store.get(key))

The kernels and the driver are entries of their own; a product names them. Its form is `marshal`'s:
bytes are read only once their MAC is right, by the version of Python that wrote them.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..ir.record import dataclass
from ..runtime.module import NativeModule
from ..runtime.spec import KernelSpec
from . import manifest
from .manifest import Manifest

if TYPE_CHECKING:
    from .codegen import Generated


@dataclass(frozen=True)
class Product:
    """Generated source with what running it takes, the driver's LLVM text, and the symbol of every
    kernel by its name in the source."""

    source: str
    specs: tuple[KernelSpec, ...]
    manifest: Manifest
    driver: str
    symbols: Mapping[str, str]

    @staticmethod
    def of(generated: Generated, module: NativeModule) -> Product:
        """The product of a compilation."""
        return Product(
            generated.source,
            generated.specs,
            Manifest.of(generated),
            module.driver_text,
            {name: kernel.symbol for name, kernel in module.kernels.items()},
        )


def pack(product: Product) -> bytes:
    """The product as bytes."""
    fields = {
        "source": product.source,
        "specs": [[s.name, s.buffers, s.extents] for s in product.specs],
        "manifest": manifest.pack(product.manifest),
        "driver": product.driver,
        "symbols": dict(product.symbols),
    }
    return marshal.dumps(fields)


def unpack(payload: bytes) -> Product:
    """The product that was packed. The bytes are trusted: their MAC was right."""
    fields = marshal.loads(payload)
    return Product(
        fields["source"],
        tuple(KernelSpec(name, tuple(buffers), n) for name, buffers, n in fields["specs"]),
        manifest.unpack(fields["manifest"]),
        fields["driver"],
        fields["symbols"],
    )
