"""From the traced graph to the planned one: every pass, in order, on one screen.

    lower(graph) -> Lowered(graphs, timings, fired)

Two environment variables look into it or change it:

    TAPELESS_DUMP=DIR   write the IR after every pass that changes it into DIR ("-": to stderr)
    TAPELESS_SKIP=a,b   leave out passes or single rewrite rules by name
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import field
from pathlib import Path
from typing import Final, NamedTuple

from ..ir.errors import TapelessError
from ..ir.graph import Graph
from ..ir.record import dataclass
from ..ir.verify import verify as verify_graph
from ..passes.assemble import assemble
from ..passes.autodiff import autodiff
from ..passes.components import split_components
from ..passes.convolutions import join_convolutions
from ..passes.copies import copy_once
from ..passes.cse import cse
from ..passes.dce import dce
from ..passes.decompose import decompose
from ..passes.epilogues import join_epilogues
from ..passes.fold import fold
from ..passes.fuse import fuse
from ..passes.halves import halve_products
from ..passes.interleaved import order_axes
from ..passes.jacobian_free import jacobian_free
from ..passes.lanes import choose_lanes
from ..passes.layouts import lay_out_windows
from ..passes.operands import copy_transposed
from ..passes.reassociate import reassociate
from ..passes.recompute import recompute
from ..passes.rewriting.rules import RulePass
from ..passes.row_functions import split_rows
from ..passes.simplify import simplify
from ..passes.small_arrays import replace_small_arrays
from ..passes.split_pieces import split_pieces
from ..passes.stable import stable
from ..passes.transposes import absorb_transposes
from ..passes.update_fusion import fuse_updates
from .memory import plan_memory
from .stages import STAGES


class Step(NamedTuple):
    """A pass at its place in the pipeline. Without the required ones there is no program."""

    stage: str
    run: Callable[[Graph], Graph]
    reason: str
    required: bool = False

    @property
    def name(self) -> str:
        return str(self.run.__name__)


STEPS: Final = (
    Step("stable", dce, "what the trace computes for nothing hides patterns: it counts as a use"),
    Step("stable", fold, "patterns are written with numbers, not with arithmetic on numbers"),
    Step("stable", cse, "patterns name a value twice; it must be one value"),
    Step("stable", stable, "no later pass may repair the derivative of an unstable form"),
    Step("stable", cse, "several patterns may end in the same softmax"),
    Step("stable", reassociate, "the derivative inherits the cheap order of contractions"),
    Step("autodiff", autodiff, "expands derivatives into explicit Jacobians", required=True),
    Step("jacobian-free", jacobian_free, "contracts Jacobians away, zeros first", required=True),
    Step("optimized", decompose, "code generation knows primitives only", required=True),
    Step("optimized", fold, "derivatives of constants and counts are constants"),
    Step("optimized", cse, "forward and backward pass share much, simplify counts the readers"),
    Step("optimized", replace_small_arrays, "a few numbers need no loops, nor to be moved"),
    Step("optimized", simplify, "neutral elements, signs, moves and selections cost nothing more"),
    Step("optimized", absorb_transposes, "a contraction reads in any order of axes"),
    Step("optimized", reassociate, "with transposes gone, chains of contractions are visible"),
    Step("optimized", simplify, "new contractions have new surroundings"),
    Step("optimized", split_components, "what is joined to be taken apart again need not be"),
    Step("optimized", cse, "simplification makes values equal"),
    Step("optimized", dce, "what is left over"),
    Step(
        "fused",
        lay_out_windows,
        "convolutions and their derivatives are matrix products, or slices",
    ),
    Step(
        "fused", order_axes, "a copy in order and a matrix product cost less than a loop over all"
    ),
    Step("fused", choose_lanes, "vectors run along the longer of two axes"),
    Step("fused", cse, "they share one copy of the windows"),
    Step("fused", fuse_updates, "an update that is a contraction needs no gradient array"),
    Step("fused", halve_products, "processors read the parameters that they update, no others"),
    Step("fused", fuse, "what is left runs in few loops over memory"),
    Step("fused", recompute, "loading a cheap value costs more than computing it again"),
    Step("fused", split_rows, "functions of what rows are reduced to are computed by vectors"),
    Step("fused", copy_transposed, "what is read many times is laid out as it is read"),
    Step("fused", assemble, "parts of an array are computed where they belong"),
    Step("fused", join_convolutions, "windows are used up as they are made"),
    Step("fused", split_pieces, "what is joined for a loop to read need not be written"),
    Step("fused", copy_once, "what is left of moves takes one copy"),
    Step("fused", join_epilogues, "a gradient that an optimiser reads once need not be an array"),
    Step("planned", plan_memory, "order, places in one arena, updates in place", required=True),
)


class Timing(NamedTuple):
    """One pass: where, how long, and the number of nodes before and after."""

    stage: str
    name: str
    seconds: float
    before: int
    after: int


@dataclass
class Lowered:
    """The graph of every stage reached, what each pass took, and how often each rule fired (for
    `cse` and `dce`: how many nodes they removed)."""

    graphs: dict[str, Graph]
    timings: list[Timing] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)


def lower(
    graph: Graph, *, optimize: bool = True, until: str = "planned", verify: bool = False
) -> Lowered:
    """Run the passes on a traced graph, up to and including the stage `until`.

    With `optimize=False` only the required passes run. With `verify` the graph is checked after
    every pass; VerifyError names the guilty one. ValueError for an unknown stage, TapelessError
    for a TAPELESS_SKIP that cannot be honoured.
    """
    if until not in STAGES:
        raise ValueError(f"no stage {until!r}; the stages are {', '.join(STAGES)}")
    skip = _skipped()
    dump = _Dump(graph)
    lowered = Lowered({"trace": graph})
    if verify:
        verify_graph(graph, after="trace")
    dump("trace", graph)
    for stage in STAGES[1 : STAGES.index(until) + 1]:
        for step in STEPS:
            if step.stage == stage and (optimize or step.required) and step.name not in skip:
                before, graph = graph, _run(step, graph, skip, lowered)
                if graph is before:
                    continue
                if verify:
                    verify_graph(graph, after=step.name)
                dump(f"{stage}-{step.name}", graph)
        lowered.graphs[stage] = graph
    return lowered


def settings() -> tuple[str, ...]:
    """What decides the lowered graph besides the traced one and `optimize`."""
    return tuple(sorted(_skipped()))


def _run(step: Step, graph: Graph, skip: AbstractSet[str], lowered: Lowered) -> Graph:
    """Run one pass; note its time, the nodes before and after, and what fired."""
    start = time.perf_counter()
    if isinstance(step.run, RulePass):
        result, fired = step.run.run(graph, skip=skip)
        lowered.fired.update(fired)
    else:
        result = step.run(graph)
        if result is not graph:
            lowered.fired[step.name] += max(len(graph.nodes) - len(result.nodes), 1)
    seconds = time.perf_counter() - start
    counts = len(graph.nodes), len(result.nodes)
    lowered.timings.append(Timing(step.stage, step.name, seconds, *counts))
    return result


def _skipped() -> frozenset[str]:
    """The passes and rules that TAPELESS_SKIP names."""
    names = frozenset(filter(None, os.environ.get("TAPELESS_SKIP", "").replace(" ", "").split(",")))
    required = {step.name for step in STEPS if step.required}
    if names & required:
        raise TapelessError(
            f"TAPELESS_SKIP: {', '.join(sorted(names & required))} cannot be skipped: "
            "without it there is no program"
        )
    known = set(_skippable())
    if unknown := sorted(names - known):
        near = difflib.get_close_matches(unknown[0], sorted(known))
        hint = f"; close to it: {', '.join(near)}" if near else ""
        raise TapelessError(f"TAPELESS_SKIP: no pass or rule named {', '.join(unknown)}{hint}")
    return names


def _skippable() -> Iterator[str]:
    for step in STEPS:
        if not step.required:
            yield step.name
            if isinstance(step.run, RulePass):
                yield from (rule.name for rule in step.run.rules)


class _Dump:
    """What TAPELESS_DUMP asks for: the IR after each pass that changes its text, printed or filed
    in a folder of the graph's own."""

    def __init__(self, graph: Graph) -> None:
        self.target = os.environ.get("TAPELESS_DUMP", "")
        self.folder: Path | None = None
        self.texts: list[str] = []
        if self.target not in ("", "-"):
            digest = hashlib.sha256(str(graph).encode()).hexdigest()[:8]
            self.folder = Path(self.target) / f"{graph.name}-{digest}"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OSError(
                    f"TAPELESS_DUMP={self.target}: cannot make the folder {self.folder}"
                    f" ({error.strerror}); name a folder, or - for stderr"
                ) from None
            for old in self.folder.glob("[0-9][0-9]-*.ir"):  # of a run with other passes
                old.unlink()

    def __call__(self, title: str, graph: Graph) -> None:
        if not self.target or (text := f"{graph}\n") in self.texts[-1:]:
            return
        if self.folder is not None:
            (self.folder / f"{len(self.texts):02d}-{title}.ir").write_text(text)
        else:
            print(f"# {title}\n{text}", file=sys.stderr)
        self.texts.append(text)
