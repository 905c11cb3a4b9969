"""Modules and names that are loaded when they are first used.

In the `__init__.py` of a package:

    late.modules(__name__, "pipeline", "reports")       `from . import pipeline` loads nothing yet
    __getattr__, __dir__ = late.names(__name__, {".compiler.api": ("compile",)})

A late module is in `sys.modules`, empty, until one of its attributes is asked for. So the importer
writes `from . import pipeline` and, inside functions, `pipeline.lower(...)`; whoever writes `from
.pipeline import lower` loads it at once. This is how a program that comes from the cache does
without the passes and code generation, and `import tapeless` without nearly everything.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """A module that is not executed yet; executed, it is an ordinary one."""

    def __getattr__(self, name: str) -> Any:
        """Only called for what is missing, hence not once the module is loaded."""
        self.__dict__["__late__"].load(self)
        return getattr(self, name)


class _Loading:
    """How a late module is executed, once, whatever thread asks first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._begun = self._done = False

    def load(self, module: ModuleType) -> None:
        """Execute the module; AttributeError if that is under way in this very thread."""
        with self._lock:
            if self._done:
                return
            if self._begun:
                raise AttributeError(f"{module.__name__} is being loaded")
            self._begun = True
            try:
                assert module.__spec__ is not None and module.__spec__.loader is not None
                module.__spec__.loader.exec_module(module)
                module.__class__ = ModuleType
                self._done = True
            finally:
                self._begun = False


def modules(package: str, *names: str) -> None:
    """Register modules of a package that is being imported as late."""
    for name in names:
        full = f"{package}.{name}"
        if full in sys.modules:
            continue
        spec = importlib.util.find_spec(full)
        if spec is None:
            raise ModuleNotFoundError(f"no module {full}", name=full)
        module = _Late(full, None)
        module.__spec__, module.__loader__ = spec, spec.loader
        module.__file__ = spec.origin
        module.__package__ = spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        module.__dict__["__late__"] = _Loading()
        sys.modules[full] = module
        setattr(sys.modules[package], name, module)


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
        module = importlib.import_module(home[name], package)
        try:
            value = getattr(module, name)
        except AttributeError:  # a module of that package
            value = importlib.import_module(f"{module.__name__}.{name}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return find, listed
