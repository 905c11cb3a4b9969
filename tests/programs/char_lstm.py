"""A character LSTM in NumPy: a loop over time forwards, by hand through time backwards, Adagrad.

`np` is tapeless's because the loops write traced values into arrays that `np.zeros` makes.

python tests/programs/char_lstm.py            # compiled
python tests/programs/char_lstm.py numpy      # NumPy alone
"""

import sys

import tapeless as tl
from tapeless import numpy as np

TEXT = "the cat sat on the mat and the rat sat on the cat; " * 8


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """One step of time: x (N, D), h and c (N, H); the gates: input, forget, output, new."""
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, 0:H])
    f = sigmoid(a[:, H : 2 * H])
    o = sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H : 4 * H])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (x, prev_h, prev_c, i, f, o, g, next_c, Wx, Wh)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, i, f, o, g, next_c, Wx, Wh = cache
    H = prev_h.shape[1]
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.zeros((x.shape[0], 4 * H), dtype=x.dtype)
    da[:, 0:H] = dc * g * i * (1 - i)
    da[:, H : 2 * H] = dc * prev_c * f * (1 - f)
    da[:, 2 * H : 3 * H] = dnext_h * tanh_c * o * (1 - o)
    da[:, 3 * H : 4 * H] = dc * i * (1 - g**2)
    dx = da.dot(Wx.T)
    dWx = x.T.dot(da)
    dprev_h = da.dot(Wh.T)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dc * f, dWx, dWh, db


def lstm_forward(x, h0, c0, Wx, Wh, b):
    """All steps: x (N, T, D), h (N, T, H); also the last h and c."""
    N, T, _ = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H), dtype=x.dtype)
    cache = []
    prev_h, prev_c = h0, c0
    for t in range(T):
        prev_h, prev_c, step_cache = lstm_step_forward(x[:, t, :], prev_h, prev_c, Wx, Wh, b)
        h[:, t, :] = prev_h
        cache.append(step_cache)
    return h, prev_h, prev_c, cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    x0, Wx, Wh = cache[0][0], cache[0][8], cache[0][9]
    D = x0.shape[1]
    dx = np.zeros((N, T, D), dtype=dh.dtype)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H, dtype=dh.dtype)
    dprev_h = np.zeros((N, H), dtype=dh.dtype)
    dprev_c = np.zeros((N, H), dtype=dh.dtype)
    for t in reversed(range(T)):
        step = lstm_step_backward(dh[:, t, :] + dprev_h, dprev_c, cache[t])
        dx[:, t, :], dprev_h, dprev_c, dWx_t, dWh_t, db_t = step
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dWx, dWh, db


def temporal_softmax_loss(scores, y):
    """Mean cross-entropy over all characters: scores (N, T, V), y (N, T)."""
    N, T, V = scores.shape
    scores_flat, y_flat = scores.reshape(N * T, V), y.reshape(N * T)
    probs = np.exp(scores_flat - np.max(scores_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(np.log(probs[np.arange(N * T), y_flat])) / (N * T)
    dscores_flat = probs.copy()
    dscores_flat[np.arange(N * T), y_flat] -= 1
    dscores_flat /= N * T
    return loss, dscores_flat.reshape(N, T, V)


class CharLSTM:
    def __init__(self, chars, batch=4, embed=8, hidden=24, dtype=np.float64, rng=None):
        rng = rng or np.random.default_rng(0)
        V, D, H = len(chars), embed, hidden
        self.ix_to_char = dict(enumerate(chars))
        self.char_to_ix = {ch: i for i, ch in enumerate(chars)}
        self.vocab_size = V
        self.params = {
            "W_embed": rng.standard_normal((V, D)),
            "Wx": rng.standard_normal((D, 4 * H)) / np.sqrt(D),
            "Wh": rng.standard_normal((H, 4 * H)) / np.sqrt(H),
            "b": np.zeros(4 * H),
            "W_vocab": rng.standard_normal((H, V)) / np.sqrt(H),
            "b_vocab": np.zeros(V),
        }
        self.params["b"][H : 2 * H] = 1  # forget little at first
        self.params = {k: v.astype(dtype) for k, v in self.params.items()}
        self.memory = {k: np.zeros_like(v) for k, v in self.params.items()}
        self.h = np.zeros((batch, H), dtype)
        self.c = np.zeros((batch, H), dtype)
        self.smooth_loss = np.log(V)

    def one_hot(self, x, dtype):
        """(N, T) characters as (N, T, V)."""
        return np.eye(self.vocab_size, dtype=dtype)[x]

    def loss(self, x, y):
        """The loss and its gradients; keeps the last state for the text that follows."""
        p = self.params
        N, T = x.shape
        inputs = self.one_hot(x, p["Wx"].dtype)
        embedded = inputs @ p["W_embed"]
        h, self.h, self.c, cache = lstm_forward(embedded, self.h, self.c, p["Wx"], p["Wh"], p["b"])
        scores = h @ p["W_vocab"] + p["b_vocab"]
        loss, dscores = temporal_softmax_loss(scores, y)

        grads = {}
        dscores_flat = dscores.reshape(N * T, -1)
        grads["W_vocab"] = h.reshape(N * T, -1).T @ dscores_flat
        grads["b_vocab"] = np.sum(dscores_flat, axis=0)
        dh = dscores @ p["W_vocab"].T
        dembedded, grads["Wx"], grads["Wh"], grads["b"] = lstm_backward(dh, cache)
        grads["W_embed"] = np.einsum("ntv,ntd->vd", inputs, dembedded)
        return loss, grads

    def step(self, x, y, learning_rate=1e-1):
        """One update by Adagrad, of clipped gradients."""
        loss, grads = self.loss(x, y)
        for dparam in grads.values():
            np.clip(dparam, -0.5, 0.5, out=dparam)
        for k in self.params:
            self.memory[k] += grads[k] * grads[k]
            self.params[k] += -learning_rate * grads[k] / np.sqrt(self.memory[k] + 1e-8)
        self.smooth_loss = self.smooth_loss * 0.9 + loss * 0.1
        return loss

    def reset(self):
        self.h = np.zeros_like(self.h)
        self.c = np.zeros_like(self.c)

    def sample(self, seed, count, rng):
        """Text that goes on from a character; it draws, so it stays outside the step."""
        p = self.params
        h, c = np.zeros((1, self.h.shape[1])), np.zeros((1, self.h.shape[1]))
        ix = self.char_to_ix[seed]
        text = [seed]
        for _ in range(count):
            x = np.zeros((1, self.vocab_size))
            x[0, ix] = 1
            h, c, _ = lstm_step_forward(x @ p["W_embed"], h, c, p["Wx"], p["Wh"], p["b"])
            scores = (h @ p["W_vocab"] + p["b_vocab"]).ravel()
            probs = np.exp(scores - scores.max())
            ix = int(rng.choice(self.vocab_size, p=probs / probs.sum()))
            text.append(self.ix_to_char[ix])
        return "".join(text)


class DifferentiatedCharLSTM(CharLSTM):
    """The same network without backpropagation through time."""

    def objective(self, p, x, y):
        embedded = self.one_hot(x, p["Wx"].dtype) @ p["W_embed"]
        h, last_h, last_c, _ = lstm_forward(embedded, self.h, self.c, p["Wx"], p["Wh"], p["b"])
        loss, _ = temporal_softmax_loss(h @ p["W_vocab"] + p["b_vocab"], y)
        return loss, (last_h, last_c)

    def loss(self, x, y):
        differentiated = tl.value_and_grad(self.objective, has_aux=True)
        (loss, (self.h, self.c)), grads = differentiated(self.params, x, y)
        return loss, grads


def batches(data, batch, length):
    """(x, y) of shape (batch, length): `batch` streams through the text, y one character on."""
    streams = data[: len(data) // batch * batch].reshape(batch, -1)
    for at in range(0, streams.shape[1] - length, length):
        yield streams[:, at : at + length], streams[:, at + 1 : at + length + 1]


def main():
    chars = sorted(set(TEXT))
    net = CharLSTM(chars)
    data = np.array([net.char_to_ix[ch] for ch in TEXT])
    step = CharLSTM.step if "numpy" in sys.argv else tl.compile(CharLSTM.step)
    for epoch in range(25):
        net.reset()
        for x, y in batches(data, 4, 12):
            loss = step(net, x, y)
        if epoch % 6 == 0:
            print(f"epoch {epoch:2}  loss {loss:.4f}  smooth {net.smooth_loss:.4f}")
    print(net.sample("t", 60, np.random.default_rng(1)))


if __name__ == "__main__":
    main()
