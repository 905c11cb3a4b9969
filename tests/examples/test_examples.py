"""Every example runs as a user runs it, and shows what it promises."""

import ast
import math
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tapeless.compiler.cli import load, main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(file.stem for file in EXAMPLES.glob("*.py") if "example_args" in file.read_text())
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of an example, imported as a script would be."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_every_example_is_short() -> None:
    for file in EXAMPLES.glob("*.py"):
        assert len(file.read_text().splitlines()) < 80, file.name


def shown(name: str) -> list[str]:
    """The output in the docstring of an example: what is indented below the command."""
    text = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text()))
    assert text is not None
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


def same_line(promised: str, printed: str) -> bool:
    """Equal, but for numbers with a fraction: rounding differs between machines and training
    amplifies it, so they agree to 5 %, to two of their last digits, or both are below 1e-9."""
    if NUMBER.sub("#", " ".join(promised.split())) != NUMBER.sub("#", " ".join(printed.split())):
        return False
    pairs = zip(NUMBER.findall(promised), NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.05, abs_tol=near(a)) for a, b in pairs)


def near(number: str) -> float:
    return 1e-9 if "e" in number else 2.01 * 10.0 ** -len(number.partition(".")[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_shows_the_output(name: str, python: Callable[..., str]) -> None:
    """Line by line, in order; `...` stands for lines left out."""
    printed = iter(python(f"examples/{name}.py").replace("\r", "\n").splitlines())
    promised = shown(name)
    assert promised, f"{name}.py shows no output"
    for line in promised:
        if line == "...":
            continue
        seen = list(printed_until(line, printed))
        assert seen and same_line(line, seen[-1]), f"{line!r} was not printed"
        assert "..." in promised or len(seen) == 1, f"{line!r} was {seen[0]!r}"


def printed_until(line: str, printed: Iterator[str]) -> Iterator[str]:
    for found in printed:
        yield found
        if same_line(line, found):
            return


def test_the_readme_maps_every_row_to_a_test_and_an_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    rows = re.findall(r"\| ([A-E]\d+) \| .* \| \[.*\]\((.*)\) \| \[.*\]\((.*)\) \|", text)
    counts = {"A": 12, "B": 7, "C": 13, "D": 5, "E": 20}
    assert [row for row, _, _ in rows] == [
        f"{x}{k + 1}" for x, n in counts.items() for k in range(n)
    ]
    for row, test, example in rows:
        assert f"def test_{row}_" in (EXAMPLES / test).read_text(), row
        assert (EXAMPLES / example).stem in NAMES, row
    listed = re.findall(r"^\| \[`(\w+)\.py`\]", text, re.MULTILINE)
    assert listed == NAMES


@pytest.mark.parametrize("name", ["gradient_descent", "approximation"])
def test_pictures_are_drawn(name: str, python: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert f"drawn in {picture}" in python(f"examples/{name}.py", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_digits_learns_alike_compiled_and_interpreted(python: Callable[..., str]) -> None:
    out = python("examples/digits.py")
    assert "1437 images to train on, 360 to test, 9,610 parameters" in out
    assert "epoch 60/60  loss 0.0" in out
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


@pytest.mark.parametrize("name", NAMES)
def test_command_line_knows_the_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["ir", f"{EXAMPLES / name}.py:step"]) == 0
    made = {"numpy_step": "numpy_step", "gradient_descent": "bowl"}  # compiled under another name
    assert capsys.readouterr().out.startswith(f"{made.get(name, 'step')}(")


@pytest.mark.parametrize("name", NAMES)
def test_native_step_equals_the_interpreter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    step, args = load(f"{EXAMPLES / name}.py:step")
    step.lower(*args).verify(*args)
