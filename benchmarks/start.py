"""How long a process takes to its first result: `python -m benchmarks.start [--rounds N]`.

`benchmarks/first.py` in fresh processes, cold (an empty cache folder each) and warm (one that has
the program); medians in ms. The compiled Python of the package is there in both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).with_name("first.py")
COLUMNS = ("import numpy", "import tapeless", "arguments", "first call")


def run(cache: str) -> list[float]:
    """The milliseconds that one process took for each part, and for all after NumPy."""
    environment = os.environ | {"TAPELESS_CACHE": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=True
    )
    parts = [1e3 * float(word) for word in done.stdout.split()]
    return [*parts, parts[1] + parts[3]]


def measure(rounds: int) -> dict[str, list[float]]:
    """Medians of the parts, of cold and of warm processes, which take turns."""
    times: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as kept:
        run(kept)
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as fresh:
                times["cold"].append(run(fresh))
            times["warm"].append(run(kept))
    return {
        kind: [statistics.median(column) for column in zip(*rows, strict=True)]
        for kind, rows in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="processes of each kind")
    header = (*COLUMNS, "tapeless and call")
    print("ms    " + "  ".join(f"{name:>17}" for name in header))
    for kind, medians in measure(parser.parse_args().rounds).items():
        print(f"{kind}  " + "  ".join(f"{time:17.1f}" for time in medians))


if __name__ == "__main__":
    main()
