"""What decides the machine code of a piece of generated code, as one digest.

    key = digest(identity_of(fields(sources())), "kernel", text)

Two processes with one identity compile the same text to the same machine code: the digest is over
the versions of Python, NumPy, Numba, llvmlite and LLVM's settings, the sources of this package, and
the processor. It is found without importing Numba or llvmlite.
"""

from __future__ import annotations

import marshal
import os
import platform
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

import numpy as np

from ..ir.archive import STATE
from ..ir.record import dataclass

if TYPE_CHECKING:
    from hashlib import _Hash
    from typing import Protocol

    class Kept(Protocol):
        """What was found out before, by key: a store whose keys depend on nothing else."""

        def get(self, key: str) -> bytes | None: ...

        def put(self, key: str, payload: bytes) -> None: ...


_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FOLDERS: Final = ("ir", "passes", "runtime", "compiler", "library")
_SOURCES: Final = (".py", ".ll")
_TRACED: Final = ("library/", "compiler/tracing/")
"""What shows in the traced graph."""
_OWN: Final = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
"""Python's own SHA-256."""
SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a file's times tell every further change."""
_PROCESSOR_FIELDS = frozenset({
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features",
})  # fmt: skip


State = tuple[int, int, int, int, int]
"""Of a file or a folder: its device, number, size, and the times of the last changes of its content
and of its status."""
File = tuple[str, State]
Folder = tuple[str, State | None, list[File]]
"""Its path in the package, its state where that tells every further change, and its sources."""


def sha256(content: bytes = b"") -> _Hash:
    """A SHA-256 under way: OpenSSL's where that is loaded already. To load it takes 2 ms, and what
    is hashed here without it a quarter of one."""
    fast = getattr(sys.modules.get("hashlib"), "sha256", None)
    made: _Hash = (fast or _own_sha256())(content)
    return made


@cache
def _own_sha256() -> Callable[[bytes], _Hash]:
    """Python's own, lazily: it is a library, too."""
    try:
        made: Callable[[bytes], _Hash] = import_module(_OWN).sha256
    except ImportError:
        made = import_module("hashlib").sha256
    return made


def digest(*parts: str | bytes) -> str:
    """SHA-256 over the parts, in hexadecimal; no two lists of parts look alike to it."""
    state = sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(struct.pack("<Q", len(content)))
        state.update(content)
    return state.hexdigest()


def hashed(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    if len(content) >= 2**20:
        import hashlib  # noqa: F401  # lazily: OpenSSL is faster, once it is loaded
    return sha256(content).hexdigest()


@dataclass(frozen=True)
class Sources:
    """Digests of files of this package: those that decide what a traced graph compiles to, and all
    of them, which also decide what a step is traced to."""

    code: str
    every: str


def identity_of(found: dict[str, str]) -> str:
    """The digest of such fields."""
    return digest(*(part for pair in sorted(found.items()) for part in pair))


def fields(sources: Sources) -> dict[str, str]:
    """What the identity is made of, by name.

    OSError if a package's files cannot be read: without them nothing can be kept.
    """
    return {
        "python": f"{sys.version} {sys.implementation.cache_tag}",
        "system": f"{platform.system()} {platform.machine()} {sys.byteorder}",
        "numpy": np.__version__,
        "numba": _version_file("numba"),
        "llvmlite": _version_file("llvmlite"),
        "tapeless": sources.code,
        "processor": _processor(),
        "settings": repr(
            sorted((k, os.environ.get(k)) for k in os.environ if k.startswith("NUMBA_"))
        ),
    }


def sources(kept: Kept | None = None, package: str = _PACKAGE) -> Sources:
    """The digests of a package's sources. They are not read where `kept` knows what files of these
    names, numbers, sizes and times have in them, and their folders not listed, either, where it
    knows what is in those.

    The time of the last change of a file's status is among them. It cannot be set, and moves on
    with every change, but only so often in a second: a file that was just changed is always read.
    """
    if kept is None or os.stat not in os.supports_dir_fd:
        return _digests(package, _folders(package))
    own = STATE(os.stat(os.path.join(package, "__init__.py")))
    key = digest("folders of sources", package, repr(own[:2]))
    payload = kept.get(key)
    known = None if payload is None else marshal.loads(payload)
    if known and all(_is_same(package, folder) for folder in known[1]):
        return Sources(*known[0])
    found = _folders(package)
    if known and _sources_of(known[1]) == _sources_of(found):
        made = Sources(*known[0])
    else:
        made = _digests(package, found)
    settled = time.time_ns() - SETTLED
    if _newest(found) <= settled and _folders(package) == found:  # and they were while being read
        folders = [(name, _if(state, settled), files) for name, state, files in found]
        kept.put(key, marshal.dumps(((made.code, made.every), folders), 4))  # for any Python
    return made


def _newest(folders: list[Folder]) -> int:
    """When a source was last changed."""
    return max((max(state[3:]) for _, _, files in folders for _, state in files), default=0)


def _if(state: State | None, settled: int) -> State | None:
    """The state of a folder, if it tells every further change."""
    return state if state is not None and max(state[3:]) <= settled else None


def _sources_of(folders: list[Folder]) -> list[tuple[str, list[File]]]:
    return [(name, files) for name, _, files in folders]


def _folders(package: str) -> list[Folder]:
    """The folders of a package with their sources, in order. Of each source the system is asked
    once: all of them take a millisecond."""
    first = os.path.join(package, "__init__.py")
    found: list[Folder] = [("", STATE(os.stat(package)), [("__init__.py", STATE(os.stat(first)))])]
    folders = [name for name in _FOLDERS if os.path.isdir(os.path.join(package, name))]
    for folder in folders:  # grows
        inside = os.path.join(package, folder, "")
        state = STATE(os.stat(inside))
        names = sorted(os.listdir(inside))
        sources = [name for name in names if name.endswith(_SOURCES)]
        found.append((folder, state, [(name, STATE(os.stat(inside + name))) for name in sources]))
        inner = [name for name in names if "." not in name and name != "__pycache__"]
        folders += [f"{folder}/{name}" for name in inner if os.path.isdir(inside + name)]
    return found


def _is_same(package: str, folder: Folder) -> bool:
    """Whether a folder and its sources are what they were. It is looked up once."""
    name, state, files = folder
    try:
        opened = os.open(os.path.join(package, name), os.O_RDONLY)
        try:
            if STATE(os.fstat(opened)) != state:
                return False
            now = [(file, STATE(os.stat(file, dir_fd=opened))) for file, _ in files]
        finally:
            os.close(opened)
    except OSError:
        return False
    return now == files


def _digests(package: str, folders: list[Folder]) -> Sources:
    paths = [f"{folder}/{name}".lstrip("/") for folder, _, files in folders for name, _ in files]
    if len(paths) < 2:
        raise FileNotFoundError(f"no sources in {package}")
    code, every = sha256(), sha256()
    for path in paths:
        content = _content(os.path.join(package, path))
        head = f"{path} {len(content)}\n".encode()
        for state in (every,) if path.startswith(_TRACED) else (code, every):
            state.update(head)
            state.update(content)
    return Sources(code.hexdigest(), every.hexdigest())


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _version_file(name: str) -> str:
    """The digest of a package's version file, which names the version and the commit."""
    return digest(_content(os.path.join(folder_of(name), "_version.py")))


def folder_of(name: str) -> str:
    """Where a package is that need not be imported."""
    for entry in sys.path:
        folder = os.path.join(entry or os.getcwd(), name)
        if os.path.isfile(os.path.join(folder, "__init__.py")):
            return folder
    import importlib.util  # lazily: it is rarely needed

    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{name} is not installed")
    return os.path.dirname(spec.origin)


def _processor() -> str:
    """Model and features of the processor: what the system says, else what LLVM finds."""
    lines = [x for x in _first_processor() if x.partition("\t")[0] in _PROCESSOR_FIELDS]
    if any(line.startswith(("flags", "Features")) for line in lines):
        return "\n".join(lines)
    from llvmlite import binding  # lazily: only where the system does not say

    return f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"


def _first_processor() -> list[str]:
    """What Linux says of the first processor. To say it of hundreds takes long, and one only pays
    for what is read."""
    content = b""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            while b"\n\n" not in content and (more := file.read(4096)):
                content += more
    except OSError:
        return []
    return content.partition(b"\n\n")[0].decode(errors="replace").splitlines()
