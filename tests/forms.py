"""The forms of NumPy that a step may contain: `forms.txt`, one call, index or assignment a line.

A form is an expression over the arrays of `arguments`, or statements and, after ` -> `, what they
are judged by. Forms run in batches, so that few programs are compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tapeless as tl

Arrays = dict[str, Any]

FLOATS = ("x", "y", "v", "w", "A", "T", "s")
"""The arguments that are differentiated; `z`, not among them, has NaN and infinities."""

OWN_NUMPY = "with `from tapeless import numpy as np`"
SIZE = 40


@dataclass(frozen=True)
class Form:
    """One line of `forms.txt`."""

    section: str
    text: str

    @property
    def name(self) -> str:
        """The function or method the form is about, "" for operators and indices."""
        if self.section.startswith(("operators", "indexing")):
            return ""
        inside = re.match(r"[a-zA-Z]\[(np\.\w+)\(", self.text)
        found = inside or re.match(r"(np(\.\w+)+|[xsnmv]\.\w+)", self.text)
        return re.sub(r"^[snmv]\.", "x.", found[1]) if found else ""

    @property
    def uses_nan(self) -> bool:
        return re.search(r"\bz\b", self.text) is not None

    def function(self) -> Callable[..., Any]:
        """The form as a function of the arguments by name, which it may write to."""
        statements, _, result = self.text.rpartition(" -> ")
        body = [*statements.split("; "), f"return {result}"]
        lines = "".join(f"    {line}\n" for line in body if line)
        scope = {"np": tl.numpy if self.section == OWN_NUMPY else np}
        exec(f"def form({', '.join(arguments(np.float64))}):\n{lines}", scope)
        return scope["form"]  # type: ignore[return-value]


def arguments(dtype: Any) -> Arrays:
    """The arrays the forms are about: floats away from kinks, small integers, masks, indices."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.uniform(0.2, 0.9, shape).astype(dtype)

    special = [[0.5, np.nan, -np.inf, np.inf], [1, 2, np.nan, 4], [-1, 0.5, -0.5, 2.5]]
    return {
        "x": draw(3, 4), "y": draw(3, 4), "v": draw(4), "w": draw(4), "A": draw(3, 3),
        "T": draw(2, 3, 4), "s": dtype(0.6), "z": np.array(special, dtype),
        "n": rng.integers(-3, 4, (3, 4)), "m": rng.random((3, 4)) < 0.5,
        "i": np.array([2, 0, 2]), "j": np.array([1, 3, 0]),
    }  # fmt: skip


def read_forms() -> list[Form]:
    """Every form, in the order of the file."""
    section, found = "", []
    for line in (Path(__file__).parent / "forms.txt").read_text().splitlines():
        if line.startswith("# "):
            section = line[2:]
        else:
            found.append(Form(section, line))
    return found


def batches(forms: list[Form]) -> list[list[Form]]:
    """The forms in lists of at most `SIZE`."""
    return [forms[k : k + SIZE] for k in range(0, len(forms), SIZE)]


def together(forms: list[Form]) -> Callable[[Arrays, Arrays], list[Any]]:
    """One function that evaluates all forms, each on fresh copies of the arguments."""
    functions = [form.function() for form in forms]

    def step(floats: Arrays, others: Arrays) -> list[Any]:
        given = floats | others
        return [f(**{k: a.copy() for k, a in given.items()}) for f in functions]

    return step


def divided(dtype: Any) -> tuple[Arrays, Arrays]:
    """The arguments: those that are differentiated, and the others."""
    given = arguments(dtype)
    return {k: given.pop(k) for k in FLOATS}, given
