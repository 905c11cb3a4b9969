"""Products of tensors. Every one becomes `dot` nodes over letters, two operands at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...ir.dotspec import LETTERS, canonical_spec
from ...ir.errors import ShapeError
from ...ir.types import BOOL, I64
from .lenses import Diagonal, Permute, Reshape
from .promotion import as_array, convert, recorder_now, result_dtype
from .reductions import normal_axis, reduce
from .registry import Array, implements
from .shapes import moveaxis


class Term(NamedTuple):
    """A tensor and the letters of its axes."""

    array: Array
    letters: str


def contract(terms: Sequence[Term], out: str) -> Array:
    """Multiply the terms and sum over the letters that `out` lacks (einsum).

    Operands are taken pair by pair, the cheapest pair first; letters needed no more are summed
    as early as possible.
    """
    dtype = result_dtype([t.array for t in terms])
    if dtype == BOOL:
        return contract([Term(convert(t.array, I64), t.letters) for t in terms], out) != 0
    work = [Term(convert(t.array, dtype), t.letters) for t in terms]
    extents = _extents(work)
    work = [_distinct(t, extents) for t in work]
    while len(work) > 1:
        i, j = _cheapest(work, extents)
        rest = [t for k, t in enumerate(work) if k not in (i, j)]
        needed = out + "".join(t.letters for t in rest)
        work = [*rest, _pair(work[i], work[j], needed, out if not rest else None)]
    return _finish(work[0], out)


def _extents(terms: Sequence[Term]) -> dict[str, int]:
    """The extent of each letter; an axis of extent 1 broadcasts against a longer one."""
    extents: dict[str, int] = {}
    for term in terms:
        for letter, n in zip(term.letters, term.array.shape, strict=True):
            known = extents.get(letter, 1)
            if 1 not in (n, known) and n != known:
                raise ShapeError(f"einsum: letter {letter!r} is {known} long and {n} long")
            extents[letter] = n if known == 1 else known
    return extents


def _distinct(term: Term, extents: dict[str, int]) -> Term:
    """Axes that broadcast are dropped, repeated letters become a diagonal."""
    array, letters = term
    kept = [k for k, x in enumerate(letters) if array.shape[k] == extents[x]]
    if len(kept) != len(letters):
        array = array.through(Reshape(tuple(array.shape[k] for k in kept)))
        letters = "".join(letters[k] for k in kept)
    for p, q in pairwise(dict.fromkeys(letters)):
        if letters.count(p) > 1 and letters.count(p + q) == letters.count(p) == letters.count(q):
            return _together(Term(array, letters), p, q, extents)
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            i, j = letters.index(letter), letters.rindex(letter)
            array = array.through(Diagonal(i, j, 0))
            letters = "".join(x for k, x in enumerate(letters) if k not in (i, j)) + letter
    return Term(array, letters)


def _together(term: Term, p: str, q: str, extents: dict[str, int]) -> Term:
    """Repeated letters that always stand side by side are one while diagonals are taken."""
    array, letters = term
    n, m, one = extents[p], extents[q], letters.replace(p + q, p)
    joined = array.through(Reshape(tuple(n * m if x == p else extents[x] for x in one)))
    array, letters = _distinct(Term(joined, one), {**extents, p: n * m})
    shape = [e for x in letters for e in ((n, m) if x == p else (extents[x],))]
    return Term(array.through(Reshape(tuple(shape))), letters.replace(p, p + q))


def _cheapest(terms: Sequence[Term], extents: dict[str, int]) -> tuple[int, int]:
    pairs = [(i, j) for j in range(len(terms)) for i in range(j)]

    def work(pair: tuple[int, int]) -> int:
        letters = set(terms[pair[0]].letters) | set(terms[pair[1]].letters)
        return math.prod(extents[x] for x in letters)

    return min(pairs, key=work)


def _pair(x: Term, y: Term, needed: str, out: str | None) -> Term:
    """One dot; its result keeps the letters in `needed`, in the order of `out` if given."""
    x, y = _summed(x, y.letters + needed), _summed(y, x.letters + needed)
    both = dict.fromkeys(x.letters + y.letters)
    letters = "".join(a for a in (both if out is None else out) if a in both and a in needed)
    recorder = recorder_now()
    spec = canonical_spec(f"{x.letters},{y.letters}->{letters}")
    value = recorder.builder.dot(x.array.value, y.array.value, spec=spec)
    return Term(recorder.fresh(value, scalar=False), letters)


def _summed(term: Term, kept: str) -> Term:
    """Sum over the letters nothing else mentions."""
    gone = tuple(k for k, x in enumerate(term.letters) if x not in kept)
    if not gone:
        return term
    letters = "".join(x for x in term.letters if x in kept)
    return Term(reduce("sum", term.array, gone, keepdims=False), letters)


def _finish(term: Term, out: str) -> Array:
    array, letters = _summed(term, out)
    if set(letters) == set(out):
        return array.through(Permute(tuple(letters.index(x) for x in out)))
    raise ShapeError(f"einsum: the result's letters {out!r} must be among the operands'")


@implements(np.matmul, np.linalg.matmul)
def matmul(x1: Any, x2: Any, dtype: Any = None) -> Array:
    """np.matmul, `@`."""
    x, y = as_array(x1, dtype), as_array(x2, dtype)
    if not x.ndim or not y.ndim:
        raise ShapeError(f"matmul: {x.shape} @ {y.shape}: a scalar cannot be multiplied, use *")
    rows, inner = x.shape[:-1][-1:], x.shape[-1]
    if inner != y.shape[max(y.ndim - 2, 0)]:
        against = f"{inner} vs {y.shape[max(y.ndim - 2, 0)]}"
        raise ShapeError(f"matmul: {_show(x)} @ {_show(y)} do not match ({against})")
    batch = _batch(x.shape[:-2], y.shape[:-2])
    left = batch[len(batch) - max(x.ndim - 2, 0) :] + ("i" if rows else "") + "k"
    right = batch[len(batch) - max(y.ndim - 2, 0) :] + "k" + ("j" if y.ndim > 1 else "")
    out = batch + ("i" if rows else "") + ("j" if y.ndim > 1 else "")
    layout = not batch or (x.contiguous and y.contiguous)  # else NumPy keeps the order of a stack
    product = contract([Term(x, left), Term(y, right)], out)
    return recorder_now().fresh(product.value, contiguous=layout)


def _show(x: Array) -> str:
    return str(x.shape).replace(" ", "")


def _batch(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    try:
        rank = len(np.broadcast_shapes(x, y))
    except ValueError:
        raise ShapeError(f"matmul: batch axes {x} and {y} do not broadcast") from None
    return LETTERS[26 : 26 + rank]


def _dense(x: Array) -> Array:
    """A product NumPy returns as a new C-contiguous array, or a scalar for shape ()."""
    return recorder_now().fresh(x.value)


@implements(np.dot, method="dot")
def dot(a: Any, b: Any) -> Array:
    """np.dot: sums over the last axis of `a` and the last but one of `b`."""
    x, y = as_array(a), as_array(b)
    if not x.ndim or not y.ndim:
        return x * y
    inner = y.ndim - 2 if y.ndim > 1 else 0
    if x.shape[-1] != y.shape[inner]:
        against = f"{x.shape[-1]} vs {y.shape[inner]}"
        raise ShapeError(f"dot: {_show(x)} and {_show(y)} do not match ({against})")
    return _paired(x, y, [x.ndim - 1], [inner])


def _paired(x: Array, y: Array, left: Sequence[int], right: Sequence[int]) -> Array:
    """Sum over pairs of axes; the free axes of x come first, then those of y."""
    first = LETTERS[: x.ndim]
    fresh = iter(LETTERS[x.ndim :])
    pairs = {j: first[i] for i, j in zip(left, right, strict=True)}
    second = "".join(pairs[j] if j in pairs else next(fresh) for j in range(y.ndim))
    out = [c for i, c in enumerate(first) if i not in left]
    out += [c for j, c in enumerate(second) if j not in right]
    return _dense(contract([Term(x, first), Term(y, second)], "".join(out)))


@implements(np.inner)
def inner(a: Any, b: Any) -> Array:
    """np.inner: sums over the last axes."""
    x, y = as_array(a), as_array(b)
    if not x.ndim or not y.ndim:
        return x * y
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"inner: {x.shape} and {y.shape} do not match in the last axis")
    return _paired(x, y, [x.ndim - 1], [y.ndim - 1])


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Array:
    """np.vdot: the dot product of the flattened arrays."""
    return dot(as_array(a).flatten(), as_array(b).flatten())


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Array:
    """np.vecdot: dot products along one axis, broadcasting the others."""
    x, y = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    return matmul(x[..., None, :], y[..., :, None])[..., 0, 0]


@implements(*(getattr(np, name) for name in ("matvec",) if hasattr(np, name)))
def matvec(x1: Any, x2: Any) -> Array:
    """np.matvec: matrices times vectors, broadcasting the axes in front."""
    if as_array(x1).ndim < 2:
        raise ShapeError(
            f"np.matvec: {as_array(x1).shape} is the shape of no matrix; use np.vecdot"
        )
    return matmul(x1, as_array(x2)[..., None])[..., 0].copy()


@implements(*(getattr(np, name) for name in ("vecmat",) if hasattr(np, name)))
def vecmat(x1: Any, x2: Any) -> Array:
    """np.vecmat: vectors times matrices, broadcasting the axes in front."""
    if as_array(x2).ndim < 2:
        raise ShapeError(
            f"np.vecmat: {as_array(x2).shape} is the shape of no matrix; use np.vecdot"
        )
    return matmul(as_array(x1)[..., None, :], x2)[..., 0, :].copy()


@implements(np.outer)
def outer(a: Any, b: Any) -> Array:
    """np.outer of the flattened arrays."""
    x, y = as_array(a), as_array(b)
    x, y = x.reshaped((x.size,)), y.reshaped((y.size,))
    return _dense(contract([Term(x, "a"), Term(y, "b")], "ab"))


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Array:
    """np.tensordot."""
    x, y = as_array(a), as_array(b)
    if hasattr(axes, "__index__"):
        n = int(axes)
        left, right = list(range(x.ndim - n, x.ndim)), list(range(n))
    else:
        left, right = ([k] if hasattr(k, "__index__") else list(k) for k in axes)
    left = [normal_axis(k, x.ndim) for k in left]
    right = [normal_axis(k, y.ndim) for k in right]
    if [x.shape[k] for k in left] != [y.shape[k] for k in right]:
        raise ShapeError(f"tensordot: {x.shape} and {y.shape} do not match over {axes}")
    return _paired(x, y, left, right)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Array:
    """np.linalg.multi_dot; the order of the products is chosen by cost, as for einsum."""
    terms, letters = [], iter(LETTERS)
    left = next(letters)
    for k, array in enumerate(map(as_array, arrays)):
        right = next(letters)
        ends = (0 < k < len(arrays) - 1) or array.ndim == 2
        name = left + right if ends else (right if k == 0 else left)
        terms.append(Term(array, name))
        left = right
    free = [terms[0].letters[0]] if len(terms[0].letters) == 2 else []
    free += [terms[-1].letters[1]] if len(terms[-1].letters) == 2 else []
    return _dense(contract(terms, "".join(free)))


@implements(np.einsum)
def einsum(subscripts: Any, *operands: Any, optimize: Any = False) -> Array:
    """np.einsum with a subscripts string, implicit or explicit, any number of operands."""
    if not isinstance(subscripts, str):
        subscripts, operands = _spelled(subscripts, *operands)
    arrays = [as_array(x) for x in operands]
    inputs, out = _parse(subscripts.replace(" ", ""), arrays)
    terms = [Term(x, letters) for x, letters in zip(arrays, inputs, strict=True)]
    if len(terms) == 1 and _is_view(inputs[0], out):
        return contract(terms, out)
    result = contract(terms, out)
    return recorder_now().fresh(result.value, contiguous=result.ndim < 2)


def _spelled(*given: Any) -> tuple[str, tuple[Any, ...]]:
    """einsum(x, [0, 1], y, [1, 2], [0, 2]) as a string of subscripts and the operands."""
    lists, operands = given[1::2], given[: len(given) - len(given) % 2 : 2]
    out = given[-1] if len(given) % 2 else None

    def word(numbers: Any) -> str:
        if not all(n is Ellipsis or 0 <= n < len(LETTERS) for n in numbers):
            raise ShapeError(f"einsum: axes {numbers} must lie between 0 and {len(LETTERS) - 1}")
        return "".join("..." if n is Ellipsis else LETTERS[n] for n in numbers)

    text = ",".join(word(numbers) for numbers in lists)
    return (text if out is None else f"{text}->{word(out)}"), operands


def _is_view(letters: str, out: str) -> bool:
    """Whether nothing is summed: NumPy then returns a view, and so do we."""
    return set(letters) == set(out)


def _parse(subscripts: str, arrays: Sequence[Array]) -> tuple[list[str], str]:
    """Letters of each operand and of the result, with ellipses spelled out."""
    left, arrow, out = subscripts.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(arrays):
        raise ShapeError(f"einsum {subscripts!r}: {len(inputs)} terms for {len(arrays)} operands")
    spare = [c for c in LETTERS if c not in subscripts]
    longest = ""
    for k, (term, array) in enumerate(zip(inputs, arrays, strict=True)):
        dots = array.ndim - len(term.replace("...", ""))
        if dots < 0 or (dots and "..." not in term):
            raise ShapeError(f"einsum {subscripts!r}: {term!r} does not fit {array.shape}")
        hidden = "".join(spare[:dots][::-1])
        longest = max(longest, hidden, key=len)
        inputs[k] = term.replace("...", hidden)
    if not arrow:
        every = "".join(inputs)
        once = sorted(c for c in set(every) - set(longest) if every.count(c) == 1)
        out = longest + "".join(once)
    out = out.replace("...", longest)
    if len(set(out)) != len(out) or not set(out) <= set("".join(inputs)):
        raise ShapeError(f"einsum {subscripts!r}: the result's letters must be distinct and known")
    return inputs, out
