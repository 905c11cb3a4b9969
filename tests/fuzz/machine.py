"""Native code of a program: on two threads as on one, its loops cut as usual or finely.

Programs of the fuzzer are small, and small loops are not cut: with a finer grain every loop that
may run on several threads does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import numpy as np
from tapeless.compiler.codegen import splitting
from tapeless.compiler.native import build
from tapeless.compiler.pipeline import Lowered
from tapeless.ir.errors import RUN_TIME_ERRORS
from tapeless.runtime.interpreter import interpret
from tapeless.runtime.modes import RunOptions

from .growing import Program

Arrays = list[np.ndarray]
FINE: Final = {"GRAIN": 1e-6, "ALIGNED": 1, "MOST_CHUNKS": 4, "LEAST_ROWS": 1}
"""In place of the figures of `splitting.py`: up to four chunks of whatever can be cut."""


class Disagreement(AssertionError):
    """An executor is wrong: `where` names it."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where


@contextmanager
def finely_cut() -> Iterator[None]:
    """Every loop that can be cut is."""
    usual = {name: getattr(splitting, name) for name in FINE}
    try:
        for name, value in FINE.items():
            setattr(splitting, name, value)
        yield
    finally:
        for name, value in usual.items():
            setattr(splitting, name, value)


def run_native(
    lowered: Lowered, arguments: Arrays, *, fine: bool = False, flush: bool = False
) -> Arrays:
    """Native code on copies: outputs, then the arguments as it leaves them. Disagreement if the
    count of threads changes a bit. With `flush` it takes subnormal numbers for zero."""
    graph = lowered.graphs["planned"]
    with finely_cut() if fine else nullcontext():
        program = build(graph, RunOptions(threads=2, flush=flush), keep=False)
        found = called(program.call, arguments)
        if "@tapeless_threads" in program.module.driver_text:
            options = RunOptions(threads=1, flush=flush)
            alone = called(build(graph, options, keep=False).call, arguments)
            for k, (a, b) in enumerate(zip(found, alone, strict=True)):
                if a.tobytes() != b.tobytes():
                    raise Disagreement("threads", f"result {k} has other bits on two than on one")
    return found


def called(
    call: Callable[[tuple[np.ndarray, ...]], tuple[np.ndarray, ...] | None], arguments: Arrays
) -> Arrays:
    """Outputs, then the arguments as the call leaves them."""
    copies = [a.copy() for a in arguments]
    outputs = call(tuple(copies))
    assert outputs is not None
    return [*outputs, *copies]


def refused_natively(program: Program, lowered: Lowered) -> None:
    """Code checks what its graph checks, and writes nothing if that fails."""
    graph, copies = lowered.graphs["planned"], [a.copy() for a in program.arguments]
    native = build(graph, keep=False)
    expected = raised_by(lambda: interpret(graph, *program.arguments))
    found = raised_by(lambda: native.call(tuple(copies)))
    if found != expected:
        raise Disagreement("native", f"raises {found}, the interpreter {expected}")
    same = [a.tobytes() == b.tobytes() for a, b in zip(copies, program.arguments, strict=True)]
    if found is not None and not all(same):
        raise Disagreement("native", "an argument was written to by a call that failed")


def raised_by(run: Callable[[], object]) -> str | None:
    """The name of the run-time error, or None."""
    try:
        run()
    except RUN_TIME_ERRORS as error:
        return type(error).__name__
    return None


__all__ = ["Disagreement", "refused_natively", "run_native"]
