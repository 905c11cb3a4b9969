"""Seeded bugs of the passes: wrong rules, wrong letters, wrong derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from tapeless.ir import maps
from tapeless.ir.builder import Builder
from tapeless.ir.jacobian import Term
from tapeless.ir.maps import MAPS
from tapeless.ir.op import OPS
from tapeless.ir.ops import index as index_ops
from tapeless.passes import (
    autodiff,
    cse,
    decompose,
    fuse,
    layouts,
    reassociate,
    transposes,
    update_fusion,
)
from tapeless.passes.algebra import eliminate, products
from tapeless.passes.rewriting import indexing, movement
from tapeless.passes.simplify import simplify
from tapeless.passes.stable import stable

from .seeded import Bug, Plant, around, instead, spoiled, table, wrong_rule

DECOMPOSE = decompose.decompose


def without_neg(site: Any, value: Any) -> Any:
    """What the negation that a rule emits last is of."""
    node = site.producer(value, "neg")
    return value if node is None else node.operands[0]


def swapped(op: str) -> Callable[[Any, Any], Any]:
    """The operands of a rule's last node the other way round."""

    def spoil(site: Any, value: Any) -> Any:
        node = site.producer(value, op)
        if node is None:
            return value
        *rest, x, y = node.operands
        return site.b.emit(op, (*rest, y, x), node.attrs).result

    return spoil


def first_operand(site: Any, value: Any) -> Any:
    """The rule's last node left out."""
    node = site.producers.get(value)
    return node.operands[0] if node is not None and node.operands else value


def as_op(old: str, new: str) -> Callable[[Any, Any], Any]:
    def spoil(site: Any, value: Any) -> Any:
        node = site.producer(value, old)
        return value if node is None else site.b.emit(new, node.operands).result

    return spoil


def known_choice(site: Any, value: Any) -> Any:
    return site.operands[2] if value is site.operands[1] else site.operands[1]


def slice_of_base(site: Any) -> Any:
    """Read past any write, wherever it was."""
    node = site.producer(site.operands[0], "update", "add_at")
    if node is None:
        return None
    return site.b.slice(node.operands[0], spec=site.node.attrs["spec"])


def inverse_letters(letters: str, perm: tuple[int, ...]) -> str:
    return "".join(letters[a] for a in perm)


def inverse_permutation(site: Any, value: Any) -> Any:
    node = site.producer(value, "transpose")
    if node is None:
        return value
    perm = node.attrs["perm"]
    back = tuple(perm.index(k) for k in range(len(perm)))
    return site.b.transpose(node.operands[0], perm=back)


def other_axis(site: Any, value: Any) -> Any:
    """A scan moved before a transpose, along the axis it has after it."""
    node = site.producer(value, "transpose")
    if node is None:
        return value
    total = site.producer(node.operands[0], "cumsum")
    x, axis = total.operands[0], site.node.attrs["axis"]
    moved = site.b.cumsum(x, axis=axis, reverse=total.attrs["reverse"])
    return site.b.transpose(moved, perm=node.attrs["perm"])


def bytes_forgotten(value: Any) -> Any:
    return (value.dtype, value.shape) if isinstance(value, np.ndarray) else value


def no_shift(site: Any, x: Any, axes: Any) -> Any:
    return site.b.exp(x)


def reversed_out(original: Any) -> Any:
    def wrong(lhs: Any, rhs: Any, out: Any) -> Any:
        return original(lhs, rhs, out[::-1])

    return wrong


def replaced(self: Any, value: Any, g: Any, where: Any) -> None:
    """The cotangent of one path in place of the sum over paths."""
    self.cotangent[value], self.support[value] = g, where


def unmasked(self: Any, val: Any, masks: Any) -> Any:
    """The backward pass without its masks."""
    return val if val is not None else products_select(self, val, masks)


products_select = products.Products.select


def nothing_counted(original: Any) -> Any:
    """The extent of a letter that nothing mentions forgotten: the sum of a broadcast."""

    def wrong(self: Any) -> None:
        original(self)
        self.unmentioned = set()

    return wrong


def wrong_diagonal(b: Any, value: Any, letters: Any, letter: Any) -> Any:
    """Every n-th element: the first column."""
    first = letters.index(letter)
    second = letters.index(letter, first + 1)
    rest = [k for k in range(len(letters)) if k not in (first, second)]
    n = value.shape[first]
    batch = tuple(value.shape[k] for k in rest)
    flat = b.reshape(b.transpose(value, perm=(*rest, first, second)), shape=(*batch, n * n))
    spec = (*((0, m, 1) for m in batch), (0, n * n - n + 1 if n else 0, n or 1))
    return b.slice(flat, spec=spec), (*(letters[k] for k in rest), letter)


def every_writer(b: Any, node: Any) -> Any:
    """Of equal indices all win: the gradient of what was overwritten is not zero."""
    shape = np.broadcast_shapes(*(v.shape for v in node.operands[2:]))
    return b.full(shape, np.True_, np.dtype(bool))


def ungather(b: Any, v: Any, attrs: Any, operands: Any, src: Any, dst: Any) -> Any:
    """Equal indices overwrite each other instead of adding up."""
    batch = v.shape[: v.type.rank - len(dst)]
    front = maps._rotate(b, v, len(batch))
    axes = tuple(k + len(batch) for k in attrs["axes"])
    return b.scatter(b.full(batch + src, 0, v.type.dtype), front, *operands, axes=axes)


def unslice(b: Any, v: Any, attrs: Any, operands: Any, src: Any, dst: Any) -> Any:
    """The region moved to the front of its axis."""
    batch = v.shape[: v.type.rank - len(dst)]
    spec = (*((0, n, 1) for n in batch), *((0, n, 1) for n in dst))
    return b.add_at(b.full(batch + src, 0, v.type.dtype), v, spec=spec)


def map_bug(name: str, **changes: Any) -> Plant:
    return table(MAPS, name, replace(MAPS[name], **changes))


def scaled_jacobian(op: str, factor: float, operand: int | None = None) -> Plant:
    """An op's Jacobian by a factor, with respect to one operand or all."""

    def wrap(rule: Any) -> Any:
        def wrong(b: Builder, node: Any, i: int, axes: Any) -> Any:
            terms = rule(b, node, i, axes)
            if operand is not None and i != operand:
                return terms
            return tuple(Term(factor * t.coef, t.factors) for t in terms)

        return wrong

    return around(OPS[op], "jacobian", wrap)


def parity_forgotten(site: Any, value: Any) -> Any:
    """The sign of a determinant without the sign of its row exchanges: its absolute value."""
    return site.b.abs(value)


FREE, ALL = "gradients", "interpreted"
BUGS: Final = (
    Bug("a sign lost: dot_of_negation", ALL, spoiled(simplify, "dot_of_negation", without_neg)),
    Bug("a sign lost: sum_of_negation", ALL, spoiled(simplify, "sum_of_negation", without_neg)),
    Bug("a sign lost: negation_outwards", ALL, spoiled(simplify, "negation_outwards", without_neg)),
    Bug("branches not swapped: negated_choice", ALL,
        spoiled(simplify, "negated_choice", swapped("select"))),
    Bug("the other branch: known_choice", ALL, spoiled(simplify, "known_choice", known_choice)),
    Bug("x - (-y) = x - y", ALL, spoiled(simplify, "subtract_negation", as_op("add", "sub"))),
    Bug("operands of sub swapped: add_negation", ALL,
        spoiled(simplify, "add_negation", swapped("sub"))),
    Bug("operands of div swapped: times_reciprocal", ALL,
        spoiled(simplify, "times_reciprocal", swapped("div"))),
    Bug("a factor lost: merge_factors", ALL, spoiled(simplify, "merge_factors", first_operand)),
    Bug("a count lost: reduce_of_broadcast", ALL,
        spoiled(simplify, "reduce_of_broadcast", first_operand)),
    Bug("a write not seen: read_what_was_written", ALL,
        wrong_rule(simplify, "read_what_was_written", lambda apply: slice_of_base)),
    Bug("an addition not seen: read_beside ..", ALL,
        wrong_rule(simplify, "read_beside_what_was_added", lambda apply: slice_of_base)),
    Bug("a part taken for the whole: write_everywhere", ALL,
        instead(indexing, "_is_whole", lambda spec, shape: all(
            len(range(*s)) == n for s, n in zip(spec, shape, strict=True)))),
    Bug("any indices taken for 0..n-1: every_index", ALL,
        instead(indexing, "_counts", lambda site, index, n: index.shape == (n,))),
    Bug("start of a slice lost: slice_of_slice", ALL,
        around(movement, "_compose", lambda f: lambda a, b: f((0, a[1] - a[0], a[2]), b)
               if a[2] > 0 else f(a, b))),
    Bug("inverse permutation: transpose_of_transpose", ALL,
        spoiled(simplify, "transpose_of_transpose", inverse_permutation)),
    Bug("wrong axis: scan_before_transpose", ALL,
        spoiled(simplify, "scan_before_transpose", other_axis)),
    Bug("inverse letters: absorbed transposes", ALL,
        instead(transposes, "_unpermuted", inverse_letters)),
    Bug("inverse letters: layouts of windows", ALL,
        instead(layouts, "_permuted", lambda letters, perm: "".join(
            letters[perm.index(k)] for k in range(len(perm))))),
    Bug("constants merged by type: cse", ALL, instead(cse, "_hashable", bytes_forgotten)),
    Bug("a - b merged with b - a: cse", ALL, instead(OPS["sub"], "commutative", True)),
    Bug("wrong letter order: reassociate", ALL, around(reassociate, "_spec", reversed_out)),
    Bug("softmax without its shift: decompose", ALL, instead(decompose, "_shifted_exp", no_shift)),
    Bug("wrong stride of a diagonal: logabsdet", ALL,
        instead(decompose, "diagonal", wrong_diagonal)),
    Bug("a sign lost: det_sign", ALL, spoiled(DECOMPOSE, "det_sign_parts", parity_forgotten)),
    Bug("transposed flag lost: solve_factor", ALL,
        spoiled(DECOMPOSE, "solve_factor", lambda site, v: site.b.solve_triangular(
            *site.producer(v, "solve_triangular").operands, lower=True, transposed=False))),
    Bug("cancelled shift: log_sum_exp keeps exp", ALL,
        spoiled(stable, "log_sum_exp", lambda site, v: site.b.add(v, 1e-3))),
    Bug("a region over a cycle: fuse", ALL,
        instead(fuse._Fusion, "_independent", lambda self, one, two: True)),
    Bug("one path only: cotangents replaced", FREE,
        instead(autodiff._Reverse, "accumulate", replaced)),
    Bug("missing mask in backward", FREE, instead(products.Products, "select", unmasked)),
    Bug("dropped broadcast sum", FREE, around(eliminate._Elimination, "clean", nothing_counted)),
    Bug("wrong stride of a diagonal: derivatives", FREE,
        instead(eliminate, "diagonal", wrong_diagonal)),
    Bug("gradient of what was overwritten", FREE, instead(index_ops, "last_writers", every_writer)),
    Bug("equal indices overwrite: adjoint of gather", FREE, map_bug("gather", adjoint=ungather)),
    Bug("start lost: adjoint of slice", FREE, map_bug("slice", adjoint=unslice)),
    Bug("adjoint of cumsum not reversed", FREE, map_bug("cumsum", adjoint=MAPS["cumsum"].forward)),
    Bug("adjoint of solve not transposed", FREE, map_bug("solve", adjoint=MAPS["solve"].forward)),
    Bug("a sign lost: derivative of div", FREE, scaled_jacobian("div", -1.0, 1)),
    Bug("a factor lost: derivative of erf", FREE, scaled_jacobian("erf", 0.886226925452758)),
    Bug("doubled gradient: max", FREE, scaled_jacobian("max", 2.0)),
    Bug("a sign lost: update fusion", "training",
        instead(update_fusion.Scale, "negated", lambda self: self)),
    Bug("a factor lost: update fusion", "training",
        around(update_fusion._Emitter, "_known", lambda f: lambda self, values, dtype: f(
            self, values[1:], dtype))),
)  # fmt: skip
