"""The vocabulary of generated code.

Generated source starts with `from tapeless.runtime.kernel import *`. Executed as plain Python, the
names below act on flat one-dimensional NumPy arrays, slowly and observably; compiled by
`runtime.engine` the same names are LLVM instructions (`runtime/words.py`; a test holds the two
vocabularies equal). The text is also what Numba compiles, the second engine.

Kernels
    `def k0(x0, x1, y0, n0, n1):` takes buffers, then i64 extents, and returns nothing, or one i64
    (0 means fine; a bounds check returns something else). A buffer is a flat array: `x0[i]` reads,
    `y0[i] = v` writes, `at(x0, n)` is the buffer that starts `n` elements later. Distinct buffer
    parameters must not overlap (loops vectorise because of that); pass one that is read and
    written in place as *one* parameter. Extents may be literals inside or arguments; use arguments
    where the inner loop does not profit, so that equal kernels are compiled once.
    Statements are assignments (also `+=` and pairs), `for` over a range, `while`, `if`, `break`,
    `continue`, `return` and calls of words. A variable has one type, that of its first value.
    Expressions are numbers, reads, words, + - * / & | ^ ~ << >>, one comparison at a time, `and`,
    `or`, `not` and `x if c else y`; there is no // % **, use the words. Integers compute in i64, or
    u64 where both are unsigned; an f32 beside an f64, and every float beside an integer, is f64.

Driver
    `def step(t):` is straight-line code over the pointer table `t`:
        k0(f32_at(t, 3), f32_at(t, 5), f32_at(t, 7), 32, 128)      a kernel or a routine (below)
        if k1(i64_at(t, 2), 32): return 1                          a checking kernel
        split(k2, 16, f32_at(t, 3), f32_at(t, 5), 4096)            k2(.., 0) to k2(.., 15)
        gemm_f32(False, True, 32, 10, 128, -f32_at(t, 9)[0], f32_at(t, 3), 128, ...)
        return 0                                                   always the last statement
    Arguments are literals, `<dtype>_at(t, k)`, `at(<dtype>_at(t, k), n)`, the scalar load
    `<dtype>_at(t, k)[n]` and a minus sign before a number. Nothing else: the driver is translated,
    not compiled as Python, so a step of thousands of calls builds in linear time.
    `split` calls a kernel once per chunk, with the number of the chunk as its last operand, in any
    order and on several threads: chunks must not write what another one reads or writes.
        split(chain0, 2, t)                                        chain0(t, 0), chain0(t, 1)
    calls a chain, `def chain0(t, c):`, whose statements are calls of kernels, for their chunk `c`,
    and of routines, on buffers such as `at(f32_at(t, 8), c * 1024)`. It returns nothing.

Values (t is a dtype name: bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64)
    Every function is named `<op>_<t>`; operands are converted to t first.
    arithmetic   add sub mul neg, div (floats); integers wrap. Plain + - * / and comparisons work on
                 floats and i64; on narrower integers convert the result: `i32(a + b)`.
    conversion   `f32(x)` from anything (also literals), `f32_from_i64(x)` for each pair of dtypes
    integers     floor_divide remainder fmod shift_left shift_right: NumPy's values, nothing raises
                 (x // 0 = x % 0 = 0, INT_MIN // -1 = INT_MIN, x << 64 = 0); & | ^ ~ as +
    order        maximum minimum (NaN wins, they vectorise in reductions), sign abs, select(c, a, b)
    floats       exp exp2 log log2 log10 log1p expm1 sqrt cbrt tanh arcsinh arccosh arctanh erf sin
                 cos tan arcsin arccos sigmoid softplus sinh cosh power arctan2 copysign floor ceil
                 rint floor_divide remainder fmod, isnan isinf isfinite (bool results)
    Booleans     not_bool; & | ^ between them
    reductions   `acc = add_reassoc_f64(acc, x)` may be reordered, hence vectorises: use it for sums
                 and only for them, `mul_reassoc_f64` for products. Sum f32 in f64:
                 `acc = add_reassoc_f64(acc, f64(x0[i]))` and convert once at the end; this keeps
                 1e-6 at 1e8 elements and costs next to nothing. Maxima:
                 `acc = maximum_f32(acc, x0[i])`, from `-inf`. Integers: plain + and *.

Routines, in kernels and drivers (buffers are row-major)
    gemm_t(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        C = alpha op(A) op(B) + beta C, where op(A) is (m, k) and op(B) is (k, n); t is f32 or f64;
        beta == 0 does not read C
    gemv_t(ta, m, n, alpha, a, lda, x, beta, y)
        y = alpha op(A) x + beta y, where A itself is (m, n)
    whole_gemm_t, whole_gemv_t
        the same on the calling thread alone, for kernels that run in chunks
    indirect_t(m, n, k, a, rows, steps, b, ldb, c, places)
        C += A B, where A[i, p] is a[rows[i] + steps[p]], B is (k, n), and row i of C starts at
        c[places[i]]; rows, steps and places are i64, n is a multiple of 8; in kernels only
    turned_t(m, n, a, lda, c, ldc)
        C = A^T, where A is (m, n); in kernels only
    sorted_t(n, x, step, y, ystep, scratch), argsorted_t(n, x, step, y, ystep, scratch)
        y[i * ystep] = element i of n in order, or its position, an i64: ascending, equals in their
        order, NaN last; t is any dtype; in kernels only. Scratch memory is `SORT_SCRATCH` i64s a
        number
    keyed_t(n, x, step, scratch), selected_t(n, low, k, x, step, y, scratch)
        y[0] = the position of element k in order; the first fills scratch, the second is called for
        ascending k, each with the one before plus 1, or 0, as `low`; in kernels only
    copy(target, source, n), zero(target, n)
        n elements; dtypes equal; no overlap
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..ir.types import DTYPES
from . import angles, divisions, logarithms, powers, vecmath
from .lanes import ArrayLanes
from .spec import FLOATS as FLOATS
from .spec import ROUTINES as ROUTINES
from .spec import SORT_ROUTINES as SORT_ROUTINES
from .spec import SORT_SCRATCH as SORT_SCRATCH
from .spec import WINDOW_ROUTINES as WINDOW_ROUTINES
from .spec import KernelSpec as KernelSpec
from .spec import routine_symbol as routine_symbol

Scalar = Any
Buffer = np.ndarray


INTEGERS = tuple(name for name, dtype in DTYPES.items() if dtype.kind in "iu")
NUMBERS = INTEGERS + FLOATS
ANY = ("bool", *NUMBERS)

VECMATH: dict[str, Callable[..., Any]] = {
    "exp": vecmath.exp,
    "log": logarithms.log,
    "log1p": logarithms.log1p,
    "expm1": vecmath.expm1,
    "tanh": vecmath.tanh,
    "erf": vecmath.erf,
    "sigmoid": vecmath.sigmoid,
    "softplus": vecmath.softplus,
    "arcsinh": logarithms.arcsinh,
    "arccosh": logarithms.arccosh,
    "arctanh": logarithms.arctanh,
    "cbrt": powers.cbrt,
    "power": powers.power,
    "arctan2": angles.arctan2,
    "fmod": divisions.fmod,
    "remainder": divisions.remainder,
    "floor_divide": divisions.floor_divide,
    "sin": angles.sin,
    "cos": angles.cos,
    "sinh": vecmath.sinh,
    "cosh": vecmath.cosh,
    "exp2": vecmath.exp2,
    "log2": logarithms.log2,
    "log10": logarithms.log10,
    "tan": angles.tan,
    "arcsin": angles.arcsin,
    "arccos": angles.arccos,
}
"""The functions of `runtime/vecmath.py` and its kin, evaluated here on NumPy scalars."""


VECTOR_WORDS = frozenset(f"{op}_{dtype}" for op in VECMATH for dtype in FLOATS)
"""The words that are these functions."""


def arity(op: str) -> int:
    """How many operands a vector function takes."""
    return VECMATH[op].__code__.co_argcount - 1


ELEMENTWISE: dict[str, tuple[Sequence[str], Callable[..., Scalar]]] = {
    "add": (NUMBERS, np.add),
    "sub": (NUMBERS, np.subtract),
    "mul": (NUMBERS, np.multiply),
    "div": (FLOATS, np.divide),
    "neg": (NUMBERS, np.negative),
    "abs": (NUMBERS, np.abs),
    "sign": (NUMBERS, np.sign),
    "floor_divide": (INTEGERS, np.floor_divide),
    "remainder": (INTEGERS, np.remainder),
    "fmod": (INTEGERS, np.fmod),
    "shift_left": (INTEGERS, np.left_shift),
    "shift_right": (INTEGERS, np.right_shift),
    "maximum": (ANY, np.maximum),
    "minimum": (ANY, np.minimum),
    "copysign": (FLOATS, np.copysign),
    "sqrt": (FLOATS, np.sqrt),
    "floor": (FLOATS, np.floor),
    "ceil": (FLOATS, np.ceil),
    "rint": (FLOATS, np.rint),
    "isnan": (FLOATS, np.isnan),
    "isinf": (FLOATS, np.isinf),
    "isfinite": (FLOATS, np.isfinite),
    "not": (("bool",), np.logical_not),
    "add_reassoc": (FLOATS, np.add),
    "mul_reassoc": (FLOATS, np.multiply),
}
"""Name to dtypes and meaning; `<name>_<dtype>` is in the vocabulary for each."""


def _quietly(function: Callable[..., Scalar], dtype: np.dtype, *operands: Scalar) -> Scalar:
    """The function on operands of one dtype, without NumPy's warnings (native code has none)."""
    with np.errstate(all="ignore"):
        return function(*(convert(dtype, x) for x in operands))


def _vector_function(function: Callable[..., Scalar], name: str, *operands: Scalar) -> Scalar:
    with np.errstate(all="ignore"):
        return function(ArrayLanes(name), *(convert(DTYPES[name], x) for x in operands))[()]


def _selected(dtype: np.dtype, condition: Scalar, x: Scalar, y: Scalar) -> Scalar:
    return convert(dtype, x if condition else y)


def convert(dtype: np.dtype, x: Scalar) -> Scalar:
    """A number as a NumPy scalar of `dtype`; integers wrap, as in C."""
    if isinstance(x, int) and not isinstance(x, bool) and dtype.kind in "iu":
        x = (x + 2**63) % 2**64 - 2**63 if dtype.kind == "i" else x % 2**64
        return np.array(x, np.int64 if dtype.kind == "i" else np.uint64).astype(dtype)[()]
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)[()]


def _at(dtype: np.dtype, table: Sequence[Buffer], k: int) -> Buffer:
    """Buffer `k` of the table, seen as `dtype`."""
    return table[k].view(dtype)


def at(buffer: Buffer, n: int) -> Buffer:
    """The buffer that starts `n` elements later."""
    return buffer[n:]


def copy(target: Buffer, source: Buffer, n: int) -> None:
    """target[:n] = source[:n]"""
    target[:n] = source[:n]


def zero(target: Buffer, n: int) -> None:
    """target[:n] = 0"""
    target[:n] = 0


def split(kernel: Callable[..., None], chunks: int, *operands: Any) -> None:
    """kernel(*operands, 0), .., kernel(*operands, chunks - 1)"""
    for chunk in range(chunks):
        kernel(*operands, chunk)


def _matrix(flat: Buffer, rows: int, columns: int, stride: int) -> Buffer:
    """A row-major view of a flat buffer; rows are `stride` elements apart."""
    item = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (stride * item, item))


def _gemm(
    dtype: np.dtype, ta: bool, tb: bool, m: int, n: int, k: int, alpha: Scalar,
    a: Buffer, lda: int, b: Buffer, ldb: int, beta: Scalar, c: Buffer, ldc: int,
) -> None:  # fmt: skip
    left = _matrix(a, k, m, lda).T if ta else _matrix(a, m, k, lda)
    right = _matrix(b, n, k, ldb).T if tb else _matrix(b, k, n, ldb)
    _accumulate(_matrix(c, m, n, ldc), alpha, left @ right, beta)


def _gemv(
    dtype: np.dtype, ta: bool, m: int, n: int, alpha: Scalar,
    a: Buffer, lda: int, x: Buffer, beta: Scalar, y: Buffer,
) -> None:  # fmt: skip
    matrix = _matrix(a, m, n, lda).T if ta else _matrix(a, m, n, lda)
    rows, columns = matrix.shape
    _accumulate(y[:rows], alpha, matrix @ x[:columns], beta)


def _indirect(
    dtype: np.dtype, m: int, n: int, k: int, a: Buffer, rows: Buffer, steps: Buffer,
    b: Buffer, ldb: int, c: Buffer, places: Buffer,
) -> None:  # fmt: skip
    left = a[np.add.outer(rows[:m], steps[:k])]
    np.add.at(c, np.add.outer(places[:m], np.arange(n)), left @ _matrix(b, k, n, ldb))


def _turned(dtype: np.dtype, m: int, n: int, a: Buffer, lda: int, c: Buffer, ldc: int) -> None:
    _matrix(c, n, m, ldc)[...] = _matrix(a, m, n, lda).T


def _argsorted(
    dtype: np.dtype, n: int, x: Buffer, step: int, y: Buffer, ystep: int, scratch: Buffer
) -> None:
    y[: n * ystep : ystep] = np.argsort(x[: n * step : step], kind="stable")


def _sorted(
    dtype: np.dtype, n: int, x: Buffer, step: int, y: Buffer, ystep: int, scratch: Buffer
) -> None:
    y[: n * ystep : ystep] = np.sort(x[: n * step : step], kind="stable")


def _keyed(dtype: np.dtype, n: int, x: Buffer, step: int, scratch: Buffer) -> None:
    """Nothing that `_argselected` needs."""


def _argselected(
    dtype: np.dtype, n: int, low: int, k: int, x: Buffer, step: int, y: Buffer, scratch: Buffer
) -> None:
    y[0] = np.argsort(x[: n * step : step], kind="stable")[k]


_SORTING: dict[str, Callable[..., None]] = {
    "sorted": _sorted,
    "argsorted": _argsorted,
    "keyed": _keyed,
    "selected": _argselected,
}


def _accumulate(target: Buffer, alpha: Scalar, product: Buffer, beta: Scalar) -> None:
    """target = alpha product + beta target, in the target's dtype; beta == 0 reads nothing."""
    scaled = target.dtype.type(alpha) * product
    target[...] = scaled if beta == 0 else scaled + target.dtype.type(beta) * target


def _vocabulary() -> dict[str, Callable[..., Any]]:
    words: dict[str, Callable[..., Any]] = {
        "at": at, "copy": copy, "zero": zero, "split": split,
    }  # fmt: skip
    for name, dtype in DTYPES.items():
        if name != "bool":
            words[name] = partial(convert, dtype)
        words[f"{name}_at"] = partial(_at, dtype)
        words[f"select_{name}"] = partial(_selected, dtype)
        words |= {f"{name}_from_{source}": partial(convert, dtype) for source in DTYPES}
        words |= {f"{routine}_{name}": partial(f, dtype) for routine, f in _SORTING.items()}
    for op, (dtypes, function) in ELEMENTWISE.items():
        words |= {f"{op}_{name}": partial(_quietly, function, DTYPES[name]) for name in dtypes}
    for name in FLOATS:
        for op, vector_function in VECMATH.items():
            words[f"{op}_{name}"] = partial(_vector_function, vector_function, name)
        for routine in ROUTINES:
            meaning = _gemm if routine.endswith("gemm") else _gemv
            words[f"{routine}_{name}"] = partial(meaning, DTYPES[name])
        words[f"indirect_{name}"] = partial(_indirect, DTYPES[name])
        words[f"turned_{name}"] = partial(_turned, DTYPES[name])
    return words


VOCABULARY = _vocabulary()
globals().update(VOCABULARY)
__all__ = list(VOCABULARY)
