"""The pipeline: stages, verification, counting, dumping and skipping."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tapeless.compiler import pipeline
from tapeless.compiler.pipeline import STAGES, STEPS, Step, lower
from tapeless.ir.errors import TapelessError, VerifyError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.rewriting.rules import RulePass

TEXT = """step(%w:f64[3,2], %x:f64[4,3], %y:i64[4], %lr:f64[]) {
  %a:f64[3,2] = arg %w
  %z:f64[4,2] = matmul %x, %a
  %e:f64[4,2] = exp %z
  %s:f64[4] = sum %e [axes=(1)]
  %k:f64[4,1] = reshape %s [shape=(4,1)]
  %p:f64[4,2] = div %e, %k
  %i:i64[4] = iota [n=4]
  %q:f64[4] = gather %p, %i, %y [axes=(0,1)]
  %l:f64[4] = log %q
  %t:f64[] = sum %l [axes=(0)]
  %loss:f64[] = div %t, -4.0
  %g:f64[3,2] = gradient %loss wrt %a
  %d:f64[3,2] = mul %g, %lr
  %n:f64[3,2] = sub %w, %d
  %w <- %n
} -> %loss"""


@pytest.fixture(autouse=True)
def no_debug_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAPELESS_DUMP", raising=False)
    monkeypatch.delenv("TAPELESS_SKIP", raising=False)


@pytest.fixture
def graph() -> Graph:
    return parse(TEXT)


@pytest.fixture
def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))
    return [w, x, np.array([0, 1, 1, 0]), np.array(0.1)]


def test_stages_in_order_and_equal(graph: Graph, arrays: list[np.ndarray]) -> None:
    lowered = lower(graph, verify=True)
    assert tuple(lowered.graphs) == STAGES
    assert lowered.graphs["trace"] is graph
    reference = evaluate(lowered.graphs["autodiff"], arrays)
    for stage in STAGES[2:]:
        for ours, theirs in zip(evaluate(lowered.graphs[stage], arrays), reference, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_trace_is_left_alone(graph: Graph) -> None:
    lower(graph)
    assert str(graph) == TEXT


def test_deterministic(graph: Graph) -> None:
    one, two = lower(graph), lower(parse(TEXT))
    assert {s: str(g) for s, g in one.graphs.items()} == {s: str(g) for s, g in two.graphs.items()}
    assert one.fired == two.fired


@pytest.mark.parametrize("stage", STAGES)
def test_until(graph: Graph, stage: str) -> None:
    assert tuple(lower(graph, until=stage).graphs) == STAGES[: STAGES.index(stage) + 1]


def test_until_an_unknown_stage(graph: Graph) -> None:
    with pytest.raises(ValueError, match="no stage 'fast'; the stages are trace, stable"):
        lower(graph, until="fast")


def test_without_optimisation(graph: Graph, arrays: list[np.ndarray]) -> None:
    plain = lower(graph, optimize=False, verify=True)
    assert plain.graphs["stable"] is graph
    assert {t.name for t in plain.timings} == {s.name for s in STEPS if s.required}
    names = {n.op.name for n in plain.graphs["planned"].nodes}
    assert not names & {"gradient", "arg", "jacobian", "contract", "softmax", "logsumexp"}
    (loss,), (w,) = evaluate(plain.graphs["planned"], arrays)
    (loss2,), (w2,) = evaluate(lower(graph).graphs["planned"], arrays)
    np.testing.assert_allclose(loss, loss2)
    np.testing.assert_allclose(w, w2)


def test_timings_and_firings(graph: Graph) -> None:
    lowered = lower(graph)
    assert [(t.stage, t.name) for t in lowered.timings] == [(s.stage, s.name) for s in STEPS]
    assert all(t.seconds >= 0 for t in lowered.timings)
    assert lowered.timings[0].before == len(graph.nodes)
    assert lowered.timings[-1].after == len(lowered.graphs["planned"].nodes)
    assert lowered.fired["log_softmax"] == 1
    assert lowered.fired["accumulate"] == 1


def test_every_step_has_a_reason_and_a_stage() -> None:
    assert all(step.reason and step.stage in STAGES[1:] for step in STEPS)
    order = [STAGES.index(step.stage) for step in STEPS]
    assert order == sorted(order)


def test_skip_a_rule_and_a_pass(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPELESS_SKIP", "log_softmax, cse")
    lowered = lower(graph, verify=True)
    assert lowered.fired["log_softmax"] == 0
    assert "cse" not in {t.name for t in lowered.timings}
    assert "log" in {n.op.name for n in lowered.graphs["stable"].nodes}


@pytest.mark.parametrize("name", [s.name for s in STEPS if s.required])
def test_required_passes_cannot_be_skipped(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TAPELESS_SKIP", f"cse,{name}")
    with pytest.raises(TapelessError, match=f"TAPELESS_SKIP: {name} cannot be skipped"):
        lower(graph)


def test_skip_of_nothing_known(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPELESS_SKIP", "csee")
    with pytest.raises(TapelessError, match=r"TAPELESS_SKIP: no pass or rule named csee; .* cse"):
        lower(graph)


def test_dump_to_a_folder(graph: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPELESS_DUMP", str(tmp_path / "new"))
    lowered = lower(graph)
    (folder,) = (tmp_path / "new").iterdir()
    assert folder.name.startswith("step-")
    files = sorted(folder.iterdir())
    assert files[0].name == "00-trace.ir"
    assert files[0].read_text() == f"{graph}\n"
    assert files[-1].read_text() == f"{lowered.graphs['planned']}\n"
    texts = [file.read_text() for file in files]
    assert all(a != b for a, b in pairwise(texts)), "dumped without a change"
    for text in texts:
        assert f"{parse(text)}\n" == text
    lower(graph, optimize=False)
    fewer = sorted(folder.iterdir())
    assert len(fewer) < len(files), "files of another run lie between those of this one"
    assert not any("fuse" in file.name for file in fewer)


def test_dump_to_a_file_is_refused(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "dump"
    file.write_text("")
    monkeypatch.setenv("TAPELESS_DUMP", str(file))
    with pytest.raises(OSError, match=r"TAPELESS_DUMP=.* name a folder, or - for stderr"):
        lower(graph)


def test_dump_to_stderr(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAPELESS_DUMP", "-")
    lower(graph, until="stable")
    out, err = capsys.readouterr()
    assert out == ""
    assert "# trace\nstep(" in err
    assert "# stable-stable\nstep(" in err


def test_verification_names_the_guilty_pass(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(graph: Graph) -> Graph:
        return Graph(graph.name, graph.inputs, graph.nodes[1:], graph.outputs, graph.updates)

    steps = (*STEPS[:2], Step("stable", spoil, "to be caught"), *STEPS[2:])
    monkeypatch.setattr(pipeline, "STEPS", steps)
    with pytest.raises(VerifyError, match="spoil"):
        lower(graph, verify=True)


def test_rule_names_are_unique() -> None:
    """One name skips one rule, in whichever pass it occurs."""
    rules = {r for s in STEPS if isinstance(s.run, RulePass) for r in s.run.rules}
    assert len({rule.name for rule in rules}) == len(rules)
    assert not {rule.name for rule in rules} & ({s.name for s in STEPS} - {"softmax"})
