"""How a gradient becomes a step: SGD with momentum, and AdamW.

In: the parameters, and their gradients under the same names. Out: nothing; the parameters are changed in place.

From step to step an optimizer keeps its `moments`, arrays shaped like the parameters, and the number of `steps`.
Restore both, and it goes on as if nothing had happened.

Errors of both: TypeError for parameters or gradients that are not arrays of floats, or a setting that is not a number;
ValueError for a setting out of range, or a gradient that is missing or does not have the shape of its parameter. A step
that raises an error changes nothing.
"""

import numpy as np

from scratchlm._engine.checks import in_range
from scratchlm.models import Params


class SGD:
    """Stochastic gradient descent with momentum: a ball that rolls downhill and keeps some of its speed.

    Formula: v <- momentum v + grad;  param <- param - learning_rate v.
    Source: Polyak 1964; Sutskever, Martens, Dahl & Hinton 2013.

    >>> params = {"w": np.array([1.0])}
    >>> SGD(params).step({"w": np.array([0.5])}, learning_rate=0.1)
    >>> params["w"]
    array([0.95])
    """

    def __init__(self, params: Params, momentum: float = 0.9) -> None:
        in_range("momentum", momentum, 0, 1)
        _check_floats("params", params)
        self.params, self.momentum = params, momentum
        self.steps = 0
        self.velocity = {name: np.zeros_like(param) for name, param in params.items()}
        self.moments = {"velocity": self.velocity}

    def step(self, grads: Params, learning_rate: float) -> None:
        """Move every parameter a little against its gradient."""
        _check_step(self.params, grads, learning_rate)
        self.steps += 1
        for name, param in self.params.items():
            velocity = self.velocity[name]
            velocity *= self.momentum
            velocity += grads[name]
            param -= learning_rate * velocity


class AdamW:
    """Adam with decoupled weight decay: each gradient is measured in units of its own usual size.

    Formula, with g the gradient and t = 1, 2, ... the step number:
        m <- beta1 m + (1 - beta1) g          a running mean of the gradient
        v <- beta2 v + (1 - beta2) g^2        a running mean of its square
        m^ = m / (1 - beta1^t),  v^ = v / (1 - beta2^t)       both start at 0; this corrects for it
        param <- param - learning_rate (m^ / (sqrt(v^) + epsilon) + weight_decay param)
    The decay acts on the parameter itself, not through g, where the division would undo it.
    Source: Kingma & Ba 2015 (Adam); Loshchilov & Hutter 2019 (decoupled weight decay).

    >>> params = {"w": np.array([1.0, 1.0])}
    >>> AdamW(params, weight_decay=0).step({"w": np.array([0.001, -1000.0])}, learning_rate=0.1)
    >>> params["w"].round(3)  # the first step has the same length however large the gradient
    array([0.9, 1.1])
    """

    def __init__(
        self,
        params: Params,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        in_range("beta1", beta1, 0, 1)
        in_range("beta2", beta2, 0, 1)
        in_range("epsilon", epsilon, 0, np.inf)
        in_range("weight_decay", weight_decay, 0, np.inf)
        _check_floats("params", params)
        self.params, self.beta1, self.beta2 = params, beta1, beta2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.steps = 0
        self.mean = {name: np.zeros_like(param) for name, param in params.items()}
        self.square = {name: np.zeros_like(param) for name, param in params.items()}
        self.moments = {"mean": self.mean, "square": self.square}

    def step(self, grads: Params, learning_rate: float) -> None:
        """Move every parameter a little against its gradient, and a little towards 0."""
        _check_step(self.params, grads, learning_rate)
        self.steps += 1
        m_lacks, v_lacks = 1 - self.beta1**self.steps, 1 - self.beta2**self.steps
        for name, param in self.params.items():
            g, m, v = grads[name], self.mean[name], self.square[name]
            m *= self.beta1
            m += (1 - self.beta1) * g
            v *= self.beta2
            v += (1 - self.beta2) * g**2
            param *= 1 - learning_rate * self.weight_decay
            param -= learning_rate * (m / m_lacks) / (np.sqrt(v / v_lacks) + self.epsilon)


def _check_floats(name: str, arrays: Params) -> None:
    if not isinstance(arrays, dict):
        raise TypeError(f"{name} must be a dict of arrays, not {type(arrays).__name__}")
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name}[{key!r}] must be an array of floats, not {found}")


def _check_step(params: Params, grads: Params, learning_rate: float) -> None:
    """Raise an error if this step is not possible. A learning rate of 0 is fine: a very long run may end with it."""
    in_range("learning_rate", learning_rate, 0, np.inf)
    _check_floats("grads", grads)
    for name, param in params.items():
        if name not in grads:
            raise ValueError(f"grads has no gradient for {name!r}")
        if grads[name].shape != param.shape:
            raise ValueError(f"grads[{name!r}] must have shape {param.shape}, not {grads[name].shape}")
