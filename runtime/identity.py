"""What decides the machine code of a piece of generated code, as one digest.

    key = digest(identity(), "kernel", text)

Two processes with one identity compile the same text to the same machine code: the digest is over
the versions of Python, NumPy, Numba, llvmlite and LLVM's settings, the sources of this package, and
the processor. It is found without importing Numba or llvmlite.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import struct
import sys
from functools import cache
from pathlib import Path

import numpy as np

try:  # `hashlib` would load OpenSSL, which takes 2 ms
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

_PACKAGE = Path(__file__).parents[1]
_FOLDERS = ("ir", "passes", "runtime", "compiler")
_SUBFOLDERS = frozenset({"ops", "algebra", "rewriting", "codegen"})  # tracing shows in the graph
_PROCESSOR_FIELDS = frozenset({
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features",
})  # fmt: skip


def digest(*parts: str | bytes) -> str:
    """SHA-256 over the parts, in hexadecimal; no two lists of parts look alike to it."""
    state = sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(struct.pack("<Q", len(content)))
        state.update(content)
    return state.hexdigest()


@cache
def identity() -> str:
    """The digest of everything below."""
    return identity_of(fields())


def identity_of(found: dict[str, str]) -> str:
    """The digest of such fields."""
    return digest(*(part for pair in sorted(found.items()) for part in pair))


def fields() -> dict[str, str]:
    """What the identity is made of, by name.

    OSError if a package's files cannot be read: without them nothing can be kept.
    """
    return {
        "python": f"{sys.version} {sys.implementation.cache_tag}",
        "system": f"{platform.system()} {platform.machine()} {sys.byteorder}",
        "numpy": np.__version__,
        "numba": _version_file("numba"),
        "llvmlite": _version_file("llvmlite"),
        "tapeless": source_digest(_PACKAGE),
        "processor": _processor(),
        "settings": repr(sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_"))),
    }


def source_digest(package: Path) -> str:
    """The digest of the sources that decide what a traced graph compiles to."""
    root = os.fspath(package)
    state = sha256(_content(os.path.join(root, "__init__.py")))
    folders = [os.path.join(root, name) for name in reversed(_FOLDERS)]
    count = 0
    while folders:
        folder = folders.pop()
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.endswith((".py", ".ll")):
                content = _content(path)
                state.update(f"{path[len(root) :]} {len(content)}\n".encode())
                state.update(content)
                count += 1
            elif name in _SUBFOLDERS:
                folders.append(path)
    if not count:
        raise FileNotFoundError(f"no sources in {package}")
    return state.hexdigest()


def _content(path: str | Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _version_file(name: str) -> str:
    """The digest of a package's version file, which names the version and the commit."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{name} is not installed")
    return digest(_content(Path(spec.origin).with_name("_version.py")))


def _processor() -> str:
    """Model and features of the processor: what the system says, else what LLVM finds."""
    try:
        first, _, _ = _content(Path("/proc/cpuinfo")).decode(errors="replace").partition("\n\n")
    except OSError:
        first = ""
    lines = [line for line in first.splitlines() if line.partition("\t")[0] in _PROCESSOR_FIELDS]
    if any(line.startswith(("flags", "Features")) for line in lines):
        return "\n".join(lines)
    from llvmlite import binding  # lazily: only where the system does not say

    return f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"
