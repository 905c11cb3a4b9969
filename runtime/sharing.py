"""Calls of elementary functions that are not made part of their caller.

    %y = call float @tapeless.shared.exp_f32(float %x)          in a loop, which LLVM vectorises
    %y = call <16 x float> @tapeless.vector.shared.exp_f32.16(<16 x float> %x)

Inlined, a function of `runtime/vecmath.py` is some thirty instructions for each use and each form
of a loop, and compile time goes with them. Where there are many of them the call costs less than
that is worth. Its convention is LLVM's for the built-in functions of OpenCL, which keeps half of
the vector registers across the call. The functions themselves: `runtime/functions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from .builder import Builder, Value, llvm_type, quoted
from .functions import SHARED, function_symbol, lane_counts
from .kernel import arity

CONVENTION: Final = "intel_ocl_bicc"
_PURE: Final = "nounwind willreturn memory(none) speculatable"
_DECLARED: Final = re.compile(rf'declare {CONVENTION} \w+ @"?{SHARED}(\w+)"?\(')


def call_shared(op: str, b: Builder, operands: Sequence[Value]) -> Value:
    """Call a function where it lies; LLVM may call its vector forms instead."""
    dtype = operands[0].kind
    b.symbols |= _declarations(op, dtype)
    return call_form(b, function_symbol(op, dtype, operands[0].lanes), operands)


def call_form(b: Builder, symbol: str, operands: Sequence[Value]) -> Value:
    """Call one form of a function."""
    kind, lanes = operands[0].kind, operands[0].lanes
    given = ", ".join(x.typed for x in operands)
    text = f"call {CONVENTION} {llvm_type(kind, lanes)} @{quoted(symbol)}({given})"
    return b.instruction(kind, text, lanes)


@cache
def _declarations(op: str, dtype: str) -> Mapping[str, str]:
    """Those of a function and its vector forms, by symbol. The attribute that names the forms is
    the vector function ABI's; `_LLVM_N16v` is one of 16 lanes, without a mask."""
    name = function_symbol(op, dtype)
    counts = lane_counts(dtype)
    forms = ",".join(
        f"_ZGV_LLVM_N{lanes}{'v' * arity(op)}_{name}({function_symbol(op, dtype, lanes)})"
        for lanes in counts
    )
    mapping = f'"vector-function-abi-variant"="{forms}"'
    declared = {name: f"{_declare(op, dtype, 0)} {mapping}"}
    return declared | {function_symbol(op, dtype, n): _declare(op, dtype, n) for n in counts}


def _declare(op: str, dtype: str, lanes: int) -> str:
    kind = llvm_type(dtype, lanes)
    kinds, symbol = ", ".join([kind] * arity(op)), function_symbol(op, dtype, lanes)
    return f"declare {CONVENTION} {kind} @{quoted(symbol)}({kinds}) {_PURE}"


def shared_functions(text: str) -> tuple[str, ...]:
    """The functions, such as "exp_f32", that LLVM text calls where they lie."""
    return tuple(dict.fromkeys(_DECLARED.findall(text)))
