"""The tables of a race, losses included, and its JSON record."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .race import Run
from .workloads import WORKLOADS

Results = dict[str, list[Run]]

OURS = "tapeless"
HEADER = (
    "| workload | what | tapeless | numpy | jax | best peer / tapeless | 1 thread "
    "| first call: tapeless | jax |\n|---|---|---|---|---|---|---|---|---|"
)

HESSIAN_HEADER = (
    "| workload | what | tapeless, dense | tapeless, structured | jax | jax / dense "
    "| jax / structured | first call: tapeless | jax |\n|---|---|---|---|---|---|---|---|---|"
)


def best(runs: list[Run], peer: str, threads: int | None = None) -> Run | None:
    """The peer's fastest run (with that thread count), or None when it did not run."""
    candidates = [r for r in runs if r.peer == peer and threads in (None, r.threads)]
    return min(candidates, key=lambda r: r.us, default=None)


def ratio(runs: list[Run], threads: int | None = None) -> float:
    """Best peer's time over ours: above 1 we are ahead, below 1 we lose."""
    ours = best(runs, OURS, threads)
    peers = {r.peer for r in runs} - {OURS}
    others = [r for peer in peers if (r := best(runs, peer, threads))]
    return min(r.us for r in others) / ours.us if ours and others else float("nan")


def _time(run: Run | None) -> str:
    return f"{run.us:.1f} ({run.threads}t)" if run else "-"


def _first_call(run: Run | None) -> str:
    return f"{run.first_call_s:.2f} s" if run else "-"


def _ratio(value: float) -> str:
    return f"{value:.2f}" + (" (loss)" if value < 1 else "")


def table(results: Results) -> str:
    """A Markdown table: us per training step (median, with the best thread count)."""
    rows = [HEADER]
    for name, runs in results.items():
        cells = [
            f"`{name}`",
            WORKLOADS[name].what,
            *(_time(best(runs, peer)) for peer in (OURS, "numpy", "jax")),
            _ratio(ratio(runs)),
            _ratio(ratio(runs, threads=1)),
            *(_first_call(best(runs, peer)) for peer in (OURS, "jax")),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


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
            *(_first_call(run) for run in (ours, jax)),
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


def machine() -> dict[str, Any]:
    """Where and with which versions the numbers were measured."""
    return {
        "cpu": _cpu(),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", "numba", "llvmlite", "jax")},
    }


def describe_machine(facts: dict[str, Any]) -> str:
    """One line of prose for the facts of `machine`."""
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items() if v)
    where = f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {versions}"
    return f"{where}; {facts['date']}."


def record(results: Results, rounds: int) -> dict[str, Any]:
    """Everything measured, for a JSON file."""
    return {
        "machine": machine(),
        "rounds": rounds,
        "workloads": {name: [_entry(r) for r in runs] for name, runs in results.items()},
    }


def _entry(run: Run) -> dict[str, Any]:
    return {
        "peer": run.peer,
        "threads": run.threads,
        "us": run.us,
        "rounds_us": run.rounds_us,
        "first_call_s": run.first_call_s,
        "loss": run.loss,
    }


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
