"""A fully connected classifier with batch normalisation and dropout, in plain NumPy.

Layers are objects that keep what their backward pass needs; the derivatives are written by hand;
Adam keeps its moments in dictionaries keyed by parameter. Every function the step calls is given an
array of the step, so that NumPy itself dispatches to the compiler: `import numpy as np` will do.

python tests/programs/classifier.py            # compiled
python tests/programs/classifier.py numpy      # NumPy alone
"""

import sys

import numpy as np
import tapeless as tl


class Layer:
    def __init__(self):
        self.params = {}
        self.grads = {}


class Affine(Layer):
    """y = x W + b; batch normalisation takes a bias away again, so none goes before it."""

    def __init__(self, n_in, n_out, rng, dtype, bias=True):
        super().__init__()
        scale = np.sqrt(2.0 / n_in)
        self.params["W"] = (scale * rng.standard_normal((n_in, n_out))).astype(dtype)
        if bias:
            self.params["b"] = np.zeros(n_out, dtype)
        self.x = None

    def forward(self, x, training):
        self.x = x
        out = x @ self.params["W"]
        if "b" in self.params:
            out += self.params["b"]
        return out

    def backward(self, dout):
        self.grads["W"] = self.x.T @ dout
        if "b" in self.params:
            self.grads["b"] = np.sum(dout, axis=0)
        return dout @ self.params["W"].T


class BatchNorm(Layer):
    """Features normalised over the batch; over the running statistics when not training."""

    def __init__(self, size, dtype, momentum=0.9, eps=1e-5):
        super().__init__()
        self.params["gamma"] = np.ones(size, dtype)
        self.params["beta"] = np.zeros(size, dtype)
        self.running_mean = np.zeros(size, dtype)
        self.running_var = np.ones(size, dtype)
        self.momentum = momentum
        self.eps = eps
        self.cache = None

    def forward(self, x, training):
        if training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.running_mean *= self.momentum
            self.running_mean += (1 - self.momentum) * mean
            self.running_var[:] = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            mean, var = self.running_mean, self.running_var
        inv_std = 1 / np.sqrt(var + self.eps)
        x_hat = (x - mean) * inv_std
        self.cache = (x_hat, inv_std)
        return self.params["gamma"] * x_hat + self.params["beta"]

    def backward(self, dout):
        x_hat, inv_std = self.cache
        N = dout.shape[0]
        self.grads["gamma"] = np.sum(dout * x_hat, axis=0)
        self.grads["beta"] = np.sum(dout, axis=0)
        dx_hat = dout * self.params["gamma"]
        dx = N * dx_hat - np.sum(dx_hat, axis=0) - x_hat * np.sum(dx_hat * x_hat, axis=0)
        dx *= inv_std / N
        return dx


class ReLU(Layer):
    def __init__(self):
        super().__init__()
        self.x = None

    def forward(self, x, training):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dout):
        dx = dout.copy()
        dx[self.x <= 0] = 0
        return dx


class Dropout(Layer):
    """Inverted dropout; the mask is drawn before the step, by `Classifier.draw_masks`."""

    def __init__(self, size, keep):
        super().__init__()
        self.size = size
        self.keep = keep
        self.mask = None

    def draw(self, rng, batch, dtype):
        return (rng.random((batch, self.size)) < self.keep).astype(dtype) / dtype(self.keep)

    def forward(self, x, training):
        if not training:
            return x
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


def softmax_loss(scores, y):
    """Mean cross-entropy of integer labels, and its gradient with respect to the scores."""
    N = scores.shape[0]
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    p = np.exp(shifted)
    p /= np.sum(p, axis=1, keepdims=True)
    loss = -np.sum(np.log(p[range(N), y])) / N
    p[range(N), y] -= 1
    p /= N
    return loss, p


class Adam:
    def __init__(self, params, lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.t = 0
        self.m = {k: np.zeros_like(v) for k, v in params.items()}
        self.v = {k: np.zeros_like(v) for k, v in params.items()}

    def update(self, params, grads):
        self.t += 1
        for k in params:
            self.m[k] = self.beta1 * self.m[k] + (1 - self.beta1) * grads[k]
            self.v[k] = self.beta2 * self.v[k] + (1 - self.beta2) * grads[k] ** 2
            m_hat = self.m[k] / (1 - self.beta1**self.t)
            v_hat = self.v[k] / (1 - self.beta2**self.t)
            params[k] -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


class Momentum:
    def __init__(self, params, lr=1e-1, mu=0.9):
        self.lr, self.mu = lr, mu
        self.velocity = {}
        for k, v in params.items():
            self.velocity[k] = np.zeros_like(v)

    def update(self, params, grads):
        for k in params:
            v = self.velocity[k]
            v *= self.mu
            v -= self.lr * grads[k]
            params[k] += v


class Classifier:
    def __init__(self, sizes, rng, dtype=np.float64, reg=1e-3, keep=0.8, optimizer=Adam):
        self.dtype = dtype
        self.reg = reg
        self.training = True
        self.layers: list = []
        *hidden, classes = sizes[1:]
        n_in = sizes[0]
        for n_out in hidden:
            self.layers.append(Affine(n_in, n_out, rng, dtype, bias=False))
            self.layers += [BatchNorm(n_out, dtype), ReLU(), Dropout(n_out, keep)]
            n_in = n_out
        self.layers.append(Affine(n_in, classes, rng, dtype))
        self.optimizer = optimizer(self.params())

    def params(self):
        return {f"{k}{i}": p for i, at in enumerate(self.layers) for k, p in at.params.items()}

    def grads(self):
        return {f"{k}{i}": g for i, at in enumerate(self.layers) for k, g in at.grads.items()}

    def draw_masks(self, rng, batch):
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.mask = layer.draw(rng, batch, self.dtype)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x, self.training)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        for layer in self.layers:
            if "W" in layer.params:
                layer.grads["W"] += self.reg * layer.params["W"]

    def penalty(self):
        return sum(0.5 * self.reg * np.sum(v**2) for k, v in self.params().items() if k[0] == "W")

    def gradients(self, x, y):
        """The loss, the scores and the gradients of all parameters."""
        scores = self.forward(x)
        loss, dscores = softmax_loss(scores, y)
        self.backward(dscores)
        return loss + self.penalty(), scores, self.grads()

    def step(self, x, y):
        """One step of training on a batch: the loss, and the accuracy on it."""
        loss, scores, grads = self.gradients(x, y)
        self.optimizer.update(self.params(), grads)
        accuracy = np.mean(np.argmax(scores, axis=1) == y)
        return loss, accuracy

    def accuracy(self, x, y):
        """The share of right answers, by the running statistics."""
        self.training = False
        scores = self.forward(x)
        self.training = True
        return np.mean(scores.argmax(axis=1) == y)


class DifferentiatedClassifier(Classifier):
    """The same network without its backward passes."""

    def load(self, params):
        for i, layer in enumerate(self.layers):
            layer.params = {k: params[f"{k}{i}"] for k in layer.params}

    def objective(self, params, x, y):
        self.load(params)
        scores = self.forward(x)
        loss, _ = softmax_loss(scores, y)
        return loss + self.penalty(), scores

    def gradients(self, x, y):
        params = self.params()
        differentiated = tl.value_and_grad(self.objective, has_aux=True)
        (loss, scores), grads = differentiated(params, x, y)
        self.load(params)
        return loss, scores, grads


def spirals(rng, classes=3, points=60):
    """Points on interleaved spirals, and the number of the spiral each lies on."""
    radius = np.tile(np.linspace(0.05, 1, points), classes)
    labels = np.repeat(np.arange(classes), points)
    angle = 4 * labels + 4 * radius + 0.1 * rng.standard_normal(classes * points)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), labels


def main():
    rng = np.random.default_rng(0)
    x, y = spirals(rng)
    net = Classifier([2, 64, 64, 3], rng)
    step = Classifier.step if "numpy" in sys.argv else tl.compile(Classifier.step)
    for i in range(201):
        batch = rng.choice(len(x), 64, replace=False)
        net.draw_masks(rng, 64)
        loss, accuracy = step(net, x[batch], y[batch])
        if i % 50 == 0:
            print(f"step {i:3}  loss {loss:.4f}  accuracy {accuracy:.3f}")
    print(f"accuracy without dropout: {net.accuracy(x, y):.3f}")


if __name__ == "__main__":
    main()
