"""`check_grads`: passes on right derivatives, names what is wrong on wrong ones."""

import numpy as np
import pytest
import tapeless as tl


def loss(p, x):
    return np.sum(np.tanh(x @ p["w"]) * p["b"][0])


def arguments(dtype=np.float64):
    random = np.random.default_rng(0)
    p = {"w": random.normal(size=(3, 2)).astype(dtype), "b": [np.ones(2, dtype)]}
    return p, random.normal(size=(4, 3)).astype(dtype)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_network(order):
    tl.check_grads(loss, arguments(), order)


@pytest.mark.parametrize("modes", [("jvp",), ("vjp",)])
def test_one_direction(modes):
    tl.check_grads(loss, arguments(), 2, modes=modes)


def test_f32_arguments_are_widened():
    tl.check_grads(loss, arguments(np.float32))


def test_several_results_numbers_and_integers():
    def f(x, scale, index):
        return {"a": scale * x[index], "n": index}, np.sin(x)

    tl.check_grads(f, (np.arange(3.0), 2.0, np.array([0, 2, 0])))


def kinked(x):
    """The derivative at 0 is a convention, not what differences see."""
    return np.sum(x * np.abs(x - 1.0))


def test_a_wrong_derivative_is_named_by_leaf_order_and_direction():
    def wrong(p):
        return np.sum(p["fine"] ** 2) + np.sum(np.maximum(p["bad"], 0))

    p = {"fine": np.ones(2), "bad": np.zeros(1)}
    tl.check_grads(lambda p: wrong({**p, "bad": np.ones(1)}), ({"fine": np.ones(2)},))
    with pytest.raises(AssertionError) as caught:
        tl.check_grads(wrong, (p,), tolerance=1e-12)
    text = str(caught.value)
    assert "order 1" in text and "with respect to args[0]['" in text
    assert "analytic" in text and "numeric" in text


def test_second_order_mistakes_are_found_at_second_order():
    def f(x):
        return np.sum(np.where(x > 0, x * x, 0.0))  # f'' jumps at 0

    with pytest.raises(AssertionError, match="order 2"):
        tl.check_grads(f, (np.zeros(1),))


def test_nothing_to_differentiate():
    with pytest.raises(TypeError, match="no floating argument"):
        tl.check_grads(lambda n: n * 2, (np.arange(3),))
