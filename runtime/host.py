"""This machine, as LLVM sees it. Importing this module imports llvmlite."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from llvmlite import binding as llvm


def host_features() -> Mapping[str, bool]:
    """The features of this processor, in LLVM's names."""
    features: Mapping[str, bool] = llvm.get_host_cpu_features()
    return features


@cache
def prepare() -> None:
    """Make this machine known to LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def target_machine(level: int = 3) -> Any:
    """A target machine; what it emits, with so much care, may be loaded anywhere."""
    prepare()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=level, reloc="pic", codemodel="small"
    )


@cache
def target_head() -> str:
    """The start of a text that is to be optimised: sizes and alignments on this machine."""
    machine = target_machine()
    return f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n'


@cache
def tuning() -> Any:
    """What LLVM's passes are to do: vectorise loops, but not straight code."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization, options.slp_vectorization = True, False
    return options
