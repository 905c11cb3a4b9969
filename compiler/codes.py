"""Code objects, as far as they say what running them depends on.

    names = names_of(code)
    names.loaded        globals and built-in functions it asks for
    names.attributes    whatever it may ask an object or a module for
    names.imported      modules it imports

Nested functions, comprehensions and classes are part of it. ImpenetrableError for code whose course
depends on what nobody can see beforehand: the order of a set, which hash randomisation changes from
process to process, a variable of the module that it sets, its own frame.
"""

from __future__ import annotations

import opcode
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from ..ir.record import dataclass


class ImpenetrableError(Exception):
    """Something that has no description which is the same in every process."""


@dataclass(frozen=True)
class Names:
    """What code asks for by name, each once, in order."""

    loaded: tuple[str, ...]
    attributes: tuple[str, ...]
    imported: tuple[str, ...]


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(opcode.opmap[name] for name in names if name in opcode.opmap)


_CACHE: Final = opcode.opmap.get("CACHE", 0)
_EXTENDED: Final = opcode.opmap["EXTENDED_ARG"]
_GLOBAL: Final = opcode.opmap["LOAD_GLOBAL"]
_NAME: Final = _numbers(
    "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF", "LOAD_CLASSDEREF"
)
_IMPORT: Final = opcode.opmap["IMPORT_NAME"]
_CONSTANT: Final = opcode.opmap["LOAD_CONST"]
_CONTAINS: Final = opcode.opmap["CONTAINS_OP"]
_SMALL: Final = opcode.opmap.get("LOAD_SMALL_INT", _CONSTANT)
_REFUSED: Final = {
    number: reason
    for numbers, reason in (
        (_numbers("BUILD_SET", "SET_ADD", "SET_UPDATE"), "a set, whose order is not fixed"),
        (_numbers("STORE_GLOBAL", "DELETE_GLOBAL"), "a global variable that it sets"),
        (_numbers("IMPORT_STAR", "CALL_INTRINSIC_STAR"), "an import of everything"),
    )
    for number in numbers
}
_PATTERN: Final = opcode.opmap["MATCH_CLASS"]
_BINARY: Final = opcode.opmap["BINARY_OP"]
_SIGNS: Final = {sign: k for k, (_, sign) in enumerate(vars(opcode)["_nb_ops"])}
_SET_OPERATORS: Final = frozenset(
    (_BINARY, _SIGNS[sign]) for sign in ("&", "|", "^", "-", "&=", "|=", "^=", "-=")
)
"""What makes a set of two views of a dict."""
_CALL: Final = opcode.opmap["CALL"]
_PRECALL: Final = opcode.opmap.get("PRECALL")
_ATTRIBUTE: Final = _numbers("LOAD_ATTR", "LOAD_METHOD")
_SHIFT: Final = 1 if _PRECALL is None else 0
"""By how many bits the number of an attribute's name is shifted: since Python 3.12."""
_STORE: Final = frozenset(op for name, op in opcode.opmap.items() if name.startswith("STORE_"))
_ITERATE: Final = opcode.opmap["GET_ITER"]
_VIEWS: Final = frozenset({"items", "keys"})
_CLOCK: Final = frozenset({"now", "today"})
"""What NumPy takes for a time: that of the clock."""
_INDIRECT: Final = frozenset(
    {"attrgetter", "delattr", "getattr", "hasattr", "methodcaller", "setattr"}
)
_REVEALING: Final = frozenset({
    "__annotations__", "__builtins__", "__closure__", "__code__", "__doc__", "__globals__",
    "__subclasses__", "__warningregistry__", "__weakref__", "cr_frame", "f_back", "f_builtins",
    "f_globals", "f_locals", "gi_frame", "tb_frame", "__dataclass_params__", "__mro_entries__",
    "__reduce__", "__reduce_ex__", "__sizeof__", "__static_attributes__", "__firstlineno__",
    "__array_interface__", "__array_struct__", "ctypes",
    "__orig_bases__", "__parameters__", "__annotate__", "__module__", "__dir__", "__getstate__",
    "__hash__",
})  # fmt: skip
"""Attributes that lead to what a description leaves out."""


@lru_cache(maxsize=4096)
def names_of(code: CodeType) -> Names:
    """What the code, and all code inside it, asks for. ImpenetrableError, see above."""
    loaded: dict[str, None] = {}
    attributes: dict[str, None] = {}
    imported: dict[str, None] = {}
    patterns = False
    for inner in _nested(code):
        attributes |= dict.fromkeys(inner.co_names)
        instructions = list(_instructions(inner))
        for op, argument, near in instructions:
            patterns = patterns or op == _PATTERN
            if op == _PATTERN and argument:  # the class names the attributes
                attributes["__match_args__"] = None
            if op == _GLOBAL:
                loaded[inner.co_names[argument >> 1]] = None
            elif op in _NAME:
                loaded |= dict.fromkeys((*inner.co_names, *inner.co_freevars))
            elif op == _IMPORT:
                _check_absolute(inner, near[0])
                imported[inner.co_names[argument]] = None
            elif op in _REFUSED:
                raise ImpenetrableError(f"{code.co_name} has {_REFUSED[op]}")
            elif op == _CONSTANT and type(inner.co_consts[argument]) is frozenset:
                _check_set(inner, near[1])
        if not _VIEWS.isdisjoint(inner.co_names):
            _check_views(inner, [(op, argument) for op, argument, _ in instructions])
        if not _CLOCK.isdisjoint(map(str.lower, _identifiers(inner.co_consts))):
            raise ImpenetrableError(f"{code.co_name} may ask for the time")
        if not _INDIRECT.isdisjoint(attributes) or patterns:
            attributes |= dict.fromkeys(_identifiers(inner.co_consts))
    if _is_generated_hash(code):
        loaded.pop("hash", None)
    revealing = _REVEALING.intersection(attributes)
    if revealing:
        raise ImpenetrableError(f"{code.co_name} asks for {min(revealing)}")
    return Names(tuple(loaded), tuple(attributes), tuple(imported))


def _is_generated_hash(code: CodeType) -> bool:
    """Whether it is the `__hash__` that the standard library writes for a frozen dataclass. Numbers
    that are others in every process decide nothing: dictionaries keep the order of their keys,
    and code may ask for neither `hash` nor `__hash__`."""
    return code.co_name == "__hash__" and code.co_filename == "<string>"


def _identifiers(constants: tuple[Any, ...]) -> Iterator[str]:
    """Strings that may be names of attributes, for `getattr` and in a pattern."""
    for constant in constants:
        if type(constant) is str and constant.isidentifier():
            yield constant
        elif type(constant) is tuple:
            yield from _identifiers(constant)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _nested(constant)


Instruction = tuple[int, int]


def _instructions(code: CodeType) -> Iterator[tuple[int, int, tuple[Instruction, Instruction]]]:
    """Operation and argument, the instruction two before, and the one that follows."""
    content = code.co_code
    found, high = [(_CACHE, 0)] * 2, 0
    for op, low in zip(content[::2], content[1::2], strict=True):
        if op == _EXTENDED:
            high = (high | low) << 8
        elif op != _CACHE:
            found.append((op, high | low))
            high = 0
    found.append((_CACHE, 0))
    for k in range(2, len(found) - 1):
        yield *found[k], (found[k - 2], found[k + 1])


def _check_set(code: CodeType, following: Instruction) -> None:
    """A set that is only asked whether it contains something is as good as a tuple."""
    if following[0] != _CONTAINS:
        raise ImpenetrableError(f"{code.co_name} has a set, whose order is not fixed")


def _check_views(code: CodeType, found: list[Instruction]) -> None:
    """`p.keys() & q.keys()` is a set. Of a view that is kept in a variable nobody knows where it
    goes: any operator may be meant for it."""
    if _SET_OPERATORS.isdisjoint(found):
        return
    for k, (op, argument) in enumerate(found):
        if op in _ATTRIBUTE and code.co_names[argument >> _SHIFT] in _VIEWS:
            following = iter(found[k + 1 :])
            if next(x for x in following if x[0] != _PRECALL)[0] == _CALL and _joins(following):
                raise ImpenetrableError(f"{code.co_name} makes a set, whose order is not fixed")


def _joins(following: Iterator[Instruction]) -> bool:
    """Whether the value on top of the stack is stored, or an operand of a set's operator."""
    above = 0
    for op, argument in following:
        if above == 0 and (op == _ITERATE or op in _STORE):
            return op in _STORE
        if above < 2 and (op, argument) in _SET_OPERATORS:
            return True
        above += opcode.stack_effect(op, argument if op >= opcode.HAVE_ARGUMENT else None)
        if above < 0:
            return False
    return False


def _check_absolute(code: CodeType, level: Instruction) -> None:
    """An import from the package of the module would have to be resolved first."""
    op, argument = level
    absolute = argument if op != _CONSTANT else code.co_consts[argument]
    if op not in (_CONSTANT, _SMALL) or absolute != 0:
        raise ImpenetrableError(f"{code.co_name} has a relative import")


def described(code: CodeType) -> tuple[Any, ...]:
    """All of a code object but its constants: bytes, numbers, strings and tuples of strings."""
    return (
        code.co_filename,
        code.co_firstlineno,
        code.co_name,
        code.co_qualname,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_code,
        code.co_linetable,
        code.co_exceptiontable,
    )


PLAIN: Final[dict[Any, Callable[[Any], str]]] = {
    type(None): repr,
    bool: repr,
    int: hex,
    str: repr,
    bytes: repr,
    type(...): repr,
    type(NotImplemented): repr,
    range: repr,
    float: lambda x: f"float {struct.pack('<d', x).hex()}",
    complex: lambda x: f"complex {struct.pack('<dd', x.real, x.imag).hex()}",
}
"""Values that are written out, and how."""

NUMBERS: Final[dict[Any, Callable[[Any], Any]]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
}
"""What an object holds whose class is derived from one of these."""
