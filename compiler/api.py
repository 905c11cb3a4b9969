"""`compile`: the decorator, and the function it makes.

A call takes one of two ways. The fast way (`callplan.py`) asks each program lately used whether the
arguments have its structure and exactly its shapes, dtypes and layout, in native code as far as
possible; the first that says yes has run. The careful way describes the call in full, finds or
makes its program, and copies or complains (`arguments.py`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, overload

from ..ir import errors
from ..ir.record import dataclass
from ..runtime.callpath import MISS
from ..runtime.making import MAKING
from ..runtime.modes import RunOptions, can_flush
from . import retracing
from .active import active
from .call import Call, Options, Step, difference
from .objects import Hidden, is_object
from .specialised import Specialised

if TYPE_CHECKING:
    from .callplan import Fast
    from .program import Program

    Decorator = Callable[[Callable[..., Any]], "CompiledFunction"]

RECENT = 8
"""Programs the fast way tries, the last used first."""


class CompiledFunction:
    """A step that runs as one native function per structure, shapes and dtypes of its arguments."""

    content_of = ("function", "options")
    """What decides how it behaves inside another step (`content.py`)."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self._step = Step(function, options)
        self._programs: dict[Hashable, list[Specialised]] = {}
        self._hidden: tuple[Hidden, ...] = ()
        self._made: tuple[Specialised, ...] = ()
        self._recent: tuple[Fast, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step natively, compiling on the first call with new types.

        Updates the caller's arrays in place as the function does under NumPy; results of shape ()
        are 0-d arrays. Raises a `TapelessError` before anything is written. Called by another step
        that is being traced, it is traced as part of it.
        """
        if active() is not None:
            return self.function(*args, **kwargs)
        for fast in self._recent:
            result = fast(*args, **kwargs) if kwargs else fast(*args)  # which copies no dict
            if result is not MISS:
                return result
        return self._careful(args, kwargs)

    def interpret(self, *args: Any, **kwargs: Any) -> Any:
        """Like the call, in-place updates included, but run by the interpreter on the optimised
        graph: nothing is compiled."""
        call = self._step.call(args, kwargs)
        program = self._program(call).whole
        return program.execute(call, program.interpreter("optimized"))

    def lower(self, *args: Any, **kwargs: Any) -> Program:
        """The program for these arguments with every stage to look at; nothing is executed."""
        return self._program(self._step.call(args, kwargs)).whole

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs made so far, in order."""
        return tuple(program.whole for program in self._made)

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledFunction | BoundStep:
        return self if instance is None else BoundStep(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._step.name}, {len(self._made)} programs>"

    def _careful(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        call = self._step.call(args, kwargs)
        program = self._program(call, early=True)
        if self.options.check and not program.compiled:
            program.whole.verify(*args, **kwargs)
        quick = self._fast(program) if program.found and not program.compiled else None
        result = MISS if quick is None else quick(*args, **kwargs)
        if result is MISS:
            result = program.whole.execute(call, program.whole.run_native)
            self._fast(program)
        return result

    def _fast(self, program: Specialised) -> Fast | None:
        """The fast way of a program, which from now on is tried first."""
        fast = program.fast
        if fast is not None:
            others = [other for other in self._recent if other is not fast]
            self._recent = (fast, *others[: RECENT - 1])
        return fast

    def _program(self, call: Call, *, early: bool = False) -> Specialised:
        """The program that serves a call, made if there is none; `early`: to be run, not read."""
        program = self._find(call)
        if program is None:
            with MAKING:
                program = self._find(call)
                if program is None:
                    program = Specialised(self._step, call, self._reason(call), early=early)
                    hidden = program.hidden
                    key = hidden, call.hiding(hidden).described.key
                    alike = self._programs.setdefault(key, [])
                    alike.append(program)
                    if hidden not in self._hidden:
                        self._hidden = (hidden, *self._hidden)
                    self._made = (*self._made, program)
                    if len(self._made) > 1:
                        retracing.warn_of_pins(alike)
                        retracing.warn_of_forms(self._made)
        return program

    def _find(self, call: Call) -> Specialised | None:
        """A program with the types of the call, made for the values of its pinned numbers."""
        for hidden in self._hidden:
            described = call.hiding(hidden).described
            for program in self._programs.get((hidden, described.key), ()):
                if program.serves(described):
                    return program
        return None

    def _reason(self, call: Call) -> str:
        """Why a call needs a program of its own: what it changes against the closest one."""
        changes = [difference(p.described, call.hiding(p.hidden).described) for p in self._made]
        return min(changes, key=len, default="first call")


_call: Final = CompiledFunction.__call__


@dataclass(eq=False, slots=True)
class BoundStep:
    """A compiled method bound to its instance."""

    step: CompiledFunction
    instance: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `CompiledFunction.__call__`."""
        if kwargs:
            return _call(self.step, self.instance, *args, **kwargs)
        return _call(self.step, self.instance, *args)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundStep):
            return NotImplemented
        return other.step is self.step and other.instance is self.instance

    def __hash__(self) -> int:
        return hash((id(self.step), id(self.instance)))

    def interpret(self, *args: Any, **kwargs: Any) -> Any:
        """See `CompiledFunction.interpret`."""
        return self.step.interpret(self.instance, *args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Program:
        """See `CompiledFunction.lower`."""
        return self.step.lower(self.instance, *args, **kwargs)

    @property
    def programs(self) -> tuple[Program, ...]:
        """See `CompiledFunction.programs`."""
        return self.step.programs


@overload
def compile(fn: Callable[..., Any]) -> CompiledFunction: ...


@overload
def compile(
    fn: None = None,
    *,
    static_argnames: str | Iterable[str] = ...,
    optimize: bool = ...,
    threads: int | None = ...,
    cache: bool = ...,
    check: bool = ...,
    flush_subnormals: bool = ...,
) -> Decorator: ...


@overload
def compile(
    fn: Callable[..., Any],
    *,
    static_argnames: str | Iterable[str] = ...,
    optimize: bool = ...,
    threads: int | None = ...,
    cache: bool = ...,
    check: bool = ...,
    flush_subnormals: bool = ...,
) -> CompiledFunction: ...


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    static_argnames: str | Iterable[str] = (),
    optimize: bool = True,
    threads: int | None = None,
    cache: bool = True,
    check: bool = False,
    flush_subnormals: bool = False,
) -> CompiledFunction | Decorator:
    """Compile a step written in NumPy; a decorator, with or without arguments.

    static_argnames: parameters whose value is part of the program (hashable), such as a number
        that decides a loop's length.
    optimize: False keeps the graph as derived, without the optimising passes.
    threads: number of threads a step may use; None takes TAPELESS_THREADS, else the cores this
        process may run on. Results have the same bits with any number; 1 starts no thread. A
        short step is timed now and then, and runs on one of them while that is faster.
    cache: whether machine code and source are kept in files, and taken from there in later runs.
    check: verify the graph after every pass, and compare all stages and the native code on the
        first call of every program (VerifyError names the guilty pass).
    flush_subnormals: take subnormal numbers (below 1e-38 in float32) for zero inside native code,
        on every thread of the step; the processor's modes are as before when it returns. Moments
        of units that died fade into subnormals, on which many processors are slow.

    The arguments of a step are arrays and numbers in dicts, lists, tuples and objects, whose
    attributes they are; anything else is static.

    TypeError for arguments of the wrong kind, ValueError for a name that is no parameter,
    UnsupportedError for what this machine cannot do.
    """
    options = Options(
        _names(static_argnames),
        bool(optimize),
        bool(cache),
        bool(check),
        RunOptions(_threads(threads), _flush(flush_subnormals)),
    )
    if fn is None:
        return lambda function: _compiled(function, options)
    made: CompiledFunction = _compiled(fn, options)
    return made


def _compiled(fn: Callable[..., Any], options: Options) -> Any:
    """The compiled function; of a method of an object, and of an object that can be called, the
    compiled method bound to it, so that its attributes are arguments and not constants."""
    if isinstance(fn, (CompiledFunction, BoundStep)):
        raise TypeError(f"{fn!r} is compiled already")
    if not callable(fn) or isinstance(fn, type):
        kind = f"the class {fn.__name__}" if isinstance(fn, type) else type(fn).__name__
        advice = _DECORATED.get(type(fn), "decorate a function or a method")
        raise TypeError(f"compile takes a function, not {kind}; {advice}")
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        raise TypeError(
            f"compile takes a function that returns its results, but {fn.__name__} is made with"
            " `async` or `yield`; return a list, and await outside the step"
        )
    method: Any = fn
    if is_object(fn) and not isinstance(fn, MethodType):
        method = fn.__call__  # type: ignore[operator]
    if isinstance(method, MethodType) and is_object(method):
        return BoundStep(CompiledFunction(method.__func__, options), method.__self__)
    return CompiledFunction(fn, options)


_DECORATED: Final = {
    classmethod: "put @classmethod above @tl.compile",
    staticmethod: "put @staticmethod above @tl.compile",
    property: "put @property above @tl.compile",
}


def _names(static_argnames: str | Iterable[str]) -> tuple[str, ...]:
    single = isinstance(static_argnames, str) or not isinstance(static_argnames, Iterable)
    given: tuple[Any, ...] = (static_argnames,) if single else tuple(static_argnames)
    if not all(isinstance(name, str) for name in given):
        raise TypeError(
            f"static_argnames must be the names of parameters, not {static_argnames!r}; write"
            " static_argnames=('n',)"
        )
    return given


def _flush(flush_subnormals: bool) -> bool:
    if flush_subnormals and not can_flush():
        raise errors.UnsupportedError(
            "flush_subnormals needs an x86-64 or AArch64 processor; leave it out here"
        )
    return bool(flush_subnormals)


def _threads(threads: int | None) -> int | None:
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads must be a positive int or None, not {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return threads
