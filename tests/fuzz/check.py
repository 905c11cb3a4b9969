"""What must hold of every program: all executors agree, at every stage, in every order of passes.

The reference is the interpreter on the traced graph, its derivatives expanded if it has any. How
closely others must agree is computed for each result: how far the reference is from the same graph
in higher precision, and how far it moves when the arguments change in their last places.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from tapeless.compiler.native import build
from tapeless.compiler.pipeline import STEPS, Lowered, lower
from tapeless.compiler.verification import gap, moved
from tapeless.ir.errors import RUN_TIME_ERRORS, TapelessError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Node, Value
from tapeless.ir.ops.autodiff import REQUESTS
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.stable import stable
from tapeless.runtime.interpreter import interpret

from .growing import Program

Arrays = list[np.ndarray]
ROUNDINGS: Final = 64
"""How many times the error of the reference, or one unit in the last place of the largest element,
an executor may be away."""


REPAIRS: Final = frozenset(rule.name for rule in stable.rules)
"""Rules that make a finite number of one that overflows as written. Where something does, the
program means what it is after them."""


class Disagreement(AssertionError):
    """An executor is wrong: `where` names it."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where


def meaning(graph: Graph) -> Graph:
    """The traced graph; with its derivatives taken, by the required passes alone, if it has any."""
    if not any(node.op.name in REQUESTS for node in graph.nodes):
        return graph
    return lower(graph, optimize=False, until="jacobian-free").graphs["jacobian-free"]


class Reference:
    """The results of a graph, and how uncertain each is."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.results = results(program.graph, program.arguments)
        self.margin = [
            ROUNDINGS * (error + unit(r))
            for r, error in zip(self.results, self._errors(), strict=True)
        ]

    def _errors(self) -> list[float]:
        """How far rounding and the last places of the arguments move each result."""
        graph, arguments = self.program.graph, self.program.arguments
        worst = list(map(gap, self.results, precise(graph, arguments)))
        for others in moved(arguments, graph):
            try:
                found = results(graph, others)
            except TapelessError:  # an index or a matrix that has just become invalid
                continue
            worst = list(map(max, worst, map(gap, self.results, found)))
        return worst

    def compare(self, where: str, found: Sequence[Any]) -> None:
        """Disagreement unless every array is within its margin."""
        for k, (expected, array) in enumerate(zip(self.results, found, strict=True)):
            array = np.asarray(array)
            if (array.dtype, array.shape) != (expected.dtype, expected.shape):
                raise Disagreement(where, f"result {k} is {array.dtype}{array.shape}")
            away = gap(expected, array)
            if away > self.margin[k]:
                raise Disagreement(where, f"result {k} is off by {away:.2e}: {self.margin[k]:.1e}")


def unit(array: np.ndarray) -> float:
    """One unit in the last place of the largest finite element, or of the 0.1 that terms which
    cancel may have had; 0 for integers."""
    if array.dtype.kind != "f":
        return 0.0
    wide = np.abs(np.asarray(array, np.float64))
    largest = np.max(wide, where=np.isfinite(wide), initial=0.0)
    return float(np.finfo(array.dtype).eps * (largest + 0.1))


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

    env: dict[Value, Any] = dict(zip(graph.inputs, map(widened, arguments), strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operands = [env[v] for v in node.operands]
            if node.op.name == "cast" and node.result.type.is_float:
                found: Any = operands[0].astype(wider[node.result.type.dtype.str[1:]])
            else:
                try:
                    found = node.op.evaluate(*operands, **node.attrs)
                except TypeError:  # LAPACK has no long double
                    narrow = [
                        np.asarray(x, np.float64 if v.type.is_float else v.type.dtype)
                        for x, v in zip(operands, node.operands, strict=True)
                    ]
                    found = node.op.evaluate(*narrow, **node.attrs)
            several = found if isinstance(found, tuple) else (found,)
            env.update(zip(node.results, map(widened, several), strict=True))
    written = after(graph, [env[v] for v in graph.inputs], [env[v] for _, v in graph.updates])
    return [*(env[v] for v in graph.outputs), *written]


def check(program: Program, rng: random.Random, *, native: bool = False) -> Counter[str]:
    """Disagreement, VerifyError or whatever else is raised if something is wrong; else how often
    each rewrite rule fired."""
    graph, arguments = program.graph, program.arguments
    text = str(graph)
    verify(graph)
    if str(parse(text)) != text:
        raise Disagreement("text", "the text does not parse back to itself")
    known = meaning(graph)
    try:
        reference = Reference(Program(known, arguments))
    except RUN_TIME_ERRORS:
        return check_refused(program, native=native)
    before = [a.tobytes() for a in arguments]
    lowered = lower(graph, verify=True)
    if indeterminate(known, arguments):
        return lowered.fired
    if not REPAIRS.isdisjoint(lowered.fired) and overflowing(known, arguments):
        known = lowered.graphs["jacobian-free"]
        reference = Reference(Program(known, arguments))
    for stage, version in lowered.graphs.items():
        if stage != "trace" and (known is graph or stage not in ("stable", "autodiff")):
            reference.compare(f"stage {stage}", results(version, arguments))
    for name, version in shuffled(known, rng):
        reference.compare(f"after {name}", results(version, arguments))
    if native:
        reference.compare("native", run_native(lowered, arguments))
    if [a.tobytes() for a in arguments] != before:
        raise Disagreement("interpreter", "an argument was written to")
    if str(graph) != text:
        raise Disagreement("passes", "the traced graph was changed")
    return lowered.fired


def check_refused(program: Program, *, native: bool) -> Counter[str]:
    """The arguments are refused: an index is out of range. Passes may drop a check with the value
    nobody needs, but code checks what its graph checks, and writes nothing if that fails."""
    lowered = lower(program.graph, verify=True)
    if native:
        raised = []
        copies = [a.copy() for a in program.arguments]
        called = build(lowered.graphs["planned"], keep=False)
        for execute in (lambda: interpret(lowered.graphs["planned"], *program.arguments),
                        lambda: called.call(tuple(copies))):  # fmt: skip
            try:
                execute()
                raised.append("nothing")
            except RUN_TIME_ERRORS as error:
                raised.append(type(error).__name__)
        if raised[0] != raised[1]:
            raise Disagreement("native", f"raises {raised[1]}, the interpreter {raised[0]}")
        same = map(np.ndarray.tobytes, copies), map(np.ndarray.tobytes, program.arguments)
        if raised[1] != "nothing" and list(same[0]) != list(same[1]):
            raise Disagreement("native", "an argument was written to by a call that failed")
    return lowered.fired


def overflowing(graph: Graph, arguments: Arrays) -> list[Node]:
    """The nodes with an infinite or NaN result."""
    found: list[Node] = []

    def observe(node: Node, values: Sequence[Any]) -> None:
        if not all(np.all(np.isfinite(v)) for v in values):
            found.append(node)

    evaluate(graph, arguments, observe)
    return found


def indeterminate(graph: Graph, arguments: Arrays) -> bool:
    """Whether a system of equations is solved that has no solution in numbers: whether a matrix
    with a NaN is singular, and which elements of its inverse are NaN, is LAPACK's own affair."""
    return any(node.op.kind == "linalg" for node in overflowing(graph, arguments))


OPTIONAL: Final = tuple({step.name: step for step in STEPS if not step.required}.values())


def shuffled(graph: Graph, rng: random.Random) -> Iterator[tuple[str, Graph]]:
    """Some of the optional passes in any order, each after all it needs; last in code's terms."""
    decompose = next(step for step in STEPS if step.name == "decompose")
    early = [step for step in OPTIONAL if step.stage != "fused"]
    chosen = rng.sample(early, rng.randint(1, len(early)))
    chosen.insert(rng.randint(0, len(chosen)), decompose)
    late = [step for step in OPTIONAL if step.stage == "fused"]
    done = []
    for step in [*chosen, *rng.sample(late, rng.randint(0, len(late)))]:
        graph = step.run(graph)
        done.append(step.name)
        verify(graph, after=step.name)
        yield " ".join(done), graph


def run_native(lowered: Lowered, arguments: Arrays) -> Arrays:
    """Native code on copies: outputs, then the arguments as it leaves them."""
    graph = lowered.graphs["planned"]
    copies = [a.copy() for a in arguments]
    outputs = build(graph, keep=False).call(tuple(copies))
    assert outputs is not None
    return [*outputs, *copies]
