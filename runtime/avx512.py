"""What AVX-512 does in one instruction, and arithmetic in five to ten.

    k = tapeless.avx512.exponent.f32(x)     in a loop, of vectors once that is vectorised

Each is a function of numbers; its variants for vectors, named in an attribute by which LLVM's loop
vectoriser finds them, become part of the loop. All forms are the same instruction, so that an
element has the same bits wherever it stands.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from .beyond import WIDTHS
from .builder import BITS, KEPT, float_literal, llvm_type, quoted
from .lanes import Table

INTRINSICS: Final = {
    "exponent": ("getexp", 1, ()),
    "mantissa": ("getmant", 1, ("i32 12",)),
    "balanced": ("getmant", 1, ("i32 11",)),
    "magnitude": ("getmant", 1, ("i32 4",)),
    "scale": ("scalef", 2, ()),
}  # fmt: skip
"""LLVM's name, the number of operands, and what else it is told.

exponent(x)     floor(log2|x|), also of a subnormal number; -inf of 0, inf of infinity
mantissa(x)     x / 2**exponent(x), from 1 to 2; 1 of 0 and infinity, NaN below 0
balanced(x)     that, halved from 3/2 on: from 3/4 to 3/2
magnitude(x)    mantissa(|x|)
scale(x, n)     x * 2**n for a whole n of any size, with a single rounding
"""

LETTER: Final = {"f32": "s", "f64": "d"}

_PURE: Final = "nounwind willreturn memory(none) speculatable"


def symbol(name: str, dtype: str, lanes: int = 0) -> str:
    """The function of numbers, or of vectors."""
    return f"{KEPT}{name}_{dtype}.{lanes}" if lanes else f"tapeless.avx512.{name}.{dtype}"


@cache
def definitions(name: str, dtype: str, lanes: int = 0) -> Mapping[str, str]:
    """LLVM text of a function and its variants, and what they need, by symbol; or of the variant
    for vectors of so many elements."""
    if lanes:
        return _vector(name, dtype, lanes)
    found = _scalar(name, dtype)
    for lanes in WIDTHS[dtype]:
        found |= _vector(name, dtype, lanes)
    return found


def _scalar(name: str, dtype: str) -> dict[str, str]:
    """By the instruction for the first elements of vectors; one of a single operand takes it in the
    second, and in the first what the other elements shall be."""
    verb, arity, mode = INTRINSICS[name]
    own, kind, lanes = symbol(name, dtype), llvm_type(dtype), 128 // BITS[dtype]
    vector = f"<{lanes} x {kind}>"
    put = [
        f"  %v{i} = insertelement {vector} zeroinitializer, {kind} %x{i}, i32 0"
        for i in range(arity)
    ]
    taken = [f"{vector} %v0", f"{vector} %v{arity - 1}"]
    operands = [*taken, *mode, f"{vector} zeroinitializer", "i8 -1", "i32 4"]
    intrinsic = f"llvm.x86.avx512.mask.{verb}.s{LETTER[dtype]}"
    forms = ",".join(
        f"_ZGV_LLVM_N{n}{'v' * arity}_{own}({symbol(name, dtype, n)})" for n in WIDTHS[dtype]
    )
    head = f"{kind} @{quoted(own)}({', '.join(f'{kind} %x{i}' for i in range(arity))})"
    text = f"""define internal {head} noinline {_PURE} "vector-function-abi-variant"="{forms}" {{
{chr(10).join(put)}
  %found = call {vector} @{intrinsic}({", ".join(operands)})
  %x = extractelement {vector} %found, i32 0
  ret {kind} %x
}}
"""
    return _declared(intrinsic, vector, operands) | {own: text}


def _vector(name: str, dtype: str, lanes: int) -> dict[str, str]:
    verb, arity, mode = INTRINSICS[name]
    own, kind = symbol(name, dtype, lanes), llvm_type(dtype)
    vector, bits = f"<{lanes} x {kind}>", lanes * BITS[dtype]
    given = [f"{vector} %x{i}" for i in range(arity)]
    operands = [*given, *mode, f"{vector} zeroinitializer", f"i{max(lanes, 8)} -1"]
    if bits == 512:
        operands.append("i32 4")  # no rounding mode of its own
    intrinsic = f"llvm.x86.avx512.mask.{verb}.p{LETTER[dtype]}.{bits}"
    text = f"""define internal {vector} @{quoted(own)}({", ".join(given)}) alwaysinline {_PURE} {{
  %x = call {vector} @{intrinsic}({", ".join(operands)})
  ret {vector} %x
}}
"""
    return _declared(intrinsic, vector, operands) | {own: text}


def _declared(intrinsic: str, result: str, operands: list[str]) -> dict[str, str]:
    kinds = ", ".join(_kind(x) for x in operands)
    return {intrinsic: f"declare {result} @{intrinsic}({kinds})"}


def _kind(operand: str) -> str:
    """The type of a typed operand, a number among which must be a literal."""
    kind = operand.rpartition(" ")[0]
    return f"{kind} immarg" if kind == "i32" else kind


def table_symbol(table: Table, dtype: str, lanes: int = 0) -> str:
    """The function that looks numbers up in a table."""
    name = f"table{zlib.crc32(repr(table).encode())}"
    return f"{KEPT}{name}_{dtype}.{lanes}" if lanes else f"tapeless.{name}.{dtype}"


def table_numbers(table: Table, dtype: str) -> Mapping[str, str]:
    """The numbers in memory, for any processor, under the function's symbol and `.numbers`."""
    name = f"{table_symbol(table, dtype)}.numbers"
    array = f"[{len(table)} x {llvm_type(dtype)}] [{_literals(table, dtype)}]"
    return {name: f"@{quoted(name)} = internal constant {array}"}


@cache
def table_definitions(table: Table, dtype: str, lanes: int = 0) -> Mapping[str, str]:
    """LLVM text of the function, which reads the numbers, and of its variants, by symbol; or of
    the variant for vectors of so many elements."""
    if lanes:
        return _table_vector(table, dtype, lanes)
    own, kind, integer = table_symbol(table, dtype), llvm_type(dtype), f"i{BITS[dtype]}"
    forms = ",".join(
        f"_ZGV_LLVM_N{n}v_{own}({table_symbol(table, dtype, n)})" for n in WIDTHS[dtype]
    )
    text = f"""define internal {kind} @{quoted(own)}({integer} %i) noinline {_PURE} \
"vector-function-abi-variant"="{forms}" {{
  %k = and {integer} %i, {len(table) - 1}
  %place = getelementptr {kind}, ptr @{quoted(f"{own}.numbers")}, {integer} %k
  %x = load {kind}, ptr %place
  ret {kind} %x
}}
"""
    found = {own: text}
    for lanes in WIDTHS[dtype]:
        found |= _table_vector(table, dtype, lanes)
    return found


def _table_vector(table: Table, dtype: str, lanes: int) -> dict[str, str]:
    """By a permutation of one or two registers, the widest there are."""
    own, kind, integer = table_symbol(table, dtype, lanes), llvm_type(dtype), f"i{BITS[dtype]}"
    width = 512 // BITS[dtype]
    parts = [
        f"<{width} x {kind}> <{_literals(table[k : k + width], dtype)}>"
        for k in range(0, len(table), width)
    ]
    whole = ", ".join(f"i32 {min(k, lanes)}" for k in range(width))
    some = ", ".join(f"i32 {k}" for k in range(lanes))
    index, vector = f"<{lanes} x {integer}>", f"<{width} x {kind}>"
    operands = [parts[0], f"<{width} x {integer}> %k", *parts[1:]]
    suffix = f"{LETTER[dtype]}{'.512' if parts[1:] else 'f.512'}"
    intrinsic = f"llvm.x86.avx512.{'vpermi2var.p' if parts[1:] else 'permvar.'}{suffix}"
    head = f"<{lanes} x {kind}> @{quoted(own)}({index} %i)"
    text = f"""define internal {head} alwaysinline {_PURE} {{
  %k = shufflevector {index} %i, {index} zeroinitializer, <{width} x i32> <{whole}>
  %v = call {vector} @{intrinsic}({", ".join(operands)})
  %x = shufflevector {vector} %v, {vector} zeroinitializer, <{lanes} x i32> <{some}>
  ret <{lanes} x {kind}> %x
}}
"""
    declared = [f"{vector} %v", f"<{width} x {integer}> %k", f"{vector} %v"][: len(operands)]
    return _declared(intrinsic, vector, declared) | {own: text}


def _literals(numbers: Table, dtype: str) -> str:
    return ", ".join(f"{llvm_type(dtype)} {float_literal(x, dtype)}" for x in numbers)
