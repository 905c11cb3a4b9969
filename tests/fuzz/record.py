"""The figures of campaigns as Markdown, written by one and added up over several.

    python -m tests.fuzz --sum chunk0.md chunk1.md ...

prints the sum, so that a long campaign may run in chunks.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np

from .campaign import Report, every_rule

HEAD: Final = re.compile(r"Seeds? ([\d, ]+), (\d{4}-.*), ([\d,]+) s\.")
ROW: Final = re.compile(r"\| (\w+) \| ([\d,]+) \| ([\d,]+) \|", re.M)
FIRED: Final = re.compile(r"Rules and passes fired: (.*)\.$", re.M)


def number(text: str) -> int:
    return int(text.replace(",", ""))


@dataclass
class Record:
    """What ran with which seeds, where (for each run), how many finds there were of each kind, how
    often each rule fired, and the seconds it took."""

    seeds: list[str] = field(default_factory=list)
    where: dict[str, None] = field(default_factory=dict)
    ran: Counter[str] = field(default_factory=Counter)
    finds: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    seconds: int = 0

    @classmethod
    def of(cls, report: Report, seed: int) -> Record:
        """A campaign of this process."""
        machine = (
            f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, NumPy {np.__version__}"
        )
        finds = Counter(find.kind for find in report.finds)
        seconds = round(report.seconds)
        return cls([str(seed)], {machine: None}, report.ran, finds, report.fired, seconds)

    @classmethod
    def read(cls, text: str) -> Record:
        """What `str` wrote. ValueError if it is something else."""
        head, fired = HEAD.search(text), FIRED.search(text)
        if head is None or fired is None:
            raise ValueError(f"not the record of a campaign: {text[:60]!r}")
        rows = ROW.findall(text)
        pairs = (part.rsplit(" ", 1) for part in fired[1].split(", ") if part)
        return cls(
            head[1].split(", "),
            {head[2]: None},
            Counter({kind: number(n) for kind, n, _ in rows}),
            Counter({kind: number(n) for kind, _, n in rows}),
            Counter({name: number(n) for name, n in pairs}),
            number(head[3]),
        )

    def __add__(self, other: Record) -> Record:
        return Record(
            self.seeds + other.seeds,
            self.where | other.where,
            self.ran + other.ran,
            self.finds + other.finds,
            self.fired + other.fired,
            self.seconds + other.seconds,
        )

    @property
    def never_fired(self) -> list[str]:
        """The rewrite rules that found nothing to do in all these programs."""
        return sorted(every_rule() - set(self.fired))

    def __str__(self) -> str:
        rows = [
            f"| {kind} | {n:,} | {self.finds[kind]:,} | {3 / n:.1e} |"
            for kind, n in self.ran.items()
        ]
        fired = ", ".join(f"{name} {n:,}" for name, n in self.fired.most_common())
        seeds = f"Seed{'s' * (len(self.seeds) > 1)} {', '.join(self.seeds)}"
        return "\n".join(
            [
                f"{seeds}, {'; '.join(self.where)}, {self.seconds:,} s.\n",
                "| kind | programs | finds | bound at 95 % if none |",
                "|---|---|---|---|",
                *rows,
                f"\nRules and passes fired: {fired}.\n",
                f"Rules that never fired: {', '.join(self.never_fired) or 'none'}.\n",
            ]
        )


def added(texts: Iterable[str]) -> Record:
    """The sum of several records."""
    return sum(map(Record.read, texts), Record())


__all__ = ["Record", "added"]
