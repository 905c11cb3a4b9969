"""Kernels of convolutions and their gradients, in whole images, in several and in strips."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from convolving import GEOMETRIES, TILINGS, planned
from running import assert_runs_alike, random_arguments
from tapeless.compiler.codegen import generate
from tapeless.compiler.codegen import tiling as choice
from tapeless.compiler.memory import plan_memory


def bodies(graph):
    return [n.attrs["body"] for n in graph.nodes if n.op.name == "fused"]


def convolutions(graph):
    kinds = [[n.op.name for n in body.nodes if n.op.kind == "dot"] for body in bodies(graph)]
    return sorted(name for kind in kinds for name in kind)


@pytest.fixture
def tiling(request, monkeypatch):
    for name, value in TILINGS[request.param].items():
        monkeypatch.setattr(choice, name, value)


@pytest.mark.parametrize("tiling", TILINGS, indirect=True)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_all_three_as_plain_python(geometry, tiling):
    graph = planned(*GEOMETRIES[geometry], np.float64)
    alike = "channel" not in geometry and "groups" not in geometry  # no reshape before the update
    assert convolutions(graph) == ["dot", "dot", "dot_acc" if alike else "dot"]
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("tiling", TILINGS, indirect=True)
@pytest.mark.parametrize("sums", [5, 40, 10**6])
def test_sums_of_f32_in_blocks(sums, tiling, monkeypatch):
    """Over some positions, over some images, over all."""
    monkeypatch.setattr(choice, "longest_sum", lambda p, dtype: sums)
    graph = planned(*GEOMETRIES["stride, padding"], np.float32)
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_native(dtype):
    graph = planned((5, 3, 12, 11), (8, 3, 3, 3), {"padding": 1}, dtype)
    assert_runs_alike(graph, random_arguments(graph))


def test_native_in_chunks(monkeypatch):
    monkeypatch.setattr(choice, "PER_NANOSECOND", 1e-6)
    graph = planned((5, 3, 12, 11), (8, 3, 3, 3), {"padding": 1}, np.float32)
    assert "split(" in generate(plan_memory(graph)).source
    assert_runs_alike(graph, random_arguments(graph))


@pytest.mark.parametrize("tiling", TILINGS, indirect=True)
@pytest.mark.parametrize("spec", ["nchwij,ocij->nohw", "nchwij,ocij->nhwo"])
@pytest.mark.parametrize("known", [True, False])
def test_added_to_an_argument(spec, known, tiling):
    """The factor known or not; written in place, and beside what is kept."""

    @tl.compile
    def step(y, z, x, k, factor):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(2, 3))
        moved = np.einsum(spec, windows, k) * (0.5 if known else factor)
        y -= moved
        return z + 2 * np.einsum(spec, windows, k + 1)

    x, k = np.ones((3, 2, 7, 6), np.float32), np.ones((4, 2, 3, 2), np.float32)
    y = np.ones((3, 4, 5, 5) if spec.endswith("nohw") else (3, 5, 5, 4), np.float32)
    graph = step.lower(y, y.copy(), x, k, 0.1).graph("fused")
    assert "dot_acc" in convolutions(graph)
    assert_runs_alike(graph, random_arguments(graph), native=False)


def from_its_kernel(w, x):
    view = np.lib.stride_tricks.sliding_window_view(x, 5, axis=2)
    w -= 0.1 * np.einsum("nchi,oci->noh", view, w)


def from_its_windows(w, x):
    view = np.lib.stride_tricks.sliding_window_view(w, 3, axis=0)
    w -= 0.1 * np.einsum("pci,fci->fp", view, x)


@pytest.mark.parametrize(
    ("step", "shapes"),
    [(from_its_kernel, [(16, 16, 5), (16, 16, 9)]), (from_its_windows, [(18, 16), (18, 16, 3)])],
)
@pytest.mark.parametrize("tiling", TILINGS, indirect=True)
def test_what_is_added_to_an_array_may_be_made_of_it(step, shapes, tiling):
    """Of the old one: tiles that follow must not read what was added to others."""
    rng = np.random.default_rng(0)
    w, x = (rng.standard_normal(shape) for shape in shapes)
    graph = tl.compile(step).lower(w, x).graph("fused")
    assert "dot_acc" in convolutions(graph)
    assert_runs_alike(graph, [w, x], native=False)


PER_CHANNEL = {
    "plain": ((3, 4, 7, 6), (4, 1, 3, 2), {}),
    "stride, padding": ((2, 3, 8, 9), (3, 1, 3, 2), {"stride": (2, 3), "padding": (1, 2)}),
    "dilation": ((2, 3, 9, 8), (3, 1, 2, 3), {"dilation": (2, 3)}),
    "one image": ((1, 3, 5, 6), (3, 1, 3, 3), {}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", PER_CHANNEL)
def test_kernels_of_each_channel_are_slices(geometry, dtype):
    """No windows anywhere, in neither derivative."""
    shape, weight, options = PER_CHANNEL[geometry]
    graph = planned(shape, weight, {**options, "groups": shape[1]}, dtype)
    ops = [n.op.name for g in (graph, *bodies(graph)) for n in g.nodes]
    assert not {"windows", "windows_add", "dot", "dot_acc"} & set(ops)
    assert_runs_alike(graph, random_arguments(graph), native=dtype == np.float32)


@pytest.mark.parametrize("weight", [(6, 1, 3, 3), (3, 1, 8, 8)])
def test_several_kernels_of_each_channel_and_large_ones(weight):
    graph = planned((2, 3, 9, 10), weight, {"groups": 3}, np.float64)
    assert "windows" in str(graph)
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("spec", ["nchwij,ijco->nhwo", "nchwij,ocij->nohw", "nchwij,cijo->nhwo"])
def test_other_orders_of_axes(spec):
    def windows(x):
        return np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(2, 3))

    @tl.compile
    def step(k, x):
        def loss(k, x):
            return np.sum(np.cos(np.einsum(spec, windows(x), k)))

        return tl.grad(loss, argnums=(0, 1))(k, x)

    extents = {"n": 3, "c": 2, "h": 4, "w": 3, "i": 2, "j": 3, "o": 5}
    k = np.ones([extents[c] for c in spec.split(",")[1].split("->")[0]])
    graph = step.lower(k, np.ones((3, 2, 5, 5))).graph("fused")
    assert convolutions(graph) == ["dot", "dot", "dot"]
    assert_runs_alike(graph, random_arguments(graph), native=False)


def test_no_array_of_all_windows():
    step = tl.compile(tl.grad(lambda k, x: np.sum(tl.nn.conv2d(x, k) ** 2)))
    x, k = np.ones((8, 4, 20, 20)), np.ones((6, 4, 5, 5))
    buffers = step.lower(k, x).memory().buffers
    assert max(buffer.nbytes for buffer in buffers) == 8 * (8 * 6 * 16 * 16)  # one array of outputs
