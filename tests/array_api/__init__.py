"""Conformance with the Python array API standard: an eager namespace over the tracer, and tests."""
