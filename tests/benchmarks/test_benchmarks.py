"""The benchmark harness: every peer does the same mathematics, and the table tells losses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def root_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`benchmarks` is not installed; it is run from the root."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


@pytest.mark.parametrize("name", ["logreg", "xor", "mlp_b1", "mlp_b32"])
def test_tapeless_trains_as_numpy_does(name: str) -> None:
    from benchmarks.workloads import WORKLOADS

    ours, numpys = (WORKLOADS[name].loop(peer, threads=1) for peer in ("tapeless", "numpy"))
    for steps in (1, 8, 50):
        assert ours(steps) == pytest.approx(numpys(steps), rel=1e-4)


def test_one_race_from_start_to_record(python: Callable[..., str], tmp_path: Path) -> None:
    record = tmp_path / "results.json"
    out = python("-m", "benchmarks", "xor", "--rounds=1", "--threads=1", f"--json={record}")
    assert "| `xor` |" in out
    facts = json.loads(record.read_text())
    runs = {run["peer"]: run for run in facts["workloads"]["xor"]}
    assert {"tapeless", "numpy"} <= set(runs)
    assert all(run["us"] > 0 and len(run["rounds_us"]) == 1 for run in runs.values())
    assert facts["machine"]["versions"]["numpy"]


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
    assert "| 20.0 (2t) | 10.0 (1t) | - | 0.50 (loss) | 0.33 (loss) |" in table({"xor": runs})


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
