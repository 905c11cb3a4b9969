"""The parts of the matrix routines that given products run through.

    parts = Parts(Target(machine, "f32"), blas, choice, store)
    parts.needed(("gemm", (0, 0, 32, 128, 784, 784, 128, 128)))      {"tiles_gemm_f32", "wide", ...}

The routines consist of two dozen functions (`runtime/products.py`), each of which takes LLVM some
milliseconds, and a program runs through few of them: its products' extents say which. Those that
only decide what to call are run for that, on no memory, with a record in place of every other: so
there is no second account of what is decided, and a part that is left out is never reached.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .ahead import host_features
from .blas import Blas, find, platform_functions
from .loading import Linked, assemble, assemble_ahead, link
from .products import products_text
from .routines import blas_symbol, has_panels, routines_text, tiled_work
from .spec import ROUTINES, routine_symbol
from .store import Store
from .vector_text import Target, registers

if TYPE_CHECKING:
    from .loading import Form

Product = tuple[str, tuple[int, ...]]
"""A routine, and its integer operands: flags, extents and strides."""

_FUNCTION: Final = re.compile(r"^define (?:internal )?(void @(\w+)\(.*?\))", re.M)
_CALL: Final = re.compile(r"call void @(\w+)\(")
_NAMES: Final = re.compile(r" %\w+")
_MEMORY: Final = re.compile(r"\b(load|store)\b|@llvm\.masked")

WHOLE: Final = frozenset({"gemv_turned"})
"""Parts that are taken with all they may call: they make one call for every few rows."""

STRAIGHT: Final = ("tiles_", "flipped", "narrow", "gemv_straight", "panel")
"""How the names start of parts that only decide."""


class Parts:
    """The routines of one dtype, function by function. `seen` are the parts that the product run
    last has called, `platform` functions that code on this system calls."""

    def __init__(
        self,
        t: Target,
        blas: Blas | None,
        choice: int | None,
        store: Store | None,
        platform: Mapping[str, int],
    ) -> None:
        self.t, self.blas, self.store, self.platform = t, blas, store, platform
        self.paneled = has_panels(blas)
        self.tiled = tiled_work(t.machine, blas, choice, paneled=self.paneled)
        self.head, self.bodies = _split(products_text(t.machine, t.dtype) if self.tiled else "")
        self.seen: set[str] = set()
        self.records = {name: self._record(name) for name in self.bodies}
        self.others = self._others()
        self.runnable: dict[frozenset[str], Linked] = {}

    def images(self, products: Iterable[Product]) -> tuple[list[bytes], list[str]]:
        """The object code of what products need, and the names of the parts that they do not."""
        names = set().union(*map(self.needed, products))
        routines = dict.fromkeys(routine.removeprefix("whole_") for routine, _ in sorted(products))
        images = [self._routine(routine) for routine in routines]
        parts = [name for name in self.bodies if name in names]
        for name in parts:
            assemble_ahead(*self._part_text(name))
        images += [self._part(name) for name in parts]
        return images, [name for name in self.bodies if name not in names]

    def needed(self, product: Product) -> set[str]:
        """The parts that a product runs through."""
        known: set[str] = set()
        while not self._run(product, known) <= known:
            known |= self.seen
        for name in [name for name in known if self._is_leaf(name)]:
            known |= self._below(name)
        return known

    def _run(self, product: Product, known: set[str]) -> set[str]:
        """The parts that the product calls, as far as the known ones lead."""
        routine, integers = product
        deciding = frozenset(name for name in known if not self._is_leaf(name))
        symbol = routine_symbol(routine, self.t.dtype)
        if deciding | {symbol} not in self.runnable:
            self.runnable[deciding | {symbol}] = self._linked(routine, symbol, deciding)
        number = ctypes.c_float if self.t.dtype == "f32" else ctypes.c_double
        kinds: dict[str, Any] = {"i": ctypes.c_int64, "f": number, "p": ctypes.c_void_p}
        layout = ROUTINES[routine]
        address = self.runnable[deciding | {symbol}].addresses[symbol]
        run = ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in layout))(address)
        left = iter(integers)
        self.seen.clear()
        run(*(next(left) if letter == "i" else 1 for letter in layout))
        return self.seen

    def _linked(self, routine: str, symbol: str, deciding: frozenset[str]) -> Linked:
        records = {name: f for name, f in self.records.items() if name not in deciding}
        imports = {
            name: ctypes.cast(function, ctypes.c_void_p).value or 0
            for name, function in {**records, **self.others}.items()
        }
        images = [self._routine(routine), *map(self._part, sorted(deciding))]
        return link(images, [symbol], {**imports, **self.platform})

    def _record(self, name: str) -> Any:
        """A function to call in the place of a part; its operands do not matter."""
        return ctypes.CFUNCTYPE(None)(lambda: self.seen.add(name))

    def _others(self) -> dict[str, Any]:
        """What the routines call besides parts, done here or left undone."""
        found = {
            "lower_threads": ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_bool)(lambda lowers: False),
            "restore_threads": ctypes.CFUNCTYPE(None, ctypes.c_bool)(lambda lowered: None),
            "tapeless_split": _REGION(_run_chunks),
        }
        if self.blas is not None:
            nothing = ctypes.CFUNCTYPE(None)(lambda: None)
            found |= {blas_symbol(self.t, routine): nothing for routine in ROUTINES}
        return found

    def _is_leaf(self, name: str) -> bool:
        """Whether a part works on memory, or is taken for one that does."""
        return name in WHOLE or _MEMORY.search(self.bodies[name]) is not None

    def _below(self, name: str) -> set[str]:
        """All that a part may call."""
        found: set[str] = set()
        left = [name]
        while left:
            new = set(_CALL.findall(self.bodies[left.pop()])) & self.bodies.keys() - found
            found |= new
            left += new
        return found

    def _routine(self, routine: str) -> bytes:
        names = (routine.removeprefix("whole_"),)
        text = routines_text(self.t, self.blas, self.tiled, paneled=self.paneled, names=names)
        return _assembled(text, self.store, "straight")

    def _part(self, name: str) -> bytes:
        """The object code of one function."""
        return _assembled(*self._part_text(name))

    def _part_text(self, name: str) -> tuple[str, Store | None, Form]:
        """Its text, which the others are declared in, where its code may lie, and its form."""
        body = self.bodies[name]
        others = set(_CALL.findall(body)) & self.bodies.keys() - {name}
        heads = (_FUNCTION.match(self.bodies[other]) for other in sorted(others))
        declared = ["declare " + _NAMES.sub("", head[1]) for head in heads if head]
        text = "\n".join([self.head, *declared, body.replace("define internal", "define", 1)])
        return text, self.store, "straight" if name.startswith(STRAIGHT) else "loops"


_TASK: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_REGION: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


def _run_chunks(task: int, context: int, chunks: int) -> None:
    """A region of the pool, on this thread."""
    for chunk in range(chunks):
        _TASK(task)(context, chunk)


def _split(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the functions of a text, and the functions by name."""
    starts = [found.start() for found in _FUNCTION.finditer(text)]
    ends = [*starts[1:], len(text)]
    names = [found[2] for found in _FUNCTION.finditer(text)]
    bodies = {name: text[a:b] for name, a, b in zip(names, starts, ends, strict=True)}
    return text[: starts[0]] if starts else "", bodies


@cache
def _assembled(text: str, store: Store | None, form: Form) -> bytes:
    return assemble(text, store, form)


@cache
def host_parts(dtype: str, choice: int | None, store: Store | None) -> Parts:
    """Those of this machine."""
    target = Target(registers(host_features()), dtype)
    return Parts(target, find(store), choice, store, platform_functions())
