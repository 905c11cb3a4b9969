"""The names of the stages of a program, in order; `pipeline.py` says what leads to each."""

from typing import Final

STAGES: Final = (
    "trace", "stable", "autodiff", "jacobian-free", "optimized", "fused", "planned",
)  # fmt: skip
