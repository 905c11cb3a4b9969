"""What must hold of every program: all executors agree, at every stage, in every order of passes.

The reference is the interpreter on the traced graph, its derivatives expanded if it has any. How
closely others must agree is computed for each result: how far the reference is from the same graph
in higher precision, and how far it moves when the arguments change in their last places.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
from tapeless.compiler.pipeline import STEPS, Lowered, lower
from tapeless.compiler.verification import gap, moved
from tapeless.ir.errors import RUN_TIME_ERRORS, TapelessError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Node, Value
from tapeless.ir.ops.autodiff import REQUESTS
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.rewriting.rules import RulePass
from tapeless.passes.stable import stable
from tapeless.runtime.interpreter import interpret

from .growing import ADDING, Program
from .machine import Disagreement, refused_natively, run_native

Arrays = list[np.ndarray]
ROUNDINGS: Final = 64
"""How many times the error of the reference, or one unit in the last place of the largest element,
an executor may be away."""


REPAIRS: Final = frozenset(rule.name for rule in stable.rules)
"""Rules that make a finite number of one that overflows as written. Where something does, the
program means what it is after them."""


def meaning(graph: Graph) -> Graph:
    """The traced graph; with its derivatives taken, by the required passes alone, if it has any."""
    if not any(node.op.name in REQUESTS for node in graph.nodes):
        return graph
    return lower(graph, optimize=False, until="jacobian-free").graphs["jacobian-free"]


class Reference:
    """The results of a graph, and how uncertain each is: found out when something differs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.results = results(program.graph, program.arguments)

    @cached_property
    def margin(self) -> list[float]:
        """How far each result may be away: in proportion to how far rounding, the last places of
        the arguments, and the signs of zeros move it."""
        graph, arguments = self.program.graph, self.program.arguments
        worst = [0.0] * len(self.results)
        others = [lambda: precise(graph, arguments), lambda: other_zeros(graph, arguments)]
        others += [partial(results, graph, near) for near in moved(arguments, graph)]
        for run in others:
            with suppress(TapelessError):  # an index or a matrix that has just become invalid
                worst = list(map(max, worst, map(gap, self.results, run())))
        return [ROUNDINGS * (u + e) for u, e in zip(self.units, worst, strict=True)]

    @cached_property
    def units(self) -> list[float]:
        """One unit in the last place of each result."""
        return list(map(unit, self.results, coarsest(self.program.graph)))

    def compare(self, where: str, found: Sequence[Any]) -> None:
        """Disagreement unless every array is within its margin."""
        for k, (expected, array) in enumerate(zip(self.results, found, strict=True)):
            array = np.asarray(array)
            if (array.dtype, array.shape) != (expected.dtype, expected.shape):
                raise Disagreement(where, f"result {k} is {array.dtype}{array.shape}")
            away = gap(expected, array)
            if away > ROUNDINGS * self.units[k] and away > self.margin[k]:
                raise Disagreement(where, f"result {k} is off by {away:.2e}: {self.margin[k]:.1e}")


def unit(array: np.ndarray, eps: float) -> float:
    """One unit in the last place of the largest finite element, or of the 0.1 that terms which
    cancel may have had; 0 for integers. `eps` is that of the floats it was computed with."""
    if array.dtype.kind != "f":
        return 0.0
    wide = np.abs(np.asarray(array, np.float64))
    largest = np.max(wide, where=np.isfinite(wide), initial=0.0)
    return float(eps * (largest + 0.1))


def coarsest(graph: Graph) -> list[float]:
    """The machine epsilon of the coarsest floats each of `results` is computed with: what was f32
    on the way is no closer as f64."""

    def own(value: Value) -> float:
        return float(np.finfo(value.type.dtype).eps) if value.type.is_float else 0.0

    env = {v: own(v) for v in graph.inputs}
    for node in graph.nodes:
        before = max((env[v] for v in node.operands), default=0.0)
        env.update((v, max(own(v), before)) for v in node.results)
    written = after(graph, [env[v] for v in graph.inputs], [env[v] for _, v in graph.updates])
    return [*(env[v] for v in graph.outputs), *written]


def results(graph: Graph, arguments: Arrays) -> Arrays:
    """Outputs, then every argument as the step leaves it."""
    outputs, updates = interpret(graph, *arguments)
    return [*outputs, *after(graph, arguments, updates)]


def after(graph: Graph, arguments: Sequence[Any], updates: Sequence[Any]) -> list[Any]:
    """The arguments with the updates in their places."""
    written = {t: value for (t, _), value in zip(graph.updates, updates, strict=True)}
    return [written.get(v, a) for v, a in zip(graph.inputs, arguments, strict=True)]


def precise(graph: Graph, arguments: Arrays) -> Arrays:
    """The graph with every float one size wider: f32 in f64, f64 in NumPy's long double."""
    wider = {"f4": np.float64, "f8": np.longdouble}

    def widened(x: Any) -> Any:
        kind = np.asarray(x).dtype.str[1:]
        return np.asarray(x, wider[kind]) if kind in wider else x

    def run(node: Node, operands: list[Any]) -> Any:
        if node.op.name == "cast" and node.result.type.is_float:
            return operands[0].astype(wider[node.result.type.dtype.str[1:]])
        try:
            return node.op.evaluate(*operands, **node.attrs)
        except TypeError:  # LAPACK has no long double
            narrow = [
                np.asarray(x, np.float64 if v.type.is_float else v.type.dtype)
                for x, v in zip(operands, node.operands, strict=True)
            ]
            return node.op.evaluate(*narrow, **node.attrs)

    return otherwise(graph, [widened(a) for a in arguments], run, widened)


SUMMING: Final = (
    frozenset({"add", "sub", "dot", "sum", "cumsum", "recurrence", "expm1", "log", "log1p"})
    | ADDING
)
"""Ops that make a zero of terms which cancel."""


def other_zeros(graph: Graph, arguments: Arrays) -> Arrays:
    """The graph with the other sign on every zero that a sum makes."""

    def run(node: Node, operands: list[Any]) -> Any:
        found = node.op.evaluate(*operands, **node.attrs)
        if node.op.name in SUMMING and node.result.type.is_float:
            return np.where(found == 0, -found, found)
        return found

    return otherwise(graph, arguments, run, lambda x: x)


def otherwise(
    graph: Graph,
    arguments: Sequence[Any],
    run: Callable[[Node, list[Any]], Any],
    made: Callable[[Any], Any],
) -> list[Any]:
    """The results of the graph where `run` evaluates its nodes, in whatever dtypes."""
    env: dict[Value, Any] = dict(zip(graph.inputs, arguments, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            found = run(node, [env[v] for v in node.operands])
            several = found if isinstance(found, tuple) else (found,)
            env.update(zip(node.results, map(made, several), strict=True))
    written = after(graph, [env[v] for v in graph.inputs], [env[v] for _, v in graph.updates])
    return [*(env[v] for v in graph.outputs), *written]


def check(program: Program, rng: random.Random, *, native: bool = False) -> Counter[str]:
    """Disagreement, VerifyError or whatever else is raised if something is wrong; else how often
    each rewrite rule fired."""
    graph, arguments = program.graph, program.arguments
    before = [a.tobytes() for a in arguments]
    text = str(graph) if rng.random() < 0.25 else None
    if text is not None and str(parse(text)) != text:
        raise Disagreement("text", "the text does not parse back to itself")
    lowered = lower(graph, verify=True)
    try:
        reference = judge(program, lowered)
    except RUN_TIME_ERRORS:
        check_refused(program, lowered, rng, native=native)
        return lowered.fired
    if reference is None:
        return lowered.fired
    known = reference.program.graph
    for name, version, fired in versions(lowered, known, rng):
        if not spreads(fired, known, arguments):
            reference.compare(name, results(version, arguments))
    if native:
        fine, flush = rng.random() < 0.5, rng.random() < 0.2
        found = run_native(lowered, arguments, fine=fine, flush=flush)
        if not (flush and occurs(is_subnormal, known, arguments)):
            reference.compare("native", found)
    if [a.tobytes() for a in arguments] != before:
        raise Disagreement("interpreter", "an argument was written to")
    if text is not None and str(graph) != text:
        raise Disagreement("passes", "the traced graph was changed")
    return lowered.fired


def check_native(program: Program, lowered: Lowered) -> None:
    """The part of `check` that runs native code."""
    try:
        reference = judge(program, lowered)
    except RUN_TIME_ERRORS:
        refused_natively(program, lowered)
        return
    if reference is not None:
        reference.compare("native", run_native(lowered, program.arguments))


def judge(program: Program, lowered: Lowered) -> Reference | None:
    """The results to compare with; None where nothing can be said. RUN_TIME_ERRORS if the graph
    refuses the arguments."""
    graph, arguments = meaning(program.graph), program.arguments
    reference = Reference(Program(graph, arguments))
    if indeterminate(graph, arguments):
        return None
    known = repaired(lowered, graph, arguments)
    if known is None or known is graph:
        return None if known is None else reference
    return Reference(Program(known, arguments))


def repaired(lowered: Lowered, graph: Graph, arguments: Arrays) -> Graph | None:
    """What a graph means: after repairs where it overflows as written. None where it is open which
    elements are NaN."""
    if not REPAIRS.isdisjoint(lowered.fired) and overflowing(graph, arguments):
        graph = lowered.graphs["jacobian-free"]
    return None if spreads(lowered.fired, graph, arguments) else graph


def spreads(fired: Container[str], graph: Graph, arguments: Arrays) -> bool:
    """Whether what fired leaves it open which elements of the results are NaN."""
    found = {what for rule, what in SPREADING.items() if rule in fired}
    return any(occurs(what, graph, arguments) for what in found)


SPREADING: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        ("log_softmax_parts", "dot_of_scaled", "sum_of_scaled", "sum_of_dot", "reassociate"),
        np.isinf,
    ),
    **dict.fromkeys(
        ("added_taps", "added_selected_taps", "added_outer_taps"), lambda x: ~np.isfinite(x)
    ),
}
"""Rules after which elements beside such a one may be NaN, or another infinity."""


Version = tuple[str, Graph, set[str]]
"""What a graph was made into: how, what that is, and what fired on the way."""


def versions(lowered: Lowered, known: Graph, rng: random.Random) -> Iterator[Version]:
    """What `known` has been made into: by the pipeline, and by some passes in another order."""
    derived = any(node.op.name in REQUESTS for node in lowered.graphs["trace"].nodes)
    before = known
    for stage, version in lowered.graphs.items():
        executable = stage != "trace" and not (derived and stage in ("stable", "autodiff"))
        if executable and version is not before:
            yield f"stage {stage}", version, set()
            before = version
    yield from shuffled(known, rng)


def check_refused(
    program: Program, lowered: Lowered, rng: random.Random, *, native: bool = False
) -> None:
    """The arguments are refused: an index is out of range. Passes may drop a check with the value
    nobody needs, and nothing else may be raised."""
    for _, version, _ in versions(lowered, meaning(program.graph), rng):
        with suppress(*RUN_TIME_ERRORS):
            results(version, program.arguments)
    if native:
        refused_natively(program, lowered)


def overflowing(graph: Graph, arguments: Arrays) -> bool:
    """Whether an argument or a node has an element that is infinite or NaN."""
    return occurs(lambda x: ~np.isfinite(x), graph, arguments)


def occurs(what: Callable[[Any], Any], graph: Graph, arguments: Arrays) -> bool:
    """Whether an argument or a node has such an element."""
    found = any(bool(np.any(what(a))) for a in arguments)

    def observe(node: Node, values: Sequence[Any]) -> None:
        nonlocal found
        found = found or any(bool(np.any(what(v))) for v in values)

    evaluate(graph, arguments, observe)
    return found


def is_subnormal(x: Any) -> Any:
    """Which numbers are taken for zero where these are."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        return False
    return (x != 0) & (np.abs(x) < np.finfo(x.dtype).smallest_normal)


SYSTEMS: Final = frozenset({"solve", "solve_triangular", "lu", "cholesky", "det_sign", "logabsdet"})
CONDITION: Final = 1e-3
"""A matrix is as good as singular if its condition times the machine epsilon is above this."""


def indeterminate(graph: Graph, arguments: Arrays) -> bool:
    """Whether a system of equations is solved that has no solution in numbers: whether a matrix
    with a NaN, or one that is singular but for rounding, is singular, the sign of its determinant,
    and what its inverse is, is LAPACK's own affair."""
    if not any(node.op.kind == "linalg" for node in graph.nodes):
        return False
    doubtful = False

    def run(node: Node, operands: list[Any]) -> Any:
        nonlocal doubtful
        found = node.op.evaluate(*operands, **node.attrs)
        if node.op.kind == "linalg":
            several = found if isinstance(found, tuple) else (found,)
            doubtful |= not all(np.all(np.isfinite(x)) for x in (*operands, *several))
            doubtful |= node.op.name in SYSTEMS and nearly_singular(operands[0])
        return found

    otherwise(graph, arguments, run, lambda x: x)
    return doubtful


def nearly_singular(matrix: Any) -> bool:
    """Whether rounding may decide if any of these matrices has an inverse."""
    if matrix.size == 0 or not np.all(np.isfinite(matrix)):
        return False
    return bool(np.any(np.linalg.cond(matrix) * np.finfo(matrix.dtype).eps > CONDITION))


OPTIONAL: Final = tuple({step.name: step for step in STEPS if not step.required}.values())


def shuffled(graph: Graph, rng: random.Random) -> Iterator[Version]:
    """Some of the optional passes in any order, each after all it needs; last in code's terms."""
    decompose = next(step for step in STEPS if step.name == "decompose")
    early = [step for step in OPTIONAL if step.stage != "fused"]
    chosen = rng.sample(early, rng.randint(1, len(early)))
    chosen.insert(rng.randint(0, len(chosen)), decompose)
    late = [step for step in OPTIONAL if step.stage == "fused"]
    done, fired = [], set[str]()
    for step in [*chosen, *rng.sample(late, rng.randint(0, len(late)))]:
        before = graph
        if isinstance(step.run, RulePass):
            graph, rules = step.run.run(graph)
            fired |= set(rules)
        else:
            graph = step.run(graph)
        done.append(step.name)
        if graph is not before:
            fired.add(step.name)
            verify(graph, after=step.name)
            yield f"after {' '.join(done)}", graph, fired
