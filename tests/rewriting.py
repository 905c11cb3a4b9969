"""Golden before/after texts of rewrite rules, and what every rewrite must keep.

A golden file is a list of cases, each a rule's name, a graph, and what the pass makes of it:

    ## times_one
    f(%x:f64[3]) {
      %y:f64[3] = mul %x, 1.0
    } -> %y
    =>
    f(%x:f64[3]) {
    } -> %x
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph
from tapeless.ir.types import Type

SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0)


class Case(NamedTuple):
    """A rule, a graph it fires on, and the graph the whole pass makes of that."""

    rule: str
    before: str
    after: str


def read_cases(file: Path) -> list[Case]:
    """The cases of a golden file."""
    blocks = re.split(r"^## ", file.read_text(), flags=re.MULTILINE)[1:]
    return [_case(block) for block in blocks]


def _case(block: str) -> Case:
    rule, _, text = block.partition("\n")
    before, _, after = text.partition("\n=>\n")
    return Case(rule.strip(), before.strip(), after.strip())


def write_cases(file: Path, cases: Sequence[Case]) -> None:
    """Write a golden file."""
    file.write_text("\n".join(f"## {c.rule}\n{c.before}\n=>\n{c.after}\n" for c in cases))


def draw(type_: Type, rng: np.random.Generator, special: bool) -> np.ndarray:
    """A random array: floats in [0.5, 3), of both signs and mixed with NaN, infinities and zeros
    where `special`; integers 0 to 2, which index any axis of three."""
    if type_.is_bool:
        return rng.random(type_.shape) < 0.5
    if type_.is_integer:
        return rng.integers(0, 3, type_.shape).astype(type_.dtype)
    values = rng.uniform(0.5, 3.0, type_.shape)
    if special:
        values = values * rng.choice([-1.0, 1.0], type_.shape)
        chosen = rng.random(type_.shape) < 0.4
        values = np.where(chosen, rng.choice(SPECIAL, type_.shape), values)
    return np.asarray(values, type_.dtype)


def arguments(graph: Graph, *, special: bool) -> Iterator[list[np.ndarray]]:
    """A few lists of arguments for a graph."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        yield [draw(v.type, rng, special) for v in graph.inputs]


def assert_same_values(
    before: Graph, after: Graph, *, exact: bool = False, special: bool = True, rtol: float = 1e-11
) -> None:
    """Both graphs compute the same: NaN and infinities in the same places, finite values within
    `rtol`; to the bit, signs of zeros included, if `exact`."""
    for arrays in arguments(before, special=special):
        (a, b), (c, d) = evaluate(before, arrays), evaluate(after, arrays)
        for old, new in zip((*a, *b), (*c, *d), strict=True):
            assert (old.dtype, old.shape) == (new.dtype, new.shape)
            if exact:
                np.testing.assert_array_equal(new, old)
                if old.dtype.kind == "f":
                    known = ~np.isnan(old)
                    np.testing.assert_array_equal(np.signbit(new)[known], np.signbit(old)[known])
            else:
                np.testing.assert_allclose(new, old, rtol=rtol, atol=rtol)
