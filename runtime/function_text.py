"""The LLVM text of an elementary function and its vector forms, for `runtime/functions.py`.

define <16 x float> @tapeless.vector.shared.exp_f32.16(<16 x float> %x0) { .. }
define float @tapeless.shared.exp_f32(float %x0) { .. }               by the one above
"""

from __future__ import annotations

from collections.abc import Sequence

from .builder import Builder, Value, llvm_type
from .builder_lanes import WIDE, emit
from .functions import function_symbol, lane_counts
from .kernel import arity
from .sharing import CONVENTION, call_form


def function_text(op: str, dtype: str) -> str:
    """The LLVM text of a function and its vector forms."""
    symbols: dict[str, str] = {}
    widest, *others = lane_counts(dtype)
    b, operands = _body(symbols, op, dtype, widest)
    b.attributes["noinline"] = None
    emit(op, b, operands)
    texts = [_define(b, op, operands)]
    for lanes in (*others, 0):
        b, operands = _body(symbols, op, dtype, lanes)
        wide = call_form(
            b, function_symbol(op, dtype, widest), [_widened(b, x, widest) for x in operands]
        )
        b.ret(_narrowed(b, wide, lanes))
        texts.append(_define(b, op, operands))
    return "\n".join([*symbols.values(), *texts])


def _body(symbols: dict[str, str], op: str, dtype: str, lanes: int) -> tuple[Builder, list[Value]]:
    b = Builder(symbols, avx512=True)  # `shares_functions` asks for its registers
    b.attributes[WIDE] = None
    return b, [Value(dtype, f"%x{i}", lanes) for i in range(arity(op))]


def _define(b: Builder, op: str, operands: Sequence[Value]) -> str:
    kind, lanes = operands[0].kind, operands[0].lanes
    typed = [x.typed for x in operands]
    return b.function(CONVENTION, llvm_type(kind, lanes), function_symbol(op, kind, lanes), typed)


def _widened(b: Builder, x: Value, lanes: int) -> Value:
    """A vector whose first elements are these, and the others 0."""
    if not x.lanes:
        wide = llvm_type(x.kind, lanes)
        return b.instruction(
            x.kind, f"insertelement {wide} zeroinitializer, {x.typed}, i64 0", lanes
        )
    order = ", ".join(f"i32 {min(lane, x.lanes)}" for lane in range(lanes))
    zero = f"{llvm_type(x.kind, x.lanes)} zeroinitializer"
    text = f"shufflevector {x.typed}, {zero}, <{lanes} x i32> <{order}>"
    return b.instruction(x.kind, text, lanes)


def _narrowed(b: Builder, x: Value, lanes: int) -> Value:
    """The first elements of a vector, or the first one."""
    if not lanes:
        return b.instruction(x.kind, f"extractelement {x.typed}, i64 0")
    order = ", ".join(f"i32 {lane}" for lane in range(lanes))
    none = f"{llvm_type(x.kind, x.lanes)} poison"
    return b.instruction(
        x.kind, f"shufflevector {x.typed}, {none}, <{lanes} x i32> <{order}>", lanes
    )
