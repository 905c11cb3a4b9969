"""Whether a BLAS multiplies correctly: tried once for each library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .blas import Blas


def multiplies(blas: Blas) -> bool:
    """alpha op(A) op(B) + beta C on small matrices, in every transpose form and both precisions:
    a wrong integer width or calling convention shows here and not in a user's result."""
    forms = [(ta, tb) for ta in (False, True) for tb in (False, True)]
    return all(_gemm_agrees(blas, letter, ta, tb) for letter in "sd" for ta, tb in forms) and all(
        _gemv_agrees(blas, letter, ta) for letter in "sd" for ta in (False, True)
    )


_C_FLOAT = {"s": ctypes.c_float, "d": ctypes.c_double}
_DTYPE = {"s": np.float32, "d": np.float64}


def _function(blas: Blas, name: str, layout: str) -> Callable[..., None]:
    """A routine as a ctypes function; layout letters: e enum, i integer, f float, p pointer."""
    integer = ctypes.c_int64 if blas.int_bits == 64 else ctypes.c_int32
    kinds = {"e": ctypes.c_int, "i": integer, "f": _C_FLOAT[name[0]], "p": ctypes.c_void_p}
    return ctypes.CFUNCTYPE(None, *(kinds[x] for x in layout))(blas.addresses[name])


def _test_matrix(letter: str, rows: int, columns: int) -> np.ndarray:
    values = np.arange(rows * columns) % 7 - 2.5
    return np.ascontiguousarray(values.reshape(rows, columns), dtype=_DTYPE[letter])


def _gemm_agrees(blas: Blas, letter: str, ta: bool, tb: bool) -> bool:
    m, n, k = 3, 5, 7
    a = _test_matrix(letter, *((k, m) if ta else (m, k)))
    b = _test_matrix(letter, *((n, k) if tb else (k, n)))
    c = _test_matrix(letter, m, n)
    expected = 2.0 * (a.T if ta else a) @ (b.T if tb else b) - 0.5 * c
    gemm = _function(blas, f"{letter}gemm", "eeeiiifpipifpi")
    gemm(101, 111 + ta, 111 + tb, m, n, k, 2.0, a.ctypes.data, a.shape[1], b.ctypes.data,
         b.shape[1], -0.5, c.ctypes.data, n)  # fmt: skip
    return bool(np.allclose(c, expected, rtol=1e-5))


def _gemv_agrees(blas: Blas, letter: str, ta: bool) -> bool:
    a = _test_matrix(letter, 3, 5)
    rows, columns = (5, 3) if ta else (3, 5)
    x, y = _test_matrix(letter, 1, columns)[0], _test_matrix(letter, 1, rows)[0]
    expected = 2.0 * (a.T if ta else a) @ x - 0.5 * y
    gemv = _function(blas, f"{letter}gemv", "eeiifpipifpi")
    gemv(101, 111 + ta, 3, 5, 2.0, a.ctypes.data, 5, x.ctypes.data, 1, -0.5, y.ctypes.data, 1)
    return bool(np.allclose(y, expected, rtol=1e-5))
