"""How reductions accumulate: expressions for their start, their steps and their results."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ...ir.graph import Node
from ...ir.types import F32, F64, I64, dtype_name
from .kernel import literal


def extreme(dtype: np.dtype, largest: bool) -> Any:
    """The largest or smallest element of a dtype."""
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    if dtype.kind == "b":
        return largest
    info = np.iinfo(dtype)
    return info.max if largest else info.min


_REGROUPED: Final = {"sum": "add_reassoc", "prod": "mul_reassoc"}
"""What floats are accumulated with in whatever order."""


class Fold:
    """How a reduction accumulates: its start, its step, and the dtype it works in. A sum is `short`
    if it may be made in f32."""

    def __init__(self, node: Node, *, short: bool = False) -> None:
        self.name, self.dtype = node.op.name, node.result.type.dtype
        widens = self.name == "sum" and self.dtype == F32 and not short
        self.wide = F64 if widens else self.dtype

    @property
    def start(self) -> str:
        return self._start(self.wide)

    @property
    def start_narrow(self) -> str:
        return self._start(self.dtype)

    def _start(self, dtype: np.dtype) -> str:
        if self.name in ("max", "min"):
            return literal(extreme(dtype, self.name == "min"), dtype)
        return literal(self.name in ("all", "prod"), dtype)

    def step(self, accumulator: str, operand: str) -> str:
        """The accumulator after one more element."""
        if self.wide != self.dtype:
            operand = f"{dtype_name(self.wide)}({operand})"
        return self.join(accumulator, operand)

    def join(self, accumulator: str, other: str) -> str:
        """Two accumulators in one."""
        if self.name in _REGROUPED and self.wide.kind == "f":
            word = f"{_REGROUPED[self.name]}_{dtype_name(self.wide)}"
            return f"{word}({accumulator}, {other})"
        return self._combine(self.wide, accumulator, other)

    def step_narrow(self, accumulator: str, operand: str) -> str:
        """The same in the result's own dtype and in order, for accumulators in memory."""
        return self._combine(self.dtype, accumulator, operand)

    def _combine(self, dtype: np.dtype, left: str, right: str) -> str:
        name = dtype_name(dtype)
        if self.name in ("max", "min"):
            return f"{self.name}imum_{name}({left}, {right})"
        if self.name in ("any", "all"):
            return f"{left} {'|' if self.name == 'any' else '&'} {right}"
        total = f"{left} {'*' if self.name == 'prod' else '+'} {right}"
        return total if dtype.kind == "f" or dtype == I64 else f"{name}({total})"

    def result(self, accumulator: str) -> str:
        """The accumulator as the result's dtype."""
        narrow = f"{dtype_name(self.dtype)}({accumulator})"
        return accumulator if self.wide == self.dtype else narrow
