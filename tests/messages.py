"""The table `messages.txt`: code that raises, and the form that works in its place.

A row is the body of a step over `arguments()`; where it compiles or differentiates by itself it
is a program over the same names. Its second part, after `=>` or `->`, is the form that works;
`=>` says that NumPy gives the same for both.
"""

from __future__ import annotations

import ast
import functools
import linecache
import math
import pickle
import random
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tapeless as tl

FILE = "step.py"


@dataclass(frozen=True)
class Row:
    """One construct: what raises, what works, and whether both are the same to NumPy."""

    theme: str
    bad: str
    good: str
    same: bool

    @property
    def program(self) -> bool:
        """Whether the code stands outside a step."""
        return self.theme in ("arguments", "derivatives", "compile options")


def read_rows() -> list[Row]:
    """The rows, in the order of the file."""
    theme, rows = "", []
    for block in (Path(__file__).parent / "messages.txt").read_text().strip().split("\n\n"):
        if block.startswith("# "):
            heading, _, block = block.partition("\n")
            theme = heading[2:]
        bad, arrow, good = re.split(r"\n([=-])> ", block)
        rows.append(Row(theme, bad, good, arrow == "="))
    return rows


def arguments() -> dict[str, Any]:
    """What a step is given."""
    return {
        "x": np.arange(9.0).reshape(3, 3) + np.eye(3), "y": np.ones((3, 3)),
        "v": np.array([1.0, 2.0, 3.0]), "s": np.float64(2.0), "n": 1, "i": np.array([2, 0, 1]),
        "m": np.eye(3) > 0, "p": {"W": np.ones((3, 3)), "b": np.zeros(3)},
        "key": tl.random.key(0),
    }  # fmt: skip


HEAD = f"def step({', '.join(arguments())}):"


def surroundings() -> dict[str, Any]:
    """What a step finds outside."""
    modules = {m.__name__: m for m in (functools, math, pickle, random)}
    return modules | {
        "np": np, "tl": tl, "C": np.arange(9.0).reshape(3, 3), "words": ["a", "b"],
        "rng": np.random.default_rng(0), "kept": SimpleNamespace(total=np.zeros((3, 3))),
        "history": [], "f": lambda b: b if b > 0 else 0.0,
    }  # fmt: skip


def step(body: str) -> Any:
    """The step with this body; the value of a last expression is what it returns."""
    tree = ast.parse(_shown("\n    ".join([HEAD, *body.split("\n")])))
    function: Any = tree.body[0]
    last = function.body[-1]
    if isinstance(last, ast.Expr):
        function.body[-1] = ast.copy_location(ast.Return(last.value), last)
    names = surroundings()
    exec(compile(tree, FILE, "exec"), names)
    return names["step"]


def run_program(text: str) -> None:
    """Run code that stands outside a step."""
    exec(compile(_shown(text), FILE, "exec"), surroundings() | arguments())


def _shown(text: str) -> str:
    """The text, which from now on is what `FILE` holds to error messages."""
    linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
    return text
