"""Expressions of kernels to LLVM instructions.

    x0[i * n1 + j] < 0.5        %v2 = mul i64 %v0, %n1.in ... fcmp olt double %v7, 0x3FE00000000

Types follow few rules: integers compute in i64 (u64 where both are unsigned), floats in the wider
type, an integer beside a float becomes f64 and so does the f32 beside it, and words convert their
operands. They are Numba's for the same source.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .builder import Builder, Value, constant, llvm_type
from .lanes import FORMATS
from .words import word

Emit = Callable[[Builder, Value, Value], Value]

_ARITHMETIC: Final[dict[type[ast.operator], Emit]] = {
    ast.Add: Builder.add,
    ast.Sub: Builder.sub,
    ast.Mult: Builder.mul,
    ast.Div: Builder.div,
}
_BITWISE: Final[dict[type[ast.operator], Emit]] = {
    ast.BitAnd: Builder.and_,
    ast.BitOr: Builder.or_,
    ast.BitXor: Builder.xor,
    ast.LShift: Builder.shl,
    ast.RShift: Builder.shr,
}
_COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_CONVERSIONS: Final = frozenset(
    {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"}
)


class Expressions:
    """What expressions are worth, emitted through `b`. `fixed` are the names of values, `variables`
    those of places in memory."""

    lanes = 0
    """Of the vectors that numbers become."""

    def __init__(
        self, b: Builder, fixed: Mapping[str, Value], variables: Mapping[str, Value]
    ) -> None:
        self.b = b
        self.fixed = fixed
        self.variables = variables
        self._count = 0

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | int() | float() as known):
                return constant(_literal_kind(known), known, self.lanes)
            case ast.Name(id=name):
                return self._variable(node, name)
            case ast.Subscript():
                return self.b.load(self.place(node))
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(node, op, self.value(left), self.value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(node, op, operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                x, y = self._common(node, self.value(left), self.value(right))
                return self.b.compare(_COMPARISONS[type(op)], x, y)
            case ast.BoolOp():
                return self._chosen(node, ast.Constant(True), ast.Constant(False))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._chosen(test, body, orelse)
            case ast.Call():
                value = self.call(node)
                if value is not None:
                    return value
        raise outside(node)

    def _variable(self, node: ast.expr, name: str) -> Value:
        if name in self.fixed:
            return self.fixed[name]
        if name not in self.variables:
            raise ValueError(f"line {node.lineno}: {name} is not assigned before it is used")
        place = self.variables[name]
        kind = place.kind[:-1]
        return self.b.instruction(kind, f"load {llvm_type(kind)}, ptr {place.text}")

    def _chosen(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> Value:
        """One of two expressions; the other is not evaluated."""
        then, otherwise, after = self.labels("if", "else", "chosen")
        b = self.b
        self.test(test, then, otherwise)
        values, froms = [], []
        for label, expression in ((then, body), (otherwise, orelse)):
            b.label(label)
            values.append(self.value(expression))
            b.branch(f"{label}.end")
            b.label(f"{label}.end")
            b.branch(after)
            froms.append(f"{label}.end")
        x, y = values
        if x.kind != y.kind:
            raise ValueError(f"line {line(test)}: a choice between {x.kind} and {y.kind}")
        b.label(after)
        return b.instruction(
            x.kind,
            f"phi {llvm_type(x.kind)} [ {x.text}, %{froms[0]} ], [ {y.text}, %{froms[1]} ]",
        )

    def _unary(self, node: ast.expr, op: ast.unaryop, operand: ast.expr) -> Value:
        known = literal(node)
        if known is not None:
            return constant(_literal_kind(known), known, self.lanes)
        x = self.value(operand)
        if isinstance(op, ast.Not):
            return self.b.not_(self.converted(node, x, "bool"))
        x = self._widened(node, x)
        if isinstance(op, ast.USub):
            return self.b.neg(x)
        if isinstance(op, ast.Invert) and x.letter != "f":
            return self.b.not_(x)
        raise outside(node)

    def binary(self, node: ast.expr | ast.stmt, op: ast.operator, x: Value, y: Value) -> Value:
        if type(op) in _BITWISE:
            emit = _BITWISE[type(op)]
            if x.kind == y.kind == "bool" and not isinstance(op, ast.LShift | ast.RShift):
                return emit(self.b, x, y)
            x, y = self._common(node, x, y)
            if x.letter in "iu":
                return emit(self.b, x, y)
        elif type(op) in _ARITHMETIC:
            x, y = self._common(node, x, y)
            if x.letter == "f" or not isinstance(op, ast.Div):
                return _ARITHMETIC[type(op)](self.b, x, y)
        raise outside(node)

    def _common(self, node: ast.expr | ast.stmt, x: Value, y: Value) -> tuple[Value, Value]:
        """Two numbers in the type in which Python's operators compute with them."""
        if x.kind == y.kind == "bool":
            return self.b.convert(x, "i64"), self.b.convert(y, "i64")
        x, y = self._widened(node, x), self._widened(node, y)
        if x.kind == y.kind:
            return x, y
        if "u64" in (x.kind, y.kind):
            raise ValueError(f"line {line(node)}: {x.kind} beside {y.kind}")
        return self.b.convert(x, "f64"), self.b.convert(y, "f64")

    def _widened(self, node: ast.AST, x: Value) -> Value:
        """A number in the type that Python's operators compute in: integers in i64 or u64."""
        if x.kind.endswith("*") or x.kind == "bool":
            raise ValueError(f"line {line(node)}: arithmetic with a {x.kind}")
        return x if x.letter == "f" else self.b.convert(x, "i64" if x.letter == "i" else "u64")

    def place(self, node: ast.Subscript) -> Value:
        buffer = self._buffer(node.value)
        return self.b.address(buffer, self._index(node.slice))

    def _buffer(self, node: ast.expr) -> Value:
        buffer = self.value(node)
        if not buffer.kind.endswith("*"):
            raise ValueError(f"line {node.lineno}: {buffer.kind} where a buffer is expected")
        return buffer

    def _index(self, node: ast.expr) -> Value:
        return self.converted(node, self.value(node), "i64")

    def converted(self, node: ast.AST, x: Value, kind: str) -> Value:
        """A value as an operand of this kind: numbers convert, buffers must fit."""
        if x.kind == kind:
            return x
        if x.kind.endswith("*") or kind.endswith("*"):
            raise ValueError(f"line {line(node)}: {x.kind} where {kind} is expected")
        return self.b.convert(x, kind)

    # --- calls

    def call(self, node: ast.Call) -> Value | None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise outside(node)
        name = node.func.id
        if name in _CONVERSIONS:
            return self._conversion(node, name)
        if name in ("at", "copy", "zero"):
            return self._memory(node, name)
        found = word(name)
        if found is None:
            raise ValueError(f"line {node.lineno}: {name} is not a word of generated code")
        if len(found.operands) != len(node.args):
            raise ValueError(f"line {node.lineno}: {name} takes {len(found.operands)} operands")
        pairs = zip(node.args, found.operands, strict=True)
        return found.emit(self.b, *(self._operand(x, kind) for x, kind in pairs))

    def _operand(self, node: ast.expr, kind: str) -> Value:
        known = literal(node)
        if isinstance(known, int) or (known is not None and kind in FORMATS):
            return constant(kind, known, self.lanes)
        return self.converted(node, self.value(node), kind)

    def _conversion(self, node: ast.Call, kind: str) -> Value:
        if len(node.args) != 1:
            raise outside(node)
        return self._operand(node.args[0], kind)

    def _memory(self, node: ast.Call, name: str) -> Value | None:
        *buffers, count = node.args
        places = [self._buffer(buffer) for buffer in buffers]
        size = self._index(count)
        match name, places:
            case "at", [place]:
                return self.b.address(place, size)
            case "zero", [target]:
                self.b.zero(target, size)
            case "copy", [target, source] if target.kind == source.kind:
                self.b.copy(target, source, size)
            case _:
                raise outside(node)
        return None

    def labels(self, *names: str) -> Iterator[str]:
        """Labels that no other statement has."""
        self._count += 1
        number = self._count
        return (f"{name}.{number}" for name in names)

    def test(self, node: ast.expr, then: str, otherwise: str) -> None:
        """Branch on a condition; `and` and `or` evaluate no more than they must."""
        match node:
            case ast.BoolOp(op=op, values=[first, *rest]):
                (middle,) = self.labels("and" if isinstance(op, ast.And) else "or")
                last = rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
                if isinstance(op, ast.And):
                    self.test(first, middle, otherwise)
                else:
                    self.test(first, then, middle)
                self.b.label(middle)
                self.test(last, then, otherwise)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.test(operand, otherwise, then)
            case _:
                self.b.branch_if(self.converted(node, self.value(node), "bool"), then, otherwise)


def literal(node: ast.expr) -> bool | int | float | None:
    """The number that an expression spells out."""
    match node:
        case ast.Constant(value=bool() | int() | float() as known):
            return known
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as known)):
            return -known
    return None


def _literal_kind(known: float) -> str:
    return "bool" if isinstance(known, bool) else "i64" if isinstance(known, int) else "f64"


def line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def outside(node: ast.stmt | ast.expr) -> ValueError:
    return ValueError(
        f"line {line(node)}: `{ast.unparse(node)}` is outside the grammar of kernels "
        "(runtime/kernel.py)"
    )
