"""Whose code is known by its name and version: NumPy's, this package's, and that of modules of the
standard library that compute and do nothing else. ImpenetrableError where somebody has replaced a
part of this package while it runs."""

from __future__ import annotations

import abc
import os
import sys
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

from .codes import ImpenetrableError

PACKAGE: Final = __name__.partition(".")[0]
PURE: Final = frozenset({
    "_collections", "_functools", "_operator", "abc", "bisect", "cmath", "collections",
    "contextlib", "copy", "dataclasses", "enum", "fractions", "functools", "heapq", "itertools",
    "math", "numbers", "operator", "reprlib", "string", "types", "typing",
})  # fmt: skip
"""Modules of the standard library that only compute. (`reprlib`: the `__repr__` of dataclasses,
since Python 3.13.)"""
BUILTINS: Final = frozenset({
    "__build_class__", "abs", "all", "any", "ascii", "bin", "callable", "chr", "delattr", "divmod",
    "format", "getattr", "hasattr", "hex", "isinstance", "issubclass", "iter", "len", "max", "min",
    "next", "oct", "ord", "pow", "repr", "round", "setattr", "sorted", "sum",
})  # fmt: skip
"""Built-in functions that only compute. What `id` and `hash` give is another number in every
process."""

OUTSIDE: Final = frozenset({
    "DataSource", "NpzFile", "ctypeslib", "datetime64", "f2py", "fromfile", "fromregex",
    "genfromtxt", "get_state", "getbufsize", "load", "loadtxt", "memmap", "open_memmap",
    "opt_func_info", "read_array", "save", "savetxt", "savez", "savez_compressed", "set_state",
    "show_config", "show_runtime", "test", "testing", "tofile",
})  # fmt: skip
"""What NumPy has to do with files, the clock (`datetime64("now")`) and the system."""
COMPUTED: Final = frozenset({
    "Formatter", "__dict__", "__getattribute__", "__match_args__", "attrgetter", "closing",
    "delattr", "format", "format_map", "getattr", "hasattr", "methodcaller", "setattr",
})  # fmt: skip
"""Ways to an attribute whose name is made while the code runs, or does not occur in it."""
LEFT_OUT: Final = frozenset({
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__",
    "__annotations_cache__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__",
    "__module__", "__orig_bases__", "__parameters__", "__qualname__", "__static_attributes__",
    "__weakref__",
})  # fmt: skip
"""Attributes of a class that say nothing, or that code must not ask for (`codes.py`)."""

_TELLING: Final = frozenset({"get_original_bases", "get_type_hints"})
"""Functions that say of a class what is left out."""

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NUMPY: Final = os.path.join(os.path.dirname(np.__file__), "")
_STANDARD: Final = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED: Final = tuple(
    os.path.join(_STANDARD, folder, "") for folder in ("site-packages", "dist-packages")
)
_OWN: Final = (
    *(os.path.join(_ROOT, d, "") for d in ("compiler", "ir", "library", "passes", "runtime")),
    os.path.join(_ROOT, "__init__.py"),
)
_VERSIONED: Final = (*_OWN, _NUMPY)
_FAMILY: Final = frozenset({PACKAGE, "numpy", "llvmlite", "numba"})
_DISPATCHER: Final[Any] = type(np.sum)
_RANDOM: Final = "numpy.random.mtrand"
_PREFIX: Final = f"{PACKAGE}."
_UNTRACED: Final = tuple(
    f"{PACKAGE}.{name}" for name in ("runtime", "passes", "compiler.codegen", "compiler.cli")
)
"""Parts that do not run while a step is traced."""
_PLAIN: Final = frozenset({str, int, float, bool, tuple, frozenset, dict, type(None), ModuleType})
"""Of the modules' members, most, and none of these is looked into."""
_HEAP_TYPE: Final = 1 << 9
_SETS: Final = frozenset({set, frozenset})
_REGISTERED: Final[Any] = vars(abc).get("_get_dump")
"""What is registered with an abstract class: weak references, first of what it returns."""


def is_standard(root: str) -> bool:
    """Whether a module is of the standard library, and no file of the user's by that name."""
    file = getattr(sys.modules.get(root), "__file__", None)
    return root in sys.stdlib_module_names and (file is None or file.startswith(_STANDARD))


def is_trusted(module: str) -> bool:
    """Whether what a module defines is known by its name."""
    root = module.partition(".")[0]
    return root in (PACKAGE, "numpy") or (root in PURE and is_standard(root))


def class_name(kind: Any) -> tuple[str, ...]:
    """Module and names of a class, whatever its metaclass says."""
    names = ("__module__", "__qualname__", "__name__")
    return tuple(str(type.__dict__[name].__get__(kind)) for name in names)


def is_trusted_class(kind: Any) -> bool:
    """Whether a class is known by its name: it is what one finds there."""
    if kind in _SETS:
        raise ImpenetrableError("a set, whose order is not fixed")
    module, name, _ = class_name(kind)
    if is_trusted(module):
        _check_inside(module, name)
    if not kind.__flags__ & _HEAP_TYPE:
        return module == "builtins" or is_trusted(module)
    if not is_trusted(module):
        return False
    found: Any = vars(sys.modules[module]) if module in sys.modules else {}
    inner: Any = None
    for part in name.split("."):
        inner = found.get(part)
        found = type.__getattribute__(inner, "__dict__") if isinstance(inner, type) else {}
    if isinstance(kind, abc.ABCMeta):
        _check_registered(kind)
    return inner is kind


def _check_registered(kind: Any) -> None:
    """`isinstance` says yes of classes that were registered with an abstract class, or with one
    derived from it. ImpenetrableError if one of these is the user's."""
    derived = [kind]
    for abstract in derived:  # grows
        derived += type.__subclasses__(abstract)
        registry = vars(abstract).get("_abc_impl") and _REGISTERED(abstract)[0]
        for member in filter(None, (reference() for reference in registry or ())):
            if not _is_known(class_name(member)[0]):
                raise ImpenetrableError(f"{class_name(member)} is registered with {kind}")


def trusted_function(function: Any) -> str | None:
    """The name of a function in Python that is known by it; None for any other. ImpenetrableError
    for one that says what a description leaves out."""
    file = function.__code__.co_filename
    module = str(function.__globals__.get("__name__"))
    known = file.startswith(_VERSIONED) or (_is_standard_file(file) and is_trusted(module))
    if known and function.__code__.co_name in _TELLING:
        raise ImpenetrableError(f"{module}.{function.__code__.co_name} asks for annotations")
    _check_inside(module, function.__code__.co_name)
    return f"{module} {function.__code__.co_qualname}" if known else None


def trusted_built_in(function: Any) -> str:
    """The name of a function in C; ImpenetrableError for one that is not known."""
    name, module = function.__name__, function.__module__ or ""
    if not is_trusted(module) and not (module == "builtins" and name in BUILTINS):
        raise ImpenetrableError(f"the function {module}.{name}")
    _check_inside(module, name)
    return f"{module} {name}"


def trusted_numpy(value: Any) -> str | None:
    """The name of a function or ufunc of NumPy; None for what is not one."""
    kind: type = type(value)
    if kind is np.ufunc:
        name = str(value.__name__)
        return f"ufunc {name}" if vars(np).get(name) is value else None
    if kind is not _DISPATCHER:
        return None
    made = value._implementation
    if type(made) is FunctionType and not made.__code__.co_filename.startswith(_NUMPY):
        return None
    _check_inside(value.__module__, value.__name__)
    return f"{value.__module__} {value.__name__}"


def _check_inside(module: str, name: str) -> None:
    """ImpenetrableError for a function or class of NumPy that reaches outside, under whatever name
    it is known to the step."""
    if name in OUTSIDE and module.partition(".")[0] == "numpy":
        raise ImpenetrableError(f"{module}.{name} reaches outside")


def dtype_text(dtype: Any) -> str:
    if dtype.kind not in "biufcSU" or dtype.metadata:
        raise ImpenetrableError(f"the dtype {dtype}")
    return f"{dtype.char}{dtype.str}"


def is_untouched(name: str, value: Any) -> bool:
    """Whether a trusted module's attribute is what was always there: a function or a class of that
    name."""
    kind = type(value)
    if kind is FunctionType:
        return value.__name__ == name and trusted_function(value) is not None
    if kind is np.ufunc or kind is _DISPATCHER:
        return value.__name__ == name and trusted_numpy(value) is not None
    if kind is BuiltinFunctionType:
        owner = value.__self__
        free = owner is None or type(owner) is ModuleType
        return free and value.__name__ == name and is_trusted(value.__module__ or "")
    return isinstance(value, type) and class_name(value)[1] == name and is_trusted_class(value)


def is_random(value: Any) -> bool:
    """Whether it is a function of `numpy.random`: a trace that draws from the generator of the
    process is an error, so its state decides nothing."""
    return type(value) is BuiltinFunctionType and class_name(type(value.__self__))[0] == _RANDOM


def is_protocol(kind: Any) -> bool:
    """Whether trusted code may ask for attributes of a class, since it is a base of its own."""
    module = class_name(kind)[0]
    return module != "builtins" and is_trusted(module)


def check_package() -> None:
    """ImpenetrableError if a loaded module of this package, as far as they trace, has a function or
    an object in it that does not belong there, such as a test puts there."""
    for name in [name for name in list(sys.modules) if name.startswith(PACKAGE)]:
        module = sys.modules.get(name)
        own = name == PACKAGE or name.startswith(_PREFIX)
        traced = own and not name.startswith(_UNTRACED)
        if traced and type(module) is ModuleType:
            _check_members(name, list(vars(module).items()))


def _check_members(module: str, members: list[tuple[str, Any]]) -> None:
    for key, value in members:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is FunctionType:
            own = _is_known_file(value.__code__.co_filename)
        elif kind is type and value.__module__ == module:
            methods = [m for m in list(vars(value).values()) if type(m) is FunctionType]
            own = all(map(_is_known_file, [method.__code__.co_filename for method in methods]))
        else:
            own = _is_known(str((value if kind is type else kind).__module__))
        if not own and not key.startswith("__"):
            raise ImpenetrableError(f"{module}.{key} is not what {PACKAGE} has there")


@cache
def _is_known_file(file: str) -> bool:
    return file.startswith((*_VERSIONED, "<string>")) or _is_standard_file(file)


def _is_standard_file(file: str) -> bool:
    inner = file.startswith(_STANDARD) and not file.startswith(_INSTALLED)
    return inner or file.startswith("<frozen ")


@cache
def _is_known(module: str) -> bool:
    root = module.partition(".")[0]
    return root in _FAMILY or root in sys.stdlib_module_names
