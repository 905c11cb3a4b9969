"""What dispatch cannot catch: Python and NumPy asking a traced array for a concrete value.

They all end in `__bool__`, `__float__`, `__index__` or `__array__`, which do not know who asked.
The user's code does: the running expression is parsed to say what happened and what to write.
"""

from __future__ import annotations

import ast
import sys
from types import FrameType
from typing import Any

import numpy as np

from ...ir.errors import TraceError
from . import source
from .generators import DRAW_OTHERWISE
from .recorder import located

_OURS = "import NumPy by `from tapeless import numpy as np`"
_WHY = "the step is recorded without values, so that one program serves every call"


def no_truth() -> TraceError:
    """For `if x > 0`, `while`, `and`, `assert`, the built-in max ..."""
    frame = source.user_frame()
    node = _expression(frame)
    if isinstance(node, ast.Call) and _callee(node) in ("max", "min", "sorted", "any", "all"):
        what = f"the built-in {_callee(node)}() compares traced values"
        fix = f"use np.{_callee(node)}, or np.maximum for two"
        if _callee(node) == "sorted":
            fix = "use np.sort"
        elif _callee(node) in ("any", "all"):
            fix = f"use np.{_callee(node)}"
    elif isinstance(node, ast.Compare) and len(node.ops) > 1:
        what = "a chained comparison needs the truth of a traced value"
        fix = "write (a < x) & (x < b)"
    elif isinstance(node, ast.BoolOp):
        what = "`and`, `or` need the truth of a traced value"
        fix = "use np.logical_and, np.logical_or, or & and | on bool arrays"
    else:
        what = "the truth of a traced value decides which code runs"
        fix = "use np.where(condition, a, b), or make the value a static argument (static_argnames)"
    return _error(f"{what}; {_WHY}. Instead {fix}", frame)


def no_number(kind: str) -> TraceError:
    """For float(x), int(x), x.item(), an element of a concrete array set to a traced value."""
    frame = source.user_frame()
    if source.running_opcode(frame) == "STORE_SUBSCR":
        return _error(_stored(), frame)
    node = _expression(frame)
    if isinstance(node, ast.Call) and _callee(node).startswith("np.random"):
        return _error(_random(node), frame)
    if isinstance(node, ast.Call) and _callee(node).startswith("math."):
        fix = f"use np.{_callee(node).removeprefix('math.')}"
    elif kind == "int":
        fix = "use x.astype(np.int64), or make it a static argument (static_argnames)"
    else:
        fix = "drop the conversion: results of shape () work like numbers, and x.astype converts"
    return _error(f"a traced value is converted to a Python {kind}; {_WHY}. Instead {fix}", frame)


def no_format() -> TraceError:
    """For f"{x:.3f}" and format(x, ".3f")."""
    return _error(
        f"a traced value is formatted as a number; {_WHY}. Instead return it and print it outside"
        " the step",
        source.user_frame(),
    )


def no_index() -> TraceError:
    """For C[x] on a concrete array, a list index, range(n)."""
    frame = source.user_frame()
    node = _expression(frame)
    if isinstance(node, ast.Subscript):
        return _error(_indexed(), frame)
    if isinstance(node, ast.Call):
        what = f"{_callee(node) or 'a function'}() needs a concrete integer"
    else:
        what = "a concrete integer is needed"
    fix = "make it a static argument: tl.compile(static_argnames=('n',))"
    return _error(f"{what} but got a traced value; {_WHY}. Instead {fix}", frame)


def no_array() -> TraceError:
    """For np.array([x, x]), np.asarray(x), C[x], c[0] = x, and functions that do not dispatch."""
    frame = source.user_frame()
    if source.running_opcode(frame) == "STORE_SUBSCR":
        return _error(_stored(), frame)
    node = _expression(frame)
    if isinstance(node, ast.Subscript):
        return _error(_indexed(), frame)
    if not isinstance(node, ast.Call):
        return _error(f"a traced array is turned into a concrete one; {_WHY}", frame)
    callee = _callee(node)
    if callee.startswith("np.random"):
        return _error(_random(node), frame)
    if node.args and _is_sequence(node.args[0], frame):
        fix = f"use np.stack([a, b]) for arrays of one shape, np.concatenate for parts, or {_OURS}"
    elif callee.endswith(("asarray", "array")):
        fix = "use x itself, x.copy() or x.astype(dtype)"
    elif callee.endswith(".take"):
        fix = f"use np.asarray(C, like=x)[x], or {_OURS}"
    else:
        fix = f"call NumPy's function on traced arrays: np.{callee.rsplit('.', 1)[-1]}(C, x)"
    return _error(
        f"{callee or 'a function'}() would turn a traced array into a concrete one; {_WHY}."
        f" Instead {fix}",
        frame,
    )


def dropped_output(array: np.ndarray) -> TraceError:
    """For `buf += x`, `np.add(a, x, out=buf)` on a concrete array."""
    return TraceError(
        f"a concrete array of shape {array.shape} is updated in place with a traced value, and"
        " others may hold it; create it with np.zeros_like(x) or np.zeros(shape, like=x), or"
        f" {_OURS}, or pass it as an argument"
    )


def _stored() -> str:
    return (
        "a traced value is stored into a concrete array, which cannot hold it; create the array"
        f" with np.zeros_like(x) or np.zeros(shape, like=x), or {_OURS}, or pass it as an argument"
    )


def _indexed() -> str:
    return (
        "a concrete array or list is indexed with a traced value, which NumPy does not let us"
        f" see; use np.asarray(C, like=x)[x], or {_OURS} and np.asarray(C)[x]"
    )


def _random(node: ast.Call) -> str:
    return (
        f"{_callee(node)} is called inside the step; its numbers would be the same in every call."
        f" Instead {DRAW_OTHERWISE}"
    )


def _error(message: str, frame: FrameType | None) -> TraceError:
    return located(TraceError(message), frame)


def _expression(frame: FrameType | None) -> ast.expr | None:
    try:
        return ast.parse(source.running_expression(frame), mode="eval").body
    except SyntaxError:
        return None


def _is_sequence(node: ast.expr, frame: FrameType | None) -> bool:
    """Whether an argument is a list or tuple: written out, or held by a variable."""
    if isinstance(node, ast.Name) and frame is not None:
        return isinstance(frame.f_locals.get(node.id), (list, tuple))
    return isinstance(node, (ast.List, ast.Tuple, ast.ListComp))


def _callee(node: ast.Call) -> str:
    return ast.unparse(node.func).replace("numpy.", "np.")


# --- concrete arrays updated in place ------------------------------------------------------


def owners(array: np.ndarray) -> int:
    """References to a concrete array, seen from inside `__array_ufunc__`."""
    return sys.getrefcount(array)


class _Probe:
    """Counts the references NumPy itself holds while it dispatches `local += probe`."""

    def __init__(self) -> None:
        self.count = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        self.count = owners(kwargs["out"][0])
        return kwargs["out"][0]


def _calibrate() -> int:
    """Owners of an array that only one local name holds; 0 (none qualifies) if unstable."""
    probe: Any = _Probe()
    alone = np.zeros(1)
    alone += probe
    single = probe.count
    shared = also = np.zeros(1)
    shared += probe
    return single if probe.count == single + 1 and also is shared else 0


_SOLE = _calibrate()


def sole_owner(count: int) -> bool:
    """Whether `local += traced` may rebind the local name to a traced array: nothing else holds
    the concrete array, and the result goes back into a plain local variable."""
    frame = source.user_frame()
    if frame is None or not _SOLE or count > _SOLE:
        return False
    after = source.next_instruction(frame)
    return after is not None and after.opname == "STORE_FAST"
