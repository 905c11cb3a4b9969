"""np.linalg: systems of equations, determinants, factorisations, powers.

Four ops carry all of it (`ir/ops/linalg.py`): `solve`, `cholesky`, `logabsdet`, `det_sign`. As in
NumPy a matrix is the last two axes, other axes are batch, integers are computed in float64, and a
singular matrix raises when the step runs.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.graph import Value
from ...ir.types import F32, F64
from .linear import matmul, outer
from .promotion import as_array, convert, recorder_now
from .reductions import norm, normal_axes, sum_
from .registry import Array, implements
from .shapes import broadcast_to, diagonal, matrix_transpose, moveaxis

SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def _matrices(name: str, a: Any) -> Array:
    """An argument as float32 or float64 square matrices."""
    x = as_array(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"np.linalg.{name}: needs square matrices, got shape {x.shape}")
    return convert(x, F32 if x.dtype == F32 else F64)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Array:
    """np.linalg.solve: x with a @ x = b, for a vector b (one axis) or matrices of columns.

    LinAlgError if `a` is singular when the step runs.
    """
    matrix, right = _matrices("solve", a), as_array(b)
    dtype = F32 if matrix.dtype == right.dtype == F32 else F64
    columns = right.reshape(right.size, 1) if right.ndim == 1 else right
    if columns.ndim < 2 or columns.shape[-2] != matrix.shape[-1]:
        raise ShapeError(
            f"np.linalg.solve: matrices {matrix.shape} and right-hand sides {right.shape} do not"
            " match" + (", write b[..., None] for a batch of vectors" if right.ndim > 1 else "")
        )
    x = _solved(convert(matrix, dtype), convert(columns, dtype))
    return recorder_now().fresh(x if right.ndim > 1 else _flat(x), scalar=False)


def _solved(matrix: Array, columns: Array) -> Value:
    """One matrix takes the columns of a whole batch; otherwise the batches broadcast."""
    b = recorder_now().builder
    if matrix.ndim == 2 and columns.ndim > 2:
        side: Array = moveaxis(columns, -2, 0)
        flat = side.reshape(side.shape[0], math.prod(side.shape[1:]))
        x = recorder_now().fresh(b.solve(matrix.value, flat.value), scalar=False)
        return moveaxis(x.reshape(side.shape), 0, -2).value
    try:
        batch = np.broadcast_shapes(matrix.shape[:-2], columns.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"np.linalg.solve: batch axes {matrix.shape[:-2]} and {columns.shape[:-2]} do not"
            " broadcast"
        ) from None
    return b.solve(_spread(matrix, batch).value, _spread(columns, batch).value)


def _spread(x: Array, batch: tuple[int, ...]) -> Array:
    shape = batch + x.shape[-2:]
    return x if x.shape == shape else broadcast_to(x, shape)


def _flat(x: Value) -> Value:
    return recorder_now().builder.reshape(x, shape=x.shape[:-1])


@implements(np.linalg.inv)
def inv(a: Any) -> Array:
    """np.linalg.inv; to multiply by an inverse, `solve` is faster and more accurate."""
    matrix = _matrices("inv", a)
    return recorder_now().fresh(_solved(matrix, _identity(matrix)), scalar=False)


def _identity(matrix: Array) -> Array:
    b = recorder_now().builder
    eye = b.eye(shape=matrix.shape[-1:], dtype=matrix.dtype)
    return _spread(recorder_now().fresh(eye, scalar=False), matrix.shape[:-2])


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Array:
    """np.linalg.cholesky: lower triangular L with L @ L.T = a, or its transpose if `upper`.

    Like NumPy it reads one triangle of `a`, the lower one, or the upper one if `upper`, and the
    derivative lies in that triangle; cholesky((a + a.T) / 2) has a symmetric one. LinAlgError if
    `a` is not positive definite when the step runs.
    """
    matrix = _matrices("cholesky", a)
    if upper:
        matrix = matrix_transpose(matrix)
    factor = recorder_now().fresh(recorder_now().builder.cholesky(matrix.value), scalar=False)
    return recorder_now().fresh(matrix_transpose(factor).value, scalar=False) if upper else factor


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """np.linalg.slogdet: (sign, logabsdet), which is (0, -inf) for a singular matrix. There the
    derivative does not exist: asking for it raises LinAlgError when the step runs."""
    matrix, recorder = _matrices("slogdet", a), recorder_now()
    sign, size = recorder.builder.det_sign(matrix.value), recorder.builder.logabsdet(matrix.value)
    return SlogdetResult(recorder.fresh(sign), recorder.fresh(size))


@implements(np.linalg.det)
def det(a: Any) -> Array:
    """np.linalg.det, by `slogdet`, as NumPy computes it."""
    sign, size = slogdet(a)
    return sign * np.exp(size)


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Array:
    """np.linalg.matrix_power, by repeated squaring; of the inverse if n is negative."""
    matrix = as_array(a)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"np.linalg.matrix_power: needs square matrices, got {matrix.shape}")
    exponent = operator.index(n)
    if exponent == 0:
        return np.copy(_identity(matrix))
    square, exponent = inv(matrix) if exponent < 0 else matrix, abs(exponent)
    result = None
    while True:
        if exponent % 2:
            result = square if result is None else matmul(result, square)
        exponent //= 2
        if not exponent:
            return result
        square = matmul(square, square)


# --- functions that differ from those of the same name in np -------------------------------


@implements(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any) -> Array:
    """np.linalg.outer, which takes vectors only."""
    x, y = as_array(x1), as_array(x2)
    if (x.ndim, y.ndim) != (1, 1):
        raise ShapeError(f"np.linalg.outer: takes vectors, got shapes {x.shape} and {y.shape}")
    return outer(x, y)


@implements(np.linalg.diagonal)
def diagonal_of_matrices(x: Any, *, offset: int = 0) -> Array:
    """np.linalg.diagonal: of the last two axes."""
    return diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def trace_of_matrices(x: Any, *, offset: int = 0, dtype: Any = None) -> Array:
    """np.linalg.trace: over the last two axes."""
    return sum_(diagonal(x, offset, -2, -1), -1, dtype)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """np.linalg.matrix_norm: `norm` over the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """np.linalg.vector_norm: `norm` of all the elements along the axes."""
    a = as_array(x)
    axes = normal_axes(axis, a.ndim)
    others = [k for k in range(a.ndim) if k not in axes]
    flat: Array = np.transpose(a, (*others, *axes)).reshape(*(a.shape[k] for k in others), -1)
    result = norm(flat, ord, -1)
    if not keepdims:
        return result
    return result.reshape(tuple(1 if k in axes else n for k, n in enumerate(a.shape)))
