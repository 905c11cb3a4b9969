"""Idioms of network code written by hand in NumPy: NumPy itself, interpreted and compiled agree."""

import copy

import numpy
import pytest
import tapeless as tl
from conformance import run_traced, same
from tapeless import errors
from tapeless import numpy as np
from tapeless.compiler.trace import trace

RNG = numpy.random.default_rng(0)
X = RNG.standard_normal((6, 5))
Y = numpy.array([0, 2, 1, 2, 0, 1])
W = RNG.standard_normal((5, 3))


def softmax_loss_by_hand(x, w, y):
    scores = x @ w
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    p = np.exp(shifted)
    p /= np.sum(p, axis=1, keepdims=True)
    n = x.shape[0]
    loss = -np.sum(np.log(p[np.arange(n), y])) / n
    p[range(n), y] -= 1
    return loss, x.T.dot(p) / n


def relu_backward(x, w, y):
    out = x.dot(w)
    dx = np.ones_like(out)
    dx[out <= 0] = 0
    dx[out > 1] *= 0.5
    return np.maximum(0, out), dx


def one_hot_and_accuracy(x, w, y):
    scores = x @ w
    targets = np.eye(3)[y]
    return np.mean((scores - targets) ** 2), (np.argmax(scores, axis=1) == y).mean(), targets


def im2col_by_index_arrays(x, w, y):
    image = np.pad(x, ((1, 1), (1, 1)), mode="constant")
    rows = np.repeat(np.arange(3), 3)[:, None] + np.repeat(np.arange(6), 5)
    columns = np.tile(np.arange(3), 3)[:, None] + np.tile(np.arange(5), 6)
    patches = image[rows, columns]
    back = np.zeros_like(image)
    np.add.at(back, (rows, columns), patches)
    return patches, back[1:-1, 1:-1]


def recurrent_states(x, w, y):
    n, steps = x.shape
    h = np.zeros((n, steps))
    c = np.zeros(n)
    for t in range(steps):
        gate = 1 / (1 + np.exp(-x[:, t]))
        c = gate * c + (1 - gate) * np.tanh(x[:, t])
        h[:, t] = c * gate
    return h, np.mean(h, axis=(0, 1))


def layers_and_momentum(x, w, y):
    params = {"W1": w.copy(), "b1": np.zeros(3), "W2": w[:3] * 0.5, "b2": np.ones(3)}
    velocity = {k: np.zeros_like(v) for k, v in params.items()}
    out = x
    for layer in range(1, 3):
        out = np.tanh(out @ params[f"W{layer}"] + params[f"b{layer}"])
    penalty = sum(np.sum(v**2) for k, v in params.items() if k.startswith("W"))
    for k in params:
        velocity[k] = 0.9 * velocity[k] - 0.1 * params[k]
        params[k] += velocity[k]
    weights = [params["W1"], params["W2"]]
    for value, change in zip(weights, [0.1, 0.2], strict=True):
        value -= change
    return out, penalty, params


def numeric_gradient(x, w, y):
    grad = np.zeros_like(w)
    h = 1e-4
    for ix in np.ndindex(w.shape):
        old = w[ix]
        w[ix] = old + h
        up = np.sum(np.tanh(x @ w))
        w[ix] = old - h
        down = np.sum(np.tanh(x @ w))
        w[ix] = old
        grad[ix] = (up - down) / (2 * h)
    return grad


def batch_normalisation(x, w, y):
    mean, var = x.mean(axis=0), x.var(axis=0)
    normal = (x - mean) / np.sqrt(var + 1e-5)
    return np.c_[normal, np.ones(len(x))], np.array([mean.sum(), var.sum()])


IDIOMS = [
    softmax_loss_by_hand, relu_backward, one_hot_and_accuracy, im2col_by_index_arrays,
    recurrent_states, layers_and_momentum, numeric_gradient, batch_normalisation,
]  # fmt: skip


@pytest.mark.parametrize("step", IDIOMS, ids=lambda f: f.__name__)
def test_idioms(step):
    plain, traced, compiled = (copy.deepcopy((X, W, Y)) for _ in range(3))
    expected = step(*plain)
    exact = {"rtol": 1e-6, "atol": 1e-8}
    results = run_traced(step, *traced), tl.compile(step)(*compiled)
    for found, given in zip(results, (traced, compiled), strict=True):
        a, b = tl.tree.leaves(found), tl.tree.leaves(expected)
        assert len(a) == len(b)
        for mine, numpys in zip(a, b, strict=True):
            numpy.testing.assert_allclose(mine, numpys, **exact)
        same(given, plain, exact=False)


def dropout(x, mask, keep):
    hidden = np.maximum(x, 0)
    hidden *= mask
    hidden /= keep
    return hidden


def test_dropout_with_a_mask_as_argument():
    mask = RNG.random(X.shape) < 0.8
    same(tl.compile(dropout)(X, mask, 0.8), dropout(X, mask, 0.8), exact=False)


def test_batches_at_a_traced_position():
    def batch(x, i):
        return np.take(x, i * 2 + np.arange(2), axis=0)

    compiled = tl.compile(batch)
    for i in range(3):
        same(compiled(X, i), batch(X, i))
    with pytest.raises(errors.TraceError, match=r"x\[start \+ np\.arange\(n\)\]"):
        trace(lambda x, i: x[i * 2 : (i + 1) * 2], (X, 1), {})


def test_an_idiom_has_a_gradient():
    def loss(x, w):
        return np.sum(recurrent_states(x @ w, w, Y)[0] ** 2)

    tl.check_grads(loss, (X, W))
