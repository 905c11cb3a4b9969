"""Learning rates that change with the number of steps taken.

    opt = tl.optim.adam(schedules.warmup(100, schedules.cosine(1e-3, 2000)))

A schedule is a function of the number of steps taken so far (0 at the first), a Python number or
a traced scalar; it is written in NumPy and runs inside the compiled step, so a new rate compiles
nothing. Any such function will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Scalar: TypeAlias = Any
"""A Python number, a NumPy scalar, or a traced scalar."""
Schedule: TypeAlias = Callable[[Scalar], Scalar]
"""From the number of steps taken to the learning rate."""


def constant(value: Scalar) -> Schedule:
    """`value` at every step."""
    return lambda count: value


def step(value: Scalar, every: int, factor: float = 0.1) -> Schedule:
    """`value`, multiplied by `factor` after every `every` steps, as `torch`'s `StepLR`."""
    _positive("step", "every", every)
    return lambda count: value * factor ** np.floor(count / every)


def exponential(value: Scalar, factor: float) -> Schedule:
    """`value`, multiplied by `factor` at every step: value * factor**count."""
    return lambda count: value * np.power(factor, 1.0 * count)


def cosine(value: Scalar, steps: int, final: Scalar = 0.0) -> Schedule:
    """From `value` to `final` along half a cosine in `steps` steps, then `final`.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, equation 5 without restarts.
    """
    _positive("cosine", "steps", steps)

    def rate(count: Scalar) -> Scalar:
        done = np.minimum(count / steps, 1.0)
        return final + (value - final) * (1 + np.cos(np.pi * done)) / 2

    return rate


def warmup(steps: int, then: Schedule | Scalar) -> Schedule:
    """From 0 in equal parts to the first rate of `then` in `steps` steps, then `then`, which
    counts from there: the first step has 1/steps of that rate, as no step should be lost.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.
    """
    _positive("warmup", "steps", steps)
    after = then if callable(then) else constant(then)

    def rate(count: Scalar) -> Scalar:
        rising = np.minimum((count + 1) / steps, 1.0)
        return rising * after(np.maximum(count - steps, 0))

    return rate


def _positive(name: str, argument: str, value: int) -> None:
    if value <= 0:
        raise ValueError(f"{name}: {argument} must be above 0, not {value}")
