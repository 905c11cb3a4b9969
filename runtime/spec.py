"""What the engine must know about generated code besides its text: the buffers of its kernels, and
the matrix routines it may call."""

from __future__ import annotations

from ..ir.record import dataclass

FLOATS = ("f32", "f64")


@dataclass(frozen=True)
class KernelSpec:
    """What the engine must know about a kernel of generated source: the dtypes of its buffers
    ("f32", ...), in order, and how many i64 extents follow them."""

    name: str
    buffers: tuple[str, ...]
    extents: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its parameters are, in the words of `runtime/builder.py`."""
        return (*(f"{name}*" for name in self.buffers), *["i64"] * self.extents)


ROUTINES = {
    "gemm": "iiiiifpipifpi",
    "gemv": "iiifpipfp",
    "whole_gemm": "iiiiifpipifpi",
    "whole_gemv": "iiifpipfp",
}
"""Operand kinds of the matrix routines: i integer or flag, f number, p buffer."""

WINDOW_ROUTINES = {"indirect": "iiipoopipo", "turned": "iipipi"}
"""The same of those for windows of images; o is a buffer of i64, offsets."""

WINDOWS = "windows_"
"""Before a dtype: the library of these."""


THREAD_FUNCTIONS = ("lower_threads", "restore_threads")
"""What routines call around the BLAS (`runtime/blas_threads.py`)."""


def routine_symbol(routine: str, dtype: str) -> str:
    """The C function behind `gemm_f32` and its kin."""
    return f"tapeless_{routine}_{dtype}"


def routine_libraries(text: str) -> tuple[str, ...]:
    """Which routines LLVM text calls: "f32" are the matrix routines of that dtype, "windows_f32"
    those for windows."""
    libraries = {"": ROUTINES, WINDOWS: WINDOW_ROUTINES}
    return tuple(
        prefix + dtype
        for prefix, routines in libraries.items()
        for dtype in FLOATS
        if any(routine_symbol(name, dtype) in text for name in routines)
    )
