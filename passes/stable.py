"""Stable forms: rewrite what loses its digits, or whose derivative would, before there is one.

    %e:f64[4,3] = exp %z
    %s:f64[4]   = sum %e [axes=(1)]
    %t:f64[4]   = log %s
=>
    %t:f64[4]   = logsumexp %z [axis=1]

The derivative of `-log(softmax(z))[y]` as written is not finite at logits of 1e4, and no later
rewrite may legally repair it. Every rule here makes values more accurate, or leaves them alone. The
rules of windows are here so that a strided convolution has one map in its Jacobian.
"""

from __future__ import annotations

from typing import Final

from .rewriting import arithmetic, logistic, powers, softmax, windows
from .rewriting.rules import RulePass

stable: Final = RulePass(
    "stable",
    (*arithmetic.SIGNS, *powers.RULES, *logistic.RULES, *softmax.RULES, *windows.RULES),
)
