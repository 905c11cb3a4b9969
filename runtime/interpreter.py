"""The interpreter: any graph at any stage, with NumPy. The oracle of everything else."""

from __future__ import annotations

from ..ir.evaluate import evaluate as interpret

__all__ = ["interpret"]
