"""Every form of NumPy in `forms.txt`: what NumPy gives, interpreted and compiled, with derivatives.

`docs/coverage.md` is written from the same table.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from conformance import run_traced, same
from forms import Form, batches, divided, read_forms, together
from tapeless.compiler import tree
from tapeless.compiler.tracing import elementwise, traced
from tapeless.compiler.tracing.registry import COMPOSED, FUNCTIONS, METHODS

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "coverage.md"
FORMS = read_forms()
DTYPES = [np.float32, np.float64]


def by_numpy(forms: list[Form], dtype: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        results: list[Any] = together(forms)(*divided(dtype))
        return results


def floats(result: Any) -> list[Any]:
    """The floating arrays of a result."""
    leaves = [np.asarray(leaf) if np.isscalar(leaf) else leaf for leaf in tree.leaves(result)]
    return [x for x in leaves if getattr(x, "dtype", np.dtype(int)).kind == "f"]


def is_smooth(form: Form) -> bool:
    """Whether the form has floating results, and no NaN on the way."""
    found = floats(by_numpy([form], np.float64))
    return bool(found) and not form.uses_nan


def loss_of(forms: list[Form]) -> Callable[..., Any]:
    """The sum of the squares of all floating results."""

    def loss(p: Any, q: Any) -> Any:
        results = together(forms)(p, q)
        leaves = [x for x in tree.leaves(results) if hasattr(x, "dtype")]
        return sum(np.sum(x * x).astype(np.float64) for x in leaves if x.dtype.kind == "f")

    return loss


def blaming(check: Callable[[list[Form]], None], forms: list[Form]) -> None:
    """Run a check on all forms at once; if it fails, on each, to name the first guilty one."""
    try:
        check(forms)
    except Exception:
        for form in forms:
            try:
                check([form])
            except Exception as error:
                raise AssertionError(f"{form.text}: {error}") from error
        raise


SMOOTH = [form for form in FORMS if is_smooth(form)]
BATCHES = [pytest.param(forms, id=forms[0].text) for forms in batches(FORMS)]

PRECISE = [
    f for f in SMOOTH if all(x.dtype == np.float64 for x in floats(by_numpy([f], np.float64)))
]
"""Without those that round to float32, whose differences say little."""

PRECISE_BATCHES = [pytest.param(forms, id=forms[0].text) for forms in batches(PRECISE)]


@pytest.mark.parametrize("forms", BATCHES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forms_give_what_numpy_gives(forms: list[Form], dtype: Any) -> None:
    def check(forms: list[Form]) -> None:
        expected = by_numpy(forms, dtype)
        same(run_traced(together(forms), *divided(dtype)), expected, exact=False)

    blaming(check, forms)


@pytest.mark.parametrize("forms", BATCHES)
def test_forms_compiled(forms: list[Form]) -> None:
    def check(forms: list[Form]) -> None:
        compiled = tl.compile(together(forms))
        same(compiled(*divided(np.float64)), by_numpy(forms, np.float64), exact=False)

    blaming(check, forms)


@pytest.mark.parametrize("forms", BATCHES)
def test_forms_compiled_with_their_gradients(forms: list[Form]) -> None:
    def check(forms: list[Form]) -> None:
        step, slope = together(forms), tl.grad(loss_of([f for f in forms if f in SMOOTH]))
        compiled = tl.compile(lambda p, q: (step(p, q), slope(p, q)))
        results, gradients = compiled(*divided(np.float32))
        same(results, by_numpy(forms, np.float32), exact=False)
        for name, wanted in slope(*divided(np.float64)).items():
            np.testing.assert_allclose(gradients[name], wanted, rtol=1e-4, atol=1e-4)

    blaming(check, forms)


@pytest.mark.parametrize("forms", PRECISE_BATCHES)
def test_derivatives_agree_with_differences(forms: list[Form]) -> None:
    def check(forms: list[Form]) -> None:
        tl.check_grads(along_a_line(together(forms)), (0.0, fixed()))

    blaming(check, forms)


def along_a_line(step: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The step as a function of how far all its float arguments are moved along one direction."""
    p, q = divided(np.float64)
    rng = np.random.default_rng(1)
    direction = {k: rng.standard_normal(np.shape(a)) for k, a in p.items()}

    def moved(t: Any, others: Any) -> Any:
        return step({k: a + t * direction[k] for k, a in p.items()}, q | others)

    return moved


def fixed() -> dict[str, Any]:
    """The arguments that are not floats."""
    return {k: a for k, a in divided(np.float64)[1].items() if a.dtype.kind != "f"}


# --- the table is complete, and so is the document ---------------------------------------------


def resolved(name: str) -> Any:
    """The NumPy object of a dotted name, `np.add.at` standing for np.add."""
    found: Any = np
    for part in name.split(".")[1:]:
        found = found if isinstance(found, np.ufunc) else getattr(found, part)
    return found


def test_every_function_has_a_form() -> None:
    names = {form.name for form in FORMS if form.section[:4] != "with"}
    seen = {resolved(name) for name in names if name.startswith("np.")}
    tables = (elementwise.DIRECT, elementwise.COMPARISONS, elementwise.LOGICAL, elementwise.BITWISE)
    known = {*FUNCTIONS, *COMPOSED, *(ufunc for table in tables for ufunc in table)}
    own = {np.isscalar}  # dispatches only from tapeless.numpy
    assert sorted(f.__name__ for f in known - seen - own) == []
    methods = {name for form in FORMS for name in re.findall(r"[a-z)]\.(\w+)\(", form.text)}
    assert sorted({*METHODS, "reshape", "transpose", "flatten", "copy", "fill"} - methods) == []
    assert {"T", "mT"} < set(vars(traced.TracedArray))


def slopes(forms: list[Form]) -> list[Any]:
    """The derivative of each form along one direction of all float arguments."""
    line = along_a_line(together(forms))
    moved = tl.compile(lambda t, q: tl.jvp(lambda t: line(t, q), (t,), (1.0,))[1])
    found: list[Any] = moved.interpret(0.0, fixed())
    return found


def orders(forms: list[Form]) -> list[str]:
    """For each form: which derivatives it has."""
    functions = [form for form in forms if form in SMOOTH]
    tangents: list[Any] = []
    for batch in batches(functions):
        tangents += slopes(batch)
    moving = {
        form.text: any(np.any(x != 0) for x in floats(tangent))
        for form, tangent in zip(functions, tangents, strict=True)
    }
    return ["1, 2" if moving.get(form.text) else _why(form) for form in forms]


def _why(form: Form) -> str:
    return "0: piecewise constant" if form in SMOOTH else "" if form.uses_nan else "no float result"


HEADER = """# What may stand in a step

Written by `pytest tests/test_forms.py --update-golden` from the table `tests/forms.txt`; a test
compares the two. Every form below is traced, interpreted and compiled to native code, in float32
and float64, and gives what NumPy gives. Where the last column says "1, 2", first and second
derivatives, forward and reverse, agree with finite differences; higher orders follow by the same
rules.

In the forms `x, y` are 3x4, `v, w` have 4 elements, `A` is 3x3, `T` 2x3x4, `s` a scalar, `z` has
NaN and infinities, `n` is an integer array, `m` a mask, `i, j` are index arrays; all of them are
arguments of the step. After `->` stands what is compared.
"""


def document() -> str:
    lines = [HEADER]
    derivative = dict(zip((f.text for f in FORMS), orders(FORMS), strict=True))
    for section in dict.fromkeys(form.section for form in FORMS):
        lines += [f"## {section}", "", "| form | derivatives |", "|---|---|"]
        for text in (form.text for form in FORMS if form.section == section):
            code = text.replace("|", "\\|")
            lines.append(f"| `{code}` | {derivative[text]} |")
        lines.append("")
    return "\n".join(lines)


def test_the_document_is_the_table(request: pytest.FixtureRequest) -> None:
    text = document()
    if request.config.getoption("--update-golden"):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text
