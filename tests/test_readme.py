"""The README keeps its word: its IR is real, its commands run, its tables are complete."""

import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
SHOWN = re.compile(r"<!-- (?P<name>\S+) -->\n```text\n(?P<text>.*?)```\n", re.DOTALL)


def test_ir_is_the_real_output(request: pytest.FixtureRequest) -> None:
    tour = runpy.run_path(str(ROOT / "examples" / "ir_tour.py"))
    program = tour["step"].lower(*tour["example_args"]())
    real = {stage: program.ir(stage) for stage in program.stages} | {"zeros": str(program.zeros())}
    readme = README.read_text()
    assert [match["name"] for match in SHOWN.finditer(readme)] == list(real)
    expected = SHOWN.sub(
        lambda m: f"<!-- {m['name']} -->\n```text\n{real[m['name']].rstrip()}\n```\n", readme
    )
    if request.config.getoption("--update-golden"):
        README.write_text(expected)
    assert README.read_text() == expected


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```\n", README.read_text(), re.DOTALL)


def test_the_step_runs_as_printed(python: Callable[..., str], tmp_path: Path) -> None:
    (source,) = blocks("python")
    script = tmp_path / "train.py"
    script.write_text(source)
    out = python(str(script))
    assert "= jacobian " in out
    assert "Jacobians never built" in out
    assert "compiled" in out


@pytest.mark.parametrize(
    "line",
    [line for block in blocks("sh") for line in block.splitlines() if line[:9] == "tapeless "],
)
def test_command_lines_run(line: str, python: Callable[..., str]) -> None:
    assert python("-m", *shlex.split(line))


def test_ci_finds_the_two_commands() -> None:
    """`.ci/run` takes them from here by their first words and the name of what they run."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    fresh = [line for line in lines if line.startswith("python3 -m venv ")]
    assert [line.split()[-1] for line in fresh] == ["examples/digits.py", "pytest"]


def test_every_debug_variable_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `(TAPELESS_\w+)", README.read_text(), re.MULTILINE))
    folders = ("ir", "passes", "runtime", "compiler", "library")
    sources = [file.read_text() for name in folders for file in (ROOT / name).rglob("*.py")]
    assert named == {word for text in sources for word in re.findall(r"TAPELESS_[A-Z_]+", text)}
