"""`python -m benchmarks [WORKLOAD ...]`: race the peers, print the table, write the JSON."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from .race import race
from .report import describe_machine, machine, record, table
from .workloads import WORKLOADS

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: written by `python -m benchmarks --record` -->", "<!-- end -->"


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments(argv)
    results = {}
    for name in args.workloads or WORKLOADS:
        print(f"{name}: {WORKLOADS[name].what}", flush=True)
        results[name] = race(WORKLOADS[name], args.threads, args.rounds)
    facts = record(results, args.rounds)
    text = f"{table(results)}\n\n{describe_machine(facts['machine'])}"
    print(f"\nus per training step, median of {args.rounds} rounds\n\n{text}")
    args.json.write_text(json.dumps(facts, indent=1) + "\n")
    if args.record:
        write_results(HERE / "README.md", text)


def write_results(readme: Path, text: str) -> None:
    """Replace what stands between the two markers of `readme`."""
    before, _, rest = readme.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    cores = machine()["cores"] or os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=7, help="rounds per peer (default 7)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, cores}),
        help="thread counts to try; each peer keeps its best (default: 1 and all cores)",
    )
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="JSON record")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    args = parser.parse_args(argv)
    if unknown := set(args.workloads) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    return args


if __name__ == "__main__":
    main()
