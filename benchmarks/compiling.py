"""`python -m benchmarks.compiling [SIZE ...]`: how compile time grows with a program.

Two kinds of programs, each compiled in a fresh process with an empty cache after a small warm-up:
`layers` is a training step of a tanh network, whose layers share their kernels; `mixed` a chain of
elementwise functions, sums of rows and maxima in random order, in which no two kernels are alike.
Figures are wall time, in which several processes compile; *processor* is the processor time where
one does it all, in which others matter little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .report import describe_machine, machine

SIZES = (125, 250, 500, 1000, 2000)
README = Path(__file__).with_name("README.md")
PASSES = ("stable", "autodiff", "jacobian-free", "optimized", "fused", "planned")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "trace": ("trace",),
    "passes": PASSES,
    "source": ("plan", "codegen", "find"),
    "to LLVM": ("lower", "numba"),
    "LLVM": ("llvm", "routines"),
    "load": ("store", "link", "bind"),
}
"""Columns of the table, and the stages and native phases of `Program.timings()` in each."""

Made = tuple[Callable[..., Any], tuple[Any, ...]]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiling", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="ops, about")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    parser.add_argument("--child", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        print(json.dumps(measure(*PROGRAMS[args.child](args.sizes[0]))))
        return
    rows = [row(name, size) for name in PROGRAMS for size in args.sizes or SIZES]
    head = ["program", "ops", "kernels", "calls", *COLUMNS, "all", "processor", "all, by Numba"]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    text = "\n".join([*lines, "", f"ms, {describe_machine(machine())}"])
    print(text)
    if args.record:
        from .__main__ import write_results

        write_results(README, "compiling", text)


def row(name: str, size: int) -> list[str]:
    """The cells of one program."""
    ours, numba = (compiled(name, size, TAPELESS_ENGINE=engine) for engine in ("direct", "numba"))
    alone = compiled(name, size, TAPELESS_ENGINE="direct", TAPELESS_PROCESSES="0")
    phases = [sum(ours["phases"].get(part, 0.0) for part in parts) for parts in COLUMNS.values()]
    facts = [str(ours[fact]) for fact in ("ops", "kernels", "calls")]
    times = (*phases, ours["all"], alone["processor"], numba["all"])
    return [f"`{name}`", *facts, *(f"{1e3 * seconds:.0f}" for seconds in times)]


def compiled(name: str, size: int, **variables: str) -> dict[str, Any]:
    """What a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.compiling", str(size), "--child", name]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"TAPELESS_CACHE": cache} | variables
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(step: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Compile a step."""
    import tapeless as tl
    from tapeless.compiler.native import NativeProgram

    tl.compile(lambda x: np.tanh(x @ x))(np.ones((64, 64), np.float32))
    start, processor = time.perf_counter(), time.process_time()
    program = tl.compile(step).lower(*arguments)
    native = program.native
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    assert isinstance(native, NativeProgram)  # and not one from the cache
    phases: dict[str, float] = {}
    for phase in program.timings().phases:
        name = phase.name if phase.stage == "native" else phase.stage
        phases[name] = phases.get(name, 0.0) + phase.seconds
    kernels = {kernel.symbol for kernel in native.module.kernels.values()}
    calls = native.source.partition("def step(t):")[2].count("\n") - 1
    ops = len(program.graph("autodiff").nodes)
    facts = {"ops": ops, "kernels": len(kernels), "calls": calls, "phases": phases}
    return facts | {"all": seconds, "processor": processor}


def layers(size: int) -> Made:
    """A training step of a network of equal layers."""
    import tapeless as tl

    count, rng = max(1, size // 25), np.random.default_rng(0)

    def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
        for k in range(count):
            x = np.tanh(x @ p[f"W{k}"] + p[f"b{k}"])
        return tl.nn.cross_entropy(x, y)

    def step(p: dict[str, Any], x: Any, y: Any, lr: float) -> Any:
        value, g = tl.value_and_grad(loss)(p, x, y)
        for name in p:
            p[name] -= lr * g[name]
        return value

    p = {f"W{k}": rng.normal(size=(16, 16)).astype("f4") for k in range(count)}
    p |= {f"b{k}": np.zeros(16, "f4") for k in range(count)}
    return step, (p, rng.normal(size=(8, 16)).astype("f4"), rng.integers(0, 16, 8), 0.1)


FUNCTIONS = (np.exp, np.tanh, np.sin, np.sqrt, np.abs, np.square, np.cos, np.log1p, np.arctan)


def mixed(size: int) -> Made:
    """Functions, sums of rows and maxima in random order."""
    rng = np.random.default_rng(0)
    plan = [
        (FUNCTIONS[rng.integers(len(FUNCTIONS))], int(rng.integers(4)), float(rng.random()))
        for _ in range(size // 4)
    ]

    def step(x: Any, y: Any) -> Any:
        for function, how, number in plan:
            y = function(y * number) if how else y - number
            if how == 1:
                y = y + x
            elif how == 2:
                y = y - y.sum(axis=1, keepdims=True)
            elif how == 3:
                y = np.maximum(y, x)
        return y

    x, y = rng.random((2, 40, 30)).astype("f4")
    return step, (x, y)


PROGRAMS: Mapping[str, Callable[[int], Made]] = {"layers": layers, "mixed": mixed}


if __name__ == "__main__":
    main()
