"""The warnings about an argument that makes one program after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from .signature import Described, ScalarSpec, Spec, argument_name
from .tracing import source
from .tree import access
from .treedef import Path

if TYPE_CHECKING:
    from .specialised import Specialised

MANY: Final = 8
"""As many programs because of one argument are worth a warning."""


def warn_of_pins(programs: Sequence[Specialised]) -> None:
    """RuntimeWarning, at every eighth program that differs from the others in the value of a
    number only, naming it and the line that asks for it."""
    if len(programs) % MANY:
        return
    last = programs[-1]
    for k, line in last.outline.asked.items():
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


def warn_of_forms(programs: Sequence[Specialised]) -> None:
    """RuntimeWarning, at every eighth program, when each of the last eight differs from the one
    before in one place only: a list that grows, an attribute that has many shapes."""
    if len(programs) % MANY:
        return
    last = [program.described for program in programs[-MANY:]]
    changed = [_changed(a, b) for a, b in pairwise(last)]
    if not all(changed):
        return
    place = _common([path for paths in changed for path in paths])
    if len(place) > 1:
        name = place[0].name + access(place[1:])
        source.warn(
            f"{programs[-1].name} has been compiled {MANY} times because {name} had another"
            " structure, shape or static value; keep what grows or changes its form in an object"
            " that is no argument of the step, or let it have one form"
        )


def _changed(old: Described, new: Described) -> set[Path]:
    """The paths of the leaves that only one of two calls has, or that differ in more than a
    pinned value. A parameter that is itself an array or a number is left out: it may have many
    shapes, such as that of the last batch."""
    before, after = (dict(zip(d.treedef.key_paths, d.specs, strict=True)) for d in (old, new))
    return {
        path
        for path in before.keys() | after.keys()
        if len(path) > 1 and _free(before.get(path)) != _free(after.get(path))
    }


def _free(spec: Spec | None) -> Spec | None:
    return replace(spec, pinned=None) if isinstance(spec, ScalarSpec) else spec


def _common(paths: Sequence[Path]) -> Path:
    """The longest path that all of them begin with."""
    shortest = min(paths, key=len)
    k = 0
    while k < len(shortest) and all(path[k] == shortest[k] for path in paths):
        k += 1
    return shortest[:k]
