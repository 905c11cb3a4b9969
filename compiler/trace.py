"""From a Python step to a graph: run it once on traced arrays.

The step sees containers rebuilt from its arguments, with a `TracedArray` in the place of every
array and number. Afterwards, arguments whose buffer was written become updates, the arrays of the
return value become outputs, and containers that were changed are noted in `Rebinds`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import TapelessError, TraceError
from ..ir.graph import Graph, Loc, Value
from ..ir.record import dataclass
from . import containers, objects, tree
from .reads import NONE, Hidden, Reads
from .rebinds import Snapshot
from .replay import Original, Rebinds, at
from .signature import (
    ArraySpec,
    Described,
    RefusedSpec,
    ScalarSpec,
    StaticSpec,
    argument_name,
    bind,
    describe,
    parameters,
    pin,
)
from .tracing import source
from .tracing.generators import RandomGuard, fresh_seeds_noticed
from .tracing.handle import Handle, Unshaped
from .tracing.promotion import as_array
from .tracing.reachable import check_nothing_kept
from .tracing.recorder import Buffer, Recorder, located, located_in
from .tracing.refused import Refused
from .tracing.traced import TracedArray

__all__ = ["Finish", "ResultTree", "Traced", "trace"]


@dataclass(frozen=True)
class ResultTree:
    """What the step returns: its structure, with static values in their places.

    `leaves` has one entry per leaf: `OUTPUT` for an array of the graph, `Original` for an object
    of the caller's, anything else as it is.
    """

    treedef: tree.TreeDef
    leaves: tuple[Any, ...]

    def unflatten(self, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Any:
        """The return value made of the graph's outputs (extra ones are left out)."""
        arrays = iter(outputs)
        return self.treedef.unflatten(
            next(arrays)
            if leaf is OUTPUT
            else at(arguments, leaf.path)
            if isinstance(leaf, Original)
            else leaf
            for leaf in self.leaves
        )

    @cached_property
    def arrays(self) -> int:
        """How many outputs the return value takes."""
        return sum(leaf is OUTPUT for leaf in self.leaves)

    @cached_property
    def single(self) -> bool:
        """Whether the return value is one array."""
        return self.treedef == tree.LEAF and self.arrays == 1


class _Output:
    """Marks the place of an array in a `ResultTree`."""

    def __repr__(self) -> str:
        return "OUTPUT"


OUTPUT = _Output()


@dataclass(frozen=True)
class Traced:
    """A traced step.

    `graph.inputs` are the array and number leaves of the arguments in flatten order, named like
    `p.W1`; `graph.updates` are the argument arrays the step wrote to; `graph.outputs` are the
    arrays of the return value, then those `rebinds` puts into the caller's containers.
    `int_ranges` lists (input, dtype): Python ints that must fit a narrower dtype at the call.
    `asked` says by leaf where the step asked for the value of a number that is pinned.
    `unread` are attributes that may be hidden from the program, `read` those the step asked for.
    """

    graph: Graph
    described: Described
    result_tree: ResultTree
    rebinds: Rebinds
    int_ranges: tuple[tuple[int, np.dtype], ...]
    asked: Mapping[int, Loc | None]
    unread: Hidden
    read: Hidden

    def typed(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves as arrays of the types the graph takes; Python numbers become 0-d arrays."""
        inputs = self.graph.inputs
        return [np.asarray(x, v.type.dtype) for x, v in zip(leaves, inputs, strict=True)]

    def prepare(self, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Finish:
        """Before the arguments (by parameter name) are written: what the step returns, and how it
        changes the caller's containers. `outputs` need not have their values yet."""
        single = self.result_tree.single
        result = outputs[0] if single else self.result_tree.unflatten(arguments, outputs)
        if not self.rebinds.slots:
            return Finish(result, _nothing)
        return Finish(result, self.rebinds.prepare(arguments, outputs[self.result_tree.arrays :]))


class Finish(NamedTuple):
    """The result of a call, and what is left to do when the arrays are written; it may be done
    twice."""

    result: Any
    replay: Callable[[], None]


def _nothing() -> None:
    pass


def trace(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    name: str | None = None,
    static_argnames: Collection[str] = (),
    hidden: Hidden = NONE,
    watch: bool = False,
) -> Traced:
    """Record one run of `fn`, whose objects do not have the attributes that are hidden; to
    `watch` what it reads of them needs the lock `MAKING`.

    Raises what the step raises: TraceError, ShapeError, DTypeError, UnsupportedError and the like
    end with the user's line.
    """
    bound = bind(parameters(fn), args, kwargs)
    described = describe(bound.arguments, static_argnames, hidden)
    guard = RandomGuard([fn, *args, *kwargs.values()])
    recorder = Recorder(TracedArray, guard)
    leaves = _enter(recorder, described)
    inputs = [leaf for leaf in leaves if isinstance(leaf, TracedArray)]
    originals = tuple(leaf.buffer.value for leaf in inputs)
    bound.arguments.update(described.treedef.unflatten(leaves))
    before = Snapshot(bound.arguments)
    statics = _static_objects(described)
    reads = Reads(bound.arguments if watch else {})
    with recorder.recording(), fresh_seeds_noticed():
        with reads.watching():
            result = _run(fn, bound, recorder)
        result_tree, outputs = _results(result, before)
        rebinds, extra = before.changes()
        updates = _updates(originals, inputs)
        _check_refused(recorder)
        if guard.drawn():
            raise located_in(TraceError(guard.message), fn)
    _check_statics(fn, statics)
    name = name or str(getattr(fn, "__name__", "step"))
    nodes = tuple(recorder.builder.nodes)
    graph = Graph(name, originals, nodes, (*outputs, *extra), updates)
    described, asked = _pinned(recorder, described, originals)
    ranges = tuple(recorder.int_ranges)
    hidden, seen = reads.hidden(), reads.seen
    return Traced(graph, described, result_tree, rebinds, ranges, asked, hidden, seen)


def _run(fn: Callable[..., Any], bound: inspect.BoundArguments, recorder: Recorder) -> Any:
    """Call the step; every error of ours gets the user's line. What NumPy or Python make of an
    error of ours, or say about a traced array themselves, becomes a TraceError."""
    try:
        return fn(*bound.args, **bound.kwargs)
    except TapelessError as error:
        raise located(error, source.raising_frame(error) or source.user_frame()) from None
    except RecursionError as error:
        raise located(TraceError(_ENDLESS), source.raising_frame(error)) from None
    except (TypeError, ValueError, AttributeError) as error:
        _check_refused(recorder)
        if "TracedArray" not in str(error):
            raise
        raise located(TraceError(_foreign(error)), source.raising_frame(error)) from None


def _check_refused(recorder: Recorder) -> None:
    """Raise what the step or NumPy has caught (see `remember`)."""
    if recorder.refused is not None:
        raise recorder.refused from None


_ENDLESS = (
    "the step calls itself without end: a traced value cannot end a recursion, since it is recorded"
    " without values; count with a Python int or a static argument"
)


def _foreign(error: Exception) -> str:
    said = (
        str(error)
        .replace("'TracedArray'", "a traced array")
        .replace("TracedArray", "a traced array")
    )
    if "operand" in said:
        return f"{said}. Instead use arrays, NumPy scalars, numbers, or lists of them"
    return (
        f"{said}; it has a shape and a dtype but no values while the step is recorded. Instead use"
        " NumPy functions and operators, or compute it outside the step and pass the result"
    )


def _enter(recorder: Recorder, described: Described) -> list[Any]:
    """The leaves the step sees: traced arrays and numbers, and statics as they are."""
    leaves: list[Any] = []
    inputs = 0
    treedef = described.treedef
    for k, (spec, name) in enumerate(zip(described.specs, described.names, strict=True)):
        if isinstance(spec, RefusedSpec):
            leaves.append(Refused(argument_name(treedef, k), spec.kind, str(spec.value)))
            continue
        if isinstance(spec, StaticSpec):
            leaves.append(spec.value)
            continue
        leaves.append(_input(recorder, spec, name, argument_name(treedef, k)))
        value = leaves[-1].buffer.value
        if isinstance(spec, ScalarSpec) and spec.weak and spec.type.is_integer:
            recorder.weak_inputs[value] = inputs
        if isinstance(spec, ScalarSpec) and treedef.held[k]:
            recorder.numbers.add(value)
            recorder.assumed[value] = np.asarray(described.leaves[inputs], spec.type.dtype)
        inputs += 1
    return leaves


def _input(recorder: Recorder, spec: ArraySpec | ScalarSpec, name: str, label: str) -> TracedArray:
    value = Value(spec.type, name)
    if isinstance(spec, ArraySpec):
        contiguous = spec.contiguous
        buffer = Buffer(value, contiguous=contiguous, label=label)
        return TracedArray(recorder, buffer, (), "array")
    buffer = Buffer(value, contiguous=True, label=label)
    return TracedArray(recorder, buffer, (), "python" if spec.weak else "scalar")


def _pinned(
    recorder: Recorder, described: Described, inputs: Sequence[Value]
) -> tuple[Described, dict[int, Loc | None]]:
    """The arguments with the numbers pinned whose value the step asked for, and where it did."""
    if not recorder.pinned:
        return described, {}
    specs, asked = list(described.specs), {}
    moving = [k for k, spec in enumerate(specs) if not isinstance(spec, StaticSpec)]
    for k, value, number in zip(moving, inputs, described.leaves, strict=True):
        spec = specs[k]
        if value in recorder.pinned and isinstance(spec, ScalarSpec):
            specs[k] = replace(spec, pinned=pin(number))
            asked[k] = recorder.pinned[value]
    return replace(described, specs=tuple(specs)), asked


def _static_objects(described: Described) -> list[tuple[str, Any, Mapping[str, Any]]]:
    """The static objects of the user's classes, with their names and attributes."""
    return [
        (name, spec.value, objects.state(spec.value))
        for name, spec in zip(described.names, described.specs, strict=True)
        if isinstance(spec, StaticSpec) and objects.is_open(type(spec.value))
    ]


def _check_statics(
    fn: Callable[..., Any], statics: Sequence[tuple[str, Any, Mapping[str, Any]]]
) -> None:
    """TraceError if the step has changed a static object, or kept a traced array in one."""
    for label, static, attributes in statics:
        _check_unchanged(label, static, attributes)
    check_nothing_kept(fn, ((label, static) for label, static, _ in statics))


def _check_unchanged(name: str, value: Any, before: Mapping[str, Any]) -> None:
    """TraceError if the step has changed an attribute of a static object: that happens once, while
    it is traced, and not in every call."""
    after = objects.state(value)
    changed = [key for key, x in before.items() if after.get(key) is not x]
    if changed:
        raise TraceError(
            f"{name}.{changed[0]} is changed by the step, but a {type(value).__name__} is static:"
            " it is hashable by value and holds no array. Keep what changes in another object"
        )


def _results(result: Any, before: Snapshot) -> tuple[ResultTree, list[Value]]:
    """The structure of the return value and its arrays; concrete arrays become constants. An
    object of the caller's is returned as it is, a list or dict as a new one."""
    found, treedef = containers.flatten(result, before.is_object)
    leaves: list[Any] = []
    outputs: list[Value] = []
    for leaf in found:
        if before.is_object(leaf):
            leaves.append(before.original(leaf))
        elif isinstance(leaf, Unshaped):
            raise leaf.error
        elif isinstance(leaf, Iterator | Awaitable):
            raise TraceError(
                f"the step returns a {type(leaf).__name__}, whose code would run after the trace;"
                " return a list or tuple of what it gives, and write no `yield` or `await`"
            )
        elif isinstance(leaf, (Handle, np.ndarray)):
            outputs.append(as_array(leaf).value)
            leaves.append(OUTPUT)
        else:
            leaves.append(leaf)
    return ResultTree(treedef, tuple(leaves)), outputs


def _updates(
    originals: Sequence[Value], inputs: Sequence[TracedArray]
) -> tuple[tuple[Value, Value], ...]:
    """The argument arrays that hold another value now."""
    for leaf in inputs:
        if leaf.buffer.lost:
            raise TraceError(f"argument {leaf.buffer.label}: {leaf.buffer.lost}")
    pairs = ((old, leaf.buffer.value) for old, leaf in zip(originals, inputs, strict=True))
    return tuple((old, new) for old, new in pairs if new is not old)
