"""A program found without tracing its step.

    early = look(step, call)        None if the trace may depend on more than can be seen
    found = early.find()            what an earlier process left
    with early.watching(): ...      the trace, where it left nothing
    early.leave(outline, hidden, key)

A trace is Python code that runs once, on arguments without values. So its key covers that code and
everything it can reach (`content.py`), what the arguments are, the options, and what else decides
how NumPy and this package behave: versions and sources (every key of the store has those), the
environment's variables, the handling of warnings and of floating-point errors. What it does not
cover is said in `content.py`.
"""

from __future__ import annotations

import marshal
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..ir.record import dataclass
from ..runtime.store import Store, open_store
from . import entry, native
from .call import Call, Step
from .codes import ImpenetrableError
from .content import Content
from .objects import Hidden
from .signature import ArraySpec, Described, RefusedSpec, ScalarSpec
from .treedef import Shared, TreeDef
from .trust import PACKAGE, check_package, class_name, is_trusted, trusted_function

if TYPE_CHECKING:
    from .callplan import Direct
    from .outline import Outline
    from .product import Product

_VERSIONS: Final = ((3, 11), (3, 15))
"""The versions of Python whose code `codes.py` reads."""
_PREFIXES: Final = ("TAPELESS_", "NPY_", "NUMPY_")
_HANDLING: Final = frozenset({"ignore", "warn", "raise"})
_RUNTIME: Final = f"{PACKAGE}.runtime."
_WITHOUT: Final = frozenset({"TAPELESS_CACHE", "TAPELESS_LOG", "TAPELESS_THREADS"})
"""Variables that decide nothing about a program."""


_OBSCURE: Final = (
    ImpenetrableError,
    # of objects that give strange answers, are nested too deeply or change in the meantime
    *(AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)


def _content(step: Step, described: Described) -> Content:
    content = Content(id(leaf) for leaf in described.leaves if isinstance(leaf, np.ndarray))
    for line in _surroundings():
        content.say(line)
    function, options = step.function, step.options
    if type(function) is not FunctionType or trusted_function(function) is not None:
        raise ImpenetrableError("not a function of the user's")  # its lines are its caller's
    content.add((options.static_argnames, options.optimize, options.run.flush))
    content.add(function)
    _add_structure(content, described.treedef)
    for spec in described.specs:
        _add_spec(content, spec)
    return content


def _surroundings() -> Iterator[str]:
    """What Python and NumPy are told from outside."""
    if not _VERSIONS[0] <= sys.version_info[:2] < _VERSIONS[1]:
        raise ImpenetrableError("this version of Python")
    yield repr((tuple(sys.flags), sys.get_int_max_str_digits()))
    for name in sorted(filter(_is_asked, os.environ)):  # to decode all values takes its time
        yield f"variable {name!r} {os.environ.get(name)!r}"
    for action, message, category, module, line in getattr(
        warnings, "_get_filters", lambda: warnings.filters
    )():
        yield f"filter {action} {_text(message)} {class_name(category)} {_text(module)} {line}"
    handling = np.geterr()
    if not _HANDLING.issuperset(handling.values()):
        raise ImpenetrableError("floating-point errors are printed, or handled by a function")
    yield repr((handling, sorted(np.get_printoptions().items(), key=str)))


def _is_asked(variable: str) -> bool:
    return variable.startswith(_PREFIXES) and variable not in _WITHOUT


def _text(pattern: Any) -> str:
    return repr((pattern.pattern, pattern.flags) if isinstance(pattern, re.Pattern) else pattern)


def _add_structure(content: Content, treedef: TreeDef) -> None:
    kind = treedef.kind
    if kind is None or kind is Shared:
        content.say(f"leaf {treedef.keys}")
        return
    content.add(kind)
    content.add(treedef.keys)
    content.add(treedef.static)
    content.say(f"children {len(treedef.children)}")
    for child in treedef.children:
        _add_structure(content, child)


def _add_spec(content: Content, spec: Any) -> None:
    match spec:
        case ArraySpec(kind, contiguous):
            content.say(f"array {kind.dtype.str} {kind.shape} {contiguous}")
        case ScalarSpec(kind, weak):
            content.say(f"number {kind.dtype.str} {weak}")
        case RefusedSpec(kind, reason):
            content.say(f"refused {class_name(kind)} {reason!r}")
        case _:
            content.add(spec.value)


@dataclass(frozen=True)
class Found:
    """A program of an earlier process: the arguments it is for, what is hidden from it, the key
    that the traced graph would have, how its native entry is called if that is all there is to a
    call, what makes its outline, and the native code in one piece, or else what says where its
    parts are."""

    described: Described
    hidden: Hidden
    key: str
    direct: Direct | None
    outline: Callable[[], Outline]
    bundle: list[Any] | None
    product: Product | None


class Early:
    """One look for a program without a trace, and the place to leave it at if there is none.
    `digest` is of all that decides the trace; values of arrays and numbers among the arguments are
    no part of it."""

    def __init__(self, step: Step, call: Call) -> None:
        self._step, self._call = step, call
        check_package()
        self._content = _content(step, call.described)
        self.digest = self._content.digest()
        self._store = open_store()  # after the rest: it takes longer
        self._quiet = False

    def find(self) -> Found | None:
        """The program that was left here. Nothing is loaded yet."""
        try:
            return self._found()
        except (EOFError, IndexError, KeyError, TypeError, ValueError):  # of another form
            return None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A trace in this block that ends may be left out by later processes, unless it says
        something, or changes what it depends on."""
        shown: list[None] = []
        show: Any = vars(warnings).get("_showwarnmsg")  # what C calls, too

        def note(message: Any) -> None:
            shown.append(None)
            show(message)

        if show is not None:
            vars(warnings)["_showwarnmsg"] = note
        try:
            yield
        finally:
            if vars(warnings).get("_showwarnmsg") is note:
                vars(warnings)["_showwarnmsg"] = show
        silent = show is not None and not shown
        if silent and not any(map(_has_warned, _scopes(self._content))):
            self._quiet = self._is_same()

    def _is_same(self) -> bool:
        """Whether the step is what it was."""
        try:
            return _content(self._step, self._call.described).digest() == self.digest
        except _OBSCURE:
            return False

    def leave(
        self,
        outline: Outline,
        hidden: Hidden,
        key: str,
        direct: Direct | None,
        bundle: list[Any] | None,
    ) -> None:
        """Make the program one that later processes find, with its native code in one piece. The
        parts of that are in the store. `direct`: see `Found`."""
        if not self._quiet or self._store is None:
            return
        try:
            packed = entry.pack(outline, self._content)
            names = [[self._number(kind), name] for kind, name in sorted(hidden, key=_by_name)]
        except entry.UnpackableError:
            return
        asked = tuple(outline.asked)
        program = [key, *packed, direct, bundle]
        self._put([names, asked, None if asked else program])
        if asked:
            self._put(program, *_pins(outline.described, asked))

    def _found(self) -> Found | None:
        ways = self._get()
        if ways is None:
            return None
        names, asked, program = ways
        hidden = frozenset((self._content.numbered(number), name) for number, name in names)
        described = self._call.hiding(hidden).described.pinning(asked)
        if asked:
            program = self._get(*_pins(described, asked))
        if program is None:
            return None
        key, fields, numbers, direct, bundle = program
        product = None if bundle else native.find(key)
        if not (bundle or product):
            return None
        known = {number: self._content.numbered(number) for number in numbers}

        def outline() -> Outline:
            return entry.unpack(fields, described, known)

        return Found(described, hidden, key, direct, outline, bundle, product)

    def _number(self, kind: type) -> int:
        number = self._content.number(kind)
        if number is None:
            raise entry.UnpackableError(kind.__name__)
        return number

    def _key(self, store: Store, *pins: str) -> str:
        return store.key("early", store.sources, self.digest, *pins)

    def _get(self, *pins: str) -> Any:
        payload = None if self._store is None else self._store.get(self._key(self._store, *pins))
        return None if payload is None else marshal.loads(payload)

    def _put(self, fields: Any, *pins: str) -> None:
        if self._store is not None:
            self._store.put(self._key(self._store, *pins), marshal.dumps(fields))


def look(step: Step, call: Call) -> Early | None:
    """The place of a step with such arguments; None if its trace may depend on more than can be
    seen, or is wanted for itself."""
    if not step.options.cache or step.options.check or os.environ.get("TAPELESS_DUMP"):
        return None
    try:
        return Early(step, call)
    except _OBSCURE:
        return None


def _pins(described: Described, asked: Iterable[int]) -> list[str]:
    """The values of the numbers that were asked for, as parts of a key."""
    specs = ((k, described.specs[k]) for k in asked)
    return [f"{k} {s.pinned!r}" for k, s in specs if isinstance(s, ScalarSpec)]


def _by_name(attribute: tuple[type, str]) -> tuple[str, ...]:
    kind, name = attribute
    return (*class_name(kind), name)


def _scopes(content: Content) -> Iterator[Mapping[str, Any]]:
    """The variables of the modules whose code runs in a trace."""
    yield from content.scopes
    for name, module in list(sys.modules.items()):
        if is_trusted(name) and not name.startswith(_RUNTIME):
            yield getattr(module, "__dict__", {})


def _has_warned(scope: Mapping[str, Any]) -> bool:
    """Whether a warning of a module may have been shown before, and would not be again."""
    return any(key != "version" for key in scope.get("__warningregistry__", ()))
