"""The points of an answer: half for ordinary scores, and half for the lesson of the exercise and the rest.

In: the properties that test a function. Out: the points for each, and which failures share a cause and so cost only one
deduction. All functions of an exercise are worth the same, except those in WORTH. The points of a function are for

    2 tenths    one ordinary row: right for three scores between -3 and 3
    3 tenths    ordinary rows: right for two rows of such scores
    3 tenths    the lesson of the exercise: the properties named in LESSONS
    1 tenth     the other identities
    1 tenth     manners

The last three count once ordinary rows are right; then one ordinary row is no longer required.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional
from scratchlm.properties import Property
from scratchlm.properties.battery import Case, Mismatch
from scratchlm.properties.compare import Array, near
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.way import Way, attempt, copies

ROW, ROWS = "one ordinary row", "ordinary rows"
SHARES = {ROW: 2.0, ROWS: 3.0, "the lesson": 3.0, "identities": 1.0, "manners": 1.0}
SHARES |= {"own identities": 7.0, "own manners": 3.0}  # of a teacher's own exercise
SHARES["identities and manners"] = SHARES["identities"] + SHARES["manners"]
LESSONS = {
    "softmax": ("blind to a shift", "rows keep to themselves", "huge, tiny, alone"),
    "logsumexp": ("a shift comes through", "rows keep to themselves", "huge, tiny, alone"),
    "log_softmax": ("any level", "huge, tiny, alone"),
    "nll_loss": ("masked tokens", "mean and sum"),
    "cross_entropy": ("a hopeless target",),
    "cross_entropy_backward": ("blind to a shift", "a hopeless target"),
    "softmax_backward": ("the Jacobian", "sums to zero"),
    "log_softmax_backward": ("the Jacobian", "sums to zero"),
    "top_k": ("k of them",),
    "top_p": ("the smallest nucleus",),
    "probs_at_temperature": ("near absolute zero",),
    "recover_logits": ("every row has its own level", "at the level that was stored"),
    "bigram_by_counts": ("the shares", "nothing is known"),
    "absorb": ("huge scores", "what the state means"),
    "result": ("logsumexp of what came",),
}
# If an answer has parts, each part has its own points, and none waits for another.
PARTS = {
    "mlp_backward": {
        "the output layer": 3.0, "the hidden layer": 3.0, "the embedding": 2.0,
        "every parameter in its shape": 1.0, "linear": 0.5, "central differences": 0.5,
    },
}  # fmt: skip
WORTH = {"absorb": 7.0, "result": 3.0}  # points, if the functions of an exercise are not worth the same
# A fault of form breaks both properties of a pair, and a warning only repeats another property's finding.
PAIRS = (
    ("any number of axes", "one axis, slice by slice"),
    ("both precisions", "shape and dtype"),
    ("input untouched", "any memory layout"),
)
TOLD_AGAIN = "no warnings"
FORM = {TOLD_AGAIN, "every reduction", "more than there are", *(name for pair in PAIRS for name in pair)}
# Six digits: those of float32, minus what sums and exps of a few numbers up to 4 lose. The last digits do not matter
# here.
SIX_DIGITS = {"rtol": 1e-5, "atol": 1e-6}


def shares_of(kind: str, properties: Sequence[Property], total: float) -> list[float]:
    """Return the points for each property of a function, given its total.

    >>> from scratchlm.properties import PROPERTIES
    >>> points = shares_of("softmax", PROPERTIES["softmax"], 10)
    >>> round(sum(points), 12)
    10.0
    """
    parts = PARTS.get(kind)
    groups = ["a part" if parts else _group(kind, p) for p in properties]
    if kind == "own":
        groups = [f"own {group}" for group in groups]
    if kind != "own" and "manners" not in groups:  # no manners are required, so the identities get their share
        groups = [f"{g} and manners" if g == "identities" else g for g in groups]
    shares = [parts[p.name] if parts else SHARES[g] / groups.count(g) for p, g in zip(properties, groups, strict=True)]
    return [total * share / sum(shares) for share in shares]


def _group(kind: str, p: Property) -> str:
    """Return the share that a property belongs to."""
    if p.name in LESSONS.get(kind, ()):
        return "the lesson"
    return p.name if p.name in (ROW, ROWS) else "manners" if p.tier == "manners" else "identities"


def waits_for(kind: str, names: Sequence[str]) -> str:
    """Return the property that the others wait for: a useless function would pass some of them, manners for example."""
    if kind == "own":  # the first one says what the function is for
        return names[0]
    return ROWS if ROWS in names else "the output layer" if kind in PARTS else ""


def waits(kind: str, name: str) -> bool:
    """Return whether a property counts only once that property holds."""
    return name not in (ROW, ROWS) and PARTS.get(kind, {}).get(name, 1.0) <= 1.0


def one_cause(failing: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return, for each failure that is not the first of its cause, the first one.

    `failing` holds the names of properties, and what was raised there, "" if nothing was.

    >>> one_cause([("a", "IndexError: 5"), ("b", "IndexError: 5"), ("c", "")])
    {'b': 'a'}
    """
    cause: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, raised in failing:
        if raised and first.setdefault(raised, name) != name:
            cause[name] = first[raised]
    names = [name for name, _ in failing]
    for one, other in PAIRS:
        if one in names and other in names and other not in cause and one not in cause:
            cause[other] = one
    wrong = [name for name in names if name not in FORM]
    if TOLD_AGAIN in names and wrong and TOLD_AGAIN not in cause:
        cause[TOLD_AGAIN] = wrong[0]
    return cause


# --- ordinary scores -------------------------------------------------------------------------------------------------


def ordinary(seed: int) -> Array:
    """Return two rows of three scores between -3 and 3: multiples of a half, all different."""
    halves = np.arange(-6, 7) / 2
    return np.random.default_rng(seed).permutation(halves)[:6].reshape(2, 3)


def _asked(kind: str, scores: Array) -> Case:
    """Return the arguments for one row of scores, or for two rows with different targets."""
    case = KINDS[kind].arguments(scores)
    if "targets" in case:
        case["targets"] = np.array([2, 1] if scores.ndim > 1 else 1)
    return case


def _temperature_of(log_probs: Array, temperature: float) -> Array:
    return np.asarray(functional.softmax(log_probs / temperature))


def _level_of(log_probs: Array, Z: Array) -> Array:
    return np.asarray(log_probs + np.expand_dims(Z, -1))


def _shares_of_pairs(previous: Array, following: Array, vocab_size: int) -> Array:
    count = np.zeros((vocab_size, vocab_size))
    np.add.at(count, (previous, following), 1)
    return np.asarray(np.log(count / count.sum(axis=1, keepdims=True)))


def _pairs(seed: int, times: int) -> Case:
    """Return pairs of three tokens: a few single pairs in which every token comes first, and so many more."""
    chance = np.random.default_rng(seed)
    once = [(i, j) for i in range(3) for j in chance.permutation(3)[: 1 + (i + seed) % 2]]
    previous, following = np.array(once + [once[i] for i in chance.integers(0, len(once), times)]).T
    return {"previous": previous, "following": following, "vocab_size": 3}


def _levels(z: Array) -> Case:
    return {"log_probs": functional.log_softmax(z), "Z": np.asarray(functional.logsumexp(z))}


def _streamed(absorb: "Answer") -> "Answer":
    """Return the logsumexp of chunks, with a function that absorbs them one by one."""

    def level(*chunks: Array) -> Any:
        state = (-np.inf, 0.0)
        for chunk in chunks:
            new = absorb(*state, chunk.copy())
            if not isinstance(new, tuple | list) or len(new) != 2:
                raise Mismatch("the new state", "two numbers, (new_max, new_sum)", f"{type(new).__name__}: {new!r:.80}")
            state = (float(new[0]), float(new[1]))
        return np.float64(state[0] + np.log(state[1]))

    return level


Answer = Callable[..., Any]
# For functions that the battery does not know: our own, and its arguments for one row and for two.
OWN: dict[str, tuple[Answer, Callable[[int], Case], Callable[[int], Case]]] = {
    "probs_at_temperature": (
        _temperature_of,
        lambda seed: {"log_probs": functional.log_softmax(ordinary(seed)[0]), "temperature": 2.0},
        lambda seed: {"log_probs": functional.log_softmax(ordinary(seed)), "temperature": 0.5},
    ),
    "recover_logits": (_level_of, lambda seed: _levels(ordinary(seed)[0]), lambda seed: _levels(ordinary(seed))),
    "bigram_by_counts": (_shares_of_pairs, lambda seed: _pairs(seed, 0), lambda seed: _pairs(seed, 5)),
    "absorb": (
        lambda *chunks: functional.logsumexp(np.concatenate(chunks)),
        lambda seed: {"chunk": ordinary(seed)[0]},
        lambda seed: dict(zip(("first", "second"), ordinary(seed), strict=True)),
    ),
    "result": (
        lambda running_max, running_sum: running_max + float(np.log(running_sum)),
        lambda seed: {"running_max": 0.0, "running_sum": 1.0 + seed % 4},
        lambda seed: {"running_max": float(ordinary(seed)[0, 0]), "running_sum": 1.5},
    ),
}


@functools.cache
def ordinary_properties(kind: str) -> list[Property]:
    """Return the first properties of a function: one ordinary row, and ordinary rows. Some kinds have none."""
    if kind in OWN:
        ours, one, all_ = OWN[kind]
    elif kind in KINDS:
        ours = KINDS[kind].ours
        one, all_ = lambda seed: _asked(kind, ordinary(seed)[0]), lambda seed: _asked(kind, ordinary(seed))
    else:
        return []

    def check(f: Answer, **case: Any) -> None:
        options = KINDS[kind].options if kind in KINDS else {}
        asked = _streamed(f) if kind == "absorb" else f
        if isinstance(f, Way) and 2 not in f.depths:  # it takes rows one by one; or takes several, and is wrong
            several = attempt(lambda: f.plain(*copies(case), **options))
            asked = f if isinstance(several, BaseException) else lambda *_, **__: several
        seen = np.exp if kind == "bigram_by_counts" else np.asarray  # -1e9 in place of -inf does not matter here
        near(seen(asked(*case.values(), **options)), seen(ours(*case.values())), "the result", **SIX_DIGITS)

    few, more = ("a few pairs", "more of them") if kind == "bigram_by_counts" else ("three numbers", "two such rows")
    asked_for = {ROW: (few, one), ROWS: (more, all_)}
    why = "Before a function is right everywhere, it is right for ordinary numbers."
    hint = "Work out the example by hand, or print what each line makes of it, and compare."
    seeds = st.integers(0, 999)
    return [
        Property(name, f"right to six digits for {told}", why, hint, seeds.map(cases), check)
        for name, (told, cases) in asked_for.items()
    ]
