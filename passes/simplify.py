"""Algebraic simplification: the rules of arithmetic, logic, powers, moves, reductions and indexing,
and those of constant folding, for the numbers that they bring together.

    %t:f64[3,4] = transpose %x [perm=(1,0)]
    %u:f64[4,3] = transpose %t [perm=(1,0)]
    %v:f64[4,3] = mul %u, -1.0
    %y:f64[4,3] = add %z, %v
=>
    %y:f64[4,3] = sub %z, %x
"""

from __future__ import annotations

from typing import Final

from . import fold
from .rewriting import arithmetic, indexing, logic, movement, powers, reductions, runs, windows
from .rewriting.rules import RulePass

simplify: Final = RulePass(
    "simplify",
    (
        *fold.RULES,
        *arithmetic.RULES,
        *powers.RULES,
        *logic.RULES,
        *movement.RULES,
        *reductions.RULES,
        *indexing.RULES,
        *runs.RULES,
        *windows.RULES,
    ),
)
