"""The zoo: wrong implementations that people really write, each with the property that must catch it; and right ones.

A wrong one is a few lines, and its docstring says what the mistake is. `WRONG` and `RIGHT` hold them all; run this file
to see the table of who is caught by what, with the smallest counterexample: python tests/zoo.py
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scratchlm import functional as F
from scratchlm import sampling
from scratchlm.properties import examine
from scratchlm.properties.manners import KINDS


@dataclass(frozen=True)
class Animal:
    """An implementation of a kind; for a wrong one, the property that must catch it."""

    kind: str
    function: Callable
    caught_by: str = ""

    @property
    def name(self):
        return f"{self.kind}: {self.function.__name__}"


WRONG: list[Animal] = []
RIGHT: list[Animal] = []


def wrong(kind, caught_by):
    def enter(function):
        WRONG.append(Animal(kind, function, caught_by))
        return function

    return enter


def right(*kinds):
    def enter(function):
        RIGHT.extend(Animal(kind, function) for kind in kinds)
        return function

    return enter


def quietly(function):
    """Silence what a mistake would warn of, so that the numbers must tell."""

    @functools.wraps(function)
    def silenced(*arguments, **options):
        with np.errstate(all="ignore"):
            return function(*arguments, **options)

    return silenced


def lse_of_the_three_largest(z, axis):
    n = z.shape[axis]
    return F.logsumexp(np.take(np.sort(z, axis=axis), range(max(0, n - 3), n), axis=axis), axis, keepdims=True)


def shifted(z, axis=-1):
    return z - z.max(axis=axis, keepdims=True)


# --- softmax ---------------------------------------------------------------------------------------------------------


@wrong("softmax", "huge, tiny, alone")
def no_shift(z, axis=-1):
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "a distribution")
def wrong_axis(z, axis=-1):
    e = np.exp(shifted(z, axis))
    return e / e.sum(axis=0, keepdims=True)


@wrong("softmax", "one axis, slice by slice")
def always_the_last_axis(z, axis=-1):
    e = np.exp(shifted(z, -1))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "a distribution")
def no_keepdims(z, axis=-1):
    e = np.exp(shifted(z, axis))
    return e / e.sum(axis=axis)


@wrong("softmax", "rows keep to themselves")
@quietly
def shift_by_the_global_max(z, axis=-1):
    e = np.exp(z - z.max())
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "huge, tiny, alone")
def shift_by_max_0_max(z, axis=-1):
    e = np.exp(z - np.maximum(0, z.max(axis=axis, keepdims=True)))
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "huge, tiny, alone")
@quietly
def shift_by_the_mean(z, axis=-1):
    e = np.exp(z - z.mean(axis=axis, keepdims=True, where=np.isfinite(z)))
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "a distribution")
def epsilon_in_the_denominator(z, axis=-1):
    e = np.exp(shifted(z, axis))
    return e / (e.sum(axis=axis, keepdims=True) + z.dtype.type(1e-3))


@wrong("softmax", "a distribution")
def sum_of_the_three_largest(z, axis=-1):
    """Approximates the denominator by its largest terms."""
    d = shifted(z, axis)
    return np.exp(d - lse_of_the_three_largest(d, axis))


@wrong("softmax", "ratios")
def quantised(z, axis=-1):
    return F.softmax(np.round(z, 2), axis)


@wrong("softmax", "blind to a shift")
def clipped(z, axis=-1):
    return F.softmax(np.where(np.isneginf(z), z, np.clip(z, -50, 50)), axis)


@wrong("softmax", "ratios")
def base_2(z, axis=-1):
    e = np.exp2(shifted(z, axis))
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "ratios")
def twice(z, axis=-1):
    return F.softmax(F.softmax(z, axis), axis)


@wrong("softmax", "ratios")
def small_ones_dropped(z, axis=-1):
    p = F.softmax(z, axis)
    p[p < 1e-3] = 0
    return p / p.sum(axis=axis, keepdims=True)


@wrong("softmax", "huge, tiny, alone")
def exp_of_z_minus_a_rounded_z(z, axis=-1):
    return np.exp(z - F.logsumexp(z, axis, keepdims=True))


@wrong("softmax", "masked tokens")
def masked_become_minus_10(z, axis=-1):
    return F.softmax(np.where(np.isneginf(z), z.dtype.type(-10), z), axis)


@wrong("softmax", "shape and dtype")
def returns_float64(z, axis=-1):
    return F.softmax(z.astype(np.float64), axis)


@wrong("softmax", "input untouched")
def shifts_in_place(z, axis=-1):
    if z.flags.writeable:
        z -= z.max(axis=axis, keepdims=True)
    return F.softmax(z, axis)


@wrong("softmax", "any memory layout")
def reads_memory_as_it_lies(z, axis=-1):
    return F.softmax(z.ravel(order="K").reshape(z.shape), axis) if z.ndim > 1 else F.softmax(z, axis)


@wrong("softmax", "no warnings")
def both_branches(z, axis=-1):
    safe = np.abs(z).max(initial=0, where=np.isfinite(z)) < 80
    return np.where(safe, np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True), F.softmax(z, axis))


@wrong("softmax", "ratios")
def float16_inside(z, axis=-1):
    return F.softmax(z.astype(np.float16), axis).astype(z.dtype)


@wrong("softmax", "a distribution")
def crashes_on_one_axis(z, axis=-1):
    _rows, _classes = z.shape
    return F.softmax(z, axis)


# --- log_softmax -----------------------------------------------------------------------------------------------------


@wrong("log_softmax", "huge, tiny, alone")
def log_of_softmax(z, axis=-1):
    return np.log(F.softmax(z, axis))


@wrong("log_softmax", "normalised")
def only_shifted(z, axis=-1):
    return shifted(z, axis)


@wrong("log_softmax", "normalised")
def base_2_log(z, axis=-1):
    return F.log_softmax(z, axis) / z.dtype.type(math.log(2))


@wrong("log_softmax", "differences kept")
def epsilon_inside_the_log(z, axis=-1):
    return np.log(F.softmax(z, axis) + z.dtype.type(1e-9))


@wrong("log_softmax", "huge, tiny, alone")
def clipped_log(z, axis=-1):
    return np.maximum(F.log_softmax(z, axis), -np.where(np.isneginf(z), np.inf, 5000).astype(z.dtype))


@wrong("log_softmax", "any level")
def no_shift_log(z, axis=-1):
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


@wrong("log_softmax", "rows keep to themselves")
@quietly
def global_max_log(z, axis=-1):
    d = z - z.max()
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


@wrong("log_softmax", "normalised")
def log_sum_of_the_three_largest(z, axis=-1):
    d = shifted(z, axis)
    return d - lse_of_the_three_largest(d, axis)


@wrong("log_softmax", "differences kept")
def quantised_log(z, axis=-1):
    return F.log_softmax(np.round(z, 2), axis)


@wrong("log_softmax", "normalised")
def mean_instead_of_sum(z, axis=-1):
    d = shifted(z, axis)
    return d - np.log(np.exp(d).mean(axis=axis, keepdims=True))


@wrong("log_softmax", "one axis, slice by slice")
def log_along_the_last_axis(z, axis=-1):
    return F.log_softmax(z, -1)


@wrong("log_softmax", "masked tokens")
def nan_to_num(z, axis=-1):
    return np.nan_to_num(F.log_softmax(z, axis))


@wrong("log_softmax", "permutation")
def first_class_is_special(z, axis=-1):
    return (
        F.log_softmax(np.sort(z), axis) if z.ndim == 1 and z.size > 3 and z[0] > z[1:].max() else F.log_softmax(z, axis)
    )


# --- logsumexp -------------------------------------------------------------------------------------------------------


@wrong("logsumexp", "a shift comes through")
def naive_lse(z, axis=-1):
    return np.log(np.exp(z).sum(axis=axis))


@wrong("logsumexp", "between max and max + log n")
def base_2_lse(z, axis=-1):
    return F.logsumexp(z, axis) / z.dtype.type(math.log(2))


@wrong("logsumexp", "n copies")
def log_mean_exp(z, axis=-1):
    return F.logsumexp(z, axis) - z.dtype.type(math.log(z.shape[axis]))


@wrong("logsumexp", "in two parts")
def only_the_max(z, axis=-1):
    return z.max(axis=axis)


@wrong("logsumexp", "between max and max + log n")
def max_not_added_back(z, axis=-1):
    return F.logsumexp(shifted(z, axis), axis)


@wrong("logsumexp", "n copies")
def log1p_of_the_whole_sum(z, axis=-1):
    return z.max(axis=axis) + np.log1p(np.exp(shifted(z, axis)).sum(axis=axis))


@wrong("logsumexp", "n copies")
def ties_counted_once(z, axis=-1):
    top = z.max(axis=axis, keepdims=True)
    return F.logsumexp(np.where((z == top) & (np.cumsum(z == top, axis=axis) > 1), -np.inf, z).astype(z.dtype), axis)


@wrong("logsumexp", "in two parts")
def three_largest_only(z, axis=-1):
    """Right for up to three entries, and for any number of copies."""
    lowest, highest = z.min(axis=axis, initial=np.inf, where=np.isfinite(z)), z.max(axis=axis)
    three = np.squeeze(lse_of_the_three_largest(z, axis), axis)
    return np.where(lowest == highest, F.logsumexp(z, axis), three).astype(z.dtype)


@wrong("logsumexp", "rows keep to themselves")
@quietly
def global_max_lse(z, axis=-1):
    return z.max() + np.log(np.exp(z - z.max()).sum(axis=axis))


@wrong("logsumexp", "one axis, slice by slice")
def lse_along_the_last_axis(z, axis=-1):
    return F.logsumexp(z, -1)


@wrong("logsumexp", "masked tokens")
def masked_become_minus_1(z, axis=-1):
    return F.logsumexp(np.where(np.isneginf(z), z.dtype.type(-1), z), axis)


@wrong("logsumexp", "huge, tiny, alone")
def gives_up_above_5_000(z, axis=-1):
    return F.logsumexp(np.where(np.isneginf(z), z, np.clip(z, -5000, 5000)).astype(z.dtype), axis)


# --- nll_loss and cross_entropy --------------------------------------------------------------------------------------


def reduced(losses, reduction):
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean(dtype=losses.dtype)


def at_target(z, targets):
    return np.take_along_axis(z, targets[..., None], -1)[..., 0]


@wrong("nll_loss", "the target's")
def no_minus(log_p, targets, reduction="mean"):
    return reduced(at_target(log_p, targets), reduction)


@wrong("nll_loss", "mean and sum")
def mean_over_the_classes(log_p, targets, reduction="mean"):
    loss = F.nll_loss(log_p, targets, reduction)
    return loss * np.asarray(targets).size / log_p.shape[-1] if reduction == "mean" else loss


@wrong("nll_loss", "mean and sum")
def always_the_mean(log_p, targets, reduction="mean"):
    return F.nll_loss(log_p, targets, "mean" if reduction == "sum" else reduction)


@wrong("nll_loss", "the target's")
def log_once_more(log_p, targets, reduction="mean"):
    return F.nll_loss(np.log(np.abs(log_p) + 1), targets, reduction)


@wrong("nll_loss", "the target's")
def best_class_instead_of_target(log_p, targets, reduction="mean"):
    return reduced(-log_p.max(axis=-1), reduction)


@wrong("cross_entropy", "uniform")
def lse_minus_target(z, targets, reduction="mean"):
    return reduced(F.logsumexp(z) - at_target(z, targets), reduction)


@wrong("cross_entropy", "blind to a shift")
def no_shift_loss(z, targets, reduction="mean"):
    return reduced(np.log(np.exp(z).sum(axis=-1)) - at_target(z, targets), reduction)


@wrong("cross_entropy", "blind to a shift")
@quietly
def global_max_loss(z, targets, reduction="mean"):
    d = z - z.max()
    return reduced(np.log(np.exp(d).sum(axis=-1)) - at_target(d, targets), reduction)


@wrong("cross_entropy", "the target's")
def quantised_loss(z, targets, reduction="mean"):
    return F.cross_entropy(np.round(z, 2), targets, reduction)


@wrong("cross_entropy", "the target's")
def epsilon_against_log_0(z, targets, reduction="mean"):
    return reduced(-np.log(at_target(F.softmax(z), targets) + z.dtype.type(1e-7)), reduction)


@wrong("cross_entropy", "the target's")
def base_2_loss(z, targets, reduction="mean"):
    return F.cross_entropy(z, targets, reduction) / z.dtype.type(math.log(2))


@wrong("cross_entropy", "the target's")
def softmax_before_cross_entropy(z, targets, reduction="mean"):
    return F.cross_entropy(F.softmax(z), targets, reduction)


@wrong("cross_entropy", "the target's")
def largest_loss_clipped(z, targets, reduction="mean"):
    return reduced(np.minimum(F.cross_entropy(z, targets, "none"), z.dtype.type(16)), reduction)


@wrong("cross_entropy", "mean and sum")
def mean_over_all_entries(z, targets, reduction="mean"):
    loss = F.cross_entropy(z, targets, reduction)
    return loss / z.dtype.type(z.shape[-1]) if reduction == "mean" else loss


@wrong("cross_entropy", "masked tokens")
def one_hot_times_log(z, targets, reduction="mean"):
    onehot = (np.arange(z.shape[-1]) == targets[..., None]).astype(z.dtype)
    return reduced(-(onehot * F.log_softmax(z)).sum(axis=-1), reduction)


# --- derivatives -----------------------------------------------------------------------------------------------------


@wrong("softmax_backward", "the Jacobian")
def diagonal_only(g, p, axis=-1):
    return g * p * (1 - p)


@wrong("softmax_backward", "the Jacobian")
def p_forgotten(g, p, axis=-1):
    return g - (g * p).sum(axis=axis, keepdims=True)


@wrong("softmax_backward", "the Jacobian")
def g_times_p(g, p, axis=-1):
    return g * p


@wrong("softmax_backward", "one axis, slice by slice")
def sum_over_the_last_axis(g, p, axis=-1):
    return p * (g - (g * p).sum(axis=-1, keepdims=True))


@wrong("softmax_backward", "the Jacobian")
def opposite_sign(g, p, axis=-1):
    return -F.softmax_backward(g, p, axis)


@wrong("softmax_backward", "the Jacobian")
def sum_without_keepdims(g, p, axis=-1):
    return p * (g - (g * p).sum(axis=axis))


@wrong("softmax_backward", "a confident row still learns")
def textbook_softmax_backward(g, p, axis=-1):
    return p * (g - (g * p).sum(axis=axis, keepdims=True))


@wrong("log_softmax_backward", "the Jacobian")
def sum_of_g_forgotten(g, log_p, axis=-1):
    return g - np.exp(log_p)


@wrong("log_softmax_backward", "the Jacobian")
def mean_of_g(g, log_p, axis=-1):
    return g - np.exp(log_p) * g.mean(axis=axis, keepdims=True)


@wrong("log_softmax_backward", "the Jacobian")
def softmaxs_derivative(g, log_p, axis=-1):
    return F.softmax_backward(g, np.exp(log_p), axis)


@wrong("log_softmax_backward", "the Jacobian")
def log_probs_for_probs(g, log_p, axis=-1):
    return g - log_p * g.sum(axis=axis, keepdims=True)


@wrong("log_softmax_backward", "one axis, slice by slice")
def over_the_last_axis(g, log_p, axis=-1):
    return F.log_softmax_backward(g, log_p)


@wrong("log_softmax_backward", "a confident row still learns")
def textbook_log_softmax_backward(g, log_p, axis=-1):
    return g - np.exp(log_p) * g.sum(axis=axis, keepdims=True)


@wrong("logsumexp_backward", "softmax is its slope")
def grad_output_forgotten(g, z, axis=-1):
    return F.softmax(z, axis)


@wrong("logsumexp_backward", "softmax is its slope")
def shared_out_equally(g, z, axis=-1):
    return (np.expand_dims(g, axis) * np.ones_like(z) / z.shape[axis]).astype(z.dtype)


@wrong("logsumexp_backward", "sums to g")
@quietly
def naive_slope(g, z, axis=-1):
    e = np.exp(z)
    return np.expand_dims(g, axis) * e / e.sum(axis=axis, keepdims=True)


@wrong("logsumexp_backward", "softmax is its slope")
def all_to_the_maximum(g, z, axis=-1):
    return (np.expand_dims(g, axis) * (z == z.max(axis=axis, keepdims=True))).astype(z.dtype)


@wrong("logsumexp_backward", "one axis, slice by slice")
def slope_along_the_last_axis(g, z, axis=-1):
    return np.expand_dims(g, axis) * F.softmax(z, -1)


@wrong("nll_loss_backward", "the formula")
def plus_one_at_the_target(log_p, targets, reduction="mean"):
    return -F.nll_loss_backward(log_p, targets, reduction)


@wrong("nll_loss_backward", "the formula")
def off_by_one(log_p, targets, reduction="mean"):
    """The classic of language models: the targets are shifted by one."""
    return F.nll_loss_backward(log_p, np.roll(targets, 1), reduction)


@wrong("nll_loss_backward", "mean and sum")
def nll_without_1_over_n(log_p, targets, reduction="mean"):
    return F.nll_loss_backward(log_p, targets, "sum")


@wrong("nll_loss_backward", "mean and sum")
def nll_sum_with_1_over_n(log_p, targets, reduction="mean"):
    return F.nll_loss_backward(log_p, targets, "mean")


@wrong("nll_loss_backward", "the formula")
def log_probs_at_the_target(log_p, targets, reduction="mean"):
    return F.nll_loss_backward(log_p, targets, reduction) * log_p


@wrong("cross_entropy_backward", "mean and sum")
def without_1_over_n(z, targets, reduction="mean"):
    return F.cross_entropy_backward(z, targets, "sum")


@wrong("cross_entropy_backward", "mean and sum")
def always_1_over_n(z, targets, reduction="mean"):
    return F.cross_entropy_backward(z, targets, "mean")


@wrong("cross_entropy_backward", "the formula")
def p_minus_1_everywhere(z, targets, reduction="mean"):
    grad = F.softmax(z)
    grad[..., targets] -= 1
    return grad / z.dtype.type(max(1, np.asarray(targets).size)) if reduction == "mean" else grad


@wrong("cross_entropy_backward", "the formula")
def transposed_one_hot(z, targets, reduction="mean"):
    onehot = (targets[None, :] == np.arange(z.shape[-1])[:, None]).astype(z.dtype)
    grad = F.softmax(z) - onehot.reshape(z.shape)
    return grad / z.dtype.type(len(z)) if reduction == "mean" else grad


@wrong("cross_entropy_backward", "the formula")
def targets_off_by_one(z, targets, reduction="mean"):
    return F.cross_entropy_backward(z, np.roll(targets, 1), reduction)


@wrong("cross_entropy_backward", "blind to a shift")
@quietly
def naive_gradient(z, targets, reduction="mean"):
    e = np.exp(z)
    grad = e / e.sum(axis=-1, keepdims=True) - (np.arange(z.shape[-1]) == targets[..., None])
    return (grad / (np.asarray(targets).size if reduction == "mean" else 1)).astype(z.dtype)


@wrong("cross_entropy_backward", "the formula")
def only_probabilities(z, targets, reduction="mean"):
    return F.softmax(z) / z.dtype.type(max(1, np.asarray(targets).size) if reduction == "mean" else 1)


@wrong("cross_entropy_backward", "the formula")
def uphill(z, targets, reduction="mean"):
    return -F.cross_entropy_backward(z, targets, reduction)


# --- decoders --------------------------------------------------------------------------------------------------------


@wrong("apply_temperature", "divides differences")
def multiplied(z, temperature):
    return z * z.dtype.type(temperature)


@wrong("apply_temperature", "divides differences")
def after_normalising(z, temperature):
    return F.log_softmax(z) - z.dtype.type(math.log(temperature))


@wrong("apply_temperature", "divides differences")
def never_below_1(z, temperature):
    return z / z.dtype.type(max(1, temperature))


@wrong("apply_temperature", "divides differences")
def probabilities_divided(z, temperature):
    return F.softmax(z) / z.dtype.type(temperature)


@wrong("apply_temperature", "masked stay masked")
def masked_at_minus_1e4(z, temperature):
    return np.maximum(z, -1e4).astype(z.dtype) / z.dtype.type(temperature)


def keep(z, stays):
    return np.where(stays, z, -np.inf).astype(z.dtype)


def rank(z):
    """Return the place of every entry in the falling order of its row."""
    return np.argsort(np.argsort(-z, axis=-1, kind="stable"), axis=-1)


@wrong("top_k", "k of them")
def ties_and_border_dropped(z, k):
    border = -np.sort(-z, axis=-1)[..., min(k, z.shape[-1]) - 1][..., None]
    return keep(z, (z > border) | (z == z.max(axis=-1, keepdims=True)))


@wrong("top_k", "k of them")
def one_too_many(z, k):
    return keep(z, rank(z) <= k)


@wrong("top_k", "never the better before the worse")
def argsort_ascending(z, k):
    """Keeps the best, and then the worst k - 1."""
    return keep(z, (rank(z) == 0) | (rank(z) > z.shape[-1] - k))


@wrong("top_k", "kept as they are")
def probabilities_of_the_top_k(z, k):
    return keep(F.softmax(z), rank(z) < k)


@wrong("top_k", "never the better before the worse")
def largest_by_magnitude(z, k):
    return keep(z, (rank(np.abs(z)) < k - 1) | (rank(z) == 0))


@wrong("top_k", "kept as they are")
def zeros_instead_of_minus_inf(z, k):
    return np.where(rank(z) < k, z, 0).astype(z.dtype)


@wrong("top_k", "kept as they are")
def sorted_and_not_put_back(z, k):
    return -np.sort(-z, axis=-1)


@wrong("top_p", "the smallest nucleus")
def one_token_short(z, p):
    probs = -np.sort(-F.softmax(z.astype(np.float64)), axis=-1)
    stays = np.cumsum(probs, axis=-1) < p
    stays[..., 0] = True
    return keep(z, np.take_along_axis(stays, rank(z), -1))


@wrong("top_p", "the smallest nucleus")
def one_token_long(z, p):
    probs = -np.sort(-F.softmax(z.astype(np.float64)), axis=-1)
    before = np.cumsum(probs, axis=-1) - probs
    stays = np.roll(before < p, 1, axis=-1)
    stays[..., 0] = True
    return keep(z, np.take_along_axis(stays, rank(z), -1))


@wrong("top_p", "kept as they are")
def empty_when_the_model_is_sure(z, p):
    probs = -np.sort(-F.softmax(z.astype(np.float64)), axis=-1)
    return keep(z, np.take_along_axis(np.cumsum(probs, axis=-1) <= p, rank(z), -1))


@wrong("top_p", "the smallest nucleus")
def cumsum_without_sorting(z, p):
    probs = F.softmax(z.astype(np.float64))
    stays = (np.cumsum(probs, axis=-1) - probs < p) | (rank(z) == 0)
    return keep(z, stays)


@wrong("top_p", "kept as they are")
def probabilities_of_the_nucleus(z, p):
    return keep(F.softmax(z), sampling.top_p(z, p) > -np.inf)


@wrong("top_p", "kept as they are")
def renormalised_probabilities(z, p):
    return F.softmax(sampling.top_p(z, p))


@wrong("min_p", "at least p times the best")
def p_itself(z, p):
    return keep(z, (F.softmax(z) >= p) | (z == z.max(axis=-1, keepdims=True)))


@wrong("min_p", "at least p times the best")
def scores_compared_with_p(z, p):
    return keep(z, z >= z.max(axis=-1, keepdims=True) - z.dtype.type(p))


@wrong("min_p", "at least p times the best")
def base_10(z, p):
    return keep(z, z >= z.max(axis=-1, keepdims=True) + z.dtype.type(math.log10(p)))


@wrong("min_p", "never the better before the worse")
def the_unlikely_kept(z, p):
    top = z.max(axis=-1, keepdims=True)
    return keep(z, (z <= top + math.log(p)) | (z == top))


@wrong("min_p", "kept as they are")
def probabilities_above_the_bar(z, p):
    return keep(F.softmax(z), sampling.min_p(z, p) > -np.inf)


@wrong("min_p", "kept as they are")
def filtered_probabilities(z, p):
    return np.where(sampling.min_p(z, p) > -np.inf, F.softmax(z), 0).astype(z.dtype)


# --- bad manners, for every kind -------------------------------------------------------------------------------------


def writes_into_its_argument(ours):
    def writes_into_its_argument(*arrays, **options):
        result = ours(*arrays, **options)
        for array in arrays:
            if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.flags.writeable and array.ndim:
                array += 1
        return result

    return writes_into_its_argument


def always_float64(ours):
    def always_float64(*arrays, **options):
        return np.asarray(ours(*arrays, **options), dtype=np.float64)

    return always_float64


def takes_the_log_of_zero(ours):
    def takes_the_log_of_zero(*arrays, **options):
        np.log(np.zeros(1))
        return ours(*arrays, **options)

    return takes_the_log_of_zero


def needs_writable_memory(ours):
    """What a Cython memoryview does that was not declared const."""

    def needs_writable_memory(*arrays, **options):
        if any(isinstance(array, np.ndarray) and array.ndim and not array.flags.writeable for array in arrays):
            raise ValueError("buffer source array is read-only")
        return ours(*arrays, **options)

    return needs_writable_memory


MANNERS = {
    writes_into_its_argument: "input untouched",
    always_float64: "shape and dtype",
    takes_the_log_of_zero: "no warnings",
    needs_writable_memory: "any memory layout",
}
WRONG += [Animal(kind, spoil(entry.ours), by) for kind, entry in KINDS.items() for spoil, by in MANNERS.items()]


# --- textbooks, and repairs that forgot a dtype: caught by the oracle alone -------------------------------------------


def textbook_softmax(z, axis=-1):
    """Round z - max z, and let exp magnify the rounding error."""
    e = np.exp(shifted(z, axis))
    return e / e.sum(axis=axis, keepdims=True)


def textbook_log_softmax(z, axis=-1):
    d = shifted(z, axis)
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


def textbook_lse(z, axis=-1):
    return z.max(axis=axis) + np.log(np.exp(shifted(z, axis)).sum(axis=axis))


def textbook_loss(z, targets, reduction="mean"):
    d = shifted(z)
    return reduced(np.log(np.exp(d).sum(axis=-1)) - at_target(d, targets), reduction)


def exp_of_a_difference(g, z, axis=-1):
    return np.expand_dims(g, axis) * np.exp(z - F.logsumexp(z, axis, keepdims=True))


def p_minus_onehot(z, targets, reduction="mean"):
    grad = F.softmax(z) - (np.arange(z.shape[-1]) == targets[..., None]).astype(z.dtype)
    return grad / z.dtype.type(np.asarray(targets).size) if reduction == "mean" else grad


TEXTBOOKS = {
    "softmax": textbook_softmax,
    "log_softmax": textbook_log_softmax,
    "logsumexp": textbook_lse,
    "cross_entropy": textbook_loss,
    "logsumexp_backward": exp_of_a_difference,
    "cross_entropy_backward": p_minus_onehot,
}


def only_in(dtype, textbook, ours):
    """The textbook for one dtype, and ours for all others."""

    def function(*arrays, **options):
        of_dtype = any(getattr(array, "dtype", None) == dtype for array in arrays)
        return (textbook if of_dtype else ours)(*arrays, **options)

    function.__name__ = f"{textbook.__name__}_in_{np.dtype(dtype).name}"
    return function


WRONG += [
    Animal(kind, only_in(dtype, textbook, getattr(F, kind)), f"accurate in {np.dtype(dtype).name}")
    for kind, textbook in TEXTBOOKS.items()
    for dtype in (np.float32, np.float64)
]


# --- the right ones --------------------------------------------------------------------------------------------------


@right("softmax")
def textbook(z, axis=-1):
    e = np.exp(z - np.max(z, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@right("softmax")
def by_einsum(z, axis=-1):
    z = np.moveaxis(z, axis, -1)
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.moveaxis(e / np.einsum("...k->...", e)[..., None], -1, axis)


@right("softmax")
def by_loops(z, axis=-1):
    def row(scores):
        top = max(scores)
        e = [math.exp(score - top) for score in scores]
        return np.array([x / math.fsum(e) for x in e], dtype=z.dtype)

    return np.apply_along_axis(row, axis, z)


@right("softmax")
def through_the_logarithm(z, axis=-1):
    d = z - z.max(axis=axis, keepdims=True)
    return np.exp(d - np.logaddexp.reduce(d, axis=axis, keepdims=True))


@right("softmax")
def against_each_other(z, axis=-1):
    """One over the sum of exp(z_j - z_k): no shift at all, and no overflow that matters."""
    z = np.moveaxis(z, axis, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.where(np.isneginf(z[..., None, :]), 0, np.exp(z[..., None, :] - z[..., :, None]))
    return np.moveaxis((1 / ratios.sum(axis=-1)).astype(z.dtype), -1, axis)


@right("log_softmax")
def textbook_log(z, axis=-1):
    d = z - z.max(axis=axis, keepdims=True)
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


@right("log_softmax")
def by_logaddexp(z, axis=-1):
    d = z - z.max(axis=axis, keepdims=True)
    return d - np.logaddexp.reduce(d, axis=axis, keepdims=True)


@right("log_softmax")
def transposed(z, axis=-1):
    return textbook_log(z.T, axis=z.ndim - 1 - axis % z.ndim).T.copy()


@right("logsumexp")
def textbook_logsumexp(z, axis=-1):
    top = z.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(z - top).sum(axis=axis))


@right("logsumexp")
def logaddexp_reduce(z, axis=-1):
    return np.logaddexp.reduce(z, axis=axis)


@right("logsumexp")
def online(z, axis=-1):
    """One pass with a running maximum and a running sum (Milakov & Gimelshein 2018)."""
    z = np.moveaxis(z, axis, 0)
    top, total = np.full(z.shape[1:], -np.inf, z.dtype), np.zeros(z.shape[1:], z.dtype)
    with np.errstate(invalid="ignore"):  # -inf - (-inf), while nothing but masked tokens came
        for x in z:
            new = np.maximum(top, x)
            total = np.where(np.isneginf(new), 0, total * np.exp(top - new) + np.exp(x - new))
            top = new
    return (top + np.log(total)).astype(z.dtype)


@right("nll_loss")
def by_index(log_p, targets, reduction="mean"):
    flat, ids = log_p.reshape(-1, log_p.shape[-1]), np.asarray(targets).reshape(-1)
    losses = -flat[np.arange(len(ids)), ids]
    return losses.reshape(np.shape(targets)) if reduction == "none" else getattr(losses, reduction)()


@right("cross_entropy")
def composed(z, targets, reduction="mean"):
    return by_index(textbook_log(z), targets, reduction)


@right("cross_entropy")
def by_loop(z, targets, reduction="mean"):
    rows, ids = z.reshape(-1, z.shape[-1]), np.asarray(targets).reshape(-1)
    losses = np.array([np.log(np.exp(r - r.max()).sum()) - (r - r.max())[y] for r, y in zip(rows, ids, strict=True)])
    losses = losses.astype(z.dtype)
    return losses.reshape(np.shape(targets)) if reduction == "none" else getattr(losses, reduction)()


@right("softmax_backward")
def textbook_chain_rule(g, p, axis=-1):
    return p * (g - np.sum(g * p, axis=axis, keepdims=True))


@right("softmax_backward")
def explicit_jacobian(g, p, axis=-1):
    g, p = np.moveaxis(g, axis, -1), np.moveaxis(p, axis, -1)
    jacobian = p[..., :, None] * (np.eye(p.shape[-1], dtype=p.dtype) - p[..., None, :])
    return np.moveaxis(np.einsum("...j,...jk->...k", g, jacobian), -1, axis)


@right("log_softmax_backward")
def textbook_log_chain_rule(g, log_p, axis=-1):
    return g - np.exp(log_p) * np.sum(g, axis=axis, keepdims=True)


@right("logsumexp_backward")
def textbook_slope(g, z, axis=-1):
    return np.expand_dims(g, axis) * textbook(z, axis)


@right("nll_loss_backward")
def one_hot_over_n(log_p, targets, reduction="mean"):
    onehot = (np.arange(log_p.shape[-1]) == np.asarray(targets)[..., None]).astype(log_p.dtype)
    return -onehot / log_p.dtype.type(np.size(targets) if reduction == "mean" else 1)


@right("cross_entropy_backward")
def textbook_gradient(z, targets, reduction="mean"):
    onehot = np.arange(z.shape[-1]) == np.asarray(targets)[..., None]
    return ((textbook(z) - onehot) / (np.size(targets) if reduction == "mean" else 1)).astype(z.dtype)


@right("apply_temperature")
def after_a_shift(z, temperature):
    return ((z - z.max(axis=-1, keepdims=True)) / temperature).astype(z.dtype)


@right("apply_temperature")
def from_log_probs(z, temperature):
    return (F.log_softmax(z) / temperature).astype(z.dtype)


@right("top_k")
def all_ties_kept(z, k):
    border = -np.sort(-z, axis=-1)[..., min(k, z.shape[-1]) - 1][..., None]
    return keep(z, z >= border)


@right("top_k")
def on_log_probs(z, k):
    return keep(F.log_softmax(z), rank(z) < k)


@right("top_p")
def by_a_loop(z, p):
    result = np.full_like(z, -np.inf)
    for index in np.ndindex(z.shape[:-1]):
        total = 0.0
        for k in np.argsort(-z[index], kind="stable"):
            if total >= p:
                break
            result[index][k] = z[index][k]
            total += F.softmax(z[index].astype(np.float64))[k]
    return result


@right("min_p")
def in_probabilities(z, p):
    probs = F.softmax(z.astype(np.float64))
    return keep(z, probs >= p * probs.max(axis=-1, keepdims=True) * (1 - 1e-12))


def caught(animal, shrink=True):
    """Return the verdict of the property that must catch a wrong implementation, with the smallest counterexample."""
    (verdict,) = examine(animal.kind, animal.function, names=[animal.caught_by], shrink=shrink)
    return verdict


def line(animal, verdict):
    """Return a line of the table: mutant, killed by, counterexample."""
    return f"{animal.name:55} {animal.caught_by:35} {verdict.counterexample.replace(chr(10), '; ')}"


if __name__ == "__main__":
    for each in WRONG:
        print(line(each, caught(each)))
