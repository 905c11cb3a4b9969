"""The generated function of a call that has more to it than forms (`callplan.py`).

For `net.step(x, mode)` with an object and a string it is

    def fast(*arguments, **named):
        if named or len(arguments) != 3:
            arguments = arrange(arguments, named)
            if arguments is None:
                return MISS
        a0, a1, a2 = arguments
        if not (type(a0) is C0 and tuple(a0.__dict__) == C1):
            return MISS
        b0, b1 = a0.__dict__.values()
        if not (type(a2) is C2 and a2 == C3):
            return MISS
        return call(b0, b1, a1)

Python looks at static values, objects and what is shared, at dicts with keys that are no strings,
and makes results that are neither one array nor a tuple of arrays. No user string enters the
source; keys and values are constants `C<i>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ..runtime.callpath import Form, Parameters
from . import attributes, objects
from .callplan import CallPlan, FormFinder, number_kind
from .objects import NONE, Hidden
from .outline import OUTPUT, ResultTree
from .replay import Original, Path, Rebinds, replay_lines
from .signature import RefusedSpec, ScalarSpec, Spec, StaticSpec
from .treedef import LEAF, Container, Shared, TreeDef, exact, has_exact_keys

if TYPE_CHECKING:
    from ..runtime.callpath import Returns
    from .callplan import Limits

_BRACKETS: Final[dict[Any, tuple[str, str]]] = {
    dict: ("{", "}"),
    list: ("[", "]"),
    tuple: ("(", ")"),
}


def plan_call(
    parameters: Parameters,
    arguments: Sequence[TreeDef],
    specs: Sequence[Spec],
    result: ResultTree,
    *,
    limits: Limits | None = None,
    rebinds: Rebinds | None = None,
    hidden: Hidden = NONE,
) -> CallPlan:
    """The plan for as many arguments as there are parameters and structures; `specs` has one entry
    per leaf, from left to right. `limits` of integers are by number of the graph's input.
    `rebinds`: how the step changes containers; those that are objects or inside must be as many as
    they were. `hidden`: attributes to pass over."""
    distinct = rebinds is not None and any(flag for treedef in arguments for flag in treedef.held)
    apart = distinct or any(map(_shares, arguments))
    writer = _Writer(specs, hidden, limits or {}, apart=apart)
    for k, treedef in enumerate(arguments):
        writer.visit(treedef, f"a{k}")
    if distinct and len(writer.mutable) > 1:
        ids = ", ".join(f"id({name})" for name in writer.mutable)
        writer.checks.append(f"len({{{ids}}}) == {len(writer.mutable)}")
    writer.flush()
    returns = None if rebinds else _returned(result)
    source = ""
    if writer.lines or returns is None:
        head = ["def fast(*arguments, **named):", *_arguments(parameters), *writer.lines]
        body = _body(writer, parameters.names, result, returns, rebinds)
        source = "\n    ".join([*head, *body])
    forms, constants = tuple(writer.forms), tuple(writer.constants)
    return CallPlan(parameters, forms, returns or "all", writer.limits, source, constants)


def _body(
    writer: _Writer,
    names: Sequence[str],
    result: ResultTree,
    returns: Returns | None,
    rebinds: Rebinds | None,
) -> list[str]:
    """What the generated function does after its checks."""
    items = ", ".join(writer.items)
    if returns is not None:
        return [f"return call({items})"]
    made = writer.result(result, names)
    if rebinds is None:
        return [f"outputs = call({items})", f"return MISS if outputs is MISS else {made}"]
    places: dict[Path, str] = {(name,): f"a{k}" for k, name in enumerate(names)}
    return [
        "outputs = fresh()",
        f"result = {made}",
        *replay_lines(rebinds, writer.constant, places, result.arrays),
        f"return MISS if commit(replay, outputs, {items}) else result",
    ]


def _shares(treedef: TreeDef) -> bool:
    return treedef.kind is Shared or any(map(_shares, treedef.children))


def _returned(result: ResultTree) -> Returns | None:
    """What the native entry must return to return the result itself."""
    if result.single:
        return "only"
    if result.treedef.kind is type(None):
        return "none"
    flat = result.treedef.kind is tuple and all(c == LEAF for c in result.treedef.children)
    return "all" if flat and result.arrays == len(result.leaves) else None


def _arguments(parameters: Parameters) -> list[str]:
    count = len(parameters.names)
    names = ", ".join(f"a{k}" for k in range(count))
    lines = ["arguments = arrange(arguments, named)", "if arguments is None:", "    return MISS"]
    if parameters.most == count:  # most calls need not be arranged
        lines = [f"if named or len(arguments) != {count}:", *(f"    {line}" for line in lines)]
    return [*lines, f"{names}{',' * (count == 1)} = arguments"] if count else lines


class _Writer(FormFinder):
    """Collects forms with the expressions they are for, checks and assignments while walking the
    structure. `apart`: containers are taken apart here, since what they hold may be shared."""

    def __init__(
        self,
        specs: Sequence[Spec],
        hidden: Hidden,
        limits: Limits,
        *,
        apart: bool,
    ) -> None:
        super().__init__(specs, limits, apart=apart)
        self.hidden = hidden
        self.position = 0
        self.checks: list[str] = []
        self.lines: list[str] = []
        self.items: list[str] = []
        self.forms: list[Form] = []
        self.constants: list[Any] = []
        self.names = 0
        self.places = ["arguments"]
        self.mutable: list[str] = []

    def visit(self, treedef: TreeDef, expression: str) -> None:
        if treedef.kind is Shared:
            self.checks.append(f"{expression} is {self.places[int(str(treedef.keys[0]))]}")
            return
        form = self.form(treedef, self.position)
        if form is not None:
            self.items.append(expression)
            self.forms.append(form)
        if treedef.kind is not type(None):
            self.places.append(expression)
        if treedef.kind is None:
            self._leaf(self.specs[self.position], expression)
        if treedef.kind is not None and form is None:
            self._container(treedef, treedef.kind, expression)
        else:
            self.position += treedef.size

    def flush(self) -> None:
        """Write the pending checks; what follows may rely on them."""
        if self.checks:
            self.lines += [f"if not ({' and '.join(self.checks)}):", "    return MISS"]
            self.checks = []

    def _leaf(self, spec: Spec, expression: str) -> None:
        """What native code does not check of a leaf: static values."""
        if isinstance(spec, ScalarSpec) and spec.pinned is not None:
            self._same_type(expression, number_kind(spec))
            number = expression if isinstance(spec.pinned, int) else f"repr({expression})"
            self.checks.append(f"{number} == {self.constant(spec.pinned)}")
        if isinstance(spec, StaticSpec):
            self._same_type(expression, spec.kind)
            if not isinstance(spec, RefusedSpec):  # which the step does not use
                self._equal(expression, spec.value, spec.exact)

    def _container(self, treedef: TreeDef, kind: type, expression: str) -> None:
        self._same_type(expression, kind)
        if not issubclass(kind, (tuple, objects.Method)):
            self.mutable.append(expression)
        children = treedef.children
        names = [f"b{self.names + k}" for k in range(len(children))]
        self.names += len(names)
        parts = self._parts(kind, treedef, expression)
        if names:
            self.flush()
            self.lines.append(f"{', '.join(names)}{',' * (len(names) == 1)} = {parts}")
        for child, name in zip(children, names, strict=True):
            self.visit(child, name)

    def _parts(self, kind: Any, treedef: TreeDef, expression: str) -> str:
        """The children as an iterable; dict order and lengths are checked first."""
        if issubclass(kind, dict):
            self.checks.append(f"tuple({expression}) == {self.constant(treedef.keys)}")
            if has_exact_keys(treedef):
                self._exact(f"tuple({expression})", exact(treedef.keys))
            return f"{expression}.values()"
        if issubclass(kind, (list, tuple)):
            self.checks.append(f"len({expression}) == {len(treedef.keys)}")
            return expression
        if issubclass(kind, Container):
            self.checks.append(f"{expression}.tree_static == {self.constant(treedef.static)}")
            return f"{expression}.tree_children"
        plain = kind is not objects.Method and not attributes.slots(kind)
        state = f"{expression}.__dict__" if plain else f"read({expression})"
        hidden = frozenset(name for of, name in self.hidden if of is kind)
        keys = self.constant(treedef.keys)
        if hidden:
            seen = f"tuple([k for k in {state} if k not in {self.constant(hidden)}])"
            self.checks.append(f"{seen} == {keys}")
            return f"[{state}[k] for k in {keys}]"
        self.checks.append(f"tuple({state}) == {keys}")
        return f"{state}.values()"

    def _same_type(self, expression: str, kind: type) -> None:
        self.checks.append(f"type({expression}) is {self.constant(kind)}")

    def _equal(self, expression: str, value: Any, exactly: Any) -> None:
        """A value of the type that was checked already."""
        self.checks.append(f"{expression} == {self.constant(value)}")
        if exactly is not None:
            self._exact(expression, exactly)

    def _exact(self, expression: str, exactly: Any) -> None:
        self.checks.append(f"{self.constant(exact)}({expression}) == {self.constant(exactly)}")

    def constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"C{len(self.constants) - 1}"

    def result(self, result: ResultTree, names: Sequence[str]) -> str:
        """The result as an expression of `outputs`."""
        display = self._display(result)
        if display:
            return display
        named = ", ".join(f"{self.constant(name)}: a{k}" for k, name in enumerate(names))
        return f"{self.constant(result)}.unflatten({{{named}}}, outputs)"

    def _display(self, result: ResultTree) -> str:
        """The expression of a result of dicts, lists and tuples, "" for another one."""
        leaves, numbers = iter(result.leaves), count()

        def made(treedef: TreeDef) -> str:
            kind = treedef.kind
            if kind is None:
                leaf = next(leaves)
                if isinstance(leaf, Original):
                    return ""
                return f"outputs[{next(numbers)}]" if leaf is OUTPUT else self.constant(leaf)
            if kind is type(None):
                return "None"
            members = [made(child) for child in treedef.children]
            if kind not in _BRACKETS or not all(members):
                return ""
            if kind is dict:
                keys = map(self.constant, treedef.keys)
                members = [f"{key}: {member}" for key, member in zip(keys, members, strict=True)]
            comma = "," * (kind is tuple and len(members) == 1)
            opening, closing = _BRACKETS[kind]
            return f"{opening}{', '.join(members)}{comma}{closing}"

        return made(result.treedef)
