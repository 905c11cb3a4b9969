"""Tables of functions with their formulas: values and gradients of all of them from one step, so
that a table costs one compilation per dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tapeless as tl


@dataclass(frozen=True)
class Case:
    """A function of arrays, arguments for it in f64 (or integers, Booleans), and what it must
    give: a function of the same arguments, or the value itself."""

    name: str
    fn: Callable[..., Any]
    arrays: tuple[Any, ...]
    expected: Any

    def arguments(self, dtype: Any) -> list[Any]:
        """The arrays, floating ones in `dtype`."""
        return [np.asarray(a, dtype if _is_float(a) else None) for a in self.arrays]

    def value(self, dtype: Any) -> Any:
        """What must come out, computed in f64 from the rounded arguments."""
        if not callable(self.expected):
            return self.expected
        exact = [a.astype(np.float64) if _is_float(a) else a for a in self.arguments(dtype)]
        with np.errstate(all="ignore"):
            return self.expected(*exact)

    @property
    def moving(self) -> list[int]:
        """The positions of the floating arguments."""
        return [k for k, a in enumerate(self.arrays) if _is_float(a)]

    def on_moving(self, arrays: Sequence[Any]) -> Callable[..., Any]:
        """The function of its floating arguments alone."""

        def fn(*moved: Any) -> Any:
            full = list(arrays)
            for k, a in zip(self.moving, moved, strict=True):
                full[k] = a
            return self.fn(*full)

        return fn


def run(cases: Sequence[Case], dtype: Any) -> dict[str, dict[str, tuple[Any, Any]]]:
    """By "interpreted" and "compiled", by the name of the case: the value and the gradients of its
    sum."""

    @tl.compile
    def step(arguments: dict[str, list[Any]]) -> dict[str, Any]:
        return {case.name: _with_gradients(case, arguments[case.name]) for case in cases}

    arguments = {case.name: case.arguments(dtype) for case in cases}
    return {"interpreted": step.interpret(arguments), "compiled": step(arguments)}


def _with_gradients(case: Case, arrays: Sequence[Any]) -> tuple[Any, Any]:
    fn = case.on_moving(arrays)
    moved = [arrays[k] for k in case.moving]
    return fn(*moved), tl.grad(lambda *a: np.sum(fn(*a)), range(len(moved)))(*moved)


def check(case: Case, results: dict[str, Any], dtype: Any, factor: float = 1.0) -> None:
    """What the case gives eagerly and by `run`; gradients of interpreter and native code may differ
    by `factor` times as much."""
    expected = case.value(dtype)
    close(case.fn(*case.arguments(dtype)), expected, dtype)
    value, gradients = results["interpreted"][case.name]
    close(value, expected, dtype)
    native, slopes = results["compiled"][case.name]
    close(native, expected, dtype)
    for found, wanted in zip(slopes, gradients, strict=True):
        close(found, wanted, dtype, factor)


def close(found: Any, expected: Any, dtype: Any, factor: float = 1.0) -> None:
    """Equal up to rounding in `dtype`, and of that dtype."""
    tolerance = factor * (1e-12 if dtype == np.float64 else 1e-5)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def _is_float(a: Any) -> bool:
    return np.asarray(a).dtype.kind == "f"
