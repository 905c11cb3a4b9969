"""`Program.verify`: every stage and the native code on the same arguments, compared in order.

Each stage is the previous one rewritten by some passes; the first whose results differ by more
than rounding is at fault. Its passes are then run one by one to name the guilty one, and the
values both graphs have by name are compared to find the op and the user's line.

Note: how much is rounding? Usually a small part of an array's largest element. Not where a result
cancels: on symmetric data a gradient is 0 but for rounding, and 1e-17 in one order of summation is
2e-17 in another. Such a result is as uncertain as its condition makes it, so before anyone is
blamed the reference runs again on arguments that differ in their last places, and differences of
the size it moves by are forgiven. The price: a result that jumps (a tie in `max`, a rounded 2.5)
moves far, and on such arguments nothing about it can be verified; its row in the report says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..ir.errors import RUN_TIME_ERRORS, UnsupportedError, VerifyError
from ..ir.evaluate import evaluate
from ..ir.graph import Graph, Node
from ..ir.ops.autodiff import REQUESTS
from ..ir.record import dataclass
from ..ir.text import Names, format_node
from ..runtime.interpreter import interpret
from .table import Table

Array = NDArray[Any]
Execute = Callable[[], Sequence[Array]]

TOLERANCE: Mapping[str, float] = {"f4": 2e-4, "f8": 1e-9}
"""Relative to the largest element of an array; other dtypes must agree exactly."""

ULPS: Final = 4
"""How far arguments are moved to see how far the results go."""

SLACK: Final = 32
"""How many times that distance two executors may be apart: each rounds at every step, the moved
arguments are rounded once."""

ILL_CONDITIONED: Final = (
    "ill-conditioned: a change in the last places of the arguments does as much"
)


@dataclass(frozen=True)
class StageCheck:
    """One executor: its largest difference from the first, relative to each array's largest
    element, and in units in the last place of that; None where it was not run. `note` says why
    not, or why a large difference is fine."""

    stage: str
    error: float | None
    ulps: float | None
    note: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """All executors agree; how closely."""

    name: str
    rows: tuple[StageCheck, ...]

    @property
    def error(self) -> float:
        """The largest difference, relative to the largest element of its array: large where an
        ill-conditioned result (its row says so) is nothing but rounding."""
        return max((row.error for row in self.rows if row.error is not None), default=0.0)

    def __str__(self) -> str:
        table = Table("stage", "difference", "ulp", "")
        for row in self.rows:
            numbers = ("" if n is None else f"{n:.1e}" for n in (row.error, row.ulps))
            table.add(row.stage, *numbers, row.note)
        return f"{self.name}: all executors agree\n{table}"


@dataclass(frozen=True)
class Version:
    """A graph and what made it: a stage, or a pass within one."""

    name: str
    graph: Graph


def verify(
    name: str,
    stages: Sequence[Version],
    passes: Callable[[str], Iterable[Version]],
    native: Execute,
    leaves: Sequence[Array],
) -> VerifyReport:
    """Compare `stages` in order, then `native`, on `leaves` (one array per input).

    `passes(stage)` gives the graph after each pass of a stage. VerifyError at the first
    difference beyond `TOLERANCE`.
    """
    rows: list[StageCheck] = []
    reference: Reference | None = None
    before: Version | None = None
    for version in stages:
        reason, found = _interpreted(version.graph, leaves)
        if found is None:
            rows.append(StageCheck(version.name, None, None, reason))
            continue
        reference = reference or Reference(version.graph, leaves, found)
        if before is not None and not reference.agrees(found):
            candidates = [*passes(version.name), version]
            raise _blame(name, reference, before, candidates, leaves)
        rows.append(reference.check(version.name, found))
        before = version
    assert reference is not None and before is not None  # the last stages always run
    computed = [np.asarray(x) for x in native()]
    if not reference.agrees(computed):
        what = _difference(before.graph, reference, computed)
        raise VerifyError(f"{name}: {what} in native code")
    rows.append(reference.check("native", computed))
    return VerifyReport(name, tuple(rows))


class Reference:
    """The results all executors are compared with, and how far rounding moves them."""

    def __init__(self, graph: Graph, leaves: Sequence[Array], results: Sequence[Array]) -> None:
        self._graph = graph
        self._leaves = leaves
        self.results = results

    @cached_property
    def motion(self) -> Sequence[float]:
        """How far each result moves when the arguments change in their last places. Runs the graph,
        so it is asked for only when a difference needs an explanation."""
        farthest = [0.0] * len(self.results)
        for leaves in moved(self._leaves, self._graph):
            with suppress(
                *RUN_TIME_ERRORS
            ):  # a float that becomes an index crosses the end of an array
                found = itertools.chain(*interpret(self._graph, *leaves))
                gaps = map(gap, self.results, found)
                farthest = list(map(max, farthest, gaps))
        return farthest

    def agrees(self, found: Sequence[Array]) -> bool:
        """Whether every array equals its reference up to rounding; NaN agrees with NaN."""
        pairs = list(zip(self.results, found, strict=True))
        return all(close(a, b) for a, b in pairs) or all(
            close(a, b, motion) for (a, b), motion in zip(pairs, self.motion, strict=True)
        )

    def wrong(self, found: Sequence[Array]) -> list[int]:
        """The positions of the arrays that do not agree."""
        triples = zip(self.results, found, self.motion, strict=True)
        return [k for k, (a, b, motion) in enumerate(triples) if not close(a, b, motion)]

    def check(self, stage: str, found: Sequence[Array]) -> StageCheck:
        """The row of an executor that agrees."""
        pairs = list(zip(self.results, found, strict=True))
        note = "" if all(close(a, b) for a, b in pairs) else ILL_CONDITIONED
        error, last = (max((f(a, b) for a, b in pairs), default=0.0) for f in (relative, ulps))
        return StageCheck(stage, error, last, note)


def moved(leaves: Sequence[Array], graph: Graph) -> list[list[Array]]:
    """Twice the arguments, every float a few units in the last place away; always the same way.
    The last place is that of the coarsest float the graph computes with: a step that casts its f64
    arguments to f32 is no more certain than one that takes f32."""
    random = np.random.default_rng(0)
    computed = (v.type for node in graph.nodes for v in node.results)
    coarsest = max((np.finfo(t.dtype).eps for t in computed if t.is_float), default=0.0)

    def move(x: Array) -> Array:
        if x.dtype.kind != "f":
            return x
        steps = random.integers(-ULPS, ULPS + 1, x.shape)
        return np.asarray(x * (1 + steps * max(coarsest, np.finfo(x.dtype).eps)), x.dtype)

    with np.errstate(over="ignore"):
        return [[move(x) for x in leaves] for _ in range(2)]


def close(expected: Array, found: Array, motion: float = 0.0) -> bool:
    """Whether two arrays are equal up to rounding, for a result that rounding moves so far."""
    tolerance = TOLERANCE.get(expected.dtype.str[1:])
    if tolerance is None:
        return gap(expected, found) == 0.0
    return gap(expected, found) <= tolerance * _largest(expected) + SLACK * motion


def relative(expected: Any, found: Any) -> float:
    """The largest difference, relative to the largest finite element (at least to 1e-30)."""
    return gap(expected, found) / _largest(expected)


def ulps(expected: Any, found: Any) -> float:
    """The largest difference, in units in the last place of the largest finite element; of
    integers the difference itself."""
    a = np.asarray(expected)
    away = gap(a, found)
    return away / float(np.spacing(a.dtype.type(_largest(a)))) if a.dtype.kind == "f" else away


def gap(expected: Any, found: Any) -> float:
    """The largest difference; infinite between other shapes, and between NaN and a number. Integers
    that differ are at least 1 apart, where a float of 53 bits could not tell them apart."""
    a, b = np.asarray(expected), np.asarray(found)
    if a.shape != b.shape:
        return float("inf")
    differs = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differs.any():
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(a[differs].astype(np.float64) - b[differs].astype(np.float64))
    distance[np.isnan(distance)] = np.inf  # a NaN on one side; inf and -inf are inf apart already
    return float(max(np.max(distance), 0.0 if a.dtype.kind == "f" else 1.0))


def _largest(array: Any) -> float:
    """The largest finite element, at least 1e-30."""
    a = np.asarray(array, np.float64)
    return float(np.max(np.abs(a), where=np.isfinite(a), initial=1e-30))


def _interpreted(graph: Graph, leaves: Sequence[Array]) -> tuple[str, list[Array] | None]:
    """Results and updates of a graph, or why it cannot be interpreted."""
    if any(node.op.name in REQUESTS for node in graph.nodes):
        return "derivatives are not expanded yet", None
    try:
        outputs, updates = interpret(graph, *leaves)
    except UnsupportedError:
        return "Jacobians too large to build", None
    return "", [*outputs, *updates]


def _blame(
    name: str,
    reference: Reference,
    before: Version,
    versions: Sequence[Version],
    leaves: Sequence[Array],
) -> VerifyError:
    """Name the first of the versions that disagrees, and the op."""
    for version in versions:
        found = _interpreted(version.graph, leaves)[1]
        if found is None:
            continue
        if not reference.agrees(found):
            where = _first_difference(before.graph, version.graph, leaves)
            what = where or _difference(version.graph, reference, found)
            return VerifyError(f"{name}: {what} after pass {version.name!r}")
        before = version
    raise AssertionError("the last version is known to differ")


def _first_difference(old: Graph, new: Graph, leaves: Sequence[Array]) -> str:
    """The first node of `new` whose value differs from the value of that name in `old`."""
    expected, *others = (
        {name: value for name, _, value in _named_values(old, arrays)}
        for arrays in (leaves, *moved(leaves, old))
    )
    for name, node, value in _named_values(new, leaves):
        if name in expected:
            right = expected[name]
            motion = max(gap(right, other.get(name, right)) for other in others)
            if not close(right, value, motion):
                return f"%{name} is wrong by {_amount(right, value)}: {_line(new, node)}"
    return ""


def _named_values(graph: Graph, leaves: Sequence[Array]) -> list[tuple[str, Node, Array]]:
    """Every array a graph computes under a name of the user's, with its node."""
    names = Names(graph)
    found: list[tuple[str, Node, Array]] = []

    def observe(node: Node, results: Sequence[Any]) -> None:
        for value, array in zip(node.results, results, strict=True):
            if value.name is not None and isinstance(array, np.ndarray):
                found.append((names.use(value).removeprefix("%"), node, array))

    with suppress(*RUN_TIME_ERRORS):  # of moved leaves: what was computed until then is enough
        evaluate(graph, leaves, observe)
    return found


def _difference(graph: Graph, reference: Reference, found: Sequence[Array]) -> str:
    """The wrong result or update that differs most, with the node that computes it."""
    pairs = list(zip(reference.results, found, strict=True))
    worst = max(reference.wrong(found), key=lambda k: relative(*pairs[k]))
    node = graph.producer.get(list(graph.results)[worst])
    what = f"result {worst}" if worst < len(graph.outputs) else "an update"
    line = _line(graph, node) if node else "an input"
    return f"{what} is wrong by {_amount(*pairs[worst])}: {line}"


def _amount(expected: Array, found: Array) -> str:
    if expected.dtype.kind != "f":
        return f"{gap(expected, found):.3g}"
    return (
        f"{relative(expected, found):.1e} of its largest element, {ulps(expected, found):.1e} ulp"
    )


def _line(graph: Graph, node: Node) -> str:
    where = f" at {node.loc}" if node.loc else ""
    text, _, rest = format_node(graph, node).partition("\n")  # a region is left out
    return f"`{text}{' ..' if rest else ''}`{where}"
