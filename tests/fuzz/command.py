"""Fuzzing.

    python -m tests.fuzz --n 2000 --native 60 --gradients 500 --seed 1

runs so many programs through the interpreter at every stage, so many natively, and so many
gradients; prints what was found, made minimal, and how often each rewrite rule fired. The exit
code is 1 if anything was found, or if a rule never fired in 20,000 programs. Every program has its
own seed, printed with a find; `--seed S --n 1` runs it again. `--record FILE` writes the figures,
`--sum FILE ..` adds up such files.

    python -m tests.fuzz --seeded --seed 7

hunts the seeded bugs, and `--texts 100000` damages texts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from . import texts
from .campaign import campaign
from .hunt import hunt_all
from .record import Record, added

RECORDED: Final = 20_000
"""From so many programs on every rule must have fired."""


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.sum:
        print(added(file.read_text() for file in given.sum))
        return 0
    if given.texts:
        return int(texts.run(given.texts, given.seed) > 0)
    if given.seeded:
        return hunt_all(given.bug, given.seed, given.record)
    counts = {
        "interpreted": given.n,
        "native": given.native,
        "gradients": given.gradients,
        "native_gradients": given.native_gradients,
        "training": given.training,
        "large": given.large,
        "numpy": given.numpy,
        "jax": given.jax,
        "torch": given.torch,
    }
    report = campaign({k: n for k, n in counts.items() if n}, given.seed, given.jobs)
    print(report)
    if given.record:
        given.record.write_text(str(Record.of(report, given.seed)))
    return 1 if report.finds or (report.never_fired and given.n >= RECORDED) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="programs for the interpreter")
    parser.add_argument("--native", type=int, default=0)
    parser.add_argument("--gradients", type=int, default=0)
    parser.add_argument("--native-gradients", type=int, default=0)
    parser.add_argument("--training", type=int, default=0, help="training steps, natively")
    parser.add_argument("--large", type=int, default=0, help="on large arrays, natively")
    parser.add_argument("--numpy", type=int, default=0, help="as NumPy steps that are compiled")
    parser.add_argument("--jax", type=int, default=0, help="against JAX, if it is installed")
    parser.add_argument("--torch", type=int, default=0, help="against PyTorch, likewise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--texts", type=int, default=0, help="damaged texts instead")
    parser.add_argument("--seeded", action="store_true", help="hunt the seeded bugs instead")
    parser.add_argument("--bug", action="append", default=[], help="only this one of them")
    parser.add_argument("--record", type=Path, help="write the figures here, as Markdown")
    parser.add_argument("--sum", type=Path, nargs="+", default=[], help="add up such files instead")
    return parser


__all__ = ["main"]
