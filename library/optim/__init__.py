"""Optimisers as plain functions in the traced language; parameters and state change in place.

    opt = tl.optim.adam(1e-3)
    state = opt.init(params)

    @tl.compile
    def step(params, state, x, y):
        loss, grads = tl.value_and_grad(loss_fn)(params, x, y)
        opt.update(params, grads, state)
        return loss

The state lives in containers of arrays (counters are 0-d arrays), so it is passed to the step
like the parameters and updated in the same native call. A learning rate is a Python number, a
traced scalar (build the optimiser inside the step to pass one that changes), or a schedule: a
function of the number of steps taken, as those in `tl.optim.schedules`.
"""

from . import schedules
from .clipping import clip_by_global_norm, global_norm
from .rules import adagrad, adam, adamw, amsgrad, lion, rmsprop, sgd

__all__ = [
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "clip_by_global_norm",
    "global_norm",
    "lion",
    "rmsprop",
    "schedules",
    "sgd",
]
