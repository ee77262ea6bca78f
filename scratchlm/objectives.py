"""What the model outputs and what the loss expects: the article's question as a table of three heads and two losses.

In: logits and targets. Out: the value that training reports, and its gradient with respect to the logits.

                   | cross_entropy (expects logits)           | nll_loss (expects log-probabilities)
    ---------------+------------------------------------------+--------------------------------------------------
    logits         | right                                    | wrong: -z[y] has no lower bound. The reported loss
                   |                                          | runs to minus infinity while the true one climbs
    log_softmax    | redundant: normalising twice is the same | right, and equal to the first: same value, same
                   | as once, so value and gradient are right | gradient (for a target that is not masked)
    softmax        | wrong: probabilities used as logits      | wrong: -p[y], between -1 and 0. It rewards being
                   | lie in [0, 1], so the loss can never     | right more often, not being sure, and where p[y]
                   | fall below log(1 + (V - 1)/e)            | is tiny its gradient is tiny: no way back

All six can be trained. But a wrong pair does not achieve the loss it reports, so measure cross_entropy(logits, targets)
too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from scratchlm._engine.checks import FloatArray, as_floats
from scratchlm.functional import (
    cross_entropy,
    cross_entropy_backward,
    cross_entropy_with_grad,
    log_softmax,
    log_softmax_backward,
    nll_loss,
    nll_loss_backward,
    softmax,
    softmax_backward,
)


@dataclass(frozen=True)
class Head:
    """A model's output: a function of the logits, and its derivative (grad_output, output) -> grad_logits."""

    function: Callable[[ArrayLike], FloatArray]
    backward: Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Loss:
    """The loss to minimise: a function of (scores, targets), its derivative and, if available, both in one pass."""

    function: Callable[[ArrayLike, ArrayLike], Any]
    backward: Callable[[ArrayLike, ArrayLike], FloatArray]
    with_grad: Callable[[ArrayLike, ArrayLike], tuple[Any, FloatArray]] | None = None

    def value_and_grad(self, scores: ArrayLike, targets: ArrayLike) -> tuple[Any, FloatArray]:
        """Return the loss and its gradient with respect to the scores."""
        if self.with_grad:
            return self.with_grad(scores, targets)
        return self.function(scores, targets), self.backward(scores, targets)


HEADS = {
    "logits": Head(lambda logits: as_floats("logits", logits), lambda grad_output, output: grad_output),
    "log_softmax": Head(log_softmax, log_softmax_backward),
    "softmax": Head(softmax, softmax_backward),
}

LOSSES = {
    "cross_entropy": Loss(cross_entropy, cross_entropy_backward, cross_entropy_with_grad),
    "nll_loss": Loss(nll_loss, nll_loss_backward),
}


class Objective:
    """A head followed by a loss, given by their names in HEADS and LOSSES.

    >>> import numpy as np
    >>> logits, targets = np.array([[2.0, 0.0]]), np.array([0])
    >>> for head in HEADS:
    ...     for loss in LOSSES:
    ...         value, grad = Objective(head, loss).value_and_grad(logits, targets)
    ...         print(f"{head:12} {loss:14} {value:+.4f}   {grad.round(4)}")
    logits       cross_entropy  +0.1269   [[-0.1192  0.1192]]
    logits       nll_loss       -2.0000   [[-1.  0.]]
    log_softmax  cross_entropy  +0.1269   [[-0.1192  0.1192]]
    log_softmax  nll_loss       +0.1269   [[-0.1192  0.1192]]
    softmax      cross_entropy  +0.3832   [[-0.0668  0.0668]]
    softmax      nll_loss       -0.8808   [[-0.105  0.105]]
    """

    def __init__(self, head: str = "logits", loss: str = "cross_entropy") -> None:
        for kind, name, table in (("head", head, HEADS), ("loss", loss, LOSSES)):
            if not isinstance(name, str) or name not in table:
                raise ValueError(f"{kind} must be one of {', '.join(table)}, not {name!r}")
        self.head, self.loss = head, loss

    def value_and_grad(self, logits: ArrayLike, targets: ArrayLike) -> tuple[Any, FloatArray]:
        """Return the mean loss over the rows, and its gradient with respect to the logits, by the chain rule.

        Shapes: logits (..., V), targets (...) -> a number, and (..., V).
        """
        head, loss = HEADS[self.head], LOSSES[self.loss]
        output = head.function(logits)
        value, grad_output = loss.value_and_grad(output, targets)
        return value, head.backward(grad_output, output)
