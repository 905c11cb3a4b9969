"""The code of an optimiser is a few loops, however many parameters of whatever shapes there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.codegen import generate

optim = tl.optim

RULES = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.sgd(0.1, momentum=0.9, nesterov=True),
    "adagrad": optim.adagrad(0.1),
    "rmsprop": optim.rmsprop(0.1, momentum=0.9, centered=True),
    "lion": optim.lion(0.1),
    "adam": optim.adam(0.1),
    "adamw": optim.adamw(0.1, weight_decay=0.1),
    "amsgrad": optim.amsgrad(0.1),
}


def kernels(step, *args, chained=False) -> set[str]:
    """The loops of a step, without their names. (A chain is a list of calls.)"""
    generated = generate(tl.compile(step).lower(*args).graph("planned"), chained=chained)
    functions = [f for f in generated.source.split("\n\n\n") if not f.startswith("def chain")]
    names = [spec.name for spec in generated.specs]
    return {
        text.removeprefix(f"def {name}") for name, text in zip(names, functions[1:-1], strict=True)
    }


def update(rule, shapes):
    p = [np.ones(shape, np.float32) for shape in shapes]
    return kernels(lambda p, g, state: rule.update(p, g, state), p, p, rule.init(p))


@pytest.mark.parametrize("name", RULES)
def test_parameters_of_all_shapes_share_their_loops(name):
    """Vectors, matrices and filters, on one thread or several; steps that are computed once are
    another loop."""
    few = update(RULES[name], [(5,), (300, 200)])
    many = [(2,), (64,), (1, 3), (7, 2, 3), (4, 3, 2, 2), (300, 128), (301, 130), (9, 16, 999)]
    assert update(RULES[name], many) == few
    assert len(few) <= 2


def train(rule, widths, **options):
    p = [
        {"w": np.ones(shape, np.float32), "b": np.ones(shape[1:], np.float32)}
        for shape in itertools.pairwise(widths)
    ]

    def loss(p, x, y):
        for layer in p[:-1]:
            x = np.tanh(x @ layer["w"] + layer["b"])
        return tl.nn.cross_entropy(x @ p[-1]["w"] + p[-1]["b"], y)

    def step(p, state, x, y):
        value, grads = tl.value_and_grad(loss)(p, x, y)
        rule.update(p, grads, state)
        return value

    x, y = np.ones((32, widths[0]), np.float32), np.zeros(32, np.int64)
    return kernels(step, p, rule.init(p), x, y, **options)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_layers_of_all_widths_share_theirs(name):
    """Those of rows of more than 16 numbers: shorter ones are written out. In chains a loop may
    have another form, for a few rows at a time."""
    shallow, widths = train(RULES[name], [20, 24, 28, 10]), [20, 17, 19, 33, 25, 31, 10]
    assert train(RULES[name], widths) == shallow
    assert len(train(RULES[name], widths, chained=True)) <= 2 * len(shallow)
