"""Modules and names that are loaded when they are first used.

In the `__init__.py` of a package:

    late.modules(__name__, "pipeline", "reports")       `from . import pipeline` loads nothing yet
    late.packages(__name__, "codegen")
    __getattr__, __dir__ = late.names(__name__, {".compiler.api": ("compile",)})
    dataclasses = late.standard("dataclasses")          likewise, anywhere

A late module is in `sys.modules`, empty, until one of its attributes is asked for. So the importer
writes `from . import pipeline` and, inside functions, `pipeline.lower(...)`; whoever writes `from
.pipeline import lower` loads it at once. This is how a program that comes from the cache does
without the passes and code generation, and `import tapeless` without nearly everything.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from _thread import RLock, get_ident  # `threading` takes its time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """A module that is not executed yet; executed, it is an ordinary one."""

    def __getattr__(self, name: str) -> Any:
        """Only called for what is missing, hence not once the module is loaded. Who looks through
        all modules for what each of them is (`__file__`) loads none."""
        loading = self.__dict__["__late__"]
        if name == "__path__" and loading.is_package:  # asked for by the import of what is in it
            return _inner(self)
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
        loading.load(self)
        return getattr(self, name)


class _Loading:
    """How a late module is executed, once, whatever thread asks first."""

    def __init__(self, *, is_package: bool = False, is_common: bool = False) -> None:
        self.is_package, self.is_common = is_package, is_common
        self.begun_at = 0
        self._lock = RLock()
        self._begun = self._done = False

    def load(self, module: ModuleType) -> None:
        """Execute the module; AttributeError if that is under way in this very thread."""
        with self._lock:
            if self._done:
                return
            if self._begun:
                raise AttributeError(f"{module.__name__} is being loaded")
            self._begun, self.begun_at = True, time.monotonic_ns()
            try:
                with _under_way():
                    if gc.isenabled():
                        with undisturbed():
                            _execute(module)
                    else:  # inside of another load
                        _execute(module)
                module.__class__ = ModuleType
                self._done = True
            finally:
                self._begun = False


class _UnderWay:
    """Loads that are under way, by thread. A fork waits until no other thread is in one: what a
    thread was loading nobody would ever finish in the child, which waits for it, or for Python's
    own lock of what that imports. Loads are held up by the fork itself alone, so that those that
    wait for each other come to their end."""

    def __init__(self) -> None:
        self._gate, self._held = RLock(), False
        self._threads: dict[int, int] = {}
        if hasattr(os, "register_at_fork"):
            leave = self._leave
            os.register_at_fork(before=self._wait, after_in_parent=leave, after_in_child=leave)

    def __enter__(self) -> None:
        with self._gate:
            self._threads[get_ident()] = self._threads.get(get_ident(), 0) + 1

    def __exit__(self, *raised: object) -> None:
        with self._gate:
            self._threads[get_ident()] -= 1
            if not self._threads[get_ident()]:
                del self._threads[get_ident()]

    def _wait(self) -> None:
        while not self._held:
            self._gate.acquire()
            try:
                self._held = self._threads.keys() <= {get_ident()}
            finally:
                if not self._held:
                    self._gate.release()
            time.sleep(0 if self._held else 0.001)

    def _leave(self) -> None:
        if self._held:
            self._held = False
            self._gate.release()


@cache
def _under_way() -> _UnderWay:
    return _UnderWay()


@contextmanager
def undisturbed() -> Iterator[None]:
    """No search for garbage in this block: what it makes stays, and to look through all of that a
    dozen times took a tenth of the time to a first result. Behind it what was made counts as old,
    as if it had been looked through, unless the user has taken objects out of the search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _inner(module: ModuleType) -> list[str]:
    """The folders of a package that is not executed yet."""
    parent, _, name = module.__name__.rpartition(".")
    module.__path__ = [os.path.join(folder, name) for folder in sys.modules[parent].__path__]
    return list(module.__path__)


def _execute(module: ModuleType) -> None:
    """Execute a module, which is told where it comes from."""
    spec = _find(module.__name__)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module {module.__name__}", name=module.__name__)
    module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
    module.__file__ = spec.origin
    if spec.cached is not None:
        vars(module)["__cached__"] = spec.cached
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    spec.loader.exec_module(module)


def _find(name: str) -> ModuleSpec | None:
    """Where a module is; whoever knows the folder of its package is asked at once."""
    folders = sys.modules[name.rpartition(".")[0]].__path__
    known = sys.path_importer_cache.get(folders[0])
    found = None if known is None else known.find_spec(name)
    return found or PathFinder.find_spec(name, folders)


def modules(package: str, *names: str) -> None:
    """Register modules of a package that is being imported as late."""
    for name in names:
        _register(package, name, _Loading())


def common(package: str, *names: str) -> None:
    """Likewise, of modules that nearly every process loads: in the archive of the package
    (`archive.py`) they lie together, in the order in which they are loaded."""
    for name in names:
        _register(package, name, _Loading(is_common=True))


def packages(package: str, *names: str) -> None:
    """Likewise, of packages in it. A module of theirs can be imported without them."""
    for name in names:
        _register(package, name, _Loading(is_package=True))


def _register(package: str, name: str, loading: _Loading) -> None:
    full = f"{package}.{name}"
    if full not in sys.modules:
        module = _Late(full, None)
        module.__dict__["__late__"] = loading
        sys.modules[full] = module
        setattr(sys.modules[package], name, module)


def common_order(module: ModuleType) -> int:
    """When a module was loaded that nearly every process loads; 0 for another."""
    loading = vars(module).get("__late__")
    return loading.begun_at if loading is not None and loading.is_common else 0


def execute(name: str) -> None:
    """Import a module, at once even if it is late."""
    module = importlib.import_module(name)
    if "__late__" in vars(module):
        vars(module)["__late__"].load(module)


def standard(name: str) -> Any:
    """A module of the standard library, imported when one of its attributes is first used."""
    return _Standard(name)


class _Standard:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        self.__dict__[attribute] = value
        return value


def functions(package: str, *names: str) -> None:
    """Give a package functions that are named like its modules they lie in: `late.functions("ir",
    "parse")` does late what `from .parse import parse` does in `ir/__init__.py`."""
    scope = {name: _Function(name) for name in names}
    sys.modules[package].__class__ = type("_Package", (ModuleType,), scope)


class _Function:
    """An attribute of a package. The import of the module of its name does not replace it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, package: ModuleType, owner: type) -> Any:
        return getattr(importlib.import_module(f"{package.__name__}.{self._name}"), self._name)

    def __set__(self, package: ModuleType, value: Any) -> None:
        """The import system sets the module."""


def names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package with such names, by the module of each, relative
    to the package: `{".compiler.api": ("compile",)}` does late what `from .compiler.api import
    compile` does."""
    home = {name: module for module, listed in homes.items() for name in listed}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with _under_way(), undisturbed():
            module = importlib.import_module(home[name], package)
        try:
            value = vars(module)[name] if module.__name__ == package else getattr(module, name)
        except (AttributeError, KeyError):  # a module of that package
            value = importlib.import_module(f"{module.__name__}.{name}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return find, listed
