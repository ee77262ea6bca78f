"""The properties of those exercises whose functions are not in the battery.

`TASKS` has a list of properties for every kind, like the battery; `judged(kind, TASKS[kind], f)` returns verdicts. It
is one file because each property is short, and a section per exercise keeps them in order.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchlm import functional, gradcheck
from scratchlm.models import MLPLM
from scratchlm.properties.battery import Case, Implementation, Mismatch, Table, property_of
from scratchlm.properties.compare import Array, demand, log_roundings, lse, near, numbers
from scratchlm.properties.inputs import TEMPERATURES, also, masked_rows, only, rows

EPS = float(np.finfo(np.float64).eps)
TASKS: Table = {}
# Enters the check under it into TASKS, as property_of enters others into PROPERTIES.
task = functools.partial(property_of, table=TASKS)


# --- probs_at_temperature --------------------------------------------------------------------------------------------


@task(
    "probs_at_temperature",
    "a distribution",
    "0 <= p_k <= 1, and sum_k p_k = 1, at every T",
    why="exp(l / T) sums to 1 at T = 1 only.",
    hint="After dividing by T you must normalise again: divide by the sum of the very exps that you return.",
    cases=also(only(rows(bound=20)), temperature=TEMPERATURES),
)
def is_a_distribution(f: Implementation, logits: Array, temperature: float) -> None:
    p = numbers(f(functional.log_softmax(logits), temperature))
    demand((p >= 0) & (p <= 1), "a probability lies in [0, 1]", "numbers from 0 to 1", p)
    # Up to 5 divisions and 4 additions round, of numbers of at most 1.
    near(p.sum(axis=-1, dtype=np.float64), np.ones(p.shape[:-1]), "the sum of a row", atol=16 * _eps(logits))


@task(
    "probs_at_temperature",
    "as from the logits",
    "with l = log_softmax(z): the result is softmax(z / T)",
    why="This is the claim of the article, refuted: the shift by Z becomes a shift by Z / T, and cancels.",
    hint="Divide the log-probabilities by T, not the probabilities, and only once.",
    cases=also(only(rows(bound=20)), temperature=TEMPERATURES),
)
def is_as_from_the_logits(f: Implementation, logits: Array, temperature: float) -> None:
    expected = functional.softmax(logits.astype(np.float64) / temperature)
    # l is off by the roundings of a logarithm; the division by T enlarges them, and so does exp's own argument.
    rtol = 4 * log_roundings(logits) / temperature
    near(f(functional.log_softmax(logits), temperature), expected, "softmax(z / T)", rtol=rtol, atol=1e-30)


@task(
    "probs_at_temperature",
    "T = 1 changes nothing",
    "at T = 1 the result is exp(l)",
    why="At T = 1 you must get the model's own probabilities.",
    hint="At T = 1 the sum is already 1, so you must divide by 1.",
    cases=only(rows(bound=20)),
)
def changes_nothing_at_one(f: Implementation, logits: Array) -> None:
    log_p = functional.log_softmax(logits)
    near(f(log_p, 1.0), np.exp(log_p), "the result at T = 1", rtol=4 * log_roundings(logits), atol=1e-30)


@task(
    "probs_at_temperature",
    "one after the other",
    "T, and then S, is T S",
    why="The result is a distribution like any other, so you can apply a temperature to its logarithms again.",
    hint="The result at T must be a power 1 / T of the probabilities, up to one factor for the row.",
    cases=also(only(rows(bound=5)), temperature=TEMPERATURES, S=TEMPERATURES),
)
def combines_two_temperatures(f: Implementation, logits: Array, temperature: float, S: float) -> None:
    log_p = functional.log_softmax(logits.astype(np.float64))
    then = np.log(numbers(f(log_p, temperature)).astype(np.float64))
    # Logarithms grow to 12 * 8 * 8 = 768 at most, and are off by a few times 768 eps, or 1e-12.
    near(f(then, S), numbers(f(log_p, temperature * S)), "the result at T, then S", rtol=1e-10, atol=1e-30)


@task(
    "probs_at_temperature",
    "near absolute zero",
    "for T near 0 the likeliest tokens share all the probability, even if there are many",
    why="At T = 0.001, log(1/5) / T is -1609, and its exp is 0. Divided by a sum of zeros, that is nan.",
    hint="Log-probabilities cannot overflow, but a whole row can underflow: subtract the maximum here too.",
    cases=also(only(rows(bound=3, whole=True)), temperature=st.integers(8, 14).map(lambda n: 0.5**n)),
)
def gives_all_to_the_likeliest_near_zero(f: Implementation, logits: Array, temperature: float) -> None:
    likeliest = (logits == logits.max(axis=-1, keepdims=True)).astype(np.float64)
    expected = likeliest / likeliest.sum(axis=-1, keepdims=True)
    # The next score is 1 lower, so it has exp(-256) of it at most: nothing.
    near(f(functional.log_softmax(logits), temperature), expected, "the shares, given log_softmax(logits),", atol=1e-6)


@task(
    "probs_at_temperature",
    "masked stay masked",
    "l_k = -inf: p_k = 0 at every T, and the others as if k were not there",
    why="A forbidden token stays forbidden at every temperature.",
    hint="Do not replace -inf by a number, and do not multiply it by 0.",
    cases=also(only(masked_rows()), temperature=TEMPERATURES),
)
def keeps_masked_at_zero(f: Implementation, logits: Array, temperature: float) -> None:
    log_p = functional.log_softmax(logits)
    p = numbers(f(log_p, temperature))
    demand(p.shape == log_p.shape, "the shape", str(log_p.shape), str(p.shape))
    for index in np.ndindex(log_p.shape[:-1]):
        there = log_p[index] > -np.inf
        demand(p[index][~there] == 0, "a masked token", "0.0", p[index])
        alone = numbers(f(log_p[index][there], temperature))
        rtol = 4 * log_roundings(logits) / temperature
        near(p[index][there], alone, "the others", rtol=rtol, atol=1e-30)


def _eps(z: Array) -> float:
    return float(np.finfo(z.dtype).eps)


# --- recover_logits --------------------------------------------------------------------------------------------------


@st.composite
def _rows_and_levels(draw: st.DrawFn, square: bool = False) -> Case:
    """Draw scores, and a whole number Z for each row."""
    z = draw(rows(bound=20))
    if square:
        n = draw(st.integers(2, 4))
        z = draw(hnp.arrays(np.float64, (n, n), elements=st.integers(-5, 5)))
    return {"logits": z, "Z": draw(hnp.arrays(z.dtype, z.shape[:-1], elements=st.integers(-50, 50)))}


@task(
    "recover_logits",
    "there and back",
    "recover(log_softmax(z), logsumexp(z)) = z",
    why="Normalising throws away only one number per row.",
    hint="Add Z to every entry of its row. No exp is needed.",
    cases=only(rows()),
)
def goes_there_and_back(f: Implementation, logits: Array) -> None:
    back = f(functional.log_softmax(logits), functional.logsumexp(logits))
    near(back, logits, "the logits", atol=log_roundings(logits))


@task(
    "recover_logits",
    "every row has its own level",
    "recover(l, Z)[i] = recover(l[i], Z[i])",
    why="With as many rows as columns, l + Z adds the levels to the columns, and NumPy does not complain.",
    hint="Z needs another shape before it is added. See the second hint of this exercise.",
    cases=_rows_and_levels(square=True),
)
def gives_every_row_its_own_level(f: Implementation, logits: Array, Z: Array) -> None:
    log_p = functional.log_softmax(logits)
    together = numbers(f(log_p, Z))
    demand(together.shape == log_p.shape, "the shape", str(log_p.shape), str(together.shape))
    for i in range(len(Z)):
        # Two sums of numbers below 64, rounded once each.
        near(together[i], numbers(f(log_p[i], Z[i])), f"row {i} of all, and alone", atol=128 * EPS)


@task(
    "recover_logits",
    "at the level that was stored",
    "logsumexp(recover(l, Z)) = Z, for any Z",
    why="Z is the level of the scores: your result must have the level that you were given.",
    hint="Add Z once; do not subtract it.",
    cases=_rows_and_levels(),
)
def restores_the_level(f: Implementation, logits: Array, Z: Array) -> None:
    back = numbers(f(functional.log_softmax(logits), Z))
    demand(back.shape == logits.shape, "the shape", str(logits.shape), str(back.shape))
    # l and l + Z are rounded, at a size of 20 + log 5 + 50 or less.
    near(lse(back), Z, "logsumexp of the result", atol=8 * _eps(logits) * 80)


@task(
    "recover_logits",
    "masked stay masked",
    "l_k = -inf: z_k = -inf, and no other is",
    why="A mask is part of the logits and survives normalising.",
    hint="-inf + Z is -inf by itself; exp and log on the way are not needed.",
    cases=only(masked_rows()),
)
def keeps_masked_at_minus_infinity(f: Implementation, logits: Array) -> None:
    back = f(functional.log_softmax(logits), functional.logsumexp(logits))
    near(back, logits, "the logits", atol=log_roundings(logits))


# --- bigram_by_counts ------------------------------------------------------------------------------------------------


@st.composite
def _pairs(draw: st.DrawFn, least: int = 0) -> Case:
    """Draw pairs of tokens, and a vocabulary in which some tokens may never occur."""
    vocab_size, n = draw(st.integers(1, 5)), draw(st.integers(least, 12))
    ids = hnp.arrays(np.int64, n, elements=st.integers(0, vocab_size - 1))
    return {"previous": draw(ids), "following": draw(ids), "vocab_size": vocab_size}


def _counts(previous: Array, following: Array, vocab_size: int) -> Array:
    """Return how often each token followed each, by counting one by one."""
    count = np.zeros((vocab_size, vocab_size))
    for i, j in zip(previous, following, strict=True):
        count[i, j] += 1
    return count


def _table(f: Implementation, previous: Array, following: Array, vocab_size: int) -> Array:
    table = numbers(f(previous, following, vocab_size), "the table")
    demand(table.shape == (vocab_size, vocab_size), "the shape", str((vocab_size, vocab_size)), str(table.shape))
    return table


# The logarithm of a share, or log(count) - log(total), rounds three numbers below log 24 < 4, so it is off by 6 eps.
ATOL_LOG_SHARE = 16 * EPS


@task(
    "bigram_by_counts",
    "rows are distributions",
    "sum_j exp(table[i, j]) = 1, in every row i",
    why="Each row answers one question: what comes after token i.",
    hint="Divide each row by its own sum: sum along axis 1, with keepdims=True.",
    cases=_pairs(),
)
def has_distributions_as_rows(f: Implementation, previous: Array, following: Array, vocab_size: int) -> None:
    total = np.exp(_table(f, previous, following, vocab_size)).sum(axis=1)
    # Each of at most 5 probabilities is off by ATOL_LOG_SHARE of itself, and the sum rounds 4 times.
    near(total, np.ones(vocab_size), "the sum of a row", atol=2 * ATOL_LOG_SHARE)


@task(
    "bigram_by_counts",
    "the shares",
    "table[i, j] = log(count[i, j] / sum_k count[i, k]), where the pair came",
    why="The share is the guess with the lowest loss on the counted text.",
    hint="Does a pair that occurs twice count twice? Is the row the previous token and the column the following one?",
    cases=_pairs(least=1),
)
def gives_the_shares(f: Implementation, previous: Array, following: Array, vocab_size: int) -> None:
    table, count = _table(f, previous, following, vocab_size), _counts(previous, following, vocab_size)
    came = count > 0
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    near(table[came], np.log(share[came]), "the entries of the pairs that came", atol=ATOL_LOG_SHARE)


@task(
    "bigram_by_counts",
    "never seen",
    "count[i, j] = 0, but i was followed by others: table[i, j] = -inf",
    why="Its share is 0. Whether that is wise for another text is a different question (smoothing).",
    hint="No epsilon inside the logarithm, no 1 added to the counts. np.errstate(divide='ignore') hides the warning.",
    cases=_pairs(least=1),
)
def gives_minus_infinity_to_what_never_came(
    f: Implementation, previous: Array, following: Array, vocab_size: int
) -> None:
    table, count = _table(f, previous, following, vocab_size), _counts(previous, following, vocab_size)
    never = (count == 0) & (count.sum(axis=1, keepdims=True) > 0)
    demand(np.isneginf(table[never]), "the entries of the pairs that never came", "-inf", table)


@task(
    "bigram_by_counts",
    "nothing is known",
    "nothing followed token i: table[i, j] = log(1 / V)",
    why="0 / 0 is nan. If nothing is known, all tokens are equally likely.",
    hint="Find the rows whose sum is 0 before you divide.",
    cases=_pairs(),
)
def is_uniform_where_nothing_is_known(f: Implementation, previous: Array, following: Array, vocab_size: int) -> None:
    table, count = _table(f, previous, following, vocab_size), _counts(previous, following, vocab_size)
    empty = table[count.sum(axis=1) == 0]
    near(
        empty,
        np.full(empty.shape, -math.log(vocab_size)),
        "the rows of tokens that nothing followed",
        atol=ATOL_LOG_SHARE,
    )


@task(
    "bigram_by_counts",
    "the text twice",
    "counting the same pairs twice, in any order, gives the same table",
    why="Only shares matter, not the length of the text or the places of the pairs.",
    hint="A number added to the counts, or a fixed divisor, does not scale with the counts.",
    cases=_pairs(),
)
def is_the_same_for_the_text_twice(f: Implementation, previous: Array, following: Array, vocab_size: int) -> None:
    once = _table(f, previous, following, vocab_size)
    before, after = (np.concatenate([ids[::-1], ids]) for ids in (previous, following))
    near(
        _table(f, before, after, vocab_size), once, "the table of the text and its pairs again", atol=2 * ATOL_LOG_SHARE
    )


@task(
    "bigram_by_counts",
    "no table does better",
    "the loss on the pairs that were counted is at most that of any other table",
    why="This is why counting and gradient descent must arrive at the same place.",
    hint="If another table has a lower loss, your rows are not shares: see `the shares`.",
    cases=also(_pairs(least=1), seed=st.integers(0, 99)),
)
def does_better_than_any_other(
    f: Implementation, previous: Array, following: Array, vocab_size: int, seed: int
) -> None:
    table, count = _table(f, previous, following, vocab_size), _counts(previous, following, vocab_size)
    rival = np.log(count + np.random.default_rng(seed).exponential(size=count.shape))
    loss = functional.cross_entropy(table[previous], following)
    best = functional.cross_entropy(rival[previous], following)
    demand(loss <= best + 2 * ATOL_LOG_SHARE, "the loss", f"at most {best}, that of another table", str(loss))


# --- mlp_backward ----------------------------------------------------------------------------------------------------


PARAMS = ("embedding", "hidden_weight", "hidden_bias", "output_weight", "output_bias")


@st.composite
def _small_nets(draw: st.DrawFn) -> Case:
    """Draw a net with quarters as weights, contexts for it, and a gradient from above."""
    V, C, E, H, N = (draw(st.integers(1, 2)) for _ in range(5))
    quarters = st.integers(-8, 8).map(lambda n: n / 4)
    shapes = [(V, E), (C * E, H), (H,), (H, V), (V,)]
    net = {name: draw(hnp.arrays(np.float64, s, elements=quarters)) for name, s in zip(PARAMS, shapes, strict=True)}
    contexts = draw(hnp.arrays(np.int64, (N, C), elements=st.integers(0, V - 1)))
    return {**net, "contexts": contexts, "grad_logits": draw(hnp.arrays(np.float64, (N, V), elements=quarters))}


# No number on the way exceeds |grad_h| <= 2 * 2 * 2 = 8, |grad_x| <= 2 * 8 * 2 = 32, and a sum of 4 of those, 128; at
# most 20 roundings meet in an entry: 128 * 20 eps = 6e-13.
ATOL_NET = 1e-12


def _gradients(
    f: Implementation, params: Case, contexts: Array, grad_logits: Array, names: tuple[str, ...] = PARAMS
) -> dict[str, Array]:
    """Return the gradients of these names, if they are in a dict and have the right shapes."""
    result = f({name: value.copy() for name, value in params.items()}, contexts.copy(), grad_logits.copy())
    if not isinstance(result, dict) or not set(names) <= set(result) <= set(PARAMS):
        got = ", ".join(map(str, result)) if isinstance(result, dict) else f"{type(result).__name__}: {result!r:.80}"
        raise Mismatch("the names of the gradients", "a dict with " + ", ".join(names), got)
    grads = {name: numbers(result[name], f"the gradient of {name}") for name in names}
    for name, grad in grads.items():
        wanted = params[name].shape
        demand(grad.shape == wanted, f"the shape of the gradient of {name}", str(wanted), str(grad.shape))
    return grads


def _net(params: Case, contexts: Array) -> MLPLM:
    """Return the package's own network with these parameters."""
    (V, E), H = params["embedding"].shape, len(params["hidden_bias"])
    net = MLPLM(V, contexts.shape[1], E, H, dtype=np.float64)
    net.params = dict(params)
    return net


def _of_a_layer(name: str, identity: str, names: tuple[str, ...], why: str, hint: str) -> None:
    @task("mlp_backward", name, identity, why=why, hint=hint, cases=_small_nets())
    def is_right_for_a_layer(f: Implementation, contexts: Array, grad_logits: Array, **params: Array) -> None:
        grads, net = _gradients(f, params, contexts, grad_logits, names), _net(params, contexts)
        net.forward(contexts)
        expected = net.backward(grad_logits)
        for each in names:
            near(grads[each], expected[each], f"the gradient of {each}", atol=ATOL_NET)


@task(
    "mlp_backward",
    "every parameter in its shape",
    "the gradient of w has the shape of w",
    why="The optimiser subtracts it from w; a wrong shape would broadcast or stop the training.",
    hint="Return a dict with the five names. Biases are summed over the contexts of the batch: axis 0.",
    cases=_small_nets(),
)
def gives_every_gradient_the_right_shape(
    f: Implementation, contexts: Array, grad_logits: Array, **params: Array
) -> None:
    _gradients(f, params, contexts, grad_logits)


_of_a_layer(
    "the output layer",
    "the gradients of output_weight and output_bias",
    ("output_weight", "output_bias"),
    "It is the last step forward, so it is the first one back.",
    "Do not divide by N: if the loss is a mean, grad_logits already includes it.",
)
_of_a_layer(
    "the hidden layer",
    "the gradients of hidden_weight and hidden_bias",
    ("hidden_weight", "hidden_bias"),
    "Here the gradient passes through tanh, which lets little of it through where tanh is flat.",
    "The derivative of tanh(s) is 1 - tanh(s)^2. Use the h of the forward pass, after tanh, and not its argument.",
)
_of_a_layer(
    "the embedding",
    "d embedding[t] = the sum of the gradients at all places of token t",
    ("embedding",),
    "A row of the table is used many times, and every use contributes to its gradient.",
    "table[contexts] += ... keeps only the last of several uses of a row. See np.add.at.",
)


@task(
    "mlp_backward",
    "linear",
    "backward(2g) = 2 backward(g)",
    why="A derivative is a linear map of the gradient above it.",
    hint="grad_logits may only be multiplied and summed.",
    cases=_small_nets(),
)
def is_linear(f: Implementation, contexts: Array, grad_logits: Array, **params: Array) -> None:
    once, twice = (_gradients(f, params, contexts, times * grad_logits) for times in (1, 2))
    for name in PARAMS:
        near(twice[name], 2 * once[name], f"the gradient of {name} for 2g", atol=2 * ATOL_NET)


@task(
    "mlp_backward",
    "central differences",
    "grad = the change of sum(g forward(w)) under a nudge of w",
    why="Differences are an independent witness that knows no algebra.",
    hint="Go through forward from its last line to its first, and check the gradient of each line separately.",
    cases=_small_nets(),
)
def agrees_with_differences(f: Implementation, contexts: Array, grad_logits: Array, **params: Array) -> None:
    grads = _gradients(f, params, contexts, grad_logits)
    for name in PARAMS:
        numeric = gradcheck.numerical_gradient(_nudged(name, params, contexts, grad_logits), params[name])
        # The formula leaves h^4 / 30 times the fifth derivative. A nudge moves tanh's argument 2 * 2 times as much, and
        # tanh's own is 16 at most, so it is below 4^5 * 16 * 2^5, or 5e5; h is 0.002 at most, and h^4 / 30 is 5e-13.
        near(grads[name], numeric, f"the gradient of {name}", atol=1e-6)


def _nudged(name: str, params: Case, contexts: Array, grad_logits: Array) -> Callable[[Array], Any]:
    """Return the function of one parameter whose gradient is asked for."""
    return lambda w: (grad_logits * _net({**params, name: w}, contexts).forward(contexts)).sum()


# --- absorb, and result ----------------------------------------------------------------------------------------------


@st.composite
def _streams(draw: st.DrawFn, least: int = 0) -> Case:
    """Draw a row, and places to cut it: two cuts at one place leave an empty chunk between them."""
    row = draw(hnp.arrays(np.float64, st.integers(least, 8), elements=st.integers(-30, 30) | st.floats(-30, 30)))
    return {"row": row, "cuts": sorted(draw(st.lists(st.integers(0, len(row)), max_size=4)))}


def _absorbed(f: Implementation, state: tuple[float, float], chunk: Array) -> tuple[float, float]:
    """Return the state after one more chunk; a Mismatch if it is not two numbers."""
    result = f(*state, chunk.copy())
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise Mismatch("the new state", "two numbers, (new_max, new_sum)", f"{type(result).__name__}: {result!r:.80}")
    new_max, new_sum = numbers(result[0], "new_max"), numbers(result[1], "new_sum")
    demand(new_max.size == new_sum.size == 1, "the new state", "two numbers", f"{new_max!r:.80}, {new_sum!r:.80}")
    return float(new_max.reshape(())), float(new_sum.reshape(()))


def _streamed(f: Implementation, row: Array, cuts: list[int]) -> tuple[float, float]:
    """Return the state after the chunks of a row, one after the other."""
    state = (-math.inf, 0.0)
    for chunk in np.split(row, cuts):
        state = _absorbed(f, state, chunk)
    return state


def _level(state: tuple[float, float]) -> Any:
    """Return Z = max + log(sum)."""
    return np.float64(state[0] + np.log(np.float64(state[1])))


@task(
    "absorb",
    "the sum of the row",
    "max + log(sum) = logsumexp(row), however the row is cut",
    why="Two numbers are enough to remember a row of any length.",
    hint="When the maximum rises, the old sum is worth less: multiply it by exp(old max - new max).",
    cases=_streams(least=1),
)
def keeps_the_sum_of_the_row(f: Implementation, row: Array, cuts: list[int]) -> None:
    # Each exp is off by half the spread, in eps; so is each correction of the sum, and their shifts add up to the
    # spread at most. A spread of 60 and 8 terms make 100 eps of the sum, and of its logarithm.
    near(_level(_streamed(f, row, cuts)), lse(row), "max + log(sum)", atol=log_roundings(row) + 128 * EPS)


@task(
    "absorb",
    "what the state means",
    "new_max = max(row), and new_sum = sum_k exp(row_k - new_max)",
    why="So the sum lies between 1 and the number of scores, and can neither overflow nor vanish.",
    hint="Both numbers must be measured from the same level, the new maximum.",
    cases=_streams(least=1),
)
def keeps_max_and_sum(f: Implementation, row: Array, cuts: list[int]) -> None:
    new_max, new_sum = _streamed(f, row, cuts)
    near(np.float64(new_max), row.max(), "the maximum")
    near(np.float64(new_sum), np.exp(row - row.max()).sum(), "the sum", rtol=256 * EPS)


@task(
    "absorb",
    "any chunks, any order",
    "all at once, one by one, or backwards: the same Z",
    why="A sum does not depend on the order of its terms; if yours does, something was dropped on the way.",
    hint="The maximum may be in the first chunk or in the last. Are both cases right?",
    cases=_streams(least=1),
)
def takes_any_chunks_in_any_order(f: Implementation, row: Array, cuts: list[int]) -> None:
    atol = log_roundings(row) + 256 * EPS  # twice that of `the sum of the row`
    once = _level(_streamed(f, row, []))
    near(_level(_streamed(f, row, cuts)), once, "Z from chunks, and from the whole row at once", atol=atol)
    near(_level(_streamed(f, row[::-1], cuts)), once, "Z from the row backwards", atol=atol)
    near(_level(_streamed(f, row, list(range(1, len(row))))), once, "Z from one score at a time", atol=atol)


@task(
    "absorb",
    "an empty chunk",
    "absorb(max, sum, []) = (max, sum), at the start and later",
    why="A stream may be empty for a while.",
    hint="The maximum of nothing is chunk.max(initial=-np.inf). And at the start, -inf - (-inf) is nan.",
    cases=_streams(),
)
def takes_an_empty_chunk(f: Implementation, row: Array, cuts: list[int]) -> None:
    before = _absorbed(f, (-math.inf, 0.0), row) if row.size else (-math.inf, 0.0)
    after = _absorbed(f, before, np.zeros(0))
    near(np.array(after), np.array(before), "the state after an empty chunk", rtol=4 * EPS)


@task(
    "absorb",
    "masked scores",
    "-inf adds nothing, wherever it stands; a stream of only -inf gives (-inf, 0)",
    why="In many batches padding comes first, and one nan at the start ruins the whole stream.",
    hint="exp(-inf - (-inf)) is nan. If the new maximum is -inf, there is nothing to correct and nothing to add.",
    cases=also(_streams(), padding=st.integers(1, 3)),
)
def ignores_masked_scores(f: Implementation, row: Array, cuts: list[int], padding: int) -> None:
    masked = np.full(padding, -np.inf)
    empty = _absorbed(f, (-math.inf, 0.0), masked)
    near(np.array(empty), np.array([-math.inf, 0.0]), f"absorb(-inf, 0.0, {masked.tolist()})")
    without = _streamed(f, row, cuts)
    near(np.array(_streamed(f, np.concatenate([masked, row]), [padding, *(c + padding for c in cuts)])),
         np.array(without), "the state with masked scores first", rtol=4 * EPS)  # fmt: skip
    mixed = np.concatenate([masked, np.insert(row, cuts, -np.inf)])
    # As in `the sum of the row`, with scores of 30 at most.
    near(_level(_streamed(f, mixed, cuts)), lse(mixed), "Z with masked scores", atol=512 * EPS)


@task(
    "absorb",
    "huge scores",
    "Z(row + c) = Z(row) + c, even for c = 1000 or 1e300",
    why="The scores of a stream have no bound, and you cannot look ahead for the largest.",
    hint="Never take exp of a score, only of a score minus the new maximum.",
    cases=also(_streams(least=1), c=st.sampled_from([1e3, -1e3, 1e4, -1e4, 1e300, -1e300])),
)
def absorbs_huge_scores(f: Implementation, row: Array, cuts: list[int], c: float) -> None:
    both = np.concatenate([row, row + c])  # the level changes on the way, up or down
    cuts = [*cuts, len(row)]
    expected = max(float(lse(row)), float(lse(row + c)))  # exp(-900) of the larger part is nothing
    near(_level(_streamed(f, both, sorted(cuts))), expected, "Z", atol=log_roundings(both) + 128 * EPS)


@task(
    "result",
    "logsumexp of what came",
    "result(max, sum) = max + log(sum)",
    why="The sum was measured from the maximum, so its logarithm is how far Z lies above it.",
    hint="Add the maximum back, and use the natural logarithm.",
    cases=_streams(least=1).map(lambda case: {"row": case["row"]}),
)
def is_the_logsumexp_of_what_came(f: Implementation, row: Array) -> None:
    near(_of_state(f, row), lse(row), "Z", atol=log_roundings(row))


@task(
    "result",
    "nothing came",
    "result(-inf, 0) = -inf",
    why="An empty sum is 0, and its logarithm is -inf.",
    hint="-inf + log(0) is -inf. If you treat this case separately, return -inf.",
    cases=only(st.integers(0, 2).map(lambda n: np.full(n, -np.inf)), "row"),
)
def is_minus_infinity_if_nothing_came(f: Implementation, row: Array) -> None:
    near(_of_state(f, row), np.float64(-np.inf), "Z")


@task(
    "result",
    "huge scores",
    "result(max + c, sum) = result(max, sum) + c",
    why="The maximum is kept apart from the sum, so that you never take its exp.",
    hint="log(sum * exp(max)) overflows. The logarithm of a product is a sum of logarithms.",
    cases=also(_streams(least=1).map(lambda case: {"row": case["row"]}), c=st.sampled_from([1e4, -1e4, 1e300, -1e300])),
)
def takes_huge_maxima(f: Implementation, row: Array, c: float) -> None:
    near(_of_state(f, row + c), lse(row + c), "Z", atol=log_roundings(row + c))


def _of_state(f: Implementation, row: Array) -> Array:
    """Return f of the state that a row leaves; `row` is what the reader sees."""
    top = float(row.max(initial=-np.inf))
    value = numbers(f(top, float(np.exp(row - top).sum()) if top > -np.inf else 0.0))
    demand(value.size == 1, "Z", "one number", value)
    return value.reshape(())
