"""Identities of nll_loss and cross_entropy."""

import math

import numpy as np
from hypothesis import strategies as st

from scratchlm.properties.battery import Implementation, property_of
from scratchlm.properties.compare import Array, log_roundings, lse, near, numbers
from scratchlm.properties.inputs import (
    SHIFTS,
    also,
    far_up_and_down,
    log_probs,
    masked_rows,
    only,
    rows,
    wide,
    with_targets,
)


def _plain_losses(kind: str, scores: Array, targets: Array) -> Array:
    """Return one loss per row, from the definition."""
    z = scores.astype(np.float64)
    at_target = np.take_along_axis(z, targets[..., None], -1)[..., 0]
    return -at_target if kind == "nll_loss" else np.asarray(lse(z) - at_target)


def _of_a_loss(kind: str, name: str, identity: str) -> None:
    drawn = rows(dims=(2, 2))
    cases = with_targets(log_probs(drawn) if kind == "nll_loss" else drawn, name)

    @property_of(
        kind,
        "the target's",
        identity,
        why="The loss asks only one thing: how probable the class that came was.",
        hint="Pick entry y[i] of row i (np.take_along_axis, or z[np.arange(n), y]), with a minus and the natural log.",
        cases=cases,
    )
    def picks_the_target(f: Implementation, targets: Array, **case: Array) -> None:
        (z,) = case.values()
        expected = _plain_losses(kind, z, targets)
        near(f(z, targets, reduction="none"), expected, "the loss of each row", atol=log_roundings(z))

    @property_of(
        kind,
        "mean and sum",
        "mean = (1/N) sum_i loss_i, with N the number of rows",
        why="A mean over anything but the rows silently changes the learning rate.",
        hint="Divide by the number of rows, not by the number of entries or classes.",
        cases=cases,
    )
    def averages_and_sums_over_the_rows(f: Implementation, targets: Array, **case: Array) -> None:
        (z,) = case.values()
        each = numbers(f(z, targets, reduction="none")).astype(np.float64)
        near(f(z, targets, reduction="sum"), each.sum(), "the sum", atol=targets.size * log_roundings(z))
        near(f(z, targets, reduction="mean"), each.mean(), "the mean", atol=log_roundings(z))

    masked = log_probs(masked_rows()) if kind == "nll_loss" else masked_rows()

    @property_of(
        kind,
        "masked tokens",
        {
            "nll_loss": "l_k = -inf for k != y: the loss is -l[y], as before",
            "cross_entropy": "z_k = -inf for k != y: the loss is that of the row without k",
        }[kind],
        why="Masked classes do not compete.",
        hint="0 times -inf is nan: pick the target's entry by index instead of multiplying by a one-hot matrix.",
        cases=only(masked, name),
    )
    def ignores_masked_tokens(f: Implementation, **case: Array) -> None:
        (z,) = case.values()
        for row in z.reshape(-1, z.shape[-1]):
            there, y = row > -np.inf, row.argmax()
            alone = numbers(f(row[there][None], np.array([row[there].argmax()]), reduction="none"))
            near(f(row[None], np.array([y]), reduction="none"), alone, "the loss of the row", atol=log_roundings(row))


_of_a_loss("nll_loss", "log_probs", "nll_loss(l, y) = -l[y]")
_of_a_loss("cross_entropy", "logits", "cross_entropy(z, y) = nll_loss(log_softmax(z), y) >= 0")


@property_of(
    "cross_entropy",
    "uniform",
    "cross_entropy([z, z, ..., z], y) = log V, at any level z",
    why="A model that knows nothing pays log V, and a large shared offset must not hide that behind a loss of 0.",
    hint="logsumexp(z) - z[y] subtracts two large numbers. Subtract the maximum from z first, and never add it back.",
    cases=with_targets(
        st.builds(
            lambda level, classes: np.full((1, classes), level, np.float32),
            st.integers(-27, 27).map(lambda e: math.copysign(2.0 ** abs(e), e)),
            st.integers(2, 30),
        )
    ),
)
def is_log_v_for_equal_scores(f: Implementation, logits: Array, targets: Array) -> None:
    near(f(logits, targets, reduction="none"), [math.log(logits.size)], "the loss", rtol=1e-5, atol=1e-6)


@property_of(
    "cross_entropy",
    "blind to a shift",
    "cross_entropy(z + c, y) = cross_entropy(z, y)",
    why="Logits have no natural zero, and exp overflows above 88.7 and gives 0 below -104 (float32).",
    hint="Subtract each row's own maximum before exp.",
    cases=also(with_targets(rows(bound=20, whole=True, dims=(2, 2))), c=SHIFTS),
    always=far_up_and_down(targets=np.array([0, 1])),
)
def is_blind_to_a_shift(f: Implementation, logits: Array, targets: Array, c: float) -> None:
    shifted = logits.copy()
    shifted[::2] += logits.dtype.type(c)  # every other row, so that the batch mixes rows at different levels
    expected = numbers(f(logits, targets, reduction="none"))
    near(f(shifted, targets, reduction="none"), expected, "the loss of z + c", atol=log_roundings(shifted))


@property_of(
    "cross_entropy",
    "a hopeless target",
    "cross_entropy([0, h], 0) = h, for any h > 40",
    why="A model learns most from what it held impossible; a loss that is inf or capped teaches it nothing.",
    hint="The probability of the target underflows to 0 before its logarithm is taken, or is clipped. Take the "
    "logarithm on paper: log(sum of exps) - z[y], with shifted scores.",
    cases=wide(),
    always=tuple({"logits": np.array([[0, h]], np.float32)} for h in (50, 110, 1000)),
)
def costs_as_much_as_it_lacks(f: Implementation, logits: Array) -> None:
    # log(1 + exp(-h)) is below 1e-17, and h is a whole number that is exact in both dtypes.
    losses = f(logits, logits.argmin(axis=-1), reduction="none")
    near(losses, logits.max(axis=-1), "the loss", atol=log_roundings(logits))
