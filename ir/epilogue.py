"""A matrix product and what is computed from its result element by element, as one node.

    %m1:f32[784,512], %W1:f32[784,512] = fused %x, %g, %m, %W body(..) {
      %d = matmul %x, %g [ta]                   the product
      %s = mul %m, 0.9                          the epilogue: every array as large as the result is
      %m1 = add %s, %d                          read and written at the index of the result alone
      %W1 = sub %W, %m1
    } -> %m1, %W1

The result of the product is nowhere as a whole: some of its rows are made, and used up.
"""

from __future__ import annotations

from .arrange import as_region
from .dotspec import parse_spec
from .graph import Graph, Node
from .matmul import Matmul, as_matmul
from .ops.dot import letter_extents
from .record import dataclass
from .region import Region


@dataclass(frozen=True, eq=False)
class Epilogue:
    """The `dot` and the product that it is, what follows as a graph that has the product's result
    for an input, and the loops of that."""

    dot: Node
    product: Matmul
    rest: Graph
    region: Region


def as_epilogue(body: Graph) -> Epilogue | None:
    """The product and the epilogue that a body is, None if it is none, or one of another form: the
    operands of the product are the body's, and its rows are those of the result as it is stored."""
    if "epilogue" not in body.known:
        body.known["epilogue"] = _found(body)
    found: Epilogue | None = body.known["epilogue"]
    return found


def _found(body: Graph) -> Epilogue | None:
    dots = [node for node in body.nodes if node.op.kind == "dot"]
    if len(dots) != 1 or dots[0].op.name != "dot" or dots[0].result in body.outputs:
        return None
    (dot,) = dots
    product = _plain_product(dot)
    if product is None or not set(dot.operands) <= set(body.inputs):
        return None
    nodes = tuple(node for node in body.nodes if node is not dot)
    read = {v for node in nodes for v in node.operands}
    inputs = (*(v for v in body.inputs if v in read), dot.result)
    rest = Graph("rest", inputs, nodes, body.outputs)
    region = as_region(rest)
    if region is None or not _is_sweep(region, dot, product):
        return None
    return Epilogue(dot, product, rest, region)


def _plain_product(dot: Node) -> Matmul | None:
    """The product of two matrices as they lie."""
    x, y = dot.operands
    extents = letter_extents(dot.attrs["spec"], [x.type, y.type])
    p = as_matmul(parse_spec(dot.attrs["spec"]), extents)
    if p is None or p.loops or p.swap or p.rows is not None or 1 in (p.m, p.n):
        return None
    return p if dot.result.shape == (p.m, p.n) and dot.result.type.is_float else None


def _is_sweep(region: Region, dot: Node, p: Matmul) -> bool:
    """Whether the loops go over the elements of the result once, rows outermost, and write there
    alone."""
    loads = [load for load in region.loads.values() if load.source is dot.result]
    axes = {load.axes for load in loads} | {region.axes[v] for v in region.body.outputs}
    whole = region.extents in ((p.m * p.n,), (p.m, p.n))
    single = not region.reductions and region.phases == 1 and len(axes) == 1
    return bool(loads) and whole and single and all(axis.plain for axis in next(iter(axes)))
