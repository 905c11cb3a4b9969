"""One call of the standard as one step: traced, then run by the interpreter or natively.

`TAPELESS_CONFORMANCE=compiled` runs native code; the default, `interpreted`, the optimised graph
in the interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import tapeless as tl

MODES = ("interpreted", "compiled")


class Mode:
    """How steps run, for the whole process."""

    chosen = os.environ.get("TAPELESS_CONFORMANCE", "interpreted")


@contextmanager
def running(mode: str):
    """Runs what is inside in another mode."""
    assert mode in MODES, mode
    before, Mode.chosen = Mode.chosen, mode
    try:
        yield
    finally:
        Mode.chosen = before


class Slot:
    """Where the k-th array of the step stands in the arguments of a call."""

    def __init__(self, index: int) -> None:
        self.index = index


def run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` as a step of the arrays in its arguments.

    Everything else is part of the program, as if it stood in the source. An array that the step
    writes to is written in place. Arrays in the result are new.
    """
    arrays: list[np.ndarray] = []
    template = _taken((list(args), kwargs), arrays)

    def step(*traced: Any) -> Any:
        positional, named = _filled(template, traced)
        return function(*positional, **named)

    compiled = tl.compile(step)
    call = compiled if Mode.chosen == "compiled" else compiled.interpret
    return call(*arrays)


def _taken(x: Any, arrays: list[np.ndarray]) -> Any:
    """`x` with a slot for every array in it; one for an array that stands there twice."""
    data = getattr(x, "_data", None)
    if isinstance(data, np.ndarray):
        for k, known in enumerate(arrays):
            if known is data:
                return Slot(k)
        arrays.append(data)
        return Slot(len(arrays) - 1)
    return _mapped(lambda item: _taken(item, arrays), x)


def _filled(x: Any, arrays: tuple[Any, ...]) -> Any:
    return arrays[x.index] if isinstance(x, Slot) else _mapped(lambda y: _filled(y, arrays), x)


def _mapped(function: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, dict):
        return {key: function(item) for key, item in x.items()}
    if isinstance(x, slice):
        return slice(*map(function, (x.start, x.stop, x.step)))
    return type(x)(map(function, x)) if type(x) in (list, tuple) else x
