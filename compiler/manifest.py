"""What running native code takes besides the code: where its memory goes, and what its checks say.

fields = pack(manifest)          as `marshal` takes it
manifest = unpack(fields)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import errors
from ..ir.record import dataclass
from ..ir.types import DTYPES, Type, dtype_name
from ..runtime.executable import Argument, Executable, Layout, make_executable

if TYPE_CHECKING:
    from ..runtime.executable import Step
    from ..runtime.store import Store
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
class Manifest:
    """What `Executable` needs: the layout of memory, the bytes of scratch memory, and a failure for
    every status."""

    layout: Layout
    scratch: int
    failures: tuple[Failure, ...]

    @staticmethod
    def of(generated: Generated) -> Manifest:
        """The manifest of generated code."""
        failures = tuple(map(Failure.of, generated.checks))
        return Manifest(generated.layout, generated.scratch, failures)

    def failed(self, status: int) -> errors.TapelessError:
        """The error for a status of the native step."""
        return self.failures[status - 1].exception()

    def executable(self, step: Step, store: Store | None) -> Executable:
        """The step, bound to memory of its own."""
        return make_executable(step, self.layout, self.scratch, self.failed, store)


def pack(manifest: Manifest) -> list[Any]:
    """The manifest as lists of what `marshal` takes."""
    layout = manifest.layout
    return [
        [[a.name, *_type(a.type), a.updated] for a in layout.arguments],
        [_type(t) for t in layout.outputs],
        [[dtype_name(c.dtype), c.shape, c.tobytes()] for c in layout.constants],
        layout.slots,
        layout.arena,
        dict(layout.table),
        manifest.scratch,
        [[f.error, f.message] for f in manifest.failures],
    ]


def unpack(fields: Any) -> Manifest:
    """The manifest that was packed. The fields are trusted: their MAC was right."""
    arguments, outputs, constants, slots, arena, table, scratch, failures = fields
    layout = Layout(
        tuple(
            Argument(name, Type(DTYPES[dtype], tuple(shape)), updated)
            for name, dtype, shape, updated in arguments
        ),
        tuple(Type(DTYPES[dtype], tuple(shape)) for dtype, shape in outputs),
        tuple(
            np.frombuffer(content, DTYPES[dtype]).reshape(shape)
            for dtype, shape, content in constants
        ),
        tuple(slots),
        arena,
        table,
    )
    return Manifest(layout, scratch, tuple(Failure(*pair) for pair in failures))


def _type(kind: Type) -> list[Any]:
    return [dtype_name(kind.dtype), kind.shape]
