"""Matrix products as C functions: what `gemm_f32` and its kin in generated code call.

They are two small LLVM modules, loaded by `runtime/matrix.py`. With a BLAS each function translates
its flags and calls it, but for the products that tiles make faster (`runtime/products.py`), in
panels that the threads of the pool share (`runtime/panels.py`). Where there is no pool, large
products use the BLAS's own threads (`runtime/blas.py`). Without a BLAS the routines are the loops
of `runtime/loops.py`, compiled when first needed. Importing this module imports llvmlite.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .blas import THREADED_WORK, Blas
from .kernel import ROUTINES, routine_symbol
from .link import host_features, object_code
from .matrix import routine_words
from .panels import PANELED, panels_text
from .pool import has_pool
from .products import products_text
from .vector_text import AVX512, parameter_types, registers

TILED = ("f32",)
"""The dtypes that have tiles: each costs the first process a tenth of a second."""

MEASURED = AVX512
"""The registers for which tiles were measured, and won; elsewhere the BLAS makes all products."""

_BLAS_LETTER = {"f32": "s", "f64": "d"}
_WORK = {
    "gemm": ("a2", "a3", "a4"),  # m, n, k
    "gemv": ("a1", "a2"),
    "ger": ("a0", "a1"),
}
_FLAGS = {"gemm": ("a0", "a1"), "gemv": ("a0",), "ger": ()}
_STRIDES = {"gemm": ("a7", "a9", "a12"), "gemv": ("a5",), "ger": ("a8",)}


def routine_images(blas: Blas | None) -> list[bytes]:
    """The object code of all of them, for a BLAS or without one."""
    if blas is None:
        from .loops import compile_loops  # lazily: seldom needed

        return [compile_loops(*word.split("_")) for word in routine_words()]
    tiled = TILED if _measured() else ()
    images = [object_code(products_text(MEASURED, dtype)) for dtype in tiled]
    return [*images, object_code(_text(blas, tiled, paneled=has_pool()))]


def _text(blas: Blas, tiled: Sequence[str], *, paneled: bool) -> str:
    """The module that calls a BLAS. Without a way to set its threads it gets whole products."""
    paneled = paneled and blas.has_threads
    words = [*routine_words()]
    texts = [_blas_function(blas, tiled, *word.split("_")) for word in words]
    texts += ["declare i64 @llvm.umax.i64(i64, i64)", _with_threads(blas)]
    split = [word for word in words if paneled and word.split("_")[0] in PANELED]
    texts += [_unsplit(*word.split("_"), alone=paneled) for word in words if word not in split]
    least = {word: THREADED_WORK * _has_tiles(tiled, *word.split("_")) for word in split}
    return "\n".join([*texts, panels_text(least)])


def _has_tiles(tiled: Sequence[str], routine: str, dtype: str) -> bool:
    return routine == "gemm" and dtype in tiled


def _measured() -> bool:
    """Whether tiles are known to win here. Windows wants a probe of a buffer that large on the
    stack, by a function that is not among those that `link` finds."""
    return sys.platform != "win32" and registers(host_features()) == MEASURED


def _parameters(routine: str, dtype: str) -> str:
    return ", ".join(f"{t} %a{i}" for i, t in enumerate(parameter_types(routine, dtype)))


def _unsplit(routine: str, dtype: str, *, alone: bool) -> str:
    """A routine that makes its product as a whole; a large one on threads of the BLAS, unless
    `alone`."""
    body = "\n  ".join(_work(routine))
    small = "true" if alone else "%small"
    return f"""
define void @{routine_symbol(routine, dtype)}({_parameters(routine, dtype)}) {{
  {body}
  %small = icmp ult i64 %work, {THREADED_WORK}
  %lowered = call i1 @lower_threads(i1 {small})
  call void @whole_{routine}_{dtype}({_parameters(routine, dtype)})
  call void @restore_threads(i1 %lowered)
  ret void
}}"""


def _blas_function(blas: Blas, tiled: Sequence[str], routine: str, dtype: str) -> str:
    """Row-major CBLAS: flags become 111 or 112, leading dimensions at least 1 (an empty matrix has
    a stride of 0 here, which BLAS refuses), integers the library's width."""
    integer = f"i{blas.int_bits}"
    lines: list[str] = []
    arguments = ["i32 101"]
    for i, (kind, llvm) in enumerate(
        zip(ROUTINES[routine], parameter_types(routine, dtype), strict=True)
    ):
        name = f"%a{i}"
        if name[1:] in _FLAGS[routine]:
            lines += [f"%f{i} = trunc i64 {name} to i32", f"%t{i} = add i32 %f{i}, 111"]
            arguments.append(f"i32 %t{i}")
            continue
        if name[1:] in _STRIDES[routine]:
            lines.append(f"%s{i} = call i64 @llvm.umax.i64(i64 {name}, i64 1)")
            name = f"%s{i}"
        if kind == "i" and blas.int_bits == 32:
            lines.append(f"%n{i} = trunc i64 {name} to i32")
            name = f"%n{i}"
        arguments.append(f"{integer if kind == 'i' else llvm} {name}")
    function = f"@blas_{_BLAS_LETTER[dtype]}{routine}"
    declared = ", ".join(argument.split()[0] for argument in arguments)
    with_tiles = _tiles_first(dtype) if _has_tiles(tiled, routine, dtype) else ("", [])
    body = "\n  ".join([*_work(routine), *with_tiles[1], *lines])
    return f"""{with_tiles[0]}
declare void {function}({declared})
define internal void @whole_{routine}_{dtype}({_parameters(routine, dtype)}) {{
  {body}
  call void {function}({", ".join(arguments)})
  ret void
}}"""


def _tiles_first(dtype: str) -> tuple[str, list[str]]:
    """Declaration, and the instructions that leave all but large products to tiles."""
    types = parameter_types("gemm", dtype)
    gemm = f"@tiles_gemm_{dtype}"
    arguments = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(types))
    return f"\ndeclare void {gemm}({', '.join(types)})", [
        f"%single = icmp ult i64 %work, {THREADED_WORK}",
        "br i1 %single, label %tiles, label %blas",
        "tiles:",
        f"call void {gemm}({arguments})",
        "ret void",
        "blas:",
    ]


def _work(routine: str) -> list[str]:
    """Instructions that compute %work, the number of multiplications."""
    first, *others = _WORK[routine]
    lines = [f"%w0 = add i64 %{first}, 0"]
    lines += [f"%w{i} = mul i64 %w{i - 1}, %{name}" for i, name in enumerate(others, 1)]
    return [*lines, f"%work = add i64 %w{len(others)}, 0"]


def _with_threads(blas: Blas) -> str:
    """`lower_threads` sets one thread if it should; `restore_threads`, given what that returned,
    restores the count when nobody else is in between: chunks of a split kernel call them, too."""
    if not blas.has_threads:
        return """
define internal i1 @lower_threads(i1 %lowers) { ret i1 0 }
define internal void @restore_threads(i1 %lowered) { ret void }
"""
    return """
declare i32 @get_threads()
declare void @set_threads(i32)
@holders = internal global i64 0
@user = internal global i32 0
@lock = internal global i32 0
define internal void @acquire() {
  br label %try
try:
  %old = atomicrmw xchg ptr @lock, i32 1 acquire
  %taken = icmp ne i32 %old, 0
  br i1 %taken, label %try, label %done
done:
  ret void
}
define internal i1 @lower_threads(i1 %lowers) {
  br i1 %lowers, label %enter, label %done
enter:
  call void @acquire()
  %others = load i64, ptr @holders
  %more = add i64 %others, 1
  store i64 %more, ptr @holders
  %first = icmp eq i64 %others, 0
  br i1 %first, label %lower, label %leave
lower:
  %threads = call i32 @get_threads()
  store i32 %threads, ptr @user
  call void @set_threads(i32 1)
  br label %leave
leave:
  store atomic i32 0, ptr @lock release, align 4
  br label %done
done:
  ret i1 %lowers
}
define internal void @restore_threads(i1 %lowered) {
  br i1 %lowered, label %enter, label %done
enter:
  call void @acquire()
  %holders = load i64, ptr @holders
  %others = sub i64 %holders, 1
  store i64 %others, ptr @holders
  %last = icmp eq i64 %others, 0
  br i1 %last, label %restore, label %leave
restore:
  %threads = load i32, ptr @user
  call void @set_threads(i32 %threads)
  br label %leave
leave:
  store atomic i32 0, ptr @lock release, align 4
  br label %done
done:
  ret void
}
"""
