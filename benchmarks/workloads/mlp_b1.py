"""The digit network 784-128-10, batch 1."""

from .mlp import mlp

WORKLOAD = mlp("mlp_b1", (784, 128, 10), rows=1)
