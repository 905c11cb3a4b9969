import numpy as np
import tapeless as tl


@tl.compile
def step(p, x, lr):
    loss = np.mean(x @ p["w"])
    p["w"] -= lr * np.mean(x, axis=0)
    return loss


def arguments():
    return {"w": np.ones(4)}, np.arange(12.0).reshape(3, 4), 0.1


def test_the_three_ways_side_by_side():
    args = arguments()
    found = tl.compare(step, args, seconds=0.02)
    assert [row.name for row in found.rows] == [
        "interpreted, naive",
        "interpreted, optimised",
        "compiled",
    ]
    assert args[0]["w"].tolist() == [1, 1, 1, 1]
    for row in found.rows:
        assert row.us_per_step > 0
        assert row.steps_per_second == 1e6 / row.us_per_step
        assert row.samples_per_second == 3 * row.steps_per_second
        assert row.difference < 1e-12
    assert found.naive.speedup == 1
    assert found.compiled is found.rows[2]
    assert found.compile_seconds > 0
    assert found.break_even is None or found.break_even > 0
    lines = str(found).splitlines()
    assert lines[0].split() == ["step", "us/step", "steps/s", "samples/s", "speed-up", "difference"]
    assert len(lines) == 6 and lines[-1].startswith("compiled in")


def test_samples_and_keywords():
    p, x, lr = arguments()
    assert (
        tl.compare(step, (p, x), {"lr": lr}, seconds=0.01, samples=7).rows[0].samples_per_step == 7
    )

    @tl.compile
    def scale(p, lr):
        p["w"] *= lr

    found = tl.compare(scale, (p, lr), seconds=0.01)
    assert found.rows[0].samples_per_second is None
    assert "samples/s" in str(found)
