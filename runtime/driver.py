"""The driver of generated source as LLVM text.

    def step(t):                                   define i64 @step(ptr %t) {
        k0(f32_at(t, 1), f32_at(t, 2), 64)   =>      call void @k0(ptr %v1, ptr %v3, i64 64)
        split(k1, 8, f32_at(t, 1))                   call void @tapeless_split(ptr @k1.chunk, ...)
        split(chain0, 2, t)                          call void @tapeless_split(ptr @chain0, ...)
        return 0                                     ret i64 0

`@k1.chunk` calls the kernel for one chunk, with operands that it reads from an array in the
driver's frame; a chain is a function of the table and the chunk. `runtime/pool.py` has the function
that calls them on several threads. Their count is in a cell, `@tapeless_threads`, bound when the
driver is loaded: no count is part of the text. Calls are timed, for the pool to find out whether
threads pay.

The grammar is in `runtime/kernel.py`. A driver has one statement per kernel call of the program.
"""

from __future__ import annotations

import ast
import platform
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from ..ir.record import dataclass
from ..ir.types import DTYPES
from .builder import MEMORY, Value, float_literal, llvm_type
from .modes import DEFAULTS, RunOptions, flushing
from .pool import TRIAL_WORDS

SEGMENT = 256
"""Statements per LLVM function."""

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
COUNTER = "llvm.readcyclecounter" if _IS_X86 else "llvm.readsteadycounter"
"""The time stamp counter. Off x86, counting cycles is privileged and the steady clock is not."""


@dataclass(frozen=True)
class Callee:
    """A C function the driver calls: its parameters' kinds (`runtime/builder.py`), whether it is a
    kernel or a routine, whether it returns a status, an i64, or nothing, and whether it uses the
    pool of threads itself."""

    symbol: str
    parameters: tuple[str, ...]
    is_kernel: bool
    returns_status: bool = False
    uses_pool: bool = False


def translate(
    function: ast.FunctionDef,
    callees: Mapping[str, Callee],
    options: RunOptions = DEFAULTS,
    chains: Mapping[str, ast.FunctionDef] = MappingProxyType({}),
) -> str:
    """LLVM text that defines `function`, and the chains it splits, by name; ValueError for a
    statement outside the grammar. The count of threads is not part of it.

    A long body becomes several functions that run one after another: code generation takes more
    than linear time in the size of one.
    """
    emitter = _Emitter(function.args.args[0].arg, callees, options.ticks, chains)
    for chain in chains.values():
        emitter.define_chain(chain)
    *body, last = function.body
    if ast.unparse(last) != "return 0":
        raise ValueError(f"line {last.lineno}: the driver must end with `return 0`")
    name, count = f"{function.name}.run" if options.flush else function.name, 0
    for start in range(0, len(body), SEGMENT):
        for k, statement in enumerate(body[start : start + SEGMENT], start):
            emitter.note_time(k)
            emitter.statement(statement)
        emitter.note_time(min(start + SEGMENT, len(body)))
        emitter.end_segment(f"{name}.{count}")
        count += 1
    text = emitter.text(name, count)
    return text + flushing(function.name, name) if options.flush else text


class _Emitter:
    """Instructions of one driver, in order."""

    def __init__(
        self,
        table: str,
        callees: Mapping[str, Callee],
        ticks: int | None,
        chains: Mapping[str, ast.FunctionDef],
    ) -> None:
        self.table = table
        self.callees = callees
        self.chains = chains
        self.chunk = ""
        self.ticks = ticks
        self.lines: list[str] = []
        self.segments: list[str] = []
        self.declared: dict[str, str] = {}
        self.tasks: dict[str, str] = {}
        self.uses_pool = False
        self.context = 0

    def end_segment(self, name: str) -> None:
        """Close the instructions so far as one function, which returns 0 unless it left before."""
        body = "\n".join(f"  {line}" if not line.endswith(":") else line for line in self.lines)
        self.segments.append(
            f"define internal i64 @{name}(ptr %t) {{\n"
            f"  %context = alloca [{self.context} x i64]\n{body}\n  ret i64 0\n}}\n"
        )
        self.lines.clear()
        self.context = 0

    def define_chain(self, function: ast.FunctionDef) -> None:
        """The task that runs the statements of a chain for one chunk."""
        table, chunk = (argument.arg for argument in function.args.args)
        if table != self.table:
            raise ValueError(f"line {function.lineno}: {table} is not the driver's {self.table}")
        self.chunk = chunk
        for statement in function.body:
            self.statement(statement)
        body = "\n".join(f"  {line}" for line in self.lines)
        self.tasks[function.name] = (
            f"define internal void @{function.name}(ptr %t, i64 %c) {{\n{body}\n  ret void\n}}\n"
        )
        self.lines.clear()
        self.chunk = ""

    def text(self, name: str, segments: int) -> str:
        """Everything: declarations, the segments, and the function that runs them in turn."""
        calls = "".join(
            f"  %s{i} = call i64 @{name}.{i}(ptr %t)\n"
            f"  %f{i} = icmp ne i64 %s{i}, 0\n"
            f"  br i1 %f{i}, label %fail{i}, label %go{i}\n"
            f"fail{i}:\n  ret i64 %s{i}\ngo{i}:\n"
            for i in range(segments)
        )
        if self.uses_pool:
            calls = _BEGIN + calls + _END
            self.declared["threads"] = _THREADS
        main = f"define i64 @{name}(ptr %t) {{\n{calls}  ret i64 0\n}}\n"
        return "\n".join([*self.declared.values(), *self.tasks.values(), *self.segments, main])

    def _new(self, instruction: str) -> str:
        """Emit an instruction with a result; the name of the result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {instruction}")
        return name

    # --- statements

    def note_time(self, k: int) -> None:
        """Write the time stamp counter to entry `k` of the ticks, if they are wanted."""
        if self.ticks is None:
            return
        self.declared[COUNTER] = f"declare i64 @{COUNTER}()"
        now = self._new(f"call i64 @{COUNTER}()")
        self.lines.append(f"store i64 {now}, ptr inttoptr (i64 {self.ticks + 8 * k} to ptr)")

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                return
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.If(
                test=ast.Call() as call,
                body=[ast.Return(value=ast.Constant(value=int(code)))],
                orelse=[],
            ):
                self._check(call, code)
            case _:
                raise _outside(node)

    def _check(self, call: ast.Call, code: int) -> None:
        """Leave with `code` when the kernel returns anything but 0."""
        status = self._call(call)
        if status is None:
            raise ValueError(f"line {call.lineno}: this kernel returns nothing that can be tested")
        failed = self._new(f"icmp ne i64 {status}, 0")
        number = len(self.lines)
        self.lines += [
            f"br i1 {failed}, label %fail{number}, label %go{number}",
            f"fail{number}:",
            f"ret i64 {code}",
            f"go{number}:",
        ]

    def _call(self, node: ast.Call) -> str | None:
        """Emit a call; the name of the status it returns."""
        name = _name(node)
        if name in ("copy", "zero"):
            self._memory(name, node)
            return None
        if name == "split" and not self.chunk:
            self._split(node)
            return None
        callee = self._callee(node, name)
        arguments = self._operands(node, name, node.args, callee.parameters)
        result = "i64" if callee.returns_status else "void"
        self._declare(callee.symbol, result, arguments)
        call = f'call {result} @"{callee.symbol}"({", ".join(arguments)})'
        if callee.returns_status:
            return self._new(call)
        self.lines.append(call)
        return None

    def _callee(self, node: ast.Call, name: str) -> Callee:
        if name not in self.callees:
            raise ValueError(f"line {node.lineno}: the driver calls {name}, which is not defined")
        callee = self.callees[name]
        self.uses_pool |= callee.uses_pool
        return callee

    def _operands(
        self, node: ast.Call, name: str, given: Sequence[ast.expr], kinds: Sequence[str]
    ) -> list[str]:
        """The arguments of a call, each with its type."""
        if len(given) != len(kinds):
            raise ValueError(f"line {node.lineno}: {name} takes {len(kinds)} operands")
        return [self._operand(x, kind).typed for x, kind in zip(given, kinds, strict=True)]

    def _split(self, node: ast.Call) -> None:
        """Call a kernel once per chunk, on any thread; it gets the chunk last."""
        match node.args:
            case [ast.Name(id=name), ast.Constant(value=int() as count), ast.Name(id=self.table)]:
                self._split_chain(node, name, count)
                return
            case [ast.Name(id=name), ast.Constant(value=int() as count), *given]:
                callee = self._callee(node, name)
            case _:
                raise _outside(node)
        if not callee.is_kernel or callee.returns_status or callee.parameters[-1:] != ("i64",):
            raise ValueError(f"line {node.lineno}: {name} cannot be split")
        self.uses_pool = True
        *kinds, _ = callee.parameters
        for k, argument in enumerate(self._operands(node, name, given, kinds)):
            place = self._new(f"getelementptr i64, ptr %context, i64 {k}")
            self.lines.append(f"store {argument}, ptr {place}")
        self.context = max(self.context, len(kinds))
        self._define_task(callee, kinds)
        self._declare("tapeless_split", "void", ["ptr", "ptr", "i64"])
        task = f'@"{callee.symbol}.chunk"'
        operands = f"ptr {task}, ptr %context, i64 {count}"
        self.lines.append(f"call void @tapeless_split({operands})")

    def _split_chain(self, node: ast.Call, name: str, count: int) -> None:
        """Run a chain in so many chunks."""
        if name not in self.chains:
            raise ValueError(f"line {node.lineno}: {name} is no chain")
        self.uses_pool = True
        self._declare("tapeless_split", "void", ["ptr", "ptr", "i64"])
        self.lines.append(f"call void @tapeless_split(ptr @{name}, ptr %t, i64 {count})")

    def _define_task(self, callee: Callee, kinds: Sequence[str]) -> None:
        """The function that calls a kernel for one chunk."""
        types = [llvm_type(kind) for kind in kinds]
        loads = "".join(
            f"  %p{k} = getelementptr i64, ptr %context, i64 {k}\n"
            f"  %a{k} = load {kind}, ptr %p{k}\n"
            for k, kind in enumerate(types)
        )
        arguments = [*(f"{t} %a{k}" for k, t in enumerate(types)), "i64 %chunk"]
        self._declare(callee.symbol, "void", arguments)
        self.tasks[callee.symbol] = (
            f'define internal void @"{callee.symbol}.chunk"(ptr %context, i64 %chunk) {{\n'
            f'{loads}  call void @"{callee.symbol}"({", ".join(arguments)})\n  ret void\n}}\n'
        )

    def _memory(self, name: str, node: ast.Call) -> None:
        """`copy` and `zero` become LLVM's own operations."""
        *buffers, count = node.args
        operands = [self._operand(buffer, None) for buffer in buffers]
        size = DTYPES[operands[0].kind.rstrip("*")].itemsize
        byte_count = self._new(f"mul i64 {self._operand(count, 'i64').text}, {size}")
        source = operands[1].typed if name == "copy" else "i8 0"
        symbol = "llvm.memcpy.p0.p0.i64" if name == "copy" else "llvm.memset.p0.i64"
        arguments = [operands[0].typed, source, f"i64 {byte_count}", "i1 false"]
        self._declare(symbol, "void", arguments)
        self.lines.append(f'call void @"{symbol}"({", ".join(arguments)})')

    def _declare(self, symbol: str, result: str, arguments: Sequence[str]) -> None:
        kinds = ", ".join(argument.split()[0] for argument in arguments)
        self.declared[symbol] = f'declare {result} @"{symbol}"({kinds})'

    # --- operands

    def _operand(self, node: ast.expr, kind: str | None) -> Value:
        """An argument, converted to `kind` unless that is None."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negated(operand, kind)
            case ast.Constant(value=bool() | int() | float() as value) if kind is not None:
                return _literal(node, value, kind)
            case ast.Name(id=name) if name == self.chunk:
                return _checked(node, Value("i64", "%c"), kind)
            case ast.BinOp(op=ast.Mult(), left=left, right=right) if kind == "i64":
                factors = self._operand(left, kind), self._operand(right, kind)
                return Value(kind, self._new(f"mul i64 {factors[0].text}, {factors[1].text}"))
            case ast.Call(func=ast.Name(id="at"), args=[buffer, count]):
                return _checked(node, self._offset(buffer, count), kind)
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id=table), k]) if (
                name.endswith("_at") and table == self.table
            ):
                return _checked(node, self._slot(name.removesuffix("_at"), k), kind)
            case ast.Subscript(value=buffer, slice=index):
                return self._converted(node, self._load(buffer, index), kind)
        raise _outside(node)

    def _slot(self, dtype: str, k: ast.expr) -> Value:
        slot = self._new(f"getelementptr ptr, ptr %t, {self._operand(k, 'i64').typed}")
        return Value(f"{dtype}*", self._new(f"load ptr, ptr {slot}"))

    def _offset(self, buffer: ast.expr, count: ast.expr) -> Value:
        base = self._operand(buffer, None)
        kind = MEMORY[base.kind.rstrip("*")]
        offset = self._operand(count, "i64")
        return Value(base.kind, self._new(f"getelementptr {kind}, {base.typed}, {offset.typed}"))

    def _load(self, buffer: ast.expr, index: ast.expr) -> Value:
        address = self._offset(buffer, index)
        dtype = address.kind.rstrip("*")
        loaded = self._new(f"load {MEMORY[dtype]}, {address.typed}")
        return Value("u8" if dtype == "bool" else dtype, loaded)

    def _negated(self, node: ast.expr, kind: str | None) -> Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return self._operand(ast.copy_location(ast.Constant(-node.value), node), kind)
        operand = self._operand(node, kind)
        if DTYPES[operand.kind].kind == "f":
            return Value(operand.kind, self._new(f"fneg {operand.typed}"))
        return Value(operand.kind, self._new(f"sub {llvm_type(operand.kind)} 0, {operand.text}"))

    def _converted(self, node: ast.expr, operand: Value, kind: str | None) -> Value:
        """A loaded number as `kind`."""
        if kind is None or kind == operand.kind:
            return operand
        source, target = DTYPES[operand.kind], DTYPES.get(kind, np.dtype(object))
        instruction = _CONVERSIONS.get((source.kind, target.kind))
        if instruction is None:
            raise ValueError(f"line {node.lineno}: {operand.kind} where {kind} is expected")
        narrow, wide = instruction
        if source.itemsize == target.itemsize and source.kind != "i":
            return Value(kind, operand.text)
        verb = narrow if target.itemsize < source.itemsize else wide
        return Value(kind, self._new(f"{verb} {operand.typed} to {llvm_type(kind)}"))


_THREADS: Final = f"""@tapeless_threads = external global i64
@trial = internal global [{TRIAL_WORDS} x i64] zeroinitializer, align 64
declare i64 @tapeless_begin(ptr, i64)
declare void @tapeless_end(ptr, i64, i64)"""
_BEGIN: Final = """  %threads = load i64, ptr @tapeless_threads
  %began = call i64 @tapeless_begin(ptr @trial, i64 %threads)
"""
_END: Final = """  call void @tapeless_end(ptr @trial, i64 %threads, i64 %began)
"""

_CONVERSIONS = {
    ("f", "f"): ("fptrunc", "fpext"),
    ("i", "i"): ("trunc", "sext"),
    ("u", "i"): ("trunc", "zext"),
    ("i", "f"): ("sitofp", "sitofp"),
}


def _literal(node: ast.expr, value: float, kind: str) -> Value:
    if kind.endswith("*") or (isinstance(value, float) and DTYPES[kind].kind != "f"):
        raise ValueError(f"line {node.lineno}: {value} where {kind} is expected")
    if DTYPES[kind].kind == "f":
        return Value(kind, float_literal(value, kind))
    return Value(kind, str(int(value)))


def _checked(node: ast.expr, operand: Value, kind: str | None) -> Value:
    if kind is not None and operand.kind != kind:
        raise ValueError(f"line {node.lineno}: {operand.kind} where {kind} is expected")
    return operand


def _name(node: ast.Call) -> str:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise _outside(node)
    return node.func.id


def _outside(node: ast.stmt | ast.expr) -> ValueError:
    return ValueError(
        f"line {node.lineno}: `{ast.unparse(node)}` is outside the driver's grammar "
        "(runtime/kernel.py)"
    )
