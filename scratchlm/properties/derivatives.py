"""Identities of the derivatives: the chain rule written out, what a gradient sums to, and central differences."""

from collections.abc import Callable

import numpy as np

from scratchlm import functional, gradcheck
from scratchlm.properties.battery import Implementation, property_of
from scratchlm.properties.compare import Array, demand, lse, near, numbers, onehot, roundings
from scratchlm.properties.inputs import (
    LOG_PROBS,
    PAIR,
    PROBS,
    SHIFTS,
    also,
    far_up_and_down,
    grad_and_logits,
    log_probs,
    rows,
    wide,
    with_targets,
)


def _jacobian(kind: str, output: Array) -> Array:
    """Return J[j, k] = d output_j / d z_k for one row."""
    if kind == "softmax_backward":
        return np.asarray(np.diag(output) - np.outer(output, output))
    return np.asarray(np.eye(len(output)) - np.exp(output)[None, :])


def _of_differences(z: Array) -> float:
    """Return how far a gradient may be from central differences: their own error of 1e-7, or that of float32."""
    return 1e-7 if z.dtype == np.float64 else 64 * float(np.finfo(z.dtype).eps) * z.shape[-1]


def _of_a_backward(kind: str, name: str, function: Callable[[Array], Array], identity: str) -> None:
    cases = PROBS if name == "probs" else LOG_PROBS

    @property_of(
        kind,
        "the Jacobian",
        identity,
        why="This is the chain rule. The product does not need the V x V matrix to be built.",
        hint="Write out J[j, k] for two classes and multiply g @ J by hand. The entries off the diagonal are not 0.",
        cases=cases,
    )
    def multiplies_by_the_jacobian(f: Implementation, grad_output: Array, **case: Array) -> None:
        (output,) = case.values()
        result = numbers(f(grad_output, output, axis=-1))
        for index in np.ndindex(output.shape[:-1]):
            expected = grad_output[index] @ _jacobian(kind, output[index].astype(np.float64))
            near(result[index], expected, f"the gradient of row {index}", atol=64 * np.finfo(output.dtype).eps)

    @property_of(
        kind,
        "sums to zero",
        "sum_k grad_k = 0",
        why="Softmax cannot see a shift, so no gradient may point along one.",
        hint="What the target gains, the others must lose. A sum over the row is missing, or runs over the wrong axis.",
        cases=cases,
    )
    def sums_to_zero(f: Implementation, grad_output: Array, **case: Array) -> None:
        (output,) = case.values()
        total = numbers(f(grad_output, output, axis=-1)).sum(axis=-1, dtype=np.float64)
        near(total, np.zeros(output.shape[:-1]), "the sum of a row", atol=256 * np.finfo(output.dtype).eps)

    @property_of(
        kind,
        "linear",
        "backward(2g) = 2 backward(g)",
        why="A derivative is a linear map of the gradient above it.",
        hint="grad_output may only be multiplied and summed.",
        cases=cases,
    )
    def is_linear(f: Implementation, grad_output: Array, **case: Array) -> None:
        (output,) = case.values()
        once = numbers(f(grad_output, output, axis=-1))
        tolerance = 256 * np.finfo(output.dtype).eps
        near(f(2 * grad_output, output, axis=-1), 2 * once, "backward(2g)", atol=tolerance)

    @property_of(
        kind,
        "central differences",
        "grad = the change of sum(g f(z)) under a nudge of z",
        why="This is an independent witness that knows no algebra.",
        hint="If the Jacobian is right on paper, the code does not compute g @ J.",
        cases=cases,
    )
    def agrees_with_differences(f: Implementation, grad_output: Array, **case: Array) -> None:
        (output,) = case.values()
        z = (np.log(output) if kind == "softmax_backward" else output).astype(np.float64)
        numeric = gradcheck.numerical_gradient(lambda x: (grad_output * function(x)).sum(), z)
        near(f(grad_output, output, axis=-1), numeric, "the gradient", atol=_of_differences(output))


_of_a_backward("softmax_backward", "probs", functional.softmax, "grad = g @ J, with J[j, k] = p_j ([j = k] - p_k)")
_of_a_backward(
    "log_softmax_backward", "log_probs", functional.log_softmax, "grad = g @ J, with J[j, k] = [j = k] - p_k"
)


@property_of(
    "logsumexp_backward",
    "softmax is its slope",
    "grad_k = g p_k, with p = softmax(z)",
    why="Raising a score raises logsumexp in proportion to its share of the sum.",
    hint="The derivative of log S is S' / S, and both need the same shift.",
    cases=grad_and_logits(),
    always=tuple(
        {"grad_output": np.array([1.0, 2.0]), "logits": np.add(PAIR, [[0], [level]])} for level in (1000, -1000)
    ),
)
def is_g_times_softmax(f: Implementation, grad_output: Array, logits: Array) -> None:
    expected = grad_output[..., None] * np.exp(logits - lse(logits)[..., None])
    near(f(grad_output, logits, axis=-1), expected, "the gradient", atol=16 * roundings(logits))


@property_of(
    "logsumexp_backward",
    "sums to g",
    "sum_k grad_k = g, at any level of z",
    why="If all scores rise by one, logsumexp rises by one.",
    hint="A naive exp overflows or underflows: use the stable softmax.",
    cases=also(grad_and_logits(), c=SHIFTS),
    always=far_up_and_down(grad_output=np.array([1.0, 2.0])),
)
def sums_to_g(f: Implementation, grad_output: Array, logits: Array, c: float) -> None:
    total = numbers(f(grad_output, logits + logits.dtype.type(c), axis=-1)).sum(axis=-1, dtype=np.float64)
    near(total, grad_output, "the sum of a row", atol=64 * roundings(logits))


@property_of(
    "logsumexp_backward",
    "linear",
    "backward(2g, z) = 2 backward(g, z)",
    why="A derivative is a linear map of the gradient above it.",
    hint="grad_output may only be multiplied.",
    cases=grad_and_logits(),
)
def is_linear_in_g(f: Implementation, grad_output: Array, logits: Array) -> None:
    once = numbers(f(grad_output, logits, axis=-1))
    near(f(2 * grad_output, logits, axis=-1), 2 * once, "backward(2g)", atol=64 * roundings(logits))


@property_of(
    "logsumexp_backward",
    "central differences",
    "grad = the change of sum(g logsumexp(z)) under a nudge of z",
    why="This is an independent witness that knows no algebra.",
    hint="The slope of logsumexp is softmax.",
    cases=grad_and_logits(),
)
def agrees_with_differences_of_logsumexp(f: Implementation, grad_output: Array, logits: Array) -> None:
    z, g = logits.astype(np.float64), grad_output.astype(np.float64)
    numeric = gradcheck.numerical_gradient(lambda x: (g * functional.logsumexp(x)).sum(), z)
    near(f(grad_output, logits, axis=-1), numeric, "the gradient", atol=_of_differences(logits))


def _of_a_loss_backward(kind: str, name: str, identity: str) -> None:
    drawn = rows(dims=(2, 2))
    cases = with_targets(log_probs(drawn) if kind == "nll_loss_backward" else drawn, name)

    @property_of(
        kind,
        "the formula",
        identity,
        why="Learning is this difference between what came and what was expected.",
        hint="Subtract 1 at the target's entry only, one entry per row, and divide by the number of rows.",
        cases=cases,
    )
    def is_p_minus_onehot(f: Implementation, targets: Array, **case: Array) -> None:
        (z,) = case.values()
        hot = onehot(targets, z.shape[-1])
        p = np.exp(z - lse(z)[..., None]) if kind == "cross_entropy_backward" else 0
        near(
            f(z, targets, reduction="mean"), (p - hot) / targets.size, "the gradient of the mean", atol=4 * roundings(z)
        )

    @property_of(
        kind,
        "mean and sum",
        "the gradient of the mean is 1/N times that of the sum",
        why="Without the 1/N, the learning rate depends on the batch size.",
        hint="Divide by N for the mean, and by nothing for the sum.",
        cases=cases,
    )
    def divides_by_n_for_the_mean(f: Implementation, targets: Array, **case: Array) -> None:
        (z,) = case.values()
        of_sum = numbers(f(z, targets, reduction="sum")).astype(np.float64)
        total = np.zeros(targets.shape) - (kind == "nll_loss_backward")
        near(of_sum.sum(axis=-1), total, "the sum of a row for reduction='sum'", atol=8 * roundings(z))
        near(f(z, targets, reduction="mean"), of_sum / targets.size, "the gradient of the mean", atol=8 * roundings(z))


_of_a_loss_backward("nll_loss_backward", "log_probs", "grad[i, k] = -[k = y_i] / N")
_of_a_loss_backward("cross_entropy_backward", "logits", "grad[i, k] = (softmax(z)[i, k] - [k = y_i]) / N")


@property_of(
    "cross_entropy_backward",
    "signs",
    "grad <= 0 at the target, and >= 0 elsewhere",
    why="A step against the gradient raises the target's score and lowers all the others.",
    hint="It is p - onehot, not onehot - p, and the target's column belongs to the target's row.",
    cases=with_targets(rows(dims=(2, 2))),
)
def raises_the_target_and_lowers_the_others(f: Implementation, logits: Array, targets: Array) -> None:
    grad, hot = numbers(f(logits, targets, reduction="mean")), onehot(targets, logits.shape[-1])
    demand(grad * (1 - 2 * hot) >= 0, "the sign of each entry", "at most 0 at the target, at least 0 elsewhere", grad)


@property_of(
    "cross_entropy_backward",
    "blind to a shift",
    "grad(z + c) = grad(z)",
    why="Logits have no natural zero, and a batch mixes rows at different levels.",
    hint="Subtract each row's own maximum before exp.",
    cases=also(with_targets(rows(bound=20, whole=True, dims=(2, 2))), c=SHIFTS),
    always=far_up_and_down(targets=np.array([0, 1])),
)
def is_blind_to_a_shift(f: Implementation, logits: Array, targets: Array, c: float) -> None:
    shifted = logits.copy()
    shifted[::2] += logits.dtype.type(c)
    expected = f(logits, targets, reduction="sum")
    near(f(shifted, targets, reduction="sum"), expected, "the gradient at z + c", atol=4 * roundings(logits))


@property_of(
    "cross_entropy_backward",
    "a hopeless target",
    "the gradient of [0, h] with target 0 is [-1, 1], for any h > 40",
    why="A model learns most from what it held impossible; a nan there ends the training.",
    hint="exp overflows, or a whole row underflows: subtract the row's maximum, not its minimum or mean.",
    cases=wide(),
)
def is_whole_for_a_hopeless_target(f: Implementation, logits: Array) -> None:
    # exp(-41) is below 2e-18, negligible beside 1.
    target = logits.argmin(axis=-1)
    expected = 1 - 2 * onehot(target, 2)
    near(f(logits, target, reduction="sum"), expected, "the gradient", atol=8 * np.finfo(logits.dtype).eps)


@property_of(
    "logsumexp_backward",
    "wide rows",
    "the gradient of logsumexp([0, h]) is [0, 1], for any h > 40",
    why="However far ahead the favourite is, it gets the whole share and no more.",
    hint="exp overflows, or a whole row underflows: subtract the row's maximum, not its minimum or mean.",
    cases=wide(),
)
def gives_all_to_a_favourite_far_ahead(f: Implementation, logits: Array) -> None:
    g = np.ones(len(logits), logits.dtype)
    expected = onehot(logits.argmax(axis=-1), 2)
    near(f(g, logits, axis=-1), expected, "the gradient", atol=8 * np.finfo(logits.dtype).eps)


@property_of(
    "cross_entropy_backward",
    "central differences",
    "grad = the change of cross_entropy(z, y) under a nudge of z",
    why="This is an independent witness that knows no algebra.",
    hint="If (p - onehot) / N is right on paper, the code computes something else.",
    cases=with_targets(rows(bound=5, dims=(2, 2))),
)
def agrees_with_differences_of_the_loss(f: Implementation, logits: Array, targets: Array) -> None:
    numeric = gradcheck.numerical_gradient(lambda x: functional.cross_entropy(x, targets), logits.astype(np.float64))
    near(f(logits, targets, reduction="mean"), numeric, "the gradient", atol=_of_differences(logits))
