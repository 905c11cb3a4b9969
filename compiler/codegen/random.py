"""Random bits: a loop over blocks of Philox 4x32-10, each of which makes four words.

Words are held in i64, as products of two of them need. The elements of a last block that is not
full are made in scratch memory and copied.

    def k0(y0, x0, n0, a0, a1):                  # n0 blocks from number a0 on
        for i in range(n0):
            w0 = (a0 + i) & 4294967295
            ...
            y0[4 * i] = i32(w0)
            ...
"""

from __future__ import annotations

from typing import Final

from ...ir.graph import Graph, Node
from ...ir.philox import DOMAIN_SHIFT, LOW, MULTIPLIERS, ROUNDS, WEYL
from ...ir.types import I32, I64
from .kernel import Kernel, KernelWriter, indent
from .module import Module, place_of
from .splitting import split_outermost

BLOCK: Final = 16
"""Bytes a block makes."""
SCRATCH: Final = "scratch+0"
_BLOCK_TIME: Final = 10.0
"""Nanoseconds, about, that a block takes."""


def emit_random_bits(module: Module, graph: Graph, node: Node) -> None:
    """The code of one `random_bits`: the full blocks, then the rest."""
    kind, place = node.result.type, place_of(node.result)
    count = BLOCK // kind.dtype.itemsize
    blocks, rest = divmod(kind.size, count)
    if blocks:
        module.call(node, _kernel(node, place, blocks, 0))
    if rest:
        module.scratch = max(module.scratch, BLOCK)
        module.call(node, _kernel(node, SCRATCH, 1, blocks))
        target = f"at({module.value(node.result)}, {blocks * count})"
        module.routine(node, "copy", target, module.pointer(SCRATCH, kind.dtype), rest)


def _kernel(node: Node, place: str, blocks: int, first: int) -> Kernel:
    (key,), dtype = node.operands, node.result.type.dtype
    w = KernelWriter((blocks,), (place,), split_outermost(blocks, _BLOCK_TIME, innermost=True))
    y, x = w.buffer(place, dtype), w.buffer(place_of(key), I64)
    start, domain = w.number(first), w.number(node.attrs["domain"] << DOMAIN_SHIFT)
    body = [
        f"w0 = ({start} + i) & {LOW}",
        f"w1 = ({start} + i) >> 32 | {domain}",
        f"w2 = {x}[1] & {LOW}",
        f"w3 = {x}[1] >> 32 & {LOW}",
        f"v0 = {x}[0] & {LOW}",
        f"v1 = {x}[0] >> 32 & {LOW}",
        *[line for _ in range(ROUNDS) for line in _ROUND],
    ]
    if dtype == I32:
        body += [f"{y}[4 * i + {k}] = i32(w{k})" for k in range(4)]
    else:
        body += [f"{y}[2 * i + {k}] = i64(w{2 * k} | w{2 * k + 1} << 32)" for k in range(2)]
    return w.finish([w.loop(0), *indent(body)])


_ROUND: Final = (
    f"s0 = w0 * {MULTIPLIERS[0]}",
    f"s1 = w2 * {MULTIPLIERS[1]}",
    f"w0 = s1 >> 32 & {LOW} ^ w1 ^ v0",
    f"w1 = s1 & {LOW}",
    f"w2 = s0 >> 32 & {LOW} ^ w3 ^ v1",
    f"w3 = s0 & {LOW}",
    f"v0 = v0 + {WEYL[0]} & {LOW}",
    f"v1 = v1 + {WEYL[1]} & {LOW}",
)
"""One round; the words of the key are loop invariants to the compiler. (`&` binds before `^`.)"""
