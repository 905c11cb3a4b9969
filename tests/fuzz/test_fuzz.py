"""The fuzzer on every commit, and the fuzzer itself: it finds a planted defect and shrinks it."""

import random
from pathlib import Path

import numpy as np
import pytest
from tapeless.ir.op import OPS
from tapeless.ir.parse import parse
from tapeless.passes.rewriting.rules import Rule, RulePass
from tapeless.passes.simplify import simplify

from fuzz.campaign import campaign, every_rule, gradients, interpreted, native, one
from fuzz.check import Reference
from fuzz.grow import grow
from fuzz.growing import Growing, Program
from fuzz.hunt import BUGS, hunts
from fuzz.machine import Disagreement
from fuzz.record import Record, added
from fuzz.shrink import shrink
from fuzz.steps import motifs
from fuzz.texts import texts

PARTS = [
    *(("interpreted", seed, 400) for seed in range(1, 2001, 400)),
    *(("gradients", seed, 250) for seed in (1, 251)),
    *(("native", seed, 30) for seed in (1, 31)),
    ("native_gradients", 1, 12),
    ("training", 1, 8),
]
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.ir"))


@pytest.mark.parametrize(("kind", "seed", "count"), PARTS)
def test_nothing_is_found(kind: str, seed: int, count: int) -> None:
    report = campaign({kind: count}, seed)
    assert not report.finds, str(report)
    assert report.ran[kind] == count
    if "gradients" in kind:
        assert report.fired["compared"] > count / 2


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.stem)
def test_what_was_found_once_is_not_found_again(file: Path) -> None:
    graph = parse(file.read_text())
    for seed in range(3):
        growing = Growing(random.Random(seed))
        growing.inputs, growing.arguments = [], []
        for value in graph.inputs:
            growing.fresh(value.type, 1 if value.type.is_integer else None)
        native(Program(graph, growing.arguments), random.Random(seed))


NOT_PROMISED = {
    "the sign of a zero that a sum makes": (
        """f(%x:f64[], %y:f64[3]) {
          %a:f64[3] = exp %y
          %b:f64[3] = sub %a, 1.0
          %c:f64[3] = power %b, %x
        } -> %c""",
        [np.array(-1.0), np.array([0.0, -0.0, -0.0])],
    ),
    "the sign of the determinant of a matrix with a NaN": (
        "f(%x:f64[2,3,3]) {\n %y:f64[2] = det_sign %x\n} -> %y",
        [np.array([[[1.3, -0.6, 1.3], [np.nan, 2.4, -1.6], [-1.7, -1.8, -0.4]], np.eye(3)])],
    ),
    "whether a matrix is singular that is so but for rounding": (
        """f(%a:f64[3,3], %b:f64[3,2]) {
          %x:f64[3,2] = solve %a, %b [transposed=true]
        } -> %x""",
        [np.array([[-9.0, -8, -2], [6, -2, 5], [-45, -18, -21]]), np.ones((3, 2))],
    ),
    "that a NaN in one row, by the largest of all, spoils another": (
        """f(%x:f64[4,3]) {
          %m:f64[] = max %x [axes=(0,1)]
          %d:f64[4,3] = sub %x, %m
          %e:f64[4,3] = exp %d
          %s:f64[4] = sum %e [axes=(1)]
          %k:f64[4,1] = reshape %s [shape=(4,1)]
          %l:f64[4,1] = log %k
          %y:f64[4,3] = sub %d, %l
        } -> %y""",
        [np.array([[1.5, -1, 3], [0, 2, 1], [-2, 1, np.nan], [0.5, 1, 2]])],
    ),
    "which elements of a log-softmax are NaN beside an infinity": (
        """f(%x:f64[4]) {
          %e:f64[4] = exp %x
          %s:f64[] = sum %e [axes=(0)]
          %p:f64[4] = div %e, %s
          %y:f64[4] = log %p
        } -> %y""",
        [np.array([-2.0, np.inf, 1.0, -np.inf])],
    ),
    "that a NaN in a kernel stays within the reach of the windows": (
        """f(%k:f64[2], %x:f64[2,3,1]) {
          %w:f64[2,3,2] = mul %k, %x
          %y:f64[2,9] = windows_add %w [axes=(1), extents=(9), strides=(3), dilations=(2)]
        } -> %y""",
        [np.array([0.5, np.nan]), np.arange(6.0).reshape(2, 3, 1)],
    ),
}


@pytest.mark.parametrize("case", NOT_PROMISED)
def test_what_is_not_promised_is_not_found(case: str) -> None:
    text, arguments = NOT_PROMISED[case]
    program = Program(parse(text), arguments)
    for seed in range(5):
        interpreted(program, random.Random(seed))
        gradients(program, random.Random(seed))


def test_an_f64_that_was_an_f32_is_no_closer() -> None:
    graph = parse("""f(%x:f32[1]) {
      %a:f32[1] = arctan2 %x, %x
      %b:f64[1] = cast %a [dtype=f64]
    } -> %b""")
    reference = Reference(Program(graph, [np.array([2.0], np.float32)]))
    angle, argument = reference.results
    reference.compare("native", [angle + 1e-7, argument])
    with pytest.raises(Disagreement, match="native: result 0"):
        reference.compare("native", [angle + 1e-4, argument])


def test_damaged_texts_are_refused_or_understood() -> None:
    taken = list(texts(500, seed=1))
    assert not [found for found in taken if found[2] is not None]
    assert len({text for _, text, _ in taken}) > 450


@pytest.mark.parametrize(
    "bug",
    [
        "branches not swapped: negated_choice", "one path only: cotangents replaced",
        "doubled gradient: max", "swapped operands of sub",
    ],
)  # fmt: skip
def test_a_seeded_bug_is_found(bug: str) -> None:
    """A few of those that `--seeded` hunts, each in a process of its own."""
    (found,) = hunts([bug], seed=7, programs=30)
    assert found.error is not None, str(found)


def test_seeded_bugs_are_many_and_have_names_of_their_own() -> None:
    names = [bug.name for bug in BUGS]
    assert len(names) == len(set(names)) >= 60


def test_records_add_up() -> None:
    first, second = (campaign({"interpreted": n}, seed=1) for n in (4, 6))
    one_text, other = (str(Record.of(r, seed)) for r, seed in ((first, 1), (second, 50)))
    assert str(Record.read(one_text)) == one_text
    total = added([one_text, other])
    assert total.seeds == ["1", "50"] and total.ran == {"interpreted": 10}
    assert total.fired == first.fired + second.fired
    assert str(Record.read(str(total))) == str(total)
    assert set(total.never_fired) == every_rule() - set(total.fired)
    with pytest.raises(ValueError, match="not the record"):
        added(["| interpreted | 10 | 0 |"])


def test_programs_are_determined_by_their_seed() -> None:
    first, again = (grow(random.Random(3)) for _ in range(2))
    assert str(first.graph) == str(again.graph)
    for a, b in zip(first.arguments, again.arguments, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_op_occurs() -> None:
    """But those that stand for derivatives, which the gradients bring in, and fused regions."""
    seen = {node.op.name for s in range(1500) for node in grow(random.Random(s)).graph.nodes}
    missing = {op.name for op in OPS.values() if op.kind not in ("autodiff", "fused")} - seen
    assert not missing
    assert len(motifs()) > 90


def first_branch(rule: Rule) -> Rule:
    """A wrong rule for `select`: it always takes the first branch."""
    return Rule(rule.name, rule.identity, rule.heads, lambda site: site.operands[1])


def test_a_planted_defect_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tuple(first_branch(r) if r.name == "no_choice" else r for r in simplify.rules)
    wrong = RulePass("simplify", rules)
    monkeypatch.setattr(simplify, "run", wrong.run)
    finds = [find for seed in range(200) if (find := one("interpreted", seed)[1])]
    assert finds
    smallest = min(finds, key=lambda find: len(find.graph))
    assert smallest.error.startswith(("stage optimized", "after"))
    assert len(parse(smallest.graph).nodes) == 1  # a selection, or what is decomposed into one


def test_shrinking_keeps_the_defect() -> None:
    program = grow(random.Random(12), 20)

    def has_tanh(candidate) -> bool:
        return any(node.op.name == "tanh" for node in candidate.graph.nodes)

    assert has_tanh(program)
    small = shrink(program, has_tanh)
    assert [node.op.name for node in small.graph.nodes] == ["tanh"]
    assert len(small.graph.inputs) == len(small.arguments) == 1
    interpreted(small, random.Random(0))


def test_a_disagreement_names_who_is_wrong() -> None:
    assert str(Disagreement("native", "result 0 is off")) == "native: result 0 is off"
