"""The process of one peer: `python -m benchmarks.runner WORKLOAD PEER THREADS`.

Prints one JSON line when the peer is warm, then answers every line on its input with the
microseconds per step of one more round and its peak memory so far, until the input ends.
"""

import json
import os
import sys
from time import perf_counter

from .workload import BATCHES, Loop
from .workloads import WORKLOADS

ROUND_SECONDS = 0.1


def pin(threads: int) -> None:
    """Leave only `threads` processors to this process (where the system can)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def seconds(loop: Loop, steps: int) -> float:
    start = perf_counter()
    loop(steps)
    return perf_counter() - start


def calibrate(loop: Loop) -> int:
    """A step count that fills one round; the doubling is also the warm-up."""
    steps = 1
    while (elapsed := seconds(loop, steps)) < ROUND_SECONDS / 2:
        steps *= 2
    return max(1, round(steps * ROUND_SECONDS / elapsed))


def peak_mb() -> float | None:
    """The most memory this process had at once, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(workload: str, peer: str, threads: str) -> None:
    pin(int(threads))
    start = perf_counter()
    loop = WORKLOADS[workload].loop(peer, int(threads))
    loop(1)
    first_call = perf_counter() - start
    loss = loop(BATCHES)
    steps = calibrate(loop)
    print(json.dumps({"first_call_s": first_call, "loss": loss, "steps": steps}), flush=True)
    for _ in sys.stdin:
        us = seconds(loop, steps) / steps * 1e6
        print(json.dumps({"us": us, "peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
