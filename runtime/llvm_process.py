"""A process that makes object code of LLVM texts, for `runtime/workers.py`, which starts it:

    python -I -S llvm_process.py FOLDER         llvmlite's own

It reads texts from its standard input and writes object code to its standard output, one for one,
until that input ends or nothing came for a while. Nothing of this package nor of llvmlite's Python
is imported, for that takes as long as a small program to compile: llvmlite's library is called as
it is. Where that is of a version whose functions are not known to be these, llvmlite is imported
after all, and what it declares is compared.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys

TYPE_CHECKING = False  # `typing` takes its time, as `contextlib` does
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

HEADER: Final = struct.Struct("<QB")
"""What stands before a text or an answer: its length, and a number: the place of a text's form in
`FORMS`, or what the answer is."""

HELLO, IMAGE, ERROR, FAREWELL = range(4)
"""Answers. `HELLO` comes first and without being asked: `VERSION`, and the processor's features in
LLVM's names."""

VERSION: Final = b"tapeless 2\n"
"""Of this protocol: the file may have been replaced since the process that asks began."""

FORMS: Final = ("optimised", "vectors", "loops", "straight")

PASSES: Final = {
    "optimised": ("AlwaysInliner",),
    "vectors": ("AlwaysInliner", "SROA", "InstCombine", "SimplifyCFG"),
}
"""The forms on which passes run. After LLVM's own pipeline, in which loops were vectorised, what
they call now becomes part of them if it says so. Where loops are written as vectors
(`runtime/vector_loops.py`) no pipeline runs before these: all is in its place, but variables are
still in memory."""

PATIENCE: Final = 5.0
"""Seconds without a text after which the process ends."""

KNOWN: Final = ("0.50.0",)
"""The versions of llvmlite whose functions were compared."""

FUNCTIONS: Final = {
    "InitializeNativeTarget": "-",
    "InitializeNativeAsmPrinter": "-",
    "GetDefaultTargetTriple": "-p",
    "GetHostCPUName": "-p",
    "GetHostCPUFeatures": "ip",
    "GetTargetFromTriple": "psp",
    "CreateTargetMachine": "ppsssissiis",
    "CreateTargetMachineData": "pp",
    "CopyStringRepOfTargetData": "-pp",
    "CreatePipelineTuningOptions": "p",
    "PTOSetLoopVectorization": "-pb",
    "PTOSetSLPVectorization": "-pb",
    "ContextCreate": "p",
    "ContextDispose": "-p",
    "ParseAssembly": "ppsp",
    "DisposeModule": "-p",
    "CreatePassBuilder": "ppp",
    "DisposePassBuilder": "-p",
    "buildPerModuleDefaultPipeline": "ppi",
    "CreateNewModulePassManager": "p",
    **{f"module_Add{name}Pass": "-p" for name in PASSES["vectors"]},
    "DisposeNewModulePassManger": "-p",
    "RunNewModulePassManager": "-ppp",
    "TargetMachineEmitToMemory": "pppip",
    "GetBufferStart": "pp",
    "GetBufferSize": "np",
    "DisposeMemoryBuffer": "-p",
}
"""The functions, by name in the library after `LLVMPY_`: kinds of the result and the parameters."""

OLDER: Final = {"buildPerModuleDefaultPipeline": "ppii"}
"""Those that are others in older versions: a level for size follows that for speed."""

KINDS: Final[Mapping[str, Any]] = {
    "-": None,
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "b": ctypes.c_bool,
    "i": ctypes.c_int,
    "n": ctypes.c_size_t,
}


class LLVM:
    """The library, and the same settings as in `runtime/host.py`."""

    def __init__(self, path: str, functions: Mapping[str, str]) -> None:
        library = ctypes.PyDLL(path)
        self.functions = {}
        for name, kinds in functions.items():
            self.functions[name] = function = library[f"LLVMPY_{name}"]
            function.restype, *function.argtypes = (KINDS[kind] for kind in kinds)
        self("InitializeNativeTarget")
        self("InitializeNativeAsmPrinter")
        names = self._text("GetHostCPUFeatures").split(b",")
        names.sort(key=lambda name: name[1:])
        self.features = b",".join(names)

    def __call__(self, name: str, *arguments: Any) -> Any:
        return self.functions[name](*arguments)

    def _text(self, name: str, *arguments: Any) -> bytes:
        """What a function leaves in its last argument."""
        text = ctypes.c_char_p()
        self(name, *arguments, ctypes.byref(text))
        return text.value or b""

    def prepare(self) -> None:
        """Make what all texts are compiled with."""
        triple, cpu = self._text("GetDefaultTargetTriple"), self._text("GetHostCPUName")
        target = self("GetTargetFromTriple", triple, ctypes.byref(ctypes.c_char_p()))
        kind = target, triple, cpu, self.features
        options = b"pic", b"small", 0, 0, b""
        self.careful, self.quick = (
            self("CreateTargetMachine", *kind, level, *options) for level in (3, 0)
        )
        data = self("CreateTargetMachineData", self.careful)
        layout = self._text("CopyStringRepOfTargetData", data)
        self.head = b'target triple = "%s"\ntarget datalayout = "%s"\n' % (triple, layout)
        self.tuning = self("CreatePipelineTuningOptions")
        self("PTOSetLoopVectorization", self.tuning, True)
        self("PTOSetSLPVectorization", self.tuning, False)

    def object_code(self, text: bytes, form: str) -> tuple[int, bytes]:
        """The object code of a text, or what LLVM has against it."""
        context, message = self("ContextCreate"), ctypes.c_char_p()
        whole = self.head + text if form in PASSES else text
        module = self("ParseAssembly", context, whole, ctypes.byref(message))
        if not module:
            answer = ERROR, b"LLVM IR parsing error\n" + (message.value or b"")
        else:
            answer = self._emitted(module, form)
            self("DisposeModule", module)
        self("ContextDispose", context)
        return answer

    def _emitted(self, module: int, form: str) -> tuple[int, bytes]:
        machine, message = self.quick if form == "straight" else self.careful, ctypes.c_char_p()
        if form in PASSES:
            self._optimise(module, form)
        code = self("TargetMachineEmitToMemory", machine, module, 1, ctypes.byref(message))
        if not code:
            return ERROR, message.value or b"no object code"
        image = ctypes.string_at(self("GetBufferStart", code), self("GetBufferSize", code))
        self("DisposeMemoryBuffer", code)
        return IMAGE, image

    def _optimise(self, module: int, form: str) -> None:
        builder = self("CreatePassBuilder", self.careful, self.tuning)
        if form == "vectors":
            passes = self("CreateNewModulePassManager")
        else:
            levels = (3, 0)[: len(self.functions["buildPerModuleDefaultPipeline"].argtypes) - 1]
            passes = self("buildPerModuleDefaultPipeline", builder, *levels)
        for name in PASSES[form]:
            self(f"module_Add{name}Pass", passes)
        self("RunNewModulePassManager", passes, module, builder)
        self("DisposeNewModulePassManger", passes)
        self("DisposePassBuilder", builder)


def compared(folder: str) -> Mapping[str, str]:
    """The functions as llvmlite declares them. SystemExit if one is none of ours."""
    sys.path.append(os.path.dirname(folder))
    from llvmlite.binding import ffi  # lazily: see above

    found = {}
    for name, kinds in FUNCTIONS.items():
        count = len(getattr(ffi.lib, f"LLVMPY_{name}").argtypes or ())
        found[name] = kinds if count == len(kinds) - 1 else OLDER.get(name, "")
        if count != len(found[name]) - 1:
            raise SystemExit(f"LLVMPY_{name} has other parameters")
    return found


def is_known(folder: str) -> bool:
    """Whether this version's functions were compared before."""
    with open(os.path.join(folder, "_version.py")) as file:
        text = file.read()
    return any(f"'{version}'" in text for version in KNOWN)


def texts() -> Iterator[tuple[bytes, str]]:
    """Texts with their forms, until there are no more."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while poll.poll(1e3 * PATIENCE):
        length, form = HEADER.unpack(read(HEADER.size))
        yield read(length), FORMS[form]
    write(FAREWELL, b"")


def read(count: int) -> bytes:
    """So many bytes of the input. SystemExit where it ends."""
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            raise SystemExit
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write(kind: int, answer: bytes) -> None:
    message = HEADER.pack(len(answer), kind) + answer
    while message:
        message = message[os.write(1, message) :]


def detach() -> None:
    """Go on in a child that nobody has to wait for, with nothing open but the pipes."""
    if os.fork():
        os._exit(0)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:  # one, the folder's own, is closed already: this does not mind
            os.closerange(int(name), int(name) + 1)
    os.chdir("/")


def main() -> None:
    folder = sys.argv[1]
    detach()
    functions = FUNCTIONS if is_known(folder) else compared(folder)
    suffix = "dylib" if sys.platform == "darwin" else "so"
    llvm = LLVM(os.path.join(folder, "binding", f"libllvmlite.{suffix}"), functions)
    write(HELLO, VERSION + llvm.features)
    llvm.prepare()
    for text, form in texts():
        write(*llvm.object_code(text, form))


if __name__ == "__main__":
    main()
