"""Regions: a `fused` node runs its body graph as one loop nest."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..evaluate import evaluate
from ..op import REQUIRED, Attrs, Op, define
from ..types import Type


def _fused_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    body = attrs["body"]
    expected = tuple(v.type for v in body.inputs)
    if types != expected:
        raise ShapeError(f"fused: the body takes {expected}, the operands are {types}")
    return tuple(v.type for v in body.outputs)


def _evaluate(*arrays: Any, body: Any) -> Any:
    outputs, _ = evaluate(body, arrays)
    return outputs


define(
    Op(
        "fused",
        "fused",
        _fused_type,
        _evaluate,
        "the body graph on the operands, as one kernel. Made by fusion, after every derivative "
        "exists",
        attrs={"body": REQUIRED},
    )
)
