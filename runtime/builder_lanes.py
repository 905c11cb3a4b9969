"""The arithmetic of `runtime/lanes.py` as LLVM instructions.

Importing this module imports llvmlite; only `runtime.intrinsics` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .lanes import FORMATS, Format, Lane, Lanes

F32, F64 = ir.FloatType(), ir.DoubleType()
I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
FLOATS = {"f32": F32, "f64": F64}
_PATTERNS = {F32: I32, F64: I64}
_SUFFIX = {F32: "f32", F64: "f64"}


class BuilderLane:
    """An LLVM value with Python's operators; each one emits an instruction."""

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder = builder
        self.value = value

    @property
    def is_float(self) -> bool:
        return self.value.type in _SUFFIX

    def constant(self, number: float) -> ir.Constant:
        """A Python number in this lane's type."""
        return ir.Constant(self.value.type, float(number) if self.is_float else int(number))

    def _operand(self, other: Any) -> Any:
        return other.value if isinstance(other, BuilderLane) else self.constant(other)

    def _apply(self, float_name: str, integer_name: str, x: Any, y: Any) -> BuilderLane:
        """Emit x <op> y. Products and sums may contract to FMA, which only gains accuracy."""
        if self.is_float:
            emit = getattr(self.builder, float_name)
            return BuilderLane(self.builder, emit(x, y, flags=("contract",)))
        return BuilderLane(self.builder, getattr(self.builder, integer_name)(x, y))

    def _compare(self, symbol: str, other: Any) -> BuilderLane:
        y = self._operand(other)
        if self.is_float:
            compare = self.builder.fcmp_unordered if symbol == "!=" else self.builder.fcmp_ordered
        else:
            compare = self.builder.icmp_signed
        return BuilderLane(self.builder, compare(symbol, self.value, y))

    def __add__(self, other: Any) -> BuilderLane:
        return self._apply("fadd", "add", self.value, self._operand(other))

    def __radd__(self, other: Any) -> BuilderLane:
        return self._apply("fadd", "add", self._operand(other), self.value)

    def __sub__(self, other: Any) -> BuilderLane:
        return self._apply("fsub", "sub", self.value, self._operand(other))

    def __rsub__(self, other: Any) -> BuilderLane:
        return self._apply("fsub", "sub", self._operand(other), self.value)

    def __mul__(self, other: Any) -> BuilderLane:
        return self._apply("fmul", "mul", self.value, self._operand(other))

    def __rmul__(self, other: Any) -> BuilderLane:
        return self._apply("fmul", "mul", self._operand(other), self.value)

    def __truediv__(self, other: Any) -> BuilderLane:
        return self._apply("fdiv", "sdiv", self.value, self._operand(other))

    def __rtruediv__(self, other: Any) -> BuilderLane:
        return self._apply("fdiv", "sdiv", self._operand(other), self.value)

    def __neg__(self) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.fneg(self.value))

    def __and__(self, other: Any) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.and_(self.value, self._operand(other)))

    def __or__(self, other: Any) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.or_(self.value, self._operand(other)))

    def __lshift__(self, other: Any) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.shl(self.value, self._operand(other)))

    def __rshift__(self, other: Any) -> BuilderLane:
        return BuilderLane(self.builder, self.builder.ashr(self.value, self._operand(other)))

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

    def __init__(self, builder: ir.IRBuilder, name: str) -> None:
        self.builder = builder
        self.format = FORMATS[name]

    def _lane(self, value: Any) -> BuilderLane:
        return BuilderLane(self.builder, value)

    def _intrinsic(self, name: str, *operands: Lane) -> BuilderLane:
        return self._lane(call_intrinsic(self.builder, name, *(x.value for x in operands)))

    def select(self, condition: Lane, x: Lane | float, y: Lane | float) -> Lane:
        lane = x if isinstance(x, BuilderLane) else y
        if not isinstance(lane, BuilderLane):
            lane = self._lane(ir.Constant(FLOATS[self.format.name], 0.0))
        values = (v.value if isinstance(v, BuilderLane) else lane.constant(v) for v in (x, y))
        return self._lane(self.builder.select(condition.value, *values))

    def rint(self, x: Lane) -> Lane:
        return self._intrinsic("rint", x)

    def abs(self, x: Lane) -> Lane:
        return self._intrinsic("fabs", x)

    def sqrt(self, x: Lane) -> Lane:
        return self._intrinsic("sqrt", x)

    def copysign(self, x: Lane, sign: Lane) -> Lane:
        return self._intrinsic("copysign", x, sign)

    def bits(self, x: Lane) -> Lane:
        return self._lane(self.builder.bitcast(x.value, _PATTERNS[x.value.type]))

    def from_bits(self, pattern: Lane) -> Lane:
        target = F32 if pattern.value.type == I32 else F64
        return self._lane(self.builder.bitcast(pattern.value, target))

    def widen(self, x: Lane) -> Lane:
        return self._lane(self.builder.fpext(x.value, F64))

    def number(self, pattern: Lane) -> Lane:
        return self._lane(self.builder.sitofp(pattern.value, F64))

    def narrow(self, x: Lane) -> Lane:
        return self._lane(self.builder.fptrunc(x.value, F32))

    def lookup(self, table: tuple[float, ...], index: Lane) -> Lane:
        pointer = self.builder.gep(
            _constant_table(self.builder.module, table),
            [ir.Constant(I32, 0), index.value],
            inbounds=True,
        )
        return self._lane(self.builder.load(pointer))

    def libm(self, name: str, x: Lane) -> Lane:
        return self._intrinsic(name, x)


def _constant_table(module: ir.Module, table: tuple[float, ...]) -> ir.GlobalVariable:
    name = f"tapeless.table.{hash(table) & (2**64 - 1):x}"
    if name not in module.globals:
        array = ir.ArrayType(F64, len(table))
        variable = ir.GlobalVariable(module, array, name)
        variable.linkage = "internal"
        variable.global_constant = True
        variable.initializer = ir.Constant(array, [ir.Constant(F64, x) for x in table])
    return module.globals[name]


def call_intrinsic(builder: ir.IRBuilder, name: str, *operands: Any) -> Any:
    """`llvm.<name>` on float operands of one type."""
    kind = operands[0].type
    signature = ir.FunctionType(kind, [kind] * len(operands))
    function = builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature)
    return builder.call(function, operands)


def call_vector_function(
    builder: ir.IRBuilder, word: str, name: str, meaning: Callable[[Lanes, Lane], Lane], x: Any
) -> Any:
    """Call a function of `runtime/vecmath.py`, defined in the module at its first use.

    It is inlined before the loop vectoriser runs. These functions, unlike plain loops, gain from
    512-bit registers where the processor has them; LLVM otherwise prefers 256 on most.
    """
    set.add(builder.function.attributes, '"prefer-vector-width"="512"')
    symbol = f"tapeless.{word}"
    if symbol not in builder.module.globals:
        _define(builder.module, symbol, name, meaning)
    return builder.call(builder.module.globals[symbol], [x])


def _define(
    module: ir.Module, symbol: str, name: str, meaning: Callable[[Lanes, Lane], Lane]
) -> None:
    kind = FLOATS[name]
    function = ir.Function(module, ir.FunctionType(kind, [kind]), symbol)
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    inner = ir.IRBuilder(function.append_basic_block("entry"))
    result = meaning(BuilderLanes(inner, name), BuilderLane(inner, function.args[0]))
    inner.ret(result.value)
