"""Every example runs as a user runs it, and shows what it promises."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tapeless.compiler.cli import load, main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STEPS = ("digits", "ir_tour", "numpy_step", "xor")


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of an example, imported as a script would be."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_every_example_is_short() -> None:
    for file in EXAMPLES.glob("*.py"):
        assert len(file.read_text().splitlines()) < 80, file.name


def test_digits_learns_alike_compiled_and_interpreted(python: Callable[..., str]) -> None:
    out = python("examples/digits.py")
    assert "1437 images to train on, 360 to test, 9,610 parameters" in out
    assert "[##############################] epoch 60/60" in out
    right = [float(value) for value in re.findall(r"ed: (0\.\d+) of the hold-out right", out)]
    assert len(right) == 2
    assert right[0] == right[1] >= 0.95
    assert "64x128" in out  # the zero report
    assert "compiled" in out.rpartition("interpreted")[2]


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    extents = np.array(array.shape, ">i4").tobytes()
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + extents + array.astype(np.uint8).tobytes())


def test_digits_reads_mnist_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = example("digits_data", monkeypatch)["load"]
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("t10k", 3)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.arange(count))
    x, y, x_test, y_test = load(tmp_path)
    assert x.shape == (5, 784)
    assert x_test.shape == (3, 784)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(y, np.arange(5))
    np.testing.assert_array_equal(y_test, np.arange(3))
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(x_test.std(axis=1), 1, rtol=1e-5)


def test_xor_is_learned(python: Callable[..., str]) -> None:
    out = python("examples/xor.py")
    chances = re.findall(r"(\d) xor (\d) = (\d\.\d+)", out)
    assert len(chances) == 4
    for a, b, chance in chances:
        assert round(float(chance)) == (int(a) ^ int(b))


def test_ir_tour_shows_the_jacobian_and_its_substitute(python: Callable[..., str]) -> None:
    out = python("examples/ir_tour.py")
    stages = dict(re.findall(r"--- (\S+)\n(.*?\n})", out, re.DOTALL))
    assert list(stages) == [
        *("trace", "stable", "autodiff", "jacobian-free", "optimized", "fused", "planned")
    ]
    assert re.search(r"f64\[3,4,3\] = jacobian %z wrt %W", stages["autodiff"])
    assert " = jacobian " not in stages["jacobian-free"]
    assert stages["jacobian-free"].count("= outer ") == 1
    differences = [
        float(value) for value in re.findall(r"differs from the one by hand by (\S+)", out)
    ]
    assert len(differences) == 6
    assert max(differences) < 1e-12


def test_numpy_step_is_compiled_unchanged(python: Callable[..., str]) -> None:
    out = python("examples/numpy_step.py")
    losses = re.findall(r"loss (\S+)  NumPy (\S+)", out)
    assert losses
    assert all(ours == numpys for ours, numpys in losses)
    assert float(losses[-1][0]) < float(losses[0][0]) / 10
    assert float(out.split()[-1]) < 1e-10


@pytest.mark.parametrize("name", STEPS)
def test_command_line_knows_the_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["ir", f"{EXAMPLES / name}.py:step"]) == 0
    assert capsys.readouterr().out.startswith("step(" if name != "numpy_step" else "numpy_step(")


@pytest.mark.parametrize("name", STEPS)
def test_native_step_equals_the_interpreter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    step, args = load(f"{EXAMPLES / name}.py:step")
    step.lower(*args).verify(*args)
