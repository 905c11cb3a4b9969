"""From a planned graph to Python source: kernels and a straight-line driver.

    generate(graph) -> Generated

The graph must be in the stage `planned`: every value has a place. The source runs as plain Python
(`runtime.engine.run_plain`) and compiled (`runtime.engine.compile_source`); its vocabulary is
`runtime/kernel.py`. There is one emitter per kind of op. Nothing the user wrote enters the source:
identifiers are ours, numbers are exact literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...ir.convolution import as_convolution
from ...ir.epilogue import as_epilogue
from ...ir.errors import UnsupportedError
from ...ir.graph import Graph, Node
from ...ir.record import dataclass
from ...runtime.executable import Layout
from ...runtime.kernel import KernelSpec
from ..layout import layout_of
from .chains import emit_chain, find_chains
from .contract import emit_dot
from .convolution import emit_windows
from .epilogue import emit_epilogue
from .indexed import emit_indexed
from .indirect import emit_indirect, indirect_plan
from .linalg import emit_linalg
from .module import Call, Check, Module
from .random import emit_random_bits
from .regions import (
    copy_all,
    emit_concatenate,
    emit_fused,
    emit_nest,
    emit_pad,
    emit_reshape,
    emit_update,
    emit_windows_add,
)
from .scanning import emit_scan
from .sorting import emit_search, emit_sort

Emit = Callable[[Module, Graph, Node], None]


def _emit_nothing(module: Module, graph: Graph, node: Node) -> None:
    """Constants lie in the pointer table."""


def _emit_fused(module: Module, graph: Graph, node: Node) -> None:
    """A contraction of windows, a product with an epilogue, or nests."""
    found = as_epilogue(node.attrs["body"])
    if found is not None:
        emit_epilogue(module, node, found)
        return
    c = as_convolution(node.attrs["body"])
    if c is None:
        emit_fused(module, graph, node)
        return
    if c.dot.op.name == "dot_acc":
        copy_all(module, node, node.operands[node.attrs["body"].inputs.index(c.dot.operands[0])])
    plan = indirect_plan(c, node.result.type.dtype)
    if plan is None:
        emit_windows(module, node, c)
    else:
        emit_indirect(module, node, c, plan)


BY_KIND: Mapping[str, Emit] = {
    "random": emit_random_bits,
    "elementwise": emit_nest,
    "reduce": emit_nest,
    "argreduce": emit_nest,
    "fused": _emit_fused,
    "dot": emit_dot,
    "scan": emit_scan,
    "sort": emit_sort,
    "search": emit_search,
    "linalg": emit_linalg,
    "constant": _emit_nothing,
}
BY_NAME: Mapping[str, Emit] = {
    "arg": emit_reshape,
    "reshape": emit_reshape,
    "transpose": emit_nest,
    "broadcast": emit_nest,
    "slice": emit_nest,
    "windows": emit_nest,
    "windows_add": emit_windows_add,
    "concatenate": emit_concatenate,
    "pad": emit_pad,
    "update": emit_update,
    "add_at": emit_update,
    "gather": emit_indexed,
    "scatter": emit_indexed,
    "scatter_add": emit_indexed,
}


@dataclass(frozen=True)
class Generated:
    """Generated code: the `source`, one spec per kernel, the `layout` of the pointer table, the
    driver's `calls` in order, the run-time `checks`, and the bytes of scratch memory behind the
    arena."""

    source: str
    specs: tuple[KernelSpec, ...]
    layout: Layout
    calls: tuple[Call, ...]
    checks: tuple[Check, ...]
    scratch: int


def emitter(node: Node) -> Emit:
    """The emitter of a node's op; UnsupportedError naming the op and the user's line."""
    found = BY_NAME.get(node.op.name) or BY_KIND.get(node.op.kind)
    if found is None:
        where = f" at {node.loc}" if node.loc is not None else ""
        raise UnsupportedError(
            f"{node.op.name} cannot be compiled{where}: ops of kind {node.op.kind} must be gone "
            "before code is generated; lower the graph first"
        )
    return found


def generate(graph: Graph, *, chained: bool = True) -> Generated:
    """Source and manifest of a planned graph, with one statement for every node if not `chained`.
    UnsupportedError for an op without an emitter."""
    layout = layout_of(graph)
    module = Module(layout.table)
    chains = {c.nodes[0]: c for c in find_chains(graph)} if chained else {}
    inside = {node for chain in chains.values() for node in chain.nodes}
    for node in graph.nodes:
        if node in chains:
            emit_chain(module, graph, chains[node])
        elif node not in inside:
            emitter(node)(module, graph, node)
    finished = module.finish()
    return Generated(
        finished.source(),
        finished.specs,
        layout,
        finished.calls,
        tuple(module.checks),
        module.scratch,
    )


__all__ = ["Call", "Check", "Generated", "emitter", "generate"]
