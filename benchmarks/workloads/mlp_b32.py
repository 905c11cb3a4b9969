"""The digit network 784-128-10, batch 32."""

from .mlp import mlp

WORKLOAD = mlp("mlp_b32", (784, 128, 10), rows=32)
