"""Writing one kernel: parameters, index expressions, literals.

A `KernelWriter` hands out parameter names in the order they are asked for, so equal kernels come
out as equal text and are compiled once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ...ir.record import dataclass
from ...ir.region import Axis
from ...ir.types import DTYPES, dtype_name

LOOP_NAMES: Final = "ijklmopqrsuwxyzh"
CHUNK: Final = "c"
CHUNK_SIZE: Final = "g"
NAME: Final = "KERNEL"

UNKNOWN: Final = 2**62
"""Iterations of a kernel whose extents are not those of its loops."""


@dataclass(frozen=True, slots=True)
class Split:
    """A kernel that runs once per chunk: chunk `c` takes `size` iterations of loop `loop`, the last
    of the `chunks` what is left."""

    loop: int
    chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """A flat buffer a kernel works on: where it lies and what it holds."""

    place: str
    dtype: np.dtype

    @property
    def type_name(self) -> str:
        return dtype_name(self.dtype)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A finished kernel and the arguments of one call, but for the size of a chunk and its number,
    which come last, if it has a `split`. `text` says NAME where its name goes; `iterations` are
    those of its loops, all together."""

    text: str
    buffers: tuple[Buffer, ...]
    numbers: tuple[int, ...]
    split: Split | None = None
    iterations: int = UNKNOWN

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """What tells it from other kernels."""
        return self.text, tuple(b.type_name for b in self.buffers)

    @property
    def whole_key(self) -> tuple[str, tuple[str, ...]]:
        """The key of a kernel that runs the same loops in one piece, if there is one."""
        text, types = self.key
        if self.split is not None:
            extent = f"n{self.split.loop}"
            text = text.replace(f"range({_chunk(extent)})", f"range({extent})")
            text = text.replace(f", {CHUNK_SIZE}, {CHUNK}):", "):", 1)
        return text, types

    def as_chunk(self, other: Kernel) -> Kernel:
        """A kernel in one piece as the only chunk of another one, whose `whole_key` is its key."""
        assert other.split is not None
        loop = other.split.loop
        return replace(self, text=other.text, split=Split(loop, 1, self.numbers[loop]))

    def with_literals(self, first: int = 0) -> Kernel:
        """The kernel for its numbers alone, from the `first` on: they are part of its text, so that
        its loops are unrolled."""
        head, _, body = self.text.partition("):\n")
        start, _, names = head.partition("(")
        parameters, given = names.split(", "), len(self.buffers) + first
        known = dict(zip(parameters[given:], self.numbers[first:], strict=False))
        lines = "".join(f"    {name} = {number}\n" for name, number in known.items())
        left = ", ".join(name for name in parameters if name not in known)
        return replace(self, text=f"{start}({left}):\n{lines}{body}", numbers=self.numbers[:first])


def loop_name(k: int) -> str:
    """The variable of loop `k`."""
    return LOOP_NAMES[k] if k < len(LOOP_NAMES) else f"z{k}"


def literal(value: Any, dtype: np.dtype) -> str:
    """An expression for exactly this number in generated code. Infinity is spelled 1e999, which
    needs no name."""
    if dtype.kind == "b":
        return str(bool(value))
    if dtype.kind != "f":
        return str(int(value)) if dtype == DTYPES["i64"] else f"{dtype_name(dtype)}({int(value)})"
    number = float(value)
    text = repr(number)
    if math.isnan(number):
        text = "1e999 - 1e999"
    elif math.isinf(number):
        text = "1e999" if number > 0 else "-1e999"
    return f"{dtype_name(dtype)}({text})"


class KernelWriter:
    """Collects the parameters of a kernel. `written` are the places it writes: their parameters
    are called y0, y1 .., those only read x0, x1 .. With `split` it is for one chunk. The loops
    `unrolled` are written out: their extents are part of the text."""

    def __init__(
        self,
        extents: Sequence[int],
        written: Collection[str],
        split: Split | None = None,
        unrolled: Collection[int] = (),
    ) -> None:
        self.extents = tuple(extents)
        self.unrolled = unrolled
        self._written = frozenset(written)
        self._buffers: dict[Buffer, str] = {}
        self._numbers: dict[str, int] = {}
        self._axes: dict[tuple[str, int, str, int], str] = {}
        self._extent_names: Mapping[int, str] = {
            k: str(n) if k in unrolled else self._number("n", n) for k, n in enumerate(self.extents)
        }
        self.split = split

    def _number(self, letter: str, value: int) -> str:
        name = f"{letter}{sum(n[0] == letter for n in self._numbers)}"
        self._numbers[name] = value
        return name

    def number(self, value: int) -> str:
        """A parameter for an integer that differs between equal kernels."""
        return self._number("a", value)

    def buffer(self, place: str, dtype: np.dtype) -> str:
        """The parameter of a buffer; one per buffer however often it is used."""
        key = Buffer(place, dtype)
        if key not in self._buffers:
            letter = "y" if place in self._written else "x"
            self._buffers[key] = f"{letter}{sum(n[0] == letter for n in self._buffers.values())}"
        return self._buffers[key]

    def extent(self, k: int) -> str:
        """The parameter that holds the extent of loop `k`."""
        return self._extent_names[k]

    def loop(self, k: int) -> str:
        """The header of loop `k`."""
        bounds = self._extent_names[k]
        if self.split is not None and k == self.split.loop:
            bounds = _chunk(bounds)
        return f"for {loop_name(k)} in range({bounds}):"

    def around(self, k: int, lines: Sequence[str]) -> list[str]:
        """Loop `k` around statements."""
        if k not in self.unrolled:
            return [self.loop(k), *indent(lines)] if lines else []
        # a variable's name may end with that of a loop
        counter = re.compile(rf"(?<![a-zA-Z0-9]){loop_name(k)}\b")
        return [counter.sub(str(n), line) for n in range(self.extents[k]) for line in lines]

    def index(self, axes: Sequence[Axis], buffer: str = "") -> str:
        """The flat index of an element. Accesses to one `buffer` share the extents of its axes, and
        where on them they start, or nobody could tell that they are neighbours."""
        text = ""
        for k, axis in enumerate(axes):
            if axis.extent == 1:
                continue
            position = self._position(axis, buffer, k)
            text = (
                f"{factor(text)} * {self._extent(axis, buffer, k)} + {position}"
                if text
                else position
            )
        return text or "0"

    def element(self, place: str, dtype: np.dtype, axes: Sequence[Axis]) -> str:
        """An element of a buffer."""
        name = self.buffer(place, dtype)
        return f"{name}[{self.index(axes, name)}]"

    def _position(self, axis: Axis, buffer: str, k: int) -> str:
        if axis.loop is None:
            return self._shared(buffer, k, "start", axis.start)
        if self._whole(axis):
            return loop_name(axis.loop)
        start = []
        if axis.start:
            dense = axis.dense
            start = [self._shared(buffer, k, "start", axis.start) if dense else str(axis.start)]
        return f"({' + '.join([*start, *(_step(*stride) for stride in axis.strides)])})"

    def _extent(self, axis: Axis, buffer: str, k: int) -> str:
        if axis.loop is not None and self._whole(axis):
            return self._extent_names[axis.loop]
        return self._shared(buffer, k, "extent", axis.extent)

    def _shared(self, buffer: str, k: int, what: str, value: int) -> str:
        """A number for axis `k` of a buffer; one however often it is accessed so."""
        key = (buffer, k, what, value)
        if not buffer or key not in self._axes:
            self._axes[key] = self.number(value)
        return self._axes[key]

    def _whole(self, axis: Axis) -> bool:
        return axis.plain and axis.loop is not None and axis.extent == self.extents[axis.loop]

    def finish(self, body: Sequence[str]) -> Kernel:
        """The kernel with these statements."""
        chunk = (CHUNK_SIZE, CHUNK) if self.split is not None else ()
        parameters = ", ".join([*self._buffers.values(), *self._numbers, *chunk])
        lines = "\n".join("    " + line for line in body or ["pass"])
        text = f"def {NAME}({parameters}):\n{lines}\n"
        known = self.extents or not self._numbers
        iterations = math.prod(self.extents) if known else UNKNOWN
        numbers = tuple(self._numbers.values())
        return Kernel(text, tuple(self._buffers), numbers, self.split, iterations)


def _chunk(extent: str) -> str:
    """The bounds of a loop in a chunk."""
    first = f"{CHUNK} * {CHUNK_SIZE}"
    return f"{first}, minimum_i64({first} + {CHUNK_SIZE}, {extent})"


def _step(loop: int, step: int) -> str:
    """Steps, and where they start from, are part of the text: accesses in steps vectorise only
    when it is known that together they touch neighbours."""
    return loop_name(loop) if step == 1 else f"{step} * {loop_name(loop)}"


def factor(text: str) -> str:
    """An expression as a factor of a product."""
    return f"({text})" if " " in text and not _bracketed(text) else text


def _bracketed(text: str) -> bool:
    return text.startswith("(") and text.find(")") == len(text) - 1


def indent(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]
