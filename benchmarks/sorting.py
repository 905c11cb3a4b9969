"""`python -m benchmarks.sorting [NAME ...]`: sorts, medians and partitions beside NumPy's.

Each compiled by itself, one thread, in turns with NumPy; the figure is the least processor time of
the rounds, as nanoseconds per element.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import tapeless as tl

from .elementary import README, table, timed
from .report import describe_machine, machine

DTYPES: Final = (np.float32, np.float64, np.int64)
Data = Callable[[np.random.Generator, int], np.ndarray]

FUNCTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "sort": lambda x: np.sort(x),
    "argsort": lambda x: np.argsort(x),
    "median": lambda x: np.median(x, axis=-1),
    "percentile": lambda x: np.percentile(x, [5, 50, 95], axis=-1),
    "partition": lambda x: np.partition(x, x.shape[-1] // 2),
}


def _any(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.uniform(-1e9, 1e9, size)


DATA: Final[Mapping[str, Data]] = {
    "": _any,
    "in order": lambda rng, size: np.sort(_any(rng, size)),
    "reversed": lambda rng, size: -np.sort(_any(rng, size)),
    "8 values": lambda rng, size: rng.integers(0, 8, size).astype(float),
    "NaNs": lambda rng, size: np.where(rng.random(size) < 0.1, np.nan, _any(rng, size)),
}
SIZES: Final = (100, 10_000, 1_000_000)
MIDDLE: Final = 10_000
ROWS: Final = 32


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sorting", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FUNCTIONS)}; all without them")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="elements at the most")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    args = parser.parse_args(argv)
    text = table([row for name in args.names or FUNCTIONS for row in rows(name, args.most)], DTYPES)
    text = f"{text}\n\nNanoseconds per element, {describe_machine(machine())}"
    print(text)
    if args.record:
        from .__main__ import write_results

        write_results(README, "sorting", text)


def rows(name: str, most: int) -> list[tuple[str, list[list[float]]]]:
    """The races of a function: sizes, kinds of data, rows of a matrix."""
    plain: Data = DATA[""]
    races = [(f"{name}, {size:,}", plain, size, 1) for size in SIZES if size <= most]
    if most >= MIDDLE:
        races += [(f"{name}, {kind}", DATA[kind], MIDDLE, 1) for kind in DATA if kind]
        races.append((f"{name}, rows of {ROWS}", plain, MIDDLE - MIDDLE % ROWS, ROWS))
    return [
        (title, [race(FUNCTIONS[name], data, size, row, dtype) for dtype in DTYPES])
        for title, data, size, row in races
    ]


def race(
    function: Callable[[Any], Any], data: Data, size: int, row: int, dtype: type
) -> list[float]:
    """Nanoseconds per element: compiled, NumPy. Integers have no NaN: 0 stands there."""
    x = data(np.random.default_rng(0), size)
    x = np.nan_to_num(x).astype(dtype) if dtype == np.int64 else x.astype(dtype)
    if row > 1:
        x = x.reshape(-1, row)
    step = tl.compile(threads=1)(function)
    step(x)
    return [1e9 * seconds / size for seconds in timed((lambda: step(x), lambda: function(x)))]


if __name__ == "__main__":
    main()
