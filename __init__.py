"""tapeless: compile a NumPy training step to one native function.

    import numpy as np
    import tapeless as tl

    @tl.compile
    def step(p, x, y, lr):
        loss, g = tl.value_and_grad(loss_fn)(p, x, y)
        for k in p:
            p[k] -= lr * g[k]
        return loss

Autodiff without a tape: the derivative is a transformation of a static graph that anyone can read
at every stage, `print(step.lower(p, x, y, 0.1).ir("autodiff"))`.
"""

from typing import TYPE_CHECKING

from tapeless.ir import archive, late

if TYPE_CHECKING:  # what `_HOMES` says, in the words of a type checker
    from tapeless import ir
    from tapeless.compiler import tree
    from tapeless.compiler.api import BoundStep, CompiledFunction, compile
    from tapeless.compiler.check import check_grads
    from tapeless.compiler.compare import Comparison, compare
    from tapeless.compiler.interpret import interpret
    from tapeless.compiler.primitive import stop_gradient
    from tapeless.compiler.program import Program
    from tapeless.compiler.structured import StructuredJacobian
    from tapeless.compiler.transforms import grad, hessian, jacobian, jvp, value_and_grad, vjp
    from tapeless.ir import errors
    from tapeless.library import nn, numpy, optim, random

__version__ = "0.1.0"

_HOMES = {
    ".": ("ir",),
    ".compiler": ("tree",),
    ".compiler.api": ("BoundStep", "CompiledFunction", "compile"),
    ".compiler.check": ("check_grads",),
    ".compiler.compare": ("Comparison", "compare"),
    ".compiler.interpret": ("interpret",),
    ".compiler.primitive": ("stop_gradient",),
    ".compiler.program": ("Program",),
    ".compiler.structured": ("StructuredJacobian",),
    ".compiler.transforms": ("grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"),
    ".ir": ("errors",),
    ".library": ("nn", "numpy", "optim", "random"),
}
__getattr__, __dir__ = late.names("tapeless", _HOMES)
archive.use("tapeless")

__all__ = [
    "BoundStep",
    "Comparison",
    "CompiledFunction",
    "Program",
    "StructuredJacobian",
    "check_grads",
    "compare",
    "compile",
    "errors",
    "grad",
    "hessian",
    "interpret",
    "ir",
    "jacobian",
    "jvp",
    "nn",
    "numpy",
    "optim",
    "random",
    "stop_gradient",
    "tree",
    "value_and_grad",
    "vjp",
]
