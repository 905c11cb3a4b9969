"""A native step from the cache, in one piece: what a call takes is there at once, the rest when
asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..runtime.bundle import load_bundle
from ..runtime.image import UnsuitedError
from ..runtime.modes import RunOptions
from ..runtime.store import open_store
from . import manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..ir.graph import Graph
    from ..runtime.executable import Executable, Prepare
    from .native import NativeProgram

    Array = NDArray[Any]


class RestoredProgram:
    """As `NativeProgram`, which `whole` makes."""

    graph: Graph | None = None

    def __init__(
        self,
        executable: Executable,
        timings: tuple[tuple[str, float], ...],
        whole: Callable[[], NativeProgram],
    ) -> None:
        self.executable, self.timings = executable, timings
        self._make = whole

    @cached_property
    def _whole(self) -> NativeProgram:
        return self._make()

    @property
    def source(self) -> str:
        """See `NativeProgram`."""
        return self._whole.source

    @property
    def path(self) -> str:
        """See `NativeProgram`."""
        return self._whole.path

    def llvm(self) -> str:
        """See `NativeProgram`."""
        return self._whole.llvm()

    def asm(self) -> str:
        """See `NativeProgram`."""
        return self._whole.asm()

    def call(
        self, leaves: tuple[Any, ...], prepare: Prepare | None = None
    ) -> tuple[Array, ...] | None:
        """See `Executable.call`."""
        return self.executable.call(leaves, prepare)


def restored(
    bundle: list[Any], options: RunOptions, whole: Callable[[], NativeProgram]
) -> RestoredProgram | None:
    """The step of a bundle (`NativeProgram.bundle`); None if this system refuses its code."""
    start, store = time.perf_counter(), open_store()
    if store is None:
        return None
    try:
        fields, code = bundle
        step = load_bundle(code, store, options)
    except (UnsuitedError, EOFError, LookupError, TypeError, ValueError):  # or of another form
        return None
    loaded = time.perf_counter()
    executable = manifest.unpack(fields).executable(step, store)
    timings = ("cache", loaded - start), ("bind", time.perf_counter() - loaded)
    return RestoredProgram(executable, timings, whole)
