"""The module under construction: deduplicated kernels and the driver's statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from typing import Final

import numpy as np

from ...ir.errors import TapelessError
from ...ir.graph import Node, Value
from ...ir.record import dataclass
from ...ir.types import dtype_name
from ...runtime.kernel import KernelSpec
from .kernel import CHUNK, NAME, Buffer, Kernel, Split

Key = tuple[str, tuple[str, ...]]
"""The text of a kernel and the dtypes of its buffers."""

SHORT: Final = 2**10
"""Iterations of all loops of a step in which calls and the control of loops take longer than what
is computed: up to then each kernel is for its extents alone."""


@dataclass(frozen=True, slots=True)
class Check:
    """A run-time check: status `position + 1` of the driver means that it failed, which is an
    `error` with this message."""

    node: Node
    error: type[TapelessError]
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """One statement of the driver, and the node it is for."""

    node: Node
    statement: str
    kernel: str | None


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement under construction: `text` says {} where the call of the kernel goes."""

    node: Node
    text: str
    kernel: Kernel | None = None


@dataclass(frozen=True, slots=True)
class _Chain:
    """Statements that run one after another in each of so many chunks of one region."""

    node: Node
    chunks: int
    statements: list[_Statement]


@dataclass
class Module:
    """Collects kernels and calls. `table` gives the position of every place in the pointer table;
    `scratch` is the most bytes of scratch memory that a kernel uses while it runs."""

    table: Mapping[str, int]
    scratch: int = 0
    checks: list[Check] = field(default_factory=list)
    checked: set[tuple[Value, object]] = field(default_factory=set)
    _statements: list[_Statement | _Chain] = field(default_factory=list)
    _open: list[_Statement] | None = None

    def pointer(self, place: str, dtype: np.dtype) -> str:
        """The expression for a buffer in the driver."""
        name = dtype_name(dtype)
        if place.startswith("scratch+"):
            offset = int(place.removeprefix("scratch+")) // dtype.itemsize
            return f"at({name}_at(t, {self.table['scratch']}), {offset})"
        return f"{name}_at(t, {self.table[place]})"

    def value(self, value: Value) -> str:
        """The expression for the buffer a value lies in."""
        return self.pointer(place_of(value), value.type.dtype)

    def call(self, node: Node, kernel: Kernel) -> None:
        """Call a kernel."""
        self._append(_Statement(node, "{}", kernel))

    def check(self, check: Check, kernel: Kernel, value: Value, what: object) -> None:
        """Call a kernel that returns 0 when all is well; otherwise the step ends here. A value is
        checked once for `what`."""
        if (value, what) in self.checked:
            return
        self.checked.add((value, what))
        node = check.node
        self.checks.append(check)
        text = f"if {{}}: return {len(self.checks)}"
        self._statements.append(_Statement(node, text, kernel))

    def routine(self, node: Node, name: str, *arguments: object) -> None:
        """Call one of the routines of the vocabulary."""
        self._append(_Statement(node, f"{name}({', '.join(map(str, arguments))})"))

    def _append(self, statement: _Statement) -> None:
        (self._statements if self._open is None else self._open).append(statement)

    @contextmanager
    def chain(self, node: Node, chunks: int) -> Iterator[None]:
        """What is called meanwhile runs in one region; `node` is the first it is for."""
        self._open = []
        yield
        self._statements.append(_Chain(node, chunks, self._open))
        self._open = None

    def finish(self) -> Finished:
        """Name the kernels and write the calls.

        A nest that runs in one piece is a call of the kernel that runs it in chunks, where there is
        one: so the parameters of an optimiser share one loop, whatever their sizes.
        """
        parts = [[s] if isinstance(s, _Statement) else s.statements for s in self._statements]
        kernels = [s.kernel for part in parts for s in part if s.kernel is not None]
        if sum(k.iterations for k in kernels) <= SHORT:
            parts = [[_with_literals(s) for s in part] for part in parts]
        chunked = {k.whole_key: k for k in kernels if k.split is not None}
        found: dict[Key, KernelSpec] = {}
        calls: list[Call] = []
        chains: list[str] = []
        for whole, part in zip(self._statements, parts, strict=True):
            chained = isinstance(whole, _Chain)
            made = [self._finished(s, chunked, found, chained=chained) for s in part]
            if isinstance(whole, _Chain):
                name = f"chain{len(chains)}"
                lines = "".join(f"    {call.statement}\n" for call in made)
                chains.append(f"def {name}(t, {CHUNK}):\n{lines}")
                made = [Call(whole.node, f"split({name}, {whole.chunks}, t)", None)]
            calls += made
        texts = [text.replace(NAME, spec.name, 1) for (text, _), spec in found.items()]
        return Finished(tuple(texts), tuple(found.values()), tuple(chains), tuple(calls))

    def _finished(
        self,
        statement: _Statement,
        chunked: Mapping[Key, Kernel],
        found: dict[Key, KernelSpec],
        *,
        chained: bool,
    ) -> Call:
        """The call of a statement, its kernel named."""
        kernel = statement.kernel
        if kernel is None:
            return Call(statement.node, statement.text, None)
        if kernel.split is None and kernel.key in chunked:
            kernel = kernel.as_chunk(chunked[kernel.key])
        name = _specified(found, kernel).name
        text = statement.text.format(self._expression(name, kernel, chained=chained))
        return Call(statement.node, text, name)

    def _expression(self, name: str, kernel: Kernel, *, chained: bool) -> str:
        """The call of a kernel."""
        arguments = [*(self._argument(b) for b in kernel.buffers), *map(str, kernel.numbers)]
        match kernel.split:
            case Split(size=size) if chained:
                return f"{name}({', '.join([*arguments, str(size), CHUNK])})"
            case None:
                return f"{name}({', '.join(arguments)})"
            case Split(chunks=1, size=size):
                return f"{name}({', '.join([*arguments, str(size), '0'])})"
            case Split(chunks=chunks, size=size):
                return f"split({', '.join([name, str(chunks), *arguments, str(size)])})"

    def _argument(self, buffer: Buffer) -> str:
        return self.pointer(buffer.place, buffer.dtype)


@dataclass(frozen=True, slots=True)
class Finished:
    """The texts of the kernels, a spec for each, the texts of the chains, and the statements of the
    driver."""

    kernels: tuple[str, ...]
    specs: tuple[KernelSpec, ...]
    chains: tuple[str, ...]
    calls: tuple[Call, ...]

    def source(self) -> str:
        """The text of the module."""
        summary = f"Generated by tapeless: {len(self.kernels)} kernels, {len(self.calls)} calls."
        head = f'"""{summary}"""\n\nfrom tapeless.runtime.kernel import *\n'
        lines = ["def step(t):", *("    " + call.statement for call in self.calls), "    return 0"]
        return "\n\n".join([head, *self.kernels, *self.chains, "\n".join(lines) + "\n"])


def _with_literals(statement: _Statement) -> _Statement:
    kernel = statement.kernel
    if kernel is None or kernel.split is not None:
        return statement
    return replace(statement, kernel=kernel.with_literals())


def _specified(found: dict[Key, KernelSpec], kernel: Kernel) -> KernelSpec:
    """The spec of a kernel, which gets the next name where it is new."""
    if kernel.key not in found:
        numbers = len(kernel.numbers) + 2 * (kernel.split is not None)
        found[kernel.key] = KernelSpec(f"k{len(found)}", kernel.key[1], numbers)
    return found[kernel.key]


def place_of(value: Value) -> str:
    """Where the memory plan put a value."""
    assert value.place is not None, "code is generated from the stage `planned`"
    return value.place
