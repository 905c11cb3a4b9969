"""The runner, on a public suite in miniature: what it passes on, and what it reports."""

from pathlib import Path

import pytest

from array_api import standard, suite

CONFTEST = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--skips-file")
    parser.addoption("--max-examples", type=int)
    parser.addoption("--disable-deadline", action="store_true")
    parser.addoption("--disable-data-dependent-shapes", action="store_true")
    parser.addoption("--disable-extension", action="append")

def pytest_collection_modifyitems(config, items):
    lines = open(config.getoption("--skips-file")).read().splitlines()
    for item in items:
        if any(line and line in item.nodeid for line in lines):
            item.add_marker(pytest.mark.skip(reason="skips file"))
"""

TESTS = """
import importlib, os

xp = importlib.import_module(os.environ["ARRAY_API_TESTS_MODULE"])

def test_argmax(request):
    assert xp.asarray([1.0, 2.0]).shape == (2,)
    assert request.config.getoption("--max-examples") == 7
    assert os.environ["TAPELESS_CONFORMANCE"] == "compiled"

def test_nonzero():
    raise AssertionError("skipped")

def test_wrong():
    raise AssertionError("fails")
"""


def test_a_checkout_is_run_and_summed_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "array_api_tests").mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "array_api_tests" / "test_searching_functions.py").write_text(TESTS)
    assert suite.main(["--suite", str(tmp_path), "--max-examples", "7", "--compiled"]) == 1
    printed = capfd.readouterr().out
    counted = [line.split() for line in printed.splitlines()]
    assert ["searching_functions", "1", "1", "1"] in counted, printed
    assert ["all", "1", "1", "1"] in counted
    assert "1 skipped: skips file" in printed
    assert "test_nonzero: The shape of the result depends on the data" in printed


def test_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.main(["--suite", str(tmp_path)]) == 2
    assert "no checkout" in capsys.readouterr().err


def test_every_skip_has_a_reason() -> None:
    skips = suite.reasons(suite.SKIPS.read_text())
    assert len(skips) > 40
    for name in standard.UNSUPPORTED:
        assert any(name.removeprefix("linalg.").split("_")[0] in line for line in skips), name
    with pytest.raises(ValueError, match="without a reason"):
        suite.reasons("# why\none\n\ntwo")


def test_without_a_checkout_our_own_tests_run() -> None:
    options = suite.parser().parse_args(["--max-examples", "9", "-k", "sum"])
    made = suite.environment(options, {"HOME": "kept"})
    assert (made["TAPELESS_EXAMPLES"], made["TAPELESS_CONFORMANCE"]) == ("9", "interpreted")
    assert made["HOME"] == "kept"
    assert suite.command(options, Path("report"))[-3:] == ["-k", "sum", str(suite.HERE)]
