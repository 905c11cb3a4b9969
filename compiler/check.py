"""`check_grads`: analytic derivatives against central differences, in both directions.

For every floating argument leaf a random direction v is drawn. The difference quotient along v is
compared with the forward derivative (jvp), and its product with a random cotangent with the
reverse derivative (vjp). Orders above one check the derivatives of those derivatives likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.record import dataclass
from . import containers, tree
from .transforms import jvp, vjp

Array = NDArray[Any]
Flat = Callable[..., tuple[Array, ...]]

TOLERANCE = {np.dtype(np.float32): 1e-2, np.dtype(np.float64): 1e-5}
STEP = {np.dtype(np.float32): 1e-2, np.dtype(np.float64): 1e-5}


@dataclass(frozen=True)
class _Checker:
    paths: tuple[str, ...]
    modes: tuple[str, ...]
    tolerance: float
    step: float
    seed: int
    order: int = 1

    def check(self, f: Flat, xs: tuple[Array, ...], orders: int) -> None:
        """Check `f` at `xs`, then its derivatives up to `orders`."""
        random = np.random.default_rng(self.seed + self.order)
        tangents = tuple(random.standard_normal(x.shape) for x in xs)
        cotangents = tuple(random.standard_normal(y.shape).astype(y.dtype) for y in f(*xs))
        for k, path in enumerate(self.paths):
            numeric = _difference(f, xs, k, tangents[k], self.step)
            if "jvp" in self.modes:
                self._forward(path, f, xs, k, tangents[k], numeric)
            if "vjp" in self.modes:
                self._reverse(path, f, xs, k, tangents[k], numeric, cotangents)
        if orders > 1:
            deeper = replace(self, order=self.order + 1)
            if "jvp" in self.modes:
                deeper.check(lambda *x: jvp(f, x, tangents)[1], xs, orders - 1)
            if "vjp" in self.modes:
                deeper.check(lambda *x: _pull(f, x, cotangents), xs, orders - 1)

    def _forward(
        self, path: str, f: Flat, xs: tuple[Array, ...], k: int, v: Array, numeric: list[Array]
    ) -> None:
        zeros = [np.zeros_like(x) for x in xs]
        analytic = jvp(f, xs, (*zeros[:k], v, *zeros[k + 1 :]))[1]
        for a, n in zip(analytic, numeric, strict=True):
            self._compare("jvp", path, np.asarray(a), n)

    def _reverse(
        self,
        path: str,
        f: Flat,
        xs: tuple[Array, ...],
        k: int,
        v: Array,
        numeric: list[Array],
        cotangents: tuple[Array, ...],
    ) -> None:
        analytic = np.vdot(_pull(f, xs, cotangents)[k], v)
        expected = sum(float(np.vdot(c, n)) for c, n in zip(cotangents, numeric, strict=True))
        self._compare("vjp", path, np.asarray(analytic), np.asarray(expected))

    def _compare(self, mode: str, path: str, analytic: Array, numeric: Array) -> None:
        allowed = self.tolerance * (1 + np.maximum(np.abs(analytic), np.abs(numeric)))
        error = np.abs(analytic - numeric)
        # Written so that NaN fails.
        wrong = ~(error <= allowed)
        if not wrong.any():
            return
        worst = np.unravel_index(np.argmax(np.where(wrong, error / allowed, -1)), wrong.shape)
        raise AssertionError(
            f"check_grads: order {self.order}, {mode} with respect to {path}: analytic"
            f" {analytic[worst]:.9g}, numeric {numeric[worst]:.9g}, difference"
            f" {error[worst]:.2g}, allowed {allowed[worst]:.2g}"
        )


def check_grads(
    fn: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    *,
    modes: Sequence[str] = ("jvp", "vjp"),
    tolerance: float | None = None,
    step: float | None = None,
    seed: int = 0,
) -> None:
    """Compare the derivatives of `fn(*args)` up to `order` with central differences.

    Floating leaves of `args` are checked, widened to f64 so that the differences mean something;
    all others are held fixed. `tolerance` (absolute and relative) and `step` default to values
    that fit the dtype `fn` returns.

    Raises AssertionError naming the order, the direction and the argument leaf that is wrong;
    TypeError if nothing is differentiable.
    """
    if not isinstance(args, list | tuple):
        raise TypeError("check_grads takes a tuple of arguments: check_grads(fn, (x,))")
    flat, xs, paths = _flatten(fn, tuple(args))
    outputs = flat(*xs)
    if not xs or not outputs:
        raise TypeError("check_grads: no floating argument, or no floating result")
    narrowest = min((y.dtype for y in outputs), key=lambda d: d.itemsize)
    checker = _Checker(
        paths,
        tuple(modes),
        TOLERANCE[narrowest] if tolerance is None else tolerance,
        STEP[narrowest] if step is None else step,
        seed,
    )
    checker.check(flat, xs, order)


def _flatten(
    fn: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Flat, tuple[Array, ...], tuple[str, ...]]:
    """`fn` as a function of its floating leaves alone, returning its floating results."""
    leaves, treedef = containers.flatten(args)
    moving = [k for k, leaf in enumerate(leaves) if _is_float(leaf)]

    def flat(*xs: Array) -> tuple[Array, ...]:
        full = list(leaves)
        for k, x in zip(moving, xs, strict=True):
            full[k] = x
        result = fn(*treedef.unflatten(full))
        return tuple(y for y in tree.leaves(result) if _is_float(y))

    xs = tuple(np.array(leaves[k], np.float64) for k in moving)
    paths = tuple(f"args{treedef.paths[k]}" for k in moving)
    return flat, xs, paths


def _is_float(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) or (dtype is not None and dtype.kind == "f")


def _difference(f: Flat, xs: tuple[Array, ...], k: int, v: Array, step: float) -> list[Array]:
    """(f(x + h v) - f(x - h v)) / 2h, moving the k-th leaf only."""
    up, down = (f(*xs[:k], xs[k] + h * v, *xs[k + 1 :]) for h in (step, -step))
    return [(np.asarray(a) - np.asarray(b)) / (2 * step) for a, b in zip(up, down, strict=True)]


def _pull(f: Flat, xs: Sequence[Array], cotangents: tuple[Array, ...]) -> tuple[Array, ...]:
    """The reverse derivative of `f` at `xs` along `cotangents`, one array per leaf."""
    gradients: tuple[Array, ...] = vjp(f, *xs)[1](cotangents)
    return gradients
