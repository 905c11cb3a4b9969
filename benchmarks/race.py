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
LOSS_TOLERANCE = 1e-4  # float32, nine steps


class DisagreementError(Exception):
    """A peer's loss differs from the others': it does not do the same mathematics."""


@dataclass
class Runner:
    """One peer with one thread count, and what was measured of it."""

    peer: str
    threads: int
    process: subprocess.Popen[str]
    first_call_s: float = math.nan
    loss: float = math.nan
    rounds_us: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, workload: str, peer: str, threads: int) -> "Runner":
        """Start the peer's process and wait until it is warm."""
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        command = [sys.executable, "-m", "benchmarks.runner", workload, peer, str(threads)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        runner = cls(peer, threads, process)
        ready = runner._read()
        runner.first_call_s, runner.loss = ready["first_call_s"], ready["loss"]
        return runner

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer} ({self.threads} threads) ended: see its error above")
        return json.loads(line)

    def round(self) -> None:
        """Have the peer run one round, and record it."""
        assert self.process.stdin is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        self.rounds_us.append(self._read())

    def stop(self) -> None:
        self.process.communicate()

    @property
    def us(self) -> float:
        """Median microseconds per step."""
        return statistics.median(self.rounds_us)


def available(workload: Workload) -> list[str]:
    """The workload's peers, without the optional ones that are not installed here."""
    return [peer for peer in workload.peers if peer == "tapeless" or find_spec(peer)]


def race(workload: Workload, threads: Sequence[int], rounds: int) -> list[Runner]:
    """Every installed peer with every thread count, `rounds` rounds each.

    Raises `DisagreementError` when the peers' losses after nine steps differ.
    """
    runners: list[Runner] = []
    try:
        for peer in available(workload):
            for count in threads:
                runners.append(Runner.start(workload.name, peer, count))
        _check_same_mathematics(workload, runners)
        for _ in range(rounds):
            for runner in runners:
                runner.round()
    finally:
        for runner in runners:
            runner.stop()
    return runners


def _check_same_mathematics(workload: Workload, runners: list[Runner]) -> None:
    reference = next(runner for runner in runners if runner.peer == "numpy")
    for runner in runners:
        if not math.isclose(runner.loss, reference.loss, rel_tol=LOSS_TOLERANCE):
            raise DisagreementError(
                f"{workload.name}: loss {runner.loss} by {runner.peer}, {reference.loss} by numpy"
            )
