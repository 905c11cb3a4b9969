"""A `Program`: one specialisation of a step, open to inspection at every stage.

Tracing and lowering happen when the program is made, native compilation when it is first run or
asked about. Running comes in two ways that share everything but the executor: native code and
the interpreter both take one array or number per graph input, and write arrays and container slots
together (`runtime/commit.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..ir import errors
from ..ir.late import undisturbed
from ..runtime import archiving
from ..runtime.commit import commit, writes
from ..runtime.making import MAKING
from . import (
    arguments,
    fingerprint,
    interpret,
    native,
    peaks,
    pipeline,
    profile,
    table,
    trace,
    tracing,
    verification,
)
from .call import Call, copied, copy_arrays, difference
from .inspection import Inspection
from .specialised import Specialised
from .stages import STAGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtime.executable import Prepare
    from .native import NativeProgram
    from .outline import Finish
    from .trace import Traced

    Array = NDArray[Any]
    Executor = Callable[[Sequence[Any], Prepare], object]


class Program(Specialised, Inspection):
    """A step specialised on one structure, its shapes and dtypes. See `CompiledFunction.lower`."""

    @cached_property
    def parameters(self) -> tuple[arguments.Parameter, ...]:
        """The inputs of the graph as the caller knows them."""
        return arguments.parameters_of(self.described, self.outline.inputs)

    def _take_traced(self, call: Call) -> None:
        """Trace the step. Take what an earlier process made of the same graph, or run the passes,
        now: what they refuse is an error of the call."""
        start = time.perf_counter()
        unseen = nullcontext() if self._early is None else self._early.watching()
        with unseen, tracing.reachable.constants_unchanged(self._step.function):
            self._traced, self.hidden = trace.trace_without_unread(
                self._step.function,
                call.bound.args,
                call.bound.kwargs,
                name=self.name,
                static_argnames=self._step.options.static_argnames,
            )
        self.outline, self.described = self._traced, self._traced.described
        self._trace_seconds = time.perf_counter() - start
        start = time.perf_counter()
        self._key = fingerprint.program_key(self._traced.graph, self._step.options)
        self._product = None if self._key is None else native.find(self._key)
        self._find_seconds += time.perf_counter() - start
        self.found = self._product is not None
        if not self.found:
            self.graph()

    @property
    def traced(self) -> Traced:
        """The traced step; a program that was found without its trace is traced now."""
        if self._traced is None:
            with MAKING:
                if self._traced is None:
                    self._traced = self._retrace()
        return self._traced

    def _retrace(self) -> Traced:
        """TraceError if it does not give the graph that the program is for."""
        start = time.perf_counter()
        made = trace.retrace(self._step.function, self.described, self.name)
        if fingerprint.program_key(made.graph, self._step.options) != self._key:
            raise errors.TraceError(
                f"{self.name}: what the step reaches has changed since this program was taken from"
                " the cache, so that its stages cannot be shown; .lower(...) shows those of now"
            )
        self._trace_seconds = time.perf_counter() - start
        return made

    # --- execution -----------------------------------------------------------------------

    def _build_whole(self) -> NativeProgram:
        """The native step with all that can be asked about it."""
        options = self._step.options
        if self.found and self._product is None and self._key is not None:
            self._product = native.find(self._key)
        if self._product is not None:
            with undisturbed():
                made = native.restore(self._product, options.run)
        else:
            graph = self.graph("planned")
            made = native.build(graph, options.run, keep=options.cache, key=self._key)
        if self._early is not None and self._key is not None:
            plan = self.call_plan()
            direct = None if plan is None else plan.direct
            self._early.leave(self.outline, self.hidden, self._key, direct, made.bundle())
            archiving.leave(__name__.partition(".")[0], __package__ + ".restored")
        self._early = None  # it holds what the step reaches
        return made

    def _log(self, seconds: float) -> None:
        passes = () if self.found else self._lowered.timings
        before = self._trace_seconds + self._find_seconds + sum(t.seconds for t in passes)
        verb = "loaded from the cache" if self.found else "compiled"
        total, own = map(table.seconds_text, (before + seconds, seconds))
        took = f"{verb} in {total}, {own} of it native code"
        print(f"tapeless: {self.name} {took} ({self._reason})", file=sys.stderr)

    def run_native(self, leaves: Sequence[Any], prepare: Prepare | None = None) -> Sequence[Array]:
        """The executor that runs native code."""
        outputs = self.native.call(tuple(leaves), prepare)
        if outputs is None:
            raise errors.VerifyError(
                f"{self.name}: the native code refused arguments of its own types"
            )
        return outputs

    def interpreter(self, stage: str) -> Executor:
        """The executor that interprets a stage, writing updates once every value is known."""
        graph = interpret.expanded(self.graph(stage))
        targets = [graph.inputs.index(target) for target, _ in graph.updates]

        def run(leaves: Sequence[Any], prepare: Prepare) -> None:
            outputs, updates = interpret.interpret(graph, *self.typed(leaves))
            commit(writes([leaves[position] for position in targets], updates), prepare(outputs))

        return run

    def typed(self, leaves: Sequence[Any]) -> list[Array]:
        """The leaves as arrays of the types the graph takes; Python numbers become 0-d arrays."""
        return self.outline.typed(leaves)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the native step: like the compiled function, for arguments of this program's
        structure, shapes and dtypes (ShapeError for others)."""
        return self.execute(self._call(args, kwargs), self.run_native)

    def interpret(self, stage: str, *args: Any, **kwargs: Any) -> Any:
        """Run the graph of a stage with the interpreter, on copies of the arguments; returns what
        the step returns, and raises what it raises."""
        arguments.check(self.parameters, self._call(args, kwargs).described.leaves)
        copies = self._step.call(*copy_arrays(args, kwargs))
        return self.execute(copies, self.interpreter(stage))

    def profile(self, *args: Any, seconds: float = 0.5, **kwargs: Any) -> profile.ProfileReport:
        """Run the native step on copies of the arguments for about `seconds`, and time each node
        of the stage `planned`: operations, bytes, seconds, and the share of this machine's peaks
        if `tapeless doctor --measure` has found them. Copies train on from round to round."""
        if not seconds > 0:
            raise ValueError(f"profile: seconds must be positive, not {seconds}")
        leaves = [copied(leaf) for leaf in self._plain(self._call(args, kwargs).described.leaves)]
        graph, run = self.graph("planned"), self._step.options.run
        return profile.profile(self.name, graph, leaves, run, seconds, peaks.stored())

    def verify(self, *args: Any, **kwargs: Any) -> verification.VerifyReport:
        """Run every stage and the native code on copies of the arguments and compare them.

        Returns the largest differences; VerifyError names the first guilty pass, the op and the
        user's line.
        """
        leaves = self._plain(self._call(args, kwargs).described.leaves)
        stages = [verification.Version(stage, self.graph(stage)) for stage in STAGES]
        arrays = self.typed(leaves)
        return verification.verify(
            self.name, stages, self._passes, lambda: self._native_results(leaves), arrays
        )

    def _native_results(self, leaves: Sequence[Any]) -> list[Array]:
        """Results and updated arrays of the native step, run on copies."""
        copies = [copied(leaf) for leaf in leaves]
        outputs = self.run_native(copies)
        graph = self.traced.graph
        return [*outputs, *(copies[graph.inputs.index(target)] for target, _ in graph.updates)]

    def _passes(self, stage: str) -> Iterator[verification.Version]:
        """The graph after each pass of a stage."""
        graph = self.graph(STAGES[STAGES.index(stage) - 1])
        for step in pipeline.STEPS:
            if step.stage == stage and (self._step.options.optimize or step.required):
                graph = step.run(graph)
                yield verification.Version(step.name, graph)

    def execute(self, call: Call, run: Executor) -> Any:
        """Check the arguments, run, write updates and rebound slots, build the result.

        Raises AliasError, ReadOnlyError, ScalarRangeError, BoundsError or LinAlgError before
        anything is written.
        """
        leaves = call.hiding(self.hidden).described.leaves
        arguments.check(self.parameters, leaves)
        arguments.check_ranges(self.outline.int_ranges, self.parameters, leaves)
        used = self._plain(leaves)
        finish: list[Finish] = []

        def prepare(outputs: Sequence[Array]) -> Callable[[], None]:
            finish.append(self.outline.prepare(call.bound.arguments, outputs))
            return write

        def write() -> None:
            arguments.restore(leaves, used, self.parameters)
            finish[0].replay()

        run(used, prepare)
        return finish[0].result

    def _plain(self, leaves: Sequence[Any]) -> list[Any]:
        return arguments.plain_all(self.parameters, leaves)

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """The call, if it is one that this program serves."""
        call = self._step.call(args, kwargs).hiding(self.hidden)
        reason = difference(self.described, call.described)
        if reason:
            raise errors.ShapeError(
                f"{self.name}: this program was lowered for other arguments: {reason}"
            )
        return call
