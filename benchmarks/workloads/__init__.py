"""One module per workload; `WORKLOADS` lists them in the order of the table."""

from ..workload import Workload
from . import logreg, mlp_b1, mlp_b32, xor

WORKLOADS: dict[str, Workload] = {
    module.WORKLOAD.name: module.WORKLOAD for module in (logreg, xor, mlp_b1, mlp_b32)
}
