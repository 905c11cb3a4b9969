"""What code asks for by name."""

from __future__ import annotations

import contextlib
import dis
import sys
import types

import tapeless.compiler.tracing.dispatch  # noqa: F401  functions to look at
from tapeless.compiler.codes import ImpenetrableError, names_of


def test_the_globals_of_code_are_those_that_dis_shows():
    functions = [f for m in list(sys.modules.values()) for f in list(vars(m).values())]
    tried = 0
    for function in functions:
        if not isinstance(function, types.FunctionType):
            continue
        with contextlib.suppress(ImpenetrableError):
            names = names_of(function.__code__)
            code = [function.__code__]
            shown = set()
            for inner in code:
                code += [c for c in inner.co_consts if isinstance(c, types.CodeType)]
                found = list(dis.get_instructions(inner))
                shown |= {i.argval for i in found if i.opname == "LOAD_GLOBAL"}
            assert shown <= set(names.loaded), function
            tried += 1
    assert tried > 1000
