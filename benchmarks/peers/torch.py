"""Torch on the CPU, eagerly or with the loss under `torch.compile`; its own fused optimisers."""

from typing import Any

from ..training import BETAS, EPS, Problem
from ..workload import Batches, Loop, MakeLoop, Params


def torch_peer(problem: Problem, *, compiled: bool) -> MakeLoop:
    """`loss.backward()` and `optimizer.step()`."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import torch
        import torch.nn.functional as nn

        torch.set_num_threads(threads)

        def loss(p: Any, x: Any, y: Any) -> Any:
            return problem.loss(nn, p, x, y)

        forward = torch.compile(loss) if compiled else loss
        p = {k: torch.from_numpy(w).requires_grad_() for k, w in params.items()}
        data = [tuple(torch.from_numpy(a) for a in batch) for batch in batches]
        count = len(data)
        optimizer = (
            torch.optim.SGD(p.values(), lr, fused=True)
            if problem.optimizer == "sgd"
            else torch.optim.Adam(p.values(), lr, BETAS, EPS, fused=True)
        )

        def loop(steps: int) -> float:
            for i in range(steps):
                x, y = data[i % count]
                optimizer.zero_grad()
                value = forward(p, x, y)
                value.backward()
                optimizer.step()
            return float(value.detach())

        return loop

    return make
