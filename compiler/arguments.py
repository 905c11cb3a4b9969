"""The careful path of a call: explain what is wrong, make copies where layout demands it.

The native checker accepts arguments that are exactly what the program was compiled for and says
no to all others. This module is what happens then: it raises the error that names the argument,
or turns odd but legal arguments (strided, Fortran-ordered, unaligned) into plain copies, and
writes the copies of updated arguments back afterwards. Nothing is written before all checks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import AliasError, ReadOnlyError, ScalarRangeError
from ..ir.record import dataclass
from ..ir.types import dtype_name
from ..runtime.commit import writes
from .outline import Input
from .signature import Described, StaticSpec, argument_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


OVERLAP_WORK = 100_000
"""Effort spent on proving that two interleaved strided arrays share no element."""


@dataclass(frozen=True)
class Parameter:
    """One graph input as the caller knows it: `p['W1']`, and whether the step writes it."""

    access: str
    updated: bool
    dtype: np.dtype[Any]


def parameters_of(described: Described, inputs: Sequence[Input]) -> tuple[Parameter, ...]:
    """One per graph input: the leaves that are not static."""
    moving = [
        argument_name(described.treedef, k)
        for k, spec in enumerate(described.specs)
        if not isinstance(spec, StaticSpec)
    ]
    return tuple(
        Parameter(access, taken.updated, taken.type.dtype)
        for access, taken in zip(moving, inputs, strict=True)
    )


def check(parameters: Sequence[Parameter], leaves: Sequence[Any]) -> None:
    """ReadOnlyError for an updated array that cannot be written, AliasError for one that
    overlaps another argument (overlap among arrays that are only read is fine)."""
    for parameter, leaf in zip(parameters, leaves, strict=True):
        if parameter.updated and not leaf.flags.writeable:
            raise ReadOnlyError(
                f"argument {parameter.access} is updated by the step but is read-only;"
                " pass a writable copy"
            )
    arrays = [(p, x) for p, x in zip(parameters, leaves, strict=True) if isinstance(x, np.ndarray)]
    for (p, x), (q, y) in combinations(arrays, 2):
        if (p.updated or q.updated) and overlap(x, y):
            updated, other = (p, q) if p.updated else (q, p)
            raise AliasError(
                f"argument {updated.access} is updated by the step and overlaps argument"
                f" {other.access} in memory; pass a copy of one of them"
            )


def overlap(x: Array, y: Array) -> bool:
    """Whether two arrays share an element; taken as true when that is too hard to rule out."""
    # NumPy's stubs know only the two special values of max_work.
    try:
        return np.shares_memory(x, y, max_work=OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def check_ranges(
    ranges: Sequence[tuple[int, np.dtype[Any]]],
    parameters: Sequence[Parameter],
    leaves: Sequence[Any],
) -> None:
    """ScalarRangeError for a Python int that does not fit the dtype it is used with."""
    for position, dtype in ranges:
        limits = np.iinfo(dtype)
        if not limits.min <= leaves[position] <= limits.max:
            raise ScalarRangeError(
                f"argument {parameters[position].access}: Python integer {leaves[position]} is"
                f" out of bounds for {dtype_name(dtype)}"
            )


def limits(ranges: Sequence[tuple[int, np.dtype[Any]]]) -> dict[int, tuple[int, int]]:
    """The least and the greatest value of every input that has ranges."""
    found: dict[int, tuple[int, int]] = {}
    for position, dtype in ranges:
        least, greatest = found.get(position, (-(2**63), 2**63 - 1))
        bounds = np.iinfo(dtype)
        found[position] = max(least, int(bounds.min)), min(greatest, int(bounds.max))
    return found


def plain(parameter: Parameter, leaf: Any) -> Any:
    """The array as an aligned, C-contiguous `ndarray` of the parameter's very dtype object: itself,
    or a copy. Numbers pass."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    # Equal dtypes may be different objects (np.longlong, metadata); native code compares objects.
    usual = type(leaf) is np.ndarray and leaf.dtype is parameter.dtype
    if usual and leaf.flags.c_contiguous and leaf.flags.aligned:
        return leaf
    copy = np.empty(leaf.shape, parameter.dtype)
    copy[...] = leaf
    return copy


def plain_all(parameters: Sequence[Parameter], leaves: Sequence[Any]) -> list[Any]:
    """Every leaf made `plain`. If an updated one is a copy, all updated ones are, so that
    `restore` brings them back together."""
    used = [plain(p, x) for p, x in zip(parameters, leaves, strict=True)]
    triples = list(zip(parameters, leaves, used, strict=True))
    if not any(p.updated and copy is not x for p, x, copy in triples):
        return used
    return [x.copy() if p.updated and copy is x else copy for p, x, copy in triples]


def restore(leaves: Sequence[Any], used: Sequence[Any], parameters: Sequence[Parameter]) -> None:
    """Write updated arguments that were copied by `plain_all` back to the caller's arrays."""
    triples = zip(parameters, leaves, used, strict=True)
    pairs = [(x, copy) for p, x, copy in triples if p.updated and copy is not x]
    deque(writes([x for x, _ in pairs], [copy for _, copy in pairs]), maxlen=0)
