"""`compare`: the same step interpreted and compiled, side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.record import dataclass
from . import containers
from .api import BoundStep, CompiledFunction
from .call import copy_arrays
from .table import Table, seconds_text
from .verification import relative

Run = Callable[..., Any]

ROUNDS = 7
"""The median of this many rounds is reported."""


@dataclass(frozen=True)
class Timing:
    """One way of running the step."""

    name: str
    us_per_step: float
    samples_per_step: int | None
    speedup: float
    """Against the naive interpreter."""
    difference: float
    """Largest difference of any result or updated array from the naive interpreter's, relative
    to the largest element of that array, after one step."""

    @property
    def steps_per_second(self) -> float:
        return 1e6 / self.us_per_step

    @property
    def samples_per_second(self) -> float | None:
        return self.samples_per_step and self.samples_per_step * self.steps_per_second


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; `str()` is a table."""

    name: str
    rows: tuple[Timing, ...]
    compile_seconds: float

    @property
    def naive(self) -> Timing:
        return self.rows[0]

    @property
    def optimized(self) -> Timing:
        return self.rows[1]

    @property
    def compiled(self) -> Timing:
        return self.rows[2]

    @property
    def speedup(self) -> float:
        """Compiled against the optimised interpreter."""
        return self.optimized.us_per_step / self.compiled.us_per_step

    @property
    def break_even(self) -> int | None:
        """The step from which compiling has paid off against the better interpreter; None if
        compiled code is not faster."""
        saved = min(r.us_per_step for r in self.rows[:2]) - self.compiled.us_per_step
        return math.ceil(self.compile_seconds * 1e6 / saved) if saved > 0 else None

    def __str__(self) -> str:
        table = Table(self.name, "us/step", "steps/s", "samples/s", "speed-up", "difference")
        for row in self.rows:
            samples = row.samples_per_second
            table.add(
                row.name,
                f"{row.us_per_step:,.1f}",
                f"{row.steps_per_second:,.0f}",
                f"{samples:,.0f}" if samples is not None else "",
                f"{row.speedup:.1f}x",
                f"{row.difference:.1e}" if row.difference else "0",
            )
        step = self.break_even
        paid = "does not pay off" if step is None else f"pays off from step {step:,}"
        return f"{table}\ncompiled in {seconds_text(self.compile_seconds)}, which {paid}"


def compare(
    step: CompiledFunction | BoundStep,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    seconds: float = 1.0,
    samples: int | None = None,
) -> Comparison:
    """Time `step(*args, **kwargs)` interpreted without optimisation, interpreted optimised, and
    compiled, for about `seconds` each. Works on copies: the arguments are not written.

    `samples` is the number of samples in a step; by default the common first extent of the
    array arguments (those not inside containers), if they have one.
    """
    if not isinstance(step, CompiledFunction | BoundStep):
        raise TypeError("compare takes a compiled function; decorate this one with @tl.compile")
    if not seconds > 0:
        raise ValueError(f"compare: seconds must be positive, not {seconds}")
    if isinstance(step, BoundStep):
        args, step = (step.instance, *args), step.step
    args, kwargs = copy_arrays(args, kwargs or {})
    program = step.lower(*args, **kwargs)
    program.native  # noqa: B018  compiles, if it has not run yet
    naive = CompiledFunction(step.function, replace(step.options, optimize=False))
    runs: dict[str, Run] = {
        "interpreted, naive": naive.interpret,
        "interpreted, optimised": step.interpret,
        "compiled": step,
    }
    samples = _samples(args, kwargs) if samples is None else samples
    results = [_once(run, args, kwargs) for run in runs.values()]
    times = _times(list(runs.values()), args, kwargs, seconds)
    rows = tuple(
        Timing(name, us, samples, times[0] / us, _difference(results[0], result))
        for name, us, result in zip(runs, times, results, strict=True)
    )
    return Comparison(program.name, rows, program.timings().seconds)


def _samples(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    arrays = [x for x in (*args, *kwargs.values()) if isinstance(x, np.ndarray) and x.ndim]
    extents = {x.shape[0] for x in arrays}
    return extents.pop() if len(extents) == 1 else None


def _once(run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Everything one step leaves behind: results and the arguments after it."""
    own_args, own_kwargs = copy_arrays(args, kwargs)
    result = run(*own_args, **own_kwargs)
    return containers.leaves((result, own_args, own_kwargs))


def _times(
    runs: Sequence[Run], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float
) -> list[float]:
    """Median microseconds per step of each. Their rounds take turns, so that a disturbance hits
    all alike, and start from the given arguments, so that none meets weights the others do not."""
    once = [_round(run, args, kwargs, 1) for run in runs]
    steps = [max(1, int(seconds / ROUNDS / max(time, 1e-7))) for time in once]
    rounds = [
        [_round(run, args, kwargs, count) for run, count in zip(runs, steps, strict=True)]
        for _ in range(ROUNDS)
    ]
    return [1e6 * sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True)]


def _round(run: Run, args: Sequence[Any], kwargs: Mapping[str, Any], steps: int) -> float:
    own_args, own_kwargs = copy_arrays(args, kwargs)
    start = time.perf_counter()
    for _ in range(steps):
        run(*own_args, **own_kwargs)
    return (time.perf_counter() - start) / steps


def _difference(expected: list[Any], found: list[Any]) -> float:
    """The largest relative difference of any number or array."""
    pairs = zip(expected, found, strict=True)
    return max((relative(a, b) for a, b in pairs if _is_number(a)), default=0.0)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, np.generic, int, float))
