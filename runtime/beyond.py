"""Arguments too large for a vector function: the platform's, called number by number.

    value = tapeless.within.sin_f64(x, value)       in a loop, of vectors if all goes well

The function returns `value` where |x| <= limit and the platform's sin(x) beyond. It has variants
for vectors, named in an attribute by which LLVM's loop vectoriser finds them: they look at all
elements at once, so that the platform's function costs nothing where no element needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from .builder import KEPT, float_literal, llvm_type, quoted

WIDTHS: Final = {"f32": (4, 8, 16), "f64": (2, 4, 8)}
"""Elements of vectors, from those of 128 bits to those of 512."""


_PURE: Final = "nounwind willreturn memory(none)"


def symbol(name: str, dtype: str, lanes: int = 0) -> str:
    """The function for one element, or for a vector."""
    return f"{KEPT}{name}_{dtype}.{lanes}" if lanes else f"tapeless.within.{name}_{dtype}"


@cache
def definitions(name: str, dtype: str, limit: float) -> Mapping[str, str]:
    """LLVM text of the function and its variants, by symbol."""
    bound = float_literal(limit, dtype)
    variants = {w: symbol(name, dtype, w) for w in WIDTHS[dtype]}
    found = {symbol(name, dtype): _scalar(name, dtype, bound, variants)}
    kind = llvm_type(dtype)
    found |= _declared(kind, f"llvm.fabs.{dtype}", kind)
    found |= _declared(kind, f"llvm.{name}.{dtype}", kind)
    for width, variant in variants.items():
        vector = f"<{width} x {kind}>"
        found[variant] = _vector(symbol(name, dtype), variant, width, dtype, bound)
        found |= _declared(vector, f"llvm.fabs.v{width}{dtype}", vector)
        found |= _declared("i1", f"llvm.vector.reduce.or.v{width}i1", f"<{width} x i1>")
    return found


def _declared(result: str, intrinsic: str, operand: str) -> dict[str, str]:
    return {intrinsic: f"declare {result} @{quoted(intrinsic)}({operand})"}


def _scalar(name: str, dtype: str, bound: str, variants: Mapping[int, str]) -> str:
    kind, own = llvm_type(dtype), symbol(name, dtype)
    mangled = ",".join(f"_ZGV_LLVM_M{width}vv_{own}({v})" for width, v in variants.items())
    head = f"define internal {kind} @{quoted(own)}({kind} %x, {kind} %value)"
    return f"""{head} noinline {_PURE} "vector-function-abi-variant"="{mangled}" {{
  %size = call {kind} @llvm.fabs.{dtype}({kind} %x)
  %far = fcmp ogt {kind} %size, {bound}
  br i1 %far, label %beyond, label %within
beyond:
  %exact = call {kind} @llvm.{name}.{dtype}({kind} %x)
  ret {kind} %exact
within:
  ret {kind} %value
}}
"""


def _vector(scalar: str, variant: str, width: int, dtype: str, bound: str) -> str:
    """The last operand says which elements there are; the others may be anything."""
    kind = llvm_type(dtype)
    vector, mask, suffix = f"<{width} x {kind}>", f"<{width} x i1>", f"v{width}{dtype}"
    operands = f"{vector} %given, {vector} %value, {mask} %there"
    return f"""define internal {vector} @{quoted(variant)}({operands}) {_PURE} {{
start:
  %x = freeze {vector} %given
  %size = call {vector} @llvm.fabs.{suffix}({vector} %x)
  %far = fcmp ogt {vector} %size, splat ({kind} {bound})
  %wanted = select {mask} %there, {mask} %far, {mask} zeroinitializer
  %any = call i1 @llvm.vector.reduce.or.v{width}i1({mask} %wanted)
  br i1 %any, label %beyond, label %within
beyond:
  %k = phi i32 [ 0, %start ], [ %next, %beyond ]
  %old = phi {vector} [ %value, %start ], [ %new, %beyond ]
  %one = extractelement {vector} %x, i32 %k
  %own = extractelement {vector} %old, i32 %k
  %exact = call {kind} @{quoted(scalar)}({kind} %one, {kind} %own)
  %new = insertelement {vector} %old, {kind} %exact, i32 %k
  %next = add i32 %k, 1
  %more = icmp ult i32 %next, {width}
  br i1 %more, label %beyond, label %within
within:
  %result = phi {vector} [ %value, %start ], [ %new, %beyond ]
  ret {vector} %result
}}
"""
