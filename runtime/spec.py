"""What the engine must know about generated code besides its text: the buffers of its kernels, and
the matrix routines it may call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..ir.record import dataclass
from ..ir.types import DTYPES

FLOATS = ("f32", "f64")


@dataclass(frozen=True)
class KernelSpec:
    """What the engine must know about a kernel of generated source: the dtypes of its buffers
    ("f32", ...), in order, and how many i64 extents follow them."""

    name: str
    buffers: tuple[str, ...]
    extents: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its parameters are, in the words of `runtime/builder.py`."""
        return (*(f"{name}*" for name in self.buffers), *["i64"] * self.extents)


ROUTINES = {
    "gemm": "iiiiifpipifpi",
    "gemv": "iiifpipfp",
    "whole_gemm": "iiiiifpipifpi",
    "whole_gemv": "iiifpipfp",
}
"""Operand kinds of the matrix routines: i integer or flag, f number, p buffer."""

WINDOW_ROUTINES = {"indirect": "iiipoopipo", "turned": "iipipi"}
"""The same of those for windows of images; o is a buffer of i64, offsets."""

SORT_ROUTINES = {
    "sorted": "ipipio",
    "argsorted": "ipioio",
    "keyed": "ipio",
    "selected": "iiipioo",
}
"""The same of those that sort, for all dtypes."""

SORT_SCRATCH = 3
"""Of their scratch memory: i64s for a number of a row."""

LIBRARIES = {
    "windows": ("indirect", "turned"),
    "sorted": ("sorted",),
    "argsorted": ("argsorted",),
    "selected": ("keyed", "selected"),
}
"""Routines for kernels that are compiled together, for one dtype, and what these libraries are
called: "windows_f32"."""


THREAD_FUNCTIONS = ("lower_threads", "restore_threads")
"""What routines call around the BLAS (`runtime/blas_threads.py`)."""


def routine_symbol(routine: str, dtype: str) -> str:
    """The C function behind `gemm_f32` and its kin."""
    return f"tapeless_{routine}_{dtype}"


Products = frozenset[tuple[str, tuple[int, ...]]]
"""Calls of matrix routines with their integer operands: flags, extents and strides."""

_CALLS: Final = rf'call void @"?tapeless_({"|".join(ROUTINES)})_(f32|f64)"?\((.*)\)'


def called_products(text: str) -> dict[str, Products | None]:
    """The products that LLVM text calls, by dtype; None where an integer is none that the text
    spells out."""
    return joined_products(
        {dtype: None if integers is None else frozenset({(routine, integers)})}
        for routine, dtype, operands in re.findall(_CALLS, text)
        for integers in [_integers(operands, ROUTINES[routine].count("i"))]
    )


def _integers(operands: str, count: int) -> tuple[int, ...] | None:
    """Those of a call that has so many, if the text spells them out."""
    typed = (x.split() for x in operands.split(", "))
    found = [words[-1] for words in typed if words[0] == "i64"]
    if len(found) != count or not all(map(str.isdecimal, found)):
        return None
    return tuple(map(int, found))


def joined_products(parts: Iterable[Mapping[str, Products | None]]) -> dict[str, Products | None]:
    """All products of several texts."""
    found: dict[str, Products | None] = {}
    for part in parts:
        for dtype, products in part.items():
            known = found.get(dtype, frozenset())
            found[dtype] = None if known is None or products is None else known | products
    return found


def called_libraries(text: str) -> tuple[str, ...]:
    """The `LIBRARIES` of the routines that LLVM text calls."""
    called = {rest.partition("(")[0].rstrip('"') for rest in text.split("tapeless_")[1:]}
    return tuple(
        f"{library}_{dtype}"
        for library, names in LIBRARIES.items()
        for dtype in DTYPES
        if any(f"{name}_{dtype}" in called for name in names)
    )
