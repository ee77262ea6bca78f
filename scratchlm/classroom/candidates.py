"""What a student's examiner is given: functions that claim to be a softmax, some right and some wrong.

`CANDIDATES` maps each name to the function and whether it is right. Its docstring says in what way it is right, or
what is wrong with it.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchlm import functional
from scratchlm.properties.compare import Array

CANDIDATES: dict[str, tuple[Callable[[Array], Any], bool]] = {}


def candidate(name: str, right: bool, how: str) -> Callable[[Callable[[Array], Any]], Callable[[Array], Any]]:
    """Enter the softmax that follows into CANDIDATES. The names reveal nothing, since students may see them."""

    def enter(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
        @functools.wraps(function)
        def quietly(z: Array) -> Any:
            with np.errstate(all="ignore"):  # the numbers must give it away, not the warnings
                return function(z)

        quietly.__doc__ = f"{'Right' if right else 'Wrong'}: {how}"  # python -OO would drop a docstring in the function
        CANDIDATES[name] = (quietly, right)
        return function

    return enter


def _normalised(e: Array) -> Any:
    return e / e.sum(axis=-1, keepdims=True)


def _down(z: Array) -> Any:
    return z - z.max(axis=-1, keepdims=True)


@candidate("A", True, "the textbook formula, with each row's maximum subtracted.")
def _textbook(z: Array) -> Any:
    return _normalised(np.exp(_down(z)))


@candidate("B", False, "exp of the raw scores, which overflows from 710 upwards.")
def _no_shift(z: Array) -> Any:
    return _normalised(np.exp(z))


@candidate("C", False, "divides by the largest exp instead of their sum, so the likeliest class always gets 1.")
def _not_normalised(z: Array) -> Any:
    return np.exp(_down(z))


@candidate("D", False, "sums over the whole array, so the rows of a batch share a total of 1.")
def _over_everything(z: Array) -> Any:
    e = np.exp(_down(z))
    return e / e.sum()


@candidate("E", True, "this package's own.")
def _ours(z: Array) -> Any:
    return functional.softmax(z)


@candidate("F", False, "exp(-z), so the lowest score wins.")
def _minus(z: Array) -> Any:
    return _normalised(np.exp(z.min(axis=-1, keepdims=True, where=z > -np.inf, initial=np.inf) - z))


@candidate("G", False, "uses a temperature of 2: still a distribution, but with the square roots of the right ratios.")
def _at_two(z: Array) -> Any:
    return _normalised(np.exp(_down(z) / 2))


@candidate("H", False, "spreads one thousandth of the probability evenly over all classes.")
def _smoothed(z: Array) -> Any:
    return 0.999 * _normalised(np.exp(_down(z))) + 0.001 / z.shape[-1]


@candidate("I", False, "sigmoids, normalised to sum to 1. It is right for very negative scores; shifts give it away.")
def _sigmoids(z: Array) -> Any:
    return _normalised(1 / (1 + np.exp(-z)))


@candidate("J", True, "takes the sum in logarithms, score by score, with logaddexp.")
def _by_pairs(z: Array) -> Any:
    return np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True))


@candidate("K", False, "the right probabilities, but in rising order. Only a row that does not rise gives it away.")
def _sorted(z: Array) -> Any:
    return np.sort(_normalised(np.exp(_down(z))), axis=-1)


@candidate("L", False, "leaves out the last class, unless it is the only one.")
def _not_the_last(z: Array) -> Any:
    e = np.exp(_down(z))
    if z.shape[-1] > 1:
        e[..., -1] = 0
    return _normalised(e)


@candidate("M", False, "a masked score makes the whole row nan, because 0 times -inf is nan.")
def _mask_spoils(z: Array) -> Any:
    p = _normalised(np.exp(_down(z)))
    return p + 0 * z.sum(axis=-1, keepdims=True)


@candidate("N", False, "if several scores tie for the largest, the first takes the probability of all of them.")
def _winner_of_a_tie(z: Array) -> Any:
    p = _normalised(np.exp(_down(z)))
    best = z == z.max(axis=-1, keepdims=True)
    first = best & (np.cumsum(best, axis=-1) == 1)
    return np.where(first, p * best.sum(axis=-1, keepdims=True), np.where(best, 0, p))


@candidate("O", True, "computes the logarithms first, l = z - m - log(sum), and then their exp.")
def _twice_through(z: Array) -> Any:
    d = _down(z)
    return np.exp(d - np.log(np.exp(d).sum(axis=-1, keepdims=True)))


@candidate("P", False, "subtracts the largest score of the array, so every exp in a row far below another is 0.")
def _loudest_row(z: Array) -> Any:
    return _normalised(np.exp(z - z.max()))


@candidate("Q", False, "clips scores to 50 on both sides, so only large scores give it away.")
def _clipped(z: Array) -> Any:
    return _normalised(np.exp(np.where(z == -np.inf, z, np.clip(z, -50, 50))))
