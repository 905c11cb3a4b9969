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
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import errors
from ..ir.record import dataclass
from ..ir.types import DTYPES, Type, dtype_name
from ..runtime.executable import Argument, Layout
from ..runtime.module import NativeModule
from ..runtime.spec import KernelSpec

if TYPE_CHECKING:
    from .codegen import Check, Generated


@dataclass(frozen=True)
class Failure:
    """A run-time check that may fail: the name of its error, and the message."""

    error: str
    message: str

    @staticmethod
    def of(check: Check) -> Failure:
        """The failure of a check: what is wrong, where in the user's code."""
        where = f"at {check.node.loc}: " if check.node.loc is not None else ""
        return Failure(check.error.__name__, f"{where}{check.message}; nothing was written")

    def exception(self) -> errors.TapelessError:
        """The error to raise."""
        made: errors.TapelessError = getattr(errors, self.error)(self.message)
        return made


@dataclass(frozen=True)
class Product:
    """Generated source with the manifest that `Executable` needs, the driver's LLVM text, and the
    symbol of every kernel by its name in the source."""

    source: str
    specs: tuple[KernelSpec, ...]
    layout: Layout
    scratch: int
    failures: tuple[Failure, ...]
    driver: str
    symbols: Mapping[str, str]

    @staticmethod
    def of(generated: Generated, module: NativeModule) -> Product:
        """The product of a compilation."""
        return Product(
            generated.source,
            generated.specs,
            generated.layout,
            generated.scratch,
            tuple(map(Failure.of, generated.checks)),
            module.driver_text,
            {name: kernel.symbol for name, kernel in module.kernels.items()},
        )

    def failed(self, status: int) -> errors.TapelessError:
        """The error for a status of the native step."""
        return self.failures[status - 1].exception()


def pack(product: Product) -> bytes:
    """The product as bytes."""
    layout = product.layout
    fields = {
        "source": product.source,
        "specs": [[s.name, s.buffers, s.extents] for s in product.specs],
        "arguments": [[a.name, *_type(a.type), a.updated] for a in layout.arguments],
        "outputs": [_type(t) for t in layout.outputs],
        "constants": [[dtype_name(c.dtype), c.shape, c.tobytes()] for c in layout.constants],
        "slots": layout.slots,
        "arena": layout.arena,
        "table": dict(layout.table),
        "scratch": product.scratch,
        "failures": [[f.error, f.message] for f in product.failures],
        "driver": product.driver,
        "symbols": dict(product.symbols),
    }
    return marshal.dumps(fields)


def unpack(payload: bytes) -> Product:
    """The product that was packed. The bytes are trusted: their MAC was right."""
    fields = marshal.loads(payload)
    layout = Layout(
        tuple(
            Argument(name, Type(DTYPES[dtype], tuple(shape)), updated)
            for name, dtype, shape, updated in fields["arguments"]
        ),
        tuple(Type(DTYPES[dtype], tuple(shape)) for dtype, shape in fields["outputs"]),
        tuple(
            np.frombuffer(content, DTYPES[dtype]).reshape(shape)
            for dtype, shape, content in fields["constants"]
        ),
        tuple(fields["slots"]),
        fields["arena"],
        fields["table"],
    )
    return Product(
        fields["source"],
        tuple(KernelSpec(name, tuple(buffers), n) for name, buffers, n in fields["specs"]),
        layout,
        fields["scratch"],
        tuple(Failure(*pair) for pair in fields["failures"]),
        fields["driver"],
        fields["symbols"],
    )


def _type(kind: Type) -> list[Any]:
    return [dtype_name(kind.dtype), kind.shape]
