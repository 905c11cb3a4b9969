"""A convolution network by im2col, in NumPy.

Convolution gathers patches by index arrays and scatters their gradients by `np.add.at`; one pooling
layer works by reshaping, the other by argmax; the derivatives are written by hand. `np` is
tapeless's because traced gradients are written into arrays that `np.zeros` makes.

python tests/programs/convnet.py            # compiled
python tests/programs/convnet.py numpy      # NumPy alone
"""

import sys

import tapeless as tl
from tapeless import numpy as np


def get_im2col_indices(x_shape, field_height, field_width, padding=1, stride=1):
    """Where the patches lie: channels, rows and columns, each of shape (C HH WW, places)."""
    _, C, H, W = x_shape
    assert (H + 2 * padding - field_height) % stride == 0
    assert (W + 2 * padding - field_width) % stride == 0
    out_height = (H + 2 * padding - field_height) // stride + 1
    out_width = (W + 2 * padding - field_width) // stride + 1

    i0 = np.repeat(np.arange(field_height), field_width)
    i0 = np.tile(i0, C)
    i1 = stride * np.repeat(np.arange(out_height), out_width)
    j0 = np.tile(np.arange(field_width), field_height * C)
    j1 = stride * np.tile(np.arange(out_width), out_height)
    i = i0.reshape(-1, 1) + i1.reshape(1, -1)
    j = j0.reshape(-1, 1) + j1.reshape(1, -1)
    k = np.repeat(np.arange(C), field_height * field_width).reshape(-1, 1)
    return k, i, j


def im2col_indices(x, field_height, field_width, padding=1, stride=1):
    """The patches of x (N, C, H, W) as columns: (C HH WW, places N)."""
    p = padding
    x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="constant")
    k, i, j = get_im2col_indices(x.shape, field_height, field_width, padding, stride)
    cols = x_padded[:, k, i, j]
    C = x.shape[1]
    return cols.transpose(1, 2, 0).reshape(field_height * field_width * C, -1)


def col2im_indices(cols, x_shape, field_height=3, field_width=3, padding=1, stride=1):
    """The columns added up where they came from: (N, C, H, W)."""
    N, C, H, W = x_shape
    x_padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding), dtype=cols.dtype)
    k, i, j = get_im2col_indices(x_shape, field_height, field_width, padding, stride)
    cols_reshaped = cols.reshape(C * field_height * field_width, -1, N)
    cols_reshaped = cols_reshaped.transpose(2, 0, 1)
    np.add.at(x_padded, (slice(None), k, i, j), cols_reshaped)
    if padding == 0:
        return x_padded
    return x_padded[:, :, padding:-padding, padding:-padding]


def conv_forward(x, w, b, conv_param):
    N, _, H, W = x.shape
    num_filters, _, filter_height, filter_width = w.shape
    stride, pad = conv_param["stride"], conv_param["pad"]
    out_height = (H + 2 * pad - filter_height) // stride + 1
    out_width = (W + 2 * pad - filter_width) // stride + 1
    x_cols = im2col_indices(x, filter_height, filter_width, pad, stride)
    res = w.reshape((num_filters, -1)).dot(x_cols) + b.reshape(-1, 1)
    out = res.reshape(num_filters, out_height, out_width, N).transpose(3, 0, 1, 2)
    cache = (x, w, b, conv_param, x_cols)
    return out, cache


def conv_backward(dout, cache):
    x, w, _, conv_param, x_cols = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    num_filters, _, filter_height, filter_width = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dout_reshaped = dout.transpose(1, 2, 3, 0).reshape(num_filters, -1)
    dw = dout_reshaped.dot(x_cols.T).reshape(w.shape)
    dx_cols = w.reshape(num_filters, -1).T.dot(dout_reshaped)
    dx = col2im_indices(dx_cols, x.shape, filter_height, filter_width, pad, stride)
    return dx, dw, db


def max_pool_forward_reshape(x, pool_height, pool_width):
    N, C, H, W = x.shape
    x_reshaped = x.reshape(N, C, H // pool_height, pool_height, W // pool_width, pool_width)
    out = x_reshaped.max(axis=3).max(axis=4)
    cache = (x, x_reshaped, out)
    return out, cache


def max_pool_backward_reshape(dout, cache):
    """The gradient goes to the largest of each block, in equal parts where there are several."""
    x, x_reshaped, out = cache
    dx_reshaped = np.zeros_like(x_reshaped)
    out_newaxis = out[:, :, :, np.newaxis, :, np.newaxis]
    mask = x_reshaped == out_newaxis
    dout_newaxis = dout[:, :, :, np.newaxis, :, np.newaxis]
    dout_broadcast, _ = np.broadcast_arrays(dout_newaxis, dx_reshaped)
    dx_reshaped[mask] = dout_broadcast[mask]
    dx_reshaped /= np.sum(mask, axis=(3, 5), keepdims=True)
    return dx_reshaped.reshape(x.shape)


def max_pool_forward_im2col(x, pool_height, pool_width, stride):
    N, C, H, W = x.shape
    out_height = (H - pool_height) // stride + 1
    out_width = (W - pool_width) // stride + 1
    x_split = x.reshape(N * C, 1, H, W)
    x_cols = im2col_indices(x_split, pool_height, pool_width, padding=0, stride=stride)
    x_cols_argmax = np.argmax(x_cols, axis=0)
    x_cols_max = x_cols[x_cols_argmax, np.arange(x_cols.shape[1])]
    out = x_cols_max.reshape(out_height, out_width, N, C).transpose(2, 3, 0, 1)
    cache = (x, x_cols, x_cols_argmax, pool_height, pool_width, stride)
    return out, cache


def max_pool_backward_im2col(dout, cache):
    """The gradient goes to the first of the largest in each window."""
    x, x_cols, x_cols_argmax, pool_height, pool_width, stride = cache
    N, C, H, W = x.shape
    dout_reshaped = dout.transpose(2, 3, 0, 1).flatten()
    dx_cols = np.zeros_like(x_cols)
    dx_cols[x_cols_argmax, np.arange(dx_cols.shape[1])] = dout_reshaped
    dx = col2im_indices(
        dx_cols, (N * C, 1, H, W), pool_height, pool_width, padding=0, stride=stride
    )
    return dx.reshape(x.shape)


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    dx, x = dout, cache
    dx[x <= 0] = 0
    return dx


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    return dx, dw, np.sum(dout, axis=0)


def softmax_loss(x, y):
    shifted_logits = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted_logits), axis=1, keepdims=True)
    log_probs = shifted_logits - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


class ConvNet:
    """conv - relu - 2x2 max pool - conv - relu - 2x2 max pool - affine - softmax"""

    def __init__(self, input_dim=(1, 8, 8), num_filters=(6, 8), filter_size=3, num_classes=4,
                 weight_scale=0.3, reg=1e-3, dtype=np.float64, rng=None):  # fmt: skip
        rng = rng or np.random.default_rng(0)
        C, H, W = input_dim
        F1, F2 = num_filters
        self.params = {}
        self.reg = reg
        self.conv_param = {"stride": 1, "pad": (filter_size - 1) // 2}
        self.params["W1"] = weight_scale * rng.standard_normal((F1, C, filter_size, filter_size))
        self.params["b1"] = np.zeros(F1)
        self.params["W2"] = weight_scale * rng.standard_normal((F2, F1, filter_size, filter_size))
        self.params["b2"] = np.zeros(F2)
        self.params["W3"] = weight_scale * rng.standard_normal((F2 * H * W // 16, num_classes))
        self.params["b3"] = np.zeros(num_classes)
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        """The scores; with labels, the loss and its gradients."""
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        W3, b3 = self.params["W3"], self.params["b3"]

        a1, conv1 = conv_forward(X, W1, b1, self.conv_param)
        h1, relu1 = relu_forward(a1)
        p1, pool1 = max_pool_forward_reshape(h1, 2, 2)
        a2, conv2 = conv_forward(p1, W2, b2, self.conv_param)
        h2, relu2 = relu_forward(a2)
        p2, pool2 = max_pool_forward_im2col(h2, 2, 2, 2)
        scores, affine = affine_forward(p2, W3, b3)
        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        loss += 0.5 * self.reg * (np.sum(W1**2) + np.sum(W2**2) + np.sum(W3**2))
        grads = {}
        dp2, grads["W3"], grads["b3"] = affine_backward(dscores, affine)
        dh2 = max_pool_backward_im2col(dp2, pool2)
        da2 = relu_backward(dh2, relu2)
        dp1, grads["W2"], grads["b2"] = conv_backward(da2, conv2)
        dh1 = max_pool_backward_reshape(dp1, pool1)
        da1 = relu_backward(dh1, relu1)
        _, grads["W1"], grads["b1"] = conv_backward(da1, conv1)
        for k in ("W1", "W2", "W3"):
            grads[k] += self.reg * self.params[k]
        return loss, grads


def sgd_momentum(w, dw, config):
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("momentum", 0.9)
    v = config.get("velocity", np.zeros_like(w))
    v = config["momentum"] * v - config["learning_rate"] * dw
    next_w = w + v
    config["velocity"] = v
    return next_w, config


class DifferentiatedConvNet(ConvNet):
    """The same network without its backward pass."""

    def objective(self, params, X, y):
        a1, _ = conv_forward(X, params["W1"], params["b1"], self.conv_param)
        p1, _ = max_pool_forward_reshape(np.maximum(0, a1), 2, 2)
        a2, _ = conv_forward(p1, params["W2"], params["b2"], self.conv_param)
        p2, _ = max_pool_forward_im2col(np.maximum(0, a2), 2, 2, 2)
        scores, _ = affine_forward(p2, params["W3"], params["b3"])
        loss, _ = softmax_loss(scores, y)
        return loss + 0.5 * self.reg * sum(np.sum(params[k] ** 2) for k in ("W1", "W2", "W3"))

    def loss(self, X, y=None):
        if y is None:
            return super().loss(X)
        return tl.value_and_grad(self.objective)(self.params, X, y)


class Solver:
    def __init__(self, model, learning_rate=5e-2):
        self.model = model
        self.loss_history = []
        self.optim_configs = {}
        for p in self.model.params:
            self.optim_configs[p] = {"learning_rate": learning_rate}

    def step(self, X_batch, y_batch):
        """One update of every parameter; the loss before it."""
        loss, grads = self.model.loss(X_batch, y_batch)
        for p, w in self.model.params.items():
            config = self.optim_configs[p]
            next_w, next_config = sgd_momentum(w, grads[p], config)
            self.model.params[p] = next_w
            self.optim_configs[p] = next_config
        return loss


def bars(rng, count, dtype=np.float64):
    """Noisy images (count, 1, 8, 8) of a bar, and how it lies: -, |, /, or \\ ."""
    labels = rng.integers(0, 4, count)
    images = 0.3 * rng.standard_normal((count, 1, 8, 8))
    at, along = rng.integers(1, 7, count), np.arange(8)
    for n in range(count):
        row = [np.full(8, at[n]), along, along[::-1], along][labels[n]]
        column = [along, np.full(8, at[n]), along, along][labels[n]]
        images[n, 0, row, column] += 1
    return images.astype(dtype), labels


def main():
    rng = np.random.default_rng(0)
    solver = Solver(ConvNet(rng=rng))
    step = Solver.step if "numpy" in sys.argv else tl.compile(Solver.step)
    for i in range(101):
        X, y = bars(rng, 16)
        loss = step(solver, X, y)
        solver.loss_history.append(loss)
        if i % 25 == 0:
            print(f"step {i:3}  loss {loss:.4f}")
    X, y = bars(rng, 200)
    print(f"accuracy: {np.mean(solver.model.loss(X).argmax(axis=1) == y):.3f}")


if __name__ == "__main__":
    main()
