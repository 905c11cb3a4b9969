"""`python -m benchmarks.calls`: what a call costs beside the work of its step.

Small steps that update 1, 4 or 12 parameter arrays in a dict and return a loss, called in several
ways, beside an empty function of Python and, if it is installed for this interpreter, JAX. All take
turns; the figure is the least of the rounds, so that other processes matter little.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tapeless as tl
from tapeless.runtime.callpath import Entry, Target

from .report import describe_machine, machine

README = Path(__file__).with_name("README.md")
COUNTS, ROUNDS, CALLS = (1, 4, 12), 15, 5000
Call = Callable[[], object]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"per way ({ROUNDS})")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    args = parser.parse_args(argv)
    text = f"{table(args.rounds)}\n\nNanoseconds, {describe_machine(machine())}"
    print(text)
    if args.record:
        from .__main__ import write_results

        write_results(README, "calls", text)


def table(rounds: int) -> str:
    """One row per count of arrays."""
    measured = [row(count, rounds) for count in COUNTS]
    head = ["arrays", *measured[0]]
    cells = [
        [str(n), *(f"{x:.0f}" for x in r.values())] for n, r in zip(COUNTS, measured, strict=True)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))


def row(count: int, rounds: int) -> dict[str, float]:
    """Nanoseconds per call, by column."""
    calls = ways(count)
    jax = jax_call(count) if find_spec("jax") else None
    if jax is not None:
        calls["jax"] = jax
    found = least(calls, rounds)
    idle = found.pop("nothing")
    step = found.pop("step") - found.pop("checks")
    times = {name: ns - idle for name, ns in found.items()}
    return {
        "empty function": times.pop("empty"),
        "`step(p, x, y, lr)`": times["call"],
        "its native step": step,
        "**beyond it**": times.pop("call") - step,
        **times,
    }


def ways(count: int) -> dict[str, Call]:
    """The calls to measure; `step` and `checks` are native calls with and without the step."""

    def train(p: Any, x: Any, y: Any, lr: float) -> Any:
        for name in p:
            p[name] -= lr * p[name]
        return np.sum(x * y)

    def train_anew(p: Any, x: Any, y: Any, lr: float) -> Any:
        for name in p:
            p[name] = p[name] - lr * p[name]
        return np.sum(x * y)

    class Model:
        def __init__(self) -> None:
            self.p, self.name = parameters(count), "model"

        @tl.compile(threads=1)
        def train(self, x: Any, y: Any, lr: float) -> Any:
            return train(self.p, x, y, lr)

    def empty(p: Any, x: Any, y: Any, lr: float) -> Any:
        pass

    step, anew = tl.compile(train, threads=1), tl.compile(train_anew, threads=1)
    model, p, q, lr = Model(), parameters(count), parameters(count), 1e-6
    x, y = np.ones(4, np.float32), np.ones(4, np.float32)
    full, checks = native_calls(step.lower(p, x, y, lr))
    return {
        "nothing": lambda: None,
        "empty": lambda: empty(p, x, y, lr),
        "call": lambda: step(p, x, y, lr),
        "step": lambda: full(p, x, y, lr),
        "checks": lambda: checks(p, x, y, lr),
        "`lr=lr`": lambda: step(p, x, y, lr=lr),
        "a method": lambda: model.train(x, y, lr),
        "new arrays": lambda: anew(q, x, y, lr),
    }


def parameters(count: int) -> dict[str, Any]:
    return {f"W{k}": np.ones((3, 4), np.float32) for k in range(count)}


def native_calls(program: Any) -> tuple[Callable[..., object], Callable[..., object]]:
    """The native entry of a program, and one that makes its checks and outputs but does not run."""
    plan, executable = program.call_plan(), program.native.executable
    full = executable.entry(plan.forms, returns=plan.returns)
    table = np.zeros(len(executable.layout.table), np.uintp)
    inputs, outputs = executable.items()
    checks = Entry(plan.forms, inputs, outputs, Target(0, table), returns=plan.returns)
    return full.call, checks.call


def jax_call(count: int) -> Call:
    """The same step under JAX, which makes new arrays in donated memory."""
    import jax
    import jax.numpy as jnp

    def train(p: Any, x: Any, y: Any, lr: float) -> Any:
        return jnp.sum(x * y), {name: w - lr * w for name, w in p.items()}

    step = jax.jit(train, donate_argnums=0)
    state = [{name: jnp.asarray(w) for name, w in parameters(count).items()}]
    x, y = jnp.ones(4, jnp.float32), jnp.ones(4, jnp.float32)

    def call() -> object:
        loss, state[0] = step(state[0], x, y, 1e-6)
        return loss

    return call


def least(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """The least nanoseconds per call of the rounds."""
    for call in calls.values():
        for _ in range(100):
            call()
    times = [{name: per_call(call) for name, call in calls.items()} for _ in range(rounds)]
    return {name: min(t[name] for t in times) for name in calls}


def per_call(call: Call) -> float:
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, CALLS):
        call()
    return (time.perf_counter_ns() - start) / CALLS


if __name__ == "__main__":
    main()
