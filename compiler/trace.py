"""From a Python step to a graph: run it once on traced arrays.

The step sees containers rebuilt from its arguments, with a `TracedArray` in the place of every
array and number. Afterwards, arguments whose buffer was written become updates, the arrays of the
return value become outputs, and containers that were changed are noted in `Rebinds`.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.errors import TapelessError, TraceError
from ..ir.graph import Graph, Loc, Value
from ..ir.record import dataclass
from . import attributes, containers, objects
from .objects import NONE, Hidden
from .outline import OUTPUT, Outline, ResultTree, inputs_of
from .reads import Reads
from .rebinds import Snapshot
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


@dataclass(frozen=True)
class Traced(Outline):
    """A traced step.

    `graph.inputs` are the array and number leaves of the arguments in flatten order, named like
    `p.W1`; `graph.updates` are the argument arrays the step wrote to; `graph.outputs` are the
    arrays of the return value, then those `rebinds` puts into the caller's containers.
    `unread` are attributes that may be hidden from the program, `read` those the step asked for.
    """

    graph: Graph
    unread: Hidden
    read: Hidden


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
    return _record(fn, bound, described, guard, name, watch)


def trace_without_unread(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    name: str,
    static_argnames: Collection[str] = (),
) -> tuple[Traced, Hidden]:
    """`trace`, once more where attributes can be hidden from the program; the second trace shows
    that it does without. Needs the lock `MAKING`."""

    def traced(hidden: Hidden) -> Traced:
        return trace(
            fn,
            args,
            kwargs,
            name=name,
            static_argnames=static_argnames,
            hidden=hidden,
            watch=True,
        )

    first = traced(NONE)
    if not first.unread:
        return first, NONE
    try:
        second = traced(first.unread)
    except Exception:  # a read that went past Python's ways
        return first, NONE
    return (first, NONE) if first.unread & second.read else (second, first.unread)


def retrace(fn: Callable[..., Any], described: Described, name: str) -> Traced:
    """Record one run of `fn` on arguments of which no more than this is left."""
    bound = inspect.BoundArguments(parameters(fn), OrderedDict())
    return _record(fn, bound, described, RandomGuard([fn]), name, watch=False)


def _record(
    fn: Callable[..., Any],
    bound: inspect.BoundArguments,
    described: Described,
    guard: RandomGuard,
    name: str | None,
    watch: bool,
) -> Traced:
    recorder = Recorder(TracedArray, guard)
    leaves = _enter(recorder, described)
    moving = [leaf for leaf in leaves if isinstance(leaf, TracedArray)]
    originals = tuple(leaf.buffer.value for leaf in moving)
    bound.arguments.update(described.treedef.unflatten(leaves))
    before = Snapshot(bound.arguments)
    statics = _static_objects(described)
    reads = Reads(bound.arguments if watch else {})
    with recorder.recording(), fresh_seeds_noticed():
        with reads.watching():
            result = _run(fn, bound, recorder)
        result_tree, outputs = _results(result, before)
        rebinds, extra = before.changes()
        updates = _updates(originals, moving)
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
    inputs = inputs_of(graph)
    return Traced(described, inputs, result_tree, rebinds, ranges, asked, graph, hidden, seen)


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
    if "'complex" in said:
        return f"{said}. Complex numbers are not supported; compute with two real arrays"
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
        (name, spec.value, attributes.state(spec.value))
        for name, spec in zip(described.names, described.specs, strict=True)
        if isinstance(spec, StaticSpec) and objects.is_open(type(spec.value))
    ]


def _check_statics(
    fn: Callable[..., Any], statics: Sequence[tuple[str, Any, Mapping[str, Any]]]
) -> None:
    """TraceError if the step has changed a static object, or kept a traced array in one."""
    for label, static, before in statics:
        _check_unchanged(label, static, before)
    check_nothing_kept(fn, ((label, static) for label, static, _ in statics))


def _check_unchanged(name: str, value: Any, before: Mapping[str, Any]) -> None:
    """TraceError if the step has changed an attribute of a static object: that happens once, while
    it is traced, and not in every call."""
    after = attributes.state(value)
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
