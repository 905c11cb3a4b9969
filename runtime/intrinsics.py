"""The vocabulary of `runtime/kernel.py` taught to Numba: one LLVM function per word.

Each word is the very object that plain Python calls; here it gets a type in Numba's tables, when a
kernel first uses it, and becomes the call of a function that `runtime/numba_kernels.py` defines.
Importing this module imports numba.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models, register_default
from numba.core.imputils import Registry as Emitters
from numba.core.registry import cpu_target
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, ConcreteTemplate
from numba.core.typing.templates import Registry as Typings

from . import kernel
from .link import add_symbol
from .words import Word, word

Emit = Callable[..., Any]

NUMBA = {
    "bool": types.boolean, "i8": types.int8, "i16": types.int16, "i32": types.int32,
    "i64": types.int64, "u8": types.uint8, "u16": types.uint16, "u32": types.uint32,
    "u64": types.uint64, "f32": types.float32, "f64": types.float64,
}  # fmt: skip
_NEVER_CALLED = 1
"""An address for a function: machine code that Numba makes is not run."""
_TYPINGS, _EMITTERS = Typings(), Emitters("tapeless")


class BufferType(types.Type):  # type: ignore[misc]
    """A raw pointer to elements of one dtype."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"Buffer({dtype})")


@register_default(BufferType)
class _BufferModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: BufferType) -> None:
        super().__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


def _element_type(args: Any) -> Any:
    if isinstance(args[0], BufferType):
        return signature(args[0].dtype, args[0], types.int64)
    return None


def _store_type(args: Any) -> Any:
    if isinstance(args[0], BufferType):
        return signature(types.none, args[0], types.int64, args[0].dtype)
    return None


def _offset_type(args: Any) -> Any:
    return signature(args[0], args[0], types.int64)


def _copy_type(args: Any) -> Any:
    return signature(types.none, args[0], args[0], types.int64)


def _zero_type(args: Any) -> Any:
    return signature(types.none, args[0], types.int64)


def _address(builder: ir.IRBuilder, buffer: Any, index: Any) -> Any:
    return builder.gep(buffer, [index], inbounds=True)


def _load(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    return context.unpack_value(builder, sig.return_type, _address(builder, args[0], args[1]))


def _store(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    context.pack_value(builder, sig.args[2], args[2], _address(builder, args[0], args[1]))
    return context.get_dummy_value()


def _offset(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    return _address(builder, args[0], args[1])


def _bytes(context: Any, builder: ir.IRBuilder, buffer: Any, count: Any) -> Any:
    size = context.get_abi_sizeof(buffer.type.pointee)
    return builder.mul(count, ir.Constant(count.type, size))


_BYTE_POINTER = ir.IntType(8).as_pointer()
_NOT_VOLATILE = ir.Constant(ir.IntType(1), 0)


def _copy(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    target, source = (builder.bitcast(x, _BYTE_POINTER) for x in args[:2])
    size = _bytes(context, builder, args[0], args[2])
    function = builder.module.declare_intrinsic(
        "llvm.memcpy", [_BYTE_POINTER, _BYTE_POINTER, size.type]
    )
    builder.call(function, [target, source, size, _NOT_VOLATILE])
    return context.get_dummy_value()


def _zero(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    size = _bytes(context, builder, args[0], args[1])
    function = builder.module.declare_intrinsic("llvm.memset", [_BYTE_POINTER, size.type])
    byte = ir.Constant(ir.IntType(8), 0)
    builder.call(function, [builder.bitcast(args[0], _BYTE_POINTER), byte, size, _NOT_VOLATILE])
    return context.get_dummy_value()


# --- typing and registration -------------------------------------------------------------------


def _register_generic(word: Any, rule: Callable[[Any], Any], emit: Emit, arity: int) -> None:
    """A word whose type depends on its operands."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = word

        def generic(self, args: Any, kws: Any) -> Any:
            return rule(args) if len(args) == arity else None

    _TYPINGS.globals.append((word, types.Function(Template)))
    _EMITTERS.functions.append((emit, word, (types.Any,) * arity))


def _register(word: Any, result: Any, operands: Iterable[Any], emit: Emit) -> None:
    """A word of one signature; its operands are converted to it."""

    class Template(ConcreteTemplate):  # type: ignore[misc]
        key = word
        cases: ClassVar[list[Any]] = [signature(result, *operands)]

    _TYPINGS.globals.append((word, types.Function(Template)))
    _EMITTERS.functions.append((emit, word, tuple(operands)))


@cache
def _register_buffers() -> None:
    _register_generic(operator.getitem, _element_type, _load, 2)
    _register_generic(operator.setitem, _store_type, _store, 3)
    _register_generic(kernel.at, _offset_type, _offset, 2)
    _register_generic(kernel.copy, _copy_type, _copy, 3)
    _register_generic(kernel.zero, _zero_type, _zero, 2)


@cache
def _register_word(name: str) -> None:
    """Teach Numba one word; `<op>_<dtype>` unless it is a conversion."""
    meaning = kernel.VOCABULARY[name]
    if name in NUMBA:
        _register_generic(meaning, partial(_conversion_type, NUMBA[name]), _convert, 1)
    elif found := word(name):
        add_symbol(word_symbol(name), _NEVER_CALLED)
        result = types.none if found.result is None else numba_type(found.result)
        operands = [numba_type(kind) for kind in found.operands]
        _register(meaning, result, operands, partial(_call_word, name, found))


def numba_type(kind: str) -> Any:
    """Numba's type of a kind (`runtime/builder.py`)."""
    return BufferType(NUMBA[kind[:-1]]) if kind.endswith("*") else NUMBA[kind]


def word_symbol(name: str) -> str:
    """The function that stands for a word."""
    return f"tapeless.word.{name}"


def prepare(names: Iterable[str]) -> None:
    """Make the words among `names` known to Numba's typing and code generation."""
    _register_buffers()
    for name in names:
        if name in kernel.VOCABULARY and name not in ("at", "copy", "zero"):
            _register_word(name)
    cpu_target.target_context.refresh()
    cpu_target.typing_context.install_registry(_TYPINGS)
    cpu_target.target_context.install_registry(_EMITTERS)


# --- emitters ----------------------------------------------------------------------------------


def _conversion_type(target: Any, args: Any) -> Any:
    return signature(target, types.unliteral(args[0]))


def _convert(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    return context.cast(builder, args[0], sig.args[0], sig.return_type)


def _call_word(
    name: str, found: Word, context: Any, builder: ir.IRBuilder, sig: Any, args: Any
) -> Any:
    symbol = word_symbol(name)
    result = ir.VoidType() if found.result is None else context.get_value_type(sig.return_type)
    kind = ir.FunctionType(result, [x.type for x in args])
    function = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
    value = builder.call(function, args)
    return context.get_dummy_value() if found.result is None else value
