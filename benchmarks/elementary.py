"""`python -m benchmarks.elementary [NAME ...]`: elementary functions beside NumPy's, one by one.

Every elementwise function of NumPy that a step may call on floats, compiled by itself, in f32 and
f64, one thread. Both write into an array that is there. They take turns; the figure is the least
processor time of the rounds, so that other processes do not matter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tapeless as tl
from tapeless.compiler.tracing import composed  # noqa: F401  # fills COMPOSED
from tapeless.compiler.tracing.elementwise import COMPARISONS, DIRECT
from tapeless.compiler.tracing.registry import COMPOSED
from tapeless.ir.types import dtype_name

from .report import describe_machine, machine

README = Path(__file__).with_name("README.md")
SIZE, ROUNDS, BUDGET, LEVEL = 1_000_000, 8, 5e-3, 0.95
DTYPES = (np.float32, np.float64)
Span = tuple[float, float]
Call = Callable[[], object]

EVERYWHERE: Span = (-3.0, 3.0)
DOMAINS: Mapping[np.ufunc, Sequence[Span]] = {
    np.log: [(0.0, 100.0)], np.log2: [(0.0, 100.0)], np.log10: [(0.0, 100.0)],
    np.log1p: [(-1.0, 10.0)], np.sqrt: [(0.0, 100.0)], np.arccosh: [(1.0, 100.0)],
    np.arctanh: [(-1.0, 1.0)], np.arcsin: [(-1.0, 1.0)], np.arccos: [(-1.0, 1.0)],
    np.power: [(0.0, 10.0), EVERYWHERE],
}  # fmt: skip
"""Where a function is measured, operand by operand; [-3, 3] if it does not say."""
ELSEWHERE: Sequence[tuple[np.ufunc, float]] = (
    (np.sin, 1e4), (np.cos, 1e4), (np.tan, 1e4), (np.sin, 1e30), (np.cos, 1e30), (np.exp, 80.0),
    (np.arcsinh, 1e4), (np.arctan, 1e4), (np.cbrt, 1e4),
)  # fmt: skip
"""Further rows: arguments up to this magnitude."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elementary", description=__doc__)
    parser.add_argument("names", nargs="*", help="of NumPy's functions; all without them")
    parser.add_argument("--size", type=int, default=SIZE, help=f"elements ({SIZE:,})")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    args = parser.parse_args(argv)
    chosen = [row for row in rows() if not args.names or row[0] in args.names]
    text = table([(name, [race(f, x, t, args.size) for t in DTYPES]) for name, f, x in chosen])
    text = f"{text}\n\nNanoseconds per element, {describe_machine(machine())}"
    print(text)
    if args.record:
        from .__main__ import write_results

        write_results(README, "elementary", text)


def rows() -> list[tuple[str, np.ufunc, Sequence[Span]]]:
    """What is raced: the name of the row, the function, where."""
    found = [f for f in {**DIRECT, **COMPARISONS, **COMPOSED} if _takes_floats(f)]
    found.sort(key=lambda f: (f.nin, f.__name__))
    named = [(f.__name__, f, DOMAINS.get(f, [EVERYWHERE] * f.nin)) for f in found]
    far = [(f"{f.__name__} up to {x:g}", f, [(-x, x)]) for f, x in ELSEWHERE]
    return [*named, *far]


def _takes_floats(function: np.ufunc) -> bool:
    return any(kind.startswith("f" * function.nin + "->") for kind in function.types)


def race(function: np.ufunc, spans: Sequence[Span], dtype: type, size: int) -> list[float]:
    """Nanoseconds per element: compiled, NumPy."""
    rng = np.random.default_rng(0)
    operands: list[Any] = [rng.uniform(low, high, size).astype(dtype) for low, high in spans]
    with np.errstate(all="ignore"):
        out = function(*operands)

        @tl.compile(threads=1)
        def step(operands, out):  # type: ignore[no-untyped-def]
            out[...] = function(*operands)

        step(operands, out)
        pair = (lambda: step(operands, out), lambda: function(*operands, out=out))
        return [1e9 * seconds / size for seconds in timed(pair)]


def timed(calls: Sequence[Call]) -> list[float]:
    """The least seconds per call of each."""
    least = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for which, call in enumerate(calls):
            repeats, spent, start = 0, 0.0, time.thread_time()
            while spent <= BUDGET:
                call()
                repeats += 1
                spent = time.thread_time() - start
            least[which] = min(least[which], spent / repeats)
    return least


def table(
    found: Sequence[tuple[str, Sequence[Sequence[float]]]], dtypes: Sequence[type] = DTYPES
) -> str:
    """A Markdown table, and the losses by name."""
    head = ["function", *(f"{dtype_name(np.dtype(t))}{x}" for t in dtypes for x in COLUMNS)]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head))]
    lost: list[str] = []
    for name, races in found:
        cells = [f"`{name}`"]
        for ours, numpys in races:
            ratio = numpys / ours
            cells += [f"{ours:.2f}", f"{numpys:.2f}", f"{ratio:.2f}"]
            if ratio < LEVEL:
                cells[-1] += " (loss)"
                lost.append(name)
        lines.append(f"| {' | '.join(cells)} |")
    losses = ", ".join(f"`{name}`" for name in dict.fromkeys(lost))
    return "\n".join([*lines, "", f"More than 5 % slower than NumPy: {losses or 'none'}."])


COLUMNS = ("", " NumPy", " NumPy / ours")


if __name__ == "__main__":
    main()
