"""The arguments a function is differentiated with respect to: rebuilt over `arg` nodes, and locked
while the function is recorded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, TraceError
from ..ir.graph import Value
from ..ir.record import dataclass
from . import containers, tree
from .rebinds import Snapshot, spell
from .signature import parameters
from .tracing.handle import Handle
from .tracing.promotion import as_array, is_number
from .tracing.recorder import Buffer, Recorder
from .tracing.refused import is_refused
from .tracing.traced import TracedArray
from .treedef import TreeDef

Function = Callable[..., Any]
Argnums = int | Sequence[int]


@dataclass(frozen=True)
class Inputs:
    """The arguments of one derivative call: those at `positions` are rebuilt over `arg` nodes."""

    recorder: Recorder
    arguments: tuple[Any, ...]
    positions: tuple[int, ...]
    single: bool
    treedef: TreeDef
    leaves: tuple[Any, ...]
    chosen: tuple[bool, ...]
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
        """One array per marked leaf, in the containers of the arguments. An object's numbers and
        integer arrays, which have no derivative, are None; what is static stays."""
        given = iter(leaves)
        trees = self.treedef.unflatten(
            next(given) if chosen else None if _is_data(leaf) else leaf
            for leaf, chosen in zip(self.leaves, self.chosen, strict=True)
        )
        return trees[0] if self.single else trees


def mark_arguments(
    recorder: Recorder, fn: Function, args: Sequence[Any], argnums: Argnums
) -> Inputs:
    single = isinstance(argnums, int)
    wanted = _positions(argnums)
    if any(not -len(args) <= k < len(args) for k in wanted):
        raise TraceError(
            f"argnums {argnums} does not fit {len(args)} positional arguments; what is"
            " differentiated is passed by position, its number counted from 0"
        )
    positions = tuple(k % len(args) for k in wanted)
    found, treedef = containers.flatten_apart([args[k] for k in positions], is_refused)
    chosen = tuple(
        not held or _is_float_array(x) for x, held in zip(found, treedef.held, strict=True)
    )
    names = list(itertools.compress(_leaf_names(fn, positions, treedef), chosen))
    picked = list(itertools.compress(found, chosen))
    originals, marked = recorder.statement(_mark, (recorder, picked, names), {})
    given = iter(marked)
    leaves = tuple(next(given) if c else x for x, c in zip(found, chosen, strict=True))
    rebuilt = treedef.unflatten(leaves)
    arguments = list(args)
    for k, argument in zip(positions, rebuilt, strict=True):
        arguments[k] = argument
    values = tuple(leaf.buffer.value for leaf in marked)
    short = tuple(name for _, name in names)
    return Inputs(
        recorder, tuple(arguments), positions, single, treedef, leaves, chosen, values, originals,
        short,
    )  # fmt: skip


def _positions(argnums: Argnums) -> list[int]:
    """`argnums` as a list; TraceError unless it is an int or ints."""
    wanted = list(argnums) if isinstance(argnums, list | tuple | range) else [argnums]
    if not wanted or not all(isinstance(k, int) for k in wanted):
        raise TraceError(
            f"argnums must be an int or a tuple of ints, not {argnums!r}; it says by position which"
            " arguments are differentiated, such as argnums=(0, 2)"
        )
    return [int(k) for k in wanted]  # type: ignore[arg-type]


def _is_data(leaf: Any) -> bool:
    return isinstance(leaf, (Handle, np.generic)) or is_number(leaf) or type(leaf) is np.ndarray


def _is_float_array(leaf: Any) -> bool:
    """Whether an attribute of an object is differentiated with respect to."""
    if isinstance(leaf, Handle):
        return leaf.kind == "array" and leaf.type.is_float
    return type(leaf) is np.ndarray and leaf.dtype.kind == "f"


def _leaf_names(fn: Function, positions: Sequence[int], treedef: TreeDef) -> list[tuple[str, str]]:
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
