"""Run the same Python function on arrays and, traced, through the interpreter; compare."""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler import containers, tree
from tapeless.compiler.signature import bind, parameters
from tapeless.compiler.trace import trace
from tapeless.ir.verify import verify
from tapeless.runtime.interpreter import interpret


def run_traced(fn: Callable[..., Any], *args: Any) -> Any:
    """What a compiled call does, by the interpreter: updates and rebound slots included."""
    traced = trace(fn, args, {})
    graph = traced.graph
    verify(graph)
    leaves = traced.described.leaves
    typed = [np.asarray(x, v.type.dtype) for x, v in zip(leaves, graph.inputs, strict=True)]
    outputs, updates = interpret(graph, *typed)
    for (target, _), value in zip(graph.updates, updates, strict=True):
        np.copyto(leaves[graph.inputs.index(target)], value)
    finish = traced.prepare(bind(parameters(fn), args, {}).arguments, outputs)
    finish.replay()
    return finish.result


def same(actual: Any, expected: Any, *, exact: bool = True) -> None:
    """Equal structure, shapes, dtypes and values. Results of shape () are 0-d arrays here."""
    found, treedef = tree.flatten(actual)
    wanted, structure = tree.flatten(expected)
    assert treedef == structure, f"{treedef} is not {structure}"
    for a, e in zip(found, wanted, strict=True):
        if not isinstance(e, (np.ndarray, np.generic, int, float)):
            assert a == e
            continue
        a, e = np.asarray(a), np.asarray(e)
        assert a.dtype == e.dtype and a.shape == e.shape, (a.dtype, a.shape, e.dtype, e.shape)
        if exact:
            np.testing.assert_array_equal(a, e)
        else:
            tolerance = 1e-5 if e.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(a, e, rtol=tolerance, atol=1e-12)


def same_state(actual: Any, expected: Any, tolerance: float = 1e-11) -> None:
    """Equal attribute by attribute, objects and containers below included: types, dtypes, shapes,
    and what is shared with what."""
    found, structure = containers.flatten(actual)
    wanted, treedef = containers.flatten(expected)
    assert structure == treedef, f"{structure} is not {treedef}"
    for a, e, path in zip(found, wanted, treedef.paths, strict=True):
        assert type(a) is type(e), path
        if isinstance(e, (np.ndarray, np.generic, float)):
            assert np.result_type(a) == np.result_type(e), path
            np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance, err_msg=path)
        else:
            assert a == e, path


class Box:
    """An object that holds whatever it is given."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slotted:
    """An object whose attributes are slots: one private, one never set."""

    __slots__ = ("W", "__count", "unset")

    def __init__(self) -> None:
        self.W = np.ones(2)
        self.__count = 0

    @property
    def count(self) -> int:
        return self.__count

    def step(self) -> Any:
        self.W = self.W * 2
        self.__count += 1
        return self.W.sum()


class Mode(enum.Enum):
    """A static value."""

    TRAIN = 1


class Value:
    """Hashable by value, hence static."""

    def __init__(self, n: int = 1) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and self.n == other.n

    def __hash__(self) -> int:
        return self.n


def _call(step: tl.CompiledFunction) -> Callable[..., Any]:
    return step


def _interpret(step: tl.CompiledFunction) -> Callable[..., Any]:
    return step.interpret


both_ways = pytest.mark.parametrize("how", [_call, _interpret], ids=["call", "interpret"])
"""`how(step)` runs a compiled function natively, or by the interpreter."""


class Sub(np.ndarray):
    """A subclass without behaviour of its own."""


def unaligned(array: np.ndarray) -> np.ndarray:
    """The same numbers one byte off every boundary."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written."""
    array = array.copy()
    array.flags.writeable = False
    return array


def interpreted(step: Callable[..., Any], *args: Any) -> Any:
    """The step run by the interpreter, writing like the call."""
    return tl.compile(step).interpret(*args)


def conforms(fn: Callable[..., Any], *args: Any, exact: bool = True) -> None:
    """`fn` traced gives what NumPy gives, and leaves the arguments as NumPy leaves them."""
    for_numpy, for_trace = copy.deepcopy(args), copy.deepcopy(args)
    with np.errstate(all="ignore"):
        expected = fn(*for_numpy)
    same(run_traced(fn, *for_trace), expected, exact=exact)
    same(for_trace, for_numpy, exact=exact)


def conforms_or_both_refuse(fn: Callable[..., Any], *args: Any) -> None:
    """`conforms`, or a TypeError where NumPy raises one or has a dtype the IR lacks (float16)."""
    try:
        with np.errstate(all="ignore"):
            refused = np.asarray(fn(*args)).dtype == np.float16
    except TypeError:
        refused = True
    if not refused:
        conforms(fn, *args, exact=False)
        return
    with pytest.raises(TypeError):
        run_traced(fn, *args)


def sample(dtype: Any, *shape: int, low: float = -3.0, high: float = 3.0) -> Any:
    """Random elements of any dtype, the same in every run."""
    values = np.random.default_rng(sum(shape)).uniform(low, high, shape)
    if dtype is np.bool_:
        return values > 0
    return (np.abs(values) if np.dtype(dtype).kind == "u" else values).astype(dtype)
