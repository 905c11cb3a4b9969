"""Constant folding: compute at compile time what depends on no input.

    %a:f64[2] = constant [1.0, 2.0]
    %b:f64[2] = mul %a, 3.0
=>
    %b:f64[2] = constant [3.0, 6.0]

Tensors of equal elements stay scalars that are broadcast, and nothing larger than `LIMIT` elements
is made: constants are part of the program. The values are those of the interpreter.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from ..ir.errors import RUN_TIME_ERRORS
from ..ir.evaluate import run_node
from ..ir.graph import Value
from .rewriting.rules import Rule, RulePass, Site, rule

LIMIT = 65536
"""The most elements a folded constant may have."""


@rule(below=("constant",))
def evaluate_constants(site: Site) -> Value | None:
    """f(constants) = constant"""
    node = site.node
    nodes = [site.producer(v, "constant") for v in node.operands]
    if not nodes or None in nodes or len(node.results) != 1 or node.op.name == "broadcast":
        return None
    if site.result.type.size > LIMIT or node.op.kind in ("autodiff", "fused"):
        return None
    return _evaluated(site, [n.attrs["value"] for n in nodes if n is not None])


@rule("reshape", "transpose", "broadcast", "slice", "windows")
def move_equal_elements(site: Site) -> Value | None:
    """move(tensor of equal elements) = broadcast(element)"""
    number = site.uniform(site.operands[0])
    is_canonical = site.node.op.name == "broadcast" and site.producer(site.operands[0], "constant")
    if number is None or is_canonical:
        return None
    return site.b.constant(number)


@rule("constant")
def equal_elements(site: Site) -> Value | None:
    """constant [v, v, ..] = broadcast(v)"""
    value = site.node.attrs["value"]
    first = value.reshape(-1)[:1]
    if value.shape == () or value.size == 0 or value.tobytes() != first.tobytes() * value.size:
        return None
    return site.b.constant(first[0])


def _evaluated(site: Site, arrays: list[np.ndarray]) -> Value | None:
    """The node's value on these arrays; None if running it is what raises."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (value,) = run_node(site.node, arrays)
        except RUN_TIME_ERRORS:
            return None
    return site.b.constant(value)


RULES: Final[tuple[Rule, ...]] = (evaluate_constants, move_equal_elements, equal_elements)

fold: Final = RulePass("fold", RULES)
