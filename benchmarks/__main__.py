"""`python -m benchmarks [hessians | WORKLOAD ...]`: race the peers, print the tables, write the
JSON."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from .race import race
from .report import describe_machine, hessian_table, machine, record, table
from .workloads import HESSIANS, STEPS, WORKLOADS

HERE = Path(__file__).parent
BEGIN = "<!-- {}: written by `python -m benchmarks --record` -->"
END = "<!-- end -->"
GROUPS = {"results": (STEPS, table), "hessians": (HESSIANS, hessian_table)}


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments(argv)
    results = {}
    for name in args.workloads:
        print(f"{name}: {WORKLOADS[name].what}", flush=True)
        results[name] = race(WORKLOADS[name], args.threads, args.rounds)
    facts = record(results, args.rounds)
    print(f"\nmedian of {args.rounds} rounds, {describe_machine(facts['machine'])}")
    for group, (members, tabulate) in GROUPS.items():
        found = {name: runs for name, runs in results.items() if name in members}
        if not found:
            continue
        text = f"{tabulate(found)}\n\n{describe_machine(facts['machine'])}"
        print(f"\n{tabulate(found)}")
        if args.record:
            write_results(HERE / "README.md", group, text)
    args.json.write_text(json.dumps(facts, indent=1) + "\n")


def write_results(readme: Path, group: str, text: str) -> None:
    """Replace what stands between the two markers of a group in `readme`."""
    begin = BEGIN.format(group)
    before, _, rest = readme.read_text().partition(begin)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{begin}\n{text}\n{END}{after}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    cores = machine()["cores"] or os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="hessians, or of " + ", ".join(WORKLOADS)
    )
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
    args.workloads = list(HESSIANS) if args.workloads == ["hessians"] else args.workloads
    args.workloads = args.workloads or list(STEPS)
    if unknown := set(args.workloads) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    return args


if __name__ == "__main__":
    main()
