"""The second opinions: steps in NumPy, JAX and PyTorch agree with random programs, and a wrong one
is noticed."""

import random
from importlib import import_module

import numpy as np
import pytest
from tapeless.ir.parse import parse

from fuzz.campaign import campaign
from fuzz.growing import Program
from fuzz.machine import Disagreement
from fuzz.peer import Peer, against

GRAPH = parse("f(%x:f64[3]) {\n  %y:f64[3] = tanh %x\n} -> %y")
PROGRAM = Program(GRAPH, [np.array([0.5, -1.0, 2.0])])


@pytest.fixture(params=["numpy", "jax", "torch"])
def peer(request) -> Peer:
    pytest.importorskip(request.param)
    found: Peer = import_module(f"fuzz.{request.param}_peer").PEER
    return found


def test_it_agrees(peer) -> None:
    report = campaign({peer.name: 8}, seed=1)
    assert not report.finds, str(report)
    assert report.fired["values"] >= 5 and report.fired["slopes"] >= 3


def known(peer: Peer, x):
    """x, as nothing to differentiate."""
    return peer.ops["stop_gradient"](x)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (lambda peer, tanh: lambda x: tanh(x) * (1 + 1e-9), ": result 0"),
        (lambda peer, tanh: lambda x: tanh(known(peer, x)), " gradient: result 0"),
    ],
    ids=["value", "gradient"],
)
def test_another_value_and_another_gradient_are_noticed(peer, monkeypatch, wrong, where) -> None:
    assert against(peer, PROGRAM, random.Random(0)) == {"values": 1, "slopes": 1}
    monkeypatch.setitem(peer.ops, "tanh", wrong(peer, peer.elementwise("tanh")))
    with pytest.raises(Disagreement, match=peer.name + where):
        against(peer, PROGRAM, random.Random(0))
