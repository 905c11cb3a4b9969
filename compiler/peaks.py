"""What this machine can do at best: operations and bytes per second, as `tapeless doctor --measure`
found them (`compiler/measure.py`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from ..ir.record import dataclass
from ..runtime.store import open_store, recall
from .table import Table, bytes_text

_KEY: Final = "peaks"


@dataclass(frozen=True)
class Peaks:
    """Measured peaks. `flops`: floating-point operations per second by dtype; `bandwidth`: pairs of
    (bytes touched, bytes per second), smallest first."""

    flops: dict[str, float]
    bandwidth: tuple[tuple[int, float], ...]

    def bound(self, dtype: str, flops: int, nbytes: int) -> float:
        """The least seconds for so many operations and so much traffic: the slower of the two."""
        rate = self.flops.get(dtype, max(self.flops.values()))
        return max(flops / rate, nbytes / self.bytes_per_second(nbytes))

    def bytes_per_second(self, nbytes: int) -> float:
        """The bandwidth for data of that size: of the level that holds it."""
        for size, rate in self.bandwidth:
            if nbytes <= size:
                return rate
        return self.bandwidth[-1][1]

    def __str__(self) -> str:
        products = ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in self.flops.items())
        table = Table("triad over", "GB/s")
        for size, rate in self.bandwidth:
            table.add(bytes_text(size), f"{rate / 1e9:.1f}")
        return f"peak of products: {products}\n{table}"


def stored() -> Peaks | None:
    """What was measured on this machine with these versions, if anything was."""
    payload = recall(open_store(make=False), _KEY)
    if payload is None:
        return None
    fields = json.loads(payload)
    return Peaks(fields["flops"], tuple((size, rate) for size, rate in fields["bandwidth"]))


def keep(peaks: Peaks) -> None:
    """Leave what was measured to later processes, if there is a place for it."""
    store = open_store()
    if store is not None:
        store.put(store.key(_KEY), json.dumps(asdict(peaks)).encode())
