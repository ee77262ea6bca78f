"""From scores to text: the steps of a decoder, each a function of its own.

In: scores (..., V) over the tokens, logits or log-probabilities. Out: scores of the same shape, in which -inf masks the
excluded tokens. `sample` draws a token id from them, and `generate` writes whole texts.

All of these steps but one cannot tell logits from log-probabilities: adding the same number to every score of a row
does not change their result. The exception is the repetition penalty, which looks at the sign of a score.

All functions raise TypeError for scores or a setting of the wrong type, and ValueError for a single number or for rows
without tokens.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchlm._engine.checks import FloatArray, above_0, as_floats, as_ids, generator, ids_below, share, whole
from scratchlm._engine.sums import double
from scratchlm.data import BOUNDARY
from scratchlm.functional import softmax
from scratchlm.models import LanguageModel


def apply_temperature(scores: ArrayLike, temperature: float) -> FloatArray:
    """Return scores / temperature: below 1, likely tokens become likelier; above 1, all become more alike.

    Formula: softmax(z / T). A shift of z stays a shift, so softmax(log_softmax(z) / T) = softmax(z / T).
    Shapes: scores (..., V) -> (..., V). Errors: ValueError unless 0 < temperature < inf, or if the scores overflow.

    >>> apply_temperature([1.0, 2.0], 0.5)
    array([2., 4.])
    """
    divisor = above_0("temperature", temperature)
    z = _scores(scores)
    with np.errstate(over="ignore"):
        result: FloatArray = (double(z) / divisor).astype(z.dtype)
    if not np.isfinite(result[np.isfinite(z)]).all():
        raise ValueError(f"temperature {temperature} makes scores overflow; for the likeliest token, use top_k 1")
    return result


def top_k(scores: ArrayLike, k: int) -> FloatArray:
    """Return the scores with all but the k highest of each row masked; of equal scores, the lower id stays.

    Shapes: scores (..., V) -> (..., V); with k >= V nothing is masked. Errors: ValueError for k < 1.
    Source: Fan, Lewis & Dauphin 2018.

    >>> top_k([1.0, 3.0, 2.0], 2)
    array([-inf,   3.,   2.])
    """
    k = whole("k", k, least=1)
    z = _scores(scores)
    return np.where(_ranks(z) < k, z, -np.inf).astype(z.dtype)


def top_p(scores: ArrayLike, p: float) -> FloatArray:
    """Return the scores with all but the nucleus masked: the fewest tokens that together have probability p or more.

    Formula: with tokens in descending order, token k stays if those before it have less than p together. So the
    likeliest token always stays. Of equal scores, the lower id comes first.
    Shapes: scores (..., V) -> (..., V). Errors: ValueError unless 0 < p <= 1.
    Source: Holtzman, Buys, Du, Forbes & Choi 2020.

    >>> top_p(np.log([0.5, 0.3, 0.2]), 0.6).round(2)
    array([-0.69, -1.2 ,  -inf])
    """
    p = share("p", p)
    z = _scores(scores)
    if p == 1:
        return z.copy()
    ranks = _ranks(z)
    probs = softmax(z.astype(np.float64))
    falling = np.empty_like(probs)
    np.put_along_axis(falling, ranks, probs, axis=-1)
    before = np.cumsum(falling, axis=-1) - falling
    stays = np.take_along_axis(before < p, ranks, axis=-1)
    return np.where(stays, z, -np.inf).astype(z.dtype)


def min_p(scores: ArrayLike, p: float) -> FloatArray:
    """Return the scores, with every token masked that is less than p times as likely as the likeliest one.

    Formula: token k stays if z_k >= max z + log p.
    Shapes: scores (..., V) -> (..., V). Errors: ValueError unless 0 < p <= 1.
    Source: Nguyen et al. 2024.

    >>> min_p(np.log([0.6, 0.3, 0.1]), 0.25).round(2)
    array([-0.51, -1.2 ,  -inf])
    """
    p = share("p", p)
    z = _scores(scores)
    return np.where(z >= z.max(axis=-1, keepdims=True) + np.log(p), z, -np.inf).astype(z.dtype)


def repetition_penalty(scores: ArrayLike, previous_tokens: ArrayLike, penalty: float) -> FloatArray:
    """Return the scores, with those of previous tokens divided by the penalty if positive, and otherwise multiplied.

    Formula: z_k / penalty if z_k > 0, else z_k penalty, for every k in previous_tokens, however often it occurred.
    Shapes: scores (..., V), previous_tokens (..., L) of ids -> (..., V). Above 1 it discourages; 1 changes nothing.
    Errors: ValueError unless 0 < penalty < inf, or for an id outside 0 ... V - 1; TypeError for anything but ids.
    Source: Keskar et al. 2019 (CTRL) always divide, which makes a negative score better; libraries multiply it instead.

    The result depends on the sign of a score, and the sign on the shift: log_softmax(z) and z give two different
    decoders. It is the only step here that needs to know where the zero of the logits was.

    >>> repetition_penalty([2.0, -2.0, 1.0], [0, 1], 2.0)
    array([ 1., -4.,  1.])
    """
    factor = above_0("penalty", penalty)
    z = _scores(scores)
    ids = as_ids("previous_tokens", previous_tokens)
    if ids.size == 0:
        return z.copy()
    if ids.ndim != z.ndim or ids.shape[:-1] != z.shape[:-1]:
        raise ValueError(f"previous_tokens must have shape {z.shape[:-1]} and one axis more, not {ids.shape}")
    ids = ids_below("previous_tokens", ids, z.shape[-1])
    seen = np.take_along_axis(z, ids, axis=-1)
    wide = double(seen)
    with np.errstate(over="ignore", invalid="ignore"):
        worse = np.where(wide > 0, wide / factor, wide * factor)
        worse = worse.astype(z.dtype)
    result = z.copy()
    np.put_along_axis(result, ids, worse, axis=-1)
    return result


def scores_kind(scores: ArrayLike) -> str:
    """Return the kind of scores, by the sums of their rows: "logits", "log_probs", "truncated log_probs" or "probs".

    Formula: sum p = 1 for probs, none of them negative; sum exp(l) = 1 for log_probs, which are truncated if some of
    them are -inf, as after top-p. Anything else is logits. A sum counts as 1 if it agrees to half the dtype's digits.
    Shapes: scores (..., V) -> one answer for all rows together.
    Blind spot: logits whose exps happen to sum to 1 look like log-probs, and the exps of a masked row of raw log-probs
    sum to less than 1, like those of logits.

    >>> scores_kind([2.0, 1.0]), scores_kind(np.log([0.75, 0.25])), scores_kind([0.75, 0.25])
    ('logits', 'log_probs', 'probs')
    """
    z = double(_scores(scores))
    tolerance = float(np.finfo(_scores(scores).dtype).eps) ** 0.5

    def is_one(values: FloatArray) -> bool:
        return bool((np.abs(values.sum(axis=-1) - 1) <= tolerance).all())

    if (z >= 0).all() and is_one(z):
        return "probs"
    if (z <= tolerance).all() and is_one(np.exp(z)):
        return "truncated log_probs" if np.isneginf(z).any() else "log_probs"
    return "logits"


def sample(scores: ArrayLike, rng: np.random.Generator) -> Any:
    """Return a token id for each row, drawn with probability softmax(scores).

    Formula: argmax_k (z_k + G_k), with G_k drawn from the standard Gumbel distribution. No softmax, no sum: a shift of
    z shifts every candidate, so logits and log-probabilities work alike, and give the same token with the same rng.
    Shapes: scores (..., V) -> ids (...). Errors: ValueError for a fully masked row, and for nan or +inf.
    Source: Gumbel 1954; Maddison, Tarlow & Minka 2014.

    >>> print(sample([-np.inf, 0.0, -np.inf], np.random.default_rng(0)))
    1
    """
    z = as_floats("scores", scores)
    rng = generator(rng)
    top = z.max(axis=-1, initial=-np.inf)
    if not np.isfinite(top).all():
        value = top[~np.isfinite(top)][0] if top.ndim else top
        raise ValueError(
            "every token of a row is masked, so there is nothing to draw from"
            if value == -np.inf
            else f"a row of scores contains {value}; scores must be finite or -inf (masked)"
        )
    return np.argmax(z + rng.gumbel(size=z.shape), axis=-1)


def generate(
    model: LanguageModel,
    count: int = 1,
    rng: np.random.Generator | int = 0,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    max_length: int = 100,
) -> list[NDArray[np.intp]]:
    """Return `count` texts as arrays of token ids, without the boundary tokens at their start and end.

    The texts are written side by side: every step of the model adds one token to each. A text stops at its boundary
    token, or at max_length tokens. Order of the steps: repetition penalty (on the logits), temperature, top_k, top_p,
    min_p. `rng` is a generator or a seed; the same seed gives the same texts. Errors: those of the steps; MemoryError
    if the texts are too many or too long.

    >>> from scratchlm.models import BigramLM
    >>> always_ab = BigramLM(3).fit_counts([[0], [1], [2]], [1, 2, 0])
    >>> generate(always_ab)
    [array([1, 2])]
    """
    count, max_length = whole("count", count, least=0), whole("max_length", max_length, least=1)
    rng = generator(rng)
    try:
        tokens = np.full((count, model.context_length + max_length), BOUNDARY, dtype=np.intp)
    except (MemoryError, ValueError):
        raise MemoryError(f"{count} texts of up to {max_length} tokens do not fit into memory") from None
    writing = np.arange(count)
    for end in range(model.context_length, tokens.shape[1]):
        if not writing.size:
            break
        scores = model.forward(tokens[writing, end - model.context_length : end])
        if repetition_penalty is not None:
            scores = _penalised(scores, tokens[writing, model.context_length : end], repetition_penalty)
        scores = _decoded(scores, temperature, top_k, top_p, min_p)
        tokens[writing, end] = sample(scores, rng)
        writing = writing[tokens[writing, end] != BOUNDARY]
    return [_until_boundary(text) for text in tokens[:, model.context_length :]]


_top_k, _top_p, _min_p, _penalised = top_k, top_p, min_p, repetition_penalty  # generate's options have these names


def _decoded(
    scores: FloatArray, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> FloatArray:
    scores = apply_temperature(scores, temperature)
    if top_k is not None:
        scores = _top_k(scores, top_k)
    if top_p is not None:
        scores = _top_p(scores, top_p)
    if min_p is not None:
        scores = _min_p(scores, min_p)
    return scores


def _until_boundary(tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    ends = np.flatnonzero(tokens == BOUNDARY)
    return tokens[: ends[0]].copy() if ends.size else tokens.copy()


def _scores(scores: ArrayLike) -> FloatArray:
    """Return the scores in floating point. Errors: ValueError for rows without scores."""
    z = as_floats("scores", scores)
    if not z.shape[-1]:
        raise ValueError(f"there is no token to choose from: scores have shape {z.shape}")
    return z


def _ranks(z: FloatArray) -> NDArray[np.intp]:
    """Return the place of every entry in the descending order of its row; equal entries are ordered by id."""
    order = np.argsort(-z, axis=-1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(z.shape[-1]), z.shape), axis=-1)
    return ranks
