"""Universal approximation by hand: triangles made of ReLUs; the error falls as width squared.

python examples/approximation.py [PICTURE.png]    (a picture needs `pip install '.[examples]'`)

      4 pieces: exact at the knots, largest error 5.62e-01
      8 pieces: exact at the knots, largest error 1.49e-01, order 1.91
     16 pieces: exact at the knots, largest error 3.93e-02, order 1.92
     32 pieces: exact at the knots, largest error 9.87e-03, order 1.99
     64 pieces: exact at the knots, largest error 2.47e-03, order 2.00
"""

import sys
from typing import Any

import numpy as np
import tapeless as tl

LOW, HIGH = -1.0, 2.0


def curve(x: Any) -> Any:
    """What is to be reproduced: from the line to the plane, with negative values."""
    return np.stack([np.sin(3 * x), x**2 - 1], axis=-1)


def network(knots: Any, values: Any) -> tuple[Any, ...]:
    """A hidden layer relu(x - b) and output weights: through `values` at equally spaced `knots`.

    A triangle of width 2d over knot k is (r(x-k+d) - 2 r(x-k) + r(x-k-d)) / d, r the ReLU; the
    triangles of all knots share their ReLUs, one at every knot.
    """
    slopes = np.diff(values, axis=0) / (knots[1] - knots[0])
    return knots[:-1], np.diff(slopes, axis=0, prepend=np.zeros_like(slopes[:1])), values[0]


@tl.compile
def step(hidden: Any, weights: Any, offset: Any, x: Any) -> Any:
    return tl.nn.relu(x[:, None] - hidden) @ weights + offset


def example_args() -> tuple[Any, ...]:
    knots = np.linspace(LOW, HIGH, 9)
    return *network(knots, curve(knots)), np.linspace(LOW, HIGH, 2001)


def draw(widths: Any, errors: Any, file: str) -> None:
    """The fit with 8 pieces, and the errors."""
    from matplotlib.figure import Figure

    left, right = (figure := Figure(figsize=(9, 4), layout="constrained")).subplots(1, 2)
    x = example_args()[-1]
    left.plot(x, curve(x), "0.7", linewidth=3)
    left.plot(x, step(*example_args()), "k", linewidth=1)
    left.set(title="8 pieces", xlabel="x")
    right.loglog(widths, errors[0] * (widths / widths[0]) ** 2, "0.7", widths, errors, "ko-")
    right.set(title="largest error (grey: $d^2$)", xlabel="width d of a piece")
    right.xaxis.set_minor_formatter("")
    figure.savefig(file)


def main() -> None:
    x, widths, errors = example_args()[-1], [], []
    for pieces in (4, 8, 16, 32, 64):
        knots = np.linspace(LOW, HIGH, pieces + 1)
        layers = network(knots, curve(knots))
        at_knots = np.abs(step(*layers, knots) - curve(knots)).max()
        widths.append((HIGH - LOW) / pieces)
        errors.append(np.abs(step(*layers, x) - curve(x)).max())
        falls = f", order {np.log2(errors[-2] / errors[-1]):.2f}" if errors[1:] else ""
        exact = "exact" if at_knots < 1e-13 else f"{at_knots:.0e}"
        print(f"{pieces:3} pieces: {exact} at the knots, largest error {errors[-1]:.2e}{falls}")
    if sys.argv[1:]:
        draw(np.array(widths), np.array(errors), sys.argv[1])
        print(f"drawn in {sys.argv[1]}")


if __name__ == "__main__":
    main()
