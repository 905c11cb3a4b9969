"""The second opinion: JAX agrees with random programs, and a wrong JAX is noticed."""

import random

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from tapeless.ir.parse import parse  # noqa: E402

from fuzz import peer  # noqa: E402
from fuzz.campaign import campaign  # noqa: E402
from fuzz.growing import Program  # noqa: E402
from fuzz.machine import Disagreement  # noqa: E402

GRAPH = parse("f(%x:f64[3]) {\n  %y:f64[3] = tanh %x\n} -> %y")
PROGRAM = Program(GRAPH, [np.array([0.5, -1.0, 2.0])])


def test_jax_agrees() -> None:
    report = campaign({"jax": 8}, seed=1)
    assert not report.finds, str(report)
    assert report.fired["values"] >= 5 and report.fired["slopes"] >= 3


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (lambda x: jax.numpy.tanh(x) * (1 + 1e-9), "jax: result 0"),
        (lambda x: jax.lax.stop_gradient(jax.numpy.tanh(x)), "jax gradient: result 0"),
    ],
    ids=["value", "gradient"],
)
def test_another_value_and_another_gradient_are_noticed(monkeypatch, wrong, where) -> None:
    compared = peer.against_jax(PROGRAM, random.Random(0))
    assert compared == {"values": 1, "slopes": 1}
    monkeypatch.setitem(peer.OPS, "tanh", wrong)
    with pytest.raises(Disagreement, match=where):
        peer.against_jax(PROGRAM, random.Random(0))
