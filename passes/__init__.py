"""Passes: named pure functions `Graph -> Graph`, valid in, valid out, the same object back when
nothing changes. Their order lives in `compiler/pipeline.py`."""
