"""`Program.profile`: every statement timed, nothing of the caller's written, peaks kept."""

import json

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler import measure, peaks
from tapeless.compiler.cli import main
from tapeless.ir.errors import BoundsError
from tapeless.runtime import product_choice


@pytest.fixture
def arguments():
    random = np.random.default_rng(0)
    p = {"W": random.normal(size=(64, 128)).astype("f4"), "b": np.zeros(128, "f4")}
    return p, random.normal(size=(32, 64)).astype("f4"), np.float32(0.1)


@tl.compile
def step(p, x, lr):
    loss, g = tl.value_and_grad(lambda p: np.mean(np.tanh(x @ p["W"] + p["b"]) ** 2))(p)
    for k in p:
        p[k] -= lr * g[k]
    return loss


def test_profile_times_every_node_and_writes_nothing(arguments):
    p, x, lr = arguments
    before = {k: a.copy() for k, a in p.items()}
    program = step.lower(p, x, lr)
    report = program.profile(p, x, lr, seconds=0.01)
    for k, a in before.items():
        np.testing.assert_array_equal(p[k], a)
    planned = [n for n in program.graph("planned").nodes if n.op.name != "constant"]
    assert [row.op for row in report.rows] == [n.op.name for n in planned]
    assert all(row.seconds >= 0 for row in report.rows) and report.seconds > 0
    product = next(row for row in report.rows if row.op == "dot")
    assert product.flops == 2 * 32 * 64 * 128 and product.kernels == ("gemm_f32",)
    assert product.where.startswith("test_profile.py:")
    text = str(report)
    assert text.startswith("step: ") and "gemm_f32" in text and str(report.rounds) in text


def test_the_time_is_that_of_the_work():
    """A step of much more work takes longer; its heavy node is the one that does."""
    heavy = tl.compile(lambda x, y: (x @ x @ x, y + 1))
    x, y = np.ones((192, 192)), np.ones(4)
    rows = heavy.lower(x, y).profile(x, y, seconds=0.05).rows
    dots = [row.seconds for row in rows if row.op == "dot"]
    others = [row.seconds for row in rows if row.op != "dot"]
    assert len(dots) == 2 and min(dots) > max(others)


def test_profile_raises_what_the_step_raises():
    step = tl.compile(lambda x, i: x[i])
    x = np.arange(3.0)
    program = step.lower(x, np.array([0, 1]))
    with pytest.raises(BoundsError, match="test_profile"):
        program.profile(x, np.array([0, 7]))
    with pytest.raises(ValueError, match="seconds must be positive"):
        program.profile(x, np.array([0, 1]), seconds=0)


def test_bound_is_the_slower_of_arithmetic_and_traffic():
    found = peaks.Peaks({"f32": 100.0, "f64": 50.0}, ((10, 20.0), (100, 5.0)))
    assert found.bound("f32", 1000, 10) == 10
    assert found.bound("f64", 1000, 10) == 20
    assert found.bound("f32", 1, 10) == 0.5
    assert found.bound("f32", 1, 50) == 10
    assert found.bound("i64", 0, 1000) == 200


def test_doctor_measures_and_keeps_peaks(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "PRODUCT", 64)
    monkeypatch.setattr(measure, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(product_choice, "BUDGET", 0.0)
    monkeypatch.setattr(measure, "LEVELS", (2**14, 2**16))
    assert peaks.stored() is None
    assert step.lower(*arguments).profile(*arguments, seconds=0.01).rows[0].share is None
    assert main(["doctor"]) == 0 and "triad" not in capsys.readouterr().out
    assert main(["doctor", "--measure"]) == 0 and "triad" in capsys.readouterr().out
    found = peaks.stored()
    assert found is not None and [size for size, _ in found.bandwidth] == [2**14, 2**16]
    assert min(found.flops.values()) > 1e6 and json.dumps(found.flops)
    report = step.lower(*arguments).profile(*arguments, seconds=0.01)
    assert all(row.share is None or row.share >= 0 for row in report.rows)
    assert "peak of products" in str(report)
