"""The arithmetic of `runtime/lanes.py` as LLVM instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from . import avx512
from .beyond import definitions, symbol
from .builder import Builder, Value, constant, llvm_type
from .kernel import VECMATH, arity
from .lanes import FORMATS, Format, Lane, Table
from .sharing import call_shared
from .vector_memory import gather

WIDE: Final = '"prefer-vector-width"="512"'
"""The attribute of functions that gain from the widest registers."""

NARROW: Final = dict.fromkeys(
    ('"prefer-vector-width"="256"', '"min-legal-vector-width"="256"'), None
)
"""That of the others, which wait for memory: arrays rarely start at a multiple of 64 bytes, and
then every access of a 512-bit register is to two cache lines. A vector of 512 bits is two
registers there."""

_PATTERNS: Final = {"f32": "i32", "f64": "i64"}
_FLOATS: Final = {"i32": "f32", "i64": "f64"}

ALIGNED: Final = '"stackrealign"'
"""The attribute of functions whose registers may not suffice: what they put on the stack then does
not cross cache lines, as it would in most processes, at the cost of a tenth of the time."""


class BuilderLane:
    """An LLVM value with Python's operators; each one emits an instruction."""

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder = builder
        self.value = value

    def constant(self, number: float) -> Value:
        """A Python number in this lane's dtype."""
        return constant(self.value.kind, number, self.value.lanes)

    def _emit(self, emit: Callable[..., Value], other: Any, *, swap: bool = False) -> BuilderLane:
        y = other.value if isinstance(other, BuilderLane) else self.constant(other)
        operands = (y, self.value) if swap else (self.value, y)
        return BuilderLane(self.builder, emit(*operands))

    def _add(self, x: Value, y: Value) -> Value:
        """Within a function a product may be added by an FMA: its error bound holds either way."""
        return self.builder.add(x, y, flags="contract")

    def _sub(self, x: Value, y: Value) -> Value:
        return self.builder.sub(x, y, flags="contract")

    def _compare(self, symbol: str, other: Any) -> BuilderLane:
        return self._emit(lambda x, y: self.builder.compare(symbol, x, y), other)

    def __add__(self, other: Any) -> BuilderLane:
        return self._emit(self._add, other)

    def __radd__(self, other: Any) -> BuilderLane:
        return self._emit(self._add, other, swap=True)

    def __sub__(self, other: Any) -> BuilderLane:
        return self._emit(self._sub, other)

    def __rsub__(self, other: Any) -> BuilderLane:
        return self._emit(self._sub, other, swap=True)

    def __mul__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.mul, other)

    def __rmul__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.mul, other, swap=True)

    def __truediv__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.div, other)

    def __rtruediv__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.div, other, swap=True)

    def __neg__(self) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.neg(self.value))

    def __and__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.and_, other)

    def __or__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.or_, other)

    def __xor__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.xor, other)

    def __lshift__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.shl, other)

    def __rshift__(self, other: Any) -> BuilderLane:
        return self._emit(self.builder.shr, other)

    def __lt__(self, other: Any) -> BuilderLane:
        return self._compare("<", other)

    def __gt__(self, other: Any) -> BuilderLane:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> BuilderLane:
        return self._compare(">=", other)

    def __eq__(self, other: object) -> BuilderLane:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> BuilderLane:  # type: ignore[override]
        return self._compare("!=", other)

    __hash__ = None  # type: ignore[assignment]


class BuilderLanes:
    """The arithmetic for one float type, emitting through one builder."""

    format: Format

    def __init__(self, builder: Builder, name: str) -> None:
        self.builder = builder
        self.format = FORMATS[name]
        self.avx512 = builder.avx512

    def _lane(self, value: Value) -> BuilderLane:
        return BuilderLane(self.builder, value)

    def _intrinsic(self, name: str, *operands: Lane) -> BuilderLane:
        return self._lane(self.builder.intrinsic(name, *(x.value for x in operands)))

    def exponent(self, x: Lane) -> Lane:
        return self._instruction("exponent", x)

    def mantissa(self, x: Lane) -> Lane:
        return self._instruction("mantissa", x)

    def balanced(self, x: Lane) -> Lane:
        return self._instruction("balanced", x)

    def magnitude(self, x: Lane) -> Lane:
        return self._instruction("magnitude", x)

    def scale(self, x: Lane, n: Lane) -> Lane:
        return self._instruction("scale", x, n)

    def _instruction(self, name: str, *operands: Lane) -> BuilderLane:
        values = [x.value for x in operands]
        dtype, lanes = values[0].kind, values[0].lanes
        self.builder.symbols |= avx512.definitions(name, dtype, lanes)
        return self._lane(self.builder.call(dtype, avx512.symbol(name, dtype, lanes), *values))

    def select(self, condition: Lane, x: Lane | float, y: Lane | float) -> Lane:
        lane = x if isinstance(x, BuilderLane) else y
        kind = lane.value.kind if isinstance(lane, BuilderLane) else self.format.name
        lanes = condition.value.lanes
        values = (
            v.value if isinstance(v, BuilderLane) else constant(kind, v, lanes) for v in (x, y)
        )
        return self._lane(self.builder.select(condition.value, *values))

    def rint(self, x: Lane) -> Lane:
        return self._intrinsic("rint", x)

    def floor(self, x: Lane) -> Lane:
        return self._intrinsic("floor", x)

    def abs(self, x: Lane) -> Lane:
        return self._intrinsic("fabs", x)

    def sqrt(self, x: Lane) -> Lane:
        return self._intrinsic("sqrt", x)

    def copysign(self, x: Lane, sign: Lane) -> Lane:
        return self._intrinsic("copysign", x, sign)

    def product(self, x: Lane, y: Lane | float) -> tuple[Lane, Lane]:
        """By an FMA. The product must not contract with what it is added to."""
        factor = y.value if isinstance(y, BuilderLane) else x.constant(y)
        product = self.builder.mul(x.value, factor, flags="")
        rest = self.builder.intrinsic("fma", x.value, factor, self.builder.neg(product))
        return self._lane(product), self._lane(rest)

    def fma(self, x: Lane, y: Lane | float, z: Lane | float) -> Lane:
        others = (v.value if isinstance(v, BuilderLane) else x.constant(v) for v in (y, z))
        return self._lane(self.builder.intrinsic("fma", x.value, *others))

    def lookup(self, table: Table, index: Lane) -> Lane:
        b, dtype, i = self.builder, self.format.name, index.value
        b.symbols |= avx512.table_numbers(table, dtype)
        if b.avx512:
            b.symbols |= avx512.table_definitions(table, dtype, i.lanes)
            return self._lane(b.call(dtype, avx512.table_symbol(table, dtype, i.lanes), i))
        place = b.and_(i, constant(i.kind, len(table) - 1, i.lanes))
        buffer = Value(f"{dtype}*", f"@{avx512.table_symbol(table, dtype)}.numbers")
        if i.lanes:
            return self._lane(gather(b, buffer, place))
        return self._lane(b.load(b.address(buffer, place)))

    def bits(self, x: Lane) -> Lane:
        return self._lane(self.builder.bitcast(x.value, _PATTERNS[x.value.kind]))

    def from_bits(self, pattern: Lane) -> Lane:
        return self._lane(self.builder.bitcast(pattern.value, _FLOATS[pattern.value.kind]))

    def widen(self, x: Lane) -> Lane:
        return self._lane(self.builder.convert(x.value, "f64"))

    def narrow(self, x: Lane) -> Lane:
        return self._lane(self.builder.convert(x.value, "f32"))

    def within(self, limit: float, size: Lane, value: Lane, name: str, *operands: Lane) -> Lane:
        dtype, lanes = size.value.kind, size.value.lanes
        self.builder.symbols |= definitions(name, dtype, limit, len(operands), lanes)
        given = [x.value for x in (size, *operands, value)]
        if lanes:
            given.append(constant("bool", True, lanes))
        return self._lane(self.builder.call(dtype, symbol(name, dtype, lanes), *given))


def call_vector_function(op: str, b: Builder, *operands: Value) -> Value:
    """Call a function of `runtime/vecmath.py`.

    It is defined beside the caller, and inlined before the loop vectoriser runs, unless the caller
    shares functions (`runtime/sharing.py`). These functions, unlike plain loops, gain from
    512-bit registers where the processor has them; LLVM otherwise prefers 256 on most.
    """
    b.attributes[WIDE] = None
    dtype, lanes = operands[0].kind, operands[0].lanes
    if b.shares:
        return call_shared(op, b, operands)
    b.symbols |= _definition(op, dtype, b.avx512, lanes)
    return b.call(dtype, _symbol(op, dtype, lanes), *operands)


def _symbol(op: str, dtype: str, lanes: int) -> str:
    return f"tapeless.{op}_{dtype}.{lanes}" if lanes else f"tapeless.{op}_{dtype}"


@cache
def _definition(op: str, dtype: str, avx512: bool, lanes: int) -> Mapping[str, str]:
    """What a function of numbers or of vectors needs in a module, itself included."""
    b = Builder(avx512=avx512)
    b.attributes["alwaysinline"] = None
    operands = [Value(dtype, f"%x{i}", lanes) for i in range(arity(op))]
    emit(op, b, operands)
    name = _symbol(op, dtype, lanes)
    text = b.function("internal", llvm_type(dtype, lanes), name, [x.typed for x in operands])
    return b.symbols | {name: text}


def emit(op: str, b: Builder, operands: Sequence[Value]) -> None:
    """The instructions of a function of `runtime/vecmath.py`, of numbers or of vectors."""
    lanes = BuilderLanes(b, operands[0].kind)
    b.ret(VECMATH[op](lanes, *(BuilderLane(b, x) for x in operands)).value)
