"""What Python objects are made of, as text that is the same in every process.

    content = Content(mine)
    content.add(step)
    content.digest()

Equal digests mean: Python code that reaches nothing but what was added (and runs on arguments that
are described elsewhere) does the same. So a function is its code with file and lines, its defaults,
what it closes over, and, for every name it asks for, what that name stands for; and so on from
there. A class is its bases and what code can ask it for by a name that occurs; an object its class
and its attributes; an array its bytes. A module of the user's is what names that occur stand for in
it. Functions, classes and modules of NumPy, of this package and of a few modules of the standard
library that compute and do nothing else are their names: their versions are part of every key.

Numbers, strings and tuples are their values: of two equal ones it is not said whether they are one
object, so code that asks for that (`is`) may get the answer of an earlier process. Nor is seen what
lies around a view in its `base`, or is changed in trusted modules by no name (`copyreg`'s table).

What has no such description raises ImpenetrableError: objects of unknown C types, sets (their order
changes from process to process), files, clocks, generators of random numbers, the system. Code of
the user's is never run.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final

import numpy as np

from ..runtime.identity import hashed
from . import attributes
from .codes import NUMBERS, PLAIN, ImpenetrableError, described, names_of
from .trust import (
    COMPUTED,
    LEFT_OUT,
    OUTSIDE,
    PACKAGE,
    PURE,
    class_name,
    dtype_text,
    is_protocol,
    is_random,
    is_standard,
    is_trusted,
    is_trusted_class,
    is_untouched,
    trusted_built_in,
    trusted_function,
    trusted_numpy,
)

LIMIT: Final = 50_000
"""How many lines a description may have."""
BYTES: Final = 2**26
"""How many bytes of arrays."""


class Content:
    """A description under way. `apart` are the ids of objects that belong to the arguments."""

    def __init__(self, apart: Iterable[int] = ()) -> None:
        self._lines: list[str] = []
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []
        self._names: dict[str, None] = {}
        self._classes: list[Any] = []
        self._modules: list[ModuleType] = []
        self.scopes: list[dict[str, Any]] = []
        self._apart = frozenset(apart)
        self._bytes = 0
        self._memory: dict[int, tuple[int, int]] = {}

    def digest(self) -> str:
        """Of all that was added. ImpenetrableError if it has no description."""
        self._named()
        text = "\n".join(self._lines)
        return hashed(text.encode(errors="surrogatepass"))

    def number(self, value: Any) -> int | None:
        """Which of the described objects it is: the same number in every process."""
        return self._seen.get(id(value))

    def numbered(self, number: int) -> Any:
        """The described object of a number."""
        return self._kept[number]

    def add(self, value: Any) -> None:
        """Describe an object; ImpenetrableError if it has no description."""
        kind: Any = type(value)
        write = PLAIN.get(kind)
        if write is not None:
            self.say(write(value))
        elif kind is tuple:
            self.items("tuple", value)
        elif id(value) in self._apart:
            raise ImpenetrableError("an argument is known by another name, too")
        elif id(value) in self._seen:
            self.say(f"seen {self._seen[id(value)]}")
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
            self._add_once(kind, value)

    def say(self, line: str) -> None:
        """A line of the description; it must have no line breaks."""
        if len(self._lines) >= LIMIT:
            raise ImpenetrableError("too much to describe")
        self._lines.append(line)

    def _add_once(self, kind: Any, value: Any) -> None:
        write = _ONCE.get(kind)
        if write is not None:
            write(self, value)
        elif issubclass(kind, type):
            self._class(value)
        elif issubclass(kind, np.generic):
            self._elements(np.asarray(value), repr(kind))
        elif issubclass(kind, np.dtype):
            self.say(dtype_text(value))
        else:
            self._object(kind, value)

    def items(self, what: str, items: Any) -> None:
        self.say(f"{what} {len(items)}")
        for item in items:
            self.add(item)

    def pairs(self, what: str, items: Any) -> None:
        self.say(f"{what} {len(items)}")
        for key, item in items:
            self.add(key)
            self.add(item)

    def array(self, array: Any) -> None:
        """An array, and how it lies to others in the same memory."""
        owner = array if array.base is None else array.base
        address = array.__array_interface__["data"][0]
        number, first = self._memory.setdefault(id(owner), (len(self._memory), address))
        self._elements(array, f"array in {number} at {address - first}")

    def _elements(self, array: Any, what: str) -> None:
        self._bytes += array.nbytes
        if self._bytes > BYTES:
            raise ImpenetrableError("too many bytes")
        layout = array.shape, array.strides, array.flags.num
        self.say(f"{what} {dtype_text(array.dtype)} {layout} {hashed(array.tobytes())}")

    def _object(self, kind: Any, value: Any) -> None:
        """An object of a class written in Python: its class and its attributes."""
        base = attributes.c_base(kind)
        self.say(f"object of {base.__name__}")
        self.add(kind)
        if is_trusted_class(kind) and "content_of" in vars(kind):
            return self.items("parts", [getattr(value, name) for name in kind.content_of])
        if issubclass(base, dict):
            self.pairs("items", list(base.items(value)))
            if base is defaultdict:
                self.add(value.default_factory)
        elif base in (list, tuple):
            self.items("items", list(base.__iter__(value)))
        elif base in NUMBERS:
            self.add(NUMBERS[base](value))
        elif base not in (object, types.SimpleNamespace) or attributes.has_more(kind, base):
            raise ImpenetrableError(f"an object of {kind}")
        self.pairs("attributes", attributes.stored(kind, value))

    def function(self, function: Any) -> None:
        name = trusted_function(function)
        if name is not None:
            self.say(f"function {name}")
            self._cells(function.__closure__)
            self.pairs("attributes", list(function.__dict__.items()))
            return
        named = function.__module__, function.__qualname__, function.__name__
        self.say(f"code of {named}")
        self._code(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        self._cells(function.__closure__)
        self.pairs("attributes", list(function.__dict__.items()))
        self._globals(function)

    def _code(self, code: CodeType) -> None:
        self.say(repr(described(code)))
        self._constants(code.co_consts)

    def _constants(self, constants: tuple[Any, ...]) -> None:
        self.say(f"constants {len(constants)}")
        for constant in constants:
            if type(constant) is CodeType:
                self._code(constant)
            elif type(constant) is tuple:
                self._constants(constant)
            elif type(constant) is frozenset:
                self.say(f"set {sorted(map(repr, constant))}")
            else:
                self.add(constant)

    def _cells(self, cells: Any) -> None:
        self.say(f"closure {len(cells or ())}")
        for cell in cells or ():
            try:
                held = cell.cell_contents
            except ValueError:  # a variable that is not assigned yet
                self.say("empty")
                continue
            self.add(held)

    def _globals(self, function: Any) -> None:
        """What the names stand for that the function asks for."""
        names = names_of(function.__code__)
        self._names |= dict.fromkeys(names.attributes)
        scope, built_in = function.__globals__, function.__builtins__
        self.scopes.append(scope)
        for name in names.loaded:
            self.say(f"name {name!r}")
            if name in scope:
                self.add(scope[name])
            elif name in built_in:
                self.add(built_in[name])
            else:
                self.say("nothing")
        for name in names.imported:
            if not is_trusted(name) or name not in sys.modules:
                raise ImpenetrableError(f"an import of {name}")
            self.add(sys.modules[name])

    def built_in(self, function: Any) -> None:
        """A function written in C: of a trusted module, or a method of something described."""
        owner = function.__self__
        self._names[function.__name__] = None  # it may have another one here
        if owner is None or type(owner) is ModuleType:
            self.say(f"built-in {trusted_built_in(function)}")
        else:
            self.say(f"built-in method {function.__name__!r}")
            self.add(owner)

    def _class(self, kind: Any) -> None:
        self.say(f"class {class_name(kind)}")
        self._names[class_name(kind)[1]] = None
        if not is_trusted_class(kind):
            self.add(type(kind))
            self.items("bases", type.__dict__["__bases__"].__get__(kind))
            self._classes.append(kind)

    def module(self, module: Any) -> None:
        root = module.__name__.partition(".")[0]
        if is_standard(root) and root not in PURE:
            raise ImpenetrableError(f"the module {root}")
        self.say(f"module {module.__name__!r}")
        self._modules.append(np if root == PACKAGE else module)  # `tapeless.numpy` is NumPy too

    def _named(self) -> None:
        """Describe what code can get from the classes and modules it reaches, which may reach more,
        and may know other names."""
        done: set[tuple[int, str]] = set()
        known = -1
        while known != (known := len(done)):
            computed = not COMPUTED.isdisjoint(self._names)
            for module in self._modules:  # grows
                if is_trusted(module.__name__):
                    self._trusted_names(module, done)
                else:
                    self._module_names(module, computed, done)
            for kind in self._classes:  # grows
                self._class_names(kind, computed, done)

    def _trusted_names(self, module: ModuleType, done: set[tuple[int, str]]) -> None:
        """Nothing, as long as nobody has replaced what it names. (A part of NumPy that is loaded
        when it is first used says nothing either, loaded or not.)"""
        scope = vars(module)
        for name in list(self._names):
            if name not in scope or (id(module), name) in done:
                continue
            done.add((id(module), name))
            if name in OUTSIDE:
                raise ImpenetrableError(f"{module.__name__}.{name} reaches outside")
            value = scope[name]
            if type(value) is ModuleType and is_trusted(value.__name__):
                self._modules += [value] if value not in self._modules else []
            elif not is_untouched(name, value) and not is_random(value):
                self.say(f"in {module.__name__} {name!r}")
                self.add(value)

    def _module_names(self, module: ModuleType, computed: bool, done: set[tuple[int, str]]) -> None:
        scope = vars(module)
        if computed or "__getattr__" in scope:
            raise ImpenetrableError(f"names in the module {module.__name__} are made at run time")
        for name in list(self._names):
            if name in scope and (id(module), name) not in done:
                done.add((id(module), name))
                self.say(f"in module {module.__name__!r} {name!r}")
                self.add(scope[name])

    def _class_names(self, kind: Any, computed: bool, done: set[tuple[int, str]]) -> None:
        scope = type.__dict__["__dict__"].__get__(kind)
        every = computed or any(map(is_protocol, kind.__mro__))
        for name, value in list(scope.items()):
            wanted = every or name in self._names or name.startswith("__") or name in _ASKED
            if name in LEFT_OUT or not wanted or (id(kind), name) in done:
                continue
            done.add((id(kind), name))
            self.say(f"in class {self._seen[id(kind)]} {name!r}")
            if name == "__dataclass_fields__":
                self._fields(value)
            else:
                self.add(value)

    def _fields(self, fields: Any) -> None:
        """The fields of a dataclass; their types are not looked into."""
        self.say(f"fields {len(fields)}")
        for name, field in fields.items():
            flags = field.init, field.repr, field.hash, field.compare, field.kw_only
            self.say(f"field {name!r} {field._field_type!r} {flags} {repr(field.type)!r}")
            for part in (field.default, field.default_factory, dict(field.metadata)):
                self.add(part)


def _parts(what: str, *names: str) -> Callable[[Content, Any], None]:
    """The description of an object as some of its attributes."""

    def write(content: Content, value: Any) -> None:
        content.say(what)
        for name in names:
            content.add(getattr(value, name))

    return write


def _numpy(content: Content, value: Any) -> None:
    name = trusted_numpy(value)
    if name is None:
        raise ImpenetrableError(f"the function {value!r}")
    content.say(name)


def _set(content: Content, value: Any) -> None:
    """The order of two elements is not the same in every process."""
    if len(value) > 1:
        raise ImpenetrableError("a set, whose order is not fixed")
    content.items(type(value).__name__, value)


def _reduced(content: Content, value: Any) -> None:
    """`itemgetter` and its kin: what makes them again."""
    kind, arguments = value.__reduce__()[:2]
    content.add(kind)
    content.add(arguments)


_ASKED: Final = frozenset(dir(np.ndarray)) | {"_abc_impl", "_fields", "_make", "keys", "mro"}
"""What functions in C, and those of named tuples, ask their arguments for."""
_ONCE: Final[dict[Any, Callable[[Content, Any], None]]] = {
    FunctionType: Content.function,
    BuiltinFunctionType: Content.built_in,
    ModuleType: Content.module,
    type(np.sum): _numpy,
    np.ufunc: _numpy,
    np.ndarray: Content.array,
    list: lambda content, x: content.items("list", x),
    dict: lambda content, x: content.pairs("dict", list(x.items())),
    set: _set,
    frozenset: _set,
    MappingProxyType: lambda content, x: content.pairs("proxy", list(x.items())),
    MethodType: _parts("method", "__func__", "__self__"),
    slice: _parts("slice", "start", "stop", "step"),
    staticmethod: _parts("staticmethod", "__func__"),
    classmethod: _parts("classmethod", "__func__"),
    property: _parts("property", "fget", "fset", "fdel"),
    functools.partial: _parts("partial", "func", "args", "keywords", "__dict__"),
    functools.cached_property: _parts("cached_property", "func", "attrname"),
    types.GenericAlias: _parts("alias", "__origin__", "__args__"),
    types.WrapperDescriptorType: _parts("slot", "__objclass__", "__name__"),
    types.MethodDescriptorType: _parts("method of", "__objclass__", "__name__"),
    types.ClassMethodDescriptorType: _parts("class method of", "__objclass__", "__name__"),
    types.MethodWrapperType: _parts("method of", "__self__", "__name__"),
    MemberDescriptorType: _parts("member", "__objclass__", "__name__"),
    GetSetDescriptorType: _parts("member", "__objclass__", "__name__"),
    type(vars(inspect.FullArgSpec)["args"]): _reduced,  # a field of a named tuple
    operator.itemgetter: _reduced,
    operator.attrgetter: _reduced,
    operator.methodcaller: _reduced,
}
