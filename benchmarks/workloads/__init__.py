"""Training steps, one module each, and Hessians; every group is in the order of its table."""

from ..workload import Workload
from . import logreg, mlp_b1, mlp_b32, xor
from .hessians import HESSIANS as HESSIANS

STEPS: dict[str, Workload] = {
    module.WORKLOAD.name: module.WORKLOAD for module in (logreg, xor, mlp_b1, mlp_b32)
}
WORKLOADS: dict[str, Workload] = STEPS | HESSIANS
