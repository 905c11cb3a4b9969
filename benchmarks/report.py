"""The table of a race, losses included, and its JSON record."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .race import Runner
from .workloads import WORKLOADS

Results = dict[str, list[Runner]]

OURS = "tapeless"
HEADER = (
    "| workload | what | tapeless | numpy | jax | best peer / tapeless | 1 thread "
    "| first call: tapeless | jax |\n|---|---|---|---|---|---|---|---|---|"
)


def best(runners: list[Runner], peer: str, threads: int | None = None) -> Runner | None:
    """The peer's fastest runner (with that thread count), or None when it did not run."""
    candidates = [r for r in runners if r.peer == peer and threads in (None, r.threads)]
    return min(candidates, key=lambda r: r.us, default=None)


def ratio(runners: list[Runner], threads: int | None = None) -> float:
    """Best peer's time over ours: above 1 we are ahead, below 1 we lose."""
    ours = best(runners, OURS, threads)
    peers = {r.peer for r in runners} - {OURS}
    others = [r for peer in peers if (r := best(runners, peer, threads))]
    return min(r.us for r in others) / ours.us if ours and others else float("nan")


def _time(runner: Runner | None) -> str:
    return f"{runner.us:.1f} ({runner.threads}t)" if runner else "-"


def _first_call(runner: Runner | None) -> str:
    return f"{runner.first_call_s:.2f} s" if runner else "-"


def _ratio(value: float) -> str:
    return f"{value:.2f}" + (" (loss)" if value < 1 else "")


def table(results: Results) -> str:
    """A Markdown table: us per training step (median, with the best thread count)."""
    rows = [HEADER]
    for name, runners in results.items():
        cells = [
            f"`{name}`",
            WORKLOADS[name].what,
            *(_time(best(runners, peer)) for peer in (OURS, "numpy", "jax")),
            _ratio(ratio(runners)),
            _ratio(ratio(runners, threads=1)),
            *(_first_call(best(runners, peer)) for peer in (OURS, "jax")),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def machine() -> dict[str, Any]:
    """Where and with which versions the numbers were measured."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", "numba", "llvmlite", "jax")},
    }


def describe_machine(facts: dict[str, Any]) -> str:
    """One line of prose for the facts of `machine`."""
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items() if v)
    return f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {versions}."


def record(results: Results, rounds: int) -> dict[str, Any]:
    """Everything measured, for a JSON file."""
    return {
        "machine": machine(),
        "rounds": rounds,
        "workloads": {name: [_entry(r) for r in runners] for name, runners in results.items()},
    }


def _entry(runner: Runner) -> dict[str, Any]:
    return {
        "peer": runner.peer,
        "threads": runner.threads,
        "us": runner.us,
        "rounds_us": runner.rounds_us,
        "first_call_s": runner.first_call_s,
        "loss": runner.loss,
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
