"""The letters of a contraction, `ab,bc->ac`: one per axis of the operands and of the result.

Where a letter stands says what it is:

    lhs, rhs and out     batch        lhs and out     left, free
    lhs and rhs          summed       rhs and out     right, free
    lhs or rhs alone     summed over that operand

A letter occurs at most once in each place: diagonals are another op. The spec of a `dot` is
kept canonical, its letters `a, b, c ..` in order of first appearance, so that equal contractions
have equal attributes. The usual ones print as `matmul %a, %b [ta, tb]` or `outer %a, %b`; `sugar`
recognises them and `matmul_spec`, `outer_spec` spell them out again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .errors import ShapeError

LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class DotSpec(NamedTuple):
    """A contraction spec taken apart; `str` puts it together again."""

    lhs: str
    rhs: str
    out: str

    @property
    def batch(self) -> str:
        """Letters of both operands that the result keeps, in the result's order."""
        return "".join(c for c in self.out if c in self.lhs and c in self.rhs)

    @property
    def summed(self) -> str:
        """Letters of both operands that the result lacks, in the left operand's order."""
        return "".join(c for c in self.lhs if c in self.rhs and c not in self.out)

    @property
    def left(self) -> str:
        """Letters of the left operand and the result alone, in the result's order."""
        return "".join(c for c in self.out if c not in self.rhs)

    @property
    def right(self) -> str:
        """Letters of the right operand and the result alone, in the result's order."""
        return "".join(c for c in self.out if c not in self.lhs)

    def __str__(self) -> str:
        return f"{self.lhs},{self.rhs}->{self.out}"


def parse_spec(spec: str) -> DotSpec:
    """Take `ab,bc->ac` apart; ShapeError when it is not a contraction of two operands."""
    operands, arrow, out = spec.partition("->")
    lhs, comma, rhs = operands.partition(",")
    if not (arrow and comma) or not set(lhs + rhs + out) <= set(LETTERS):
        raise ShapeError(f"{spec!r} is not a contraction; write letters as in 'ab,bc->ac'")
    if any(len(set(place)) < len(place) for place in (lhs, rhs, out)):
        raise ShapeError(f"{spec!r} has a letter twice in one place")
    if not set(out) <= set(lhs + rhs):
        raise ShapeError(f"{spec!r} has a letter in the result that no operand has")
    return DotSpec(lhs, rhs, out)


def canonical_spec(spec: str) -> str:
    """The spec with its letters renamed `a, b, c ..` in order of first appearance."""
    parts = parse_spec(spec)
    found = dict.fromkeys(parts.lhs + parts.rhs)
    table = str.maketrans(dict(zip(found, LETTERS, strict=False)))
    return spec.translate(table)


def matmul_spec(rank_a: int, rank_b: int, ta: bool = False, tb: bool = False) -> str:
    """The canonical spec of `np.matmul` for operands of these ranks, with the last two axes of
    an operand swapped first if `ta`, `tb`. Batch axes align on the right and are never of
    broadcast extent 1 (reshape those away). ShapeError for ranks matmul does not have."""
    if rank_a < 1 or rank_b < 1 or (ta and rank_a < 2) or (tb and rank_b < 2):
        raise ShapeError(f"no matmul of ranks {rank_a} and {rank_b} with ta={ta}, tb={tb}")
    row, summed, column, batch = *LETTERS[:3], LETTERS[3:]
    lhs, rhs = (row + summed)[-rank_a:], (summed + column)[:rank_b]
    kept = batch[: max(rank_a - 2, rank_b - 2, 0)]
    batch_a, batch_b = _last(kept, rank_a - 2), _last(kept, rank_b - 2)
    out = kept + lhs[:-1] + rhs[1:]
    lhs, rhs = lhs[::-1] if ta else lhs, rhs[::-1] if tb else rhs
    return canonical_spec(f"{batch_a}{lhs},{batch_b}{rhs}->{out}")


def _last(text: str, count: int) -> str:
    return text[len(text) - count :] if count > 0 else ""


def outer_spec(rank_a: int, rank_b: int) -> str:
    """The canonical spec of `np.multiply.outer`: the axes of both operands, one after the other."""
    lhs, rhs = LETTERS[:rank_a], LETTERS[rank_a : rank_a + rank_b]
    return f"{lhs},{rhs}->{lhs}{rhs}"


def sugar(spec: str) -> tuple[str, tuple[str, ...]] | None:
    """How a canonical spec prints: `("matmul", ("ta",))`, `("outer", ())`, or None when it has
    no name of its own."""
    parts = parse_spec(spec)
    rank_a, rank_b = len(parts.lhs), len(parts.rhs)
    if not (rank_a and rank_b):
        return None
    if spec == outer_spec(rank_a, rank_b):
        return "outer", ()
    for ta in (False, True)[:rank_a]:
        for tb in (False, True)[:rank_b]:
            if spec == matmul_spec(rank_a, rank_b, ta, tb):
                return "matmul", ("ta",) * ta + ("tb",) * tb
    return None
