"""The kinds of function that the battery knows, and ordinary arguments for each.

In: the name of a kind, and scores. Out: the arguments that a function of this kind takes, by name.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm import functional, sampling
from scratchlm.properties.battery import Case
from scratchlm.properties.compare import Array


@dataclass(frozen=True)
class Kind:
    """A kind of function: ours, which defines shapes and dtypes, and a way to make arguments for it from scores."""

    ours: Callable[..., Any]
    arguments: Callable[[Array], Case]

    @property
    def options(self) -> dict[str, Any]:
        """Return the options passed by keyword, with our default values: libraries have others."""
        defaults = {"axis": -1, "reduction": "mean"}
        return {name: defaults[name] for name in inspect.signature(self.ours).parameters if name in defaults}


def targets_for(scores: Array) -> Array:
    """Return a class for each row: 0, 0, 1, 1, 2, 2, ..."""
    lead, classes = scores.shape[:-1], scores.shape[-1]
    return np.asarray(np.arange(math.prod(lead)) // 2 % classes).reshape(lead)


def slopes(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an upstream gradient: small whole numbers that do not sum to 0."""
    return np.resize(np.array([2, -1, 3, 0, 1], dtype), shape)


KINDS: dict[str, Kind] = {
    "softmax": Kind(functional.softmax, lambda z: {"logits": z}),
    "log_softmax": Kind(functional.log_softmax, lambda z: {"logits": z}),
    "logsumexp": Kind(functional.logsumexp, lambda z: {"logits": z}),
    "nll_loss": Kind(
        functional.nll_loss, lambda z: {"log_probs": functional.log_softmax(z), "targets": targets_for(z)}
    ),
    "cross_entropy": Kind(functional.cross_entropy, lambda z: {"logits": z, "targets": targets_for(z)}),
    "softmax_backward": Kind(
        functional.softmax_backward,
        lambda z: {"grad_output": slopes(z.shape, z.dtype), "probs": functional.softmax(z)},
    ),
    "log_softmax_backward": Kind(
        functional.log_softmax_backward,
        lambda z: {"grad_output": slopes(z.shape, z.dtype), "log_probs": functional.log_softmax(z)},
    ),
    "logsumexp_backward": Kind(
        functional.logsumexp_backward, lambda z: {"grad_output": slopes(z.shape[:-1], z.dtype), "logits": z}
    ),
    "nll_loss_backward": Kind(
        functional.nll_loss_backward, lambda z: {"log_probs": functional.log_softmax(z), "targets": targets_for(z)}
    ),
    "cross_entropy_backward": Kind(
        functional.cross_entropy_backward, lambda z: {"logits": z, "targets": targets_for(z)}
    ),
    "apply_temperature": Kind(sampling.apply_temperature, lambda z: {"scores": z, "temperature": 2.0}),
    "top_k": Kind(sampling.top_k, lambda z: {"scores": z, "k": 2}),
    "top_p": Kind(sampling.top_p, lambda z: {"scores": z, "p": 0.75}),
    "min_p": Kind(sampling.min_p, lambda z: {"scores": z, "p": 0.25}),
}
FILTERS = ("top_k", "top_p", "min_p")  # they return -inf for tokens that must not be drawn
