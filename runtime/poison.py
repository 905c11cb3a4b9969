"""A debugging form of the executable: what a step has not written is NaN, and guarded.

    TAPELESS_POISON=1

Before every call arena, scratch memory and results are filled with bytes of ones: NaN as a float,
-1 as an integer. So a value that is read before it is written shows in the results. Before and
behind each of them lie guards; a call after which one of these, or a constant, has changed raises
VerifyError. What a step computes is the same with and without.
"""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..ir.errors import VerifyError
from .callpath import MISS, Entry, Form, Parameters, returned
from .executable import ALIGNMENT, Executable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .callpath import Outputs, Returns

    Array = NDArray[Any]


GUARD: Final = 4 * ALIGNMENT
CANARY: Final = 0xA5
POISON: Final = 0xFF


class PoisonedExecutable(Executable):
    """An `Executable` that fills and guards the memory of the step. See above. Calls take turns:
    NumPy fills large arrays without the GIL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._turns = RLock()
        super().__init__(*args, **kwargs)

    def entry(
        self,
        forms: Sequence[Form],
        *,
        returns: Returns = "all",
        parameters: Parameters | None = None,
    ) -> Entry:
        """See `Executable.entry`. Its calls raise VerifyError if the step wrote where it may
        not."""
        called = parameters or Parameters.positional(len(forms))
        return _PoisonedEntry(super().entry(forms), self, returns, called)

    @contextmanager
    def poisoned(self, outputs: Sequence[Array]) -> Iterator[None]:
        """One run of the step: before it all is filled, after it all guards are looked at."""
        with self._turns:
            self._arena[:] = POISON
            self._scratch[:] = POISON
            try:
                yield
            finally:
                self._check(outputs)

    def outputs(self) -> tuple[Array, ...]:
        """Fresh outputs, filled, between guards."""
        # Results of NumPy's own start on 16 bytes, some of them on no more.
        return tuple(
            _guarded(t.nbytes, 16).view(t.dtype).reshape(t.shape) for t in self.layout.outputs
        )

    def _allocate(self, count: int) -> Array:
        return _guarded(count, ALIGNMENT)

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


class _PoisonedEntry(Entry):
    """An entry whose every run is poisoned."""

    def __init__(
        self,
        plain: Entry,
        executable: PoisonedExecutable,
        returns: Returns,
        parameters: Parameters,
    ) -> None:
        self._executable, self._returns, self._parameters = executable, returns, parameters
        self.is_native, self.run, self.outputs = plain.is_native, plain.run, executable.outputs
        self.call = self._call

    def commit(self, finish: Callable[[], None], outputs: Outputs, *arguments: Any) -> int:
        with self._executable.poisoned(outputs):
            return super().commit(finish, outputs, *arguments)

    def _call(self, *arguments: Any, **named: Any) -> Any:
        given = self._parameters.arrange(arguments, named)
        outputs = self.outputs()
        if given is None or self.commit(lambda: None, outputs, *given):
            return MISS
        return returned(outputs, self._returns)


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
