"""Where the extremum of a row is: in which block of the row, then at which place of the block.

    s0 = f32(-1e999)
    w0 = 0
    for b in range(a0):                                       # blocks of 256
        t0 = f32(-1e999)
        for j in range(b * 256, minimum_i64(b * 256 + 256, n1)):
            v0 = x0[i * n1 + j]
            t0 = maximum_f32(t0, v0)
        if t0 > s0 or (t0 != t0 and s0 == s0):
            s0 = t0
            w0 = b * 256
    u0 = FAR
    for j in range(w0, minimum_i64(w0 + 256, n1)):
        v0 = x0[i * n1 + j]
        u0 = minimum_i64(u0, select_i64((v0 == s0) | (v0 != v0), j, FAR))
    w0 = u0

FAR is a number larger than any place. Both inner loops are written as vectors, and all but one
block is read once. The first block with the extremum is kept; a NaN is more extreme than any number
(`v != v` only for NaN). Short rows are compared number by number.

Of Booleans the first that is True is looked for at once, in one loop, which as vectors ends where
it is found:

    w0 = FAR
    for j in range(n1):
        v0 = x0[i * n1 + j]
        w0 = minimum_i64(w0, select_i64(v0 == True, j, FAR))
    w0 = select_i64(w0 == FAR, 0, w0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...ir.graph import Node
from ...ir.record import dataclass
from ...ir.types import BOOL, dtype_name
from ...runtime.folds import FAR
from .fold import extreme
from .kernel import KernelWriter, indent, literal, loop_name

LONG: Final = 32
"""Rows of so many numbers are searched in blocks."""

VERY_LONG: Final = 16384
"""From so many numbers on, blocks are large: the last look at one costs little beside the rest."""


@dataclass(frozen=True)
class Search:
    """An argmax or argmin over loop `loop` in blocks of `block` elements, of the values called
    `operand`; `number` tells its variables from those of others."""

    node: Node
    operand: str
    loop: int
    block: int
    number: str

    @property
    def where(self) -> str:
        """The variable for the place found."""
        return f"w{self.number}"

    @property
    def boolean(self) -> bool:
        """Whether the extremum is known before the search."""
        return self.node.operands[0].type.dtype == BOOL

    def start(self) -> list[str]:
        """Before the row."""
        if self.boolean:
            return [f"{self.where} = {FAR}"]
        return [f"s{self.number} = {self._worst()}", f"{self.where} = 0"]

    def compare(self) -> list[str]:
        """One more number of a row that is searched in one loop."""
        if self.boolean:
            return [f"{self.where} = minimum_i64({self.where}, {self._place()})"]
        return self._keep(self.operand, loop_name(self.loop))

    def in_blocks(self) -> tuple[str, str, list[str]]:
        """Before a block, one more number of it, after it."""
        dtype = self.node.operands[0].type.dtype
        word = "maximum" if self._largest() else "minimum"
        top = f"t{self.number}"
        step = f"{top} = {word}_{dtype_name(dtype)}({top}, {self.operand})"
        return f"{top} = {self._worst()}", step, self._keep(top, f"b * {self.block}")

    def in_block(self, w: KernelWriter, values: Sequence[str]) -> list[str]:
        """The place in the block found; `values` are the statements that compute the numbers."""
        where, found, j = self.where, f"u{self.number}", loop_name(self.loop)
        return [
            f"{found} = {FAR}",
            f"for {j} in range({where}, {self.end(w, where)}):",
            *indent([*values, f"{found} = minimum_i64({found}, {self._place()})"]),
            f"{where} = {found}",
        ]

    def result(self) -> str:
        """The place, after the row: the first of Booleans if there is none of the extremum."""
        return f"select_i64({self.where} == {FAR}, 0, {self.where})" if self.boolean else self.where

    def _place(self) -> str:
        """The place of a number that is the extremum, FAR of others."""
        here = f"({self.operand} == {self._largest() if self.boolean else f's{self.number}'})"
        if self.node.operands[0].type.is_float:
            here += f" | ({self.operand} != {self.operand})"
        return f"select_i64({here}, {loop_name(self.loop)}, {FAR})"

    def end(self, w: KernelWriter, first: str) -> str:
        """The end of the block that starts there."""
        return f"minimum_i64({first} + {self.block}, {w.extent(self.loop)})"

    def _keep(self, value: str, place: str) -> list[str]:
        best = f"s{self.number}"
        better = f"{value} {'>' if self._largest() else '<'} {best}"
        if self.node.operands[0].type.is_float:
            better += f" or ({value} != {value} and {best} == {best})"
        return [f"if {better}:", f"    {best} = {value}", f"    {self.where} = {place}"]

    def _largest(self) -> bool:
        return self.node.op.name == "argmax"

    def _worst(self) -> str:
        dtype = self.node.operands[0].type.dtype
        return literal(extreme(dtype, not self._largest()), dtype)


def block_size(extent: int) -> int:
    """Elements of a block of a row of so many."""
    return 2048 if extent >= VERY_LONG else 256


def blocked(
    w: KernelWriter, searches: Sequence[Search], values: Sequence[str], stores: Sequence[str]
) -> list[str]:
    """The innermost loop in blocks, each made of the statements `values` and `stores`, and then the
    one block of each search again."""
    loop, block = searches[0].loop, searches[0].block
    count = w.number(-(-w.extents[loop] // block))
    starts, steps, ends = zip(*(search.in_blocks() for search in searches), strict=True)
    first = f"b * {block}"
    body = [
        *starts,
        f"for {loop_name(loop)} in range({first}, {searches[0].end(w, first)}):",
        *indent([*values, *stores, *steps]),
        *(line for lines in ends for line in lines),
    ]
    found = (line for search in searches for line in search.in_block(w, values))
    return [f"for b in range({count}):", *indent(body), *found]
