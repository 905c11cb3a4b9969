"""The vocabulary of `runtime/kernel.py` taught to Numba: one LLVM emitter per word.

Each word is the very object that plain Python calls; here it gets a type and an emitter in Numba's
tables, when a kernel first uses it. Importing this module imports numba.
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

from ..ir.types import DTYPES
from . import kernel
from .builder_lanes import call_vector_function
from .emitters import EMITTERS, PREDICATES

Emit = Callable[..., Any]

NUMBA = {
    "bool": types.boolean, "i8": types.int8, "i16": types.int16, "i32": types.int32,
    "i64": types.int64, "u8": types.uint8, "u16": types.uint16, "u32": types.uint32,
    "u64": types.uint64, "f32": types.float32, "f64": types.float64,
}  # fmt: skip
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
    word = kernel.VOCABULARY[name]
    if name in NUMBA:
        _register_generic(word, partial(_conversion_type, NUMBA[name]), _convert, 1)
    elif "_from_" in name:
        target, _, source = name.partition("_from_")
        _register(word, NUMBA[target], [NUMBA[source]], _convert)
    else:
        op, _, dtype = name.rpartition("_")
        _register_operation(word, op, dtype)


def _register_operation(word: Any, op: str, dtype: str) -> None:
    kind = NUMBA[dtype]
    if op in kernel.ROUTINES:
        _register(word, types.none, routine_operands(op, dtype), partial(_call_routine, op, dtype))
    elif op == "select":
        _register(word, kind, [types.boolean, kind, kind], _plain(_select))
    elif op in kernel.VECMATH:
        _register(word, kind, [kind], partial(_vector_function, op, dtype))
    else:
        arity, emit = EMITTERS[op]
        result = types.boolean if op in PREDICATES else kind
        _register(word, result, [kind] * arity, _plain(partial(emit, DTYPES[dtype].kind)))


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


def _vector_function(
    op: str, dtype: str, context: Any, builder: ir.IRBuilder, sig: Any, args: Any
) -> Any:
    return call_vector_function(builder, f"{op}_{dtype}", dtype, kernel.VECMATH[op], args[0])


def _plain(emit: Callable[..., Any]) -> Emit:
    """An emitter that needs nothing but the builder and the operands."""

    def emitter(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        return emit(builder, *args)

    return emitter


def _select(b: ir.IRBuilder, condition: Any, x: Any, y: Any) -> Any:
    return b.select(condition, x, y)


def routine_operands(routine: str, dtype: str) -> list[Any]:
    """The Numba types of a routine's operands; flags are i64, as integers are."""
    kinds = {"f": NUMBA[dtype], "i": types.int64, "p": BufferType(NUMBA[dtype])}
    return [kinds[letter] for letter in kernel.ROUTINES[routine]]


def _call_routine(
    routine: str, dtype: str, context: Any, builder: ir.IRBuilder, sig: Any, args: Any
) -> Any:
    """Call the C function that `runtime/routines.py` defines."""
    symbol = kernel.routine_symbol(routine, dtype)
    kind = ir.FunctionType(ir.VoidType(), [x.type for x in args])
    function = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
    builder.call(function, args)
    return context.get_dummy_value()
