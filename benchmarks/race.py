"""Run the peers of a workload side by side: one process each, one round each in turn."""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .workload import Workload

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OURS = ("tapeless", "structured")
LOSS_TOLERANCE = 1e-4  # float32, nine steps


class DisagreementError(Exception):
    """A peer's loss differs from the others': it does not do the same mathematics."""


@dataclass
class Run:
    """What was measured of one peer with one thread count."""

    peer: str
    threads: int
    first_call_s: float = math.nan
    loss: float = math.nan
    rounds_us: list[float] = field(default_factory=list)

    @property
    def us(self) -> float:
        """Median microseconds per step."""
        return statistics.median(self.rounds_us)


class Runner:
    """The process of one peer (see `runner.py`), warm once this exists."""

    def __init__(self, workload: str, peer: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runner", workload, peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        )
        self.run = Run(peer, threads)
        ready = self._read()
        self.run.first_call_s, self.run.loss = ready["first_call_s"], ready["loss"]

    def round(self) -> None:
        """Have the peer run one round, and record it."""
        assert self._process.stdin is not None
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        self.run.rounds_us.append(self._read())

    def stop(self) -> None:
        """End its input, and with it the process."""
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            name, threads = self.run.peer, self.run.threads
            raise RuntimeError(f"{name} with {threads} threads ended: see its error above")
        return json.loads(line)


def available(workload: Workload) -> list[str]:
    """The workload's peers, without the optional ones that are not installed here."""
    return [peer for peer in workload.peers if peer in OURS or find_spec(peer)]


def race(workload: Workload, threads: Sequence[int], rounds: int) -> list[Run]:
    """Every installed peer with every thread count, `rounds` rounds each.

    Raises `DisagreementError` when the peers' losses after nine steps differ.
    """
    runners: list[Runner] = []
    try:
        for peer in available(workload):
            for count in threads:
                runners.append(Runner(workload.name, peer, count))
        _check_same_mathematics(workload, [runner.run for runner in runners])
        for _ in range(rounds):
            for runner in runners:
                runner.round()
    finally:
        for runner in runners:
            runner.stop()
    return [runner.run for runner in runners]


def _check_same_mathematics(workload: Workload, runs: list[Run]) -> None:
    reference = next((run for run in runs if run.peer == "numpy"), runs[-1])
    for run in runs:
        if not math.isclose(run.loss, reference.loss, rel_tol=LOSS_TOLERANCE):
            raise DisagreementError(
                f"{workload.name}: {run.loss} by {run.peer}, {reference.loss} by {reference.peer}"
            )
