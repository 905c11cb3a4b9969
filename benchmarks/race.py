"""Run the peers of a workload side by side: one process each, one round each in turn."""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers import OURS, module
from .workload import Workload

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LOSS_TOLERANCE = 1e-4  # float32, nine steps


class PeerError(Exception):
    """A peer failed, or its loss differs from the others': it does not do the same mathematics."""


@dataclass
class First:
    """A process up to its first step: seconds from nothing imported, and how much memory it had at
    most (None where the system does not tell)."""

    seconds: float = math.nan
    peak_mb: float | None = None


@dataclass
class Run:
    """What was measured of one peer with one thread count. `cold` started with empty caches,
    `cached` with what that process left in them."""

    peer: str
    threads: int
    cold: First = field(default_factory=First)
    cached: First = field(default_factory=First)
    loss: float = math.nan
    rounds_us: list[float] = field(default_factory=list)

    @property
    def us(self) -> float:
        """Median microseconds per step."""
        return statistics.median(self.rounds_us)


class Runner:
    """The process of one peer (see `runner.py`), warm once this exists.

    What peers compile they keep in a folder that starts empty: a first call is a first one.
    """

    def __init__(
        self, workload: str, peer: str, threads: int, python: str, limit: float = 120
    ) -> None:
        self._command = [python, "-m", "benchmarks.runner", workload, peer, str(threads)]
        self._limit = limit
        self._caches = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = (Path(self._caches.name) / "stderr").open("w+")
        self.run = Run(peer, threads)
        self._process = self._start()
        try:
            ready = self._ready()
        except PeerError:
            self.stop()
            raise
        self.run.cold.seconds, self.run.loss = ready["first_call_s"], ready["loss"]

    def round(self) -> None:
        """Have the peer run one round, and record it."""
        answer = self._round()
        self.run.rounds_us.append(answer["us"])
        self.run.cold.peak_mb = answer["peak_mb"]

    def again(self) -> None:
        """End the process, and measure another one that starts with what this one left."""
        self._process.communicate()
        self._process = self._start()
        seconds = self._ready()["first_call_s"]
        self.run.cached = First(seconds, self._round()["peak_mb"])

    def stop(self) -> None:
        """End its input, and with it the process."""
        self._process.communicate()
        self._log.close()
        self._caches.cleanup()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=os.environ | self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        caches = self._caches.name
        return dict.fromkeys(THREAD_VARIABLES, str(self.run.threads)) | {
            "TAPELESS_CACHE": caches,
            "TORCHINDUCTOR_CACHE_DIR": caches,
            "PYTENSOR_FLAGS": f"base_compiledir={caches}",
        }

    def _ready(self) -> Any:
        """What the process says when it is warm; PeerError if that takes too long."""
        watch = threading.Timer(self._limit, self._process.kill)
        watch.start()
        try:
            return self._read()
        except PeerError:
            if self._process.returncode < 0 and not watch.is_alive():
                late = f"{self.run.peer} was not warm after {self._limit:g} s"
                raise PeerError(late) from None
            raise
        finally:
            watch.cancel()

    def _round(self) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            last = (self._log.read().strip().splitlines() or ["no message"])[-1]
            raise PeerError(f"{self.run.peer} with {self.run.threads} threads ended: {last}")
        return json.loads(line)


def installed(peers: Sequence[str], python: str) -> list[str]:
    """Ours, and of the others those whose library that Python finds."""
    modules = {peer: module(peer) for peer in peers}
    ask = "import sys; from importlib.util import find_spec as f; print(*filter(f, sys.argv[1:]))"
    names = sorted({name for name in modules.values() if name})
    found = subprocess.run(
        [python, "-c", ask, *names], check=True, capture_output=True, text=True
    ).stdout.split()
    return [peer for peer, name in modules.items() if name is None or name in found]


def race(
    workload: Workload,
    peers: Sequence[str],
    threads: Sequence[int],
    rounds: int,
    python: str = sys.executable,
    limit: float = 120,
) -> tuple[list[Run], list[str]]:
    """The given peers with every thread count, `rounds` rounds each, and a line for each failure.

    `python` runs all but ours. A peer that fails, computes something else or is
    not warm after `limit` seconds is left out.
    """
    runners: list[Runner] = []
    failures: list[str] = []
    try:
        for peer in peers:
            for count in threads:
                try:
                    interpreter = sys.executable if peer in OURS else python
                    runners.append(Runner(workload.name, peer, count, interpreter, limit))
                except PeerError as error:
                    failures.append(f"{workload.name}: {error}")
        failures += different(workload, [runner.run for runner in runners])
        for _ in range(rounds):
            for runner in runners:
                runner.round()
        for runner in runners:
            try:
                runner.again()
            except PeerError as error:
                failures.append(f"{workload.name}: {error}")
    finally:
        for runner in runners:
            runner.stop()
    wrong = {line.split()[1] for line in failures}
    return [runner.run for runner in runners if runner.run.peer not in wrong], failures


def different(workload: Workload, runs: list[Run]) -> list[str]:
    """A line for every run whose loss is not the reference's: NumPy's, or else the last one's."""
    reference = next((run for run in runs if run.peer == "numpy"), runs[-1]) if runs else None
    return [
        f"{workload.name}: {run.peer} is left out, its loss is {run.loss}, "
        f"not {reference.loss} as by {reference.peer}"
        for run in runs
        if reference and not math.isclose(run.loss, reference.loss, rel_tol=LOSS_TOLERANCE)
    ]
