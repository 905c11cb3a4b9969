"""A program as far as calls need it: found in the cache or made, run, and called at speed.

    program = Specialised(step, call, early=True)       made by a call
    program.fast                                        what later calls do
    program.whole                                       the `Program` that a user sees

A step that an earlier process ran takes no more than this: the native code in one piece and the
plan of its call. `whole` is the same object, which from then on is a `Program` (`program.py`).
"""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..ir.late import undisturbed
from ..runtime.making import MAKING
from . import adapting, arguments, callplan, callwriter, native, program, restored
from .call import Call, Step
from .collecting import seldom_collecting
from .early import Early, look
from .signature import ArraySpec, Described

if TYPE_CHECKING:
    from collections.abc import Callable

    from .native import NativeProgram
    from .outline import Outline
    from .product import Product
    from .program import Program
    from .restored import RestoredProgram
    from .trace import Traced


class Specialised:
    """A step specialised on one structure, its shapes and dtypes."""

    def __init__(
        self, step: Step, call: Call, reason: str = "first call", *, early: bool = False
    ) -> None:
        """`early`: the step need not be traced, if that is not needed for a call."""
        self._step = step
        self._reason = reason
        self._native: NativeProgram | RestoredProgram | None = None
        self._bundle: list[Any] | None = None
        self.name = step.name
        self._find_seconds = self._trace_seconds = 0.0
        self._early: Early | None = None
        self._traced: Traced | None = None
        self._product: Product | None = None
        self._key: str | None = None
        self.described: Described
        self._direct: callplan.Direct | None = None
        self._unpacked: Callable[[], Outline] | None = None
        self.found = False
        """Whether its native code is of an earlier process."""
        if not early or not self._take_found(call):
            with seldom_collecting():
                self.whole._take_traced(call)

    @property
    def whole(self) -> Program:
        """This program with all that can be asked about it."""
        made: Any = self
        if type(self) is Specialised:
            made.__class__ = program.Program
        whole: Program = made
        return whole

    def _take_found(self, call: Call) -> bool:
        """Take what an earlier process made of the same step, if it did."""
        start = time.perf_counter()
        with undisturbed():
            self._early = look(self._step, call)
            found = None if self._early is None else self._early.find()
        if found is None:
            native.build_ahead(keep=self._step.options.cache)
        self._find_seconds = time.perf_counter() - start
        if found is None:
            return False
        self.described, self.hidden, self._key = found.described, found.hidden, found.key
        self._bundle, self._product = found.bundle, found.product
        self._direct, self._unpacked = found.direct, found.outline
        self._early, self.found = None, True
        return True

    @cached_property
    def outline(self) -> Outline:
        """The step as its caller knows it."""
        return self.whole.traced if self._unpacked is None else self._unpacked()

    # --- native code ---------------------------------------------------------------------

    @property
    def compiled(self) -> bool:
        """Whether there is native code yet."""
        return self._native is not None

    @property
    def native(self) -> NativeProgram | RestoredProgram:
        """The native step, compiled on first use."""
        if self._native is None:
            with MAKING, seldom_collecting():
                if self._native is None:
                    self._native = self._build()
        return self._native

    def _build(self) -> NativeProgram | RestoredProgram:
        made: NativeProgram | RestoredProgram | None = None
        if self._bundle is not None:
            with undisturbed():
                made = restored.restored(self._bundle, self._step.options.run, self._all_native)
            self._bundle = None
        if made is None:
            made = self._all_native()
        if os.environ.get("TAPELESS_LOG", "").lower() not in ("", "0", "off"):
            self.whole._log(sum(seconds for _, seconds in made.timings))
        return made

    def _all_native(self) -> NativeProgram:
        """The native step with all that can be asked about it."""
        return self.whole._build_whole()

    # --- the fast way of a call ----------------------------------------------------------

    @cached_property
    def fast(self) -> callplan.Fast | None:
        """A function of a call's arguments that runs the native step, or returns MISS, having done
        nothing, if they are not exactly this program's. None if every call needs care: one with
        `**kwargs`, or one that writes where an array is not contiguous."""
        plan = self.call_plan()
        if plan is not None:
            return plan.bind(self.native.executable)
        adapt = adapting.adapter(self._step.signature, self.described, self.outline)
        return adapt and adapt(self._planned_call().bind(self.native.executable))

    def call_plan(self) -> callplan.CallPlan | None:
        """How `fast` does it, as data, where native code takes the arguments as they are given."""
        specs = self.described.specs
        strided = any(isinstance(s, ArraySpec) and not s.contiguous for s in specs)
        return None if strided or not self._step.plain else self._planned_call()

    def _planned_call(self) -> callplan.CallPlan:
        described = self.described
        names = tuple(map(str, described.treedef.keys))
        taken = self._step.parameters(names), described.treedef.children, described.specs
        if self._direct:
            return callplan.plan_direct(*taken, self._direct)
        outline = self.outline
        return callwriter.plan_call(
            *taken,
            outline.result_tree,
            limits=arguments.limits(outline.int_ranges) if outline.int_ranges else None,
            rebinds=outline.rebinds if outline.rebinds.slots else None,
            hidden=self.hidden,
        )

    def serves(self, described: Described) -> bool:
        """Whether arguments of this program's key also have the numbers it is pinned to."""
        pinned = described.pinned_like(self.described) if self.outline.asked else self.described
        return pinned.key == self.described.key
