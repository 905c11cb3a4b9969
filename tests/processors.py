"""Processors that code is made for, and those of them whose code runs here."""

from __future__ import annotations

from llvmlite import binding as llvm
from tapeless.runtime.host import host_features
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, PLAIN, registers

PROCESSORS = {
    "avx512": (AVX512, "x86_64-unknown-linux-gnu", "znver4", r"vfmadd\w+ps.*zmm"),
    "avx2": (AVX2, "x86_64-unknown-linux-gnu", "haswell", r"vfmadd\w+ps.*ymm"),
    "plain": (PLAIN, "x86_64-unknown-linux-gnu", "x86-64", r"mulps.*xmm"),
    "neon": (NEON, "aarch64-unknown-linux-gnu", "generic", r"fmla\s+v\d+\.4s"),
}
HOST = registers(host_features())
RUNNABLE = {"host": HOST}
if HOST in (AVX512, AVX2):
    RUNNABLE |= {"avx2": AVX2, "plain": PLAIN}


def machine_for(name):
    """LLVM's machine that makes code for the processor; None if this LLVM cannot."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(PROCESSORS[name][1])
    except RuntimeError:
        return None
    return target.create_target_machine(
        cpu=PROCESSORS[name][2], opt=3, reloc="pic", codemodel="small"
    )
