"""How many known defects of a compiler does the fuzzer find, and how soon?

    python -m tests.fuzz --seeded --seed 7

plants one seeded bug at a time, in a process of its own, and runs the fuzzer's programs in the
order of their seeds until one of them fails or the bug's processor time is over. Prints what each
took; the exit code is 1 unless 95 % are found, within `MINUTES` of processor time in all.

Note [Programs a bug cannot reach]: machine code is slow to make, and most bugs of planner and code
generator change the code of few programs. A program for which the source, the places and the table
are the same with the bug as without it cannot show it, so it is passed over: it counts among the
programs that a bug took, but not among those that were run.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tapeless.compiler.codegen import generate
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.pipeline import Lowered, lower
from tapeless.ir.errors import TapelessError
from tapeless.ir.graph import Graph

from .bugs_in_code import BUGS as IN_CODE
from .bugs_in_passes import BUGS as IN_PASSES
from .campaign import KINDS, grown, interpreted
from .check import check_native
from .growing import Program
from .seeded import Bug

BUGS: Final = (*IN_PASSES, *IN_CODE)
MINUTES: Final = 30
SECONDS: Final = 60.0
"""The most processor time a bug may take to be found."""
PROGRAMS: Final = {"native": 800, "training": 100}
"""How many programs there are for a bug of the code."""
HANGING: Final = 60
"""A program that takes so much longer than its bug had left hangs."""


HEADING: Final = """\
| bug | programs of kind | programs | of them run | seconds | found by |
|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Hunt:
    """How a bug fared: the programs it took, how many of them were run, what the failing one said
    or None."""

    bug: str
    kind: str
    programs: int
    ran: int
    seconds: float
    error: str | None

    @property
    def said(self) -> str:
        return "not found" if self.error is None else self.error.splitlines()[0]

    @property
    def row(self) -> str:
        """A row of the table under `HEADING`."""
        said = "not found" if self.error is None else self.said.partition(":")[0]
        cells = (self.bug, self.kind, f"{self.programs:,}", self.ran, f"{self.seconds:.1f}", said)
        return f"| {' | '.join(map(str, cells))} |"

    def __str__(self) -> str:
        took = f"{self.programs:5,} programs, {self.ran:4,} run {self.seconds:5.1f} s"
        return f"{self.bug:44} {self.kind:11} {took}  {self.said[:70]}"


@dataclass(frozen=True)
class Prepared:
    """A program made ready for planner and code generator, and what sound ones make of it."""

    program: Program
    lowered: Lowered
    code: str


def prepared(kind: str, seed: int) -> Prepared:
    program, _ = grown(kind, seed)
    lowered = lower(program.graph)
    return Prepared(program, lowered, code_of(lowered.graphs["planned"]))


def code_of(planned: Graph) -> str:
    """All that machine code and its calls are made of."""
    made = generate(planned)
    return f"{planned}\n{made.source}\n{made.specs}\n{made.layout}\n{made.checks}\n{made.scratch}"


def in_code(bug: Bug, programs: Sequence[Prepared], seconds: float) -> Hunt:
    """Look for a bug of planner or code generator in the programs whose code it changes."""
    began, count, ran = time.process_time(), 0, 0
    for each in programs:
        if time.process_time() - began > seconds:
            break
        count += 1
        try:
            planned = plan_memory(each.lowered.graphs["fused"])
            if code_of(planned) == each.code:  # see Note [Programs a bug cannot reach]
                continue
            ran += 1
            graphs = {**each.lowered.graphs, "planned": planned}
            check_native(each.program, Lowered(graphs, fired=each.lowered.fired))
        except Exception as error:
            return found(bug, count, ran, began, error)
    return Hunt(bug.name, bug.kind, count, ran, time.process_time() - began, None)


def in_passes(bug: Bug, seed: int, seconds: float) -> Hunt:
    """Look for a bug of the passes by the interpreter, in fresh programs."""
    run = interpreted if bug.kind == "training" else KINDS[bug.kind][0]
    began, count = time.process_time(), 0
    while time.process_time() - began < seconds:
        program, rng = grown(bug.kind, seed + count)
        count += 1
        try:
            run(program, random.Random(rng.getrandbits(64)))
        except Exception as error:
            return found(bug, count, count, began, error)
    return Hunt(bug.name, bug.kind, count, count, seconds, None)


BROKEN: Final = (TypeError, AttributeError, NameError, ImportError)
"""What a plant raises that no longer fits what it replaces: nothing was found."""


def found(bug: Bug, count: int, ran: int, began: float, error: Exception) -> Hunt:
    if isinstance(error, BROKEN) and not isinstance(error, TapelessError):
        raise RuntimeError(f"{bug.name}: the plant is broken: {error}") from error
    said = f"{type(error).__name__}: {error}"
    return Hunt(bug.name, bug.kind, count, ran, time.process_time() - began, said)


def hunts(names: Sequence[str] = (), seed: int = 0, programs: int | None = None) -> Iterator[Hunt]:
    """Every bug, or those named, in a process of its own, which has all that this one prepared."""
    chosen = [bug for bug in BUGS if not names or bug.name in names]
    ground: dict[str, list[Prepared]] = {}
    for kind in dict.fromkeys(bug.kind for bug in chosen if bug in IN_CODE):
        ground[kind] = [prepared(kind, seed + k) for k in range(programs or PROGRAMS[kind])]
        check_native(ground[kind][0].program, ground[kind][0].lowered)  # loads Numba
    for bug in chosen:
        yield in_child(bug, lambda bug=bug: (
            in_code(bug, ground[bug.kind], SECONDS) if bug in IN_CODE
            else in_passes(bug, seed, SECONDS)
        ))  # fmt: skip


def in_child(bug: Bug, hunt: Callable[[], Hunt]) -> Hunt:
    """Plant the bug in a child and hunt it there; a child that dies, or hangs, has found it."""
    began = time.monotonic()
    context = get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(bug, hunt, send))
    child.start()
    send.close()
    try:
        result = receive.recv()
        if isinstance(result, RuntimeError):
            raise result
    except EOFError:
        child.join()
        spent = time.monotonic() - began
        result = Hunt(bug.name, bug.kind, 0, 0, spent, f"the process died: {child.exitcode}")
    child.join()
    assert isinstance(result, Hunt)
    return result


def _child(bug: Bug, hunt: Callable[[], Hunt], send: Connection) -> None:
    limit = int(SECONDS) + HANGING
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + HANGING))
    bug.plant()
    try:
        send.send(hunt())
    except RuntimeError as error:
        send.send(error)


def processor_minutes() -> float:
    """What this process and its children have taken."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used) / 60


def hunt_all(names: Sequence[str], seed: int, record: Path | None = None) -> int:
    """Hunt them, print the list, and write it as Markdown; 1 unless 95 % are found in `MINUTES`."""
    fared = []
    for hunt in hunts(names, seed):
        print(hunt, flush=True)
        fared.append(hunt)
    score, minutes = sum(hunt.error is not None for hunt in fared), processor_minutes()
    total = f"{score} of {len(fared)} found in {minutes:.1f} processor minutes"
    print(total)
    if record is not None:
        rows = "\n".join(hunt.row for hunt in fared)
        record.write_text(f"Seed {seed}: {total}.\n\n{HEADING}\n{rows}\n")
    return int(score < 0.95 * len(fared) or minutes > MINUTES)


__all__ = ["BUGS", "Hunt", "hunt_all", "hunts"]
