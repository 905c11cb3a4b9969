"""Deep learning: the chain rule, backward recursions, parameter counts, output units."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma, softmax


def test_D1_chain_rule(agrees):
    def f(t):
        x, y = np.sin(t), np.cos(t)
        return 4 * x**2 + 3 * y**2

    def expected(t):
        x, y = np.sin(t), np.cos(t)
        return 8 * x * np.cos(t) - 6 * y * np.sin(t)

    agrees(tl.grad(f), [np.array(1.1)], expected)


# --- D2, D3: layered networks --------------------------------------------------------------


@pytest.mark.parametrize(
    ("relu", "at_zero"), [(tl.nn.relu, 0.0), (lambda z: np.maximum(z, 0), 0.5)]
)
def test_D2_two_layers(agrees, normal, relu, at_zero):
    """The lecture's 1{z >= 0} but for an exact 0, which the first unit has."""

    def loss(W1, b1, W2, b2, x, y):
        a = relu(W1 @ x + b1)
        o = W2 @ a + b2
        return 0.5 * np.sum((y - o) ** 2)

    def expected(W1, b1, W2, b2, x, y):
        z = W1 @ x + b1
        a = np.maximum(z, 0)
        error = W2 @ a + b2 - y
        delta = (W2.T @ error) * np.where(z == 0, at_zero, z > 0)
        return np.outer(delta, x), delta, np.outer(error, a), error

    W1, b1 = normal(6, 3), normal(6)
    W1[0] = b1[0] = 0
    args = [W1, b1, normal(2, 6), normal(2), normal(3), normal(2)]
    agrees(tl.grad(loss, (0, 1, 2, 3)), args, expected)


def deep(normal, depth, width=5):
    return [(normal(width, width) * (2 / width) ** 0.5, 0.1 * normal(width)) for _ in range(depth)]


@pytest.mark.parametrize("depth", [1, 2, 20])
def test_D3_backward_recursion(agrees, normal, ops, depth):
    """delta_k = (W_(k+1)^T delta_(k+1)) * relu'(z_k); dJ/dW_k = delta_k a_(k-1)^T."""

    def loss(layers, x, y):
        a = x
        for W, b in layers:
            a = tl.nn.relu(W @ a + b)
        return 0.5 * np.sum((y - a) ** 2)

    def recursion(layers, x, y):
        inputs, sums = [x], []
        for W, b in layers:
            sums.append(W @ inputs[-1] + b)
            inputs.append(np.maximum(sums[-1], 0))
        delta, gradients = (inputs[-1] - y) * (sums[-1] > 0), []
        for k in range(depth - 1, -1, -1):
            gradients.insert(0, (np.outer(delta, inputs[k]), delta))
            if k:
                delta = (layers[k][0].T @ delta) * (sums[k - 1] > 0)
        return gradients

    program = agrees(
        tl.grad(loss), [deep(normal, depth), normal(5), normal(5)], recursion, slack=10
    )
    assert not {"jacobian", "contract"} & ops(program, "jacobian-free")


# --- D4, D5: counts, output units ----------------------------------------------------------


@pytest.mark.parametrize("sizes", [(3, 4), (64, 128, 10), (7, 5, 4, 3, 2)])
def test_D4_parameter_count(sizes):
    """(d + 1) m_1 + (m_1 + 1) m_2 + ... + (m_(r-1) + 1) m_r"""
    pairs = list(itertools.pairwise(sizes))
    layers = [{"W": np.zeros((m, n)), "b": np.zeros(m)} for n, m in pairs]
    assert tl.tree.count(layers) == sum((n + 1) * m for n, m in pairs)


OUTPUTS = {
    # Gaussian, Bernoulli and multinoulli: negative log-likelihood of the output unit's result.
    "linear": (lambda z, y: 0.5 * np.sum((z - y) ** 2), lambda z, y: z - y),
    "sigmoid": (
        lambda z, y: -np.sum(y * np.log(sigma(z)) + (1 - y) * np.log(1 - sigma(z))),
        lambda z, y: sigma(z) - y,
    ),
    "softmax": (lambda z, y: -np.sum(y * np.log(softmax(z))), lambda z, y: softmax(z) - y),
}


@pytest.mark.parametrize("unit", OUTPUTS)
def test_D5_output_units(agrees, normal, unit):
    """With the loss that belongs to it, every unit passes back its output less the target."""
    nll, error = OUTPUTS[unit]

    def loss(W, b, h, y):
        return nll(W @ h + b, y)

    def expected(W, b, h, y):
        z = W @ h + b
        return nll(z, y), (np.outer(error(z, y), h), error(z, y))

    args = [normal(4, 3), normal(4), normal(3), np.eye(4)[2]]
    agrees(tl.value_and_grad(loss, (0, 1)), args, expected)
