"""`tl.optim.schedules`: rates by their formulas, counted in the state, inside the compiled step."""

import math

import numpy as np
import pytest
import tapeless as tl

optim, schedules = tl.optim, tl.optim.schedules

RATES = [
    ("constant", schedules.constant(0.3), lambda t: 0.3),
    ("step", schedules.step(0.3, 4, 0.5), lambda t: 0.3 * 0.5 ** (t // 4)),
    ("exponential", schedules.exponential(0.3, 0.9), lambda t: 0.3 * 0.9**t),
    (
        "cosine",
        schedules.cosine(0.3, 6, 0.1),
        lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 6) / 6)) / 2,
    ),
    ("warmup", schedules.warmup(5, 0.3), lambda t: 0.3 * min((t + 1) / 5, 1)),
    (
        "warmup, then step",
        schedules.warmup(3, schedules.step(0.3, 2, 0.5)),
        lambda t: 0.3 * (t + 1) / 3 if t < 3 else 0.3 * 0.5 ** ((t - 3) // 2),
    ),
]


@pytest.mark.parametrize(("name", "schedule", "formula"), RATES, ids=lambda x: str(x)[:20])
@pytest.mark.parametrize("count", [int, np.int64, np.float64])
def test_rates(name, schedule, formula, count):
    for t in range(12):
        assert float(schedule(count(t))) == pytest.approx(formula(t), rel=1e-14), (name, t)


@pytest.mark.parametrize(("name", "schedule", "formula"), RATES, ids=lambda x: str(x)[:20])
def test_rates_in_the_compiled_step(name, schedule, formula):
    """Plain descent along a gradient of one: the parameter shows the rate."""
    opt = optim.sgd(schedule)

    @tl.compile
    def step(p, state):
        opt.update(p, tl.grad(lambda p: np.sum(p[0]))(p), state)

    p = [np.zeros(1)]
    state = opt.init(p)
    for t in range(8):
        before = p[0].copy()
        step(p, state)
        np.testing.assert_allclose(before - p[0], formula(t), rtol=1e-12, atol=1e-15)
    assert len(step.programs) == 1
    assert state["t"] == 8


def test_the_end_of_a_cosine_is_its_final_rate():
    schedule = schedules.cosine(1.0, 10, 0.25)
    assert float(schedule(0)) == 1.0
    assert float(schedule(10)) == float(schedule(10**9)) == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.step(0.1, 0), "step: every must be above 0, not 0"),
        (lambda: schedules.cosine(0.1, -1), "cosine: steps must be above 0, not -1"),
        (lambda: schedules.warmup(0, 0.1), "warmup: steps must be above 0, not 0"),
    ],
)
def test_lengths_must_be_positive(make, message):
    with pytest.raises(ValueError, match=message):
        make()
