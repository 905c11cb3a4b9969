"""Transposed convolution: the loops of a convolution's gradient, torch's values and shapes."""

import numpy as np
import pytest
import tapeless as tl
from loops import convolution_gradients, convolved
from tapeless.ir.errors import ShapeError

nn = tl.nn
LIMIT = {np.float32: 2e-5, np.float64: 1e-12}
CASES = [
    # result, weight, stride, padding, dilation, groups, output_padding
    ((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1, (0, 0)),
    ((2, 3, 7, 8), (4, 3, 2, 2), (2, 2), (0, 0), (1, 1), 1, (1, 0)),
    ((2, 3, 7, 8), (2, 3, 2, 3), (2, 1), (2, 1), (3, 2), 1, (1, 0)),
    ((2, 4, 6, 5), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2, (1, 0)),
]


def numbers(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def drawn(case, dtype):
    """Input, weight, bias; what the result is, and what else the convolution is given."""
    shape, weight, *options, more = case
    image, w, b = numbers(shape, weight, (shape[1],), dtype=np.float64)
    (x,) = numbers(convolved(image, w, *options).shape, dtype=np.float64)
    y = convolution_gradients(x, image, w, *options)[0] + b[:, None, None]
    stride, padding, dilation, groups = options
    named = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return [a.astype(dtype) for a in (x, w, b)], y, named | {"output_padding": more}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_loops_of_a_gradient(case, dtype):
    arguments, y, options = drawn(case, dtype)
    compiled = tl.compile(lambda x, w, b: nn.conv_transpose2d(x, w, b, **options))
    for found in (
        nn.conv_transpose2d(*arguments, **options),
        compiled(*arguments),
        compiled.interpret(*arguments),
    ):
        assert found.dtype == dtype and found.shape == y.shape
        np.testing.assert_allclose(found, y, rtol=0, atol=LIMIT[dtype] * np.max(np.abs(y)))


def test_derivatives_of_first_and_second_order():
    x, w, b = numbers((1, 2, 3, 2), (2, 1, 2, 2), (2,))

    def loss(x, w, b):
        return np.sum(np.tanh(nn.conv_transpose2d(x, w, b, 2, 1, 1, groups=2)))

    tl.check_grads(loss, (x, w, b), order=2)


def test_one_axis_and_no_batch():
    x, w = numbers((2, 3, 5), (3, 2, 4))
    y = nn.conv_transpose1d(x, w, stride=2, padding=1)
    flat = nn.conv_transpose2d(x[:, :, None], w[:, :, None], stride=(1, 2), padding=(0, 1))
    np.testing.assert_allclose(y, flat[:, :, 0], rtol=0, atol=1e-14)
    alone = nn.conv_transpose1d(x[0], w, stride=2, padding=1)
    np.testing.assert_allclose(alone, y[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("x", "w", "options", "words"),
    [
        ((1, 2, 3, 3), (3, 2, 2, 2), {}, "do not fit"),
        ((1, 2, 3, 3), (2, 2, 2), {}, "must have 4 axes"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"groups": 3}, "do not divide"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"output_padding": 1}, "smaller than stride"),
        ((1, 2, 1, 1), (2, 2, 2, 2), {"padding": 1}, "leaves nothing"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"bias": np.zeros(3)}, "must have the shape (2,)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(x, w, options, words):
    with pytest.raises(ShapeError) as error:
        nn.conv_transpose2d(*numbers(x, w), **options)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_forward_and_both_gradients_are_kernels_of_convolutions():
    x, w = numbers((4, 8, 8, 8), (8, 4, 2, 2), dtype=np.float32)

    def loss(x, w):
        return np.sum(np.tanh(nn.conv_transpose2d(x, w, stride=2)))

    step = tl.compile(lambda x, w: tl.value_and_grad(loss, argnums=(0, 1))(x, w))
    names = {node.op.name for node in step.lower(x, w).graph("planned").nodes}
    assert not {"dot", "windows", "windows_add"} & names


def test_equals_torch():
    torch = pytest.importorskip("torch")
    for case in CASES:
        arguments, _, options = drawn(case, np.float64)
        expected = torch.nn.functional.conv_transpose2d(*map(torch.tensor, arguments), **options)
        found = nn.conv_transpose2d(*arguments, **options)
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)
