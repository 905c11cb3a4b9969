"""Linear systems and factorisations of square matrices; leading axes are batch.

A matrix is the last two axes of its operand, f32 or f64. Right-hand sides are matrices, one
column per system; batch axes are equal, broadcasting is explicit.

    solve, solve_triangular     A^-1 B; LinAlgError for a singular A when the program runs
    cholesky                    lower L with L L^T = A, from the lower triangle of A alone;
                                LinAlgError for an A that is not positive definite
    logabsdet, det_sign         log|det A| and the sign of det A; -inf and 0 for a singular A
    lu, lu_solve                what `solve`, `logabsdet` and `det_sign` become when every
                                derivative exists: one factorisation serves all of one matrix

Derivatives: M. B. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation", 2008; I. Murray, "Differentiation of the Cholesky decomposition",
2016 (arXiv 1602.07527).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, LinAlgError, ShapeError
from ..graph import Node
from ..jacobian import Axes, Map, Term
from ..maps import triangle
from ..op import ZERO, Attrs, Op, Sample, Samples, define
from ..types import F32, F64, I64, Type, dtype_name
from .elementwise import check_arity, common_dtype

SINGULAR = "the matrix is singular"
INDEFINITE = "the matrix is not positive definite"


# --- types ---------------------------------------------------------------------------------------


def _square(name: str, matrix: Type) -> Type:
    if not matrix.is_float:
        raise DTypeError(f"{name} is not defined for {dtype_name(matrix.dtype)}")
    if matrix.rank < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"{name} needs square matrices, got shape {matrix.shape}")
    return matrix


def _system_type(name: str) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        check_arity(name, types, 2)
        return (_right_side(name, types[0], types[1]),)

    return infer


def _right_side(name: str, matrix: Type, right: Type) -> Type:
    common_dtype(name, (_square(name, matrix), right))
    if right.rank != matrix.rank or right.shape[:-1] != matrix.shape[:-1]:
        raise ShapeError(f"{name}: {matrix.shape} and {right.shape} do not fit")
    return right


def _matrix_type(name: str, removed: int) -> Any:
    """One square operand; the result lacks its last `removed` axes."""

    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        check_arity(name, types, 1)
        matrix = _square(name, types[0])
        return (matrix.with_shape(matrix.shape[: matrix.rank - removed]),)

    return infer


def _lu_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("lu", types, 1)
    matrix = _square("lu", types[0])
    return matrix, Type(I64, matrix.shape[:-1])


def _lu_solve_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("lu_solve", types, 3)
    factors, pivots, right = types
    if pivots != Type(I64, factors.shape[:-1]):
        raise ShapeError(f"lu_solve: pivots of type {pivots} do not fit {factors}")
    return (_right_side("lu_solve", factors, right),)


# --- values --------------------------------------------------------------------------------------


def _transposed(a: Any, transposed: bool) -> Any:
    return np.swapaxes(a, -1, -2) if transposed else a


def _solve(a: Any, b: Any, transposed: bool) -> Any:
    try:
        return np.linalg.solve(_transposed(a, transposed), b)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"solve: {SINGULAR}") from None


def _cholesky(a: Any) -> Any:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"cholesky: {INDEFINITE}") from None


def _solve_triangular(a: Any, b: Any, lower: bool, transposed: bool) -> Any:
    _check_diagonal("solve_triangular", a)
    return _substitute(_transposed(a, transposed), b, lower != transposed)


def _check_diagonal(name: str, a: Any) -> None:
    if np.any(np.diagonal(a, axis1=-2, axis2=-1) == 0):
        raise LinAlgError(f"{name}: {SINGULAR}")


def _substitute(t: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    """Solve T X = B row by row, reading one triangle of T."""
    x, n = b.copy(), t.shape[-1]
    for i in range(n) if lower else range(n - 1, -1, -1):
        known = slice(0, i) if lower else slice(i + 1, n)
        x[..., i, :] -= (t[..., i : i + 1, known] @ x[..., known, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= t[..., i, i, None]
    return x


def _lu(a: Any) -> Any:
    factors, pivots = a.copy(), np.empty(a.shape[:-1], np.int64)
    for batch in np.ndindex(a.shape[:-2]):
        _factor(factors[batch], pivots[batch])
    return factors, pivots


def _factor(a: Any, pivots: Any) -> None:
    """Gaussian elimination with partial pivoting, in place: U above, the multipliers below."""
    for j in range(len(a)):
        column = np.abs(a[j:, j])
        pivots[j] = j + np.argmax(np.where(np.isnan(column), -1, column))  # NaN comes last
        a[[j, pivots[j]]] = a[[pivots[j], j]]
        if a[j, j] != 0:
            a[j + 1 :, j] /= a[j, j]
            a[j + 1 :, j + 1 :] -= np.outer(a[j + 1 :, j], a[j, j + 1 :])


def _lu_solve(factors: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    _check_diagonal("solve", factors)
    if transposed:
        upper = _substitute(np.swapaxes(factors, -1, -2), b, lower=True)
        x = _substitute(np.swapaxes(factors, -1, -2), upper, lower=False, unit=True)
        return _swapped(x, pivots, reverse=True)
    x = _substitute(factors, _swapped(b.copy(), pivots), lower=True, unit=True)
    return _substitute(factors, x, lower=False)


def _swapped(x: Any, pivots: Any, reverse: bool = False) -> Any:
    """Exchange rows i and pivots[i] of x, for each i in turn, in place."""
    for batch in np.ndindex(pivots.shape[:-1]):
        rows, steps = x[batch], list(enumerate(pivots[batch]))
        for i, k in reversed(steps) if reverse else steps:
            rows[[i, k]] = rows[[k, i]]
    return x


# --- derivatives ---------------------------------------------------------------------------------


def _system_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """dX = A^-1 dB - A^-1 dA X (Giles 2008, 2.2.3); of a triangular A only its triangle counts."""
    matrix, name = node.operands[0], node.op.name
    attrs = tuple(node.attrs.items())
    batch, row, column = axes.z[:-2], axes.z[-2], axes.z[-1]
    if i == 1:
        inverse = Map(name, attrs, (matrix,), axes.a[:-1], (*batch, row))
        return (Term(1.0, (*axes.deltas([(axes.a[-1], column)]), inverse)),)
    *own, inner, outer = axes.a
    if node.attrs["transposed"]:
        inner, outer = outer, inner
    inverse = Map(name, attrs, (matrix,), (*own, inner), (*batch, row))
    factors = (inverse, axes.val(node.result, (*own, outer, column)))
    if name == "solve":
        return (Term(-1.0, factors),)
    chosen = triangle(b, matrix.shape[-1], lower=node.attrs["lower"])
    return (Term(-1.0, (axes.mask(chosen, axes.a[-2:]), *factors)),)


def _logabsdet_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """A^-T (Giles 2008, 2.2.4)"""
    matrix = node.operands[0]
    n, dtype = matrix.shape[-1], matrix.type.dtype
    identity = b.broadcast(b.eye(shape=(n,), dtype=dtype), shape=matrix.shape)
    inverse = b.solve(matrix, identity, transposed=True)
    batch = axes.deltas(list(zip(axes.a[:-2], axes.z, strict=True)))
    return (Term(1.0, (*batch, axes.val(inverse, axes.a))),)


def _cholesky_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """dL = L P(L^-1 (M + M^T) L^-T) with M = P(dA), where P takes the lower triangle and halves
    the diagonal (Murray 2016, eq. 10): dA enters by its lower triangle, as A does."""
    factor = node.result
    n, dtype = factor.shape[-1], factor.type.dtype
    lower = triangle(b, n, lower=True)
    halves = b.sub(1.0, b.mul(b.eye(shape=(n,), dtype=dtype), 0.5))
    *batch, row, column = axes.z
    *own, first, second = axes.a
    middle = [axes.fresh(axes.extent[x]) for x in batch]
    summed = axes.fresh(n)
    attrs = (("lower", True), ("transposed", False))
    terms = []
    for left, right in ((first, second), (second, first)):
        terms.append(
            Term(
                1.0,
                (
                    axes.mask(lower, (first, second)),
                    axes.val(halves, (first, second)),
                    Map("solve_triangular", attrs, (factor,), (*own, left), (*middle, summed)),
                    Map("solve_triangular", attrs, (factor,), (*middle, right), (*batch, column)),
                    axes.mask(lower, (summed, column)),
                    axes.val(halves, (summed, column)),
                    axes.val(factor, (*batch, row, summed)),
                    axes.mask(lower, (row, column)),
                ),
            )
        )
    return terms


# --- records -------------------------------------------------------------------------------------


def dominant(a: Any) -> Any:
    """A well-conditioned matrix whose elimination exchanges rows: a dominant diagonal, moved."""
    n = a.shape[-1]
    return np.asarray(np.roll(a + 4 * n * np.eye(n), 1, axis=-2), a.dtype)


def triangular(a: Any) -> Any:
    """A matrix whose triangles, with the diagonal, are well conditioned."""
    n = a.shape[-1]
    return np.asarray(a / max(n, 1) + 2 * np.eye(n), a.dtype)


def definite(a: Any) -> Any:
    """A matrix whose lower triangle is that of a positive definite one."""
    n = a.shape[-1]
    return np.asarray(a + 4 * n * np.eye(n), a.dtype)


_SYSTEMS = (
    ((3, 3), (3, 2)), ((1, 1), (1, 1)), ((2, 3, 3), (2, 3, 2)), ((4, 4), (4, 1)),
    ((0, 0), (0, 2)), ((3, 3), (3, 0)), ((0, 2, 2), (0, 2, 1)),
)  # fmt: skip
_MATRICES = ((3, 3), (1, 1), (2, 2, 3, 3), (0, 0), (0, 2, 2))


def _samples(make: Any, shapes: Sequence[Any], *attrs: dict[str, bool]) -> tuple[Sample, ...]:
    return tuple(
        Sample(tuple(Type(d, s) for s in each), chosen, adjust={0: make})
        for d in (F32, F64)
        for each in shapes
        for chosen in attrs
    )


def _lu_samples() -> tuple[Sample, ...]:
    rng = np.random.default_rng(0)
    found = []
    for d in (F32, F64):
        for matrix, right in _SYSTEMS:
            factors, pivots = _lu(dominant(rng.uniform(-2, 2, matrix).astype(d)))
            for transposed in (False, True):
                operands = factors, pivots, Type(d, right)
                found.append(Sample(operands, {"transposed": transposed}))
    return tuple(found)


_SIDES = tuple({"lower": lo, "transposed": t} for lo in (True, False) for t in (False, True))

for _op in (
    Op(
        "solve",
        "linalg",
        _system_type("solve"),
        _solve,
        "X with A X = B, or A^T X = B if `transposed`; A[.., n, n], B[.., n, k]",
        attrs={"transposed": False},
        jacobian=_system_jacobian,
        samples=Samples(
            lambda: _samples(dominant, _SYSTEMS, {"transposed": False}, {"transposed": True})
        ),
    ),
    Op(
        "solve_triangular",
        "linalg",
        _system_type("solve_triangular"),
        _solve_triangular,
        "X with T X = B, or T^T X = B if `transposed`; T is the lower or upper triangle of A",
        attrs={"lower": True, "transposed": False},
        jacobian=_system_jacobian,
        samples=Samples(lambda: _samples(triangular, _SYSTEMS, *_SIDES)),
    ),
    Op(
        "cholesky",
        "linalg",
        _matrix_type("cholesky", 0),
        _cholesky,
        "lower triangular L with L L^T = A; only the lower triangle of A is read",
        jacobian=_cholesky_jacobian,
        samples=Samples(lambda: _samples(definite, [(s,) for s in _MATRICES], {})),
    ),
    Op(
        "logabsdet",
        "linalg",
        _matrix_type("logabsdet", 2),
        lambda a: np.linalg.slogdet(a)[1],
        "log|det A|; -inf for a singular A",
        jacobian=_logabsdet_jacobian,
        samples=Samples(lambda: _samples(dominant, [(s,) for s in _MATRICES], {})),
    ),
    Op(
        "det_sign",
        "linalg",
        _matrix_type("det_sign", 2),
        lambda a: np.linalg.slogdet(a)[0],
        "the sign of det A: -1, 1, or 0 for a singular A",
        jacobian=ZERO,
        samples=Samples(lambda: _samples(dominant, [(s,) for s in _MATRICES], {})),
    ),
    Op(
        "lu",
        "linalg",
        _lu_type,
        _lu,
        "P A = L U in one matrix (L has ones on its diagonal), and the row each row was "
        "exchanged with; by partial pivoting, of a singular A too",
        samples=Samples(lambda: _samples(dominant, [(s,) for s in _MATRICES], {})),
    ),
    Op(
        "lu_solve",
        "linalg",
        _lu_solve_type,
        _lu_solve,
        "X with A X = B, or A^T X = B if `transposed`, given the two results of `lu %A`",
        attrs={"transposed": False},
        samples=Samples(_lu_samples),
    ),
):
    define(_op)
