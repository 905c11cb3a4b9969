"""The picture of a race: best peer / tapeless, a bar for each workload, on a log axis."""

import math
import textwrap
from pathlib import Path

from .report import Results, best_peer, ratio


def draw(results: Results, file: Path, caption: str) -> bool:
    """Write the picture; False when matplotlib is not installed or there is nothing to show."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    names = [name for name, runs in results.items() if not math.isnan(ratio(runs))]
    if not names:
        return False
    figure = Figure(figsize=(8, 1.6 + 0.55 * len(names)), layout="constrained")
    axes = figure.subplots()
    for offset, threads, label, colour in (
        (-0.2, None, "best thread counts", "#2b6ca3"),
        (0.2, 1, "one thread", "#a9c6de"),
    ):
        ratios = [ratio(results[name], threads) for name in names]
        places = [i + offset for i in range(len(names))]
        axes.barh(places, [r - 1 for r in ratios], 0.38, left=1, label=label, color=colour)
        for place, name, r in zip(places, names, ratios, strict=True):
            if peer := best_peer(results[name], threads):
                side = "left" if r >= 1 else "right"
                text = f" {r:.2f} ({peer.peer}) "
                axes.text(r, place, text, va="center", ha=side, fontsize=7)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low / 3, 0.4), max(high * 3, 2.5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter("")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("time of the best peer / time of tapeless (right of 1: tapeless is faster)")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.set_title(textwrap.fill(caption, 100), fontsize=8)
    figure.savefig(file, dpi=120)
    return True
