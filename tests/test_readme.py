"""The README keeps its word: its IR is real, its commands run, its tables are complete."""

import inspect
import re
import runpy
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.tracing import elementwise, traced
from tapeless.compiler.tracing.registry import COMPOSED, FUNCTIONS, METHODS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FUNCTION_LIST = re.compile(r"(?<=<!-- functions -->\n).*?(?=<!-- end -->)", re.DOTALL)
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
    keep(request, expected)


def keep(request: pytest.FixtureRequest, expected: str) -> None:
    """The README must be `expected`; `--update-golden` makes it so."""
    if request.config.getoption("--update-golden"):
        README.write_text(expected)
    assert README.read_text() == expected


# --- what may stand in a step ---------------------------------------------------------------


def methods() -> list[str]:
    """Public methods and attributes of a traced array, without those that only raise."""
    own = [
        name
        for name, found in vars(traced.TracedArray).items()
        if name[0] != "_"
        and (isinstance(found, property) or found.__annotations__["return"] != "NoReturn")
    ]
    return sorted({*own, *METHODS}, key=str.lower)


def public(module: ModuleType, prefix: str = "") -> list[str]:
    """The functions a module or package offers under its own name, those of its public
    submodules (`__all__` says which) with theirs."""
    found: list[str] = []
    for name in getattr(module, "__all__", dir(module)):
        value = getattr(module, name)
        if inspect.ismodule(value) and hasattr(module, "__all__"):
            found += public(value, f"{prefix}{name}.")
        elif name[0] != "_" and inspect.isfunction(value):
            found += [prefix + name] if value.__module__.startswith(module.__name__) else []
    return found


def supported() -> str:
    """The lists of the README, from the tables that decide what is traced."""
    logic = [*elementwise.COMPARISONS, *elementwise.LOGICAL, *elementwise.BITWISE]
    count = len({*elementwise.DIRECT, *logic, *COMPOSED, *FUNCTIONS}) + len(methods())
    groups = {f"tl.{m.__name__.rpartition('.')[2]}": m for m in (tl.nn, tl.optim, tl.random)}
    lines = [
        f"- **NumPy**: {count} functions and methods, with `where=`, `out=`, `dtype=`, `keepdims=`,"
        " and the operators for them; `docs/coverage.md` has every form with its derivatives",
        *(f"- **{name}**: {', '.join(public(module))}" for name, module in groups.items()),
    ]
    return "\n".join(
        textwrap.fill(line, 118, subsequent_indent="  ", break_on_hyphens=False) for line in lines
    )


def test_the_functions_are_those_of_the_tables(request: pytest.FixtureRequest) -> None:
    keep(request, FUNCTION_LIST.sub(lambda _: f"{supported()}\n", README.read_text()))


def forms(kind: str) -> list[str]:
    """The index expressions or assignments that the README lists."""
    (text,) = re.findall(rf"^- {kind}: (.*?)\n(?!  )", README.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"`(.+?)`", text)


@pytest.mark.parametrize("form", [*forms("read"), *forms("write")])
def test_the_forms_of_indexing_mean_what_they_mean_in_numpy(form: str) -> None:
    body = f"y = {form}" if form in forms("read") else form
    scope: dict[str, object] = {"np": np}
    exec(f"def f(x, y, v, i, rows, cols, mask):\n    {body}\n    return x + 0, y + 0", scope)
    plain = scope["f"]
    assert callable(plain)

    def arguments() -> tuple[Any, ...]:
        x = np.arange(16.0).reshape(4, 4)
        rows, cols = np.array([3, 0]), np.array([1, 2])
        return x, x / 7, np.float64(2.5), np.int64(1), rows, cols, x > 5

    mine, own = arguments(), arguments()
    for found, expected in zip(tl.compile(plain)(*mine), plain(*own), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(mine[0], own[0], rtol=1e-14)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```\n", README.read_text(), re.DOTALL)


def test_the_step_runs_as_printed(python: Callable[..., str], tmp_path: Path) -> None:
    source = blocks("python")[0]
    script = tmp_path / "train.py"
    script.write_text(source)
    out = python(str(script))
    assert "= jacobian " in out
    assert "Jacobians never built" in out
    assert "compiled" in out


@pytest.mark.parametrize("number", [1, 2, 3], ids=["objects", "derivatives", "random"])
def test_programs_print_what_their_comments_say(
    number: int, python: Callable[..., str], tmp_path: Path
) -> None:
    source = blocks("python")[number]
    script = tmp_path / "program.py"
    script.write_text(source)
    said = [line.partition("# ")[2] for line in source.splitlines() if line.startswith("print(")]
    for line, comment in zip(python(str(script)).splitlines(), said, strict=True):
        assert comment.startswith(line)


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
    assert [line.partition(".venv/bin/python ")[2] for line in fresh] == [
        "examples/digits.py",
        "-m pytest -n auto",
    ]


def test_every_debug_variable_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `(TAPELESS_\w+)", README.read_text(), re.MULTILINE))
    folders = ("ir", "passes", "runtime", "compiler", "library")
    sources = [file.read_text() for name in folders for file in (ROOT / name).rglob("*.py")]
    assert named == {word for text in sources for word in re.findall(r"TAPELESS_[A-Z_]+", text)}


def test_every_promise_has_a_module_and_every_named_test_exists() -> None:
    trust = (ROOT / "docs" / "trust.md").read_text()
    promises = [int(number) for number in re.findall(r"^\| P(\d+) \|", trust, re.MULTILINE)]
    modules = (ROOT / "tests" / "semantics").glob("test_p[0-9]*.py")
    assert promises == sorted({int(path.name[6:8]) for path in modules}) == list(range(1, 17))
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", trust))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
