"""The tables of a race, losses included, and its JSON record."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .race import First, Run
from .workloads import WORKLOADS

Results = dict[str, list[Run]]

OURS = "tapeless"
NAMES = {"jax_x64": "jax, x64", "torch_compile": "torch.compile"}

OWN, LIBRARIES = ("numpy", "numba", "llvmlite"), ("autograd", "jax", "torch", "pytensor")
HESSIAN_HEADER = (
    "| workload | what | tapeless, dense | tapeless, structured | jax | jax / dense "
    "| jax / structured | first call: tapeless | jax |\n|---|---|---|---|---|---|---|---|---|"
)


def best(runs: list[Run], peer: str, threads: int | None = None) -> Run | None:
    """The peer's fastest run (with that thread count), or None when it did not run."""
    candidates = [r for r in runs if r.peer == peer and threads in (None, r.threads)]
    return min(candidates, key=lambda r: r.us, default=None)


def best_peer(runs: list[Run], threads: int | None = None) -> Run | None:
    """The fastest run of all but ours."""
    peers = {run.peer for run in runs} - {OURS}
    others = [r for peer in peers if (r := best(runs, peer, threads))]
    return min(others, key=lambda r: r.us, default=None)


def ratio(runs: list[Run], threads: int | None = None) -> float:
    """Best peer's time over ours: above 1 we are ahead, below 1 we lose."""
    ours, other = best(runs, OURS, threads), best_peer(runs, threads)
    return other.us / ours.us if ours and other else math.nan


def _time(run: Run | None) -> str:
    return f"{run.us:.1f} ({run.threads}t)" if run else "-"


def _one_thread(run: Run | None) -> str:
    return (
        f"{run.us:.1f}" + (f" ({NAMES.get(run.peer, run.peer)})" if run.peer != OURS else "")
        if run
        else "-"
    )


def _costs(first: First | None) -> str:
    memory = f", {first.peak_mb:.0f} MB" if first and first.peak_mb else ""
    return _seconds(first) + memory


def _seconds(first: First | None) -> str:
    return f"{first.seconds:.2f} s" if first else "-"


def _ratio(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" + (" (loss)" if value < 1 else "")


def table(results: Results) -> str:
    """Three Markdown tables, times with the best thread count and what they cost, and a summary."""
    peers = list(dict.fromkeys(run.peer for runs in results.values() for run in runs))
    cold = _costs_table(results, peers, "first call, peak memory", lambda run: run.cold)
    cached = _costs_table(results, peers, "of a second process", lambda run: run.cached)
    return "\n\n".join([_times_table(results, peers), cold, cached, summary(results)])


def _times_table(results: Results, peers: list[str]) -> str:
    """Us per training step (median), and the ratios, with one thread in columns of their own."""
    header = ["workload", "what", *(NAMES.get(peer, peer) for peer in peers)]
    header += ["best peer / tapeless", "1 thread: tapeless", "best peer", "ratio"]
    rows = [
        [
            f"`{name}`",
            WORKLOADS[name].what,
            *(_time(best(runs, peer)) for peer in peers),
            _ratio(ratio(runs)),
            *(_one_thread(run) for run in (best(runs, OURS, 1), best_peer(runs, 1))),
            _ratio(ratio(runs, threads=1)),
        ]
        for name, runs in results.items()
    ]
    return _markdown(header, rows)


def _costs_table(
    results: Results, peers: list[str], title: str, first: Callable[[Run], First]
) -> str:
    """Seconds to the first result and peak MB of a process, of the run in the other table."""
    header = [title, *(NAMES.get(peer, peer) for peer in peers)]
    rows = [
        [
            f"`{name}`",
            *(_costs(first(run) if run else None) for run in (best(runs, p) for p in peers)),
        ]
        for name, runs in results.items()
    ]
    return _markdown(header, rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def summary(results: Results) -> str:
    """The geometric mean of the ratios, and by name every row that is lost."""
    ratios = {name: r for name, runs in results.items() if not math.isnan(r := ratio(runs))}
    if not ratios:
        return "No peer to compare with."
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    lost = [
        f"`{name}` to {NAMES.get(peer.peer, peer.peer)} ({r:.2f})"
        for name, r in ratios.items()
        if r < 1 and (peer := best_peer(results[name]))
    ]
    said = f"lost: {', '.join(lost)}" if lost else "no row is lost"
    return f"Geometric mean of best peer / tapeless: {mean:.2f}; {said}."


def hessian_table(results: Results) -> str:
    """A Markdown table: ms per Hessian (median, with the best thread count)."""
    rows = [HESSIAN_HEADER]
    for name, runs in results.items():
        ours, structured, jax = (best(runs, peer) for peer in (OURS, "structured", "jax"))
        cells = [
            f"`{name}`",
            WORKLOADS[name].what,
            *(_milliseconds(run) for run in (ours, structured, jax)),
            _times(jax, ours),
            _times(jax, structured),
            *(_seconds(run.cold if run else None) for run in (ours, jax)),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _milliseconds(run: Run | None) -> str:
    return f"{run.us / 1000:.3g} ({run.threads}t)" if run else "-"


def _times(slow: Run | None, fast: Run | None) -> str:
    if slow is None or fast is None:
        return "-"
    ratio = slow.us / fast.us
    return f"{ratio:,.0f}" if ratio >= 20 else _ratio(ratio)


def machine(python: str = sys.executable) -> dict[str, Any]:
    """Where and with which versions the numbers were measured; `python` has the peers."""
    return {
        "cpu": _cpu(),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": _versions(sys.executable, OWN) | _versions(python, LIBRARIES),
    }


def describe_machine(facts: dict[str, Any]) -> str:
    """One line of prose for the facts of `machine`."""
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items() if v)
    where = f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {versions}"
    return f"{where}; {facts['date']}."


def record(results: Results, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything measured, for a JSON file."""
    return {
        "machine": facts,
        "workloads": {name: [_entry(r) for r in runs] for name, runs in results.items()},
    }


def read_record(file: Path, facts: dict[str, Any]) -> Results:
    """What an earlier run left in a file, if it is there.

    SystemExit if that run had another machine, other versions or rounds: rows would not compare.
    """
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    differing = [name for name in facts if name != "date" and facts[name] != found["machine"][name]]
    if differing:
        raise SystemExit(f"{file}: measured with other {differing[0]}; leave out --add")
    return {name: [_run(e) for e in runs] for name, runs in found["workloads"].items()}


def _entry(run: Run) -> dict[str, Any]:
    return {
        "peer": run.peer,
        "threads": run.threads,
        "us": run.us,
        "rounds_us": run.rounds_us,
        "loss": run.loss,
        "cold": asdict(run.cold),
        "cached": asdict(run.cached),
    }


def _run(entry: dict[str, Any]) -> Run:
    """The inverse of `_entry`."""
    first = {name: First(**entry[name]) for name in ("cold", "cached")}
    return Run(**{name: value for name, value in entry.items() if name != "us"} | first)


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Of those packages that this Python has."""
    ask = (
        "import json; from importlib.metadata import distributions as all_\n"
        "print(json.dumps({d.name.lower(): d.version for d in all_()}))"
    )
    out = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
    found = json.loads(out)
    return {name: found[name] for name in packages if name in found}
