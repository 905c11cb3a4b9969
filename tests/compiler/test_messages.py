"""Each construct that cannot work has its own error, and the form it names works; docs/messages.md
is written from the table."""

import copy
import re
from pathlib import Path

import pytest
from conformance import run_traced, same
from messages import FILE, HEAD, Row, arguments, read_rows, run_program, step
from tapeless.compiler.active import active
from tapeless.compiler.api import CompiledFunction
from tapeless.compiler.api import compile as compiled

ROWS = read_rows()
IDS = [row.bad for row in ROWS]
PLACE = re.compile(rf", at {FILE}:\d+: (.*)$")
DOCUMENT = Path(__file__).parents[2] / "docs" / "messages.md"


pytestmark = pytest.mark.filterwarnings("ignore")  # NumPy's, of what some rows do


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Calls are interpreted: nothing is compiled to native code."""

    def call(self, *args, **kwargs):
        return (self.function if active() is not None else self.interpret)(*args, **kwargs)

    monkeypatch.setattr(CompiledFunction, "__call__", call)


def run(row: Row, code: str):
    """The result of a form, and the arguments after it."""
    if row.program:
        run_program(code)
        return None
    given = list(arguments().values())
    return run_traced(step(code), *given), given


def under_numpy(code: str):
    given = copy.deepcopy(list(arguments().values()))
    return step(code)(*given), given


def error_of(row: Row) -> Exception:
    with pytest.raises((TypeError, ValueError, IndexError, ArithmeticError)) as caught:
        run(row, row.bad)
    return caught.value


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_cannot_work_says_so_in_one_line_of_the_users(row):
    text = str(error_of(row))
    assert "\n" not in text and "TracedArray" not in text
    if not row.program:
        place = PLACE.search(text)
        assert place, text
        assert place[1] in [*(line.strip() for line in row.bad.split("\n")), HEAD], text


def test_the_forms_that_give_what_numpy_gives_run_natively():
    forms = [step(row.good) for row in ROWS if row.same]

    def all_forms(*given):
        return [form(*copy.deepcopy(given)) for form in forms]

    given = list(arguments().values())
    native = compiled(all_forms).lower(*given).run(*given)
    for row, found in zip((row for row in ROWS if row.same), native, strict=True):
        same(found, under_numpy(row.bad)[0], exact=False)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_form_that_works_works(row):
    found = run(row, row.good)
    if row.same:
        same(found, under_numpy(row.bad), exact=False)


def code(text: str) -> str:
    """Lines of code in a cell of a table."""
    lines = text.replace("|", "\\|").replace("    ", "\N{NO-BREAK SPACE}" * 4).split("\n")
    return "<br>".join(f"`{line}`" for line in lines)


HEADER = """# What does not work, and what does

Written by `pytest tests/compiler/test_messages.py --update-golden` from the table
`tests/messages.txt`. The tests run each form on the left and compare its error with this
document; they run each form on the right, too.

In the forms `x, y` are 3x3, `v` has 3 elements, `s` is a number, `n` an int, `i` an index array,
`m` a mask, `p` a dict of arrays, `key` a key of `tl.random`: arguments of the step. From outside
come an array `C`, lists `words` and `history`, a generator `rng`, an object `kept`. The value of
the last line is returned. Left out of each message is its end, the line of the user's code, such as
`at train.py:12: if x.sum() > 0:`.
"""


def document() -> str:
    lines = [HEADER]
    for theme in dict.fromkeys(row.theme for row in ROWS):
        lines += [f"## {theme}", "", "| code | error | form that works |", "|---|---|---|"]
        for row in (row for row in ROWS if row.theme == theme):
            error = error_of(row)
            message = PLACE.sub("", str(error)).replace("|", "\\|").replace("<", "&lt;")
            cells = code(row.bad), f"`{type(error).__name__}`: {message}", code(row.good)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def test_the_document_is_the_table(request):
    text = document()
    if request.config.getoption("--update-golden"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text
