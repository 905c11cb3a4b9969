"""The canonical form of a kernel: its text without the names it happened to get."""

from __future__ import annotations

import keyword
import re
from typing import Final

from .kernel import VOCABULARY

_NAME: Final = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # not the exponent of a number
_KEPT: Final = frozenset({*keyword.kwlist, *VOCABULARY, "range"})


def canonical(text: str) -> str:
    """The source of a function in which its own name, its parameters and its variables are
    numbered in order of appearance; equal texts compile to equal code."""
    names: dict[str, str] = {name: name for name in _KEPT}
    kept = len(names)

    def numbered(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"v{len(names) - kept}")

    return _NAME.sub(numbered, text)
