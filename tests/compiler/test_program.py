"""Programs: stages, texts, reports, and running one by hand."""

import linecache
import re

import numpy as np
import pytest
import tapeless as tl
from tapeless import ir
from tapeless.compiler.pipeline import STEPS
from tapeless.ir.builder import rebuild
from tapeless.ir.errors import ShapeError, VerifyError

STAGES = ("trace", "stable", "autodiff", "jacobian-free", "optimized", "fused", "planned")


@tl.compile
def step(p, x, y, lr):
    def loss_fn(p):
        h = np.tanh(x @ p["w"])
        return tl.nn.cross_entropy(h @ p["v"], y)

    loss, g = tl.value_and_grad(loss_fn)(p)
    for k in p:
        p[k] -= lr * g[k]
    return loss


def arguments(dtype=np.float64):
    random = np.random.default_rng(1)
    p = {
        "w": random.normal(size=(4, 5)).astype(dtype),
        "v": random.normal(size=(5, 3)).astype(dtype),
    }
    return p, random.normal(size=(6, 4)).astype(dtype), random.integers(0, 3, 6), 0.1


@pytest.fixture
def program():
    return step.lower(*arguments())


def test_stages(program):
    assert program.stages == STAGES
    for stage in STAGES:
        text = program.ir(stage)
        assert str(program.graph(stage)) == text
        assert str(ir.parse(text)) == text
        ir.verify(program.graph(stage))
    assert program.ir() == program.ir("optimized")


def test_an_unknown_stage_is_refused_with_the_list(program):
    with pytest.raises(ValueError, match="no stage 'grad'; the stages are trace, stable"):
        program.ir("grad")


def test_each_stage_is_what_its_name_says(program):
    assert "gradient" in program.ir("trace")
    assert "jacobian" in program.ir("autodiff") and "gradient" not in program.ir("autodiff")
    for stage in STAGES[3:]:
        assert "jacobian %" not in program.ir(stage) and "contract" not in program.ir(stage)
    assert "@arena+" in program.ir("planned") or "@in0" in program.ir("planned")


def test_diff_is_a_unified_diff_of_the_texts(program):
    lines = program.diff("autodiff", "jacobian-free").splitlines()
    assert lines[:2] == ["--- autodiff", "+++ jacobian-free"]
    assert any(line.startswith("-") and "jacobian" in line for line in lines)
    assert program.diff("trace", "trace") == ""


def test_lowering_executes_and_compiles_nothing():
    p, x, y, lr = arguments(np.float32)
    before = {k: v.copy() for k, v in p.items()}
    made = tl.compile(step.function).lower(p, x, y, lr)
    assert not made.compiled
    for k in p:
        np.testing.assert_array_equal(p[k], before[k])


@pytest.mark.parametrize("stage", STAGES[2:])
def test_interpret_works_on_copies_and_returns_what_the_step_returns(program, stage):
    p, x, y, lr = arguments()
    before = {k: v.copy() for k, v in p.items()}
    loss = program.interpret(stage, p, x, y, lr)
    assert all((p[k] == before[k]).all() for k in p)
    np.testing.assert_allclose(loss, step(p, x, y, lr), rtol=1e-13)


def test_run_writes_like_the_call(program):
    (p, x, y, lr), (q, *_) = arguments(), arguments()
    assert program.run(p, x, y, lr) == step(q, x, y, lr)
    for k in p:
        np.testing.assert_array_equal(p[k], q[k])


def test_arguments_of_another_program_are_refused(program):
    p, x, y, lr = arguments()
    with pytest.raises(ShapeError, match=r"other arguments: x: f64\[6,4\] -> f64\[3,4\]"):
        program.run(p, x[:3], y[:3], lr)
    with pytest.raises(ShapeError, match="structure"):
        program.verify({"w": p["w"]}, x, y, lr)


# --- reports -------------------------------------------------------------------------------


def test_zeros(program):
    report = program.zeros()
    by_name = {(row.result, row.wrt): row for row in report}
    row = next(r for (_, wrt), r in by_name.items() if wrt == "p.w")
    assert row.shape == (4, 5, 6, 5)
    assert (row.elements, row.nonzeros, row.nbytes) == (600, 120, 4800)
    assert row.loc.file.endswith("test_program.py")
    assert "matmul" in row.instead[0]
    assert report.elements > 5 * report.nonzeros
    assert "never built" in str(report)


def test_cost(program):
    report = program.cost()
    dots = next(row for row in report.rows if row.op == "dot")
    # x @ w, h @ v, and their three gradients
    assert dots.flops == 2 * (2 * 6 * 4 * 5 + 3 * 6 * 5 * 3)
    assert report.flops > dots.flops and report.nbytes > 0
    assert str(report).splitlines()[0].startswith(f"step: {report.flops:,} operations")


def test_memory(program):
    report = program.memory()
    assert report.updated_bytes == (20 + 15) * 8
    assert report.argument_bytes == report.updated_bytes + 24 * 8 + 6 * 8 + 8
    assert report.output_bytes == 8
    assert report.arena_bytes > 0
    assert len(report.names) == len(report.buffers)
    assert "updated in place" in str(report)


def test_timings_grow_by_the_native_phases_when_compiled():
    made = tl.compile(step.function, cache=False).lower(*arguments())
    before = made.timings()
    made.run(*arguments())
    after = made.timings()
    assert [p.name for p in before.phases] == [p.name for p in after.phases][: len(before.phases)]
    assert {p.stage for p in after.phases} - {p.stage for p in before.phases} == {"native"}
    assert after.seconds > before.seconds
    assert "autodiff" in str(after)


def test_generated_texts(program):
    source = program.source()
    assert source.language == "python"
    assert "def step(" in source
    with open(source.path) as file:
        assert file.read() == source
    assert "define" in program.llvm() and program.llvm().language == "llvm"
    assert program.asm().strip() and program.asm().language == "asm"


def test_without_cache_no_file_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    made = tl.compile(step.function, cache=False).lower(*arguments())
    made.run(*arguments())
    assert list(tmp_path.rglob("*")) == []
    assert "def step(" in "".join(linecache.getlines(made.source().path))


@pytest.mark.parametrize(("value", "lines"), [("1", 1), ("yes", 1), ("0", 0), ("off", 0), ("", 0)])
def test_the_log_says_how_long_it_took(monkeypatch, capsys, value, lines):
    monkeypatch.setenv("TAPELESS_LOG", value)
    tl.compile(step.function, cache=False)(*arguments())
    log = capsys.readouterr().err
    assert log.count("\n") == lines
    if lines:
        assert re.search(r"step compiled in \S+ m?s, \S+ m?s of it native code \(first call\)", log)


# --- verify --------------------------------------------------------------------------------


def test_verify_compares_every_stage_and_native_on_copies(program):
    p, x, y, lr = arguments()
    before = {k: v.copy() for k, v in p.items()}
    report = program.verify(p, x, y, lr)
    assert [row.stage for row in report.rows] == [*STAGES, "native"]
    assert report.error < 1e-12
    assert report.rows[0].error is None and "not expanded" in report.rows[0].note
    assert "all executors agree" in str(report)
    assert all((p[k] == before[k]).all() for k in p)


def test_verify_names_the_guilty_pass_the_op_and_the_line(monkeypatch):
    def sabotage(graph):
        def visit(b, node, operands):
            return [b.sin(operands[0])] if node.op.name == "tanh" else None

        return rebuild(graph, visit)

    at = next(k for k, s in enumerate(STEPS) if s.stage == "optimized")
    bad = STEPS[at]._replace(run=sabotage)
    steps = (*STEPS[:at], bad, *STEPS[at:])
    monkeypatch.setattr("tapeless.compiler.pipeline.STEPS", steps)
    broken = tl.compile(step.function).lower(*arguments())
    with pytest.raises(
        VerifyError, match=r"%h is wrong by .*sin.* at test_program\.py:\d+ after pass 'sabotage'"
    ):
        broken.verify(*arguments())


def test_verify_catches_wrong_native_code(monkeypatch):
    made = tl.compile(step.function).lower(*arguments())
    right = made.native.call

    class Wrong:
        def call(self, leaves, prepare=None):
            return tuple(x + 1 for x in right(leaves))

    monkeypatch.setattr(made, "_native", Wrong())
    with pytest.raises(VerifyError, match=r"result 0 is wrong by .* in native code"):
        made.verify(*arguments())


def test_a_stage_with_requests_means_their_expansion():
    def step(w, x):
        loss, g = tl.value_and_grad(lambda w: np.sum(np.tanh(x @ w) ** 2))(w)
        w -= 0.1 * g
        return loss

    rng = np.random.default_rng(0)
    w, x = rng.normal(size=4), rng.normal(size=(3, 4))
    program = tl.compile(step).lower(w, x)
    results = [program.interpret(stage, w, x) for stage in program.stages]
    np.testing.assert_allclose(results, results[0], rtol=1e-12)
    (loss,), (updated,) = tl.interpret(program.graph("trace"), w, x)
    np.testing.assert_allclose(loss, results[0], rtol=1e-12)
    assert not np.array_equal(updated, w)
