"""What dispatch cannot catch: Python and NumPy asking a traced array for a concrete value.

They all end in `__bool__`, `__float__`, `__index__` or `__array__`, which do not know who asked.
The user's code does: the running expression is parsed to say what happened and what to write.
"""

from __future__ import annotations

import ast
from types import FrameType
from typing import Any, Final

import numpy as np

from ...ir.errors import TraceError, UnsupportedError
from ..signature import is_generator
from . import source
from .generators import DRAW_OTHERWISE
from .handle import Handle
from .recorder import located, remember

_OURS = "import NumPy by `from tapeless import numpy as np`"
_WHY = "the step is recorded without values, so that one program serves every call"
_ANYWHERE = "write it with NumPy functions of x, or compute it outside the step and pass the result"


def no_truth() -> TraceError:
    """For `if x > 0`, `while`, `and`, `assert`, the built-in max ..."""
    frame = source.user_frame()
    what, fix = _truth(_expression(frame), source.running_line(frame))
    return _error(f"{what}; {_WHY}. Instead {fix}", frame)


def _truth(node: ast.expr | None, line: str) -> tuple[str, str]:
    """What needs the truth of a traced value, and what to write."""
    match node:
        case ast.Call() if _callee(node) in _BUILTINS:
            return _built_in(_callee(node))
        case ast.Name("all" | "any" as name) if f"{name}(" in line:
            return _built_in(name)  # of a generator, which is a loop since Python 3.14
        case ast.Call() if _callee(node) == "bool":
            return "a traced value is converted to a Python bool", "use x != 0"
        case ast.Compare(ops=[ast.In() | ast.NotIn()]):
            return (
                "`in` needs the truth of a traced value",
                "use np.any(x == value), or np.isin(x, values)",
            )
        case ast.Compare(ops=[_, _, *_]):
            return (
                "a chained comparison needs the truth of a traced value",
                "write (a < x) & (x < b)",
            )
        case ast.BoolOp():
            return (
                "`and`, `or` need the truth of a traced value",
                "use np.logical_and, np.logical_or, or & and | on bool arrays",
            )
        case ast.UnaryOp(op=ast.Not()):
            return "`not` needs the truth of a traced value", "use np.logical_not(x)"
    for word, found in _STATEMENTS.items():
        if line.startswith(f"{word} "):
            return found
    return (
        "the truth of a traced value decides which code runs",
        "use np.where(condition, a, b), or make the value a static argument (static_argnames)",
    )


def _built_in(name: str) -> tuple[str, str]:
    return f"the built-in {name}() compares traced values", _BUILTINS[name]


_BUILTINS: Final = {
    "max": "use np.max, or np.maximum for two",
    "min": "use np.min, or np.minimum for two",
    "sorted": "use np.sort",
    "any": "use np.any",
    "all": "use np.all",
}
_STATEMENTS: Final = {
    "assert": (
        "`assert` needs the truth of a traced value",
        "return the condition and assert outside the step",
    ),
    "while": (
        "the truth of a traced value decides how long a loop runs",
        "loop a fixed number of times and keep what is done with np.where(condition, new, old)",
    ),
}


def no_number(kind: str) -> TraceError:
    """For float(x), int(x), x.item(), an element of a concrete array set to a traced value."""
    frame = source.user_frame()
    if source.running_opcode(frame) == "STORE_SUBSCR":
        return _error(_stored(), frame)
    node = _expression(frame)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return no_format()
    callee = _callee(node) if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and _draws(node, frame):
        return _error(_random(node), frame)
    if kind == "int" and callee not in ("int", "round") and not callee.startswith("math."):
        return _error(_counted(callee), frame)
    if callee.startswith("math."):
        fix = f"use np.{callee.removeprefix('math.')}"
    elif callee == "round":
        fix = "use np.round(x)"
    elif kind == "int":
        fix = "use x.astype(np.int64), or make it a static argument (static_argnames)"
    elif kind == "list":
        fix = "use x itself, or [x[k] for k in range(len(x))]"
    else:
        fix = "drop the conversion: results of shape () work like numbers, and x.astype converts"
    return _error(f"a traced value is converted to a Python {kind}; {_WHY}. Instead {fix}", frame)


def no_format() -> TraceError:
    """For f"{x:.3f}", format(x, ".3f") and "%.3f" % x."""
    return _error(
        f"a traced value is formatted as a number; {_WHY}. Instead return it and print it outside"
        " the step",
        source.user_frame(),
    )


def no_hash() -> TraceError:
    """For {x: 1}, {x} and functions that keep what they were called with."""
    return _error(
        f"a traced value is hashed, as a key of a dict or an element of a set; {_WHY}. Instead"
        " use a string or a static argument as the key, and np.where to choose by value",
        source.user_frame(),
    )


def no_copy_outside() -> TraceError:
    """For pickle.dumps(x)."""
    return _error(
        f"a traced array is pickled; {_WHY}. Instead return it and save it outside the step",
        source.user_frame(),
    )


def no_index() -> TraceError:
    """For C[x] on a concrete array, a list index, range(n)."""
    frame = source.user_frame()
    node = _expression(frame)
    if isinstance(node, ast.Subscript):
        return _error(_indexed(node), frame)
    return _error(_counted(_callee(node) if isinstance(node, ast.Call) else ""), frame)


def no_array() -> TraceError:
    """For np.array([x, x]), np.asarray(x), C[x], c[0] = x, and functions that do not dispatch."""
    frame = source.user_frame()
    if source.running_opcode(frame) == "STORE_SUBSCR":
        return _error(_stored(), frame)
    node = _expression(frame)
    if isinstance(node, ast.Subscript):
        return _error(_indexed(node), frame)
    if not isinstance(node, ast.Call):
        what = "a traced array is turned into a concrete one"
        return _error(f"{what}; {_WHY}. Instead {_ANYWHERE}", frame)
    callee = _callee(node)
    if _draws(node, frame):
        return _error(_random(node), frame)
    if callee in ("np.arange", "np.zeros", "np.ones", "np.empty"):
        return _error(_counted(callee), frame)
    if callee in ("np.fill_diagonal", "np.put", "np.place", "np.putmask"):
        return _error(_stored(), frame)
    return _error(
        f"{callee or 'a function'}() would turn a traced array into a concrete one; {_WHY}."
        f" Instead {_dispatched(node, frame)}",
        frame,
    )


def _dispatched(node: ast.Call, frame: FrameType | None) -> str:
    """What to write for a call that wants the elements of a traced array."""
    callee = _callee(node)
    last = callee.rsplit(".", 1)[-1]
    if node.args and _is_sequence(node.args[0], frame):
        return f"use np.stack([a, b]) for arrays of one shape, np.concatenate for parts, or {_OURS}"
    if callee == "np.full":
        return "use np.full_like(x, value) or np.full(shape, value, like=value)"
    if callee.startswith("np.") and last in np.sctypeDict:
        return f"use x.astype({callee})"
    if callee.startswith("np.ma."):
        return "use np.where(mask, a, b), or where=mask in a reduction"
    if callee.endswith(("asarray", "array")):
        return "use x itself, x.copy() or x.astype(dtype)"
    if callee.endswith(".take"):
        return f"use np.asarray(C, like=x)[x], or {_OURS}"
    if callee.startswith("np.vectorize"):
        return "write the function with NumPy functions, np.where for its ifs, and call it on x"
    if isinstance(_receiver(node, frame), np.ndarray) and hasattr(np, last):
        concrete = callee.removesuffix(f".{last}")
        return f"call NumPy's function on traced arrays: np.{last}({concrete}, x)"
    return _ANYWHERE


def check_compared(x: Handle, other: object) -> None:
    """TraceError for `x == None`, where Python would compare identities and NumPy elements."""
    if x.kind == "array" and (other is None or isinstance(other, str)):
        fix = "write x is None" if other is None else "compare it outside the step"
        raise here(f"an array is compared with {other!r}, which NumPy does by element; {fix}")


NO_LENGTH: Final = (
    "an array or number of shape () has no length and no elements to run over; it is one value"
)


def here(message: str) -> TraceError:
    """A TraceError at the user's line; what raises it raises in NumPy, too."""
    return located(TraceError(message), source.user_frame())


def unsupported(message: str) -> UnsupportedError:
    """An UnsupportedError at the user's line."""
    return located(UnsupportedError(message), source.user_frame())


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


def _indexed(node: ast.Subscript) -> str:
    held = ast.unparse(node.value).replace("numpy.", "np.")
    if held in _GRIDS:
        return f"{held}[...] does not take traced values; {_WHY}. Instead {_GRIDS[held]}"
    return (
        "a concrete array or list is indexed with a traced value, which NumPy does not let us"
        f" see; use np.asarray(C, like=x)[x], or {_OURS} and np.asarray(C)[x]"
    )


_GRIDS: Final = {
    "np.r_": "use np.concatenate([a, b])",
    "np.c_": "use np.column_stack([a, b])",
    "np.mgrid": "make the bounds static arguments (static_argnames)",
    "np.ogrid": "make the bounds static arguments (static_argnames)",
}


def _counted(callee: str) -> str:
    what = f"{callee}() needs a concrete integer" if callee else "a concrete integer is needed"
    fix = "make it a static argument: tl.compile(static_argnames=('n',))"
    return f"{what} but got a traced value; {_WHY}. Instead {fix}"


def _random(node: ast.Call) -> str:
    return (
        f"{_callee(node)} is called inside the step; its numbers would be the same in every call."
        f" Instead {DRAW_OTHERWISE}"
    )


def _draws(node: ast.Call, frame: FrameType | None) -> bool:
    """Whether a call is one of a random generator's."""
    return _callee(node).startswith("np.random") or is_generator(type(_receiver(node, frame)))


def _receiver(node: ast.Call, frame: FrameType | None) -> Any:
    """The object whose method is called, if a variable holds it."""
    return _found(getattr(node.func, "value", None), frame)


def _found(node: ast.expr | None, frame: FrameType | None) -> Any:
    """The value of a variable."""
    if not isinstance(node, ast.Name) or frame is None:
        return None
    return frame.f_locals.get(node.id, frame.f_globals.get(node.id))


def _error(message: str, frame: FrameType | None) -> TraceError:
    error = located(TraceError(message), frame)
    remember(error)
    return error


def _expression(frame: FrameType | None) -> ast.expr | None:
    try:
        return ast.parse(source.running_expression(frame), mode="eval").body
    except SyntaxError:
        return None


def _is_sequence(node: ast.expr, frame: FrameType | None) -> bool:
    """Whether an argument is a list or tuple: written out, or held by a variable."""
    if isinstance(node, ast.Name):
        return isinstance(_found(node, frame), (list, tuple))
    return isinstance(node, (ast.List, ast.Tuple, ast.ListComp))


def _callee(node: ast.Call) -> str:
    return ast.unparse(node.func).replace("numpy.", "np.")
