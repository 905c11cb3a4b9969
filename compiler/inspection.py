"""What can be asked about a `Program`: its stages, and reports about them and its native code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from . import pipeline, reports, zeros
from .stages import STAGES

if TYPE_CHECKING:
    from ..ir.graph import Graph
    from .call import Step
    from .native import NativeProgram
    from .restored import RestoredProgram
    from .trace import Traced


class Inspection:
    """The questions; `Program` has what answers them."""

    stages: tuple[str, ...] = STAGES
    name: str
    found: bool
    _step: Step
    _traced: Traced | None
    _find_seconds: float
    _trace_seconds: float

    @property
    @abstractmethod
    def traced(self) -> Traced:
        """The traced step."""

    @property
    @abstractmethod
    def compiled(self) -> bool:
        """Whether there is native code yet."""

    @property
    @abstractmethod
    def native(self) -> NativeProgram | RestoredProgram:
        """The native step, compiled on first use."""

    @cached_property
    def _lowered(self) -> pipeline.Lowered:
        options = self._step.options
        return pipeline.lower(self.traced.graph, optimize=options.optimize, verify=options.check)

    def ir(self, stage: str = "optimized") -> str:
        """The IR text of a stage."""
        return str(self.graph(stage))

    def graph(self, stage: str = "optimized") -> Graph:
        """The graph of a stage; ValueError for a name not in `stages`."""
        if stage not in STAGES:
            raise ValueError(f"no stage {stage!r}; the stages are {', '.join(STAGES)}")
        return self._lowered.graphs[stage]

    def diff(self, a: str, b: str) -> str:
        """What changed between two stages, as a unified diff of their IR texts."""
        return reports.diff(a, self.ir(a), b, self.ir(b))

    def zeros(self) -> zeros.ZeroReport:
        """Every Jacobian that was never built: which, how large, how few elements are not
        structural zeros, and what stands in its place."""
        return zeros.zero_report(self.name, self.graph("autodiff"))

    def memory(self) -> reports.MemoryReport:
        """Arguments, results, intermediates and the arena they share."""
        return reports.memory_report(self.name, self.graph("planned"))

    def cost(self) -> reports.CostReport:
        """Arithmetic and memory traffic of the stage `optimized`, op by op."""
        return reports.cost_report(self.name, self.graph("optimized"))

    def timings(self) -> reports.TimingReport:
        """Where compilation spent its time; native phases once there is native code. A program from
        the cache has a phase of that name in the place of the passes. All is wall time."""
        phase = reports.Phase
        phases = [] if self._traced is None else [phase("trace", "trace", self._trace_seconds)]
        fired: Mapping[str, int] = {}
        phases.append(phase("trace", "cache" if self.found else "find", self._find_seconds))
        if not self.found:
            passes, fired = self._lowered.timings, self._lowered.fired
            phases += [phase(t.stage, t.name, t.seconds, (t.before, t.after)) for t in passes]
        if self.compiled:
            phases += [phase("native", *timing) for timing in self.native.timings]
        return reports.TimingReport(self.name, tuple(phases), dict(fired))

    def source(self) -> reports.Listing:
        """The generated Python source that is compiled; `.path` is the file it lies in."""
        return reports.Listing(self.native.source, "python", self.native.path)

    def llvm(self) -> reports.Listing:
        """The optimised LLVM IR of the native step."""
        return reports.Listing(self.native.llvm(), "llvm")

    def asm(self) -> reports.Listing:
        """The machine code of the native step, disassembled."""
        return reports.Listing(self.native.asm(), "asm")
