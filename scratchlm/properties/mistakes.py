"""What people write instead: wrong implementations of every kind, each with what it computes and advice to its author.

In: nothing. Out: `MISTAKES`, by kind. A function that fails is compared with them (`diagnosis.py`). They also show what
the battery is worth: each breaks an identity. Do not copy anything from here. It is a catalogue, and so one long file.

Most mistakes are slips in one step of the same formula: the shift, the exponential, the sum, the logarithm. The steps
and their slips are written once, and each kind is put together from them. All other mistakes come after, by kind.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm import functional as F
from scratchlm import sampling
from scratchlm.properties.compare import Array, onehot

Function = Callable[..., Any]


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation of a kind: what it does, what to do instead, and an identity that it breaks."""

    kind: str
    function: Function
    does: str
    instead: str
    breaks: str = ""

    @property
    def name(self) -> str:
        """Return a name that no other mistake has."""
        return f"{self.kind}: {self.function.__name__}"

    @property
    def sentence(self) -> str:
        """Return the message to its author."""
        return f"This gives exactly the same results as {self.does}. {self.instead}."


MISTAKES: dict[str, list[Mistake]] = {}


def mistake(kind: str, breaks: str, does: str, instead: str) -> Callable[[Function], Function]:
    """Add the wrong implementation that follows to its kind."""

    def enter(function: Function) -> Function:
        MISTAKES.setdefault(kind, []).append(Mistake(kind, quietly(function), does, instead, breaks))
        return function

    return enter


def quietly(function: Function) -> Function:
    """Silence the warnings of a mistake, so that its numbers must give it away."""

    @functools.wraps(function)
    def silenced(*arguments: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments, **options)

    return silenced


# --- what they share --------------------------------------------------------------------------------------------------


def shifted(z: Array, axis: int = -1) -> Any:
    return np.asarray(z - z.max(axis=axis, keepdims=True))


def at_target(z: Array, targets: Array) -> Any:
    return np.asarray(np.take_along_axis(z, np.asarray(targets)[..., None], -1)[..., 0])


def reduced(losses: Array, reduction: str) -> Any:
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean(dtype=losses.dtype)


def over_rows(grad: Array, reduction: str) -> Any:
    """Return the gradient of the mean, or of the sum."""
    return np.asarray(grad / grad.dtype.type(math.prod(grad.shape[:-1]) if reduction == "mean" else 1))


def gradient(probs: Array, targets: Array, reduction: str) -> Any:
    """Return the textbook's gradient, from whatever is passed as the probabilities."""
    return over_rows(probs - onehot(np.asarray(targets), probs.shape[-1]).astype(probs.dtype), reduction)


# --- one formula, and the slips in its steps --------------------------------------------------------------------------


@dataclass(frozen=True)
class Slip:
    """A wrong step: its name, its code, what it does, and what to do instead."""

    name: str
    run: Function
    does: str
    instead: str


@dataclass(frozen=True)
class Steps:
    """The steps of log(sum(exp(z - shift))) and of what builds on it, each right unless it is replaced."""

    shift: Function = lambda z, axis: z.max(axis=axis, keepdims=True)
    exp: Function = np.exp
    total: Function = lambda e, axis: e.sum(axis=axis, keepdims=True)
    log: Function = np.log


OWN_MAX = "Subtract each row's own maximum, z.max(axis=axis, keepdims=True)"
OWN_SUM = "Each row needs its own sum (axis, keepdims)"
SLIPS: dict[str, tuple[Slip, ...]] = {
    "shift": (
        Slip(
            "no_shift",
            lambda z, axis: z.dtype.type(0),
            "taking exp of the scores as they are",
            "Subtract each row's own maximum first, or exp overflows: above 709, in float32 above 88",
        ),
        Slip(
            "global_max",
            lambda z, axis: z.max(),
            "subtracting the maximum of the whole array",
            "Beside a row of large scores, every exp of a row of small scores is 0. Each row needs its own maximum "
            "(axis, keepdims)",
        ),
        Slip(
            "max_of_columns",
            lambda z, axis: z.max(axis=0 if z.ndim > 1 else axis, keepdims=True),
            "subtracting the maximum of each column",
            "The shift must be one number per row: take it along the axis of the classes",
        ),
        Slip(
            "max_without_keepdims",
            lambda z, axis: z.max(axis=axis),
            "subtracting a maximum without keepdims",
            "Its shape does not broadcast, or does so by chance and shifts columns. Use keepdims=True",
        ),
        Slip(
            "max_0_max",
            lambda z, axis: np.maximum(0, z.max(axis=axis, keepdims=True)),
            "subtracting max(0, max z)",
            f"A row of very negative scores underflows. {OWN_MAX}",
        ),
        Slip(
            "largest_magnitude",
            lambda z, axis: np.abs(z).max(axis=axis, keepdims=True),
            "subtracting the largest absolute value",
            f"A row of very negative scores underflows. {OWN_MAX}",
        ),
        Slip(
            "mean",
            lambda z, axis: z.mean(axis=axis, keepdims=True),
            "subtracting the mean",
            f"A score far above the mean still overflows. {OWN_MAX}",
        ),
        Slip(
            "min",
            lambda z, axis: z.min(axis=axis, keepdims=True),
            "subtracting the minimum",
            f"That leaves no score below 0, and exp overflows. {OWN_MAX}",
        ),
        Slip(
            "max_added",
            lambda z, axis: -z.max(axis=axis, keepdims=True),
            "adding the maximum instead of subtracting it",
            f"Large scores become twice as large. {OWN_MAX}",
        ),
    ),
    "exp": (
        Slip("base_2", np.exp2, "taking powers of 2", "Use np.exp, which takes powers of e"),
        Slip(
            "base_10",
            lambda d: np.power(d.dtype.type(10), d),
            "taking powers of 10",
            "Use np.exp, which takes powers of e",
        ),
        Slip(
            "minus",
            lambda d: np.exp(-d),
            "taking exp(-z)",
            "The highest score is the likeliest: use exp(z), without a minus",
        ),
        Slip("expm1", np.expm1, "taking expm1", "Use np.exp, whose values are never negative: expm1(z) is exp(z) - 1"),
        Slip(
            "small_ones_dropped",
            lambda d: np.exp(d) * (d > -5),
            "dropping small exps",
            "Every class counts, however unlikely it is",
        ),
    ),
    "total": (
        Slip("sum_of_everything", lambda e, axis: e.sum(), "dividing by the sum of the whole array", OWN_SUM),
        Slip(
            "sum_of_columns",
            lambda e, axis: e.sum(axis=0, keepdims=True),
            "summing over axis 0",
            "The classes lie along the last axis unless the caller names another: sum along `axis`",
        ),
        Slip(
            "sum_without_keepdims",
            lambda e, axis: e.sum(axis=axis),
            "dividing by a sum without keepdims",
            "Its shape does not broadcast, or does so by chance and mixes rows. Use keepdims=True",
        ),
        Slip(
            "mean_of_exps",
            lambda e, axis: e.mean(axis=axis, keepdims=True),
            "taking the mean of the exps",
            "Take their sum: the mean is too small by a factor of V",
        ),
        Slip(
            "largest_exp",
            lambda e, axis: e.max(axis=axis, keepdims=True),
            "taking the largest exp instead of their sum",
            "Every class belongs in the sum",
        ),
        Slip(
            "three_largest",
            lambda e, axis: np.sort(e, axis=axis).take(range(-min(3, e.shape[axis]), 0), axis).sum(axis, keepdims=True),
            "summing only the three largest exps",
            "Every class belongs in the sum",
        ),
        *(
            Slip(
                f"epsilon_{n}",
                lambda e, axis, n=n: e.sum(axis=axis, keepdims=True) + e.dtype.type(10.0**-n),
                f"adding 1e-{n} to the sum",
                "After the shift the largest exp is 1, so the sum is never 0: add nothing",
            )
            for n in (3, 5, 6, 7, 8, 9, 10)
        ),
    ),
    "log": (
        Slip("log2", np.log2, "taking the logarithm to base 2", "Nats are natural logarithms: use np.log"),
        Slip("log10", np.log10, "taking the logarithm to base 10", "Nats are natural logarithms: use np.log"),
        Slip(
            "log1p",
            np.log1p,
            "taking log1p of the whole sum",
            "The favourite's own 1 is already in the sum: use log, or log1p of the sum without it",
        ),
    ),
}


def _softmax(steps: Steps) -> Function:
    def softmax(z: Array, axis: int = -1) -> Any:
        e = steps.exp(z - steps.shift(z, axis))
        return np.asarray(e / steps.total(e, axis))

    return softmax


def _log_softmax(steps: Steps) -> Function:
    def log_softmax(z: Array, axis: int = -1) -> Any:
        d = z - steps.shift(z, axis)
        return np.asarray(d - steps.log(steps.total(steps.exp(d), axis)))

    return log_softmax


def _logsumexp(steps: Steps) -> Function:
    def logsumexp(z: Array, axis: int = -1) -> Any:
        c = steps.shift(z, axis)
        total = steps.log(steps.total(steps.exp(z - c), axis)) + c
        first = z.take([0], axis)  # has the shape of one number per row
        return np.squeeze(np.broadcast_to(total, np.broadcast_shapes(total.shape, first.shape)), axis)

    return logsumexp


def _cross_entropy(steps: Steps) -> Function:
    def cross_entropy(z: Array, targets: Array, reduction: str = "mean") -> Any:
        d = z - steps.shift(z, -1)
        losses = steps.log(steps.total(steps.exp(d), -1)) - at_target(d, targets)[..., None]
        return reduced(np.broadcast_to(losses, (*z.shape[:-1], 1))[..., 0], reduction)

    return cross_entropy


def _cross_entropy_backward(steps: Steps) -> Function:
    def cross_entropy_backward(z: Array, targets: Array, reduction: str = "mean") -> Any:
        return gradient(_softmax(steps)(z), targets, reduction)

    return cross_entropy_backward


def _logsumexp_backward(steps: Steps) -> Function:
    def logsumexp_backward(g: Array, z: Array, axis: int = -1) -> Any:
        return np.expand_dims(g, axis) * _softmax(steps)(z, axis)

    return logsumexp_backward


# The formula of each kind, and the steps in which it can slip.
FORMULAS: dict[str, tuple[Callable[[Steps], Function], tuple[str, ...]]] = {
    "softmax": (_softmax, ("shift", "exp", "total")),
    "log_softmax": (_log_softmax, ("shift", "exp", "total", "log")),
    "logsumexp": (_logsumexp, ("shift", "exp", "total", "log")),
    "cross_entropy": (_cross_entropy, ("shift", "exp", "total", "log")),
    "cross_entropy_backward": (_cross_entropy_backward, ("shift", "exp", "total")),
    "logsumexp_backward": (_logsumexp_backward, ("shift", "exp", "total")),
}
# Slips that are not mistakes in that kind, cannot be made there, or are listed under a name of their own.
NOT_THERE = {
    ("logsumexp", "sum_without_keepdims"),
    ("logsumexp", "max_of_columns"),
    ("logsumexp", "sum_of_columns"),
    ("logsumexp", "largest_exp"),
    ("log_softmax", "largest_exp"),
    ("cross_entropy", "sum_without_keepdims"),
    ("cross_entropy", "sum_of_columns"),
}


def with_slips(kind: str, *slips: tuple[str, Slip]) -> Mistake:
    """Return the formula of a kind with one slip, or with two at once."""
    formula, _ = FORMULAS[kind]
    function = quietly(formula(Steps(**{step: slip.run for step, slip in slips})))
    function.__name__ = "_and_".join(slip.name for _, slip in slips)
    does = " and ".join(slip.does for _, slip in slips)
    if "log" in FORMULAS[kind][1]:  # these take the logarithm of the sum and do not divide
        does = does.replace("dividing by the sum of", "summing").replace("dividing by a sum", "taking a sum")
    return Mistake(kind, function, does, ". ".join(slip.instead for _, slip in slips))


def slips_of(kind: str) -> list[tuple[str, Slip]]:
    """Return the possible slips in the formula of a kind, each with its step."""
    _, steps = FORMULAS.get(kind, (None, ()))
    return [(step, slip) for step in steps for slip in SLIPS[step] if (kind, slip.name) not in NOT_THERE]


@functools.cache
def pairs(kind: str) -> tuple[Mistake, ...]:
    """Return the formula of a kind with two slips at once, for each two in different steps."""
    slips = slips_of(kind)
    return tuple(with_slips(kind, a, b) for i, a in enumerate(slips) for b in slips[i + 1 :] if a[0] != b[0])


MISTAKES.update({kind: [with_slips(kind, slip) for slip in slips_of(kind)] for kind in FORMULAS})


# --- softmax ---------------------------------------------------------------------------------------------------------


@mistake(
    "softmax", "ratios", "applying softmax twice", "Once is enough: the second time, it takes probabilities for scores"
)
def twice(z: Array, axis: int = -1) -> Any:
    return F.softmax(F.softmax(z, axis), axis)


@mistake("softmax", "a distribution", "log_softmax", "Take exp of it: a probability is not a logarithm")
def logarithms(z: Array, axis: int = -1) -> Any:
    return F.log_softmax(z, axis)


@mistake("softmax", "ratios", "rounding the scores to two digits", "Keep every digit: scores have no unit")
def quantised(z: Array, axis: int = -1) -> Any:
    return F.softmax(np.round(z, 2), axis)


@mistake("softmax", "ratios", "computing in float16", "Compute in the dtype of the input, or in a wider one")
def float16_inside(z: Array, axis: int = -1) -> Any:
    return F.softmax(z.astype(np.float16), axis).astype(z.dtype)


@mistake("softmax", "blind to a shift", "clipping the scores to 50", f"Do not clip them, but shift them. {OWN_MAX}")
def clipped(z: Array, axis: int = -1) -> Any:
    return F.softmax(np.where(np.isneginf(z), z, np.clip(z, -50, 50)), axis)


@mistake("softmax", "ratios", "dividing the scores by their sum", "Scores are exponents: take exp before dividing")
def without_exp(z: Array, axis: int = -1) -> Any:
    return z / z.sum(axis=axis, keepdims=True)


@mistake("softmax", "a distribution", "a sigmoid for each class", "Classes compete: divide exps by their common sum")
def sigmoids(z: Array, axis: int = -1) -> Any:
    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))


@mistake("softmax", "ratios", "sigmoids normalised to sum to 1", "Take exp of each score, not its sigmoid")
def normalised_sigmoids(z: Array, axis: int = -1) -> Any:
    p = sigmoids(z)
    return p / p.sum(axis=axis, keepdims=True)


@mistake(
    "softmax",
    "ratios",
    "giving everything to the largest score (argmax)",
    "The others keep their share: divide exps by their sum",
)
def hard_max(z: Array, axis: int = -1) -> Any:
    best = (z == z.max(axis=axis, keepdims=True)).astype(z.dtype)
    return best / best.sum(axis=axis, keepdims=True)


@mistake("softmax", "ratios", "softmax at a temperature of 2", "Do not divide the scores by anything")
def at_temperature_2(z: Array, axis: int = -1) -> Any:
    return F.softmax(z / 2, axis)


@mistake("softmax", "ratios", "squares instead of exps", "Scores may be negative: take their exps")
def squares(z: Array, axis: int = -1) -> Any:
    return z * z / (z * z).sum(axis=axis, keepdims=True)


@mistake(
    "softmax",
    "ratios",
    "scaling the scores to the range from 0 to 1",
    "They have no range: take exp of them as they are",
)
def scaled_scores(z: Array, axis: int = -1) -> Any:
    low, high = z.min(axis=axis, keepdims=True), z.max(axis=axis, keepdims=True)
    return F.softmax((z - low) / (high - low), axis)


@mistake("softmax", "ratios", "standardising the scores", "Their spread is what the model says: only shift them")
def standardised(z: Array, axis: int = -1) -> Any:
    return F.softmax((z - z.mean(axis=axis, keepdims=True)) / z.std(axis=axis, keepdims=True), axis)


@mistake("softmax", "ratios", "setting small probabilities to 0", "A rare class is not an impossible one")
def small_probs_dropped(z: Array, axis: int = -1) -> Any:
    p = F.softmax(z, axis)
    p[p < 1e-3] = 0
    return p / p.sum(axis=axis, keepdims=True)


@mistake(
    "softmax", "a distribution", "rounding the probabilities", "Then they no longer sum to 1: round when you print"
)
def rounded(z: Array, axis: int = -1) -> Any:
    return np.round(F.softmax(z, axis), 4)


@mistake("softmax", "ratios", "sorting the probabilities", "Put them back: a class is known by its place")
def sorted_probs(z: Array, axis: int = -1) -> Any:
    return np.sort(F.softmax(z, axis), axis=axis)


@mistake(
    "softmax",
    "huge, tiny, alone",
    "exp(z - logsumexp(z))",
    "For large scores, logsumexp loses its small digits to rounding. Subtract the maximum from z first",
)
def exp_of_z_minus_a_rounded_z(z: Array, axis: int = -1) -> Any:
    return np.exp(z - F.logsumexp(z, axis, keepdims=True))


def _masked_at(level: float) -> Function:
    def masked(z: Array, axis: int = -1) -> Any:
        return F.softmax(np.where(np.isneginf(z), z.dtype.type(level), z), axis)

    masked.__name__ = f"masked_at_{-level:g}"
    return masked


for _level in (-1.0, -10.0):
    mistake(
        "softmax",
        "masked tokens",
        f"replacing -inf by {_level:g}",
        "A masked token has probability 0, and -inf gives that by itself",
    )(_masked_at(_level))


@mistake(
    "softmax",
    "masked tokens",
    "multiplying the scores by 0 on the way",
    "Select with np.where instead: 0 times -inf is nan",
)
def nan_for_a_mask(z: Array, axis: int = -1) -> Any:
    return F.softmax(z, axis) + 0 * z


@mistake(
    "softmax", "one axis, slice by slice", "always taking the last axis", "Pass axis on to every max and every sum"
)
def always_the_last_axis(z: Array, axis: int = -1) -> Any:
    return F.softmax(z, -1)


# --- log_softmax -----------------------------------------------------------------------------------------------------


@mistake(
    "log_softmax",
    "huge, tiny, alone",
    "log(softmax(z))",
    "A probability underflows to 0, and its logarithm is -inf. Take the logarithm on paper: (z - m) - log(sum)",
)
def log_of_softmax(z: Array, axis: int = -1) -> Any:
    return np.log(F.softmax(z, axis))


@mistake(
    "log_softmax",
    "any level",
    "log(softmax(z)) without a shift",
    "The exps overflow, and their quotients are nan. Subtract the maximum, and take the logarithm on paper",
)
def log_of_naive_softmax(z: Array, axis: int = -1) -> Any:
    e = np.exp(z)
    return np.log(e / e.sum(axis=axis, keepdims=True))


@mistake(
    "log_softmax",
    "huge, tiny, alone",
    "z - logsumexp(z)",
    "The shift must come before the logarithm: (z - m) - log(sum). Never add m back",
)
def z_minus_logsumexp(z: Array, axis: int = -1) -> Any:
    return z - F.logsumexp(z, axis, keepdims=True)


@mistake("log_softmax", "normalised", "the shift alone", "Subtract the logarithm of the sum of exps, too")
def only_shifted(z: Array, axis: int = -1) -> Any:
    return shifted(z, axis)


@mistake("log_softmax", "normalised", "softmax", "Take its logarithm: (z - m) - log(sum)")
def probabilities(z: Array, axis: int = -1) -> Any:
    return F.softmax(z, axis)


@mistake("log_softmax", "normalised", "minus the logarithm", "A log-probability is negative: (z - m) - log(sum)")
def negated(z: Array, axis: int = -1) -> Any:
    return -F.log_softmax(z, axis)


@mistake("log_softmax", "normalised", "taking the logarithm to base 2", "Nats are natural logarithms: use np.log")
def base_2_log(z: Array, axis: int = -1) -> Any:
    return F.log_softmax(z, axis) / z.dtype.type(math.log(2))


@mistake("log_softmax", "normalised", "taking the logarithm to base 10", "Nats are natural logarithms: use np.log")
def base_10_log(z: Array, axis: int = -1) -> Any:
    return F.log_softmax(z, axis) / z.dtype.type(math.log(10))


@mistake("log_softmax", "normalised", "subtracting the sum of exps itself", "Subtract its logarithm")
def sum_not_logged(z: Array, axis: int = -1) -> Any:
    d = shifted(z, axis)
    return d - np.exp(d).sum(axis=axis, keepdims=True)


def _log_with_epsilon(n: int) -> Function:
    def log_with_epsilon(z: Array, axis: int = -1) -> Any:
        return np.log(F.softmax(z, axis) + z.dtype.type(10.0**-n))

    log_with_epsilon.__name__ = f"log_with_epsilon_{n}"
    return log_with_epsilon


def _log_clipped(n: int) -> Function:
    def log_clipped(z: Array, axis: int = -1) -> Any:
        return np.log(np.maximum(F.softmax(z, axis), z.dtype.type(10.0**-n)))

    log_clipped.__name__ = f"log_clipped_{n}"
    return log_clipped


NO_LIMIT = "This makes every unlikely class cost the same. Take the logarithm on paper: (z - m) - log(sum)"
EPSILONS = (5, 6, 7, 8, 9, 10, 12, 15, 16)
for _n in EPSILONS:
    mistake("log_softmax", "differences kept", f"log(softmax(z) + 1e-{_n})", NO_LIMIT)(_log_with_epsilon(_n))
    mistake("log_softmax", "differences kept", f"log(max(softmax(z), 1e-{_n}))", NO_LIMIT)(_log_clipped(_n))


@mistake(
    "log_softmax",
    "huge, tiny, alone",
    "limiting log-probabilities to -5000",
    "A log-probability has no limit: leave it as it is",
)
def clipped_log(z: Array, axis: int = -1) -> Any:
    return np.maximum(F.log_softmax(z, axis), -np.where(np.isneginf(z), np.inf, 5000).astype(z.dtype))


@mistake("log_softmax", "differences kept", "rounding the scores to two digits", "Keep every digit")
def quantised_log(z: Array, axis: int = -1) -> Any:
    return F.log_softmax(np.round(z, 2), axis)


@mistake("log_softmax", "masked tokens", "nan_to_num", "Leave -inf: it is the right answer for a masked token")
def nan_to_num(z: Array, axis: int = -1) -> Any:
    return np.nan_to_num(F.log_softmax(z, axis))


@mistake("log_softmax", "permutation", "sorting a row when its first class leads", "A class is known by its place")
def first_class_is_special(z: Array, axis: int = -1) -> Any:
    leads = z.ndim == 1 and z.size > 3 and z[0] > z[1:].max()
    return F.log_softmax(np.sort(z) if leads else z, axis)


@mistake("log_softmax", "one axis, slice by slice", "always taking the last axis", "Pass axis on to every max and sum")
def log_along_the_last_axis(z: Array, axis: int = -1) -> Any:
    return F.log_softmax(z, -1)


# --- logsumexp -------------------------------------------------------------------------------------------------------


@mistake(
    "logsumexp",
    "between max and max + log n",
    "taking the logarithm to base 2",
    "Nats are natural logarithms: use np.log",
)
def base_2_lse(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(z, axis) / z.dtype.type(math.log(2))


@mistake("logsumexp", "in two parts", "the maximum alone", "Every class adds to the sum: max + log(sum of exps)")
def only_the_max(z: Array, axis: int = -1) -> Any:
    return z.max(axis=axis)


@mistake(
    "logsumexp",
    "between max and max + log n",
    "the logarithm of the shifted sum",
    "Add the maximum back after the logarithm",
)
def max_not_added_back(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(shifted(z, axis), axis)


@mistake("logsumexp", "between max and max + log n", "subtracting the maximum again", "Add it back after the logarithm")
def max_subtracted_again(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(shifted(z, axis), axis) - z.max(axis=axis)


@mistake("logsumexp", "between max and max + log n", "the sum without its logarithm", "Take np.log of it")
def sum_of_exps(z: Array, axis: int = -1) -> Any:
    return np.exp(z).sum(axis=axis)


@mistake("logsumexp", "between max and max + log n", "the sum of the scores", "Take exp, sum, and then log")
def sum_of_scores(z: Array, axis: int = -1) -> Any:
    return z.sum(axis=axis)


@mistake("logsumexp", "n copies", "counting tied largest scores only once", "All of them belong in the sum")
def ties_counted_once(z: Array, axis: int = -1) -> Any:
    top = z == z.max(axis=axis, keepdims=True)
    return F.logsumexp(np.where(top & (np.cumsum(top, axis=axis) > 1), -np.inf, z).astype(z.dtype), axis)


@mistake("logsumexp", "in two parts", "logsumexp of only the three largest scores", "Every class belongs in the sum")
def three_largest_only(z: Array, axis: int = -1) -> Any:
    """Right for up to three entries, and for any number of copies."""
    n = z.shape[axis]
    three = F.logsumexp(np.take(np.sort(z, axis=axis), range(max(0, n - 3), n), axis=axis), axis)
    copies = z.min(axis=axis, initial=np.inf, where=np.isfinite(z)) == z.max(axis=axis)
    return np.where(copies, F.logsumexp(z, axis), three).astype(z.dtype)


@mistake("logsumexp", "masked tokens", "replacing -inf by -1", "Leave -inf: it adds exp(-inf) = 0 by itself")
def masked_become_minus_1(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(np.where(np.isneginf(z), z.dtype.type(-1), z), axis)


@mistake(
    "logsumexp", "huge, tiny, alone", "clipping the scores to 5000", f"Do not clip them, but shift them. {OWN_MAX}"
)
def gives_up_above_5_000(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(np.where(np.isneginf(z), z, np.clip(z, -5000, 5000)).astype(z.dtype), axis)


@mistake(
    "logsumexp",
    "between max and max + log n",
    "summing over axis 0",
    "The classes lie along the last axis: sum along `axis`",
)
def lse_of_columns(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(z, 0)


@mistake("logsumexp", "one axis, slice by slice", "always taking the last axis", "Pass axis on to every max and sum")
def lse_along_the_last_axis(z: Array, axis: int = -1) -> Any:
    return F.logsumexp(z, -1)


# --- nll_loss --------------------------------------------------------------------------------------------------------


@mistake("nll_loss", "the target's", "the log-probability without a minus", "A loss is minus the log-probability")
def no_minus(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(at_target(log_p, targets), reduction)


@mistake(
    "nll_loss",
    "mean and sum",
    "dividing by the number of classes",
    "For the mean over the rows, divide by their number",
)
def mean_over_the_classes(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    loss = F.nll_loss(log_p, targets, reduction)
    return loss * np.asarray(targets).size / log_p.shape[-1] if reduction == "mean" else loss


@mistake(
    "nll_loss",
    "mean and sum",
    "dividing by the number of entries",
    "For the mean over the rows, divide by their number",
)
def mean_over_the_entries(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    loss = F.nll_loss(log_p, targets, reduction)
    return loss / log_p.shape[-1] if reduction == "mean" else loss


@mistake("nll_loss", "mean and sum", "the mean in place of the sum", "Do not divide a sum by anything")
def always_the_mean(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(log_p, targets, "mean" if reduction == "sum" else reduction)


@mistake("nll_loss", "mean and sum", "the sum in place of the mean", "Divide it by the number of rows")
def always_the_sum(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(log_p, targets, "sum" if reduction == "mean" else reduction)


@mistake("nll_loss", "the target's", "taking the logarithm a second time", "The log_probs are already logarithms")
def log_once_more(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(np.log(np.abs(log_p) + 1), targets, reduction)


@mistake("nll_loss", "the target's", "minus the probability", "It is minus the logarithm: leave out the exp")
def minus_the_probability(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(np.exp(log_p), targets, reduction)


@mistake(
    "nll_loss", "the target's", "the loss of the likeliest class", "Pick the target's entry, whichever class leads"
)
def best_class_instead_of_target(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(-log_p.max(axis=-1), reduction)


@mistake("nll_loss", "the target's", "the loss of all classes together", "Pick the target's entry in each row")
def all_classes(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(-log_p.sum(axis=-1), reduction)


@mistake("nll_loss", "the target's", "using the targets of the next rows", "Row i belongs to target i")
def targets_of_the_next_rows(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(log_p, np.roll(targets, -1), reduction)


@mistake("nll_loss", "the target's", "using the class before the target", "Ids begin at 0: subtract nothing")
def ids_from_1(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(log_p, (np.asarray(targets) - 1) % log_p.shape[-1], reduction)


@mistake(
    "nll_loss",
    "masked tokens",
    "multiplying the log-probabilities by a one-hot matrix",
    PICK := "Pick the target's entry by index, with np.take_along_axis: 0 times -inf is nan",
)
def one_hot_times_log_probs(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(-(onehot(np.asarray(targets), log_p.shape[-1]).astype(log_p.dtype) * log_p).sum(axis=-1), reduction)


# --- cross_entropy ---------------------------------------------------------------------------------------------------


@mistake(
    "cross_entropy",
    "a hopeless target",
    "-log(softmax(z)[y])",
    "A probability underflows to 0, and the loss is inf. Take the logarithm on paper: log(sum) - (z[y] - m)",
)
def log_of_the_probability(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(-np.log(at_target(F.softmax(z), targets)), reduction)


@mistake(
    "cross_entropy",
    "blind to a shift",
    "-log(softmax(z)[y]) without a shift",
    "The exps overflow, and their quotients are nan. Subtract the maximum, and take the logarithm on paper",
)
def log_of_the_naive_probability(z: Array, targets: Array, reduction: str = "mean") -> Any:
    e = np.exp(z)
    return reduced(-np.log(at_target(e / e.sum(axis=-1, keepdims=True), targets)), reduction)


@mistake(
    "cross_entropy",
    "uniform",
    "logsumexp(z) - z[y]",
    "For large scores, both lose their small digits to rounding. Subtract the maximum from z first",
)
def lse_minus_target(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(F.logsumexp(z) - at_target(z, targets), reduction)


@mistake("cross_entropy", "the target's", "nll_loss of the scores", "Normalise them first, with log_softmax")
def nll_of_logits(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(z, targets, reduction)


@mistake("cross_entropy", "the target's", "minus the probability of the target", "Take its logarithm")
def minus_the_targets_probability(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss(F.softmax(z), targets, reduction)


@mistake(
    "cross_entropy",
    "the target's",
    "softmax before the cross-entropy",
    "Cross-entropy takes scores and normalises them itself",
)
def softmax_before_cross_entropy(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(F.softmax(z), targets, reduction)


@mistake("cross_entropy", "the target's", "the log-likelihood without its minus", "A loss is minus the log-probability")
def no_minus_before_the_log(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return -F.cross_entropy(z, targets, reduction)


@mistake("cross_entropy", "the target's", "rounding the scores to two digits", "Keep every digit")
def quantised_loss(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(np.round(z, 2), targets, reduction)


@mistake("cross_entropy", "the target's", "the loss in bits", "Nats are natural logarithms: use np.log")
def base_2_loss(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(z, targets, reduction) / z.dtype.type(math.log(2))


def _loss_with_epsilon(n: int) -> Function:
    def loss_with_epsilon(z: Array, targets: Array, reduction: str = "mean") -> Any:
        return reduced(-np.log(at_target(F.softmax(z), targets) + z.dtype.type(10.0**-n)), reduction)

    loss_with_epsilon.__name__ = f"loss_with_epsilon_{n}"
    return loss_with_epsilon


def _loss_clipped(n: int, both: bool) -> Function:
    def loss_clipped(z: Array, targets: Array, reduction: str = "mean") -> Any:
        low = z.dtype.type(10.0**-n)
        return reduced(-np.log(np.clip(at_target(F.softmax(z), targets), low, 1 - low * both)), reduction)

    loss_clipped.__name__ = f"loss_clipped_{n}{'_at_both_ends' if both else ''}"
    return loss_clipped


LOSS_LIMIT = (
    "This makes everything that the model called impossible cost the same. Take the logarithm on paper: log(sum) - "
    "(z[y] - m)"
)
for _n in EPSILONS:
    mistake("cross_entropy", "the target's", f"-log(p + 1e-{_n})", LOSS_LIMIT)(_loss_with_epsilon(_n))
    mistake("cross_entropy", "the target's", f"-log(max(p, 1e-{_n}))", LOSS_LIMIT)(_loss_clipped(_n, False))
    if _n <= 12:  # any closer to 1, there is no room
        mistake("cross_entropy", "the target's", f"clipping p between 1e-{_n} and 1 - 1e-{_n}", LOSS_LIMIT)(
            _loss_clipped(_n, True)
        )


@mistake("cross_entropy", "the target's", "limiting the loss to 16 nats", "A loss has no limit: leave it as it is")
def largest_loss_clipped(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(np.minimum(F.cross_entropy(z, targets, "none"), z.dtype.type(16)), reduction)


@mistake(
    "cross_entropy",
    "mean and sum",
    "dividing by the number of entries",
    "For the mean over the rows, divide by their number",
)
def mean_over_all_entries(z: Array, targets: Array, reduction: str = "mean") -> Any:
    loss = F.cross_entropy(z, targets, reduction)
    return loss / z.dtype.type(z.shape[-1]) if reduction == "mean" else loss


@mistake(
    "cross_entropy",
    "mean and sum",
    "dividing by the number of classes",
    "For the mean over the rows, divide by their number",
)
def mean_over_classes(z: Array, targets: Array, reduction: str = "mean") -> Any:
    loss = F.cross_entropy(z, targets, "sum" if reduction == "mean" else reduction)
    return loss / z.dtype.type(z.shape[-1]) if reduction == "mean" else loss


@mistake("cross_entropy", "mean and sum", "the sum in place of the mean", "Divide it by the number of rows")
def sum_for_the_mean(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(z, targets, "sum" if reduction == "mean" else reduction)


@mistake("cross_entropy", "mean and sum", "the mean in place of the sum", "Do not divide a sum by anything")
def mean_for_the_sum(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(z, targets, "mean" if reduction == "sum" else reduction)


@mistake("cross_entropy", "the target's", "the mean over all entries of onehot * log p", "Sum over the classes first")
def mean_of_one_hot_times_log(z: Array, targets: Array, reduction: str = "mean") -> Any:
    entries = onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype) * F.log_softmax(z)
    return reduced(-entries.mean(axis=-1), reduction)


@mistake("cross_entropy", "masked tokens", "multiplying the log-probabilities by a one-hot matrix", PICK)
def one_hot_times_log(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(
        -(onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype) * F.log_softmax(z)).sum(axis=-1), reduction
    )


@mistake(
    "cross_entropy",
    "the target's",
    "a binary cross-entropy for each class",
    "Classes exclude each other: the loss is -log p of the target, and the others add nothing",
)
def binary_for_each_class(z: Array, targets: Array, reduction: str = "mean") -> Any:
    p, hot = F.softmax(z), onehot(np.asarray(targets), z.shape[-1]) > 0
    return reduced(-np.log(np.where(hot, p, 1 - p)).sum(axis=-1), reduction)


@mistake("cross_entropy", "the target's", "the squared error of the probabilities", "The loss is -log p of the target")
def squared_error(z: Array, targets: Array, reduction: str = "mean") -> Any:
    error = F.softmax(z) - onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype)
    return reduced((error**2).sum(axis=-1), reduction)


@mistake(
    "cross_entropy",
    "the target's",
    "the entropy of the model's own distribution",
    "Weight -log p by the target's one-hot row",
)
def own_entropy(z: Array, targets: Array, reduction: str = "mean") -> Any:
    log_p = F.log_softmax(z)
    return reduced(-(np.exp(log_p) * log_p).sum(axis=-1), reduction)


@mistake(
    "cross_entropy", "the target's", "the loss of the likeliest class", "Pick the target's entry, whichever class leads"
)
def loss_of_the_best(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return reduced(-F.log_softmax(z).max(axis=-1), reduction)


@mistake("cross_entropy", "the target's", "using the targets of the next rows", "Row i belongs to target i")
def next_rows_targets(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(z, np.roll(targets, -1), reduction)


@mistake("cross_entropy", "the target's", "using the class before the target", "Ids begin at 0: subtract nothing")
def ids_that_begin_at_1(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy(z, (np.asarray(targets) - 1) % z.shape[-1], reduction)


# --- the gradients of the losses -------------------------------------------------------------------------------------


@mistake("nll_loss_backward", "the formula", "+1 at the target", "The loss is minus the entry, so its slope is -1")
def plus_one_at_the_target(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return -F.nll_loss_backward(log_p, targets, reduction)


@mistake("nll_loss_backward", "the formula", "using the targets of the previous rows", "Row i belongs to target i")
def off_by_one(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    """Shift the targets by one, as happens in language models."""
    return F.nll_loss_backward(log_p, np.roll(targets, 1), reduction)


@mistake("nll_loss_backward", "the formula", "using the class before the target", "Ids begin at 0: subtract nothing")
def nll_ids_from_1(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(log_p, (np.asarray(targets) - 1) % log_p.shape[-1], reduction)


@mistake(
    "nll_loss_backward",
    "mean and sum",
    "the gradient of the sum in place of that of the mean",
    "Divide by the number of rows",
)
def nll_without_1_over_n(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(log_p, targets, "sum")


@mistake(
    "nll_loss_backward",
    "mean and sum",
    "the gradient of the mean in place of that of the sum",
    "Divide only for the mean",
)
def nll_sum_with_1_over_n(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(log_p, targets, "mean")


@mistake("nll_loss_backward", "mean and sum", "dividing by the number of entries", "Divide by the number of rows")
def nll_over_all_entries(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    grad = F.nll_loss_backward(log_p, targets, reduction)
    return grad / grad.dtype.type(log_p.shape[-1]) if reduction == "mean" else grad


@mistake(
    "nll_loss_backward", "the formula", "the log-probabilities at the targets", "The slope is -1, whatever they are"
)
def log_probs_at_the_target(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(log_p, targets, reduction) * log_p


@mistake(
    "nll_loss_backward",
    "the formula",
    "-1 / p at the target",
    "That is the slope with respect to p, but here log p is given",
)
def slope_by_the_probability(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(log_p, targets, reduction) / np.exp(log_p)


@mistake(
    "nll_loss_backward",
    "the formula",
    "the gradient of cross_entropy",
    "Here log_probs are given, so no softmax is left",
)
def nll_with_softmax(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return gradient(np.exp(log_p), targets, reduction)


@mistake("nll_loss_backward", "the formula", "-1 in every entry", "Only the target's entry is in the loss")
def minus_one_everywhere(log_p: Array, targets: Array, reduction: str = "mean") -> Any:
    return over_rows(-np.ones_like(log_p), reduction)


@mistake(
    "cross_entropy_backward",
    "mean and sum",
    "the gradient of the sum in place of that of the mean",
    "Divide by the number of rows",
)
def without_1_over_n(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy_backward(z, targets, "sum")


@mistake(
    "cross_entropy_backward",
    "mean and sum",
    "the gradient of the mean in place of that of the sum",
    "Divide only for the mean",
)
def always_1_over_n(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy_backward(z, targets, "mean")


@mistake("cross_entropy_backward", "mean and sum", "dividing by the number of entries", "Divide by the number of rows")
def over_all_entries(z: Array, targets: Array, reduction: str = "mean") -> Any:
    grad = F.cross_entropy_backward(z, targets, reduction)
    return grad / grad.dtype.type(z.shape[-1]) if reduction == "mean" else grad


@mistake("cross_entropy_backward", "mean and sum", "dividing by the number of classes", "Divide by the number of rows")
def over_the_classes(z: Array, targets: Array, reduction: str = "mean") -> Any:
    grad = F.cross_entropy_backward(z, targets, "sum")
    return grad / grad.dtype.type(z.shape[-1]) if reduction == "mean" else grad


@mistake(
    "cross_entropy_backward",
    "the formula",
    "subtracting 1 from the columns of all targets in every row",
    "Change one entry in each row: np.put_along_axis, or grad[np.arange(n), targets] -= 1",
)
def p_minus_1_everywhere(z: Array, targets: Array, reduction: str = "mean") -> Any:
    grad = F.softmax(z)
    grad[..., targets] -= 1
    return over_rows(grad, reduction)


@mistake(
    "cross_entropy_backward",
    "the formula",
    "subtracting 1 from whole rows",
    "Change one entry in each row: grad[np.arange(n), targets]",
)
def minus_1_in_whole_rows(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return over_rows(F.softmax(z) - z.dtype.type(1), reduction)


@mistake(
    "cross_entropy_backward", "the formula", "a transposed one-hot matrix", "Rows are samples, columns are classes"
)
def transposed_one_hot(z: Array, targets: Array, reduction: str = "mean") -> Any:
    hot = onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype)
    return over_rows(F.softmax(z) - np.swapaxes(hot, -1, -2).reshape(z.shape), reduction)


@mistake("cross_entropy_backward", "the formula", "using the targets of the previous rows", "Row i belongs to target i")
def targets_off_by_one(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy_backward(z, np.roll(targets, 1), reduction)


@mistake(
    "cross_entropy_backward", "the formula", "using the class before the target", "Ids begin at 0: subtract nothing"
)
def ids_begin_at_1(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy_backward(z, (np.asarray(targets) - 1) % z.shape[-1], reduction)


@mistake("cross_entropy_backward", "the formula", "the probabilities alone", "Subtract 1 at the target of each row")
def only_probabilities(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return over_rows(F.softmax(z), reduction)


@mistake(
    "cross_entropy_backward",
    "the formula",
    "the one-hot matrix alone",
    "The other classes have a slope, too: p - onehot",
)
def only_the_one_hot(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.nll_loss_backward(z, targets, reduction)


@mistake("cross_entropy_backward", "the formula", "onehot - p", "That goes uphill: use p - onehot")
def uphill(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return -F.cross_entropy_backward(z, targets, reduction)


@mistake("cross_entropy_backward", "the formula", "p + onehot", "The gradient is p - onehot")
def p_plus_onehot(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return over_rows(F.softmax(z) + onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype), reduction)


@mistake("cross_entropy_backward", "the formula", "the scores minus onehot", "Take their softmax first: p - onehot")
def logits_minus_onehot(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return gradient(z, targets, reduction)


@mistake(
    "cross_entropy_backward", "the formula", "the log-probabilities minus onehot", "Use the probabilities: p - onehot"
)
def log_probs_minus_onehot(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return gradient(F.log_softmax(z), targets, reduction)


@mistake("cross_entropy_backward", "the formula", "softmax twice", "Once is enough: p - onehot, with p = softmax(z)")
def softmax_twice(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return gradient(F.softmax(F.softmax(z)), targets, reduction)


@mistake(
    "cross_entropy_backward",
    "the formula",
    "multiplying by p (1 - p) as well",
    "The derivative of the logarithm has cancelled that: only p - onehot is left",
)
def times_the_slope_of_a_sigmoid(z: Array, targets: Array, reduction: str = "mean") -> Any:
    p = F.softmax(z)
    return gradient(p, targets, reduction) * p * (1 - p)


@mistake(
    "cross_entropy_backward", "the formula", "the gradient at the target only", "The others are pushed down: p - onehot"
)
def target_entries_only(z: Array, targets: Array, reduction: str = "mean") -> Any:
    return F.cross_entropy_backward(z, targets, reduction) * onehot(np.asarray(targets), z.shape[-1]).astype(z.dtype)


# --- the chain rule --------------------------------------------------------------------------------------------------


@mistake(
    "softmax_backward",
    "the Jacobian",
    "the diagonal of the Jacobian alone",
    "Off the diagonal stands -p_j p_k: every class affects every other",
)
def diagonal_only(g: Array, p: Array, axis: int = -1) -> Any:
    return g * p * (1 - p)


@mistake("softmax_backward", "the Jacobian", "p (1 - p), without g", "Multiply the gradient from above by the Jacobian")
def without_g(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (1 - p)


@mistake("softmax_backward", "the Jacobian", "g - sum(g p)", "Multiply it by p: p (g - sum(g p))")
def p_forgotten(g: Array, p: Array, axis: int = -1) -> Any:
    return g - (g * p).sum(axis=axis, keepdims=True)


@mistake("softmax_backward", "the Jacobian", "g p", "Subtract p sum(g p): what one class gains, the others lose")
def g_times_p(g: Array, p: Array, axis: int = -1) -> Any:
    return g * p


@mistake("softmax_backward", "the Jacobian", "p (g - sum(g))", "Weight each g by its probability: sum(g p)")
def g_not_weighed(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (g - g.sum(axis=axis, keepdims=True))


@mistake("softmax_backward", "the Jacobian", "the mean of g p", "Take the sum instead")
def mean_of_g_p(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (g - (g * p).mean(axis=axis, keepdims=True))


@mistake("softmax_backward", "the Jacobian", "the sum of g p over the whole array", OWN_SUM)
def sum_over_everything(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (g - (g * p).sum())


@mistake(
    "softmax_backward",
    "the Jacobian",
    "the derivative of log_softmax",
    "Here probabilities are given: p (g - sum(g p))",
)
def of_log_softmax(g: Array, p: Array, axis: int = -1) -> Any:
    return g - p * g.sum(axis=axis, keepdims=True)


@mistake(
    "softmax_backward", "the Jacobian", "minus the gradient", "Look at the order of the difference: p (g - sum(g p))"
)
def opposite_sign(g: Array, p: Array, axis: int = -1) -> Any:
    return -F.softmax_backward(g, p, axis)


@mistake(
    "softmax_backward",
    "the Jacobian",
    "taking a sum without keepdims",
    "Its shape does not broadcast, or does so by chance. Use keepdims=True",
)
def g_p_without_keepdims(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (g - (g * p).sum(axis=axis))


@mistake("softmax_backward", "one axis, slice by slice", "always summing over the last axis", "Pass axis on to the sum")
def sum_over_the_last_axis(g: Array, p: Array, axis: int = -1) -> Any:
    return p * (g - (g * p).sum(axis=-1, keepdims=True))


@mistake("log_softmax_backward", "the Jacobian", "g - p", "Multiply p by the sum of g: g - p sum(g)")
def sum_of_g_forgotten(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g - np.exp(log_p)


@mistake("log_softmax_backward", "the Jacobian", "g alone", "Every score is in the sum of exps, too: g - p sum(g)")
def g_alone(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g.copy()


@mistake("log_softmax_backward", "the Jacobian", "the mean of g", "Take the sum: g - p sum(g)")
def mean_of_g(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g - np.exp(log_p) * g.mean(axis=axis, keepdims=True)


@mistake("log_softmax_backward", "the Jacobian", "the sum of g over the whole array", OWN_SUM)
def g_over_everything(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g - np.exp(log_p) * g.sum()


@mistake(
    "log_softmax_backward", "the Jacobian", "the derivative of softmax", "Here the logarithms are given: g - p sum(g)"
)
def softmaxs_derivative(g: Array, log_p: Array, axis: int = -1) -> Any:
    return F.softmax_backward(g, np.exp(log_p), axis)


@mistake(
    "log_softmax_backward",
    "the Jacobian",
    "using log-probabilities as probabilities",
    "Take exp of them: p = exp(l)",
)
def log_probs_for_probs(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g - log_p * g.sum(axis=axis, keepdims=True)


@mistake(
    "log_softmax_backward",
    "the Jacobian",
    "weighting g by the probabilities",
    "Do not weight the sum of g: g - p sum(g)",
)
def g_weighed(g: Array, log_p: Array, axis: int = -1) -> Any:
    p = np.exp(log_p)
    return g - p * (g * p).sum(axis=axis, keepdims=True)


@mistake(
    "log_softmax_backward", "the Jacobian", "minus the gradient", "Look at the order of the difference: g - p sum(g)"
)
def the_other_way_round(g: Array, log_p: Array, axis: int = -1) -> Any:
    return np.exp(log_p) * g.sum(axis=axis, keepdims=True) - g


@mistake(
    "log_softmax_backward",
    "the Jacobian",
    "taking a sum without keepdims",
    "Its shape does not broadcast, or does so by chance. Use keepdims=True",
)
def g_without_keepdims(g: Array, log_p: Array, axis: int = -1) -> Any:
    return g - np.exp(log_p) * g.sum(axis=axis)


@mistake(
    "log_softmax_backward", "one axis, slice by slice", "always summing over the last axis", "Pass axis on to the sum"
)
def over_the_last_axis(g: Array, log_p: Array, axis: int = -1) -> Any:
    return F.log_softmax_backward(g, log_p)


@mistake("logsumexp_backward", "softmax is its slope", "softmax, without g", "Multiply it by the gradient from above")
def grad_output_forgotten(g: Array, z: Array, axis: int = -1) -> Any:
    return F.softmax(z, axis)


@mistake(
    "logsumexp_backward",
    "softmax is its slope",
    "giving every class the same share",
    "Each class has the share exp(z - Z)",
)
def shared_out_equally(g: Array, z: Array, axis: int = -1) -> Any:
    return (np.expand_dims(g, axis) * np.ones_like(z) / z.shape[axis]).astype(z.dtype)


@mistake(
    "logsumexp_backward",
    "softmax is its slope",
    "giving everything to the largest score",
    "It is a soft maximum: g times softmax",
)
def all_to_the_maximum(g: Array, z: Array, axis: int = -1) -> Any:
    return (np.expand_dims(g, axis) * (z == z.max(axis=axis, keepdims=True))).astype(z.dtype)


@mistake(
    "logsumexp_backward",
    "softmax is its slope",
    "log_softmax instead of softmax",
    "The slope of log S is S' / S: g times softmax",
)
def log_of_the_slope(g: Array, z: Array, axis: int = -1) -> Any:
    return np.expand_dims(g, axis) * F.log_softmax(z, axis)


@mistake("logsumexp_backward", "softmax is its slope", "g plus softmax", "Multiply them")
def g_plus_softmax(g: Array, z: Array, axis: int = -1) -> Any:
    return np.expand_dims(g, axis) + F.softmax(z, axis)


@mistake("logsumexp_backward", "softmax is its slope", "minus the gradient", "Raising a score raises logsumexp")
def slope_downwards(g: Array, z: Array, axis: int = -1) -> Any:
    return -np.expand_dims(g, axis) * F.softmax(z, axis)


@mistake("logsumexp_backward", "one axis, slice by slice", "always taking the last axis", "Pass axis on to softmax")
def slope_along_the_last_axis(g: Array, z: Array, axis: int = -1) -> Any:
    return np.expand_dims(g, axis) * F.softmax(z, -1)


# --- decoders --------------------------------------------------------------------------------------------------------


DIVIDE = "Divide the scores by T, and do nothing else"


@mistake("apply_temperature", "divides differences", "multiplying by T", DIVIDE)
def multiplied(z: Array, temperature: float) -> Any:
    return z * z.dtype.type(temperature)


@mistake("apply_temperature", "divides differences", "subtracting log T", DIVIDE)
def after_normalising(z: Array, temperature: float) -> Any:
    return F.log_softmax(z) - z.dtype.type(math.log(temperature))


@mistake(
    "apply_temperature",
    "divides differences",
    "ignoring temperatures below 1",
    "A T below 1 sharpens: divide by it, too",
)
def never_below_1(z: Array, temperature: float) -> Any:
    return z / z.dtype.type(max(1, temperature))


@mistake(
    "apply_temperature",
    "divides differences",
    "dividing the probabilities by T",
    "Divide the scores instead, and return scores",
)
def probabilities_divided(z: Array, temperature: float) -> Any:
    return F.softmax(z) / z.dtype.type(temperature)


@mistake(
    "apply_temperature",
    "divides differences",
    "probabilities at T",
    "Return scores: softmax comes later, and only once",
)
def probabilities_at_t(z: Array, temperature: float) -> Any:
    return F.softmax(z / z.dtype.type(temperature))


@mistake("apply_temperature", "divides differences", "ignoring the temperature", DIVIDE)
def ignored(z: Array, temperature: float) -> Any:
    return z.copy()


@mistake("apply_temperature", "divides differences", "dividing by the square root of T", DIVIDE)
def root_of_t(z: Array, temperature: float) -> Any:
    return z / z.dtype.type(math.sqrt(temperature))


@mistake(
    "apply_temperature",
    "masked stay masked",
    "limiting the scores to -10,000",
    "A high temperature brings a masked token back: leave -inf",
)
def masked_at_minus_1e4(z: Array, temperature: float) -> Any:
    return np.maximum(z, -1e4).astype(z.dtype) / z.dtype.type(temperature)


def keep(z: Array, stays: Array) -> Any:
    return np.where(stays, z, -np.inf).astype(z.dtype)


def rank(z: Array) -> Any:
    """Return the rank of every entry in its row, in descending order."""
    return np.argsort(np.argsort(-z, axis=-1, kind="stable"), axis=-1)


SCORES = "Return the scores of the tokens that stay, and -inf for the others"
INFINITY = "A dropped token must get -inf: 0 is a score like any other"
UPWARDS = "Sort -z: np.argsort sorts in ascending order"


@mistake(
    "top_k", "k of them", "dropping the k-th score itself", "Keep what is at least as large as the k-th: >=, not >"
)
def ties_and_border_dropped(z: Array, k: int) -> Any:
    border = -np.sort(-z, axis=-1)[..., min(k, z.shape[-1]) - 1][..., None]
    return keep(z, (z > border) | (z == z.max(axis=-1, keepdims=True)))


@mistake("top_k", "k of them", "keeping only scores above the k-th", "The k-th itself stays: >=, not >")
def strictly_above_the_kth(z: Array, k: int) -> Any:
    return keep(z, z > -np.sort(-z, axis=-1)[..., min(k, z.shape[-1]) - 1][..., None])


@mistake("top_k", "kept as they are", "setting scores below the k-th to 0", "A dropped token must get -inf")
def zeros_below_the_kth(z: Array, k: int) -> Any:
    return np.where(z >= -np.sort(-z, axis=-1)[..., min(k, z.shape[-1]) - 1][..., None], z, 0).astype(z.dtype)


@mistake("top_k", "k of them", "keeping one too many", "The k-th in descending order has index k - 1")
def one_too_many(z: Array, k: int) -> Any:
    return keep(z, rank(z) <= k)


@mistake("top_k", "k of them", "keeping one too few", "The k best have ranks 0 to k - 1")
def one_too_few(z: Array, k: int) -> Any:
    return keep(z, rank(z) < max(1, k - 1))


@mistake("top_k", "never the better before the worse", "keeping the best and then the worst", UPWARDS)
def argsort_ascending(z: Array, k: int) -> Any:
    return keep(z, (rank(z) == 0) | (rank(z) > z.shape[-1] - k))


@mistake("top_k", "kept as they are", "keeping the k smallest", UPWARDS)
def k_smallest(z: Array, k: int) -> Any:
    return keep(z, rank(-z) < k)


@mistake(
    "top_k",
    "kept as they are",
    "keeping the k best of the whole array",
    "Each row keeps its own k: sort along the last axis",
)
def best_of_all_rows(z: Array, k: int) -> Any:
    return keep(z, rank(z.reshape(-1)).reshape(z.shape) < k)


@mistake("top_k", "kept as they are", "the probabilities of the k best", SCORES)
def probabilities_of_the_top_k(z: Array, k: int) -> Any:
    return keep(F.softmax(z), rank(z) < k)


@mistake(
    "top_k",
    "never the better before the worse",
    "keeping the largest by magnitude",
    "A very negative score is an unlikely token: do not take abs",
)
def largest_by_magnitude(z: Array, k: int) -> Any:
    return keep(z, (rank(np.abs(z)) < k - 1) | (rank(z) == 0))


@mistake("top_k", "kept as they are", "setting dropped tokens to 0", INFINITY)
def zeros_instead_of_minus_inf(z: Array, k: int) -> Any:
    return np.where(rank(z) < k, z, 0).astype(z.dtype)


@mistake(
    "top_k", "kept as they are", "the scores in descending order", "A token is known by its place: mask, do not sort"
)
def sorted_and_not_put_back(z: Array, k: int) -> Any:
    return -np.sort(-z, axis=-1)


def falling(z: Array) -> Any:
    """Return the probabilities in descending order."""
    return np.asarray(-np.sort(-F.softmax(z.astype(np.float64)), axis=-1))


BEFORE = "Token k stays if those before it have less than p together"


@mistake("top_p", "the smallest nucleus", "leaving out the token that reaches p", BEFORE)
def one_token_short(z: Array, p: float) -> Any:
    stays = np.cumsum(falling(z), axis=-1) < p
    stays[..., 0] = True
    return keep(z, np.take_along_axis(stays, rank(z), -1))


@mistake("top_p", "the smallest nucleus", "keeping one token beyond the one that reaches p", BEFORE)
def one_token_long(z: Array, p: float) -> Any:
    probs = falling(z)
    stays = np.roll(np.cumsum(probs, axis=-1) - probs < p, 1, axis=-1)
    stays[..., 0] = True
    return keep(z, np.take_along_axis(stays, rank(z), -1))


@mistake(
    "top_p",
    "kept as they are",
    "keeping nothing if the likeliest has more than p",
    f"The likeliest always stays. {BEFORE}",
)
def empty_when_the_model_is_sure(z: Array, p: float) -> Any:
    return keep(z, np.take_along_axis(np.cumsum(falling(z), axis=-1) <= p, rank(z), -1))


@mistake("top_p", "the smallest nucleus", "summing in the order of the ids", "Sort by descending probability first")
def cumsum_without_sorting(z: Array, p: float) -> Any:
    probs = F.softmax(z.astype(np.float64))
    return keep(z, (np.cumsum(probs, axis=-1) - probs < p) | (rank(z) == 0))


@mistake(
    "top_p",
    "the smallest nucleus",
    "keeping tokens with probability 1 - p or more",
    f"The bound p is for all of them together. {BEFORE}",
)
def each_above_1_minus_p(z: Array, p: float) -> Any:
    return keep(z, (F.softmax(z.astype(np.float64)) >= 1 - p) | (rank(z) == 0))


@mistake("top_p", "the smallest nucleus", "keeping tokens that have 1 - p together", BEFORE)
def one_minus_p(z: Array, p: float) -> Any:
    probs = falling(z)
    stays = np.cumsum(probs, axis=-1) - probs < 1 - p
    stays[..., 0] = True
    return keep(z, np.take_along_axis(stays, rank(z), -1))


@mistake("top_p", "kept as they are", "the probabilities of the nucleus", SCORES)
def probabilities_of_the_nucleus(z: Array, p: float) -> Any:
    return keep(F.softmax(z), sampling.top_p(z, p) > -np.inf)


@mistake("top_p", "kept as they are", "renormalised probabilities", SCORES)
def renormalised_probabilities(z: Array, p: float) -> Any:
    return F.softmax(sampling.top_p(z, p))


@mistake("top_p", "kept as they are", "setting dropped tokens to 0", INFINITY)
def zeros_outside_the_nucleus(z: Array, p: float) -> Any:
    return np.where(sampling.top_p(z, p) > -np.inf, z, 0).astype(z.dtype)


BAR = "The bar is p times the largest probability: z >= max z + log p"


@mistake("min_p", "at least p times the best", "keeping tokens with probability p or more", BAR)
def p_itself(z: Array, p: float) -> Any:
    return keep(z, (F.softmax(z) >= p) | (z == z.max(axis=-1, keepdims=True)))


@mistake("min_p", "kept as they are", "keeping tokens with probability p or more, and perhaps none", BAR)
def p_itself_and_perhaps_nobody(z: Array, p: float) -> Any:
    return keep(z, F.softmax(z) >= p)


@mistake("min_p", "at least p times the best", "keeping scores within p of the largest", BAR)
def scores_compared_with_p(z: Array, p: float) -> Any:
    return keep(z, z >= z.max(axis=-1, keepdims=True) - z.dtype.type(p))


@mistake("min_p", "at least p times the best", "keeping scores of at least p times the largest score", BAR)
def p_times_the_largest_score(z: Array, p: float) -> Any:
    return keep(z, z >= z.max(axis=-1, keepdims=True) * z.dtype.type(p))


@mistake("min_p", "at least p times the best", "taking the logarithm to base 10", BAR)
def base_10(z: Array, p: float) -> Any:
    return keep(z, z >= z.max(axis=-1, keepdims=True) + z.dtype.type(math.log10(p)))


@mistake(
    "min_p",
    "at least p times the best",
    "comparing with the largest score of the whole array",
    "Each row has its own largest: axis=-1, keepdims",
)
def best_of_everything(z: Array, p: float) -> Any:
    return keep(z, (z >= z.max() + math.log(p)) | (z == z.max(axis=-1, keepdims=True)))


@mistake(
    "min_p",
    "never the better before the worse",
    "keeping the unlikely tokens",
    "What is above the bar stays: >=, not <=",
)
def the_unlikely_kept(z: Array, p: float) -> Any:
    top = z.max(axis=-1, keepdims=True)
    return keep(z, (z <= top + math.log(p)) | (z == top))


@mistake("min_p", "kept as they are", "the probabilities above the bar", SCORES)
def probabilities_above_the_bar(z: Array, p: float) -> Any:
    return keep(F.softmax(z), sampling.min_p(z, p) > -np.inf)


@mistake("min_p", "kept as they are", "the probabilities, with dropped tokens set to 0", SCORES)
def filtered_probabilities(z: Array, p: float) -> Any:
    return np.where(sampling.min_p(z, p) > -np.inf, F.softmax(z), 0).astype(z.dtype)


@mistake("min_p", "kept as they are", "setting dropped tokens to 0", INFINITY)
def zeros_below_the_bar(z: Array, p: float) -> Any:
    return np.where(sampling.min_p(z, p) > -np.inf, z, 0).astype(z.dtype)
