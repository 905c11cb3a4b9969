"""Loops of kernels to LLVM text, as vectors.

    for j in range(n1):                         main loop: plan.main vectors at once
        s = add_reassoc_f64(s, f64(x0[j]))  =>  masked loop: plan.rest vectors at once
                                                s = s + the elements of the vectors' sums

`runtime/parallel.py` says which loops these are. What is the same in all iterations is computed
before the first. Without masks the caller does what is left over, one by one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from .builder import Builder, Value, constant, llvm_type
from .expressions import Expressions, literal
from .folds import FAR, Fold
from .parallel import Plan, strided
from .syntax import names_in
from .vector_memory import (
    counted,
    first_lanes,
    first_one,
    fold_lanes,
    join,
    joined,
    load_in_steps,
    load_lanes,
    mask_bits,
    neutral,
    ones,
    splat,
    store_lanes,
)

Assign = Callable[[ast.expr, Value], None]
Body = Callable[[Value, Sequence[Value]], list[Value]]


def write_vectors(
    x: Expressions, loop: ast.For, plan: Plan, start: Value, stop: Value, assign: Assign
) -> Value:
    """The instructions of a loop that runs at least once, `x` being what expressions are worth
    before it and `assign` what gives a variable a value; the iteration up to which it is done."""
    return _Writer(x, loop, plan, assign).written(start, stop)


class _Writer:
    def __init__(self, x: Expressions, loop: ast.For, plan: Plan, assign: Assign) -> None:
        self.b, self.x, self.plan, self.assign = x.b, x, plan, assign
        self.counter = loop.target.id if isinstance(loop.target, ast.Name) else ""
        self.folds = list(plan.folds.items())
        self.same: dict[ast.expr, Value] = {}
        self._known: dict[ast.AST, bool] = {}
        self.places: dict[ast.expr, Value] = {}
        self.steps: dict[ast.expr, int] = {}
        self.joint: set[str] = set()
        """Folds that have one accumulator for all vectors: bits cost little to add to it, and
        there are few registers for masks."""
        self.masks: list[Value] = []
        """What is looked for in the vectors of one iteration of a search that ends once it has
        found something: which place it is need not be known before."""
        self.statements = self._varying(loop.body)

    def written(self, start: Value, stop: Value) -> Value:
        b, lanes = self.b, self.plan.lanes
        for statement in self.statements:
            self._prepare(statement)
        sums, done = [self._first(name, fold) for name, fold in self.folds], start
        self.joint = {
            name
            for (name, fold), x in zip(self.folds, sums, strict=True)
            if x.kind == "bool" or fold.of_mask or fold.how == "widened"
        }
        self.ends = self._ends()
        if self.plan.main:
            block = self.plan.main * lanes
            count = b.and_(b.sub(stop, start), constant("i64", -block))
            done = b.add(start, count)
            sums = self._repeat(start, done, self.plan.main, sums, self._whole)
            if self.ends:
                done = b.select(self._is_decided(sums[0]), stop, done)
        if self.plan.rest:
            some = self._some(stop)
            sums, done = self._repeat(done, stop, self.plan.rest, sums, some), stop
        for (name, fold), total in zip(self.folds, sums, strict=True):
            self.assign(ast.Name(name, ast.Store()), self._last(name, fold, total))
        return done

    # --- before the loop

    def _ends(self) -> bool:
        """Whether the loop may end before its last iteration: where its only fold is decided."""
        stores = any(isinstance(s.targets[0], ast.Subscript) for s in self.statements)
        names = [name for name, fold in self.folds if fold.how not in ("count", "widened")]
        return len(self.folds) == 1 and names == [*self.joint] and not stores

    def _varying(self, body: Sequence[ast.stmt]) -> list[ast.Assign]:
        """The statements that are not the same in all iterations. The others are done here."""
        statements = [s for s in body if isinstance(s, ast.Assign)]
        self.varying = {self.counter, *self.plan.folds}
        stored = [s.targets[0] for s in statements if isinstance(s.targets[0], ast.Subscript)]
        self.varying |= {t.value.id for t in stored if isinstance(t.value, ast.Name)}
        names = [s.targets[0].id for s in statements if isinstance(s.targets[0], ast.Name)]
        left = []
        for statement in statements:
            target = statement.targets[0]
            named = isinstance(target, ast.Name)
            once = isinstance(target, ast.Name) and names.count(target.id) == 1
            if once and not self._varies(statement.value):
                self.assign(target, self.x.value(statement.value))
            else:
                left.append(statement)
                self.varying |= names_in(target) if named else set()
        return left

    def _varies(self, node: ast.AST) -> bool:
        known = self._known.get(node)
        if known is None:
            if isinstance(node, ast.Name):
                return node.id in self.varying
            known = any(map(self._varies, ast.iter_child_nodes(node)))
            self._known[node] = known
        return known

    def _prepare(self, statement: ast.Assign) -> None:
        (target,) = statement.targets
        if isinstance(target, ast.Subscript):
            self._prepare_place(target)
        self._prepare_value(statement.value)

    def _prepare_value(self, node: ast.expr) -> None:
        """Compute the parts of an expression that do not vary."""
        if literal(node) is not None:
            return
        if not self._varies(node):
            self.same[node] = splat(self.b, self.x.value(node), self.plan.lanes)
        elif isinstance(node, ast.Subscript):
            self._prepare_place(node)
        else:
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr) and part is not getattr(node, "func", None):
                    self._prepare_value(part)

    def _prepare_place(self, node: ast.Subscript) -> None:
        place = self.x.value(node.value)
        found = strided(node.slice, self.counter)
        assert found is not None
        for offset in found.terms:
            index = self.x.converted(offset, self.x.value(offset), "i64")
            place = self.b.address(place, index)
        if found.step != 1:
            self.steps[node] = found.step
        self.places[node] = place

    def _first(self, name: str, fold: Fold) -> Value:
        """What an accumulator starts from."""
        old = self.x.value(ast.Name(name, ast.Load()))
        if fold.operand is not None:
            self._prepare_value(fold.operand)
        if fold.of_mask:
            return constant("i64", 0 if fold.how == "count" else FAR)
        return splat(self.b, neutral(fold.how, old.kind) or old, self.plan.lanes)

    def _last(self, name: str, fold: Fold, total: Value) -> Value:
        """What a variable is worth after the loop."""
        b, old = self.b, self.x.value(ast.Name(name, ast.Load()))
        if fold.how == "count":
            return b.add(old, b.convert(total, old.kind))
        if fold.how == "first":
            return join(b, "minimum", old, total)
        return join(b, fold.how, old, fold_lanes(b, fold.how, total))

    # --- the loops

    def _repeat(
        self, start: Value, stop: Value, count: int, sums: Sequence[Value], body: Body
    ) -> list[Value]:
        """Run `body` for iterations from `start` on, so many vectors at once; the sums after."""
        b = self.b
        before, head, done, after = self.x.labels("before", "vectors", "done", "after")
        each = [
            x for x, n in zip(sums, self._copies(count).values(), strict=True) for _ in range(n)
        ]
        b.branch(before)
        b.label(before)
        b.branch_if(b.compare("<", start, stop), head, after)
        b.label(head)
        index, *values = [_phi(b, x) for x in (start, *each)]
        nexts = body(index, values)
        further = b.add(index, constant("i64", count * self.plan.lanes))
        again = b.compare("<", further, stop)
        if self.ends:
            again = b.and_(again, b.not_(self._is_found(nexts[0])))
        b.branch_if(again, head, done)
        for value, first, last in zip(
            (index, *values), (start, *each), (further, *nexts), strict=True
        ):
            _arrive(b, value, (first, before), (last, head))
        b.label(done)
        left = iter(nexts)
        totals = [
            joined(b, fold.how, [next(left) for _ in range(n)])
            for (_, fold), n in zip(self.folds, self._copies(count).values(), strict=True)
        ]
        b.branch(after)
        b.label(after)
        found = [_phi(b, x) for x in sums]
        for value, first, last in zip(found, sums, totals, strict=True):
            _arrive(b, value, (first, before), (last, done))
        return found

    def _is_found(self, total: Value) -> Value:
        """The same after one iteration more."""
        if not self.masks:
            return self._is_decided(total)
        found = joined(self.b, "or", self.masks)
        return self.b.compare("!=", mask_bits(self.b, found), constant("i64", 0))

    def _is_decided(self, total: Value) -> Value:
        """Whether the only fold is known, whatever the iterations left say."""
        b, ((_, fold),) = self.b, self.folds
        if fold.how == "first":
            return b.compare("!=", total, constant("i64", FAR))
        found = total if fold.how in ("or", "maximum") else b.not_(total)
        return b.compare("!=", mask_bits(b, found), constant("i64", 0))

    def _whole(self, index: Value, sums: Sequence[Value]) -> list[Value]:
        """The main loop's body."""
        return self._vectors(self.plan.main, index, sums, lambda first: None)

    def _some(self, stop: Value) -> Body:
        """The masked loop's."""
        lanes, rest = self.plan.lanes, self.plan.rest

        def mask(first: Value) -> Value:
            left = self._at_most(self.b.sub(stop, first), lanes)
            return first_lanes(self.b, left, lanes)

        return lambda index, sums: self._vectors(rest, index, sums, mask)

    def _at_most(self, count: Value, lanes: int) -> Value:
        b, none, all_ = self.b, constant("i64", 0), constant("i64", lanes)
        count = b.call("i64", "llvm.smin.i64", count, all_)
        return b.call("i64", "llvm.smax.i64", count, none) if self.plan.rest > 1 else count

    def _vectors(
        self,
        count: int,
        index: Value,
        sums: Sequence[Value],
        mask: Callable[[Value], Value | None],
    ) -> list[Value]:
        """So many vectors of iterations from `index` on; the sums after them, by fold."""
        left, bodies = iter(sums), []
        copies = self._copies(count)
        known = {name: [next(left) for _ in range(n)] for name, n in copies.items()}
        joint = {name: known[name][0] for name in self.joint}
        self.masks = []
        if self.ends:  # nothing has been found where there is another iteration
            joint |= {name: constant("i64", FAR) for name, f in self.folds if f.how == "first"}
        for number in range(count):
            first = self.b.add(index, constant("i64", number * self.plan.lanes))
            own = {name: x[number] for name, x in known.items() if name not in joint}
            bodies.append(_Iterations(self, first, own, joint, mask(first)))
        for statement in self.statements:
            name = str(getattr(statement.targets[0], "id", ""))
            fold = self.plan.folds.get(name)
            if fold is not None and fold.how == "widened":
                joint[name] = self._widened(joint[name], [body.narrow(fold) for body in bodies])
                continue
            for body in bodies:
                body.assign(statement)
        return [body.variable(name) for name, n in copies.items() for body in bodies[:n]]

    def _widened(self, total: Value, values: Sequence[Value]) -> Value:
        """A sum in f64 after some vectors of f32."""
        narrow = joined(self.b, "add", values)
        return join(self.b, "add", total, self.b.convert(narrow, "f64"))

    def _copies(self, count: int) -> dict[str, int]:
        """The accumulators of each fold for so many vectors at once."""
        return {name: 1 if name in self.joint else count for name, _ in self.folds}


class _Iterations(Expressions):
    """The statements of the loop for a vector of iterations."""

    def __init__(
        self,
        loop: _Writer,
        first: Value,
        named: dict[str, Value],
        joint: dict[str, Value],
        mask: Value | None,
    ) -> None:
        super().__init__(loop.b, {}, {})
        self.loop, self.first, self.mask = loop, first, mask
        self.lanes = loop.plan.lanes
        self.named, self.joint = named, joint

    def assign(self, statement: ast.Assign) -> None:
        (target,) = statement.targets
        if isinstance(target, ast.Subscript):
            value, place = self.value(statement.value), self._place(target)
            value = self.converted(target, value, place.kind[:-1])
            store_lanes(self.b, value, place, self.mask)
        elif isinstance(target, ast.Name):
            name, fold = target.id, self.loop.plan.folds.get(target.id)
            value = (
                self._folded(name, fold, statement.value) if fold else self.value(statement.value)
            )
            (self.joint if name in self.joint else self.named)[name] = value

    def _folded(self, name: str, fold: Fold, node: ast.expr) -> Value:
        """An accumulator after this vector; elements that the mask leaves out do not count."""
        b, old = self.b, self.variable(name)
        if not fold.of_mask:
            value = self._joined(old, fold, node)
            return value if self.mask is None else b.select(self.mask, value, old)
        assert fold.operand is not None
        here = self.value(fold.operand)
        here = here if self.mask is None else b.and_(here, self.mask)
        if fold.how == "count":
            return b.add(old, ones(b, here))
        self.loop.masks.append(here)
        return join(b, "minimum", old, first_one(b, here, self.first, constant("i64", FAR)))

    def _joined(self, old: Value, fold: Fold, node: ast.expr) -> Value:
        if fold.operand is None:
            return self.value(node)
        return join(self.b, fold.how, old, self.value(fold.operand))

    def narrow(self, fold: Fold) -> Value:
        """The vector that a sum in f64 gets; what the mask leaves out is zero."""
        assert fold.operand is not None
        x = self.value(fold.operand)
        if self.mask is None:
            return x
        return self.b.select(self.mask, x, constant("f32", -0.0, self.lanes))

    def variable(self, name: str) -> Value:
        return self.joint[name] if name in self.joint else self.named[name]

    def value(self, node: ast.expr) -> Value:
        if node in self.loop.same:
            return self.loop.same[node]
        match node:
            case ast.Name(id=self.loop.counter):
                return counted(self.b, self.first, self.lanes)
            case ast.Name(id=name):
                return self.variable(name)
            case ast.Subscript():
                return self._loaded(node)
        return super().value(node)

    def _loaded(self, node: ast.Subscript) -> Value:
        step = self.loop.steps.get(node, 1)
        if step == 1:
            return load_lanes(self.b, self._place(node), self.lanes, self.mask)
        first = self.b.mul(self.first, constant("i64", step))
        place = self.b.address(self.loop.places[node], first)
        return load_in_steps(self.b, place, self.lanes, step)

    def _place(self, node: ast.Subscript) -> Value:
        return self.b.address(self.loop.places[node], self.first)


def _phi(b: Builder, like: Value) -> Value:
    """A value that depends on the way here, which `_arrive` tells."""
    return b.instruction(like.kind, f"phi {llvm_type(like.kind, like.lanes)}", like.lanes)


def _arrive(b: Builder, phi: Value, *arrivals: tuple[Value, str]) -> None:
    arms = ", ".join(f"[ {value.text}, %{label} ]" for value, label in arrivals)
    b.lines[int(phi.text.removeprefix("%v"))] += f" {arms}"
