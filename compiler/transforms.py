"""`grad`, `value_and_grad`, `vjp`, `jvp`, `jacobian`, `hessian`: derivatives of functions.

Inside a trace a call marks its arguments with `arg` nodes, records the function once and adds one
derivative node. Outside, the same happens in a trace of its own, whose graph is lowered and
interpreted; such a call is traced every time, so `if` on a value raises there too.

Call shapes and layouts are JAX's. Containers keep their structure, None stays None.

What the function writes to arrays it is not differentiated with respect to (running statistics,
counters) is written once, as NumPy would in a plain call, inside a trace and outside. It must not
write to the others, nor to the containers they are in: TraceError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError, TraceError, UnsupportedError
from ..ir.graph import Value
from . import tree
from .eager import eagerly, structured_eagerly
from .rebinds import Snapshot, spell
from .signature import parameters
from .tracing.handle import Handle
from .tracing.promotion import as_array, is_number, lift
from .tracing.recorder import Buffer, Recorder, active
from .tracing.traced import TracedArray

Function = Callable[..., Any]
Argnums = int | Sequence[int]


def grad(fn: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The gradient of a scalar function with respect to the arguments `argnums`.

    The result takes the arguments of `fn` and returns arrays of the shapes and dtypes of those
    arguments, in the same containers (a tuple of them if `argnums` is a sequence); with `has_aux`,
    where `fn` returns (loss, aux), the pair (gradient, aux).

    TraceError (a TypeError) if the loss is not a scalar, DTypeError (a TypeError) naming the leaf
    that is not floating.
    """
    both = value_and_grad(fn, argnums, has_aux)

    @_named_after(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


def value_and_grad(fn: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Like `grad`; returns (loss, gradient), with `has_aux` ((loss, aux), gradient)."""

    @_named_after(fn)
    def derived(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            return eagerly(derived, args, kwargs)
        inputs = _mark_arguments(recorder, fn, args, argnums)
        result = inputs.call(fn, kwargs)
        loss, aux = _with_aux(result) if has_aux else (result, None)
        value, gradients = recorder.statement(_gradient, (recorder, inputs, loss), {})
        return ((value, aux) if has_aux else value), inputs.restore(gradients)

    return derived


def vjp(fn: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(fn(*primals), pull) where pull(cotangent) returns one cotangent per primal.

    The cotangent has the structure and shapes of the result. With `has_aux`, where `fn` returns
    (result, aux): (result, pull, aux).
    """
    recorder = active()
    if recorder is None:
        return _vjp_eagerly(fn, primals, has_aux)
    inputs = _mark_arguments(recorder, fn, primals, range(len(primals)))
    result = inputs.call(fn, {})
    out, aux = _with_aux(result) if has_aux else (result, None)
    outputs = recorder.statement(_Outputs.of, (out, "vjp"), {})

    def pull(cotangent: Any) -> Any:
        now = _same_trace(recorder)
        return inputs.restore(now.statement(_pull, (now, inputs, outputs, cotangent), {}))

    return (outputs.tree, pull, aux) if has_aux else (outputs.tree, pull)


def jvp(
    fn: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """(fn(*primals), derivative along `tangents`); with `has_aux` also the aux of `fn`.

    `tangents` has the structure and shapes of `primals`.
    """
    if active() is None:
        return _jvp_eagerly(fn, tuple(primals), tuple(tangents), has_aux)
    recorder = _same_trace(None)
    inputs = _mark_arguments(recorder, fn, tuple(primals), range(len(primals)))
    result = inputs.call(fn, {})
    out, aux = _with_aux(result) if has_aux else (result, None)
    outputs = recorder.statement(_Outputs.of, (out, "jvp"), {})
    pushed = recorder.statement(_push, (recorder, inputs, outputs, tuple(tangents)), {})
    return (outputs.tree, pushed, aux) if has_aux else (outputs.tree, pushed)


def jacobian(
    fn: Function, argnums: Argnums = 0, has_aux: bool = False, *, structured: bool = False
) -> Function:
    """The Jacobian of `fn`: for each array of the result and each array of the arguments
    `argnums` one of shape(out) + shape(in), the containers of the result outside.

    structured: a `StructuredJacobian` each, which keeps the deltas; not inside a compiled function.
    """

    @_named_after(fn)
    def derived(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            dense = jacobian(fn, argnums, has_aux)
            return (structured_eagerly if structured else eagerly)(dense, args, kwargs)
        if structured:
            raise UnsupportedError(
                "structured=True works outside tl.compile only; inside, leave it out: no zeros are"
                " computed with, and the result is a dense array"
            )
        inputs = _mark_arguments(recorder, fn, args, argnums)
        result = inputs.call(fn, kwargs)
        out, aux = _with_aux(result) if has_aux else (result, None)
        outputs = recorder.statement(_Outputs.of, (out, "jacobian"), {})
        blocks = recorder.statement(_total, (recorder, inputs, outputs), {})
        jacobians = outputs.treedef.unflatten(inputs.restore(row) for row in blocks)
        return (jacobians, aux) if has_aux else jacobians

    return derived


def hessian(
    fn: Function, argnums: Argnums = 0, has_aux: bool = False, *, structured: bool = False
) -> Function:
    """The Hessian of a scalar function: `jacobian` of `grad`, of shape(in) + shape(in)."""
    return jacobian(grad(fn, argnums, has_aux), argnums, has_aux, structured=structured)


# --- inputs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inputs:
    """The arguments of one derivative call: those at `positions` are rebuilt over `arg` nodes."""

    recorder: Recorder
    arguments: tuple[Any, ...]
    positions: tuple[int, ...]
    single: bool
    treedef: tree.TreeDef
    marked: tuple[Value, ...]
    originals: tuple[Buffer, ...]
    names: tuple[str, ...]

    def call(self, fn: Function, kwargs: Mapping[str, Any]) -> Any:
        """Record the function on the marked arguments; what they are made from is locked."""
        before = Snapshot({f"argument {k}": self.arguments[k] for k in self.positions})
        with _locked(self.originals):
            result = fn(*self.arguments, **kwargs)
        for path, *_ in before.modified():
            raise TraceError(
                f"the container {spell(path)} is being differentiated and must not be"
                " changed inside the differentiated function; build a new one"
            )
        return result

    def restore(self, leaves: Sequence[Any]) -> Any:
        """One array per marked leaf, in the containers of the arguments."""
        trees = self.treedef.unflatten(leaves)
        return trees[0] if self.single else trees


def _mark_arguments(
    recorder: Recorder, fn: Function, args: Sequence[Any], argnums: Argnums
) -> _Inputs:
    single = isinstance(argnums, int)
    wanted: Sequence[int] = [argnums] if isinstance(argnums, int) else list(argnums)
    if any(not -len(args) <= k < len(args) for k in wanted):
        raise TraceError(f"argnums {argnums} does not fit {len(args)} positional arguments")
    positions = tuple(k % len(args) for k in wanted)
    found, treedef = tree.flatten(tuple(args[k] for k in positions))
    names = _leaf_names(fn, positions, treedef)
    originals, marked = recorder.statement(_mark, (recorder, found, names), {})
    rebuilt = treedef.unflatten(marked)
    arguments = list(args)
    for k, argument in zip(positions, rebuilt, strict=True):
        arguments[k] = argument
    values = tuple(leaf.buffer.value for leaf in marked)
    short = tuple(name for _, name in names)
    return _Inputs(recorder, tuple(arguments), positions, single, treedef, values, originals, short)


def _leaf_names(
    fn: Function, positions: Sequence[int], treedef: tree.TreeDef
) -> list[tuple[str, str]]:
    """Every leaf as the user writes it, `p['W1']`, and its short IR name, `W1`."""
    known = list(parameters(fn).parameters.values())
    plain = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = []
    for path in treedef.key_paths:
        k = positions[int(path[0].name)]
        root = plain[k] if k < len(plain) else f"args[{k}]"
        short = path[-1].name if len(path) > 1 else plain[k] if k < len(plain) else f"a{k}"
        names.append((root + tree.access(path[1:]), short))
    return names


def _mark(
    recorder: Recorder, leaves: Sequence[Any], names: Sequence[tuple[str, str]]
) -> tuple[tuple[Buffer, ...], list[TracedArray]]:
    """The buffer of every leaf, and an `arg` node for it. DTypeError for one that has no
    derivative."""
    originals, marked = [], []
    for leaf, (label, short) in zip(leaves, names, strict=True):
        x = _floating(leaf, label)
        value = recorder.builder.arg(x.value, name_hint=f"{short}'")
        buffer = Buffer(value, contiguous=x.contiguous, label=label)
        buffer.derivatives = 1
        kind = "python" if is_number(leaf) else x.kind
        marked.append(TracedArray(recorder, buffer, (), kind))
        originals.append(x.buffer)
    return tuple(originals), marked


@contextmanager
def _locked(buffers: Sequence[Buffer]) -> Iterator[None]:
    """While the block runs these arrays must not be written: the function sees their values as
    they were, through `arg` nodes."""
    for buffer in buffers:
        buffer.derivatives += 1
    try:
        yield
    finally:
        for buffer in buffers:
            buffer.derivatives -= 1


def _floating(leaf: Any, label: str) -> TracedArray:
    if not isinstance(leaf, (Handle, np.ndarray, np.generic)) and not is_number(leaf):
        raise DTypeError(f"cannot differentiate with respect to {label}: {leaf!r} is no array")
    x = as_array(leaf)
    if not x.type.is_float:
        raise DTypeError(
            f"cannot differentiate with respect to {label} of dtype {x.dtype}; derivatives need"
            " floating arrays, so convert it or leave it out of the differentiated argument"
        )
    return x


# --- outputs and the derivative nodes ------------------------------------------------------


@dataclass(frozen=True)
class _Outputs:
    """The arrays a differentiated function returned, as they were when it returned."""

    tree: Any
    treedef: tree.TreeDef
    values: tuple[Value, ...]

    @staticmethod
    def of(result: Any, name: str) -> _Outputs:
        leaves, treedef = tree.flatten(result)
        arrays = []
        for leaf, path in zip(leaves, treedef.paths, strict=True):
            array = as_array(leaf)
            if not array.type.is_float:
                raise DTypeError(f"{name}: result{path} has dtype {array.dtype}, not a float")
            arrays.append(array)
        if not arrays:
            raise TraceError(f"{name}: the function returns no array")
        return _Outputs(treedef.unflatten(arrays), treedef, tuple(x.value for x in arrays))


def _gradient(recorder: Recorder, inputs: _Inputs, loss: Any) -> tuple[Any, list[TracedArray]]:
    if not isinstance(loss, (Handle, np.ndarray, np.generic)) and not is_number(loss):
        raise TraceError(
            f"the differentiated function returned a {type(loss).__name__}; it must return a"
            " scalar loss (with has_aux=True, a pair of loss and aux)"
        )
    array = as_array(loss)
    if array.shape != () or not array.type.is_float:
        raise TraceError(
            f"the loss must be a floating scalar of shape (), it is {array.type}; sum or average"
            " it, or use tl.vjp or tl.jacobian"
        )
    if array.value.name is None:
        array.value.name = "loss"
    results = _derive(recorder, "gradient", (array.value, *inputs.marked), {}, inputs)
    return array, results


def _pull(
    recorder: Recorder, inputs: _Inputs, outputs: _Outputs, cotangent: Any
) -> list[TracedArray]:
    seeds = _matching(cotangent, outputs.treedef, outputs.values, "cotangent")
    attrs = {"outputs": len(outputs.values), "wrt": len(inputs.marked)}
    return _derive(recorder, "vjp", (*outputs.values, *inputs.marked, *seeds), attrs, inputs)


def _push(recorder: Recorder, inputs: _Inputs, outputs: _Outputs, tangents: Any) -> Any:
    seeds = _matching(tangents, inputs.treedef, inputs.marked, "tangents")
    attrs = {"outputs": len(outputs.values), "wrt": len(inputs.marked)}
    results = _derive(recorder, "jvp", (*outputs.values, *inputs.marked, *seeds), attrs)
    return outputs.treedef.unflatten(results)


def _total(recorder: Recorder, inputs: _Inputs, outputs: _Outputs) -> list[list[TracedArray]]:
    return [
        [_derive(recorder, "total_jacobian", (y, a), {})[0] for a in inputs.marked]
        for y in outputs.values
    ]


def _derive(
    recorder: Recorder,
    op: str,
    operands: Sequence[Value],
    attrs: Mapping[str, Any],
    inputs: _Inputs | None = None,
) -> list[TracedArray]:
    """One derivative node, and handles on its results."""
    names = [f"g{name}" for name in inputs.names] if inputs is not None else []
    node = recorder.builder.emit(op, operands, attrs, names=names)
    return [recorder.fresh(value) for value in node.results]


def _matching(given: Any, treedef: tree.TreeDef, values: Sequence[Value], what: str) -> list[Value]:
    """Seeds of the structure and shapes of `values`, in their dtypes."""
    leaves, structure = tree.flatten(given)
    if structure != treedef:
        found, wanted = structure.paths, treedef.paths
        raise TraceError(f"the {what} must have the structure {wanted}, not {found}")
    seeds = []
    for leaf, value, path in zip(leaves, values, treedef.paths, strict=True):
        seed = as_array(lift(leaf), value.type.dtype)
        if seed.shape != value.shape:
            raise ShapeError(f"{what}{path} has shape {seed.shape}, it must be {value.shape}")
        seeds.append(seed.value)
    return seeds


def _with_aux(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TraceError("with has_aux=True the function must return a pair (result, aux)")
    return result


def _same_trace(recorder: Recorder | None) -> Recorder:
    now = active()
    if now is None or (recorder is not None and now is not recorder):
        raise TraceError("a function returned by tl.vjp is called after its trace ended")
    return now


# --- outside a trace -----------------------------------------------------------------------


def _vjp_eagerly(fn: Function, primals: tuple[Any, ...], has_aux: bool) -> tuple[Any, ...]:
    def forward(*primals: Any) -> Any:
        out, _, *aux = vjp(fn, *primals, has_aux=has_aux)
        return out, *aux

    out, *aux = eagerly(forward, primals, {})

    def pull(cotangent: Any) -> Any:
        def both(p: Any, seed: Any) -> Any:
            return vjp(fn, *p, has_aux=has_aux)[1](seed)

        return eagerly(both, (primals, cotangent), {})

    return out, pull, *aux


def _jvp_eagerly(
    fn: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool
) -> tuple[Any, ...]:
    def pushed(p: Any, t: Any) -> Any:
        return jvp(fn, p, t, has_aux)

    result: tuple[Any, ...] = eagerly(pushed, (primals, tangents), {})
    return result


def _named_after(fn: Function) -> Callable[[Function], Function]:
    """Give a derived function the name and the signature of `fn`."""
    return functools.wraps(fn)
