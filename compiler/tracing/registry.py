"""The table of NumPy functions that can be traced, filled when the modules here are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Array = Any
"""A TracedArray, in functions that are themselves written in NumPy: the type stubs of NumPy do not
know that its functions return one when they are given one."""

COMPOSED: dict[np.ufunc, Callable[..., Any]] = {}
"""Ufuncs written in terms of others."""

F = TypeVar("F", bound=Callable[..., Any])

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""What stands in for a NumPy function; same parameters, at least one of them a TracedArray."""

METHODS: dict[str, Callable[..., Any]] = {}
"""What stands in for an array method; the array comes first."""


def implements(*functions: Any, method: str | None = None) -> Callable[[F], F]:
    """Enter a function into the table for the given NumPy functions and array method."""

    def enter(function: F) -> F:
        FUNCTIONS.update(dict.fromkeys(functions, function))
        if method is not None:
            METHODS[method] = function
        return function

    return enter
