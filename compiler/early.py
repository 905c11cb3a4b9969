"""A program found without tracing its step: the key.

    key = early_key(step, described)        None if the trace may depend on more than can be seen

A trace is Python code that runs once, on arguments without values. So the key covers that code and
everything it can reach (`content.py`), what the arguments are, the options, and what else decides
how NumPy and this package behave: versions and sources (every key of the store has those), the
environment's variables, the handling of warnings and of floating-point errors.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

import numpy as np

from .call import Step
from .codes import ImpenetrableError
from .content import Content
from .signature import ArraySpec, Described, RefusedSpec, ScalarSpec
from .tree import Shared, TreeDef
from .trust import class_name, trusted_function

_VERSIONS: Final = ((3, 11), (3, 15))
"""The versions of Python whose code `codes.py` reads."""
_PREFIXES: Final = ("TAPELESS_", "NPY_", "NUMPY_")
_WITHOUT: Final = frozenset({"TAPELESS_CACHE", "TAPELESS_LOG", "TAPELESS_THREADS"})
"""Variables that decide nothing about a program."""


def early_key(step: Step, described: Described) -> str | None:
    """What decides the trace of a step with such arguments, as a digest; None if that cannot be
    said. Values of arrays and numbers among the arguments are not part of it."""
    try:
        return _content(step, described).digest()
    except (ImpenetrableError, RecursionError, RuntimeError):
        return None


def _content(step: Step, described: Described) -> Content:
    content = Content(id(leaf) for leaf in described.leaves if isinstance(leaf, np.ndarray))
    for line in _surroundings():
        content.say(line)
    function, options = step.function, step.options
    if type(function) is not FunctionType or trusted_function(function) is not None:
        raise ImpenetrableError("not a function of the user's")  # its lines are its caller's
    content.add((options.static_argnames, options.optimize, options.run.flush))
    content.add(function)
    _add_structure(content, described.treedef)
    for spec in described.specs:
        _add_spec(content, spec)
    return content


def _surroundings() -> Iterator[str]:
    """What Python and NumPy are told from outside."""
    if not _VERSIONS[0] <= sys.version_info[:2] < _VERSIONS[1]:
        raise ImpenetrableError("this version of Python")
    yield repr(tuple(sys.flags))
    for name, value in sorted(os.environ.items()):
        if name.startswith(_PREFIXES) and name not in _WITHOUT:
            yield f"variable {name!r} {value!r}"
    for action, message, category, module, line in getattr(
        warnings, "_get_filters", lambda: warnings.filters
    )():
        yield f"filter {action} {_text(message)} {class_name(category)} {_text(module)} {line}"
    yield repr((np.geterr(), sorted(np.get_printoptions().items(), key=str)))


def _text(pattern: Any) -> str:
    return repr((pattern.pattern, pattern.flags) if isinstance(pattern, re.Pattern) else pattern)


def _add_structure(content: Content, treedef: TreeDef) -> None:
    kind = treedef.kind
    if kind is None or kind is Shared:
        content.say(f"leaf {treedef.keys}")
        return
    content.add(kind)
    content.add(treedef.keys)
    content.add(treedef.static)
    content.say(f"children {len(treedef.children)}")
    for child in treedef.children:
        _add_structure(content, child)


def _add_spec(content: Content, spec: Any) -> None:
    match spec:
        case ArraySpec(kind, contiguous):
            content.say(f"array {kind.dtype.str} {kind.shape} {contiguous}")
        case ScalarSpec(kind, weak):
            content.say(f"number {kind.dtype.str} {weak}")
        case RefusedSpec(kind, reason):
            content.say(f"refused {class_name(kind)} {reason!r}")
        case _:
            content.add(spec.value)
