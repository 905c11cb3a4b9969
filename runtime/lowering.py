"""Kernels of generated source to LLVM text.

    def k0(x0, y0, n0):                      define void @k0(ptr noalias %x0, ..., i64 %n0) {
        for i in range(n0):            =>      ...
            y0[i] = exp_f32(x0[i])             %v4 = call float @"tapeless.exp_f32"(float %v3)

The grammar is that of `runtime/kernel.py`: assignments, `for` over a range, `while`, `if`, `break`,
`continue`, `return`, arithmetic, comparisons and calls of words. A variable has one type, that of
the first value it is given. Types follow few rules: integers compute in i64 (u64 where both are
unsigned), floats in the wider type, an integer beside a float becomes f64, and words convert their
operands. Variables lie in memory here; LLVM moves them to registers.

Numba compiles the same functions as plain Python with the same result (`runtime/numba_kernels.py`);
it takes 40 to 180 ms for one, this 1 to 4 ms and LLVM's passes as much again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .builder import Builder, Value, constant, llvm_type
from .kernel import ROUTINES
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


@dataclass(frozen=True)
class Lowered:
    """LLVM text that defines a C function of the kernel's parameters: it returns nothing, or a
    status, an i64. `routines` says whether it calls any of the matrix routines."""

    text: str
    returns_status: bool
    routines: bool


def lower(function: ast.FunctionDef, kinds: Sequence[str], symbol: str) -> Lowered:
    """The LLVM text of a function, to be called `symbol`; `kinds` are those of its parameters.

    ValueError, with the line, for what is outside the grammar.
    """
    return _Function(function, kinds).lowered(symbol)


class _Function:
    """The way through one function, statement by statement."""

    def __init__(self, function: ast.FunctionDef, kinds: Sequence[str]) -> None:
        self.b = Builder()
        self.body = function.body
        names = [argument.arg for argument in function.args.args]
        self.parameters = [Value(k, f"%{n}.in") for k, n in zip(kinds, names, strict=True)]
        self.fixed = dict(zip(names, self.parameters, strict=True))
        self.variables: dict[str, Value] = {}
        self.loops: list[tuple[str, str]] = []
        self.labels = 0
        self.returns_status = any(
            isinstance(node, ast.Return) and node.value is not None for node in ast.walk(function)
        )
        for name in assigned(function) & self.fixed.keys():
            self._assign(function, name, self.fixed.pop(name))

    def lowered(self, symbol: str) -> Lowered:
        if not self._block(self.body):
            self._return(None)
        b = self.b
        allocations = [
            f"{place.text} = alloca {llvm_type(place.kind[:-1])}"
            for place in self.variables.values()
        ]
        b.lines[:0] = allocations
        parameters = [
            f"ptr noalias {p.text}" if p.kind.endswith("*") else p.typed for p in self.parameters
        ]
        result = "i64" if self.returns_status else "void"
        text = b.function("", result, symbol, parameters)
        routines = any(f"tapeless_{name}_" in known for known in b.symbols for name in ROUTINES)
        return Lowered("\n".join([*b.symbols.values(), text]), self.returns_status, routines)

    # --- statements

    def _block(self, statements: Sequence[ast.stmt]) -> bool:
        """Emit statements; whether control does not come out of them at their end."""
        return any(self._statement(statement) for statement in statements)

    def _statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                pass
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, [*map(self._value, values)], strict=True):
                    self._store(target, value)
            case ast.Assign(targets=[target], value=expression):
                self._store(target, self._value(expression))
            case ast.AugAssign(target=target, op=op, value=value):
                self._store(target, self._binary(node, op, self._value(target), self._value(value)))
            case ast.For(target=ast.Name(id=name), iter=ast.Call() as bounds, orelse=[]):
                self._for(node, name, bounds)
            case ast.While(orelse=[]):
                self._while(node)
            case ast.If():
                return self._if(node)
            case ast.Break() | ast.Continue():
                self.b.branch(self.loops[-1][isinstance(node, ast.Break)])
                return True
            case ast.Return():
                self._return(node.value)
                return True
            case _:
                raise _outside(node)
        return False

    def _return(self, node: ast.expr | None) -> None:
        if not self.returns_status:
            self.b.ret()
        else:
            status = constant("i64", 0) if node is None else self._value(node)
            self.b.ret(self.b.convert(status, "i64"))

    def _store(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self._assign(target, name, value)
            case ast.Subscript():
                place = self._place(target)
                self.b.store(self._converted(target, value, place.kind[:-1]), place)
            case _:
                raise _outside(target)

    def _assign(self, node: ast.AST, name: str, value: Value) -> None:
        if name in self.fixed:
            raise ValueError(f"line {_line(node)}: {name} is assigned, and a parameter")
        place = self.variables.setdefault(name, Value(f"{value.kind}*", f"%{name}.place"))
        known = place.kind[:-1]
        if known != value.kind:
            raise ValueError(f"line {_line(node)}: {name} is {known}, and is given {value.kind}")
        self.b.lines.append(f"store {value.typed}, ptr {place.text}")

    def _for(self, node: ast.For, name: str, bounds: ast.Call) -> None:
        """The counter is the loop's own: assigning to the variable does not change it."""
        start, stop, step = self._range(bounds)
        before, head, body, latch, after = self._labels("for", "test", "body", "next", "end")
        b = self.b
        b.branch(before)
        b.label(before)
        b.branch(head)
        b.label(head)
        counter = Value("i64", f"%{head}.i")
        b.lines.append(
            f"{counter.text} = phi i64 [ {start.text}, %{before} ], [ %{latch}.i, %{latch} ]"
        )
        b.branch_if(b.compare("<" if step > 0 else ">", counter, stop), body, after)
        b.label(body)
        self._assign(node, name, counter)
        self.loops.append((latch, after))
        if not self._block(node.body):
            b.branch(latch)
        self.loops.pop()
        b.label(latch)
        b.lines.append(f"%{latch}.i = add nsw i64 {counter.text}, {step}")
        b.branch(head)
        b.label(after)

    def _range(self, node: ast.Call) -> tuple[Value, Value, int]:
        """start, stop and step; the step must be a literal, since its sign decides the test."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[*bounds], keywords=[]):
                pass
            case _:
                raise _outside(node)
        step = 1
        if len(bounds) == 3:
            known = _literal(bounds.pop())
            if not isinstance(known, int) or not known:
                raise ValueError(f"line {node.lineno}: the step of a range must be a literal")
            step = known
        start, stop = [constant("i64", 0)][len(bounds) - 1 :], bounds
        values = [*start, *(self._converted(x, self._value(x), "i64") for x in stop)]
        return values[0], values[1], step

    def _while(self, node: ast.While) -> None:
        head, body, after = self._labels("while", "body", "end")
        self.b.branch(head)
        self.b.label(head)
        self._test(node.test, body, after)
        self.b.label(body)
        self.loops.append((head, after))
        if not self._block(node.body):
            self.b.branch(head)
        self.loops.pop()
        self.b.label(after)

    def _if(self, node: ast.If) -> bool:
        then, otherwise, after = self._labels("then", "else", "end")
        self._test(node.test, then, otherwise if node.orelse else after)
        self.b.label(then)
        left = self._block(node.body)
        if not left:
            self.b.branch(after)
        if node.orelse:
            self.b.label(otherwise)
            left_too = self._block(node.orelse)
            if not left_too:
                self.b.branch(after)
            if left and left_too:
                return True
        self.b.label(after)
        return False

    def _test(self, node: ast.expr, then: str, otherwise: str) -> None:
        """Branch on a condition; `and` and `or` evaluate no more than they must."""
        match node:
            case ast.BoolOp(op=op, values=[first, *rest]):
                (middle,) = self._labels("and" if isinstance(op, ast.And) else "or")
                last = rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
                if isinstance(op, ast.And):
                    self._test(first, middle, otherwise)
                else:
                    self._test(first, then, middle)
                self.b.label(middle)
                self._test(last, then, otherwise)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._test(operand, otherwise, then)
            case _:
                self.b.branch_if(self._converted(node, self._value(node), "bool"), then, otherwise)

    # --- expressions

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | int() | float() as known):
                return constant(_literal_kind(known), known)
            case ast.Name(id=name):
                return self._variable(node, name)
            case ast.Subscript():
                return self.b.load(self._place(node))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, op, self._value(left), self._value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(node, op, operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                x, y = self._common(node, self._value(left), self._value(right))
                return self.b.compare(_COMPARISONS[type(op)], x, y)
            case ast.BoolOp():
                return self._chosen(node, ast.Constant(True), ast.Constant(False))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._chosen(test, body, orelse)
            case ast.Call():
                value = self._call(node)
                if value is not None:
                    return value
        raise _outside(node)

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
        then, otherwise, after = self._labels("if", "else", "chosen")
        b = self.b
        self._test(test, then, otherwise)
        values, froms = [], []
        for label, expression in ((then, body), (otherwise, orelse)):
            b.label(label)
            values.append(self._value(expression))
            b.branch(f"{label}.end")
            b.label(f"{label}.end")
            b.branch(after)
            froms.append(f"{label}.end")
        x, y = values
        if x.kind != y.kind:
            raise ValueError(f"line {_line(test)}: a choice between {x.kind} and {y.kind}")
        b.label(after)
        return b.instruction(
            x.kind,
            f"phi {llvm_type(x.kind)} [ {x.text}, %{froms[0]} ], [ {y.text}, %{froms[1]} ]",
        )

    def _unary(self, node: ast.expr, op: ast.unaryop, operand: ast.expr) -> Value:
        known = _literal(node)
        if known is not None:
            return constant(_literal_kind(known), known)
        x = self._value(operand)
        if isinstance(op, ast.Not):
            return self.b.not_(self._converted(node, x, "bool"))
        x = self._widened(node, x)
        if isinstance(op, ast.USub):
            return self.b.neg(x)
        if isinstance(op, ast.Invert) and x.letter != "f":
            return self.b.not_(x)
        raise _outside(node)

    def _binary(self, node: ast.expr | ast.stmt, op: ast.operator, x: Value, y: Value) -> Value:
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
        raise _outside(node)

    def _common(self, node: ast.expr | ast.stmt, x: Value, y: Value) -> tuple[Value, Value]:
        """Two numbers in the type in which Python's operators compute with them."""
        if x.kind == y.kind == "bool":
            return self.b.convert(x, "i64"), self.b.convert(y, "i64")
        x, y = self._widened(node, x), self._widened(node, y)
        if x.kind == y.kind:
            return x, y
        if "u64" in (x.kind, y.kind):
            raise ValueError(f"line {_line(node)}: {x.kind} beside {y.kind}")
        return self.b.convert(x, "f64"), self.b.convert(y, "f64")

    def _widened(self, node: ast.AST, x: Value) -> Value:
        """A number in the type that Python's operators compute in: integers in i64 or u64."""
        if x.kind.endswith("*") or x.kind == "bool":
            raise ValueError(f"line {_line(node)}: arithmetic with a {x.kind}")
        return x if x.letter == "f" else self.b.convert(x, "i64" if x.letter == "i" else "u64")

    def _place(self, node: ast.Subscript) -> Value:
        buffer = self._buffer(node.value)
        return self.b.address(buffer, self._index(node.slice))

    def _buffer(self, node: ast.expr) -> Value:
        buffer = self._value(node)
        if not buffer.kind.endswith("*"):
            raise ValueError(f"line {node.lineno}: {buffer.kind} where a buffer is expected")
        return buffer

    def _index(self, node: ast.expr) -> Value:
        return self._converted(node, self._value(node), "i64")

    def _converted(self, node: ast.AST, x: Value, kind: str) -> Value:
        """A value as an operand of this kind: numbers convert, buffers must fit."""
        if x.kind == kind:
            return x
        if x.kind.endswith("*") or kind.endswith("*"):
            raise ValueError(f"line {_line(node)}: {x.kind} where {kind} is expected")
        return self.b.convert(x, kind)

    # --- calls

    def _call(self, node: ast.Call) -> Value | None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise _outside(node)
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
        known = _literal(node)
        if isinstance(known, int) or (known is not None and kind in FORMATS):
            return constant(kind, known)
        return self._converted(node, self._value(node), kind)

    def _conversion(self, node: ast.Call, kind: str) -> Value:
        if len(node.args) != 1:
            raise _outside(node)
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
                raise _outside(node)
        return None

    def _labels(self, *names: str) -> Iterator[str]:
        """Labels that no other statement has."""
        self.labels += 1
        number = self.labels
        return (f"{name}.{number}" for name in names)


def assigned(function: ast.FunctionDef) -> set[str]:
    """The names that the body assigns."""
    return {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _literal(node: ast.expr) -> bool | int | float | None:
    """The number that an expression spells out."""
    match node:
        case ast.Constant(value=bool() | int() | float() as known):
            return known
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as known)):
            return -known
    return None


def _literal_kind(known: float) -> str:
    return "bool" if isinstance(known, bool) else "i64" if isinstance(known, int) else "f64"


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _outside(node: ast.stmt | ast.expr) -> ValueError:
    return ValueError(
        f"line {_line(node)}: `{ast.unparse(node)}` is outside the grammar of kernels "
        "(runtime/kernel.py)"
    )
