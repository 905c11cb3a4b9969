"""LLVM text to object code, each in a context of its own: threads may do it at the same time.

    image = object_code(text, "optimised")       None where that does not work

LLVM can be used by several threads if each has its own context, target machine and pass builder.
llvmlite puts one lock around every call all the same, for the sake of its global context. So this
calls the functions of llvmlite's own library past the lock. Those that take long release the GIL;
the others keep it, for a thread that has given it up may wait for it longer than they take.

Whether the library has these functions, with so many parameters, is compared with what llvmlite
itself declares. Where it does not, and where LLVM refuses a text, the result is None: llvmlite then
does the same, or says what is wrong.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

from llvmlite.binding import ffi

from .host import new_machine, new_tuning
from .loading import Form

_SIGNATURES: Final = {
    "ContextCreate": "p",
    "ContextDispose": "-p",
    "ParseAssembly": "ppsp",
    "DisposeModule": "-p",
    "CreatePassBuilder": "ppp",
    "DisposePassBuilder": "-p",
    "buildPerModuleDefaultPipeline": "ppi",
    "module_AddAlwaysInlinerPass": "-p",
    "DisposeNewModulePassManger": "-p",
    "RunNewModulePassManager": "-ppp",
    "TargetMachineEmitToMemory": "pppip",
    "GetBufferStart": "pp",
    "GetBufferSize": "np",
    "DisposeMemoryBuffer": "-p",
}
"""The functions, by name in the library after `LLVMPY_`: kinds of the result and the parameters."""

_LONG: Final = ("RunNewModulePassManager", "TargetMachineEmitToMemory")
_KINDS: Final[Mapping[str, Any]] = {
    "-": None,
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "i": ctypes.c_int,
    "n": ctypes.c_size_t,
}


@cache
def _functions() -> Mapping[str, Any] | None:
    """The functions of the library, or None where they are not as they should be."""
    keeping, releasing = ctypes.PyDLL(ffi.lib._name), ctypes.CDLL(ffi.lib._name)
    found = {}
    for name, kinds in _SIGNATURES.items():
        result, *parameters = (_KINDS[kind] for kind in kinds)
        try:
            function = (releasing if name in _LONG else keeping)[f"LLVMPY_{name}"]
            declared = getattr(ffi.lib, f"LLVMPY_{name}").argtypes or ()
        except AttributeError:
            return None
        if len(declared) != len(parameters):
            return None
        function.restype, function.argtypes = result, parameters
        found[name] = function
    return found


class _Tools:
    """What one thread at a time compiles with."""

    def __init__(self) -> None:
        self.careful, self.quick = new_machine(3), new_machine(0)
        self.tuning = new_tuning()


@cache
def _idle() -> list[_Tools]:
    return []


@contextmanager
def _borrowed() -> Iterator[_Tools]:
    """Tools that no other thread has now."""
    try:
        tools = _idle().pop()
    except IndexError:
        tools = _Tools()
    yield tools
    _idle().append(tools)


def object_code(text: str, form: Form) -> bytes | None:
    """The object code of a text, or None, see above."""
    functions = _functions()
    if functions is None:
        return None
    with ExitStack() as stack:
        tools = stack.enter_context(_borrowed())

        def made(maker: str, disposer: str, *arguments: Any) -> Any:
            made = functions[maker](*arguments)
            if made:
                stack.callback(functions[disposer], made)
            return made

        context = made("ContextCreate", "ContextDispose")
        message = ctypes.c_char_p()
        out = ctypes.byref(message)
        module = made("ParseAssembly", "DisposeModule", context, text.encode(), out)
        if not module:
            return None
        machine = tools.quick if form == "straight" else tools.careful
        if form == "optimised":
            builder = made("CreatePassBuilder", "DisposePassBuilder", machine, tools.tuning)
            passes = made("buildPerModuleDefaultPipeline", "DisposeNewModulePassManger", builder, 3)
            functions["module_AddAlwaysInlinerPass"](passes)  # see `link.optimised`
            functions["RunNewModulePassManager"](passes, module, builder)
        code = made("TargetMachineEmitToMemory", "DisposeMemoryBuffer", machine, module, 1, out)
        if not code:
            return None
        start, size = functions["GetBufferStart"](code), functions["GetBufferSize"](code)
        return ctypes.string_at(start, size)
