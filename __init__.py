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

