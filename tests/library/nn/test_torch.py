"""Against torch, where it is installed: same names, argument order, values and gradients."""

import inspect

import numpy as np
import pytest
import tapeless as tl

torch = pytest.importorskip("torch")
F = torch.nn.functional

RNG = np.random.default_rng(0)
# Kinks of all the functions, ordinary numbers, and far out.
EDGES = np.array([-1e4, -6, -3, -1, -0.5, -0.2, 0, 0.3, 0.5, 1, 2.9, 3, 6, 20, 1e4])
X = RNG.standard_normal((4, 6))
Y = RNG.standard_normal((4, 6))
P = np.exp(X) / np.exp(X).sum(1, keepdims=True)
Q = np.exp(Y) / np.exp(Y).sum(1, keepdims=True)
LABELS = np.array([2, 0, 5, 2])
SIGNS = np.sign(Y)
V = np.abs(RNG.standard_normal((4, 6)))
IMAGES = RNG.standard_normal((2, 6, 3, 2))
C = RNG.standard_normal((5, 6))


def r(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


CASES = [
    # name, arguments (gradients with respect to the floating ones), keywords
    *[
        (name, (EDGES,), {})
        for name in [
            "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "gelu",
            "sigmoid", "logsigmoid", "softplus", "tanh", "softsign", "tanhshrink", "softshrink",
            "hardshrink", "hardtanh", "hardsigmoid", "hardswish",
        ]
    ],
    ("gelu", (EDGES,), {"approximate": "tanh"}),
    ("celu", (EDGES, 0.25), {}),
    ("threshold", (EDGES, 0.5, -7.0), {}),
    ("prelu", (IMAGES, r(6)), {}),
    ("prelu", (EDGES, np.array([0.3])), {}),
    ("softmin", (X,), {"dim": 1}),
    ("log_softmax", (X,), {"dim": 0}),
    ("glu", (X,), {"dim": -1}),
    ("normalize", (X,), {}),
    ("normalize", (X,), {"p": 1.0, "dim": 0}),
    ("normalize", (X,), {"p": 3.5, "dim": -1}),
    ("normalize", (X,), {"p": float("inf")}),
    ("normalize", (np.zeros((2, 3)),), {"eps": 0.1}),
    ("cosine_similarity", (X, Y), {}),
    ("cosine_similarity", (X, Y[:1]), {"dim": 0, "eps": 1e-3}),
    ("pairwise_distance", (X, Y), {}),
    ("mse_loss", (X, Y), {}),
    ("l1_loss", (X, Y), {"reduction": "sum"}),
    ("huber_loss", (X, Y), {}),
    ("huber_loss", (X, Y, "none", 0.4), {}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.4}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.0}),
    ("kl_div", (np.log(P), Q), {}),
    ("kl_div", (np.log(P), Q), {"reduction": "batchmean"}),
    ("kl_div", (np.log(P), np.log(Q)), {"reduction": "sum", "log_target": True}),
    ("gaussian_nll_loss", (X, Y, V), {}),
    ("gaussian_nll_loss", (X, Y, V[:, :1], True), {"reduction": "none"}),
    ("gaussian_nll_loss", (X, Y, V[:, 0]), {}),
    ("poisson_nll_loss", (X, V * 3), {}),
    ("poisson_nll_loss", (V, V * 3, False, True), {}),
    ("soft_margin_loss", (X * 100, SIGNS), {}),
    ("cosine_embedding_loss", (X, Y, SIGNS[:, 0]), {"margin": 0.1}),
    ("triplet_margin_loss", (X, Y, X[::-1].copy()), {}),
    ("triplet_margin_loss", (X, Y, X[::-1].copy(), 2.0, 3), {"swap": True}),
    ("nll_loss", (np.log(P), LABELS), {}),
    ("nll_loss", (np.log(P), LABELS, V[0]), {"ignore_index": 2}),
    ("cross_entropy", (X, LABELS), {}),
    ("cross_entropy", (X, LABELS, V[0]), {"label_smoothing": 0.2}),
    ("cross_entropy", (X, LABELS, V[0]), {"label_smoothing": 0.2, "ignore_index": 0}),
    ("cross_entropy", (X, np.array([-100, 0, 5, -100])), {"ignore_index": -100}),
    ("cross_entropy", (X, LABELS), {"ignore_index": 2, "reduction": "none"}),
    ("cross_entropy", (X, Q, V[0]), {"label_smoothing": 0.2}),
    ("cross_entropy", (IMAGES, LABELS.repeat(3).reshape(2, 3, 2), V[0]), {"label_smoothing": 0.1}),
    ("cross_entropy", (X[0], np.array(3), V[0]), {"label_smoothing": 0.1}),
    ("binary_cross_entropy", (P, Q, V), {}),
    ("binary_cross_entropy_with_logits", (X, Q, V[0]), {"pos_weight": torch.from_numpy(V[1])}),
    ("linear", (X, C, r(5)), {}),
    ("bilinear", (X, r(4, 3), r(2, 6, 3), r(2)), {}),
    ("embedding", (LABELS, r(6, 3)), {}),
    ("embedding", (LABELS, r(6, 3), 2), {}),
    ("embedding", (LABELS.reshape(2, 2), r(6, 3), -1), {}),
    ("layer_norm", (X, (6,), r(6), r(6) + 1), {}),
    ("layer_norm", (IMAGES, (3, 2)), {"eps": 0.1}),
    ("rms_norm", (X, (6,), r(6)), {}),
    ("rms_norm", (IMAGES, (3, 2)), {"eps": 0.1}),
    ("group_norm", (IMAGES, 3, r(6), r(6) + 1), {}),
    ("instance_norm", (IMAGES,), {"weight": torch.from_numpy(r(6))}),
    ("batch_norm", (X, r(6), np.abs(r(6)), r(6), r(6) + 1), {}),
    ("batch_norm", (X, None, None, r(6), r(6) + 1, True), {}),
    ("batch_norm", (IMAGES, None, None, r(6), r(6) + 1, True), {}),
    ("scaled_dot_product_attention", (r(2, 3, 4), r(2, 5, 4), r(2, 5, 6)), {}),
    ("scaled_dot_product_attention", (r(3, 4), r(5, 4), r(5, 6)), {"scale": 0.3}),
    ("scaled_dot_product_attention", (r(5, 4), r(5, 4), r(5, 6)), {"is_causal": True}),
    ("scaled_dot_product_attention", (r(2, 3, 4), r(2, 5, 4), r(2, 5, 6), r(3, 5)), {}),
    (
        "scaled_dot_product_attention",
        (r(3, 4), r(5, 4), r(5, 6), np.array([[1, 0, 1, 1, 0], [1] * 5, [0] * 5], bool)),
        {},
    ),
    ("rnn_cell", (X, r(4, 3), r(3, 6), r(3, 3)), {}),
    ("gru_cell", (X, r(4, 3), r(9, 6), r(9, 3), r(9), r(9) + 1), {}),
]  # fmt: skip


# Positions of floating arguments that torch does not differentiate.
FIXED = {
    "soft_margin_loss": [1],
    "nll_loss": [2],
    "cross_entropy": [2],
    "binary_cross_entropy": [2],
    "binary_cross_entropy_with_logits": [2],
    "batch_norm": [1, 2],
}
ELSEWHERE = {"rnn_cell": "rnn_tanh_cell", "gru_cell": "gru_cell"}


def by_torch(name, args, kwargs, moving):
    """The result, and the gradients of its sum with respect to the arguments at `moving`."""
    tensors = [torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
    for k in moving:
        tensors[k].requires_grad_()
    out = getattr(torch, ELSEWHERE[name]) if name in ELSEWHERE else getattr(F, name)
    result = out(*tensors, **kwargs)
    result.sum().backward()
    gradients = [tensors[k].grad for k in moving]
    zeros = [np.zeros(np.shape(args[k])) for k in moving]
    found = [z if g is None else g.numpy() for g, z in zip(gradients, zeros, strict=True)]
    return result.detach().numpy(), found


def close(found, expected, rtol=1e-9):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[c[0] for c in CASES])
def test_values_and_gradients(name, args, kwargs):
    fixed = FIXED.get(name, [])
    moving = [
        k
        for k, a in enumerate(args)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f" and k not in fixed
    ]
    value, gradients = by_torch(name, args, kwargs, moving)
    axis = {"axis" if key == "dim" else key: value for key, value in kwargs.items()}
    named = {k: v.numpy() if torch.is_tensor(v) else v for k, v in axis.items()}
    fn = getattr(tl.nn, name)
    rtol = 1e-7 if name == "hardsigmoid" else 1e-9  # torch keeps its 1/6 as an f32
    close(fn(*args, **named), value, rtol)

    def loss(*moved):
        full = list(args)
        for k, a in zip(moving, moved, strict=True):
            full[k] = a
        return np.sum(fn(*full, **named))

    found = tl.grad(loss, range(len(moving)))(*(args[k] for k in moving))
    for mine, theirs in zip(found, gradients, strict=True):
        close(mine, theirs, rtol)


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 5), (2, 6, 3, 2)])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics(name, shape):
    if name == "instance_norm" and len(shape) == 2:
        pytest.skip("one number per channel")
    x, mean, var = r(*shape), r(6), np.abs(r(6))
    t_mean, t_var = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    close(
        getattr(tl.nn, name)(x, mean, var, None, None, True, 0.3),
        getattr(F, name)(torch.from_numpy(x), t_mean, t_var, None, None, True, 0.3).numpy(),
    )
    close(mean, t_mean.numpy())
    close(var, t_var.numpy())


def test_lstm_cell():
    args = X, (r(4, 3), r(4, 3) + 1), r(12, 6), r(12, 3), r(12), r(12) + 1
    expected = torch.lstm_cell(*tl.tree.map(torch.from_numpy, args))
    for found, wanted in zip(tl.nn.lstm_cell(*args), expected, strict=True):
        close(found, wanted.numpy())


OURS = {"x": "input", "axis": "dim", "log_probs": "input", "logits": "input", "labels": "target"}


@pytest.mark.parametrize("name", sorted({c[0] for c in CASES}))
def test_argument_order(name):
    """The parameters torch and we share stand in one order; what torch has deprecated, or does not
    say in a signature, is left out."""
    theirs = getattr(F, name, None)
    if not inspect.isfunction(theirs):
        pytest.skip("torch has no Python signature for it")
    wanted = list(inspect.signature(theirs).parameters)
    mine = [OURS.get(p, p) for p in inspect.signature(getattr(tl.nn, name)).parameters]
    assert [p for p in wanted if p in mine] == [p for p in mine if p in wanted]
