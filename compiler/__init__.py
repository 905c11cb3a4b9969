"""The driver: from a Python function to an executable, and what can be asked about it."""
