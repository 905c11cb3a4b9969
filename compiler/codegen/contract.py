"""Contractions: `dot` and `dot_acc`.

A spec whose letters form a matrix product becomes one call of a routine (`gemm`, or `gemv` when
one side is a vector), one per batch element when it has batch letters, or a kernel that calls it
block by block when the sum is long (`blocked.py`). Outer products, small ones and specs of any
other shape become loops: the nest that a multiplication and a sum would be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ...ir.arrange import as_region
from ...ir.builder import Builder
from ...ir.dotspec import DotSpec, parse_spec
from ...ir.graph import Graph, Node, Value
from ...ir.ops.constant import scalar_constant
from ...ir.ops.dot import letter_extents
from ...ir.types import dtype_name
from .blocked import Matmul, blocks, emit_blocked
from .kernel import literal
from .module import Module, place_of
from .regions import copy_all, emit

SMALL: Final = 4096
"""Products with fewer multiplications than this are loops of our own: a BLAS call costs more."""

MAX_BATCH: Final = 64
"""Most routine calls one contraction may become."""


def emit_dot(module: Module, graph: Graph, node: Node) -> None:
    """The code of a `dot` or `dot_acc`."""
    accumulate = node.op.name == "dot_acc"
    x, y = node.operands[1:3] if accumulate else node.operands
    extents = letter_extents(node.attrs["spec"], (x.type, y.type))
    product = as_matmul(parse_spec(node.attrs["spec"]), extents)
    work = math.prod(extents.values())
    if product is None or work < SMALL or not x.type.is_float:
        _emit_loops(module, graph, node, extents)
    else:
        _emit_routine(module, graph, node, product)


def as_matmul(spec: DotSpec, extents: Mapping[str, int]) -> Matmul | None:
    """The matrix product a contraction is, or None. Letters of extent 1 do not matter."""

    def real(letters: str) -> str:
        return "".join(c for c in letters if extents[c] != 1)

    lhs, rhs, out = real(spec.lhs), real(spec.rhs), real(spec.out)
    batch, left, right, summed = map(real, (spec.batch, spec.left, spec.right, spec.summed))
    if not (lhs.startswith(batch) and rhs.startswith(batch) and out.startswith(batch)):
        return None
    lhs, rhs, out = (text[len(batch) :] for text in (lhs, rhs, out))
    if out not in (left + right, right + left):
        return None
    swap = out != left + right
    ta, tb = lhs != left + summed, rhs != summed + right
    if (ta and lhs != summed + left) or (tb and rhs != right + summed):
        return None

    def size(letters: str) -> int:
        return math.prod(extents[c] for c in letters)

    if not summed or size(batch) > MAX_BATCH:
        return None
    return Matmul(size(batch), size(left), size(right), size(summed), ta, tb, swap)


def _emit_routine(module: Module, graph: Graph, node: Node, p: Matmul) -> None:
    accumulate = node.op.name == "dot_acc"
    x, y = node.operands[1:3] if accumulate else node.operands
    scale = node.operands[3] if accumulate else None
    if accumulate:
        copy_all(module, node, node.operands[0])
    if blocks(p, node.result.type.dtype) > 1:
        known = None if scale is None else _number(graph, scale)
        emit_blocked(module, node, p, (x, y), known or scale)
        return
    alpha, beta = ("1.0", "0.0") if scale is None else (_scalar(module, graph, scale), "1.0")
    sizes = p.m * p.k, p.k * p.n, p.m * p.n
    steps = list(zip(map(module.value, (x, y, node.result)), sizes, strict=True))
    for i in range(p.batch):
        a, b, c = (text if i == 0 else f"at({text}, {i * size})" for text, size in steps)
        routine, arguments = p.call(p.k, alpha, a, b, beta, c)
        module.routine(node, f"{routine}_{dtype_name(node.result.type.dtype)}", *arguments)


def _scalar(module: Module, graph: Graph, value: Value) -> str:
    """A number for a routine: a literal, or loaded when the step runs."""
    return _number(graph, value) or f"{module.value(value)}[0]"


def _number(graph: Graph, value: Value) -> str | None:
    """The literal of a value known now."""
    known = scalar_constant(graph.producer, value)
    if known is None:
        return None
    return literal(float(known), value.type.dtype).partition("(")[2][:-1]


def _emit_loops(module: Module, graph: Graph, node: Node, extents: Mapping[str, int]) -> None:
    body = product_body(node, extents)
    places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
    places[body.outputs[0]] = place_of(node.result)
    region = as_region(body)
    assert region is not None, "a product and a sum are a region"
    emit(module, node, region, places)


def product_body(node: Node, extents: Mapping[str, int]) -> Graph:
    """The contraction as a multiplication and a sum, its letters ordered for the loops: those of
    the result outside, the summed ones inside, unless the result's last letter runs through
    memory in the right operand too: then the sum goes around it and whole rows are added."""
    spec = parse_spec(node.attrs["spec"])
    accumulate = node.op.name == "dot_acc"
    b = Builder()
    inputs = tuple(Value(v.type) for v in node.operands)
    x, y = inputs[1:3] if accumulate else inputs
    order = spec.out + spec.summed
    last = spec.out[-1:]
    rows = last and (spec.rhs.endswith(last) or spec.lhs.endswith(last)) and spec.summed
    if rows and not accumulate and not _summed_is_contiguous(spec):
        order = spec.out[:-1] + spec.summed + last
    product = b.mul(_aligned(b, x, spec.lhs, order), _aligned(b, y, spec.rhs, order))
    axes = tuple(k for k, c in enumerate(order) if c in spec.summed)
    if axes:
        product = b.sum(product, axes=axes)
    if accumulate:
        product = b.add(inputs[0], b.mul(product, inputs[3]))
    return Graph("dot", inputs, tuple(b.nodes), (product,))


def _summed_is_contiguous(spec: DotSpec) -> bool:
    return spec.lhs[-1:] in spec.summed and spec.rhs[-1:] in spec.summed


def _aligned(b: Builder, value: Value, letters: str, order: str) -> Value:
    """The operand with its axes in the given order and extent 1 where it lacks a letter."""
    perm = tuple(letters.index(c) for c in order if c in letters)
    if perm != tuple(range(len(perm))):
        value = b.transpose(value, perm=perm)
    shape = iter(value.shape)
    full = tuple(next(shape) if c in letters else 1 for c in order)
    return value if full == value.shape else b.reshape(value, shape=full)
