"""The command line: `python -m tapeless`, also installed as `tapeless`.

    tapeless ir FILE:FUNC [--stage S | --diff A B]    print the IR of a compiled function
    tapeless bench FILE:FUNC [--seconds T]            compiled against interpreted throughput
    tapeless doctor [--measure]                       versions, CPU, BLAS, threads, cache place,
                                                      measured peaks
    tapeless cache [--clear]                          place and size of the cache

FILE:FUNC names a compiled function at the top level of a Python file. The file says what to call
it with in `example_args`: the tuple of arguments, a function without parameters that returns
it, or a dict from function names to either.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..runtime import machine, product_choice
from ..runtime.places import cache_directory
from ..runtime.store import entries, objects_directory, open_store
from . import peaks
from .api import BoundStep, CompiledFunction
from .compare import compare
from .measure import measure
from .stages import STAGES
from .table import bytes_text


class UsageError(Exception):
    """Something the user can put right: shown as one line, exit code 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for an error of the user's)."""
    options = _parser().parse_args(argv)
    try:
        print(options.run(options))
    except UsageError as error:
        print(f"tapeless: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tapeless", description="Compile NumPy training steps and look inside."
    )
    version = f"%(prog)s {machine.version('tapeless')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ir = commands.add_parser("ir", help="print the IR of a compiled function")
    _target(ir)
    shown = ir.add_mutually_exclusive_group()
    shown.add_argument("--stage", choices=STAGES, default="optimized", help="default: optimized")
    shown.add_argument("--diff", nargs=2, choices=STAGES, metavar=("A", "B"))
    ir.set_defaults(run=_ir)
    bench = commands.add_parser("bench", help="compiled against interpreted throughput")
    _target(bench)
    bench.add_argument("--seconds", type=float, default=1.0, help="time per executor")
    bench.add_argument("--samples", type=int, help="samples per step")
    bench.set_defaults(run=_bench)
    doctor = commands.add_parser("doctor", help="versions, CPU, BLAS, threads, cache place")
    doctor.add_argument(
        "--measure",
        action="store_true",
        help="measure this machine's peaks, and which products to leave to the BLAS",
    )
    doctor.set_defaults(run=_doctor)
    cache = commands.add_parser("cache", help="place and size of the cache")
    cache.add_argument("--clear", action="store_true", help="delete what it holds")
    cache.set_defaults(run=_cache)
    return parser


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="FILE:FUNC", help="a compiled function; FILE offers `example_args`"
    )


def _ir(options: argparse.Namespace) -> str:
    step, args = load(options.target)
    try:
        program = step.lower(*args)
    except Exception as error:  # whatever the user's code raises
        raise UsageError(_one_line(error)) from error
    return program.diff(*options.diff) if options.diff else program.ir(options.stage)


def _bench(options: argparse.Namespace) -> str:
    step, args = load(options.target)
    try:
        return str(compare(step, args, seconds=options.seconds, samples=options.samples))
    except Exception as error:
        raise UsageError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _doctor(options: argparse.Namespace) -> str:
    try:
        if options.measure:
            peaks.keep(measure())
            for dtype in ("f32", "f64"):
                product_choice.choose(dtype, open_store())
        facts = str(machine.describe())
    except ValueError as error:
        raise UsageError(str(error)) from error
    found = peaks.stored()
    return facts if found is None else f"{facts}\n\n{found}"


def _cache(options: argparse.Namespace) -> str:
    try:
        place = Path(cache_directory())
    except OSError as error:
        raise UsageError(str(error)) from error
    # Only what tapeless puts there: TAPELESS_CACHE may name a folder with other things in it.
    sources, objects = [*place.glob("source/*.py")], [*map(Path, entries(objects_directory()))]
    files = [*sources, *objects]
    size = bytes_text(sum(path.lstat().st_size for path in files))
    held = f"{len(objects)} entries and {len(sources)} sources, {size}"
    if not options.clear:
        return f"{place}: {held}"
    for path in files:
        path.unlink(missing_ok=True)
    return f"{place}: deleted {held}"


# --- FILE:FUNC -----------------------------------------------------------------------------


def load(target: str) -> tuple[CompiledFunction | BoundStep, tuple[Any, ...]]:
    """The compiled function `FILE:FUNC` names and its example arguments, or UsageError."""
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise UsageError(f"{target!r} is not FILE:FUNC, such as train.py:step")
    module = _module(Path(file))
    step = getattr(module, name, None)
    if step is None:
        raise UsageError(f"{file} has no {name!r}")
    if not isinstance(step, (CompiledFunction, BoundStep)):
        raise UsageError(
            f"{name} in {file} is not a compiled function; decorate it with @tl.compile"
        )
    return step, _example_args(module, file, name)


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # As if run as a script: its folder is importable, and dataclasses find their module.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"cannot import {path}: {_one_line(error)}") from error
    return module


def _example_args(module: ModuleType, file: str, name: str) -> tuple[Any, ...]:
    example = getattr(module, "example_args", None)
    if isinstance(example, dict):
        example = example.get(name)
    if callable(example):
        example = example()
    if example is None:
        raise UsageError(
            f"{file} offers no `example_args` for {name}: set it to the argument tuple, a function"
            " returning it, or a dict from function names to either"
        )
    if not isinstance(example, tuple):
        raise UsageError(f"`example_args` of {file} for {name} is not a tuple of arguments")
    return example
