"""Seeded bugs of the planner and the code generator: strides, starts, folds, flags, liveness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tapeless.compiler import inplace, memory, schedule
from tapeless.compiler.codegen import (
    BY_KIND,
    BY_NAME,
    blocked,
    contract,
    indexed,
    kernel,
    linalg,
    module,
    nest,
    regions,
    scanning,
    sorting,
)  # fmt: skip
from tapeless.compiler.codegen import random as random_code
from tapeless.ir.graph import Graph, Node
from tapeless.ir.types import dtype_name

from .seeded import Bug, Plant, around, instead, scalar, table, together


def in_text(target: Any, name: str, old: str, new: str) -> Plant:
    """Other words in the kernels that a function makes."""

    def wrap(original: Any) -> Any:
        def wrong(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            if isinstance(made, str):
                return made.replace(old, new)
            return replace(made, text=made.text.replace(old, new))

        return wrong

    return around(target, name, wrap)


def with_attrs(change: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    """An emitter that sees other attributes of its node, the last argument."""

    def wrap(original: Any) -> Any:
        def wrong(*args: Any) -> Any:
            node = args[-1]
            attrs = {**node.attrs, **change(node.attrs)}
            results = original(*args[:-1], _twin(node, attrs))
            return results

        return wrong

    return wrap


def _twin(node: Node, attrs: dict[str, Any]) -> Node:
    return Node(node.op, node.operands, node.results, attrs, node.loc, node.origin)


def flipped(name: str) -> Callable[[Any], Any]:
    return with_attrs(lambda attrs: {name: not attrs[name]})


def last_extremum(original: Any) -> Any:
    """Of equals the last."""

    def wrong(self: Any, node: Node) -> None:
        original(self, node)
        for level in [lv for sweep in self.sweeps for lv in sweep.levels] + self.between:
            level.stores[:] = [
                s.replace(" > ", " >= ").replace(" < ", " <= ") if s.startswith("if ") else s
                for s in level.stores
            ]

    return wrong


def starts_at_zero(original: Any) -> Any:
    def wrong(self: Any, dtype: Any) -> str:
        return "0.0" if self.name in ("max", "min") and dtype.kind == "f" else original(self, dtype)

    return wrong


def overwriting(original: Any) -> Any:
    """`scatter_add` that forgets what was there."""

    def wrong(node: Node, here: str, there: str, dtype: Any) -> str:
        return f"{there} = {here}" if node.op.name != "gather" else f"{here} = {there}"

    return wrong


def without_routine(name: str) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        def wrong(self: Any, node: Node, routine: str, *arguments: object) -> None:
            if routine != name:
                original(self, node, routine, *arguments)

        return wrong

    return wrap


def no_copy(module: Any, node: Node, source: Any) -> None:
    """The rest of an array that is written into is whatever lay there."""
    if node.op.name not in ("update", "add_at", "scatter", "scatter_add", "dot_acc"):
        COPY(module, node, source)


COPY = regions.copy_all


def checked_once(original: Any) -> Any:
    """A value checked for one extent is not checked for another."""

    def wrong(self: Any, check: Any, made: Any, value: Any, what: object) -> None:
        original(self, check, made, value, "checked")

    return wrong


def any_place(graph: Graph, node: Node, result: Any, among: Any, arranged: Any) -> tuple[Any, ...]:
    """In place of any operand of that type, wherever it is read."""
    return tuple(v for v in node.operands if v.type == result.type and v in among)


def freed_early(original: Any) -> Any:
    """Memory given back one node before its last reader."""

    def wrong(self: Any) -> Any:
        last = original(self)
        return {v: max(k - 1, 0) for v, k in last.items()}

    return wrong


def exchanged(original: Any) -> Any:
    """The first two updates of one type each write the other's argument."""

    def wrong(graph: Graph) -> Graph:
        updates = list(graph.updates)
        for k in range(1, len(updates)):
            (a, x), (b, y) = updates[k - 1], updates[k]
            if x.type == y.type:
                updates[k - 1 : k + 1] = [(a, y), (b, x)]
                break
        found: Graph = original(replace(graph, updates=tuple(updates)))
        return found

    return wrong


def no_beta(original: Any) -> Any:
    """A product that is added to the result overwrites it."""

    def wrong(p: Any, k: Any, alpha: str, a: str, b: str, beta: str, c: str) -> Any:
        return original(p, k, alpha, a, b, "0.0", c)

    return wrong


def no_alpha(original: Any) -> Any:
    def wrong(p: Any, k: Any, alpha: str, a: str, b: str, beta: str, c: str) -> Any:
        return original(p, k, "1.0", a, b, beta, c)

    return wrong


def unswapped(original: Any) -> Any:
    """A result stored transposed, computed as if it were not."""

    def wrong(p: Any, *rest: Any) -> Any:
        return original(replace(p, swap=False), *rest)

    return wrong


def first_blocks(original: Any) -> Any:
    """The last random words are those of the first block again."""

    def wrong(node: Node, place: str, count: int, first: int) -> Any:
        return original(node, place, count, 0)

    return wrong


def all_at_the_front(module: Any, graph: Graph, node: Node) -> None:
    """`concatenate` without advancing, `pad` without its low end."""
    if node.op.name == "pad":
        module.routine(node, "zero", module.value(node.result), node.result.type.size)
    for value in node.operands:
        spec = [(0, n, 1) for n in value.shape]
        regions._write_part(module, node, value, spec)


def backwards(original: Any) -> Any:
    """The axes of an index in the opposite order."""
    return lambda self, axes, *rest: original(self, tuple(reversed(tuple(axes))), *rest)


def kernels_by_text(original: Any) -> Any:
    """Kernels of equal text are one, whatever the types of their buffers."""

    def wrong(self: Any, made: Any) -> str:
        for (text, _), spec in self.kernels.items():
            if text == made.text:
                return str(spec.name)
        return str(original(self, made))

    return wrong


def plain_start(original: Any) -> Any:
    """A slice that starts at 0 whatever it says."""

    def wrong(self: Any, axis: Any) -> str:
        return str(original(self, replace(axis, start=0)))

    return wrong


def unconverted(text: str, source: Any, target: Any) -> str:
    return f"{dtype_name(target)}_from_{dtype_name(source)}({text} + 1)"


NATIVE: Final = "native"
BUGS: Final = (
    Bug("swapped operands of sub", NATIVE, scalar("sub", "{1} - {0}")),
    Bug("swapped branches of select", NATIVE, scalar("select", "select_{t}({0}, {2}, {1})")),
    Bug("maximum drops NaN", NATIVE, scalar(
        "maximum", "({0} if {0} > {1} else ({1} if {1} == {1} else {0}))")),
    Bug("max starts at 0", NATIVE, around(nest.Fold, "_start", starts_at_zero)),
    Bug("wrong tie: argmax takes the last", NATIVE,
        around(nest.RegionEmitter, "_arg_reduction", last_extremum)),
    Bug("wrong order of axes in an index", NATIVE, around(kernel.KernelWriter, "index", backwards)),
    Bug("wrong stride: steps ignored", NATIVE,
        instead(kernel, "_step", lambda loop, step: kernel.loop_name(loop))),
    Bug("wrong start: slices begin at 0", NATIVE,
        around(kernel.KernelWriter, "_position", plain_start)),
    Bug("missing cast: iota off by one", NATIVE, instead(nest, "_converted", unconverted)),
    Bug("negative indices clamp to 0", NATIVE, in_text(indexed, "_move_kernel", " += a", " *= a")),
    Bug("bounds off by one", NATIVE, in_text(indexed, "_check_kernel", " >= ", " > ")),
    Bug("a second extent is not checked", NATIVE, around(module.Module, "check", checked_once)),
    Bug("scatter_add overwrites", NATIVE, around(indexed, "_transfer", overwriting)),
    Bug("zeros not written before adding", NATIVE,
        around(module.Module, "routine", without_routine("zero"))),
    Bug("the rest not copied before writing a part", NATIVE, together(*(
        instead(m, "copy_all", no_copy) for m in (regions, indexed, contract)))),
    Bug("concatenate does not advance", NATIVE, table(BY_NAME, "concatenate", all_at_the_front)),
    Bug("pad forgets its low end", NATIVE, table(BY_NAME, "pad", all_at_the_front)),
    Bug("cumsum forgets reverse", NATIVE,
        around(scanning, "_Scan", with_attrs(lambda attrs: {"reverse": False}))),
    Bug("a sort reads along another axis", NATIVE,
        in_text(sorting, "_sort_kernel", "w0), n1, at(", "w0), 1, at(")),
    Bug("searchsorted on the other side", NATIVE,
        table(BY_KIND, "search", flipped("right")(sorting.emit_search))),
    Bug("lu_solve: transposed flag swapped", NATIVE,
        table(linalg._EMIT, "lu_solve", flipped("transposed")(linalg._emit_lu_solve))),
    Bug("solve_triangular: the other triangle", NATIVE,
        table(linalg._EMIT, "solve_triangular", flipped("lower")(linalg._emit_solve_triangular))),
    Bug("cholesky leaves the upper triangle", NATIVE,
        instead(linalg, "_CHOLESKY", linalg._CHOLESKY.rpartition("for i in range(n1):")[0])),
    Bug("rows not exchanged back in order", NATIVE,
        instead(linalg, "_EXCHANGE", linalg._EXCHANGE.replace("{row}", "n1 - 1 - m"))),
    Bug("random words of the first block again", NATIVE,
        around(random_code, "_kernel", first_blocks)),
    Bug("a product stored untransposed", NATIVE, together(*(
        around(m, "product_call", unswapped) for m in (contract, blocked)))),
    Bug("epilogue skipped: the old value lost", "training", together(*(
        around(m, "product_call", no_beta) for m in (contract, blocked)))),
    Bug("epilogue skipped: the factor lost", "training", together(*(
        around(m, "product_call", no_alpha) for m in (contract, blocked)))),
    Bug("kernels shared between types", NATIVE, around(module.Module, "_name", kernels_by_text)),
    Bug("in place when a reader is left", NATIVE, together(*(
        instead(m, "inplace_operands", any_place) for m in (inplace, memory, schedule)))),
    Bug("off-by-one liveness", NATIVE, around(memory._Planner, "_last_uses", freed_early)),
    Bug("updates in place before their readers", NATIVE,
        instead(schedule._Scheduler, "_readers", lambda self, producers: {})),
    Bug("update order: two arguments exchanged", NATIVE, around(memory, "schedule", exchanged)),
)  # fmt: skip
