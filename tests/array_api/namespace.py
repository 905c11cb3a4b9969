"""The array API namespace: `from array_api import namespace as xp`.

Every function is traced as a step of one call and run (see `execution`); its signature is the
standard's. What is not claimed is absent.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as _numpy
from tapeless import numpy as _traced
from tapeless.ir.types import DTYPES as _DTYPES

from . import standard as _standard
from .adapted import ADAPTED as _ADAPTED
from .adapted import CONCRETE as _CONCRETE
from .array import Array, bare, step, wrapped

__array_api_version__ = _standard.VERSION
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

dtypes = {dtype.name: dtype for dtype in _DTYPES.values()}
globals().update(dtypes)


class NamespaceInfo:
    """What the namespace can do (`__array_namespace_info__`)."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": False, "max dimensions": 16}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, _numpy.dtype]:
        real, whole = dtypes["float64"], dtypes["int64"]
        return {"real floating": real, "integral": whole, "indexing": whole}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, _numpy.dtype]:
        if kind is None:
            return dict(dtypes)
        return {name: d for name, d in dtypes.items() if _numpy.isdtype(d, kind)}


def __array_namespace_info__() -> NamespaceInfo:
    return NamespaceInfo()


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    """Numbers become an array outside any trace; an array is copied, or converted, in one."""
    _on_cpu(device)
    if not isinstance(obj, Array):
        made = _numpy.array(bare(obj), dtype=dtype)
        return Array(made if made.dtype.kind != "f" or dtype else made.astype(float))
    converts = dtype is not None and dtype != obj.dtype
    if copy is False and converts:
        raise ValueError("a conversion needs a copy, which copy=False forbids")
    if converts:
        return step(lambda x: x.astype(dtype), obj)
    return step(lambda x: x.copy(), obj) if copy else obj


def _on_cpu(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"no device {device!r}; there is only 'cpu'")


def _function(name: str) -> Any:
    """The function of that name: its parameters are the standard's, its meaning a step."""
    signature = _standard.ALL[name]
    short = name.removeprefix("linalg.")

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        named = bound.kwargs
        _on_cpu(named.pop("device", None))
        if name in _CONCRETE:
            return wrapped(_CONCRETE[name](*bare(bound.args), **named))
        if name == "repeat":  # the counts decide the shape: they belong to the program
            named["repeats"] = bare(bound.arguments["repeats"])
            return step(target(name), bound.arguments["x"], **named)
        return step(target(name), *bound.args, **named)

    call.__name__ = call.__qualname__ = short
    call.__signature__ = signature
    return call


def target(name: str) -> Any:
    """What a step calls for a function of the standard; outside a trace it is NumPy's."""
    if name in _ADAPTED:
        return _ADAPTED[name]
    module, _, short = name.rpartition(".")
    return getattr(getattr(_traced, module) if module else _traced, short)


linalg = SimpleNamespace()
for _name in _standard.CLAIMED:
    _place = linalg if _name.startswith("linalg.") else None
    if _place is not None:
        setattr(_place, _name.removeprefix("linalg."), _function(_name))
    elif _name not in globals():
        globals()[_name] = _function(_name)
