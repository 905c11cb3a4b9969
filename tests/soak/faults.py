"""Faults of the cache: `python -m tests.soak faults --n 1000 --seed S`.

Every fault happens to a copy of what one process left, or to an empty folder. The process to which
it happens must compute the same bits as ever, raise nothing, warn at most once, and end in time
(unless it is killed); the next process must do so without a warning, and find everything there.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tapeless as tl

from soak import damage, failing
from soak.children import HANGS, in_threads
from soak.site import STEPS, Fault, Outcome, Site, by_numpy, copied, process

KILLS = 180
"""Numbers of the operations at which a process is killed."""


class Campaign:
    """The folders that processes left, and the faults so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.left: dict[str, Path] = {}
        self.bits: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        warm_up()
        for name in STEPS:
            self._leave(name)

    def _leave(self, name: str) -> None:
        site = self._site(0, name)
        first = process(site)
        again = process(site)
        assert first.written and not first.warned and not first.error, first
        assert again == Outcome(first.bits), again
        self.left[name], self.bits[name] = site.folder, first.bits
        assert_as_numpy(name, first.bits)

    def _site(self, number: int, step: str) -> Site:
        own = self.folder / f"{step}-{number}"
        own.mkdir()
        pick = random.Random(f"{self.seed} {number}")
        return Site(own / "cache", own / "marker", pick, step)

    def run(self, number: int, fault: Fault) -> None:
        """Let a fault happen, and note what is not as it must be."""
        step = list(STEPS)[number % len(STEPS)]
        site = self._site(number, step)
        if fault.cold:
            site.folder.mkdir(mode=0o700)
        else:
            copied(self.left[step], site.folder)
        if fault.before(site) is False:
            self.counts[f"{fault.name} (not permitted here)"] += 1
            return
        hit = process(site, fault.inside)
        fault.after(site)
        self.counts[fault.name] += 1
        complaints = [*self._judge(site, hit, fault), *self._judge_next(site, fault)]
        if site.marker.exists():
            complaints.append("hostile content was run")
        self.wrong += [f"fault {number} ({fault.name}, {step}): {c}" for c in complaints]
        shutil.rmtree(site.folder.parent, ignore_errors=True)

    def _judge(self, site: Site, hit: Outcome, fault: Fault) -> Iterator[str]:
        if hit.status and fault.killed:
            return
        if hit.status or hit.error:
            yield f"ended with {hit.status}: {hit.error}"
        elif hit.bits != self.bits[site.step]:
            yield "computed something else"
        if len(hit.warned) > 1:
            yield f"warned {len(hit.warned)} times: {hit.warned}"

    def _judge_next(self, site: Site, fault: Fault) -> Iterator[str]:
        """The next process. After a fault that kept the first from repairing what it met, it may
        repair that, with a warning, and the one after it finds everything."""
        for n in range(2 if fault.killed or not fault.repairs else 1):
            found = process(site)
            may_warn = n == 0 and not fault.repairs
            right = found.bits == self.bits[site.step] and not found.status and not found.error
            if not right or len(found.warned) > may_warn:
                yield f"process {n + 2}: {found.status} {found.error} {found.warned}"
        if found.written:
            yield f"process {n + 2} still wrote {found.written} entries"


def warm_up() -> None:
    """Import and initialise everything that a process would, so that forks need not. What is
    compiled here no other step shares."""
    with_product = tl.compile(lambda x: np.sinh(x @ x) * 3.25, cache=False)
    with_product(np.ones((3, 3)))


def assert_as_numpy(name: str, bits: str) -> None:
    content, start = bytes.fromhex(bits), 0
    for expected in map(np.asarray, by_numpy(name)):
        found = np.frombuffer(content, expected.dtype, expected.size, start)
        np.testing.assert_allclose(found, expected.ravel(), rtol=1e-5, atol=1e-6)
        start += expected.nbytes
    assert start == len(content)


def faults(count: int, seed: int) -> Iterator[tuple[int, Fault]]:
    """One fault of each kind in turn, a third of all of them processes killed at an operation."""
    kinds = [*damage.FAULTS, *failing.FAULTS]
    random.Random(seed).shuffle(kinds)
    kills = other = 0
    for number in range(1, count + 1):
        if number % 4 == 0:
            yield number, failing.killed(kills % KILLS, cold=kills % 3 != 0)
            kills += 1
        else:
            yield number, kinds[other % len(kinds)]
            other += 1


def together(campaign: Campaign, number: int, *, cold: bool) -> None:
    """Eight processes at once, on one key and on many: each is a fault."""
    name = next(iter(STEPS))
    site = campaign._site(number, name)
    if cold:
        site.folder.mkdir(mode=0o700)
    else:
        copied(campaign.left[name], site.folder)
        damage.cut(site)
    sites = [Site(site.folder, site.marker, site.pick, list(STEPS)[k % 2]) for k in range(8)]
    found: dict[int, Outcome] = {}

    def work(k: int) -> None:
        found[k] = process(sites[k])

    in_threads(work, 8, 2 * HANGS)
    for k, outcome in found.items():
        fault = Fault("eight processes at once")
        complaints = campaign._judge(sites[k], outcome, fault)
        campaign.wrong += [f"process {k} of eight: {c}" for c in complaints]
        campaign.counts[fault.name] += 1


def campaign(count: int, seed: int) -> Campaign:
    """Let so many faults happen."""
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        made = Campaign(Path(folder), seed)
        singles = count - count // 20
        for number, fault in faults(singles, seed):
            made.run(number, fault)
            if number % 50 == 0:
                print(f"{number} faults, {len(made.wrong)} wrong", flush=True)
        for group in range(count // 20 // 8):
            together(made, 10**6 + group, cold=group % 2 == 0)
    return made
