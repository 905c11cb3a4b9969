"""`python -m benchmarks [more | hessians | WORKLOAD ...]`: race the peers, print the tables, write
the JSON and the chart."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .chart import draw
from .peers import OURS, PEERS
from .race import installed, race
from .report import (
    Results,
    describe_machine,
    hessian_table,
    machine,
    read_record,
    record,
    table,
)
from .workloads import HESSIANS, MORE, STEPS, WORKLOADS

HERE = Path(__file__).parent
BEGIN = "<!-- {}: written by `python -m benchmarks --record` -->"
END = "<!-- end -->"
GROUPS = {
    "results": (STEPS, table),
    "more": (MORE, table),
    "hessians": (HESSIANS, hessian_table),
}
NAMED = {"hessians": HESSIANS, "more": MORE}


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments(argv)
    peers = _peers(args)
    facts = machine(args.peers_python) | {"rounds": args.rounds}
    results: Results = read_record(args.json, facts) if args.add else {}
    failures = []
    for name in args.workloads:
        print(f"{name}: {WORKLOADS[name].what}", flush=True)
        chosen = [peer for peer in WORKLOADS[name].peers if peer in peers]
        results[name], failed = race(
            WORKLOADS[name], chosen, args.threads, args.rounds, args.peers_python, args.limit
        )
        failures += failed
        args.json.write_text(json.dumps(record(results, facts), indent=1) + "\n")
    print(f"\nmedian of {args.rounds} rounds, {describe_machine(facts)}")
    for group, (members, tabulate) in GROUPS.items():
        found = {name: results[name] for name in members if name in results}
        if not found:
            continue
        print(f"\n{tabulate(found)}")
        if args.record:
            rounds = f"Median of {args.rounds} rounds, {describe_machine(facts)}"
            write_results(HERE / "README.md", group, f"{tabulate(found)}\n\n{rounds}")
    steps = {name: results[name] for name in STEPS if name in results}
    picture = args.json.with_suffix(".png")
    if draw(steps, picture, describe_machine(facts)):
        print(f"\nall rounds: {args.json}; chart: {picture}")
    if failures:
        raise SystemExit("\n".join(["", *failures]))


def _peers(args: argparse.Namespace) -> list[str]:
    """The peers that were asked for and are there; says which are not."""
    asked = list(dict.fromkeys(p for name in args.workloads for p in WORKLOADS[name].peers))
    asked = [p for p in asked if p in OURS or not args.peers or p in args.peers]
    there = installed(asked, args.peers_python)
    for peer in asked:
        if peer not in there:
            print(f"{peer}: not installed, left out")
    return there


def write_results(readme: Path, group: str, text: str) -> None:
    """Replace what stands between the two markers of a group in `readme`."""
    begin = BEGIN.format(group)
    before, _, rest = readme.read_text().partition(begin)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{begin}\n{text}\n{END}{after}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    cores = machine()["cores"] or os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    every = ", ".join([*NAMED, *WORKLOADS])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of {every}")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per peer (default 7)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, cores}),
        help="thread counts to try; each peer keeps its best (default: 1 and all cores)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=120,
        help="seconds after which a peer that is not warm yet is left out (default 120)",
    )
    parser.add_argument("--peers", nargs="+", metavar="PEER", help="only these, of all")
    parser.add_argument(
        "--peers-python",
        default=sys.executable,
        metavar="PYTHON",
        help="the Python that runs the peers, when they are installed elsewhere",
    )
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="JSON record")
    parser.add_argument(
        "--add", action="store_true", help="keep the other rows of the JSON record, if there is one"
    )
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    args = parser.parse_args(argv)
    args.workloads = [w for name in args.workloads for w in NAMED.get(name, [name])] or list(STEPS)
    if unknown := set(args.workloads) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    if unknown := set(args.peers or ()) - set(PEERS):
        parser.error(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return args


if __name__ == "__main__":
    main()
