"""Where cache faults happen: folders that processes left, and new processes that run a step there.

A process is a fork of this one, which has imported everything and loaded no step, so that a
thousand of them are cheap. What it did comes back through a pipe; one that hangs is killed.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tapeless as tl
from tapeless.runtime import store

from soak.children import HANGS, in_child

Action = Callable[["Site"], object]


def nothing(site: Site) -> None:
    pass


@dataclass
class Site:
    """A copy of what one process left. `marker` is a file that hostile content would make."""

    folder: Path
    marker: Path
    pick: random.Random
    step: str = "update"

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    def entries(self) -> list[Path]:
        """The entries, in an order that does not depend on the disk."""
        return sorted(path for path in self.objects.iterdir() if path.name != "key")

    def any_entry(self) -> Path:
        return self.pick.choice(self.entries())

    def any_file(self) -> Path:
        """An entry, or the key of the MAC."""
        return self.pick.choice([*self.entries(), self.objects / "key"])


@dataclass(frozen=True)
class Fault:
    """`before` spoils the folder, `inside` the process, `after` makes what lies outside the folder
    whole again. `cold`: the folder is empty. `killed`: the process does not come to its end.
    `repairs`: the next process finds everything in the folder."""

    name: str
    before: Action = nothing
    inside: Action = nothing
    after: Action = nothing
    cold: bool = False
    killed: bool = False
    repairs: bool = True


@dataclass
class Outcome:
    """What a process did: the bits it computed, its warnings, how many entries it wrote."""

    bits: str = ""
    warned: list[str] = field(default_factory=list)
    written: int = 0
    error: str = ""
    status: int = 0


# --- the steps ---------------------------------------------------------------------------------


def update(w: Any, x: Any, rows: Any) -> Any:
    h = np.tanh(x * w[rows])
    w -= 0.5 * h.sum(axis=0)
    return np.sum(h), h[0]


def product(w: Any, x: Any, rows: Any) -> Any:
    h = x @ w
    w += np.float32(0.25)
    return h[rows]


def arguments(name: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    if name == "update":
        return rng.normal(size=17), rng.normal(size=(5, 17)), np.arange(17)[::-1].copy()
    shapes = (24, 40), (33, 24)
    w, x = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return w, x, np.array([1, 0, -1])


STEPS: dict[str, Callable[..., Any]] = {"update": update, "product": product}


def run(name: str) -> str:
    """Compile and call a step twice; the bits of all results and of what it wrote."""
    step, args = tl.compile(STEPS[name]), arguments(name)
    results = [step(*args), step(*args)]
    return b"".join(np.asarray(a).tobytes() for a in [*tl.tree.leaves(results), *args]).hex()


def by_numpy(name: str) -> list[Any]:
    """What the step gives, for a comparison up to rounding."""
    step, args = STEPS[name], arguments(name)
    found = [step(*args), step(*args)]
    return [*tl.tree.leaves(found), *args]


# --- processes ---------------------------------------------------------------------------------


def process(site: Site, inside: Action = nothing, seconds: float = HANGS) -> Outcome:
    """Run the step of a site in a new process."""
    done = in_child(lambda: _run(site, inside), seconds)
    if done.status is None:
        return Outcome(error=f"hangs for {seconds:.0f} s")
    return Outcome(**(done.value or {}), status=done.status)


def _run(site: Site, inside: Action) -> dict[str, Any]:
    """In the child: run the step; what it did, as far as it came."""
    os.environ["TAPELESS_CACHE"] = str(site.folder)
    written = []
    put = store.Store.put

    def counting(self: Any, key: str, payload: bytes) -> None:
        written.append(key)
        put(self, key, payload)

    store.Store.put = counting  # type: ignore[method-assign]
    report: dict[str, Any] = {}
    # Streams of the parent's would be written to twice.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            inside(site)
            report["bits"] = run(site.step)
        except BaseException:
            report["error"] = traceback.format_exc()
    report["warned"] = [str(w.message) for w in caught if "tapeless cache" in str(w.message)]
    report["written"] = len(written)
    return report


def copied(source: Path, target: Path) -> None:
    """A copy with modes and times."""
    shutil.copytree(source, target, symlinks=True)
