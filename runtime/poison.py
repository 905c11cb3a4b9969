"""A debugging form of the executable: what a step has not written is NaN, and guarded.

    TAPELESS_POISON=1

Before every call arena, scratch memory and results are filled with bytes of ones: NaN as a float,
-1 as an integer. So a value that is read before it is written shows in the results. Before and
behind each of them lie guards; a call after which one of these, or a constant, has changed raises
VerifyError. What a step computes is the same with and without.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..ir.errors import VerifyError
from .executable import ALIGNMENT, Executable, Layout, Prepare, Step
from .store import Store

Array = NDArray[Any]

VARIABLE: Final = "TAPELESS_POISON"
GUARD: Final = 4 * ALIGNMENT
CANARY: Final = 0xA5
POISON: Final = 0xFF


def make_executable(
    step: Step,
    layout: Layout,
    scratch: int,
    failed: Callable[[int], Exception],
    store: Store | None,
) -> Executable:
    """The executable of a step, poisoned where the environment asks for it."""
    poisoned = os.environ.get(VARIABLE, "").lower() not in ("", "0", "off")
    kind = PoisonedExecutable if poisoned else Executable
    return kind(step, layout, scratch, failed, store=store)


class PoisonedExecutable(Executable):
    """An `Executable` that fills and guards the memory of the step. See above. Calls take turns:
    NumPy fills large arrays without the GIL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._turns = threading.RLock()
        super().__init__(*args, **kwargs)

    def call(
        self, leaves: tuple[Any, ...], prepare: Prepare | None = None
    ) -> tuple[Array, ...] | None:
        """See `Executable.call`. VerifyError if the step wrote where it may not."""
        with self._turns:
            self._arena[:] = POISON
            self._scratch[:] = POISON
            outputs = None
            try:
                outputs = super().call(leaves, prepare)
            finally:
                self._check(outputs or ())
            return outputs

    def _allocate(self, count: int) -> Array:
        return _guarded(count, ALIGNMENT)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        # Results of NumPy's own start on 16 bytes, some of them on no more.
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return _guarded(count, 16).view(dtype).reshape(shape)

    def _check(self, outputs: Iterable[Array]) -> None:
        areas = {"the arena": self._arena, "scratch memory": self._scratch}
        areas |= {f"result {k}": output for k, output in enumerate(outputs)}
        for name, area in areas.items():
            if not _is_intact(area):
                raise VerifyError(f"the native code wrote before or behind {name}")
        for k, (used, constant) in enumerate(
            zip(self._constants, self.layout.constants, strict=True)
        ):
            if used.tobytes() != np.asarray(constant).tobytes():
                raise VerifyError(f"the native code wrote into constant {k}")


def _guarded(count: int, alignment: int) -> Array:
    """Bytes of ones that start on a multiple of `alignment`, but not of twice that, between
    guards."""
    raw = np.full(count + 2 * GUARD + 2 * alignment, CANARY, np.uint8)
    start = GUARD + (alignment - (raw.ctypes.data + GUARD)) % (2 * alignment)
    inner = raw[start : start + count]
    inner[:] = POISON
    return inner


def _is_intact(area: Array) -> bool:
    """Whether the guards around an array of `_guarded` are."""
    raw: Any = area.base
    start = area.ctypes.data - raw.ctypes.data
    before, behind = raw[:start], raw[start + area.nbytes :]
    return bool((before == CANARY).all() and (behind == CANARY).all())
