"""Seeded bugs: how many known defects of a compiler does the fuzzer find, and how soon?

    python -m tests.fuzz --seeded

plants one bug at a time, by replacing a function or a table entry of a pass, a rule, an emitter or
the planner while a worker process lasts, and runs fresh programs until one of them fails. Nothing
of this is in the product. The bugs are listed in `bugs_in_passes.py` and `bugs_in_code.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

from tapeless.ir.op import OPS
from tapeless.passes.rewriting.rules import Apply, Rule, RulePass

Plant = Callable[[], None]

SECONDS: Final = 40.0
"""The most processor time a bug may take to be found."""


@dataclass(frozen=True)
class Bug:
    """What is wrong, the kind of program that can show it, and how to plant it."""

    name: str
    kind: str
    plant: Plant


@dataclass(frozen=True)
class Hunt:
    """How a bug fared: the programs it took, what the failing one said, or None."""

    bug: str
    kind: str
    programs: int
    seconds: float
    error: str | None

    def __str__(self) -> str:
        said = "not found" if self.error is None else f"found: {self.error.splitlines()[0][:70]}"
        took = f"{self.programs:6,} programs {self.seconds:5.1f} s"
        return f"{self.bug:44} {self.kind:11} {took} {said}"


def every_bug() -> tuple[Bug, ...]:
    """All of them, found late: their modules import this one."""
    from .bugs_in_code import BUGS as IN_CODE
    from .bugs_in_passes import BUGS as IN_PASSES

    return (*IN_PASSES, *IN_CODE)


def hunt(name: str, seed: int, seconds: float) -> Hunt:
    """Plant a bug in this process, for good, and look for it."""
    from .campaign import KINDS, grown

    bug = next(b for b in every_bug() if b.name == name)
    bug.plant()
    run, began, count = KINDS[bug.kind][0], time.process_time(), 0
    while time.process_time() - began < seconds:
        program, rng = grown(bug.kind, seed + count)
        count += 1
        try:
            run(program, random.Random(rng.getrandbits(64)))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            return Hunt(name, bug.kind, count, time.process_time() - began, said)
    return Hunt(name, bug.kind, count, seconds, None)


def ready() -> None:
    """What a worker does first."""


def hunts(bugs: Sequence[str] = (), seed: int = 0, seconds: float = SECONDS) -> Iterator[Hunt]:
    """Every bug (or those named) in a process of its own; a process that dies has found it."""
    for bug in every_bug():
        if bugs and bug.name not in bugs:
            continue
        began = time.monotonic()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(ready).result()  # a process that cannot even start has found nothing
            try:
                yield pool.submit(hunt, bug.name, seed, seconds).result()
            except BrokenProcessPool:
                spent = time.monotonic() - began
                yield Hunt(bug.name, bug.kind, 0, spent, "the process died")


# Ways to plant one


def instead(target: Any, name: str, value: Any) -> Plant:
    """Another value for an attribute of a module, class or record."""
    return lambda: setattr_anywhere(target, name, value)


def setattr_anywhere(target: Any, name: str, value: Any) -> None:
    """Also on frozen records."""
    if isinstance(target, type) or not hasattr(target, "__dataclass_fields__"):
        setattr(target, name, value)
    else:
        object.__setattr__(target, name, value)


def table(target: Mapping[str, Any], name: str, value: Any) -> Plant:
    """Another entry of a table."""
    assert isinstance(target, dict)
    return lambda: target.update({name: value})


def together(*plants: Plant) -> Plant:
    """Several replacements that are one bug."""

    def plant() -> None:
        for each in plants:
            each()

    return plant


def around(target: Any, name: str, wrap: Callable[[Any], Any]) -> Plant:
    """`wrap(original)` in place of a function."""
    return lambda: setattr_anywhere(target, name, wrap(getattr(target, name)))


def scalar(op: str, text: str) -> Plant:
    """Another expression for an op in generated code."""
    return instead(OPS[op], "scalar", text)


def wrong_rule(where: RulePass, name: str, wrap: Callable[[Apply], Apply]) -> Plant:
    """A rewrite rule whose function is another."""

    def plant() -> None:
        assert any(r.name == name for r in where.rules), name
        where.rules = tuple(
            Rule(r.name, r.identity, r.heads, wrap(r.apply)) if r.name == name else r
            for r in where.rules
        )

    return plant


def spoiled(where: RulePass, name: str, spoil: Callable[[Any, Any], Any]) -> Plant:
    """A rewrite rule whose result is changed: `spoil(site, value)`."""

    def wrap(apply: Apply) -> Apply:
        def wrong(site: Any) -> Any:
            value = apply(site)
            return None if value is None else spoil(site, value)

        return wrong

    return wrong_rule(where, name, wrap)


__all__ = [
    "Bug", "Hunt", "around", "hunts", "instead", "scalar", "spoiled", "table", "together",
    "wrong_rule",
]  # fmt: skip
