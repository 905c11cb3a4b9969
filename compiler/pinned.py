"""The warning about a number that makes one program after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .signature import ScalarSpec, Spec, argument_name
from .tracing import source

if TYPE_CHECKING:
    from .program import Program

MANY: Final = 8
"""Programs for as many values of one number are worth a warning."""


def warn_of_pins(programs: Sequence[Program]) -> None:
    """RuntimeWarning, at every eighth program that differs from the others in the value of a
    number only, naming it and the line that asks for it."""
    if len(programs) % MANY:
        return
    last = programs[-1]
    for k, line in last.traced.asked.items():
        values = {_pinned(program.described.specs[k]) for program in programs}
        if len(values) >= MANY:
            name = argument_name(last.described.treedef, k)
            source.warn(
                f"{last.name} has been compiled for {len(values)} values of {name}, because its"
                f" Python code asks for the value {source.place(line)}; decide with np.where, or"
                " outside the step, and one program serves all"
            )


def _pinned(spec: Spec) -> object:
    return spec.pinned if isinstance(spec, ScalarSpec) else None
