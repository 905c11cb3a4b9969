"""Training steps and Hessians; every group is in the order of its table."""

from ..peers import workload
from ..workload import Workload
from . import elem, lenet, sequences
from .dense import AUTOENCODER, NETWORKS
from .hessians import HESSIANS as HESSIANS

_PROBLEMS = (
    *(network.problem() for network in NETWORKS),
    elem.problem(),
    lenet.problem(),
    AUTOENCODER.problem(),
)
_MORE = (sequences.lstm(), sequences.attention(), sequences.experts())
STEPS: dict[str, Workload] = {problem.name: workload(problem) for problem in _PROBLEMS}
MORE: dict[str, Workload] = {problem.name: workload(problem) for problem in _MORE}
WORKLOADS: dict[str, Workload] = STEPS | MORE | HESSIANS
