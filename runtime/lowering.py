"""Kernels of generated source to LLVM text.

    def k0(x0, y0, n0):                      define void @k0(ptr noalias %x0, ..., i64 %n0) {
        for i in range(n0):            =>      ...
            y0[i] = exp_f32(x0[i])             %v4 = call float @"tapeless.exp_f32"(float %v3)

The grammar is that of `runtime/kernel.py`: assignments, `for` over a range, `while`, `if`, `break`,
`continue`, `return`, and the expressions of `runtime/expressions.py`. A variable has one type, that
of the first value it is given; it lies in memory here, and LLVM moves it to a register. Plain
loops are written as vectors (`runtime/parallel.py` says which).

Numba compiles the same functions as plain Python, to the same bits (`runtime/numba_kernels.py`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..ir.record import dataclass
from .builder import Builder, Value, constant, llvm_type, module
from .builder_lanes import ALIGNED, NARROW, WIDE
from .expressions import Expressions, line, literal, outside
from .liveness import wanted_after_loops
from .parallel import Context, Plan, plans
from .sharing import shared_functions
from .spec import Products, called_libraries, called_products
from .syntax import nodes_of
from .vector_loops import write_vectors
from .vector_text import PLAIN, Registers
from .vectors import Vectors, shares_functions, vectors

if TYPE_CHECKING:
    from .loading import Form


@dataclass(frozen=True)
class Lowered:
    """LLVM text that defines a C function of the kernel's parameters: it returns nothing, or a
    status, an i64. It calls matrix routines for `products` (`spec.called_products`), those of
    `libraries`, and elementary `functions` that are not part of it."""

    text: str
    form: Form
    returns_status: bool
    products: Mapping[str, Products | None]
    libraries: tuple[str, ...]
    functions: tuple[str, ...]


def lowered_text(text: str, returns_status: bool, form: Form = "optimised") -> Lowered:
    """A kernel's text, with what it calls."""
    calls = called_products(text), called_libraries(text), shared_functions(text)
    return Lowered(text, form, returns_status, *calls)


def lower(
    function: ast.FunctionDef, kinds: Sequence[str], symbol: str, registers: Registers = PLAIN
) -> Lowered:
    """The LLVM text of a function, to be called `symbol`; `kinds` are those of its parameters,
    `registers` those that its loops may be vectorised for.

    ValueError, with the line, for what is outside the grammar.
    """
    return _Function(function, kinds, registers).lowered(symbol)


class _Function:
    """The way through one function, statement by statement."""

    def __init__(
        self, function: ast.FunctionDef, kinds: Sequence[str], registers: Registers
    ) -> None:
        self.shares = shares_functions(function, registers)
        self.b = Builder(shares=self.shares, avx512=registers.masked)
        self.registers = registers
        self.body = function.body
        names = [argument.arg for argument in function.args.args]
        self.parameters = [Value(k, f"%{n}.in") for k, n in zip(kinds, names, strict=True)]
        self.fixed = dict(zip(names, self.parameters, strict=True))
        self.variables: dict[str, Value] = {}
        self.loops: list[tuple[str, str]] = []
        self.hinted: list[str] = []
        self.left = False
        self.wanted = wanted_after_loops(function)
        nodes = nodes_of(function)
        self.returns_status = any(isinstance(x, ast.Return) and x.value is not None for x in nodes)
        self.x = Expressions(self.b, self.fixed, self.variables)
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
        if WIDE in b.attributes:
            b.attributes[ALIGNED] = None
        elif not any(" reassoc " in x for x in b.lines):
            b.attributes |= NARROW  # the width of a sum decides its digits
        result = "i64" if self.returns_status else "void"
        text = b.function("", result, symbol, parameters)
        whole = "\n".join([module(b.symbols, text, keeps=self.left), *self.hinted])
        return lowered_text(whole, self.returns_status, "optimised" if self.left else "vectors")

    # --- statements

    def _block(self, statements: Sequence[ast.stmt]) -> bool:
        """Emit statements; whether control does not come out of them at their end."""
        return any(self._statement(statement) for statement in statements)

    def _statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                pass
            case ast.Expr(value=ast.Call() as call):
                self.x.call(call)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, [*map(self.x.value, values)], strict=True):
                    self._store(target, value)
            case ast.Assign(targets=[target], value=expression):
                self._store(target, self.x.value(expression))
            case ast.AugAssign(target=target, op=op, value=value):
                operands = self.x.value(target), self.x.value(value)
                self._store(target, self.x.binary(node, op, *operands))
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
                raise outside(node)
        return False

    def _return(self, node: ast.expr | None) -> None:
        if not self.returns_status:
            self.b.ret()
        else:
            status = constant("i64", 0) if node is None else self.x.value(node)
            self.b.ret(self.b.convert(status, "i64"))

    def _store(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self._assign(target, name, value)
            case ast.Subscript():
                place = self.x.place(target)
                self.b.store(self.x.converted(target, value, place.kind[:-1]), place)
            case _:
                raise outside(target)

    def _assign(self, node: ast.AST, name: str, value: Value) -> None:
        if name in self.fixed:
            raise ValueError(f"line {line(node)}: {name} is assigned, and a parameter")
        place = self.variables.setdefault(name, Value(f"{value.kind}*", f"%{name}.place"))
        known = place.kind[:-1]
        if known != value.kind:
            raise ValueError(f"line {line(node)}: {name} is {known}, and is given {value.kind}")
        self.b.lines.append(f"store {value.typed}, ptr {place.text}")

    def _for(self, node: ast.For, name: str, bounds: ast.Call) -> None:
        start, stop, step = self._range(bounds)
        plans = self._plans(node) if step == 1 else ()
        if plans:
            self._write(node, name, start, stop, plans)
            return
        self.left |= not holds_loop(node.body)
        plan = self._hints(node) if step == 1 else None
        if plan is None or not plan.count:
            self._loop(node, name, start, stop, step, plan.rest if plan else None)
            return
        b = self.b
        count = b.sub(stop, start)
        count = b.select(b.compare("<", count, constant("i64", 0)), constant("i64", 0), count)
        middle = b.add(start, b.and_(count, constant("i64", -plan.block)))
        self._loop(node, name, start, middle, step, plan.first)
        self._loop(node, name, middle, stop, step, plan.rest)

    def _plans(self, node: ast.For) -> Sequence[Plan]:
        """How a loop is written as vectors."""
        kinds = {name: x.kind for name, x in self.fixed.items()}
        kinds |= {name: place.kind[:-1] for name, place in self.variables.items()}
        context = Context(kinds, self.wanted[node], node not in self.body, self.shares)
        return plans(node, context, self.registers)

    def _hints(self, node: ast.For) -> Vectors | None:
        """How LLVM is to vectorise a loop, from which it lets nothing but sums and extrema out."""
        return vectors(node, self.registers, self.wanted[node], shared=self.shares)

    def _write(
        self, node: ast.For, name: str, start: Value, stop: Value, plans: Sequence[Plan]
    ) -> None:
        """A loop as vectors, and number by number what is left where there are no masks."""
        inside, after = self.x.labels("some", "none")
        b = self.b
        b.branch_if(b.compare("<", start, stop), inside, after)
        b.label(inside)
        for plan in plans:
            start = write_vectors(self.x, node, plan, start, stop, self._store)
        if not plans[-1].rest:
            self._loop(node, name, start, stop, 1)
        b.branch(after)
        b.label(after)

    def _loop(
        self,
        node: ast.For,
        name: str,
        start: Value,
        stop: Value,
        step: int,
        hints: Callable[[int], str] | None = None,
    ) -> None:
        """The counter is the loop's own: assigning to the variable does not change it."""
        before, head, body, latch, after = self.x.labels("for", "test", "body", "next", "end")
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
        if hints is not None:
            number = 8 * len(self.hinted)
            self.hinted.append(hints(number))
            b.lines[-1] += f", !llvm.loop !{number}"
        b.label(after)

    def _range(self, node: ast.Call) -> tuple[Value, Value, int]:
        """start, stop and step; the step must be a literal, since its sign decides the test."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[*bounds], keywords=[]):
                pass
            case _:
                raise outside(node)
        step = 1
        if len(bounds) == 3:
            known = literal(bounds.pop())
            if not isinstance(known, int) or not known:
                raise ValueError(f"line {node.lineno}: the step of a range must be a literal")
            step = known
        start, stop = [constant("i64", 0)][len(bounds) - 1 :], bounds
        values = [*start, *(self.x.converted(x, self.x.value(x), "i64") for x in stop)]
        return values[0], values[1], step

    def _while(self, node: ast.While) -> None:
        self.left = True
        head, body, after = self.x.labels("while", "body", "end")
        self.b.branch(head)
        self.b.label(head)
        self.x.test(node.test, body, after)
        self.b.label(body)
        self.loops.append((head, after))
        if not self._block(node.body):
            self.b.branch(head)
        self.loops.pop()
        self.b.label(after)

    def _if(self, node: ast.If) -> bool:
        then, otherwise, after = self.x.labels("then", "else", "end")
        self.x.test(node.test, then, otherwise if node.orelse else after)
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


def holds_loop(body: Sequence[ast.stmt]) -> bool:
    """Whether a `for` is among statements."""
    return any(
        isinstance(statement, ast.For)
        or holds_loop([*getattr(statement, "body", ()), *getattr(statement, "orelse", ())])
        for statement in body
    )


def assigned(function: ast.FunctionDef) -> set[str]:
    """The names that the body assigns."""
    return {
        node.id
        for node in nodes_of(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
