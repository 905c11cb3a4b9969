"""The fast way of a call: forms that the native entry checks, and one generated function for the
rest.

For `step(p, x, lr)` with a dict of two arrays, an array and a float there is no rest: the native
entry is called with the arguments as they are. `callwriter.py` says what the function is for other
calls. Plans without one can be left in the cache as what their entry returns and the limits of its
integers (`Direct`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from ..ir.record import dataclass
from ..runtime.callpath import MISS, Array, Form, Group, Number, Parameters
from . import replay
from .signature import ArraySpec, ScalarSpec, Spec, StaticSpec
from .treedef import TreeDef

if TYPE_CHECKING:
    from ..runtime.callpath import Returns
    from ..runtime.executable import Executable

    Fast = Callable[..., Any]
    Limits = Mapping[int, tuple[int, int]]
    """The least and greatest value of integers, by number of the graph's input."""
    Direct = tuple[Returns, dict[int, tuple[int, int]]]

_NUMBERS: Final = {"b": bool, "i": int, "f": float}


@dataclass(frozen=True)
class CallPlan:
    """How a call is made at speed, as data: what the arguments are called, what the native entry
    takes and returns, the limits of its integers, the source of the generated function, "" where
    there is none, and its constants."""

    parameters: Parameters
    forms: tuple[Form, ...]
    returns: Returns
    limits: Limits
    source: str = ""
    constants: tuple[Any, ...] = ()

    @property
    def direct(self) -> Direct | None:
        """What `plan_direct` makes it of again; None where there is a function."""
        return None if self.source else (self.returns, dict(self.limits))

    def bind(self, executable: Executable) -> Fast:
        """The function of a call's arguments: it runs the step, or returns MISS, having done
        nothing, if they are not exactly the program's."""
        parameters = None if self.source else self.parameters
        entry = executable.entry(self.forms, returns=self.returns, parameters=parameters)
        if not self.source:
            return entry.call
        scope = {f"C{k}": value for k, value in enumerate(self.constants)}
        scope |= {"MISS": MISS, "arrange": self.parameters.arrange, **replay.HELPERS}
        scope |= {"call": entry.call, "fresh": entry.outputs, "commit": entry.commit}
        exec(compile(self.source, "<tapeless call>", "exec"), scope)
        made: Fast = scope["fast"]
        return made


def plan_direct(
    parameters: Parameters,
    arguments: Sequence[TreeDef],
    specs: Sequence[Spec],
    direct: Direct,
) -> CallPlan:
    """The plan that was `direct`, for as many arguments as there are parameters and structures;
    `specs` has one entry per leaf, from left to right. ValueError if there must be a function."""
    returns, limits = direct
    finder, position = FormFinder(specs, limits), 0
    forms = []
    for treedef in arguments:
        form = finder.form(treedef, position)
        if form is None:
            raise ValueError("a call with more to it than forms")
        forms.append(form)
        position += treedef.size
    return CallPlan(parameters, tuple(forms), returns, limits)


class FormFinder:
    """The forms of arguments whose leaves have these specs. `apart`: containers have none, since
    what they hold may be shared."""

    def __init__(self, specs: Sequence[Spec], limits: Limits, *, apart: bool = False) -> None:
        self.specs, self.limits, self.apart = specs, limits, apart
        moving = [not isinstance(spec, StaticSpec) for spec in specs]
        self.inputs = list(accumulate(moving, initial=0))

    def form(self, treedef: TreeDef, position: int) -> Form | None:
        """The form of a structure whose first leaf is at this position, if native code can check
        it."""
        kind = treedef.kind
        if kind is None:
            return self._leaf_form(position)
        if kind is type(None):
            return Group(kind)
        plain = kind is list or issubclass(kind, tuple) or kind is dict
        keys = treedef.keys if kind is dict else ()
        if self.apart or not plain or any(type(key) is not str for key in keys):
            return None
        members = []
        for child in treedef.children:
            member = self.form(child, position)
            if member is None:
                return None
            members.append(member)
            position += child.size
        return Group(kind, tuple(members), tuple(map(str, keys)))

    def _leaf_form(self, position: int) -> Form | None:
        spec, index = self.specs[position], self.inputs[position]
        if isinstance(spec, ArraySpec):
            return Array(index)
        if isinstance(spec, ScalarSpec):
            return Number(index, number_kind(spec), *self.limits.get(index, ()))
        return None


def number_kind(spec: ScalarSpec) -> type:
    """The class of a number."""
    dtype = spec.type.dtype
    return _NUMBERS[dtype.kind] if spec.weak else dtype.type
