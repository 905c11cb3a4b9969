"""The benchmark harness: every peer does the same mathematics, and the table tells losses."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def root_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`benchmarks` is not installed; it is run from the root."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


def _tiny() -> dict[str, Any]:
    """Every training step, with at most 12 of everything."""
    from benchmarks.peers import workload
    from benchmarks.workloads import elem, lenet
    from benchmarks.workloads.dense import AUTOENCODER, NETWORKS

    small = [
        replace(network, sizes=tuple(min(n, 12) for n in network.sizes), rows=min(network.rows, 8))
        for network in (*NETWORKS, AUTOENCODER)
    ]
    problems = [network.problem() for network in small]
    problems += [elem.problem(30), lenet.problem(2, 16, (2, 3))]
    return {problem.name: workload(problem) for problem in problems}


STEPS = [
    *("logreg", "xor", "softmax", "mlp_b1", "mlp_b32", "mlp_b128", "mlp_adam"),
    *("deep", "wide", "elem", "lenet", "autoenc"),
]


@pytest.mark.parametrize("name", STEPS)
def test_tapeless_trains_as_numpy_does(name: str) -> None:
    ours, numpys = (_tiny()[name].loop(peer, threads=1) for peer in ("tapeless", "numpy"))
    for steps in (1, 8, 20):
        assert ours(steps) == pytest.approx(numpys(steps), rel=1e-4)


@pytest.mark.parametrize("name", ["lstm", "attention", "experts"])
def test_networks_of_other_kinds_train(name: str) -> None:
    """The first loss is the eager one, and training lowers it."""
    import tapeless as tl

    from benchmarks.peers import workload
    from benchmarks.workloads import MORE, sequences

    small = {
        "lstm": sequences.lstm(3, 4, 5, 6),
        "attention": sequences.attention(2, 5, 8, 2),
        "experts": sequences.experts(6, 4, 5, 3),
    }
    assert set(small) == set(MORE)
    problem = small[name]
    rng = np.random.default_rng(0)
    params, (x, y) = problem.params(rng), problem.batch(rng)
    expected = problem.loss(tl.nn, params, x, y)
    loop = workload(problem).loop("tapeless", threads=1)
    first = loop(1)
    assert first == pytest.approx(float(expected), rel=1e-5)
    loop(400)
    assert loop(1) < first  # every call starts with the same batch
    assert "numpy" not in workload(problem).peers


def test_every_training_step_is_tested_here() -> None:
    from benchmarks.workloads import STEPS as steps

    assert set(steps) == set(_tiny()) == set(STEPS)


def test_nothing_of_a_peer_is_imported_with_the_workloads(python: Callable[..., str]) -> None:
    out = python("-c", IMPORTED)
    assert out.strip() == "[]"


IMPORTED = """
import sys, benchmarks.__main__
heavy = {"autograd", "jax", "matplotlib", "numba", "pytensor", "tapeless", "torch"}
print(sorted(heavy & set(sys.modules)))
"""


def test_one_race_from_start_to_record(python: Callable[..., str], tmp_path: Path) -> None:
    record = tmp_path / "results.json"
    out = python(
        *("-m", "benchmarks", "xor", "--rounds=1", "--threads=1", f"--json={record}"),
        *("--peers", "numpy"),
    )
    assert "| `xor` |" in out
    assert "Geometric mean" in out
    facts = json.loads(record.read_text())
    runs = {run["peer"]: run for run in facts["workloads"]["xor"]}
    assert set(runs) == {"tapeless", "numpy"}
    assert all(run["us"] > 0 and len(run["rounds_us"]) == 1 for run in runs.values())
    firsts = [run[kind] for run in runs.values() for kind in ("cold", "cached")]
    assert all(first["seconds"] > 0 for first in firsts)
    assert all(first["peak_mb"] is None or first["peak_mb"] > 10 for first in firsts)
    assert facts["machine"]["versions"]["numpy"]
    assert record.with_suffix(".png").exists() == bool(find_spec("matplotlib"))


def test_rows_of_an_earlier_run_can_be_kept(tmp_path: Path) -> None:
    from benchmarks.race import First, Run
    from benchmarks.report import read_record, record

    file, facts = tmp_path / "results.json", {"cpu": "a", "date": "2020-01-01", "rounds": 1}
    results = {"xor": [Run("numpy", 2, First(1.0, 2.0), First(3.0, None), 0.5, [4.0, 5.0])]}
    assert read_record(file, facts) == {}
    file.write_text(json.dumps(record(results, facts)))
    assert read_record(file, facts | {"date": "2020-01-02"}) == results
    with pytest.raises(SystemExit, match="measured with other rounds; leave out --add"):
        read_record(file, facts | {"rounds": 2})


def test_a_peer_that_is_not_installed_is_left_out() -> None:
    from benchmarks.peers import MODULES
    from benchmarks.race import installed

    assert MODULES["torch_compile"] == "torch"
    assert installed(["tapeless", "numpy", "no_such_library"], sys.executable) == [
        "tapeless",
        "numpy",
    ]


def test_a_peer_that_fails_says_so_and_the_race_goes_on() -> None:
    from benchmarks.race import race
    from benchmarks.workloads import WORKLOADS

    runs, failures = race(WORKLOADS["xor"], ["numpy", "nobody"], [1], rounds=1)
    assert [run.peer for run in runs] == ["numpy"]
    assert failures == ["xor: nobody with 1 threads ended: KeyError: 'nobody'"]


def test_a_peer_that_takes_too_long_is_left_out() -> None:
    from benchmarks.race import race
    from benchmarks.workloads import WORKLOADS

    runs, failures = race(WORKLOADS["xor"], ["numpy"], [1], rounds=1, limit=0.01)
    assert not runs
    assert failures == ["xor: numpy was not warm after 0.01 s"]


def test_another_loss_is_other_mathematics() -> None:
    from benchmarks.race import Run, different
    from benchmarks.workloads import WORKLOADS

    runs = [Run("tapeless", 1, loss=0.5), Run("numpy", 1, loss=0.6), Run("jax", 1, loss=0.60001)]
    (line,) = different(WORKLOADS["xor"], runs)
    assert line == "xor: tapeless is left out, its loss is 0.5, not 0.6 as by numpy"


def test_a_loss_is_called_one() -> None:
    from benchmarks.race import Run
    from benchmarks.report import ratio, table

    runs = [
        Run(peer, threads, rounds_us=[us])
        for peer, threads, us in (
            *(("tapeless", 1, 30.0), ("tapeless", 2, 20.0)),
            *(("numpy", 1, 10.0), ("numpy", 2, 40.0)),
        )
    ]
    assert ratio(runs) == 0.5
    assert ratio(runs, threads=2) == 2.0
    text = table({"xor": runs})
    assert "| 20.0 (2t) | 10.0 (1t) | 0.50 (loss) | 30.0 | 10.0 (numpy) | 0.33 (loss) |" in text
    assert "mean of best peer / tapeless: 0.50; lost: `xor` to numpy (0.50)." in text


def test_functions_race_numpys(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import elementary

    elementary.main(["exp", "arctan2", "--size", "1000"])
    text = capsys.readouterr().out
    assert "| `exp` | " in text
    assert "| `arctan2` | " in text
    assert text.count("\n| `") == 2
    names = [name for name, *_ in elementary.rows()]
    assert {"tan", "power", "hypot", "sin up to 1e+30"} <= set(names)
    assert "| `f` | 2.00 | 1.00 | 0.50 (loss) | 1.00 | 3.00 | 3.00 |" in elementary.table(
        [("f", [[2.0, 1.0], [1.0, 3.0]])]
    )


def test_sorts_race_numpys(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import sorting

    sorting.main(["median", "--most", "100"])
    assert capsys.readouterr().out.count("\n| `median, 100` | ") == 1
    assert "8 values" in sorting.DATA


def test_results_replace_the_old_ones(tmp_path: Path) -> None:
    from benchmarks.__main__ import BEGIN, END, write_results

    readme = tmp_path / "README.md"
    begin = BEGIN.format("hessians")
    readme.write_text(f"above\n{begin}\nold\n{END}\nbelow\n")
    write_results(readme, "hessians", "new")
    assert readme.read_text() == f"above\n{begin}\nnew\n{END}\nbelow\n"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", ["logistic", "factorisation", "network"])
def test_both_hessians_are_the_derivative_of_the_gradient(problem: str, dtype: str) -> None:
    import tapeless as tl

    from benchmarks.workloads import hessians

    small = {"logistic": (5,), "factorisation": (6, 2), "network": (4, 3, 5)}
    made = getattr(hessians, problem)(*small[problem])
    workload = hessians.workload(made, getattr(np, dtype))
    params, (x, y) = (
        workload.params(np.random.default_rng(0)),
        workload.batch(np.random.default_rng(1)),
    )
    assert params["w"].dtype == x.dtype == dtype
    loops = [workload.peers[p](params, [(x, y)], 0.0, 1) for p in ("tapeless", "structured")]

    loss = made.loss(np, tl.nn)
    w, step = params["w"].astype(np.float64), 1e-6
    unit = np.zeros(w.shape)
    unit.flat[0] = step
    double = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in (x, y)]
    plus, minus = (tl.grad(loss)(w + d, *double) for d in (unit, -unit))
    expected = np.linalg.norm((plus - minus) / (2 * step))
    for loop in loops:
        assert loop(1) == pytest.approx(expected, rel=1e-3)


def test_the_first_result_is_timed_in_fresh_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.start import COLUMNS, run

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    cold, warm = run(str(tmp_path)), run(str(tmp_path))
    assert len(cold) == len(warm) == len(COLUMNS) + 1
    assert all(part > 0 for part in (*cold, *warm))
    assert cold[-1] == cold[1] + cold[3]


@pytest.mark.parametrize("name", ["layers", "mixed"])
def test_compiling_splits_the_time(python: Callable[..., str], name: str) -> None:
    found = json.loads(python("-m", "benchmarks.compiling", "25", "--child", name))
    assert found["ops"] > 10 and found["calls"] >= found["kernels"] >= 1
    assert found["phases"].keys() >= {"trace", "fused", "codegen", "lower", "llvm", "link"}
    assert found["all"] > 0 and all(seconds >= 0 for seconds in found["phases"].values())
