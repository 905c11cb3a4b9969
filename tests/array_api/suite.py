"""`python -m tests.array_api`: the conformance tests of this folder, or the public suite.

The public suite, `array-api-tests`, is not part of this repository: give the path of a checkout.
Its test files import the namespace by name, so it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .drawing import EXCLUDED
from .standard import UNSUPPORTED, VERSION

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
SKIPS = HERE / "skips.txt"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.array_api", description=__doc__)
    made.add_argument("--suite", type=Path, help="a checkout of array-api-tests")
    made.add_argument("--max-examples", type=int, help="examples per test")
    made.add_argument("--compiled", action="store_true", help="run steps natively")
    made.add_argument("-k", metavar="EXPRESSION", help="only these tests, as for pytest")
    return made


def reasons(text: str) -> dict[str, str]:
    """test id -> reason, of a file whose every id stands under a comment that says why."""
    found: dict[str, str] = {}
    reason = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            reason = line.lstrip("# ")
        elif line:
            if not reason:
                raise ValueError(f"{line} is skipped without a reason")
            found[line] = reason
        else:
            reason = ""
    return found


def environment(options: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process that runs the tests."""
    path = [str(TESTS), str(TESTS.parent / ".pkg"), *filter(None, [given.get("PYTHONPATH")])]
    chosen = {
        "ARRAY_API_TESTS_MODULE": "array_api.namespace",
        "ARRAY_API_TESTS_VERSION": VERSION,
        "ARRAY_API_TESTS_SKIP_DTYPES": "complex64,complex128",
        "PYTHONPATH": os.pathsep.join(path),
        "TAPELESS_CONFORMANCE": "compiled" if options.compiled else "interpreted",
    }
    if options.max_examples and not options.suite:
        chosen["TAPELESS_EXAMPLES"] = str(options.max_examples)
    return {**given, **chosen}


def command(options: argparse.Namespace, report: Path) -> list[str]:
    """What runs the tests and writes their results as JUnit's XML."""
    made = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}"]
    if options.k:
        made += ["-k", options.k]
    if not options.suite:
        return [*made, str(HERE)]
    made += ["array_api_tests", f"--skips-file={SKIPS}", "--disable-data-dependent-shapes"]
    made += ["--disable-deadline", "--disable-extension", "fft"]
    return made + ([f"--max-examples={options.max_examples}"] if options.max_examples else [])


def outcomes(report: Path) -> Iterator[tuple[str, str, str]]:
    """(test file, passed | failed | skipped, reason) of every test."""
    for case in xml.parse(report).iter("testcase"):
        category = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
        skipped = case.find("skipped")
        if skipped is not None:
            yield category, "skipped", skipped.get("message", "")
        elif case.find("failure") is not None or case.find("error") is not None:
            yield category, "failed", ""
        else:
            yield category, "passed", ""


def summary(found: Sequence[tuple[str, str, str]]) -> str:
    """One line per test file, the sum, and why tests were skipped."""
    kinds = ("passed", "failed", "skipped")
    counts = Counter((category, kind) for category, kind, _ in found)
    categories = [*dict.fromkeys(category for category, _, _ in found)]
    rows = [(c, *(counts[c, kind] for kind in kinds)) for c in categories]
    rows.append(("all", *(sum(row[k] for row in rows) for k in (1, 2, 3))))
    lines = [f"{'tests':32}" + "".join(f"{kind:>9}" for kind in kinds)]
    lines += [f"{row[0]:32}" + "".join(f"{n:9,}" for n in row[1:]) for row in rows]
    why = Counter(reason for _, kind, reason in found if kind == "skipped")
    return "\n".join([*lines, *(f"{n:6,} skipped: {reason}" for reason, n in why.most_common())])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests; 0 if none failed."""
    options = parser().parse_args(arguments)
    suite = options.suite and options.suite.resolve()
    if suite and not (suite / "array_api_tests").is_dir():
        print(f"{suite} is no checkout of array-api-tests", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run = subprocess.run(
            command(options, report),
            cwd=suite or TESTS.parent,
            env=environment(options, os.environ),
        )
        if not report.exists():
            return run.returncode or 1
        print(summary([*outcomes(report)]))
        own = EXCLUDED | UNSUPPORTED
        for what, reason in (reasons(SKIPS.read_text()) if suite else own).items():
            print(f"left out: {what}: {reason}")
    return run.returncode
