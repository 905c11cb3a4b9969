"""The images for digits.py: 8 x 8 from the file beside this one, or MNIST in its original form."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

MNIST = ("train-images", "t10k-images", "train-labels", "t10k-labels")


def load(mnist: Path | None = None) -> tuple[Any, Any, Any, Any]:
    """Training images and labels, then the hold-out's; every image has mean 0 and deviation 1.

    The hold-out is the last 20 % of the file (other writers than the rest), or MNIST's test part.
    """
    if mnist:
        x, x_test, y, y_test = (read_idx(mnist, name) for name in MNIST)
        images, labels, cut = np.concatenate([x, x_test]), np.concatenate([y, y_test]), len(x)
    else:
        table = np.loadtxt(Path(__file__).with_name("digits.csv.gz"), np.uint8, delimiter=",")
        images, labels, cut = table[:, :-1], table[:, -1], len(table) * 4 // 5
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    labels = labels.astype(np.int64)
    return rows[:cut], labels[:cut], rows[cut:], labels[cut:]


def read_idx(folder: Path, name: str) -> Any:
    """The IDX file called `name...`, gzipped or not.

    The format: two zero bytes, element type, rank, big-endian extents, then a byte per element.
    """
    path = min(folder.glob(f"{name}*"))
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def vary(x: Any, rng: np.random.Generator) -> Any:
    """Nudge every image a part of a pixel the same way, and add noise: writers differ."""
    side = int(x.shape[1] ** 0.5)
    moved = np.roll(x.reshape(-1, side, side), rng.integers(-1, 2, 2), axis=(1, 2))
    x = x + rng.random((len(x), 1), np.float32) * (moved.reshape(x.shape) - x)
    return x + np.float32(0.3) * rng.standard_normal(x.shape, np.float32)
