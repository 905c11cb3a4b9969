"""Every rule: a golden text of what it does, and that it keeps values."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rewriting import Case, assert_same_values, read_cases, write_cases
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.decompose import decompose
from tapeless.passes.fold import fold
from tapeless.passes.interleaved import order_axes
from tapeless.passes.layouts import lay_out_windows
from tapeless.passes.rewriting.rules import Rule, RulePass
from tapeless.passes.simplify import simplify
from tapeless.passes.stable import stable
from tapeless.passes.transposes import absorb_transposes

EVERY = (stable, simplify, fold, absorb_transposes, decompose, lay_out_windows, order_axes)
PASSES = {p.__name__: p for p in EVERY}
GOLDEN = Path(__file__).parent / "golden"
CASES = {name: read_cases(GOLDEN / f"{name}.ir") for name in PASSES}
EACH = pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, c, id=f"{name}-{c.rule}") for name, cs in CASES.items() for c in cs],
)

INEXACT = re.compile(r"\brounds?\b|digits|-0\.0", re.IGNORECASE)
"""How the identity of a rule says that it changes floating-point results."""


@EACH
def test_text(name: str, case: Case) -> None:
    before = parse(case.before)
    after = PASSES[name](before)
    verify(after, after=name)
    assert str(after) == case.after
    assert str(before) == case.before, "the pass changed its argument"


@EACH
def test_fires(name: str, case: Case) -> None:
    assert PASSES[name].run(parse(case.before)).fired[case.rule] > 0


@EACH
def test_idempotent(name: str, case: Case) -> None:
    after = replace(PASSES[name](parse(case.before)))
    assert PASSES[name](after) is after


def test_a_rule_is_tried_again_when_a_value_has_lost_its_other_readers() -> None:
    """The part that is read leaves the exponential to the subtraction alone."""
    graph = parse("""f(%x:f64[3], %q:f64[2]) {
      %z:f64[3] = exp %x
      %y:f64[3] = sub %z, 1.0
      %c:f64[5] = concatenate %z, %q [axis=0]
      %s:f64[2] = slice %c [3:5]
    } -> %y, %s""")
    result = simplify.run(graph)
    assert result.fired["exp_minus_one"] == 1
    assert [node.op.name for node in result.graph.nodes] == ["expm1"]


def test_a_graph_that_a_pass_made_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = simplify(parse("f(%x:f64[3]) {\n%y:f64[3] = mul %x, 1.0\n%z:f64[3] = exp %y\n} -> %z"))
    monkeypatch.setattr(Rule, "may_fit", lambda *_: pytest.fail("a rule was tried"))
    assert simplify(graph) is graph
    with pytest.raises(pytest.fail.Exception):
        simplify.run(graph, skip={"times_one"})  # other rules


@EACH
def test_values(name: str, case: Case) -> None:
    """What a rule does to NaN, infinities and signed zeros is nothing, unless it says so."""
    before, result = parse(case.before), PASSES[name].run(parse(case.before))
    told = [r.identity for r in PASSES[name].rules if result.fired[r.name]]
    exact = name in ("simplify", "fold") and not any(INEXACT.search(text) for text in told)
    finite = name == "stable" or any("infinite" in text for text in told)
    assert_same_values(before, result.graph, exact=exact, special=not finite)


@EACH
def test_skip(name: str, case: Case) -> None:
    run = PASSES[name].run(parse(case.before), skip={case.rule})
    assert run.fired[case.rule] == 0


def test_every_rule_has_a_case() -> None:
    cases = {case.rule for cases in CASES.values() for case in cases}
    assert cases == {rule.name for run in PASSES.values() for rule in run.rules}


@pytest.mark.parametrize("name", PASSES)
def test_every_rule_states_its_identity(name: str) -> None:
    assert all(rule.identity for rule in PASSES[name].rules)


def test_update(request: pytest.FixtureRequest) -> None:
    """`pytest --update-golden` rewrites what stands after `=>`."""
    if not request.config.getoption("--update-golden"):
        pytest.skip("only with --update-golden")
    for name, cases in CASES.items():
        new = [c._replace(after=_after(PASSES[name], c)) for c in cases]
        write_cases(GOLDEN / f"{name}.ir", new)


def _after(run: RulePass, case: Case) -> str:
    return str(run(parse(case.before)))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_counts_and_factors_wrap_around_as_small_integers_do(dtype: str) -> None:
    before = parse(f"""f(%x:{dtype}[4]) {{
      %a:{dtype}[300,4] = broadcast %x [shape=(300,4)]
      %b:{dtype}[4] = sum %a [axes=(0)]
      %c:{dtype}[4] = neg %x
      %d:{dtype}[4] = mul %c, 3
      %e:{dtype}[4] = mul %x, 5
      %g:{dtype}[4] = neg %e
    }} -> %b, %d, %g""")
    result = simplify.run(before)
    assert {"reduce_of_broadcast", "negation_into_factor", "factor_absorbs_negation"} <= {
        rule for rule, count in result.fired.items() if count
    }
    assert_same_values(before, result.graph, exact=True)


def test_what_a_rule_reads_past_a_move_has_one_reader_more() -> None:
    """The sum of a product that is needed anyway is no product of sums."""
    graph = parse("""f(%x:f64[2,3], %y:f64[3,4]) {
      %a:f64[2,4] = matmul %x, %y
      %b:f64[2,4,1] = reshape %a [shape=(2,4,1)]
      %c:f64[4,1] = sum %b [axes=(0)]
      %d:f64[2,4,1] = exp %b
    } -> %c, %d""")
    fired = simplify.run(graph).fired
    assert fired["reduce_below_move"] and not fired["sum_of_dot"]
