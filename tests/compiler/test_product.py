"""What identifies a program, and what is left of it: nothing that matters may be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.call import Options
from tapeless.compiler.fingerprint import fingerprint, program_key
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.native import build
from tapeless.compiler.product import pack, unpack
from tapeless.compiler.trace import trace
from tapeless.ir.errors import BoundsError
from tapeless.ir.graph import Graph, Loc, Node, Value
from tapeless.ir.op import OPS
from tapeless.ir.parse import parse

TEXT = """f(%x:f64[4], %y:f64[4]) {
  %a:f64[4] = mul %x, 2.0
  %c:f64[2] = constant [0.0, nan]
  %b:f64[2] = slice %a [0:4:2]
  %d:f64[2] = sub %b, %c
  %e:f64[4] = sub %a, %y
  %x <- %e
} -> %d, %a"""


def graph() -> Graph:
    return parse(TEXT)


def test_equal_graphs_have_one_fingerprint() -> None:
    assert fingerprint(graph()) == fingerprint(graph()) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("f(", "g("),
        ("%x", "%renamed"),
        ("mul %x, 2.0", "mul %x, 3.0"),
        ("mul %x, 2.0", "mul 2.0, %x"),
        ("mul", "add"),
        ("sub %b, %c", "sub %c, %b"),
        ("[0.0, nan]", "[-0.0, nan]"),
        ("[0.0, nan]", "[0.0, inf]"),
        ("0:4:2", "1:4:2"),
        ("f64", "f32"),
        ("%x <- %e", "%y <- %e"),
        ("-> %d, %a", "-> %a, %d"),
        ("-> %d, %a", "-> %d"),
    ],
)
def test_every_change_of_the_text_changes_it(old: str, new: str) -> None:
    assert old in TEXT
    assert fingerprint(parse(TEXT.replace(old, new))) != fingerprint(graph())


def changed(change: Callable[[Node], Node]) -> Graph:
    """The graph with each node replaced."""
    made = graph()
    return replace(made, nodes=tuple(map(change, made.nodes)))


def _constant(value: np.ndarray) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        if node.op.name != "constant" or node.result.type.shape != (2,):
            return node
        return replace(node, attrs=MappingProxyType({"value": value}))

    return change


CHANGES: dict[str, Callable[[Node], Node]] = {
    "file": lambda node: replace(node, loc=Loc("a.py", 1)),
    "folder": lambda node: replace(node, loc=Loc("b/a.py", 1)),
    "line": lambda node: replace(node, loc=Loc("a.py", 2)),
    "origin": lambda node: replace(node, origin="elsewhere"),
    "sign of zero": _constant(np.array([-0.0, np.nan])),
    "sign of nan": _constant(np.array([0.0, -np.nan])),
    "bits of nan": _constant(np.array([0, 0x7FF8000000000001], np.uint64).view(np.float64)),
}


def test_what_the_text_does_not_show_counts_too() -> None:
    prints = [fingerprint(changed(change)) for change in CHANGES.values()]
    assert len({*prints, fingerprint(graph())}) == len(CHANGES) + 1
    assert fingerprint(changed(_constant(np.array([0.0, np.nan])))) == fingerprint(graph())


def test_a_large_constant_counts_by_every_byte() -> None:
    table = np.random.default_rng(0).standard_normal((300, 40))

    def traced(constant: np.ndarray) -> str | None:
        return fingerprint(trace(lambda x: x @ constant, (np.ones(300),), {}).graph)

    other = table.copy()
    other[299, 39] = np.nextafter(other[299, 39], 9.0)
    assert traced(table) == traced(table.copy()) is not None
    assert traced(table) != traced(other)


@pytest.mark.parametrize("name", sorted(OPS))
def test_the_attributes_of_every_op_that_can_be_traced_have_a_form(name: str) -> None:
    """An op left out here would never come from the cache."""
    op = OPS[name]
    for sample in op.samples:
        values = [Value(np_type(x)) for x in sample.operands]
        attrs = MappingProxyType({**op.attrs, **sample.attrs})
        node = Node(op, tuple(values), (), attrs)
        assert fingerprint(Graph("f", tuple(values), (node,), ())) is not None


def np_type(operand: object) -> tl.ir.Type:
    if isinstance(operand, tl.ir.Type):
        return operand
    array = np.asarray(operand)
    return tl.ir.Type(array.dtype, array.shape)


def test_options_and_settings_are_part_of_the_key(monkeypatch) -> None:
    keys = {program_key(graph(), Options()), program_key(graph(), Options(optimize=False))}
    monkeypatch.setenv("TAPELESS_SKIP", "cse")
    keys.add(program_key(graph(), Options()))
    monkeypatch.setenv("TAPELESS_SKIP", "cse,dce")
    keys.add(program_key(graph(), Options()))
    assert len(keys) == 4 and None not in keys
    monkeypatch.setenv("TAPELESS_SKIP", "dce, cse")
    assert program_key(graph(), Options()) in keys


def test_what_is_watched_does_not_come_from_the_cache(monkeypatch) -> None:
    assert program_key(graph(), Options(cache=False)) is None
    assert program_key(graph(), Options(check=True)) is None
    monkeypatch.setenv("TAPELESS_DUMP", "-")
    assert program_key(graph(), Options()) is None


PRODUCTS = [
    TEXT,
    "f(%x:f64[]) {\n  %y:f64[] = tanh %x\n  %x <- %y\n} -> %y",
    "f(%x:i64[0,3]) {\n  %y:i64[0,3] = add %x, 1\n} -> %y",
    """f(%x:f32[5], %i:i64[2]) {
  %c:bool[2] = constant [true, false]
  %k:f32[2,2] = constant [[0.5, inf], [-0.0, nan]]
  %y:f32[2] = gather %x, %i [axes=(0)]
  %z:f32[2] = select %c, %y, 0.0
  %w:f32[2] = matmul %k, %z
} -> %w, %k""",
]


@pytest.mark.parametrize("text", PRODUCTS)
def test_a_product_survives_packing(text: str) -> None:
    product = build(plan_memory(parse(text)), keep=False).product
    again = unpack(pack(product))
    layout, constants = again.manifest.layout, product.manifest.layout.constants
    assert len(constants) == len(layout.constants)
    for a, b in zip(constants, layout.constants, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    assert replace(layout, constants=constants) == product.manifest.layout
    manifest = replace(again.manifest, layout=product.manifest.layout)
    assert replace(again, manifest=manifest) == product


def test_a_failure_is_the_error_it_was() -> None:
    product = unpack(pack(build(plan_memory(parse(PRODUCTS[-1])), keep=False).product))
    error = product.manifest.failed(1)
    assert type(error) is BoundsError and "nothing was written" in str(error)
