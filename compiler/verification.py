"""`Program.verify`: every stage and the native code on the same arguments, compared in order.

Each stage is the previous one rewritten by some passes; the first whose results differ by more
than rounding is at fault. Its passes are then run one by one to name the guilty one, and the
values both graphs have by name are compared to find the op and the user's line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.errors import UnsupportedError, VerifyError
from ..ir.evaluate import evaluate
from ..ir.graph import Graph, Node
from ..ir.ops.autodiff import REQUESTS
from ..ir.text import Names, format_node
from ..runtime.interpreter import interpret
from .table import Table

Array = NDArray[Any]
Execute = Callable[[], Sequence[Array]]

TOLERANCE: Mapping[str, float] = {"f4": 2e-4, "f8": 1e-9}
"""Relative to the largest element of an array; other dtypes must agree exactly."""


@dataclass(frozen=True)
class StageCheck:
    """One executor: its largest difference from the first, relative to each array's largest
    element; None where it was not run, for the reason in `note`."""

    stage: str
    error: float | None
    note: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """All executors agree; how closely."""

    name: str
    rows: tuple[StageCheck, ...]

    @property
    def error(self) -> float:
        """The largest difference."""
        return max((row.error for row in self.rows if row.error is not None), default=0.0)

    def __str__(self) -> str:
        table = Table("stage", "difference", "")
        for row in self.rows:
            table.add(row.stage, "" if row.error is None else f"{row.error:.1e}", row.note)
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
    reference: list[Array] | None = None
    before: Version | None = None
    for version in stages:
        reason, found = _interpreted(version.graph, leaves)
        if found is None:
            rows.append(StageCheck(version.name, None, reason))
            continue
        reference = found if reference is None else reference
        if before is not None and not agree(reference, found):
            raise _blame(name, before, [*passes(version.name), version], leaves)
        rows.append(StageCheck(version.name, error(reference, found)))
        before = version
    assert reference is not None and before is not None  # the last stages always run
    computed = [np.asarray(x) for x in native()]
    if not agree(reference, computed):
        what = _difference(before.graph, reference, computed)
        raise VerifyError(f"{name}: {what} in native code")
    rows.append(StageCheck("native", error(reference, computed)))
    return VerifyReport(name, tuple(rows))


def agree(expected: Sequence[Array], found: Sequence[Array]) -> bool:
    """Whether every pair of arrays is equal up to rounding; NaN agrees with NaN."""
    return all(
        relative(a, b) <= TOLERANCE.get(a.dtype.str[1:], 0.0)
        for a, b in zip(expected, found, strict=True)
    )


def error(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """The largest relative difference of any pair."""
    return max((relative(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)


def relative(expected: Any, found: Any) -> float:
    """The largest difference, relative to the largest finite element (at least to 1e-30)."""
    if np.shape(expected) != np.shape(found):
        return float("inf")
    a, b = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    differs = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differs.any():
        return 0.0
    scale = np.max(np.abs(a), where=np.isfinite(a), initial=1e-30)
    gap = np.abs(a - b)[differs] / scale
    return float(np.max(np.where(np.isnan(gap), np.inf, gap)))


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
    name: str, before: Version, versions: Sequence[Version], leaves: Sequence[Array]
) -> VerifyError:
    """Name the first of the versions that disagrees with the one before it, and the op."""
    for version in versions:
        old, new = (_interpreted(v.graph, leaves)[1] for v in (before, version))
        if old is not None and new is not None:
            if not agree(old, new):
                where = _first_difference(before.graph, version.graph, leaves)
                found = where or _difference(version.graph, old, new)
                return VerifyError(f"{name}: {found} after pass {version.name!r}")
            before = version
    raise AssertionError("the last version is known to differ")


def _first_difference(old: Graph, new: Graph, leaves: Sequence[Array]) -> str:
    """The first node of `new` whose value differs from the value of that name in `old`."""
    expected = {name: value for name, _, value in _named_values(old, leaves)}
    for name, node, value in _named_values(new, leaves):
        if name in expected and not agree([expected[name]], [value]):
            return f"%{name} is wrong by {relative(expected[name], value):.1e}: {_line(new, node)}"
    return ""


def _named_values(graph: Graph, leaves: Sequence[Array]) -> list[tuple[str, Node, Array]]:
    """Every array a graph computes under a name of the user's, with its node."""
    names = Names(graph)
    found: list[tuple[str, Node, Array]] = []

    def observe(node: Node, results: Sequence[Any]) -> None:
        for value, array in zip(node.results, results, strict=True):
            if value.name is not None and isinstance(array, np.ndarray):
                found.append((names.use(value).removeprefix("%"), node, array))

    evaluate(graph, leaves, observe)
    return found


def _difference(graph: Graph, expected: Sequence[Array], found: Sequence[Array]) -> str:
    """The result or update that differs most, with the node that computes it."""
    results = list(graph.results)
    errors = [relative(a, b) for a, b in zip(expected, found, strict=True)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    node = graph.producer.get(results[worst])
    what = f"result {worst}" if worst < len(graph.outputs) else "an update"
    return f"{what} is wrong by {errors[worst]:.1e}: {_line(graph, node) if node else 'an input'}"


def _line(graph: Graph, node: Node) -> str:
    where = f" at {node.loc}" if node.loc else ""
    text, _, rest = format_node(graph, node).partition("\n")  # a region is left out
    return f"`{text}{' ..' if rest else ''}`{where}"
