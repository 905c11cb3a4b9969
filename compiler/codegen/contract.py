"""Contractions: `dot` and `dot_acc`.

A spec whose letters form a matrix product becomes one call of a routine (`gemm`, or `gemv` when
one side is a vector), or a kernel that calls it in loops when letters stand around the product or
the sum is long (`blocked.py`). Outer products, small ones and specs of any other shape become
loops: the nest that a multiplication and a sum would be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, reduce
from itertools import product
from typing import Final

from ...ir.arrange import as_region
from ...ir.builder import Builder
from ...ir.dotspec import DotSpec, parse_spec
from ...ir.graph import Graph, Node, Value
from ...ir.matmul import SMALL, SMALL_BATCH, Matmul, as_matmul
from ...ir.op import Op
from ...ir.ops.constant import scalar_constant
from ...ir.ops.dot import letter_extents
from ...ir.ops.move import full_slice
from ...ir.types import Type, dtype_name
from .blocked import emit_looped, longest_sum, product_call
from .kernel import CHUNK, literal
from .module import Module, place_of
from .paneled import choose_panels, emit_panels
from .regions import copy_all, emit
from .unrolling import MANY, SHORT_NEST, SHORT_ROW

SHORT_SUM: Final = 8
"""Products that are written out, in many small matrix products."""

LEAST_ROW: Final = 4
"""Numbers in a row of such a product, which are a vector."""

LARGE_MATRIX: Final = 2**21
"""Bytes from which on the update of a matrix by two vectors is split: the products of a smaller one
with a vector are not (`runtime/panels.py`), and two processors would take it from each other."""


def emit_dot(module: Module, graph: Graph, node: Node) -> None:
    """The code of a `dot` or `dot_acc`."""
    found = _product(node)
    if found is None:
        _emit_loops(module, graph, node)
    else:
        _emit_routine(module, graph, node, found)


def _operands(node: Node) -> tuple[Value, Value]:
    """What is multiplied."""
    x, y = node.operands[1:3] if node.op.name == "dot_acc" else node.operands
    return x, y


def _product(node: Node) -> Matmul | None:
    """The matrix product that a contraction is, None if it runs as loops."""
    x, y = _operands(node)
    return _product_of(node.op.name, node.attrs["spec"], x.type, y.type)


@lru_cache(256)
def _product_of(name: str, letters: str, x: Type, y: Type) -> Matmul | None:
    extents = letter_extents(letters, [x, y])
    spec = parse_spec(letters)
    found = as_matmul(spec, extents)
    if found is None or not x.is_float or _is_awkward(found, x):
        return None
    if found.m == found.n == 1:  # sums, which loops make faster and more exactly
        return None
    work = math.prod(extents.values())
    if name == "dot" and is_short_sum(spec, extents):
        return None
    return None if work < (SMALL_BATCH if found.loops else SMALL) else found


def routine_product(node: Node) -> Matmul | None:
    """The product that a contraction is one call of a routine for."""
    p = _product(node)
    called = p is not None and not p.loops and p.length <= longest_sum(p, node.result.type.dtype)
    return p if called else None


def loops_of_product(node: Node) -> Graph | None:
    """The contraction as the loops it runs as, None if it does not, or runs as a whole."""
    if _product(node) is not None or _stays_whole(node):
        return None
    return product_body(node, _extents(node))


def _extents(node: Node) -> dict[str, int]:
    return letter_extents(node.attrs["spec"], [v.type for v in _operands(node)])


def _stays_whole(node: Node) -> bool:
    """Whether it is a product of two vectors that makes a small matrix."""
    outer = math.prod(_extents(node).values()) == node.result.type.size
    return outer and node.result.type.nbytes < LARGE_MATRIX


def _is_awkward(p: Matmul, x: Type) -> bool:
    """A long sum is added up in parts as large as the result, whose rows then must not lie
    apart."""
    return p.strides[2] != p.dense[2] and p.length > longest_sum(p, x.dtype)


def _emit_routine(module: Module, graph: Graph, node: Node, p: Matmul) -> None:
    accumulate = node.op.name == "dot_acc"
    x, y = _operands(node)
    scale = node.operands[3] if accumulate else None
    if accumulate:
        copy_all(module, node, node.operands[0])
    if scale is None and (panels := choose_panels(p)) is not None:
        emit_panels(module, node, p, (x, y), panels)
        return
    if p.loops or p.length > longest_sum(p, node.result.type.dtype):
        known = None if scale is None else _number(graph, scale)
        emit_looped(module, node, p, (x, y), known or scale)
        return
    routine, arguments = _routine_call(module, graph, node, p)
    module.routine(node, routine, *arguments)


def _routine_call(
    module: Module, graph: Graph, node: Node, p: Matmul
) -> tuple[str, tuple[object, ...]]:
    """The routine that makes the product, and its arguments."""
    scale = node.operands[3] if node.op.name == "dot_acc" else None
    alpha, beta = ("1.0", "0.0") if scale is None else (_scalar(module, graph, scale), "1.0")
    a, b, c = map(module.value, (*_operands(node), node.result))
    routine, arguments = product_call(p, p.k, alpha, a, b, beta, c)
    return f"{routine}_{dtype_name(node.result.type.dtype)}", arguments


def emit_product_rows(module: Module, graph: Graph, node: Node, p: Matmul, rows: int) -> None:
    """So many rows of a product, those of the present chunk."""
    width = node.result.type.size // (p.n if p.swap else p.m)
    if node.op.name == "dot_acc" and place_of(node.operands[0]) != place_of(node.result):
        ends = (module.value(node.result), module.value(node.operands[0]))
        parts = (_part(end, rows * width) for end in ends)
        module.routine(node, "copy", *parts, rows * width)
    name, arguments = _routine_call(module, graph, node, p)
    if name.startswith("gemv"):
        turned, _, n, alpha, a, stride, x, beta, y = arguments
        a, y = _part(a, rows * int(str(stride))), _part(y, rows)
        module.routine(node, f"whole_{name}", turned, rows, n, alpha, a, stride, x, beta, y)
        return
    ta, tb, _, n, k, alpha, a, lda, b, ldb, beta, c, ldc = arguments
    a = _part(a, rows * (1 if ta else int(str(lda))))
    c = _part(c, rows * int(str(ldc)))
    given = (ta, tb, rows, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
    module.routine(node, f"whole_{name}", *given)


def _part(pointer: object, step: int) -> str:
    """Where the rows of the present chunk begin."""
    return f"at({pointer}, {CHUNK} * {step})"


def _scalar(module: Module, graph: Graph, value: Value) -> str:
    """A number for a routine: a literal, or loaded when the step runs."""
    return _number(graph, value) or f"{module.value(value)}[0]"


def _number(graph: Graph, value: Value) -> str | None:
    """The literal of a value known now; NaN has none."""
    known = scalar_constant(graph.producer, value)
    if known is None or known != known:
        return None
    return literal(float(known), value.type.dtype).partition("(")[2][:-1]


def _emit_loops(module: Module, graph: Graph, node: Node) -> None:
    body = _shared_body(node.op, node.attrs["spec"], tuple(v.type for v in node.operands))
    places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
    places[body.outputs[0]] = place_of(node.result)
    region = as_region(body)
    assert region is not None, "a product and a sum are a region"
    emit(module, node, region, places, whole=_stays_whole(node))


@lru_cache(256)
def _shared_body(op: Op, spec: str, types: tuple[Type, ...]) -> Graph:
    """The body of equal contractions, which is arranged once for all of them."""
    operands = tuple(map(Value, types))
    results = tuple(map(Value, op.infer(types, {"spec": spec})))
    node = Node(op, operands, results, {"spec": spec})
    return product_body(node, _extents(node))


def product_body(node: Node, extents: Mapping[str, int]) -> Graph:
    """The contraction as a multiplication and a sum, its letters ordered for the loops: those of
    the result outside, the summed ones inside, unless the result's last letter runs through
    memory in the right operand too: then the sum goes around it and whole rows are added."""
    spec = parse_spec(node.attrs["spec"])
    accumulate = node.op.name == "dot_acc"
    b = Builder()
    inputs = tuple(Value(v.type) for v in node.operands)
    x, y = inputs[1:3] if accumulate else inputs
    summed = "".join(c for c in extents if c not in spec.out)  # letters of one operand alone too
    order = spec.out + summed
    last = spec.out[-1:]
    rows = last and (spec.rhs.endswith(last) or spec.lhs.endswith(last)) and summed
    if rows and not accumulate and not _summed_is_contiguous(spec):
        order = spec.out[:-1] + summed + last
    if is_short_sum(spec, extents) and not accumulate:
        total = _sum_of_products(b, x, y, spec, extents)
        return Graph("dot", inputs, tuple(b.nodes), (total,))
    total = b.mul(_aligned(b, x, spec.lhs, order), _aligned(b, y, spec.rhs, order))
    axes = tuple(k for k, c in enumerate(order) if c in summed)
    if axes:
        total = b.sum(total, axes=axes)
    if accumulate:
        total = b.add(inputs[0], b.mul(total, inputs[3]))
    return Graph("dot", inputs, tuple(b.nodes), (total,))


def is_short_sum(spec: DotSpec, extents: Mapping[str, int]) -> bool:
    """Whether there are many small products whose sums are so short that they are written out: then
    nothing but their result is stored."""
    count = math.prod(extents[c] for c in spec.summed)
    column = spec.out[-1:]
    inner = math.prod(extents[c] for c in (spec.left + spec.right) if c in spec.out)
    alone = set(spec.lhs + spec.rhs) == {*spec.out, *spec.summed}
    beside = spec.rhs.endswith(column) != spec.lhs.endswith(column)
    return (
        1 < count <= SHORT_SUM
        and LEAST_ROW <= extents.get(column, 1) <= SHORT_ROW
        and inner <= SHORT_NEST
        and math.prod(extents[c] for c in spec.out) >= MANY * inner
        and alone
        and beside
    )


def _sum_of_products(
    b: Builder, x: Value, y: Value, spec: DotSpec, extents: Mapping[str, int]
) -> Value:
    """The sum written out, one product after another."""
    order = spec.out + spec.summed
    x, y = _aligned(b, x, spec.lhs, order), _aligned(b, y, spec.rhs, order)
    terms = []
    for place in product(*(range(extents[c]) for c in spec.summed)):
        parts = []
        for value in (x, y):
            outer = value.shape[: len(spec.out)]
            cut = [*map(full_slice, outer), *((k, k + 1, 1) for k in place)]
            parts.append(b.reshape(b.slice(value, spec=tuple(cut)), shape=outer))
        terms.append(b.mul(*parts))
    return reduce(b.add, terms)


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
