"""Exercise 5: the gradient of the loss, what came minus what was expected.

The gradient tells for every score how the loss changes if that score is raised a little. For cross-entropy it is
surprisingly simple: the probabilities, less 1 at the token that came. Everything that a model of this kind learns, it
learns from this difference.

Next: the gradient of softmax itself, when something else than this loss stands above it.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def cross_entropy_backward(logits, targets, reduction="mean"):
    """Return the gradient of the cross-entropy with respect to the logits.

    Formula: grad[i, k] = (p[i, k] - [k = y_i]) / N for the mean, with p = softmax(z); without the N for "sum" and
    "none". [k = y_i] is 1 at the target and 0 elsewhere.
    Shapes: logits (..., V), targets (...) of whole numbers -> (..., V); the dtype of logits stays. N is the number of
    rows. One row (V,) has one number as its target; a batch (N, V) has N of them, (N,).

    In plain loops, for logits (N, V), targets (N,) and probs = softmax(logits):

        for i in range(N):
            for k in range(V):
                grad[i, k] = probs[i, k]
                if k == targets[i]:
                    grad[i, k] -= 1
                grad[i, k] /= N

    Goal with a star: when p at the target rounds to 1, p - 1 is 0, but the gradient is not. With p = 1 / (1 + odds) it
    is -odds / (1 + odds): minus what the others have. Never compute p - 1.

    Think: what must the gradients of a row sum to? (What does softmax do if all scores rise by 1?)
    Think: derive it for two classes: the loss is log(1 + odds), with odds = exp(z_other - z_target).
    """
    raise NotImplementedError
