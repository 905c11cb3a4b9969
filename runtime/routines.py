"""Matrix products as C functions: what `gemm_f32` and its kin in generated code call.

`whole_<routine>_<t>` makes a product on the thread that calls it: by the tiles of this processor
(`runtime/products.py`), but by the BLAS where that is known to be as fast or was not measured.
Threads of the pool share a product in panels (`runtime/panels.py`), unless it is in a chunk; where
there is no pool, a large product uses the BLAS's own threads (`runtime/blas.py`). Without a BLAS
tiles make everything.
`runtime/matrix.py` loads the functions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .ahead import ahead, host_features, made
from .blas import THREADED_WORK, Blas
from .kernel import routine_symbol
from .matvec import GEMV
from .panels import panels_text
from .pool import has_pool
from .products import GEMM, products_text
from .vector_text import AVX2, AVX512, Registers, Target, Writer, registers

ALL: Final = 2**62
"""More multiplications than any product has."""

TILED_WORK: Final = {AVX512: ALL, AVX2: THREADED_WORK}
"""Below how many multiplications tiles make a product: as measured beside OpenBLAS 0.3, both on one
thread (`python -m benchmarks.products`). On processors with other registers the BLAS makes all."""

SHORT: Final = 512
"""So many products the BLAS may add one after another, in f32."""

_PARAMETERS: Final = {"gemm": GEMM, "gemv": GEMV}
_SIZES: Final = {"gemm": ("%m", "%n", "%k"), "gemv": ("%m", "%n")}
_FLAGS: Final = ("%ta", "%tb")
_BLAS_LETTER: Final = {"f32": "s", "f64": "d"}
_BLAS_ARGUMENTS: Final = {
    "gemm": "%ta %tb %m %n %k %alpha %a %lda %b %ldb %beta %c %ldc",
    "gemv": "%ta %m %n %alpha %a %lda %x 1 %beta %y 1",
}


def routine_images(dtype: str, blas: Blas | None, choice: int | None = None) -> list[bytes]:
    """The object code of all of one dtype, for a BLAS or without one; `choice` is what was measured
    (`runtime/product_choice.py`)."""
    machine = registers(host_features())
    paneled = has_panels(blas)
    tiled = tiled_work(machine, blas, choice, paneled=paneled)
    texts = [products_text(machine, dtype)] if tiled else []
    texts.append(routines_text(Target(machine, dtype), blas, tiled, paneled=paneled))
    for text in texts:
        ahead(text, "loops")
    return [made(text, "loops") for text in texts]


def has_panels(blas: Blas | None) -> bool:
    """Whether threads of the pool share a product."""
    return has_pool() and (blas is None or blas.has_threads)


def tiled_work(machine: Registers, blas: Blas | None, choice: int | None, *, paneled: bool) -> int:
    """Below how many multiplications tiles make a product. Where the BLAS is called on several
    threads, large ones are left to it. On Windows, where tiles were not run, it makes all."""
    if blas is None:
        return ALL
    model = 0 if sys.platform == "win32" else TILED_WORK.get(machine, 0)
    work = model if choice is None else choice
    return work if paneled else min(work, THREADED_WORK)


def routines_text(
    t: Target,
    blas: Blas | None,
    tiled: int,
    *,
    paneled: bool,
    names: Sequence[str] = ("gemm", "gemv"),
) -> str:
    """The LLVM text that defines the functions of these names for one dtype. `tiled` is as
    `tiled_work` says, `paneled` whether threads of the pool share a product."""
    texts = [*_declarations(t, blas, tiled), *(_whole(t, name, blas, tiled) for name in names)]
    if paneled:
        texts.append(panels_text(t, tiled, names))
    else:
        texts += [_alone(t, name) for name in names]
    texts += [_in_chunks(t, name, tiled) for name in names]
    return "\n".join(texts)


def _declarations(t: Target, blas: Blas | None, tiled: int) -> Iterator[str]:
    yield """
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare i1 @lower_threads(i1)
declare void @restore_threads(i1)
attributes #0 = { nounwind }"""
    for name, given in _PARAMETERS.items():
        if tiled:
            yield f"declare void @tiles_{name}_{t.dtype}({', '.join(given.kinds(t))})"
        if blas is not None:
            kinds = (_blas_kind(t, name, x, blas) for x in _BLAS_ARGUMENTS[name].split())
            yield f"declare void @{blas_symbol(t, name)}(i32, {', '.join(kinds)})"


def _whole(t: Target, name: str, blas: Blas | None, tiled: int) -> str:
    """A product on this thread, or on those the BLAS has."""
    w = Writer(t)
    given = _PARAMETERS[name]
    by_tiles = f"tiles_{name}_{t.dtype}"
    if blas is None:
        w.call(by_tiles, given, *given.names)
        return w.define(f"whole_{name}_{t.dtype}", given)
    if tiled:
        with w.when(w.compare(f"{_work(w, name)} < {tiled}")):
            w.call(by_tiles, given, *given.names)
            w.leave()
    _by_blas(w, name, blas)
    return w.define(f"whole_{name}_{t.dtype}", given)


def _work(w: Writer, name: str) -> str:
    """The number of multiplications."""
    work, *sizes = _SIZES[name]
    for size in sizes:
        work = w.integer("mul", work, size)
    return work


def _alone(t: Target, name: str) -> str:
    """A routine that makes its product as a whole, a large one on threads of the BLAS."""
    w = Writer(t)
    given = _PARAMETERS[name]
    small = w.compare(f"{_work(w, name)} < {THREADED_WORK}")
    lowered = w.new(f"call i1 @lower_threads(i1 {small})")
    w.call(f"whole_{name}_{t.dtype}", given, *given.names)
    w.put(f"call void @restore_threads(i1 {lowered})")
    return w.define(routine_symbol(name, t.dtype), given, linkage="")


def _in_chunks(t: Target, name: str, tiled: int) -> str:
    """A routine that makes its product on the thread of its chunk."""
    w = Writer(t)
    given = _PARAMETERS[name]
    lowered = w.new(f"call i1 @lower_threads(i1 {w.compare(f'{_work(w, name)} >= {tiled}')})")
    w.call(f"whole_{name}_{t.dtype}", given, *given.names)
    w.put(f"call void @restore_threads(i1 {lowered})")
    return w.define(routine_symbol(f"whole_{name}", t.dtype), given, linkage="")


def _by_blas(w: Writer, name: str, blas: Blas) -> None:
    """The product, an f32 one in blocks of the summed axis, which are added up: a BLAS adds the
    products of a small matrix or of a vector one after another."""
    if w.t.dtype == "f64":
        _call_blas(w, name, blas, {})
        return
    turned = w.compare("%ta != 0")
    length, block = "%k", w.integer("lshr", w.integer("mul", "%m", "%n"), 2)
    if name == "gemv":
        length, block = w.choose(turned, "%m", "%n"), str(SHORT)
    size = w.choose(w.compare(f"{block} < {SHORT}"), SHORT, block)
    with w.loop("0", w.at_least_one(length), size, (w.t.float, "%beta")) as along:
        depth = w.umin(w.integer("sub", length, along.index), size)
        down = w.integer("mul", along.index, w.choose(turned, "%lda", 1))
        part = {"%a": w.at("%a", down), "%beta": along.values[0]}
        if name == "gemv":
            part |= {"%m": w.choose(turned, depth, "%m"), "%n": w.choose(turned, "%n", depth)}
            part["%x"] = w.at("%x", along.index)
        else:
            across = w.choose(w.compare("%tb != 0"), 1, "%ldb")
            part |= {"%k": depth, "%b": w.at("%b", w.integer("mul", along.index, across))}
        _call_blas(w, name, blas, part)
        along.nexts = ["1.0"]


def _call_blas(w: Writer, name: str, blas: Blas, part: Mapping[str, str]) -> None:
    """The product of a part, in row-major order, 101, by the library's conventions."""
    arguments = ["i32 101"]
    for x in _BLAS_ARGUMENTS[name].split():
        kind = _blas_kind(w.t, name, x, blas)
        arguments.append(f"{kind} {_blas_value(w, x, part.get(x, x), kind)}")
    w.put(f"call void @{blas_symbol(w.t, name)}({', '.join(arguments)})")


def blas_symbol(t: Target, name: str) -> str:
    return f"blas_{_BLAS_LETTER[t.dtype]}{name}"


def _blas_kind(t: Target, name: str, x: str, blas: Blas) -> str:
    """The type of an argument; flags are enumerations, which are int."""
    kinds = dict(zip(_PARAMETERS[name].names, _PARAMETERS[name].kinds(t), strict=True))
    kind = kinds.get(x, "i64")
    integer = "i32" if x in _FLAGS else f"i{blas.int_bits}"
    return integer if kind == "i64" else kind


def _blas_value(w: Writer, name: str, x: str, kind: str) -> str:
    """An argument: of flags 111 or 112, of strides at least 1 (that of an empty matrix is 0 here,
    which BLAS refuses)."""
    if name in _FLAGS:
        x = w.integer("add", x, 111)
    if name.startswith("%ld"):
        x = w.new(f"call i64 @llvm.umax.i64(i64 {x}, i64 1)")
    return w.new(f"trunc i64 {x} to i32") if kind == "i32" and x.startswith("%") else x
