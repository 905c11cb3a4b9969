"""Uncertainty through a network: J S J^T, the first order, against a million samples.

python examples/uncertainty.py

    spread  0.3: variances 0.188551 0.381016, sampled 0.110441 0.285499, apart 33.5 %
    spread  0.1: variances 0.020950 0.042335, sampled 0.019182 0.040978, apart 4.4 %
    spread 0.03: variances 0.001886 0.003810, sampled 0.001868 0.003795, apart 0.5 %
    spread 0.01: variances 0.000210 0.000423, sampled 0.000209 0.000422, apart 0.2 %
"""

from typing import Any

import numpy as np
import tapeless as tl


def network(p: Any, x: Any) -> Any:
    """3-16-2 with tanh, for one input or rows of them."""
    return np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]


@tl.compile
def step(p: Any, mean: Any, cov: Any) -> Any:
    """Mean and covariance of the output when x is Gaussian, to first order in its spread."""
    J = tl.jacobian(network, argnums=1)(p, mean)
    return network(p, mean), J @ cov @ J.T


def example_args() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    p = {"W1": rng.standard_normal((3, 16)), "b1": rng.standard_normal(16)}
    p |= {"W2": rng.standard_normal((16, 2)) / 4, "b2": np.zeros(2)}
    root = rng.standard_normal((3, 3))
    return p, np.array([0.3, -0.5, 0.8]), root @ root.T


def main() -> None:
    p, mean, cov = example_args()
    rng = np.random.default_rng(1)
    for scale in (0.3, 0.1, 0.03, 0.01):
        _, first_order = step(p, mean, scale**2 * cov)
        samples = network(p, rng.multivariate_normal(mean, scale**2 * cov, 1_000_000))
        sampled = np.cov(samples.T)
        apart = np.abs(first_order - sampled).max() / np.abs(sampled).max()
        print(
            f"spread {scale:4}: variances {first_order[0, 0]:.6f} {first_order[1, 1]:.6f},"
            f" sampled {sampled[0, 0]:.6f} {sampled[1, 1]:.6f}, apart {100 * apart:.1f} %"
        )


if __name__ == "__main__":
    main()
