"""Whole programs as people write them: NumPy, interpreted and compiled train alike for 20 steps."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from programs import char_lstm, classifier, convnet

STEPS = 20
TEXT = np.array([ord(letter) % 7 for letter in char_lstm.TEXT])

Batch = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """A network that trains itself, by hand-written derivatives or by those of tapeless.

    `batches` prepares the network for each step and gives its arguments. `programs` counts what is
    compiled for one shape: two where the first step finds no gradients or velocities yet.
    """

    make: Callable[[Any, bool], Any]
    batches: Callable[[Any, Any], Iterator[Batch]]
    gradients: Callable[..., Any]
    programs: int


def make_classifier(dtype: Any, by_hand: bool) -> Any:
    kind = classifier.Classifier if by_hand else classifier.DifferentiatedClassifier
    return kind([2, 12, 10, 3], np.random.default_rng(1), dtype)


def classifier_batches(net: Any, dtype: Any) -> Iterator[Batch]:
    rng = np.random.default_rng(2)
    x, y = classifier.spirals(rng)
    for _ in range(STEPS):
        batch = rng.choice(len(x), 16, replace=False)
        net.draw_masks(rng, 16)
        yield x[batch].astype(dtype), y[batch]


def make_convnet(dtype: Any, by_hand: bool) -> Any:
    kind = convnet.ConvNet if by_hand else convnet.DifferentiatedConvNet
    rng = np.random.default_rng(3)
    return convnet.Solver(kind(num_filters=(2, 3), dtype=dtype, rng=rng))


def convnet_batches(solver: Any, dtype: Any) -> Iterator[Batch]:
    rng = np.random.default_rng(4)
    return (convnet.bars(rng, 4, dtype) for _ in range(STEPS))


def make_char_lstm(dtype: Any, by_hand: bool) -> Any:
    kind = char_lstm.CharLSTM if by_hand else char_lstm.DifferentiatedCharLSTM
    return kind("abcdefg", batch=2, embed=3, hidden=5, dtype=dtype, rng=np.random.default_rng(5))


def char_lstm_batches(net: Any, dtype: Any) -> Iterator[Batch]:
    found = char_lstm.batches(TEXT, 2, 6)
    return (next(found) for _ in range(STEPS))


PROGRAMS = {
    "classifier": Program(
        make_classifier, classifier_batches, lambda net, x, y: net.gradients(x, y)[::2], 2
    ),
    "convnet": Program(
        make_convnet, convnet_batches, lambda solver, x, y: solver.model.loss(x, y), 2
    ),
    "char_lstm": Program(make_char_lstm, char_lstm_batches, lambda net, x, y: net.loss(x, y), 1),
}


def numbers(x: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array and number an object holds, by where it is."""
    if isinstance(x, (np.ndarray, np.generic, float, int)) and not isinstance(x, bool):
        yield name, np.asarray(x)
    elif isinstance(x, dict):
        for key, child in x.items():
            yield from numbers(child, f"{name}.{key}")
    elif isinstance(x, (list, tuple)):
        for k, child in enumerate(x):
            yield from numbers(child, f"{name}.{k}")
    elif type(x).__module__.startswith("programs."):
        yield from numbers(vars(x), name)


def trained(
    program: Program, dtype: Any, step: Callable[..., Any], by_hand: bool = True
) -> dict[str, np.ndarray]:
    """What 20 steps return, and what the network holds after them."""
    net = program.make(dtype, by_hand)
    results = []
    for batch in program.batches(net, dtype):
        results.append(step(net, *batch))
        getattr(net, "loss_history", []).append(results[-1])
    return dict(numbers({"results": results, "state": net}))


def by_numpy(net: Any, *batch: Any) -> Any:
    return net.step(*batch)


def distance(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in units of the largest element (at least 1e-3)."""
    gap = np.abs(actual.astype(float) - expected.astype(float))
    return float(np.max(gap) / max(float(np.max(np.abs(expected))), 1e-3))


def assert_equal(
    actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], limit: float = 1e-9
) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert distance(actual[name], array) <= limit, name


@pytest.mark.parametrize("name", PROGRAMS)
def test_trains_as_in_numpy(name: str) -> None:
    """Losses, parameters, running statistics, moments, counters, caches: after 20 steps in f64 they
    are NumPy's."""
    program = PROGRAMS[name]
    expected = trained(program, np.float64, by_numpy)
    step = tl.compile(type(program.make(np.float64, True)).step)
    assert_equal(trained(program, np.float64, step), expected)
    assert len(step.programs) == program.programs
    assert_equal(trained(program, np.float64, step.interpret), expected)
    assert len(step.programs) == program.programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_single_precision_is_as_close_as_numpys(name: str) -> None:
    """Training amplifies rounding: what NumPy's own f32 run loses against f64 says how much. The
    compiled run adds in another order and may lose a few times that."""
    program = PROGRAMS[name]
    exact = trained(program, np.float64, by_numpy)
    rounded = trained(program, np.float32, by_numpy)
    step = tl.compile(type(program.make(np.float32, True)).step)
    for run in (step, step.interpret):
        actual = trained(program, np.float32, run)
        assert actual.keys() == rounded.keys()
        for where, array in actual.items():
            assert (array.dtype, array.shape) == (rounded[where].dtype, rounded[where].shape), where
            lost = distance(rounded[where], exact[where])
            assert distance(array, exact[where]) <= 4 * lost + 1e-5, where
    assert len(step.programs) == program.programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_are_those_written_by_hand(name: str) -> None:
    program = PROGRAMS[name]
    for dtype, limit in ((np.float64, 1e-12), (np.float32, 1e-5)):
        nets = [program.make(dtype, by_hand) for by_hand in (True, False)]
        (batch, *_), (same, *_) = (list(program.batches(net, dtype)) for net in nets)
        np.testing.assert_array_equal(batch[0], same[0])
        expected = dict(numbers(program.gradients(nets[0], *batch)))
        actual = dict(numbers(tl.compile(program.gradients).interpret(nets[1], *batch)))
        assert len(expected) > 6
        assert_equal(actual, expected, limit)


@pytest.mark.parametrize("name", PROGRAMS)
def test_trains_alike_without_derivatives_by_hand(name: str) -> None:
    """Compiled value_and_grad against the backward pass in NumPy. Gradients are not kept."""
    program = PROGRAMS[name]
    expected = trained(program, np.float64, by_numpy)
    step = tl.compile(type(program.make(np.float64, False)).step)
    actual = trained(program, np.float64, step, by_hand=False)
    assert_equal(actual, {k: v for k, v in expected.items() if ".grads." not in k})
    assert len(step.programs) <= program.programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_runs(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled and with NumPy alone it prints the same."""
    main = {"classifier": classifier, "convnet": convnet, "char_lstm": char_lstm}[name].main
    printed = []
    for arguments in ([], ["numpy"]):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        main()
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 6


def test_a_program_runs_alone(python: Callable[..., str]) -> None:
    assert "loss" in python(str(Path(convnet.__file__)), "numpy")
