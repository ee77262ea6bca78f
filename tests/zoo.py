"""The zoo: wrong implementations, each with the property that must catch it; and right ones, to be left in peace.

The mistakes that people make stand in `scratchlm.properties.mistakes`. Here they are joined by those that are right and
ill-mannered, by textbooks that lose digits, and by all that is right. Run this file to see the table of who is caught
by what, with the smallest counterexample: python tests/zoo.py. It is one file because it is one collection.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scratchlm import functional as F
from scratchlm.properties import PROPERTIES, examine
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.mistakes import MISTAKES, at_target, keep, rank, reduced, shifted


@dataclass(frozen=True)
class Animal:
    """An implementation of a kind; for a wrong one, the property that must catch it, if one is meant to."""

    kind: str
    function: Callable
    caught_by: str = ""

    @property
    def name(self):
        return f"{self.kind}: {self.function.__name__}"


WRONG: list[Animal] = [Animal(m.kind, m.function, m.breaks) for found in MISTAKES.values() for m in found]
RIGHT: list[Animal] = []


def right(*kinds):
    def enter(function):
        RIGHT.extend(Animal(kind, function) for kind in kinds)
        return function

    return enter


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


def takes_matrices_only(ours):
    def takes_matrices_only(*arrays, **options):
        if max(np.ndim(array) for array in arrays) != 2:
            raise ValueError("expected a matrix")
        return ours(*arrays, **options)

    return takes_matrices_only


def knows_no_option(ours):
    def knows_no_option(*arrays):
        return ours(*arrays)

    return knows_no_option


def computes_in_float32(ours):
    def computes_in_float32(*arrays, **options):
        narrow = [np.float32(a) if getattr(a, "dtype", None) == np.float64 else a for a in arrays]
        return ours(*narrow, **options)

    return computes_in_float32


MANNERS = {
    computes_in_float32: "both precisions",
    takes_matrices_only: "any number of axes",
    writes_into_its_argument: "input untouched",
    always_float64: "shape and dtype",
    takes_the_log_of_zero: "no warnings",
    needs_writable_memory: "any memory layout",
}
OF_AN_OPTION = {"axis": "one axis, slice by slice", "reduction": "every reduction"}
WRONG += [Animal(kind, spoil(entry.ours), by) for kind, entry in KINDS.items() for spoil, by in MANNERS.items()]
WRONG += [
    Animal(kind, knows_no_option(entry.ours), OF_AN_OPTION[name])
    for kind, entry in KINDS.items()
    for name in entry.options
]


def returns_float64(z, axis=-1):
    return F.softmax(z.astype(np.float64), axis)


def shifts_in_place(z, axis=-1):
    if z.flags.writeable:
        z -= z.max(axis=axis, keepdims=True)
    return F.softmax(z, axis)


def reads_memory_as_it_lies(z, axis=-1):
    return F.softmax(z.ravel(order="K").reshape(z.shape), axis) if z.ndim > 1 else F.softmax(z, axis)


def both_branches(z, axis=-1):
    safe = np.abs(z).max(initial=0, where=np.isfinite(z)) < 80
    return np.where(safe, np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True), F.softmax(z, axis))


def no_k_beyond_the_row(z, k):
    return keep(z, z >= np.sort(z, axis=-1)[..., -k][..., None])


WRONG += [
    Animal("top_k", no_k_beyond_the_row, "more than there are"),
    Animal("softmax", returns_float64, "shape and dtype"),
    Animal("softmax", shifts_in_place, "input untouched"),
    Animal("softmax", reads_memory_as_it_lies, "any memory layout"),
    Animal("softmax", both_branches, "no warnings"),
]


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


def textbook_softmax_backward(g, p, axis=-1):
    return p * (g - (g * p).sum(axis=axis, keepdims=True))


def textbook_log_softmax_backward(g, log_p, axis=-1):
    return g - np.exp(log_p) * g.sum(axis=axis, keepdims=True)


WRONG += [
    Animal("softmax_backward", textbook_softmax_backward, "a confident row still learns"),
    Animal("log_softmax_backward", textbook_log_softmax_backward, "a confident row still learns"),
]

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
    """Return the verdict of the property that must catch a wrong implementation, with the smallest counterexample.

    If none is meant to, any may that is not about digits.
    """
    names = [animal.caught_by] if animal.caught_by else [p.name for p in PROPERTIES[animal.kind] if not p.dtype]
    for name in names:
        (verdict,) = examine(animal.kind, animal.function, names=[name], shrink=shrink)
        if not verdict.passed:
            break
    return verdict


def line(animal, verdict):
    """Return a line of the table: mutant, killed by, counterexample."""
    return f"{animal.name:55} {verdict.property.name:35} {verdict.counterexample.replace(chr(10), '; ')}"


if __name__ == "__main__":
    for each in WRONG:
        print(line(each, caught(each)))
