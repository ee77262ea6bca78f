"""Identities of temperature, top-k, top-p and min-p."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm.properties.battery import Case, Implementation, property_of
from scratchlm.properties.compare import Array, demand, log_roundings, lse, near, numbers
from scratchlm.properties.inputs import TEMPERATURES, also, masked_rows, only, rows


@property_of(
    "apply_temperature",
    "divides differences",
    "(z_j - z_k) becomes (z_j - z_k) / T",
    why="At T = 2 each ratio p_j / p_k becomes its square root; at T = 1/2, its square.",
    hint="Divide the scores by T. Do not multiply, do not divide probabilities, and do not clip T.",
    cases=also(only(rows(), "scores"), temperature=TEMPERATURES),
)
def divides_differences(f: Implementation, scores: Array, temperature: float) -> None:
    result = numbers(f(scores, temperature)).astype(np.float64)
    d = (scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)) / temperature
    near(
        result - result.max(axis=-1, keepdims=True), d, "the differences", atol=2 * log_roundings(scores) / temperature
    )


@property_of(
    "apply_temperature",
    "masked stay masked",
    "-inf / T = -inf",
    why="A forbidden token is forbidden at every temperature.",
    hint="Do not replace -inf with a number: a high temperature brings the token back.",
    cases=also(only(masked_rows(), "scores"), temperature=TEMPERATURES),
)
def keeps_masked_tokens_masked(f: Implementation, scores: Array, temperature: float) -> None:
    result = numbers(f(scores, temperature))
    expected = np.isneginf(scores)
    demand(np.array_equal(np.isneginf(result), expected), "which tokens are masked", expected, np.isneginf(result))


TIES = rows(bound=3, whole=True)
_FILTERS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "top_k": ("k", st.integers(1, 6)),
    "top_p": ("p", st.floats(0.125, 1, width=16)),
    "min_p": ("p", st.floats(0.125, 1, width=16)),
}


def _at_most_all(case: Case) -> Case:
    """Return the case with k at most the number of tokens, because libraries differ on what a larger k means."""
    return case | ({"k": min(case["k"], case["scores"].shape[-1])} if "k" in case else {})


def _of_a_filter(kind: str, setting: str, values: st.SearchStrategy[Any]) -> None:
    @property_of(
        kind,
        "kept as they are",
        "kept tokens keep their scores (up to one shift per row), the others get -inf; the likeliest is kept",
        why="A filter decides which tokens may be drawn. It must keep at least one, and the ratios among the kept.",
        hint="Return np.where(stays, z, -np.inf). If you filter probabilities, return their logarithms, not 0.",
        cases=also(only(TIES, "scores"), **{setting: values}).map(_at_most_all),
    )
    def keeps_scores_as_they_are(f: Implementation, scores: Array, **case: Any) -> None:
        (value,) = case.values()
        result = numbers(f(scores, value)).astype(np.float64)
        demand(result.shape == scores.shape, "the shape", str(scores.shape), str(result.shape))
        stays = result > -np.inf
        likeliest = scores == scores.max(axis=-1, keepdims=True)
        demand((stays & likeliest).any(axis=-1), "the likeliest token is dropped", "a finite score", result)
        kept = np.where(stays, scores.astype(np.float64) - scores.max(axis=-1, keepdims=True), -np.inf)
        top = result.max(axis=-1, keepdims=True)
        near(result - top, kept, "the differences among the kept scores", atol=log_roundings(scores))

    @property_of(
        kind,
        "never the better before the worse",
        "every kept token is at least as likely as every dropped one",
        why="A filter that drops a likely token and keeps an unlikely one has sorted the wrong way round.",
        hint="np.argsort sorts in ascending order. After sorting, put the mask back in the order of the tokens.",
        cases=also(only(TIES, "scores"), **{setting: values}).map(_at_most_all),
    )
    def never_keeps_the_worse_before_the_better(f: Implementation, scores: Array, **case: Any) -> None:
        (value,) = case.values()
        stays = numbers(f(scores, value)) > -np.inf
        worst_kept = np.where(stays, scores, np.inf).min(axis=-1)
        best_dropped = np.where(stays, -np.inf, scores).max(axis=-1)
        demand(worst_kept >= best_dropped, "the worst kept score", f"at least {best_dropped}", worst_kept)


for _name, (_setting, _values) in _FILTERS.items():
    _of_a_filter(_name, _setting, _values)


@property_of(
    "top_k",
    "k of them",
    "k tokens are kept; only a tie at the border may keep more",
    why="With k = 1 this is greedy decoding. One token more or fewer is a different decoder; none at all is a crash.",
    hint="Is the k-th score itself kept? `>` drops it, and every score tied with it.",
    cases=also(only(TIES, "scores"), k=st.integers(1, 6)).map(_at_most_all),
)
def keeps_k_tokens(f: Implementation, scores: Array, k: int) -> None:
    stays = numbers(f(scores, k)) > -np.inf
    border = np.sort(scores, axis=-1)[..., ::-1][..., min(k, scores.shape[-1]) - 1][..., None]
    count, fewest = stays.sum(axis=-1), min(k, scores.shape[-1])
    demand(count >= fewest, "how many are kept", f"at least {fewest}", count)
    demand((count == fewest) | ~(stays & (scores < border)).any(axis=-1), "how many are kept", f"{fewest}", count)


@property_of(
    "top_k",
    "more than there are",
    "k above the number of tokens keeps all of them",
    why="The same k serves a vocabulary of 50,000 and a test with three tokens.",
    hint="Begin with k = min(k, scores.shape[-1]).",
    cases=also(only(TIES, "scores"), k=st.integers(6, 50)),
    tier="manners",
)
def keeps_all_if_k_is_larger(f: Implementation, scores: Array, k: int) -> None:
    stays = numbers(f(scores, max(k, scores.shape[-1] + 1))) > -np.inf
    demand(stays, "which tokens are kept", "all", stays)


@property_of(
    "top_p",
    "the smallest nucleus",
    "the kept tokens sum to p or more, and without the least likely of them, to less",
    why="One token too few, and the nucleus misses its mass; one too many, and it lets in the tail it was made to cut.",
    hint="A token is kept if those *before* it sum to less than p: compare the sum without it, not with it.",
    cases=also(only(TIES, "scores"), p=st.floats(0.125, 1, width=16)),
)
def keeps_the_smallest_nucleus(f: Implementation, scores: Array, p: float) -> None:
    stays, probs = numbers(f(scores, p)) > -np.inf, np.exp(scores - lse(scores)[..., None])
    mass = (probs * stays).sum(axis=-1)
    least = np.where(stays, probs, np.inf).min(axis=-1, keepdims=True)
    without = (probs * stays * (probs > least * (1 + 1e-6))).sum(axis=-1)  # a tie at the border may stay as a whole
    demand(mass >= p - 1e-6, "the probability of the kept tokens", f"at least {p}", mass)
    demand(without < p + 1e-6, "the probability without the least likely of them", f"less than {p}", without)


@property_of(
    "min_p",
    "at least p times the best",
    "token k is kept if and only if p_k >= p max_j p_j",
    why="The bar follows the model's confidence: high when it is sure, low when it is in doubt.",
    hint="Compare with p times the *largest* probability, not with p itself. In scores: z_k >= max z + log p.",
    cases=also(only(rows(bound=4), "scores"), p=st.floats(0.125, 1, width=16)),
)
def keeps_p_times_the_best(f: Implementation, scores: Array, p: float) -> None:
    stays = numbers(f(scores, p)) > -np.inf
    ratio = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    clear = np.abs(ratio - p) > 1e-5
    demand(stays[clear] == (ratio >= p)[clear], "which tokens are kept", ratio >= p, stays)
