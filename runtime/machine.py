"""Facts about this machine and installation, for `tapeless doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from ..ir.record import dataclass
from . import blas
from .callpath_native import has_native_form
from .cores import VARIABLE, usable_cores
from .places import cache_directory
from .pool import has_pool, thread_count


@dataclass(frozen=True)
class Machine:
    """What `tapeless doctor` prints; `str()` gives the table."""

    versions: dict[str, str]
    system: str
    cpu: str
    features: tuple[str, ...]
    cores: int
    threads: str
    blas: str
    blas_threads: int | None
    calls: str
    cache: str
    cache_writable: bool

    def __str__(self) -> str:
        rows = [(name, version) for name, version in self.versions.items()]
        rows += [
            ("system", self.system),
            ("cpu", f"{self.cpu}, {self.cores} usable cores"),
            ("threads of a step", self.threads),
            ("vector features", " ".join(self.features) or "none known"),
            ("blas", self.blas),
            ("blas threads", "unknown" if self.blas_threads is None else str(self.blas_threads)),
            ("calls", self.calls),
            ("cache", f"{self.cache}{'' if self.cache_writable else ' (not writable)'}"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def describe() -> Machine:
    """Look at the machine. Loads llvmlite for the processor's name if it is installed."""
    found = blas.find()
    cpu, features = _processor()
    cache = cache_directory()
    return Machine(
        versions={"python": platform.python_version()}
        | {name: version(name) for name in ("tapeless", "numpy", "numba", "llvmlite")},
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu,
        features=features,
        cores=usable_cores(),
        threads=_threads(),
        blas=str(found) if found else "none: own kernels",
        blas_threads=found.threads if found else None,
        calls=_calls(),
        cache=cache,
        cache_writable=_is_writable(cache),
    )


def _threads() -> str:
    """How many threads a step uses, and who says so."""
    if not has_pool():
        return "1 (more need Linux on x86-64 or AArch64)"
    source = VARIABLE if os.environ.get(VARIABLE) else "usable cores"
    return f"{thread_count()} ({source})"


def _calls() -> str:
    """What checks the arguments of a call."""
    if has_native_form(None):
        return "native code"
    return "Python, a few us each (native code does not know this interpreter)"


def version(name: str) -> str:
    """The version of an installed distribution, or that there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> tuple[str, tuple[str, ...]]:
    """LLVM's name of the processor and the vector features that matter here."""
    try:
        from llvmlite import binding  # lazily: tracing and dumps do without it
    except ImportError:
        return platform.processor() or "unknown", ()
    known = ("avx512f", "avx2", "fma", "avx", "sse4.2", "neon", "sve")
    host = binding.get_host_cpu_features()
    return binding.get_host_cpu_name(), tuple(name for name in known if host.get(name))


def _is_writable(folder: str) -> bool:
    """Whether files can be created in the folder or, before it exists, where it would go."""
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK)
