"""Convolutions with channels along the vectors, whose windows are not copied."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from convolving import GEOMETRIES, TILINGS, planned
from running import assert_runs_alike, random_arguments
from tapeless.compiler.codegen import generate, indirect
from tapeless.compiler.codegen import tiling as choice
from tapeless.compiler.memory import plan_memory

LARGER = {
    "rows of places": ((2, 7, 11, 12), (12, 7, 3, 5), {}),
    "stride, padding": ((2, 6, 12, 13), (16, 6, 3, 3), {"stride": 2, "padding": 1}),
    "many summed, dilation": ((3, 8, 10, 9), (37, 8, 3, 2), {"dilation": (1, 2)}),
    "groups": ((2, 12, 9, 9), (24, 6, 3, 3), {"groups": 2}),
}


@pytest.fixture
def always(monkeypatch):
    """However few channels and products there are."""
    for name in ("LEAST_CHANNELS", "LEAST_SUM"):
        monkeypatch.setattr(indirect, name, dict.fromkeys(("forward", "weights", "input"), 1))
    monkeypatch.setattr(indirect, "LEAST_POSITIONS", 1)


def source_of(graph):
    return generate(plan_memory(graph)).source


@pytest.mark.parametrize("way", ["several images", "strips", "chunks"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_all_three_as_plain_python(geometry, way, always, monkeypatch):
    for name, value in TILINGS[way].items():
        monkeypatch.setattr(choice, name, value)
    monkeypatch.setattr(choice, "POSITIONS", 9 if way == "strips" else 100)
    graph = planned(*GEOMETRIES[geometry], np.float64)
    assert source_of(graph).count("    indirect_f64(") >= 2
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("geometry", ["groups", "stride, padding", "one image, groups"])
def test_channels_in_panels(geometry, always, monkeypatch):
    """More channels than a panel has, the last panel not full."""
    monkeypatch.setattr(indirect, "PANEL", 64)
    (n, inner, *sizes), (out, per_group, *window), options = GEOMETRIES[geometry]
    shape, weight = (n, 11 * inner, *sizes), (5 * out, 11 * per_group, *window)
    graph = planned(shape, weight, options, np.float64)
    assert source_of(graph).count("w3 = minimum_i64(") >= 3
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("sums", [5, 40, 10**6])
def test_sums_of_f32_in_blocks(sums, always, monkeypatch):
    """Over some positions, over some images, over all."""
    monkeypatch.setattr(choice, "longest_sum", lambda p, dtype: sums)
    graph = planned(*GEOMETRIES["stride, padding"], np.float32)
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", LARGER)
def test_native(geometry, dtype, always, monkeypatch):
    monkeypatch.setattr(choice, "PER_NANOSECOND", 1.0)  # in chunks
    graph = planned(*LARGER[geometry], dtype)
    assert "gemm_" not in source_of(graph)
    assert_runs_alike(graph, random_arguments(graph))


def test_numbers_that_are_not_finite_stay_where_they_are(always):
    """One in the image reaches the windows it is in, one in the weights its channel; the channels
    that only pad meet none."""
    graph = planned((2, 7, 11, 12), (13, 7, 3, 3), {"padding": 1}, np.float32)
    k, x, lr = random_arguments(graph)
    x[0, 1, 4, 5], x[1, 2, 0, 0], k[7, 0, 1, 1] = np.nan, np.inf, -np.inf
    assert_runs_alike(graph, [k, x, lr])


def test_no_array_of_windows_however_large_the_image():
    step = tl.compile(tl.grad(lambda k, x: np.sum(tl.nn.conv2d(x, k) ** 2)))
    x, k = np.ones((1, 16, 300, 300), np.float32), np.ones((16, 16, 5, 5), np.float32)
    memory = step.lower(k, x).memory()
    assert max(buffer.nbytes for buffer in memory.buffers) < 1.1 * x.nbytes


def test_bits_do_not_depend_on_threads(always):
    def loss(k, x):
        return np.sum(np.sin(tl.nn.conv2d(x, k, padding=1)))

    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 16, 14, 14)).astype(np.float32)
    k = rng.standard_normal((32, 16, 3, 3)).astype(np.float32)
    steps = [tl.compile(tl.grad(loss, argnums=(0, 1)), threads=n) for n in (1, 2)]
    assert "split(" in str(steps[0].lower(k, x).source())
    for one, two in zip(*(step(k, x) for step in steps), strict=True):
        np.testing.assert_array_equal(one, two)


def test_overlapping_rows_are_not_in_one_tile(always):
    """Where windows of one tile overlap in both orders, each place inside them is alone."""
    graph = planned((2, 6, 6, 7), (16, 6, 3, 3), {}, np.float64)
    assert_runs_alike(graph, random_arguments(graph))
