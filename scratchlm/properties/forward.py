"""Identities of softmax, log_softmax and logsumexp: first those of each, then those that all three share."""

import math

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional
from scratchlm.properties.battery import Case, Implementation, property_of
from scratchlm.properties.compare import Array, demand, log_roundings, lse, near, numbers, roundings
from scratchlm.properties.inputs import (
    PAIR,
    SHIFTS,
    TEMPERATURES,
    also,
    batches_at_levels,
    far_up_and_down,
    huge_rows,
    masked_rows,
    only,
    rows,
)


@property_of(
    "softmax",
    "a distribution",
    "0 <= p_k <= 1, and sum_k p_k = 1",
    why="Probabilities that do not sum to 1 make every loss computed from them wrong by a constant.",
    hint="Divide by the sum of exactly those exps that you return, and add nothing to it.",
    cases=only(rows()),
)
def is_a_distribution(f: Implementation, logits: Array) -> None:
    p = numbers(f(logits, axis=-1))
    demand((p >= 0) & (p <= 1), "a probability is outside [0, 1]", "numbers from 0 to 1", p)
    near(p.sum(axis=-1, dtype=np.float64), np.ones(p.shape[:-1]), "the sum of a row", atol=roundings(logits))


@property_of(
    "softmax",
    "ratios",
    "p_j / p_k = exp(z_j - z_k)",
    why="This is what softmax means: one more unit of score is a factor of e.",
    hint="Check the base of the exponential and the sign, and that nothing was clipped.",
    cases=only(rows()),
)
def keeps_the_ratios(f: Implementation, logits: Array) -> None:
    p, top = numbers(f(logits, axis=-1)).astype(np.float64), logits.argmax(axis=-1)[..., None]
    d = logits.astype(np.float64) - np.take_along_axis(logits, top, -1)
    expected = np.take_along_axis(p, top, -1) * np.exp(d)
    near(p, expected, "the ratio to the likeliest class", rtol=roundings(logits), atol=1e-30)


@property_of(
    "softmax",
    "blind to a shift",
    "softmax(z + c) = softmax(z)",
    why="Only differences between scores mean anything. That is why the maximum may be subtracted.",
    hint="Something depends on the level of the scores: a clip, an epsilon, or a shift by anything but the maximum.",
    cases=also(only(rows(bound=20, whole=True)), c=SHIFTS),
    always=far_up_and_down(),
)
def is_blind_to_a_shift(f: Implementation, logits: Array, c: float) -> None:
    shifted = f(logits + logits.dtype.type(c), axis=-1)
    near(shifted, f(logits, axis=-1), "softmax(z + c)", rtol=2 * roundings(logits), atol=1e-30)


@property_of(
    "softmax",
    "temperature",
    "the entropy -sum_k p_k log p_k of p = softmax(z / T) does not fall when T rises",
    why="T below 1 sharpens and T above 1 flattens: samplers are built on this.",
    hint="Divide the scores, not the probabilities; and divide, do not multiply.",
    cases=also(only(rows(bound=10, dims=(1, 1))), T=TEMPERATURES),
)
def flattens_as_temperature_rises(f: Implementation, logits: Array, T: float) -> None:
    def entropy(scores: Array) -> float:
        p = numbers(f(scores, axis=-1)).astype(np.float64)
        return float(-(p * np.log(np.where(p > 0, p, 1))).sum())

    low, high = entropy(logits / logits.dtype.type(T)), entropy(logits / logits.dtype.type(2 * T))
    slack = 1e-9 + roundings(logits / logits.dtype.type(T)) * (logits.dtype == np.float32)
    demand(high >= low - slack, "the entropy at 2T", f"at least {low}, the entropy at T", str(high))


# --- log_softmax -----------------------------------------------------------------------------------------------------


@property_of(
    "log_softmax",
    "normalised",
    "logsumexp(log_softmax(z)) = 0",
    why="It says that the probabilities sum to 1, without leaving the logarithms.",
    hint="Subtract the logarithm of the sum of exps of the same shifted scores.",
    cases=only(rows()),
)
def is_normalised(f: Implementation, logits: Array) -> None:
    log_p = numbers(f(logits, axis=-1))
    near(lse(log_p), np.zeros(log_p.shape[:-1]), "logsumexp of the result", atol=log_roundings(logits))


@property_of(
    "log_softmax",
    "differences kept",
    "l_j - l_k = z_j - z_k",
    why="log-softmax loses one number per row and nothing else: temperature and ranking survive.",
    hint="Every entry of a row must be shifted by the same number. Look for a clip, an epsilon, or the wrong base.",
    cases=only(rows()),
)
def keeps_differences(f: Implementation, logits: Array) -> None:
    log_p = numbers(f(logits, axis=-1))
    d = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    near(log_p - log_p.max(axis=-1, keepdims=True), d, "the differences", atol=log_roundings(logits))


@property_of(
    "log_softmax",
    "any level",
    "log_softmax(z + c) = log_softmax(z)",
    why="Logits have no natural zero: two models whose logits differ by a constant are the same model.",
    hint="log(softmax(z)) is -inf once a probability underflows. Subtract log(sum(exp)) from shifted scores instead.",
    cases=also(only(rows(bound=200, whole=True, dims=(1, 1))), c=SHIFTS),
    always=far_up_and_down(),
)
def is_the_same_at_any_level(f: Implementation, logits: Array, c: float) -> None:
    shifted = logits + logits.dtype.type(c)
    near(f(shifted, axis=-1), numbers(f(logits, axis=-1)), "log_softmax(z + c)", atol=log_roundings(shifted))


@property_of(
    "log_softmax",
    "exp gives softmax",
    "exp(log_softmax(z)) = softmax(z)",
    why="Two functions with the same meaning must agree.",
    hint="Compare the two formulas: only the last step differs.",
    cases=only(rows()),
)
def gives_softmax_under_exp(f: Implementation, logits: Array) -> None:
    log_p = numbers(f(logits, axis=-1))
    near(np.exp(log_p), functional.softmax(logits), "exp(log_softmax(z))", rtol=4 * log_roundings(logits), atol=1e-30)


@property_of(
    "log_softmax",
    "twice is once",
    "log_softmax(log_softmax(z)) = log_softmax(z)",
    why="Normalising twice changes nothing: log_softmax before cross_entropy is redundant, not wrong.",
    hint="The first result is not normalised: see the property `normalised`.",
    cases=only(rows()),
)
def stays_the_same_if_done_twice(f: Implementation, logits: Array) -> None:
    log_p = numbers(f(logits, axis=-1))
    near(f(log_p, axis=-1), log_p, "log_softmax of the result", atol=2 * log_roundings(log_p))


@property_of(
    "log_softmax",
    "temperature survives",
    "softmax(log_softmax(z) / T) = softmax(z / T)",
    why="It is often claimed that log-probabilities freeze the temperature. They do not: the shift cancels.",
    hint="Differences between scores were lost on the way: see `differences kept`.",
    cases=also(only(rows(bound=20)), T=TEMPERATURES),
)
def keeps_the_temperature(f: Implementation, logits: Array, T: float) -> None:
    log_p = numbers(f(logits, axis=-1)).astype(np.float64)
    from_logits = functional.softmax(logits.astype(np.float64) / T)
    near(functional.softmax(log_p / T), from_logits, "softmax(l / T)", rtol=4 * log_roundings(logits) / T, atol=1e-30)


@property_of(
    "log_softmax",
    "the logits come back",
    "log_softmax(z) + logsumexp(z) = z",
    why="The only thing that normalising throws away is Z = logsumexp(z). Keep it, and nothing is lost.",
    hint="The result must be z minus one number per row.",
    cases=only(rows()),
)
def gives_the_logits_back(f: Implementation, logits: Array) -> None:
    back = numbers(f(logits, axis=-1)) + lse(logits)[..., None]
    near(back, logits, "l + Z", atol=log_roundings(logits))


# --- logsumexp -------------------------------------------------------------------------------------------------------


@property_of(
    "logsumexp",
    "between max and max + log n",
    "max z <= logsumexp(z) <= max z + log n",
    why="It is a maximum with rounded corners, and a value outside these bounds cannot be one.",
    hint="Sum instead of averaging, use the natural logarithm, and add the maximum back.",
    cases=only(rows()),
)
def lies_between_max_and_max_plus_log_n(f: Implementation, logits: Array) -> None:
    value, top, n = numbers(f(logits, axis=-1)), logits.max(axis=-1).astype(np.float64), logits.shape[-1]
    slack = log_roundings(logits)
    demand(value >= top - slack, "it is below the maximum", f"at least {top}", value)
    demand(value <= top + math.log(n) + slack, "it is above max + log n", f"at most {top + math.log(n)}", value)


@property_of(
    "logsumexp",
    "n copies",
    "logsumexp([z, z, ..., z]) = z + log n",
    why="n equally likely ways are n times as likely as one: log n more, in logarithms.",
    hint="Count the maxima: all n of them contribute exp(0) = 1.",
    cases=only(st.builds(np.full, st.integers(2, 50), st.integers(-500, 500).map(float))),
)
def adds_log_n_for_n_copies(f: Implementation, logits: Array) -> None:
    expected = logits[0] + math.log(len(logits))
    near(f(logits, axis=-1), expected, "logsumexp of n copies", atol=log_roundings(logits))


@property_of(
    "logsumexp",
    "a shift comes through",
    "logsumexp(z + c) = logsumexp(z) + c",
    why="This lets you subtract the maximum before exp and add it back after log.",
    hint="exp overflows above 88.7 (float32) or 709.8 (float64), and gives 0 far below 0: subtract the maximum first.",
    cases=also(only(rows(bound=20, whole=True)), c=SHIFTS),
    always=far_up_and_down(),
)
def lets_a_shift_through(f: Implementation, logits: Array, c: float) -> None:
    shifted = logits + logits.dtype.type(c)
    near(f(shifted, axis=-1), numbers(f(logits, axis=-1)) + c, "logsumexp(z + c)", atol=log_roundings(shifted))


@property_of(
    "logsumexp",
    "in two parts",
    "logsumexp(a, b) = logaddexp(logsumexp(a), logsumexp(b))",
    why="A row may be summed in pieces as they arrive: attention is computed this way, without a whole row.",
    hint="Every entry must contribute exactly once, with weight 1.",
    cases=st.tuples(rows(bound=20, dims=(1, 1)), rows(bound=20, dims=(1, 1))).map(
        lambda ab: {"a": ab[0], "b": ab[1].astype(ab[0].dtype)}
    ),
)
def can_be_had_from_two_parts(f: Implementation, a: Array, b: Array) -> None:
    row = np.concatenate([a, b])
    parts = np.logaddexp(numbers(f(a, axis=-1)), numbers(f(b, axis=-1)))
    near(f(row, axis=-1), parts, "logsumexp of both parts together", atol=log_roundings(row))


# --- all three -------------------------------------------------------------------------------------------------------


def _and_an_order(case: Case) -> st.SearchStrategy[Case]:
    classes = range(len(case["logits"]))
    return st.permutations(classes).map(lambda order: case | {"order": np.array(order)})


def _of_a_row(kind: str) -> None:
    """Enter what all three share, class by class or for the one number of a row."""
    per_class = kind != "logsumexp"

    @property_of(
        kind,
        "permutation",
        "f(z[order]) = f(z)[order]" if per_class else "f(z[order]) = f(z)",
        why="A class has no place in the row, only a name.",
        hint="Look for a first or last entry that is treated specially, and for a sort that is not undone.",
        cases=only(rows(bound=20, dims=(1, 1))).flatmap(_and_an_order),
    )
    def follows_a_permutation(f: Implementation, logits: Array, order: Array) -> None:
        plain = numbers(f(logits, axis=-1))
        expected = plain[order] if per_class else plain
        near(
            f(logits[order], axis=-1),
            expected,
            "f of the permuted row",
            rtol=roundings(logits),
            atol=log_roundings(logits),
        )

    @property_of(
        kind,
        "rows keep to themselves",
        "f([row, other row])[0] = f(row)",
        why="With a shift by the maximum of the whole batch, every exp of a row far below another becomes 0.",
        hint="Take the maximum and the sum along the class axis, not over the whole array.",
        cases=only(batches_at_levels()),
        always=tuple({"logits": np.add(PAIR, [[0], [level]])} for level in (1000, -1000)),
    )
    def keeps_rows_apart(f: Implementation, logits: Array) -> None:
        together = numbers(f(logits, axis=-1))
        right = logits.shape if per_class else logits.shape[:-1]
        demand(together.shape == right, "the shape", str(right), str(together.shape))
        for i, row in enumerate(logits):
            alone = f(row, axis=-1)
            near(
                together[i],
                alone,
                f"row {i} in the batch, compared with the row alone",
                rtol=roundings(row),
                atol=log_roundings(row) * (kind != "softmax"),
            )

    @property_of(
        kind,
        "masked tokens",
        {
            "softmax": "z_k = -inf gives p_k = 0; the others are as if k were not there",
            "log_softmax": "z_k = -inf gives l_k = -inf; the others are as if k were not there",
            "logsumexp": "z_k = -inf gives the same result as if k were not there",
        }[kind],
        why="Padding, forbidden tokens and causal attention are all written as -inf.",
        hint="Only -inf - (-inf) is nan: subtract the largest score. Do not replace -inf with a large negative number.",
        cases=only(masked_rows()),
    )
    def ignores_masked_tokens(f: Implementation, logits: Array) -> None:
        result = numbers(f(logits, axis=-1))
        for index in np.ndindex(logits.shape[:-1]):
            row = logits[index]
            there = row > -np.inf
            alone = numbers(f(row[there], axis=-1))
            if per_class:
                nothing = 0.0 if kind == "softmax" else -np.inf
                demand(result[index][~there] == nothing, "a masked token", str(nothing), result[index])
                near(result[index][there], alone, "the unmasked tokens", rtol=roundings(row), atol=log_roundings(row))
            else:
                near(result[index], alone, "the row without its masked tokens", atol=log_roundings(row))

    @property_of(
        kind,
        "huge, tiny, alone",
        {
            "softmax": "softmax([h, h, -h]) = [1/2, 1/2, 0] for any large h, and softmax([z]) = [1]",
            "log_softmax": "log_softmax([h, h, -h]) = [-log 2, -log 2, -2h - log 2]; log_softmax([z]) = [0]",
            "logsumexp": "logsumexp([h, h, -h]) = h + log 2 for any large h, and logsumexp([z]) = z",
        }[kind],
        why="Logits are unbounded, and a formula that is right only for small ones fails on the day it matters.",
        hint="Subtract the row's maximum itself (not max(0, max), not the mean) before exp.",
        cases=only(huge_rows()),
    )
    def copes_with_huge_tiny_and_single_scores(f: Implementation, logits: Array) -> None:
        d = logits.astype(np.float64) - float(logits.max())
        expected = {"softmax": np.exp(d - lse(d)), "log_softmax": d - lse(d), "logsumexp": logits.max() + lse(d)}[kind]
        expected = expected.astype(logits.dtype)  # as the reader would write it
        near(f(logits, axis=-1), expected, f"{kind} of the row", rtol=8 * np.finfo(logits.dtype).eps, atol=1e-6)


for _name in ("softmax", "log_softmax", "logsumexp"):
    _of_a_row(_name)
