"""One training loop per peer, as its own documentation would write it.

Each peer's library is imported inside its function: a peer runs in a process of its own, and what
another one imports must not be there.
"""

from collections.abc import Callable

from ..training import Problem
from ..workload import MakeLoop, Workload
from .graphs import pytensor_peer
from .here import autograd_peer, numpy_peer, tapeless_peer
from .jax import jax_peer
from .torch import torch_peer

PEERS: dict[str, Callable[[Problem], MakeLoop]] = {
    "tapeless": tapeless_peer,
    "numpy": numpy_peer,
    "autograd": autograd_peer,
    "jax": lambda problem: jax_peer(problem, x64=False),
    "jax_x64": lambda problem: jax_peer(problem, x64=True),
    "torch": lambda problem: torch_peer(problem, compiled=False),
    "torch_compile": lambda problem: torch_peer(problem, compiled=True),
    "pytensor": pytensor_peer,
}
MODULES = {"jax_x64": "jax", "torch_compile": "torch"}  # of the other peers: their own name
OURS = ("tapeless", "structured")


def module(peer: str) -> str | None:
    """The library that has to be installed for the peer."""
    return None if peer in OURS else MODULES.get(peer, peer)


def workload(problem: Problem) -> Workload:
    """The problem as a race of all peers."""
    return Workload(
        name=problem.name,
        what=problem.what,
        learning_rate=problem.learning_rate,
        params=problem.params,
        batch=problem.batch,
        peers={
            name: peer(problem)
            for name, peer in PEERS.items()
            if name != "numpy" or problem.backprop is not None
        },
    )
