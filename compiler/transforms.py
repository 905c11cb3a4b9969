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
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError, TraceError
from ..ir.graph import Value
from ..ir.record import dataclass
from . import containers, eager, open_jacobians, tree
from .active import active
from .differentiated import Argnums, Function, Inputs, mark_arguments
from .tracing import misuse
from .tracing.handle import Handle
from .tracing.promotion import as_array, is_number, lift
from .tracing.recorder import Recorder
from .tracing.refused import is_refused
from .tracing.traced import TracedArray
from .treedef import TreeDef


def grad(fn: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The gradient of a scalar function with respect to the arguments `argnums`.

    The result takes the arguments of `fn` and returns arrays of the shapes and dtypes of those
    arguments, in the same containers (a tuple of them if `argnums` is a sequence); with `has_aux`,
    where `fn` returns (loss, aux), the pair (gradient, aux). For an object it is an object of the
    same class, `g.W` for `net.W`; there only float arrays are differentiated, numbers are None.

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
            return eager.eagerly(derived, args, kwargs)
        inputs = mark_arguments(recorder, fn, args, argnums)
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
    _check_function(fn)
    recorder = active()
    if recorder is None:
        return _vjp_eagerly(fn, primals, has_aux)
    inputs = mark_arguments(recorder, fn, primals, range(len(primals)))
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
    _check_function(fn)
    if not isinstance(primals, list | tuple) or not isinstance(tangents, list | tuple):
        raise misuse.here("tl.jvp takes a tuple of primals and one of tangents: (x,), (t,)")
    if active() is None:
        return _jvp_eagerly(fn, tuple(primals), tuple(tangents), has_aux)
    recorder = _same_trace(None)
    inputs = mark_arguments(recorder, fn, tuple(primals), range(len(primals)))
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

    structured: a `StructuredJacobian` each, which keeps deltas and parts of axes; inside a
    compiled function its values are traced arrays.
    """

    @_named_after(fn)
    def derived(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            return eager.eagerly(derived, args, kwargs)
        before = len(recorder.builder.nodes)
        inputs = mark_arguments(recorder, fn, args, argnums)
        result = inputs.call(fn, kwargs)
        out, aux = _with_aux(result) if has_aux else (result, None)
        outputs = recorder.statement(_Outputs.of, (out, "jacobian"), {})
        if structured:
            found = (recorder, before, outputs.values, inputs.marked)
            blocks = recorder.statement(open_jacobians.structured_blocks, found, {})
        else:
            blocks = recorder.statement(_total, (recorder, inputs, outputs), {})
        jacobians = outputs.treedef.unflatten(inputs.restore(row) for row in blocks)
        return (jacobians, aux) if has_aux else jacobians

    return derived


def hessian(
    fn: Function, argnums: Argnums = 0, has_aux: bool = False, *, structured: bool = False
) -> Function:
    """The Hessian of a scalar function: `jacobian` of `grad`, of shape(in) + shape(in)."""
    return jacobian(grad(fn, argnums, has_aux), argnums, has_aux, structured=structured)


# --- outputs and the derivative nodes ------------------------------------------------------


@dataclass(frozen=True)
class _Outputs:
    """The arrays a differentiated function returned, as they were when it returned."""

    tree: Any
    treedef: TreeDef
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


def _gradient(recorder: Recorder, inputs: Inputs, loss: Any) -> tuple[Any, list[TracedArray]]:
    if not isinstance(loss, (Handle, np.ndarray, np.generic)) and not is_number(loss):
        found = "None" if loss is None else f"a {type(loss).__name__}"
        raise TraceError(
            f"the differentiated function returns {found}; let it `return loss`, a scalar, or with"
            " has_aux=True a pair (loss, aux)"
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
    recorder: Recorder, inputs: Inputs, outputs: _Outputs, cotangent: Any
) -> list[TracedArray]:
    seeds = _matching(cotangent, outputs.treedef, outputs.values, "cotangent")
    attrs = {"outputs": len(outputs.values), "wrt": len(inputs.marked)}
    return _derive(recorder, "vjp", (*outputs.values, *inputs.marked, *seeds), attrs, inputs)


def _push(recorder: Recorder, inputs: Inputs, outputs: _Outputs, tangents: Any) -> Any:
    seeds = _matching(tangents, inputs.treedef, inputs.marked, "tangents", inputs.chosen)
    attrs = {"outputs": len(outputs.values), "wrt": len(inputs.marked)}
    results = _derive(recorder, "jvp", (*outputs.values, *inputs.marked, *seeds), attrs)
    return outputs.treedef.unflatten(results)


def _total(recorder: Recorder, inputs: Inputs, outputs: _Outputs) -> list[list[TracedArray]]:
    return [
        [_derive(recorder, "total_jacobian", (y, a), {})[0] for a in inputs.marked]
        for y in outputs.values
    ]


def _derive(
    recorder: Recorder,
    op: str,
    operands: Sequence[Value],
    attrs: Mapping[str, Any],
    inputs: Inputs | None = None,
) -> list[TracedArray]:
    """One derivative node, and handles on its results."""
    names = [f"g{name}" for name in inputs.names] if inputs is not None else []
    node = recorder.builder.emit(op, operands, attrs, names=names)
    return [recorder.fresh(value) for value in node.results]


def _matching(
    given: Any,
    treedef: TreeDef,
    values: Sequence[Value],
    what: str,
    chosen: Sequence[bool] | None = None,
) -> list[Value]:
    """Seeds of the structure and shapes of `values`, in their dtypes; `chosen` says which leaves
    the values belong to, if not to all."""
    leaves, structure = containers.flatten(given, is_refused)
    if structure != treedef:
        found, wanted = structure.paths, treedef.paths
        raise TraceError(f"the {what} must have the structure {wanted}, not {found}")
    seeds = []
    chosen = chosen or [True] * len(leaves)
    used, paths = itertools.compress(leaves, chosen), itertools.compress(treedef.paths, chosen)
    for leaf, value, path in zip(used, values, paths, strict=True):
        seed = as_array(lift(leaf), value.type.dtype)
        if seed.shape != value.shape:
            raise ShapeError(f"{what}{path} has shape {seed.shape}, it must be {value.shape}")
        seeds.append(seed.value)
    return seeds


def _with_aux(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise misuse.here("with has_aux=True the function must return a pair (result, aux)")
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

    out, *aux = eager.eagerly(forward, primals, {})

    def pull(cotangent: Any) -> Any:
        def both(p: Any, seed: Any) -> Any:
            return vjp(fn, *p, has_aux=has_aux)[1](seed)

        return eager.eagerly(both, (primals, cotangent), {})

    return out, pull, *aux


def _jvp_eagerly(
    fn: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool
) -> tuple[Any, ...]:
    def pushed(p: Any, t: Any) -> Any:
        return jvp(fn, p, t, has_aux)

    result: tuple[Any, ...] = eager.eagerly(pushed, (primals, tangents), {})
    return result


def _check_function(fn: Any) -> None:
    if not callable(fn):
        raise misuse.here(
            f"a derivative is one of a function, not of a {type(fn).__name__}; write the function"
            " alone and call what comes back: tl.grad(f)(x)"
        )


def _named_after(fn: Function) -> Callable[[Function], Function]:
    """Give a derived function the name and the signature of `fn`."""
    _check_function(fn)
    return functools.wraps(fn)
