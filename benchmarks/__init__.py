"""Whole training steps, tapeless beside its peers: `python -m benchmarks` (see README.md)."""
