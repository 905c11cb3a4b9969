"""Random numbers that NumPy or Python draw while a step is traced: they would be frozen in it.

Neither tells when it draws. So the generators that a step can reach are looked at before and
after, and NumPy's source of fresh seeds is watched. A generator that the step itself makes from a
seed is fine: in NumPy, too, it would give the same numbers in every call.
"""

from __future__ import annotations

import pickle
import random
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from ..active import active
from .reachable import reachable

DRAW_OTHERWISE: Final = (
    "draw with tl.random from a key that is an argument, or outside the step and pass the array"
)
LIMIT: Final = 10_000
"""How many objects are searched for generators, nearest first."""
_SEEDS: Final[Any] = np.random.bit_generator
_seed: Final = random.Random.seed
_fresh_seed: Final[Any] = getattr(_SEEDS, "randbits", None)

Source = np.random.Generator | np.random.BitGenerator | np.random.RandomState | random.Random


class RandomGuard:
    """Remembers the state of the generators a step could draw from. (The global ones belong to
    all threads: a thread that draws from one during the trace is mistaken for the step.)"""

    message = (
        "random numbers were drawn inside the step; they would be the same in every call. Instead"
        f" {DRAW_OTHERWISE}"
    )

    def __init__(self, roots: Iterable[Any]) -> None:
        """`roots` are the step and the objects it is given."""
        self.fresh_seed = False
        self._sources = list(_sources(roots))
        self._before = self._states()

    def drawn(self) -> bool:
        """Whether any generator has moved, or one was made without a seed, since this guard was
        made."""
        return self.fresh_seed or self._states() != self._before

    def _states(self) -> bytes:
        own = [_state(source) for source in self._sources]
        return pickle.dumps([*own, random.getstate(), np.random.get_state(legacy=False)])


@contextmanager
def fresh_seeds_noticed() -> Iterator[None]:
    """Within the block, a generator made without a seed is noted in the guard of the trace that
    runs in its thread."""
    random.Random.seed = _noticed_seed  # type: ignore[method-assign, assignment]
    if _fresh_seed is not None:  # not every NumPy need have it
        _SEEDS.randbits = _noticed
    try:
        yield
    finally:
        random.Random.seed = _seed  # type: ignore[method-assign]
        if _fresh_seed is not None:
            _SEEDS.randbits = _fresh_seed


def _noticed(bits: int) -> Any:
    _note()
    return _fresh_seed(bits)


def _noticed_seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
    if a is None:
        _note()
    _seed(generator, a, version)


def _note() -> None:
    recorder = active()
    if recorder is not None:
        recorder.guard.fresh_seed = True


def _state(source: Source) -> Any:
    if isinstance(source, random.Random):
        return None if isinstance(source, random.SystemRandom) else source.getstate()
    if isinstance(source, np.random.RandomState):
        return source.get_state(legacy=False)
    bits = source.bit_generator if isinstance(source, np.random.Generator) else source
    return bits.state


def _sources(roots: Iterable[Any]) -> Iterator[Source]:
    """The generators that can be reached through functions, containers and attributes."""
    waiting, seen = deque(roots), set[int]()
    while waiting and len(seen) < LIMIT:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Source):
            yield value
        else:
            waiting.extend(_parts(value))


def _parts(value: Any) -> Iterable[Any]:
    """What a value holds, as far as a step could draw from it."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, FunctionType):
        return [held for _, held in reachable(value)]
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, type | ModuleType):
        return ()
    if type(value).__module__.partition(".")[0] in ("numpy", "tapeless"):
        return (getattr(value, "__wrapped__", None),)
    call = getattr(type(value), "__call__", None)  # noqa: B004 (its function is searched)
    return [*getattr(value, "__dict__", {}).values(), call]
