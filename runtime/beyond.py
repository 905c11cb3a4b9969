"""Arguments too large for a vector function: the platform's, called number by number.

    value = tapeless.within.sin_f64(size, x, value)     in a loop, of vectors if all goes well

The function returns `value` where |size| <= limit and the platform's sin(x) beyond. It has variants
for vectors, named in an attribute by which LLVM's loop vectoriser finds them: they look at all
elements at once, so that the platform's function costs nothing where no element needs it, and
become part of the loop once it is vectorised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from ..ir.record import dataclass
from .builder import KEPT, float_literal, llvm_type, quoted

WIDTHS: Final = {"f32": (4, 8, 16), "f64": (2, 4, 8)}
"""Elements of vectors, from those of 128 bits to those of 512."""

_PURE: Final = "nounwind willreturn memory(none)"


def symbol(name: str, dtype: str, lanes: int = 0) -> str:
    """The function for one element, or for a vector."""
    return f"{KEPT}{name}_{dtype}.{lanes}" if lanes else f"tapeless.within.{name}_{dtype}"


@cache
def definitions(
    name: str, dtype: str, limit: float, arity: int, lanes: int = 0
) -> Mapping[str, str]:
    """LLVM text of the function and its variants, or of that for vectors of so many elements, by
    symbol; `arity` is that of the platform's."""
    f = _Function(name, dtype, float_literal(limit, dtype), arity)
    kind = llvm_type(dtype)
    found = {symbol(name, dtype): f.scalar()} | _declared(kind, f"llvm.fabs.{dtype}", kind)
    if name != "fmod":
        found |= _declared(kind, f"llvm.{name}.{dtype}", kind)
    for width in (lanes,) if lanes else WIDTHS[dtype]:
        vector = f"<{width} x {kind}>"
        found[symbol(name, dtype, width)] = f.vector(width)
        found |= _declared(vector, f"llvm.fabs.v{width}{dtype}", vector)
        found |= _declared("i1", f"llvm.vector.reduce.or.v{width}i1", f"<{width} x i1>")
    return found


def _declared(result: str, intrinsic: str, operand: str) -> dict[str, str]:
    return {intrinsic: f"declare {result} @{quoted(intrinsic)}({operand})"}


@dataclass(frozen=True)
class _Function:
    name: str
    dtype: str
    bound: str
    arity: int

    def scalar(self) -> str:
        kind, own = llvm_type(self.dtype), symbol(self.name, self.dtype)
        variants = {w: symbol(self.name, self.dtype, w) for w in WIDTHS[self.dtype]}
        letters = "v" * (self.arity + 2)
        mangled = ",".join(f"_ZGV_LLVM_M{w}{letters}_{own}({v})" for w, v in variants.items())
        xs = ", ".join(f"{kind} %x{k}" for k in range(self.arity))
        head = f"define internal {kind} @{quoted(own)}({kind} %size, {xs}, {kind} %value)"
        called = f"call {kind} @llvm.{self.name}.{self.dtype}({xs})"
        return f"""{head} noinline {_PURE} "vector-function-abi-variant"="{mangled}" {{
  %absolute = call {kind} @llvm.fabs.{self.dtype}({kind} %size)
  %far = fcmp ogt {kind} %absolute, {self.bound}
  br i1 %far, label %beyond, label %within
beyond:
  %exact = {f"frem {kind} %x0, %x1" if self.name == "fmod" else called}
  ret {kind} %exact
within:
  ret {kind} %value
}}
"""

    def vector(self, width: int) -> str:
        """The last operand says which elements there are; the others may be anything."""
        kind, own = llvm_type(self.dtype), symbol(self.name, self.dtype, width)
        vector, mask = f"<{width} x {kind}>", f"<{width} x i1>"
        names = ["size", *(f"x{k}" for k in range(self.arity)), "value"]
        given = ", ".join(f"{vector} %{x}.given" for x in names)
        frozen = [f"  %{x} = freeze {vector} %{x}.given" for x in names]
        taken = ", ".join(f"{vector} %{x}" for x in names)
        far = quoted(own.removeprefix(KEPT) + ".far")
        head = f"@{quoted(own)}({given}, {mask} %there)"
        return f"""define internal {vector} {head} alwaysinline {_PURE} {{
start:
{chr(10).join(frozen)}
  %absolute = call {vector} @llvm.fabs.v{width}{self.dtype}({vector} %size)
  %far = fcmp ogt {vector} %absolute, splat ({kind} {self.bound})
  %wanted = select {mask} %there, {mask} %far, {mask} zeroinitializer
  %any = call i1 @llvm.vector.reduce.or.v{width}i1({mask} %wanted)
  br i1 %any, label %beyond, label %within, !prof !{{!"branch_weights", i32 1, i32 1000}}
beyond:
  %exact = call {vector} @{far}({taken})
  br label %within
within:
  %result = phi {vector} [ %value, %start ], [ %exact, %beyond ]
  ret {vector} %result
}}
{self._one_by_one(far, width, names)}"""

    def _one_by_one(self, own: str, width: int, names: Sequence[str]) -> str:
        """The scalar function of each element of a vector."""
        kind, scalar = llvm_type(self.dtype), quoted(symbol(self.name, self.dtype))
        vector = f"<{width} x {kind}>"
        kept = [f"  %{x}.all = alloca {vector}\n  store {vector} %{x}, ptr %{x}.all" for x in names]
        parts = [
            f"  %{x}.at = getelementptr {kind}, ptr %{x}.all, i32 %k\n"
            f"  %{x}.k = load {kind}, ptr %{x}.at"
            for x in names
        ]
        one = ", ".join(f"{kind} %{x}.k" for x in names)
        taken = ", ".join(f"{vector} %{x}" for x in names)
        return f"""define internal {vector} @{own}({taken}) noinline cold {_PURE} {{
start:
{chr(10).join(kept)}
  br label %next
next:
  %k = phi i32 [ 0, %start ], [ %after, %next ]
{chr(10).join(parts)}
  %exact = call {kind} @{scalar}({one})
  store {kind} %exact, ptr %value.at
  %after = add i32 %k, 1
  %more = icmp ult i32 %after, {width}
  br i1 %more, label %next, label %done
done:
  %new = load {vector}, ptr %value.all
  ret {vector} %new
}}
"""
