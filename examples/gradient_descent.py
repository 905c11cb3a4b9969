"""Gradient descent until the gradient is small, at four step sizes, with the paths drawn.

python examples/gradient_descent.py [PICTURE.png]    (a picture needs `pip install '.[examples]'`)

    step size 0.002: not there after 200 steps, cost 2.49e+00
    step size  0.05: there     after 107 steps, cost 2.44e-09
    step size  0.15: there     after  56 steps, cost 3.79e-10
    step size  0.17: not there after 200 steps, cost 1.04e+08
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tapeless as tl

CENTRE = (1.5, -0.7)


def bowl(x: Any) -> Any:
    """Curvature 2 along the first axis and 12 along the second: steps above 2/12 diverge."""
    return (x[0] - CENTRE[0]) ** 2 + 6 * (x[1] - CENTRE[1]) ** 2


step = tl.compile(tl.value_and_grad(bowl))


def gd(
    func: Callable[[Any], Any], x0: Any, eps: float, tol: float = 1e-4, max_iters: int = 1000
) -> tuple[Any, Any, Any, bool]:
    """Follow -eps times the gradient from x0 until its norm is below tol.

    `func` returns cost and gradient. Returns the path, the costs and the gradients as arrays,
    and whether `max_iters` was hit first.
    """
    x, steps = x0, []
    for _ in range(max_iters):
        cost, gradient = func(x)
        steps.append((x, cost, gradient))
        if np.linalg.norm(gradient) < tol:
            break
        x = x - eps * gradient
    path, costs, gradients = map(np.array, zip(*steps, strict=True))
    return path, costs, gradients, bool(np.linalg.norm(gradients[-1]) >= tol)


def example_args() -> tuple[Any, ...]:
    return (np.array([-2.0, 1.0]),)


def draw(paths: dict[float, Any], file: str) -> None:
    """The paths over the contours of the bowl."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4.5), layout="constrained")).add_subplot()
    x, y = np.meshgrid(np.linspace(-2.5, 3.5, 121), np.linspace(-2.5, 1.5, 81))
    axes.contour(x, y, bowl(np.stack([x, y])), levels=15, colors="0.8", linewidths=0.8)
    for eps, path in paths.items():
        axes.plot(*path[:15].T, ".-", linewidth=1, label=f"step size {eps}")
    axes.set(xlim=(-2.5, 3.5), ylim=(-2.5, 1.5), xlabel="$x_1$", ylabel="$x_2$")
    axes.legend()
    figure.savefig(file)


def main() -> None:
    paths = {}
    for eps in (0.002, 0.05, 0.15, 0.17):
        path, costs, _, hit = gd(step, example_args()[0], eps, max_iters=200)
        paths[eps] = path
        end = "not there" if hit else "there"
        print(f"step size {eps:5}: {end:9} after {len(path):3} steps, cost {costs[-1]:.2e}")
    if sys.argv[1:]:
        draw(paths, sys.argv[1])
        print(f"drawn in {sys.argv[1]}")


if __name__ == "__main__":
    main()
