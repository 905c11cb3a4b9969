"""Steps of growth: one op, or the few that make it meaningful, on values that fit.

Functions that jump (floor, comparisons, sorting) are applied to values that every executor
computes exactly.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from sampling import draw_operands
from tapeless.ir.dotspec import LETTERS, canonical_spec
from tapeless.ir.graph import Graph, Node, Value
from tapeless.ir.op import OPS, Op
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F32, F64, I32, I64, Type

from .growing import Growing

JUMPS: Final = frozenset({
    "sign", "floor", "ceil", "rint", "isnan", "isinf", "isfinite", "lt", "le", "gt", "ge", "eq",
    "ne", "floor_divide", "remainder", "fmod", "copysign", "argmax", "argmin", "argsort",
    "argselect", "cast", "arctan2",
})  # fmt: skip
"""Ops that make a large difference of a rounding error, or of the sign of a zero."""
GUARDED: Final = {"log": 0.1, "sqrt": 0.1, "log1p": 0.1, "arccosh": 1.1, "cbrt": 0.1}
"""Ops that are steep at the edge of their domain: applied to |x| + this."""
INSIDE: Final = frozenset({"arctanh", "power"})
GOLDEN: Final = Path(__file__).resolve().parents[1] / "passes" / "golden"


@cache
def motif_graphs() -> tuple[Graph, ...]:
    """`motifs`, parsed."""
    return tuple(map(parse, motifs()))


@cache
def motifs() -> tuple[str, ...]:
    """The texts of the graphs that the rewrite rules are documented with, one or more a rule."""
    texts: list[str] = []
    for file in sorted(GOLDEN.glob("*.ir")):
        for block in file.read_text().split("## ")[1:]:
            texts.append(block.partition("\n")[2].partition("\n=>\n")[0].strip())
    return tuple(texts)


@cache
def elementwise(arity: int, kinds: str) -> tuple[Op, ...]:
    """The elementwise ops of so many operands whose first sample of these kinds exists."""
    found = []
    for op in OPS.values():
        if op.kind == "elementwise" and op.name not in ("cast", "select"):
            for sample in op.samples:
                types = sample.operands
                if len(types) == arity and all(
                    (x.dtype if isinstance(x, Type) else np.asarray(x).dtype).kind in kinds
                    for x in types
                ):
                    found.append(op)
                    break
    return tuple(found)


class Steps(Growing):
    """The steps for elementwise ops, reductions, contractions, moves and indexing."""

    def unary(self) -> Value:
        op = self.rng.choice(elementwise(1, "f"))
        x = self.floating(exact=op.name in JUMPS)
        if op.name in GUARDED:
            x = self.b.add(self.b.abs(x), GUARDED[op.name])
        elif op.name in INSIDE:
            x = self.b.mul(self.b.tanh(x), 0.9)
        elif op.name in ("exp", "expm1", "softplus", "sinh", "cosh"):
            x = self.bounded(x)
        return self.emit(op.name, x)

    def binary(self) -> Value:
        op = self.rng.choice(elementwise(2, "f"))
        exact = op.name in JUMPS
        x = self.floating(exact=exact)
        y = self.like(x, exact=exact)
        if op.name == "power":
            x, y = self.b.add(self.b.abs(x), 0.1), self.b.tanh(y)
        elif op.name in ("div", "floor_divide", "remainder", "fmod"):
            y = self.b.add(self.b.abs(y), 0.5)
        if self.rng.random() < 0.5:
            x, y = (y, x) if op.name not in ("power", "div", "remainder", "fmod") else (x, y)
        return self.bounded(self.emit(op.name, x, y))

    def number(self) -> Value:
        """A known number on either side, as a scalar or spread over a shape."""
        x = self.floating()
        name = self.rng.choice(("add", "sub", "mul", "div", "maximum", "minimum", "power"))
        k: Value = self.b.constant(
            self.rng.choice((0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0)), x.type.dtype
        )
        if name == "power":
            x = self.b.add(self.b.abs(x), 0.1)
            return self.emit(name, x, k)
        if self.rng.random() < 0.4:
            k = self.b.broadcast(k, shape=x.shape)
        if self.rng.random() < 0.5 and name != "div":
            x, k = k, x
        elif name == "div":
            k = self.b.constant(self.rng.choice((1.0, -1.0, 2.0, 3.0)), x.type.dtype)
        return self.emit(name, x, k)

    def choice(self) -> Value:
        x = self.anything()
        y = self.like(x)
        shape = np.broadcast_shapes(x.shape, y.shape)
        c = self.boolean(shape)
        if self.rng.random() < 0.3:
            c = self.emit("not", c)
        return self.emit("select", c, x, y)

    def convert(self) -> Value:
        if self.rng.random() < 0.3:
            return self.emit(
                "cast", self.other(), dtype=self.rng.choice((F32, F64, BOOL, I32, I64))
            )
        x = self.floating()
        dtype = self.rng.choice((F32, F64) if self.rng.random() < 0.7 else (BOOL, I32, I64))
        if dtype.kind != "f":
            x = self.floating(exact=True)
        y = self.emit("cast", x, dtype=dtype)
        return y if dtype.kind == "f" else self.emit("cast", y, dtype=self.dtype)

    def integers(self) -> Value:
        """Integer and Boolean ops, on values that are exact anyway."""
        ops = self.rng.choice((elementwise(1, "i"), elementwise(2, "i"), elementwise(2, "b")))
        op = self.rng.choice(ops)
        x = self.other(kinds="b" if ops is elementwise(2, "b") else "i")
        operands = (x,) if ops is elementwise(1, "i") else (x, self.like(x, exact=True))
        if op.name in ("floor_divide", "remainder", "fmod", "power", "shift_left", "shift_right"):
            last = self.b.add(self.b.remainder(self.b.abs(operands[-1]), 5), 1)
            operands = (*operands[:-1], last)
        return self.emit(op.name, *operands)

    def counting(self) -> Value:
        """Positions along an axis: as they are, compared with values or with each other (one-hot
        rows, triangles), or as one more term."""
        x = self.anything(kinds="i", rank=1)
        axis = self.rng.randrange(x.type.rank)
        dtype = self.rng.choice((x.type.dtype, I64, I32, F32, F64))
        n = self.b.emit("iota", (), {"n": x.shape[axis], "dtype": dtype}).result
        self.exact.add(n)
        column = tuple(m if k == axis else 1 for k, m in enumerate(x.shape[: axis + 1]))
        n = self.emit("reshape", n, shape=(*column, *(1 for _ in x.shape[axis + 1 :])))
        if dtype != x.type.dtype:
            return n
        if x in self.exact and self.rng.random() < 0.5:
            return self.emit(self.rng.choice(("lt", "le", "eq", "ge")), x, n)
        return self.emit(self.rng.choice(("add", "sub", "mul", "maximum", "minimum")), x, n)

    def reduce(self) -> Value:
        if self.rng.random() < 0.15:
            x = self.nonempty(exact=True, kinds="ib")
            op = self.rng.choice(("argmax", "argmin"))
            return self.emit(op, x, axis=self.rng.randrange(x.type.rank))
        op = self.rng.choice(("sum", "sum", "max", "min", "any", "all"))
        x = self.anything(kinds="i") if op == "sum" else self.nonempty(kinds="i")
        if op in ("any", "all"):
            x = self.other(kinds="b")
        axes = tuple(k for k in range(x.type.rank) if self.rng.random() < 0.6)
        y = self.emit(op, x, axes=axes)
        if self.rng.random() < 0.5:
            y = self.emit(
                "reshape", y, shape=tuple(1 if k in axes else n for k, n in enumerate(x.shape))
            )
        return self.bounded(y)

    def contract(self) -> Value | None:
        """A `dot` with letters drawn at random: shared, summed over one side, kept."""
        x = self.anything(kinds="i", rank=self.rng.choice((0, 1, 2)))
        others = [v for v in self.values if v.type.dtype == x.type.dtype]
        y = self.rng.choice(others) if others else x
        lhs = list(LETTERS[: x.type.rank])
        extents = dict(zip(lhs, x.shape, strict=True))
        rhs: list[str] = []
        for n in y.shape:
            shared = [c for c in lhs if extents[c] == n and c not in rhs]
            if shared and self.rng.random() < 0.7:
                rhs.append(self.rng.choice(shared))
            else:
                rhs.append(new := LETTERS[len(extents)])
                extents[new] = n
        both = [c for c in lhs if c in rhs]
        kept = [c for c in extents if self.rng.random() < (0.3 if c in both else 0.9)]
        self.rng.shuffle(kept)
        if np.prod(list(extents.values())) > self.sizes.work:
            return None
        spec = f"{''.join(lhs)},{''.join(rhs)}->{''.join(kept)}"
        return self.bounded(self.dot(x, y, spec))

    def mix(self) -> Value | None:
        """A square matrix along an axis, and the result combined with what it is of."""
        x = self.floating(rank=1)
        axis = self.rng.randrange(x.type.rank)
        n = x.shape[axis]
        if n * x.type.size > self.sizes.work:
            return None
        matrix = Type(x.type.dtype, (n, n))
        letters = LETTERS[: x.type.rank]
        a, z = letters[axis], LETTERS[x.type.rank]
        spec = f"{a}{z},{letters}->{letters.replace(a, z)}"
        y = self.dot(self.of_type(matrix) or self.fresh(matrix), x, spec)
        if self.rng.random() < 0.3:
            return self.bounded(y)
        return self.bounded(self.emit(self.rng.choice(("mul", "mul", "add", "sub")), x, y))

    def dot(self, x: Value, y: Value, spec: str) -> Value:
        return self.emit("dot", x, y, spec=canonical_spec(spec))

    def move(self) -> Value:
        x = self.anything()
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.emit(
                "transpose", x, perm=tuple(self.rng.sample(range(x.type.rank), x.type.rank))
            )
        if kind == 1:
            return self.emit("reshape", x, shape=self.factored(x.type.size))
        if kind == 2:
            shape = tuple(self.rng.choice(self.dims) if n == 1 else n for n in x.shape)
            if self.rng.random() < 0.5:
                shape = (self.rng.choice((1, 2, 3)), *shape)
            return self.emit("broadcast", x, shape=shape)
        if kind == 3:
            return self.emit("slice", x, spec=self.region_of(x.shape))
        low, high = (tuple(self.rng.choice((0, 0, 1, 2)) for _ in x.shape) for _ in range(2))
        return self.emit("pad", x, low=low, high=high)

    def join(self) -> Value:
        x = self.anything(rank=1)
        axis = self.rng.randrange(x.type.rank)

        def fits(v: Value) -> bool:
            return v.type.dtype == x.type.dtype and v.type.rank == x.type.rank and all(
                m == n or k == axis for k, (m, n) in enumerate(zip(v.shape, x.shape, strict=True))
            )  # fmt: skip

        parts = [self.pick(fits) or x for _ in range(self.rng.choice((1, 2, 2, 2, 3, 3, 10)))]
        return self.emit("concatenate", *parts, axis=axis)

    def region(self) -> Value:
        """Write or add into a regular part."""
        x = self.anything(rank=1)
        spec = self.region_of(x.shape)
        part = self.emit("slice", self.of_type(x.type) or x, spec=spec)
        return self.emit(self.rng.choice(("update", "add_at")), self.or_zeros(x), part, spec=spec)

    def positions(self, x: Value) -> tuple[tuple[int, ...], list[Value]]:
        """Axes of x, and index arrays in range for them (repeats and negatives included)."""
        axes = tuple(sorted(self.rng.sample(range(x.type.rank), self.rng.randint(1, x.type.rank))))
        count = self.rng.choice((1, 2, 5, 8))
        shape: tuple[int, ...] = (count,) if self.rng.random() < 0.7 else (2, count)
        if self.reach and self.rng.random() < 0.5:
            shape = self.rng.choice(list(self.reach)).shape
        found: list[Value] = []
        for axis in axes:
            n = x.shape[axis]
            if self.rng.random() < 0.25 and len(axes) == 1 and n:
                return axes, [self.b.iota(n=n)]
            found.append(self.indices(shape, n))
            shape = found[-1].shape
        return axes, found

    def indices(self, shape: tuple[int, ...], n: int) -> Value:
        """Indices of an axis of n elements: of another axis if they fit. In a careless program one
        does not."""
        there = [v for v in self.reach if v.shape == shape]
        larger = [v for v in there if self.reach[v] > n]
        wrong = self.careless and self.rng.random() < (0.7 if larger else 0.2)
        used = larger if wrong else [v for v in there if v not in larger]
        if used and self.rng.random() < (0.8 if wrong else 0.5):
            value = self.rng.choice(used)
        else:
            value = self.at_the_ends(shape, n + wrong)
            self.reach[value] = n + wrong
        self.careless = self.careless and not wrong
        return value

    def at_the_ends(self, shape: tuple[int, ...], n: int) -> Value:
        """Indices of an axis of n elements, one of them the first or the last."""
        value = self.fresh(Type(I64, shape), n)
        if n:
            self.arguments[-1].flat[self.rng.randrange(value.type.size)] = self.rng.choice(
                (n - 1, n - 1, -n, 0)
            )
        return value

    def index(self) -> Value:
        x = self.nonempty(kinds="ib")
        axes, indices = self.positions(x)
        return self.emit("gather", x, *indices, axes=axes)

    def scatter(self) -> Value:
        x = self.nonempty(kinds="ib")
        axes, indices = self.positions(x)
        part = self.emit("gather", self.of_type(x.type) or x, *indices, axes=axes)
        op = self.rng.choice(("scatter", "scatter_add", "scatter_add"))
        return self.emit(op, self.or_zeros(x), part, *indices, axes=axes)

    def rows(self) -> Value:
        """Softmax and its kin, as one op or written out."""
        x = self.nonempty()
        axis = self.rng.randrange(x.type.rank)
        if self.rng.random() < 0.5:
            return self.emit(self.rng.choice(("softmax", "logsumexp")), x, axis=axis)
        ones = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
        if self.rng.random() < 0.5:
            x = self.b.sub(x, self.b.reshape(self.b.max(x, axes=(axis,)), shape=ones))
        e = self.b.exp(x)
        total = self.b.reshape(self.b.sum(e, axes=(axis,)), shape=ones)
        p = self.b.div(e, total)
        return self.b.log(p if self.rng.random() < 0.5 else total)

    def motif(self) -> Value | None:
        """The graph a rule is documented with, on values of the program where types agree."""
        graph = self.rng.choice(motif_graphs())
        jumps = any(node.op.name in JUMPS for node in graph.nodes)
        operands = []
        for v in graph.inputs:
            # Indices of a motif must be in range, so they are its own.
            found = None if v.type.is_integer else self.of_type(v.type)
            if found is None or (jumps and found not in self.exact):
                found = self.fresh(v.type, 2 if v.type.is_integer else None)
            operands.append(found)
        results = self.copied(graph, operands)
        self.values += [v for v in results[1:] if v not in self.values]
        return results[0]

    def copied(self, graph: Graph, operands: list[Value]) -> list[Value]:
        """The outputs of a copy of the graph, which may have been copied here before."""
        env = dict(zip(graph.inputs, operands, strict=True))
        for node in graph.nodes:
            results = tuple(Value(v.type, v.name) for v in node.results)
            self.b.append(Node(node.op, tuple(env[v] for v in node.operands), results, node.attrs))
            env.update(zip(node.results, results, strict=True))
        return [env[v] for v in graph.outputs]

    def sample(self) -> Value | None:
        """Any op of the registry on one of its samples, so that none is left out."""
        op = self.rng.choice(
            [op for op in OPS.values() if op.samples and op.kind not in ("autodiff", "constant")]
        )
        sample = self.rng.choice(op.samples)
        draw = np.random.default_rng(self.rng.getrandbits(32))
        operands = [self.given(array) for array in draw_operands(draw, sample)]
        node = self.b.emit(op, operands, sample.attrs)
        self.values += [v for v in node.results[1:] if v.type.size <= self.sizes.elements]
        return node.results[0]
