"""Matrix products in panels, on several threads, as LLVM text.

    tapeless_gemm_<t>, tapeless_gemv_<t>    as `gemm_<t>` and `gemv_<t>` of `runtime/kernel.py`

The result is cut along its longer side, into panels that depend on its extents alone; each is the
whole product of a part of one operand, made on one thread by `whole_<routine>_<t>`, so a product
has the same bits on any number of threads. A panel takes about a microsecond at the least. Panels
narrower than 128 are made only where there would be less than two: each reads the other operand,
and a BLAS packs it, anew (measured on one thread: panels of 128 cost 2 to 5 %, of 64 up to 10 %).

The BLAS is called with its own count of threads at one: threads inside threads would take turns on
the same cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .kernel import routine_symbol
from .vector_text import LLVM_FLOAT, parameter_types

MOST_PANELS: Final = 32

UNIT: Final = 16
"""Rows or columns in a panel are a multiple of this."""

_LEAST_WORK: Final = {"gemm": 17, "gemv": 15}
"""Multiplications in a panel at the least, as a power of two, in f32; half as many in f64. A matrix
times a vector reads memory for each."""

_EXTENTS: Final = {
    "gemm": """
  %wide = icmp uge i64 %a3, %a2
  %extent = select i1 %wide, i64 %a3, i64 %a2
  %size = mul i64 %a2, %a3
  %work = mul i64 %size, %a4""",
    "gemv": """
  %turned = icmp ne i64 %a0, 0
  %extent = select i1 %turned, i64 %a2, i64 %a1
  %work = mul i64 %a1, %a2""",
}
"""The side of the result to cut, and the number of multiplications."""

_PARTS: Final = {
    "gemm": (
        """
  %m = select i1 %wide, i64 %a2, i64 %count
  %n = select i1 %wide, i64 %count, i64 %a3
  %ta = icmp ne i64 %a0, 0
  %down = select i1 %ta, i64 1, i64 %a7
  %below = mul i64 %first, %down
  %offset.a = select i1 %wide, i64 0, i64 %below
  %a = getelementptr {float}, ptr %a6, i64 %offset.a
  %tb = icmp ne i64 %a1, 0
  %across = select i1 %tb, i64 %a9, i64 1
  %right = mul i64 %first, %across
  %offset.b = select i1 %wide, i64 %right, i64 0
  %b = getelementptr {float}, ptr %a8, i64 %offset.b
  %lines = mul i64 %first, %a12
  %offset.c = select i1 %wide, i64 %first, i64 %lines
  %c = getelementptr {float}, ptr %a11, i64 %offset.c""",
        {2: "%m", 3: "%n", 6: "%a", 8: "%b", 11: "%c"},
    ),
    "gemv": (
        """
  %m = select i1 %turned, i64 %a1, i64 %count
  %n = select i1 %turned, i64 %count, i64 %a2
  %lines = mul i64 %first, %a5
  %offset.a = select i1 %turned, i64 %first, i64 %lines
  %a = getelementptr {float}, ptr %a4, i64 %offset.a
  %y = getelementptr {float}, ptr %a8, i64 %first""",
        {1: "%m", 2: "%n", 4: "%a", 8: "%y"},
    ),
}
"""The product of one panel: instructions, and the operands that differ from the whole product's."""


def panels_text(least: Mapping[str, int]) -> str:
    """The text of routines such as "gemm_f32", for a module that defines `whole_<word>`,
    `@lower_threads(i1)` and `@restore_threads(i1)`. `least` says from how many
    multiplications on a word calls the BLAS."""
    texts = [_COMMON]
    for word, work in least.items():
        routine, dtype = word.split("_")
        texts += [_routine(routine, dtype, work), _panel(routine, dtype)]
    return "\n".join(texts)


def _operands(routine: str, dtype: str, others: Mapping[int, str] = MappingProxyType({})) -> str:
    types = enumerate(parameter_types(routine, dtype))
    return ", ".join(f"{t} {others.get(i, f'%a{i}')}" for i, t in types)


def _routine(routine: str, dtype: str, least: int) -> str:
    """Choose the panels; make them in a region of the pool, or the product at once."""
    types = parameter_types(routine, dtype)
    stores = "".join(f"{_field(i)}  store {t} %a{i}, ptr %p{i}\n" for i, t in enumerate(types))
    size = len(types)
    grain = _LEAST_WORK[routine] - (dtype == "f64")
    return f"""
define void @{routine_symbol(routine, dtype)}({_operands(routine, dtype)}) {{
  %context = alloca [{size + 1} x i64]{_EXTENTS[routine]}
  %each = call i64 @panel_size(i64 %work, i64 %extent, i64 {grain})
  %covering = add i64 %extent, %each
  %last = sub i64 %covering, 1
  %panels = udiv i64 %last, %each
  %several = icmp ugt i64 %panels, 1
  br i1 %several, label %split, label %whole
split:
{stores}{_field(size)}  store i64 %each, ptr %p{size}
  %line = udiv i64 %work, %extent
  %largest = mul i64 %line, %each
  %lowers = icmp uge i64 %largest, {least}
  %parts = call i1 @lower_threads(i1 %lowers)
  call void @tapeless_split(ptr @panel_{routine}_{dtype}, ptr %context, i64 %panels)
  call void @restore_threads(i1 %parts)
  ret void
whole:
  %calls = icmp uge i64 %work, {least}
  %lowered = call i1 @lower_threads(i1 %calls)
  call void @whole_{routine}_{dtype}({_operands(routine, dtype)})
  call void @restore_threads(i1 %lowered)
  ret void
}}"""


def _panel(routine: str, dtype: str) -> str:
    """The task of the region: one panel."""
    types = parameter_types(routine, dtype)
    loads = "".join(f"{_field(i)}  %a{i} = load {t}, ptr %p{i}\n" for i, t in enumerate(types))
    size = len(types)
    part, others = _PARTS[routine]
    return f"""
define internal void @panel_{routine}_{dtype}(ptr %context, i64 %chunk) {{
{loads}{_field(size)}  %each = load i64, ptr %p{size}{_EXTENTS[routine]}
  %first = mul i64 %chunk, %each
  %left = sub i64 %extent, %first
  %count = call i64 @llvm.umin.i64(i64 %each, i64 %left){part.format(float=LLVM_FLOAT[dtype])}
  call void @whole_{routine}_{dtype}({_operands(routine, dtype, others)})
  ret void
}}"""


def _field(i: int) -> str:
    return f"  %p{i} = getelementptr i64, ptr %context, i64 {i}\n"


_COMMON: Final = f"""
declare void @tapeless_split(ptr, ptr, i64)
declare i64 @llvm.umin.i64(i64, i64)
define internal i64 @panel_size(i64 %work, i64 %extent, i64 %grain) {{
  %shares = lshr i64 %work, %grain
  %even = and i64 %shares, -2
  %narrow = lshr i64 %extent, 5
  %broad = lshr i64 %extent, 7
  %several = call i64 @llvm.umax.i64(i64 %broad, i64 2)
  %fitting = call i64 @llvm.umin.i64(i64 %narrow, i64 %several)
  %worth = call i64 @llvm.umin.i64(i64 %even, i64 %fitting)
  %few = call i64 @llvm.umin.i64(i64 %worth, i64 {MOST_PANELS})
  %count = call i64 @llvm.umax.i64(i64 %few, i64 1)
  %covering = add i64 %extent, %count
  %last = sub i64 %covering, 1
  %each = udiv i64 %last, %count
  %more = add i64 %each, {UNIT - 1}
  %size = and i64 %more, -{UNIT}
  %positive = call i64 @llvm.umax.i64(i64 %size, i64 {UNIT})
  ret i64 %positive
}}"""
