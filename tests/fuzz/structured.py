"""Steps of growth for ops with a structure of their own: windows, running totals, sorting and
searching, linear systems, random bits, rows of a network."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from tapeless.ir.dotspec import LETTERS, canonical_spec
from tapeless.ir.graph import Value
from tapeless.ir.matmul import SMALL_BATCH
from tapeless.ir.ops.move import slice_along
from tapeless.ir.types import I32, I64, Type

from .steps import Steps


class Structured(Steps):
    """Windows followed by what convolutions and pooling do with them, systems with a dominant
    diagonal, and the like."""

    # Windows

    def window_steps(self, x: Value) -> dict[str, tuple[int, ...]]:
        """Axes of x, in any order, and windows that fit them."""
        some = [k for k, n in enumerate(x.shape) if n]
        axes = self.rng.sample(some, self.rng.randint(1, min(len(some), 2)))
        sizes, strides, dilations = [], [], []
        for axis in axes:
            n = x.shape[axis]
            sizes.append(self.rng.randint(1, min(n, self.rng.choice((5, 5, 5, 16, 270)))))
            dilation = self.rng.choice((1, 1, 2, 3))
            fits = (sizes[-1] - 1) * dilation < n
            dilations.append(dilation if fits else 1)
            strides.append(self.rng.choice((1, 1, 2, 3)))
        return {
            "axes": tuple(axes), "sizes": tuple(sizes), "strides": tuple(strides),
            "dilations": tuple(dilations),
        }  # fmt: skip

    def windowed(self) -> Value:
        """An array to make windows of, now and then of no images or channels."""
        if self.rng.random() < 0.05:
            shape = [0, self.rng.choice((1, 2, 3)), 5, 4][self.rng.randrange(2) :]
            self.rng.shuffle(shape)
            return self.fresh(Type(self.dtype, tuple(shape)))
        return self.nonempty()

    def window(self) -> Value | None:
        """Windows, then a reduction, a contraction with a kernel, or nothing."""
        x = self.windowed()
        attrs = self.window_steps(x)
        w = self.emit("windows", x, **attrs)
        if w.type.size > self.sizes.elements:
            return None
        inside = tuple(range(x.type.rank, w.type.rank))
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.emit(self.rng.choice(("max", "min", "sum")), w, axes=inside)
        if kind == 1:
            return self.convolution(w, inside)
        if kind == 2:
            self.values.append(w)
            return self.added(self.b.mul(w, self.like(w)), x, attrs)
        if kind == 3:
            return self.emit("slice", w, spec=self.region_of(w.shape))
        return w

    def convolution(self, w: Value, inside: tuple[int, ...]) -> Value | None:
        """Contract the axes inside the windows, and now and then one axis of channels."""
        letters = LETTERS[: w.type.rank]
        summed = [letters[k] for k in inside]
        if self.rng.random() < 0.5:
            summed.insert(0, letters[self.rng.randrange(w.type.rank - len(inside))])
        out = "z" if self.rng.random() < 0.6 else ""
        extents = dict(zip(letters, w.shape, strict=True)) | {"z": self.rng.choice((2, 3, 8))}
        kernel = self.fresh(Type(w.type.dtype, tuple(extents[c] for c in (*out, *summed))))
        if w.type.size * (extents["z"] if out else 1) > self.sizes.work:
            return None
        kept = [c for c in letters if c not in summed]
        kept.insert(self.rng.randint(0, len(kept)), out)
        spec = f"{letters},{out}{''.join(summed)}->{''.join(kept)}"
        return self.bounded(self.dot(w, kernel, spec))

    def added(self, w: Value, x: Value, attrs: dict[str, tuple[int, ...]]) -> Value | None:
        """The adjoint of windows of x, on values like them."""
        extents = tuple(x.shape[k] for k in attrs["axes"])
        if len(w.shape) != x.type.rank + len(extents):
            return None
        return self.emit(
            "windows_add", w, axes=attrs["axes"], extents=extents, strides=attrs["strides"],
            dilations=attrs["dilations"],
        )  # fmt: skip

    def spread(self) -> Value | None:
        """A transposed convolution: each element times a kernel, added up where windows overlap."""
        x = self.windowed()
        some = [k for k, n in enumerate(x.shape) if n]
        axes = tuple(self.rng.sample(some, self.rng.randint(1, min(len(some), 2))))
        sizes, strides, dilations = (
            tuple(self.rng.choice(some) for _ in axes) for some in ((1, 2, 3), (1, 2, 3), (1, 1, 2))
        )
        extents = tuple(
            (x.shape[axis] - 1) * stride + (size - 1) * dilation + 1
            for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True)
        )
        if x.type.size * math.prod(sizes) * math.prod(strides) > self.sizes.elements:
            return None
        letters, inside = LETTERS[: x.type.rank], LETTERS[x.type.rank :][: len(axes)]
        channel = [k for k in range(x.type.rank) if k not in axes]
        kernel, kept = self.fresh(Type(x.type.dtype, sizes)), letters
        spec = f"{letters},{inside}->{letters}{inside}"
        if channel and self.rng.random() < 0.7:
            one = letters[self.rng.choice(channel)]
            shape = (x.shape[letters.index(one)], self.rng.choice((1, 2, 3)), *sizes)
            kernel, kept = self.fresh(Type(x.type.dtype, shape)), letters.replace(one, "z")
            spec = f"{letters},{one}z{inside}->{kept}{inside}"
        return self.emit(
            "windows_add", self.dot(x, kernel, spec), axes=axes, extents=extents, strides=strides,
            dilations=dilations,
        )  # fmt: skip

    # Joins of parts

    def mended(self) -> Value:
        """An array cut along an axis, its parts in another order, backwards or twice, and joined
        again: rolls, reflections and periodic borders. Now and then combined with the array."""
        x = self.nonempty(kinds="ib")
        axis = self.rng.randrange(x.type.rank)
        n = x.shape[axis]
        ends = sorted(
            {0, *(self.rng.randint(0, n) for _ in range(self.rng.choice((0, 1, 1, 2)))), n}
        )
        parts = [(a, b, 1) for a, b in pairwise(ends)]
        if self.rng.random() < 0.4:
            parts.append(self.rng.choice(parts))
        self.rng.shuffle(parts)
        parts = [(b - 1, a - 1, -1) if self.rng.random() < 0.3 else (a, b, s) for a, b, s in parts]
        cut = [self.emit("slice", x, spec=slice_along(x.shape, axis, part)) for part in parts]
        y = self.emit("concatenate", *cut, axis=axis)
        if y.type == x.type and not x.type.is_bool and self.rng.random() < 0.5:
            return self.bounded(self.emit(self.rng.choice(("add", "sub")), y, x))
        return y

    # Products worth a routine

    def product(self) -> Value:
        """A matrix product in any layout, alone or many of them: letters of its rows, columns and
        sums, one of these now and then two, and one around them that some of the places have."""
        rows, columns, summed = ["a"], ["b"], ["c"]
        if self.rng.random() < 0.4:
            self.rng.choice((rows, columns, summed)).append("d")
        places = [rows + summed, summed + columns, rows + columns]
        around = self.rng.choice(((), (0, 1, 2), (0, 2), (1, 2), (0, 1)))
        for k, place in enumerate(places):
            if self.rng.random() < 0.4:  # stored transposed
                place[:] = [c for group in (columns, summed, rows) for c in group if c in place]
            if k in around:
                place.insert(0 if self.rng.random() < 0.7 else 1, "z")
        extents = self.extents_of(places)
        x, y = (
            self.of_type(type_) or self.fresh(type_)
            for type_ in (Type(self.dtype, tuple(extents[c] for c in p)) for p in places[:2])
        )
        spec = f"{''.join(places[0])},{''.join(places[1])}->{''.join(places[2])}"
        if self.rng.random() < 0.15:
            old = self.fresh(Type(self.dtype, tuple(extents[c] for c in places[2])))
            factor = self.b.constant(self.rng.choice((1.0, -0.5, 0.25)), self.dtype)
            return self.emit("dot_acc", old, x, y, factor, spec=canonical_spec(spec))
        return self.bounded(self.b.mul(self.dot(x, y, spec), 1 / 16))

    def extents_of(self, places: list[list[str]]) -> dict[str, int]:
        """Extents of the letters that make a large product of small arrays."""
        while True:
            found = {c: self.rng.choice(self.sizes.products) for p in places for c in p}
            sizes = (math.prod(found[c] for c in place) for place in places)
            work = math.prod(found.values())
            if max(sizes) <= self.sizes.elements // 2 and SMALL_BATCH <= work <= self.sizes.work:
                return found

    # Totals, order, search

    def total(self) -> Value:
        """Running totals, products, extrema and recurrences, now and then of a move, and a part of
        them."""
        x = self.nonempty(kinds="i")
        if self.rng.random() < 0.3:
            x = self.emit("slice", x, spec=tuple((n - 1, -1, -1) for n in x.shape))
        if self.rng.random() < 0.3:
            perm = tuple(self.rng.sample(range(x.type.rank), x.type.rank))
            x = self.emit("transpose", x, perm=perm)
        y = self.scan(x, self.rng.randrange(x.type.rank))
        if self.rng.random() < 0.4:
            return self.emit("slice", y, spec=self.region_of(y.shape))
        return self.bounded(y)

    def scan(self, x: Value, axis: int) -> Value:
        """A running operation; factors and weights are such that products stay finite."""
        op = self.rng.choice(("cumsum", "cumsum", "cumprod", "cummax", "cummin", "recurrence"))
        backwards = self.rng.random() < 0.5
        if op in ("cummax", "cummin"):
            return self.emit(op, x, axis=axis)
        if op == "cumsum":
            return self.emit(op, x, axis=axis, reverse=backwards)
        if op == "cumprod":
            return self.emit(op, self.factors(x), axis=axis)
        weights = self.factors(self.of_type(x.type) or x)
        return self.emit(
            op, weights, x, axis=axis, reverse=backwards, exclusive=self.rng.random() < 0.3
        )

    def factors(self, x: Value) -> Value:
        """Numbers like x, but none above 1, or near 1."""
        if not x.type.is_float:
            return x
        small = self.b.tanh(x)
        return small if self.rng.random() < 0.5 else self.b.add(self.b.mul(small, 0.01), 1.0)

    def order(self) -> Value:
        """Sort along an axis, by the permutation and a gather or not, and what stands where."""
        x = self.nonempty(exact=True, kinds="i")
        axis, n = self.rng.randrange(x.type.rank), x.type.size
        if self.rng.random() < 0.5:
            kth = tuple(k for k in range(x.shape[axis]) if self.rng.random() < 0.3)
            self.values.append(self.emit("argsort", x, axis=axis))
            self.values.append(self.emit("argselect", x, axis=axis, kth=kth))
            self.values.append(self.emit("sort", x, axis=axis))
        flat = self.emit("reshape", x, shape=(n,))
        if self.rng.random() < 0.5:
            return self.emit("sort", flat, axis=0)
        return self.emit("gather", flat, self.emit("argsort", flat, axis=0), axes=(0,))

    def search(self) -> Value:
        """Where exact values lie in a sorted array, and how many in each gap."""
        ordered, keys = self.order(), self.nonempty(exact=True, kinds="i")
        if keys.type.dtype != ordered.type.dtype:
            keys = ordered
        right = self.rng.random() < 0.5
        found = self.emit("searchsorted", ordered, keys, right=right)
        self.values.append(found)
        gaps = self.b.full((ordered.type.size + 1,), 0, I64)
        ones = self.b.full(found.shape, 1, I64)
        return self.emit("scatter_add", gaps, ones, found, axes=(0,))

    def turned(self) -> Value:
        """Two transposes in a row, or one that a contraction reads; rank 3 tells a permutation
        from its inverse."""
        x = self.nonempty(rank=3) if self.rng.random() < 0.5 else self.fresh(
            Type(self.dtype, tuple(self.rng.sample((2, 3, 4, 5), 3)))
        )  # fmt: skip
        for _ in range(2):
            x = self.b.transpose(x, perm=tuple(self.rng.sample(range(x.type.rank), x.type.rank)))
        if self.rng.random() < 0.5:
            return x
        letters = LETTERS[: x.type.rank]
        k = self.rng.randrange(x.type.rank)
        kernel = self.fresh(Type(x.type.dtype, (x.shape[k], 3)))
        return self.dot(x, kernel, f"{letters},{letters[k]}z->{letters.replace(letters[k], 'z')}")

    # Linear systems

    def matrix(self) -> Value:
        """[.., n, n] with a dominant diagonal, its rows exchanged now and then."""
        a = self.pick(
            lambda v: v.type.is_float and v.type.rank in (2, 3) and v.shape[-1] == v.shape[-2]
            and 0 < v.shape[-1] <= 17
        )  # fmt: skip
        if a is None:
            n = self.rng.choice((1, 2, 3, 5, 5, 8))
            a = self.fresh(Type(self.dtype, (n, n) if self.rng.random() < 0.7 else (2, n, n)))
        n = a.shape[-1]
        a = self.b.add(self.b.tanh(a), self.b.constant(2 * n * np.eye(n), a.type.dtype))
        kind = self.rng.random()
        if kind < 0.2:
            whole = tuple((0, m, 1) for m in a.shape[:-2])
            a = self.b.slice(a, spec=(*whole, (n - 1, -1, -1), (0, n, 1)))
        elif kind < 0.7 and a.type.rank == 2:
            a = self.b.gather(a, self.given(np.array(self.rng.sample(range(n), n))), axes=(0,))
        return a

    def right_side(self, a: Value) -> Value:
        found = self.pick(
            lambda v: v.type.dtype == a.type.dtype and v.shape[:-1] == a.shape[:-1]
            and v.type.rank == a.type.rank and v.type.size > 0
        )  # fmt: skip
        columns = self.rng.choice((1, 2, 5))
        return found or self.fresh(Type(a.type.dtype, (*a.shape[:-1], columns)))

    def system(self) -> Value:
        """A solution, a factor, a determinant, an inverse."""
        a = self.matrix()
        kind = self.rng.randrange(5)
        flags = [self.rng.random() < 0.5 for _ in range(2)]
        if kind == 0:
            return self.emit("solve", a, self.right_side(a), transposed=flags[0])
        if kind == 1:
            n = a.shape[-1]
            diagonal = self.b.constant(2 * n * np.eye(n), a.type.dtype)
            a = self.b.add(self.b.tanh(a), diagonal)
            return self.emit(
                "solve_triangular", a, self.right_side(a), lower=flags[0], transposed=flags[1]
            )
        if kind == 2:
            return self.definite(a, *flags)
        if kind == 3:
            return self.emit(self.rng.choice(("logabsdet", "logabsdet", "det_sign")), a)
        eye = self.b.constant(np.eye(a.shape[-1]), a.type.dtype)
        inverse = self.emit("solve", a, self.b.broadcast(eye, shape=a.shape), transposed=flags[0])
        return self.b.add(inverse, self.emit("solve", a, self.right_side(a))) if (
            inverse.shape[-1] == 1
        ) else inverse  # fmt: skip

    def definite(self, a: Value, solved: bool, transposed: bool) -> Value:
        """The Cholesky factor of a^T a + n I, or a solution by it."""
        rows = "cab,cad->cbd" if a.type.rank == 3 else "ab,ac->bc"
        n = a.shape[-1]
        square = self.dot(a, a, rows)
        factor = self.emit(
            "cholesky", self.b.add(square, self.b.constant(n * np.eye(n), a.type.dtype))
        )
        if not solved:
            return factor
        self.values.append(factor)
        if transposed:
            batch = tuple(range(a.type.rank - 2))
            factor = self.b.transpose(factor, perm=(*batch, a.type.rank - 1, a.type.rank - 2))
        return self.emit("solve", factor, self.right_side(a), transposed=self.rng.random() < 0.5)

    # Random numbers

    def bits(self) -> Value:
        """Random bits by a counter, some of them as a float in [0, 1)."""
        shape, dtype = self.shape(), self.rng.choice((I32, I64))
        key = self.given(np.array([self.rng.getrandbits(40), self.rng.getrandbits(20)]))
        found = self.emit(
            "random_bits", key, shape=shape, dtype=dtype, domain=self.rng.randrange(3)
        )
        if self.rng.random() < 0.3:
            return found
        few = self.emit("bit_and", self.emit("shift_right", found, self.b.constant(7, dtype)),
                        self.b.constant(1023, dtype))  # fmt: skip
        return self.b.mul(self.emit("cast", few, dtype=self.dtype), 1 / 1024)
