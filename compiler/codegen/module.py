"""The module under construction: deduplicated kernels and the driver's statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import numpy as np

from ...ir.errors import TapelessError
from ...ir.graph import Node, Value
from ...ir.record import dataclass
from ...ir.types import dtype_name
from ...runtime.kernel import KernelSpec
from .kernel import NAME, Buffer, Kernel


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


@dataclass
class Module:
    """Collects kernels and calls. `table` gives the position of every place in the pointer table;
    `scratch` is the most bytes of scratch memory that a kernel uses while it runs."""

    table: Mapping[str, int]
    scratch: int = 0
    kernels: dict[tuple[str, tuple[str, ...]], KernelSpec] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    checked: set[tuple[Value, object]] = field(default_factory=set)

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
        self._append(node, self._expression(kernel), self._name(kernel))

    def check(self, check: Check, kernel: Kernel, value: Value, what: object) -> None:
        """Call a kernel that returns 0 when all is well; otherwise the step ends here. A value is
        checked once for `what`."""
        if (value, what) in self.checked:
            return
        self.checked.add((value, what))
        node = check.node
        self.checks.append(check)
        statement = f"if {self._expression(kernel)}: return {len(self.checks)}"
        self._append(node, statement, self._name(kernel))

    def routine(self, node: Node, name: str, *arguments: object) -> None:
        """Call one of the routines of the vocabulary."""
        self._append(node, f"{name}({', '.join(map(str, arguments))})", None)

    def _append(self, node: Node, statement: str, kernel: str | None) -> None:
        self.calls.append(Call(node, statement, kernel))

    def _name(self, kernel: Kernel) -> str:
        key = kernel.text, kernel.types
        if key not in self.kernels:
            name = f"k{len(self.kernels)}"
            numbers = len(kernel.numbers) + (kernel.chunks is not None)
            self.kernels[key] = KernelSpec(name, kernel.types, numbers)
        return self.kernels[key].name

    def _expression(self, kernel: Kernel) -> str:
        arguments = [self._argument(b) for b in kernel.buffers]
        arguments += map(str, kernel.numbers)
        name = self._name(kernel)
        if kernel.chunks is None:
            return f"{name}({', '.join(arguments)})"
        return f"split({', '.join([name, str(kernel.chunks), *arguments])})"

    def _argument(self, buffer: Buffer) -> str:
        return self.pointer(buffer.place, buffer.dtype)

    def source(self, summary: str) -> str:
        """The text of the module. `summary` is its first line and must come from us, never from
        the user."""
        blocks = [f'"""{summary}"""\n\nfrom tapeless.runtime.kernel import *\n']
        for (text, _), spec in self.kernels.items():
            blocks.append(text.replace(NAME, spec.name, 1))
        lines = ["def step(t):"]
        lines += ["    " + call.statement for call in self.calls]
        blocks.append("\n".join([*lines, "    return 0"]) + "\n")
        return "\n\n".join(blocks)


def place_of(value: Value) -> str:
    """Where the memory plan put a value."""
    assert value.place is not None, "code is generated from the stage `planned`"
    return value.place
