"""The command line, run in this process; one test runs it as a program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tapeless
from soak.children import HANGS
from tapeless.compiler.cli import main
from tapeless.runtime.store import Store

TRAIN = """
import numpy as np
import tapeless as tl

@tl.compile
def step(w, x):
    w -= 0.1 * tl.grad(lambda w: np.sum((x @ w) ** 2))(w)

@tl.compile
def other(x):
    return x * 2

def plain(x):
    return x
"""
EXAMPLES = {
    "tuple": "example_args = (np.ones(3), np.ones((2, 3)))",
    "function": "def example_args():\n    return np.ones(3), np.ones((2, 3))",
    "dict": "example_args = {'step': lambda: (np.ones(3), np.ones((2, 3))), 'other': ()}",
}


@pytest.fixture(params=EXAMPLES)
def train(tmp_path, request):
    path = tmp_path / f"train_{request.param}.py"
    path.write_text(TRAIN + EXAMPLES[request.param])
    return path


def run(capsys, *argv):
    code = main([str(arg) for arg in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_ir(train, capsys):
    code, out, _ = run(capsys, "ir", f"{train}:step")
    assert code == 0 and out.startswith("step(%w:f64[3], %x:f64[2,3]) {")
    _, out, _ = run(capsys, "ir", f"{train}:step", "--stage", "autodiff")
    assert "jacobian" in out
    _, out, _ = run(capsys, "ir", f"{train}:step", "--diff", "trace", "autodiff")
    assert out.startswith("--- trace\n+++ autodiff\n")


def test_bench(train, capsys):
    code, out, _ = run(capsys, "bench", f"{train}:step", "--seconds", "0.02", "--samples", "2")
    assert code == 0 and "compiled" in out and "samples/s" in out


def test_doctor(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for word in ("python", "numpy", "numba", "llvmlite", "cpu", "blas", "cache"):
        assert word in out
    assert re.search("^calls +native code$", out, re.MULTILINE)


def test_doctor_says_where_calls_are_slow(capsys, monkeypatch):
    monkeypatch.setattr("tapeless.runtime.machine.has_native_form", lambda store: False)
    assert "Python, a few us each" in run(capsys, "doctor")[1]


def test_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    assert run(capsys, "cache")[1] == f"{tmp_path}: 0 entries and 0 sources, 0 B\n"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.py").write_text("12345")
    (tmp_path / "mine.txt").write_text("not tapeless's")
    (tmp_path / "objects").mkdir()
    Store(str(tmp_path / "objects"), bytes(32), "").put("a" * 64, bytes(43))
    held = "1 entries and 1 sources, 100 B"
    assert run(capsys, "cache") == (0, f"{tmp_path}: {held}\n", "")
    assert run(capsys, "cache", "--clear") == (0, f"{tmp_path}: deleted {held}\n", "")
    assert run(capsys, "cache")[1] == f"{tmp_path}: 0 entries and 0 sources, 0 B\n"
    assert (tmp_path / "mine.txt").exists()


def test_without_a_home_there_is_no_cache(capsys, monkeypatch):
    for name in ("TAPELESS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    code, _, error = run(capsys, "cache")
    assert code == 2 and "no cache folder" in error


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py:step", "no file"),
        ("{file}:missing", "has no 'missing'"),
        ("{file}:plain", "is not a compiled function"),
        ("{file}", "is not FILE:FUNC"),
        ("{broken}:step", "cannot import"),
        ("{bare}:step", "offers no `example_args`"),
        ("{listed}:step", "is not a tuple"),
        ("{failing}:step", "do not match"),
        ("{miscounted}:step", "missing a required argument"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(target, message, tmp_path, capsys):
    contents = {
        "file": TRAIN + EXAMPLES["tuple"],
        "broken": "import tapeless\nraise RuntimeError('no')",
        "bare": TRAIN,
        "listed": TRAIN + "example_args = [1]",
        "failing": TRAIN + "example_args = (np.ones(4), np.ones((2, 3)))",
        "miscounted": TRAIN + "example_args = (np.ones(4),)",
    }
    for name, text in contents.items():
        (tmp_path / f"{name}.py").write_text(text)
    target = target.format(**{name: tmp_path / f"{name}.py" for name in contents})
    code, out, err = run(capsys, "ir", target)
    assert (code, out) == (2, "")
    assert err.startswith("tapeless: ") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("argv", [["ir"], ["ir", "a.py:f", "--stage", "nowhere"], ["bake"]])
def test_usage_errors_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_a_time_that_is_none(capsys, tmp_path):
    path = tmp_path / "train.py"
    path.write_text(TRAIN + EXAMPLES["tuple"])
    code, out, err = run(capsys, "bench", f"{path}:step", "--seconds", "-1")
    assert (code, out) == (2, "") and "seconds must be positive, not -1.0" in err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("tapeless ")


def test_as_a_program(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(TRAIN + EXAMPLES["tuple"])
    done = subprocess.run(
        [sys.executable, "-m", "tapeless", "ir", f"{path}:step", "--stage", "nowhere"],
        capture_output=True,
        text=True,
        timeout=HANGS,
        env={**os.environ, "PYTHONPATH": str(Path(tapeless.__file__).parent.parent)},
    )
    assert done.returncode == 2
    assert "invalid choice: 'nowhere'" in done.stderr
