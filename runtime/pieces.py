"""Functions by pieces: tables of the coefficients of a polynomial for each part of their domain.

    tables = pieces(log1p_slope, SPANS, 3)      tables[n][i] is the coefficient of r**n in part i

AVX-512 looks a number up in a register in the time of a multiplication, so that a polynomial of
degree 3 for each sixteenth of a domain takes the place of one of degree 8 for all of it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence

from .lanes import Table

Span = tuple[float, float]


def pieces(f: Callable[[float], float], spans: Sequence[Span], degree: int) -> tuple[Table, ...]:
    """Coefficients in f32, lowest first, of polynomials that meet f near Chebyshev's nodes of each
    span."""
    found = [_rounded_polynomial(f, span, degree) for span in spans]
    return tuple(zip(*found, strict=True))


def _rounded_polynomial(f: Callable[[float], float], span: Span, degree: int) -> list[float]:
    """Each coefficient is rounded before the next is found, which makes good for it: the highest
    first, or where 0 is far the lowest."""
    nodes = _nodes(span, degree + 1)
    exact = _coefficients(nodes, [f(x) for x in nodes])
    high, low = list[float](), list[float]()
    for n in range(degree + 1, 0, -1):
        nodes = _nodes(span, n)
        left = [_horner(exact, x) - x**n * _horner(high, x) for x in nodes]
        high.insert(0, _f32(_coefficients(nodes, left)[-1]))
    if span[0] <= 0.0 <= span[1]:
        return high
    for n in range(degree + 1):
        nodes = _nodes(span, degree + 1 - n)
        left = [(_horner(exact, x) - _horner(low, x)) / x**n for x in nodes]
        low.append(_f32(_coefficients(nodes, left)[0]))
    tried = _nodes(span, 8 * degree)
    return min(high, low, key=lambda c: max(abs(_horner(c, x) / f(x) - 1) for x in tried))


def _coefficients(nodes: Sequence[float], values: Sequence[float]) -> list[float]:
    """Of the polynomial with these values in the nodes, lowest first: Newton's, by differences."""
    row, found = list(values), list[float]()
    differences = [row[0]]
    for step in range(1, len(nodes)):
        row = [
            (row[k + 1] - row[k]) / (nodes[k + step] - nodes[k]) for k in range(len(nodes) - step)
        ]
        differences.append(row[0])
    for x, difference in zip(nodes[::-1], differences[::-1], strict=True):
        times_x = [0.0, *found]
        shifted = [*(-x * c for c in found), 0.0]
        found = [u + v for u, v in zip(times_x, shifted, strict=True)]
        found[0] += difference
    return found


def _nodes(span: Span, count: int) -> list[float]:
    """Those of Chebyshev's polynomial."""
    middle, half = sum(span) / 2, (span[1] - span[0]) / 2
    return [middle + half * math.cos(math.pi * (k + 0.5) / count) for k in range(count)]


def _horner(coefficients: Sequence[float], x: float) -> float:
    total = 0.0
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _f32(x: float) -> float:
    return ctypes.c_float(x).value
