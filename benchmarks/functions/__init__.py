"""The functions of `torch.nn.functional` that the workloads use, for libraries without them.

Each module is imported only in the process of its peer. `tapeless` and torch bring their own.
"""
