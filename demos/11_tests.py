# %% [markdown]
# # How good is a test? How many wrong functions pass it, and how many right ones does it reject?
#
# Everybody tests a softmax before trusting it: do its rows sum to 1, does it agree with a matrix from the lecture
# notes? A test is a measuring instrument, and like any other it can be measured. We take the mistakes that people make,
# put each through every test that people write, and count which ones earn full marks. Then we ask what a property adds
# to an example.

# %%
from scratchlm.pages.plumbing import BLUE, ORANGE, Page, heading, plt, say, table

import functools
import warnings

import numpy as np

from scratchlm import functional
from scratchlm.gradcheck import numerical_gradient
from scratchlm.properties import PROPERTIES, judged
from scratchlm.properties.calling import find_way
from scratchlm.properties.mistakes import MISTAKES

page = Page("11_tests", cases=(10, 2), mistakes=(100, 6))
warnings.simplefilter("ignore")  # wrong functions overflow: the numbers must show it, not a warning
np.seterr(all="ignore")

# %% [markdown]
# ## Wrong functions and right ones
#
# scratchlm keeps a table of wrong implementations (scratchlm/properties/mistakes.py). Each is a slip that somebody has
# made, from a forgotten axis to an epsilon inside the logarithm. Any lecturer would accept the right ones below, each
# written in its own style: by the textbook, in pairs, without an axis, in float32.


# %%
def textbook(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def textbook_log(z, axis=-1):
    d = z - z.max(axis=axis, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


def in_pairs(z):
    return z - z.max(-1, keepdims=True) - np.logaddexp.reduce(z - z.max(-1, keepdims=True), axis=-1, keepdims=True)


def textbook_loss(z, y):
    return -textbook_log(z)[np.arange(len(y)), y].mean()


def textbook_gradient(z, y):
    return (textbook(z) - np.eye(z.shape[1])[y]) / len(y)


def in_float32(function):
    return lambda z, *more: function(np.float32(z), *more)


RIGHT = {
    "softmax": [functional.softmax, textbook, lambda z: np.exp(in_pairs(z)), in_float32(textbook)],
    "log_softmax": [functional.log_softmax, textbook_log, in_pairs, in_float32(textbook_log)],
    "cross_entropy": [
        functional.cross_entropy,
        textbook_loss,
        lambda z, y: -in_pairs(z)[range(len(y)), y].mean(),
        in_float32(textbook_loss),
    ],
    "cross_entropy_backward": [
        functional.cross_entropy_backward,
        textbook_gradient,
        lambda z, y: (np.exp(in_pairs(z)) - np.eye(z.shape[1])[y]) / len(y),
        lambda z, y: textbook_gradient(np.float32(z), y).astype(np.float32),
    ],
}


def wrong_ones(kind):
    """Return the mistakes of a kind, without those in the choice of an axis: bad manners, but right for rows."""
    found = [mistake.function for mistake in MISTAKES[kind] if "axis" not in mistake.breaks]
    return found[:: max(1, len(found) // page.mistakes)]


WRONG = {kind: wrong_ones(kind) for kind in RIGHT}

heading("What is put to the test")
table(
    ["", "wrong ones", "right ones"],
    [[kind, str(len(WRONG[kind])), str(len(RIGHT[kind]))] for kind in RIGHT],
)

# %% [markdown]
# ## The tests that people write
#
# Each is written as in a course, and answers one question: does the function pass? A function that raises an exception
# does not. Each row of a batch comes with a target; central differences are for gradients only.

# %%
rng = np.random.default_rng(0)
MATRIX, TARGETS = rng.normal(size=(3, 5)), np.array([1, 0, 4])
EXAMPLES = [
    (np.array([[1.0, 2.0, 3.0]]), np.array([2])),
    (np.zeros((2, 4)), np.array([0, 3])),
    (np.array([[-1.0, 0.0, 1.0], [3.0, 2.0, 1.0]]), np.array([0, 0])),
    (np.array([[1000.0, 1000.0]]), np.array([1])),
]


def of(kind, function, z, y):
    return np.asarray(function(z, y) if kind.startswith("cross_entropy") else function(z))


def shape_and_sums(kind, function):
    """Check for the right shape, finite numbers, and the sum that a row must have."""
    result = of(kind, function, MATRIX, TARGETS)
    if kind == "cross_entropy":
        return result.shape == () and bool(np.isfinite(result)) and result >= 0
    row_sums = np.exp(result).sum(-1) if kind == "log_softmax" else result.sum(-1)
    right_sum = 0 if kind == "cross_entropy_backward" else 1
    return result.shape == MATRIX.shape and bool(np.isfinite(result).all()) and np.allclose(row_sums, right_sum)


def agrees(kind, function, z, y):
    return np.allclose(of(kind, function, z, y), of(kind, getattr(functional, kind), z, y), rtol=1e-7, atol=1e-9)


def one_matrix(kind, function):
    """Compare with the matrix in the lecture notes to 7 digits, as np.testing.assert_allclose does."""
    return agrees(kind, function, MATRIX, TARGETS)


def a_few_examples(kind, function):
    """Compare with four examples, one of them with large scores, to 7 digits."""
    return all(agrees(kind, function, z, y) for z, y in EXAMPLES)


def central_differences(kind, function):
    """Nudge every logit of one matrix, and compare."""
    numeric = numerical_gradient(lambda z: functional.cross_entropy(z, TARGETS), MATRIX)
    return np.allclose(function(MATRIX, TARGETS), numeric, atol=1e-6)


ONE_PROPERTY = {
    "softmax": "a distribution",
    "log_softmax": "normalised",
    "cross_entropy": "uniform",
    "cross_entropy_backward": "signs",
}


def holds(kind, function, properties):
    way = find_way(kind, function)
    return all(judged(kind, [p], way, budget=page.cases, shrink=False)[0].passed for p in properties)


def random_sums(kind, function):
    """Draw many inputs, and check one property of each, as `shape and sums` does: that softmax sums to 1, say."""
    return holds(kind, function, [p for p in PROPERTIES[kind] if p.name == ONE_PROPERTY[kind]])


def identities(kind, function):
    """Draw many inputs, and check every identity."""
    others = [p for p in reversed(PROPERTIES[kind]) if p.tier == "identities" and p.name != ONE_PROPERTY[kind]]
    return passes("random inputs, one property", kind, function) and holds(kind, function, others)


TESTS = {
    "shape and sums": shape_and_sums,
    "one reference matrix": one_matrix,
    "four examples": a_few_examples,
    "central differences": central_differences,
    "random inputs, one property": random_sums,
    "random inputs, every identity": identities,
}


@functools.cache
def passes(test, kind, function):
    try:
        return bool(TESTS[test](kind, function))
    except Exception:
        return False


asked = {test: [kind for kind in RIGHT if test != "central differences" or "backward" in kind] for test in TESTS}
missed = {
    test: {kind: [f.__name__ for f in WRONG[kind] if passes(test, kind, f)] for kind in asked[test]} for test in TESTS
}
refused = {test: sum(not passes(test, kind, f) for kind in asked[test] for f in RIGHT[kind]) for test in TESTS}
tried = {test: sum(len(WRONG[kind]) for kind in asked[test]) for test in TESTS}
asked_right = {test: sum(len(RIGHT[kind]) for kind in asked[test]) for test in TESTS}
let_through = {test: sum(map(len, missed[test].values())) for test in TESTS}

heading("The league table: wrong ones with full marks, and right ones rejected")
table(
    ["test", *RIGHT, "in total", "right ones rejected"],
    [
        [
            test,
            *(f"{len(missed[test][kind])} of {len(WRONG[kind])}" if kind in missed[test] else "" for kind in RIGHT),
            f"{let_through[test]} of {tried[test]}",
            f"{refused[test]} of {asked_right[test]}",
        ]
        for test in TESTS
    ],
)

# %% [markdown]
# ## Who gets through
#
# Some pass every test but the last. Their names come from the table of mistakes. The file 11_tests.json, beside the
# picture, lists which ones pass which test.

# %%
hardy = {
    kind: [name for name in missed[asked_of[0]][kind] if all(name in missed[test][kind] for test in asked_of)]
    for kind in RIGHT
    if (asked_of := [test for test in TESTS if kind in asked[test] and test != "random inputs, every identity"])
}
heading("Wrong ones that pass every test but the last")
for kind, names in hardy.items():
    say(f"{kind}, {len(names)} of {len(WRONG[kind])}: {', '.join(names)}.")


def guess(z, axis=-1):
    return np.full_like(z, -np.log(z.shape[axis]))


def who_lets_pass(kind, function):
    return [test for test in TESTS if kind in asked[test] and passes(test, kind, function)]


by_name = {mistake.name: mistake.function for found in MISTAKES.values() for mistake in found}
guess_passes = who_lets_pass("log_softmax", guess)
global_max_passes = who_lets_pass("softmax", by_name["softmax: global_max"])
famous_passes = who_lets_pass("cross_entropy", by_name["cross_entropy: log_of_the_probability"])
say(f"""A log_softmax that ignores the scores and answers -log V for every class passes: {", ".join(guess_passes)}. A
softmax that subtracts the maximum of the whole batch, so that a row far below another becomes 0 / 0, passes:
{", ".join(global_max_passes)}. And the most famous mistake of all, -log(softmax(z)[y]), whose loss is inf once the
probability underflows, passes: {", ".join(famous_passes) or "none"}.""")

# %% [markdown]
# ## What a property adds to an example
#
# An example says: this input, that output. Somebody must know the output, so examples are few, and tame. A property
# says what is true of every input, and nobody needs to know the answer. So a machine can search for inputs, and it
# finds the row far below another. But a property is worth only what it says: "sums to 1" is true of many mistakes,
# however many inputs are drawn. It takes both: identities that together leave only one function, and inputs that nobody
# would have thought of.

# %%
examples, weak, strong = (f"{let_through[t]} of {tried[t]}" for t in ("four examples", *list(TESTS)[-2:]))
say(f"""Four examples let {examples} wrong ones through. Random inputs with one property, {page.cases} of them and a few
chosen to be large, let {weak} through. The same with every identity: {strong}.""")

# %% The picture

figure, axes = plt.subplots()
order = sorted(TESTS, key=lambda test: let_through[test] / tried[test])
share = [100 * let_through[test] / tried[test] for test in order]
colors = [BLUE if test.startswith("random") else ORANGE for test in order]
bars = axes.barh(order, share, color=colors, edgecolor="black")
for test, bar, percent in zip(order, bars, share, strict=True):
    label = f"{let_through[test]} of {tried[test]}"
    if refused[test]:
        label += f"\nrejects {refused[test]} of {asked_right[test]} right ones"
    axes.text(percent + 1, bar.get_y() + bar.get_height() / 2, label, va="center", fontsize=12)
axes.set_xlim(0, 140)  # leaves room for the label of the longest bar
axes.set_xticks(range(0, 101, 20))
axes.set_xlabel("wrong functions that pass (%)")
axes.set_title("A test is worth what it catches")
page.save(figure)

page.keep(let_through=let_through, tried=tried, refused=refused, missed=missed, guess_passes=guess_passes)

# %% [markdown]
# **Remember:** an example tests one input, a property every input that a machine can think of. A property is worth the
# wrong functions that it catches, so write those down first.
#
# **Your turn:** five of softmax's identities together let none of its wrong ones through. Which five? Begin with a
# wrong one that only one identity catches. (PROPERTIES["softmax"] lists them; `examine` takes names=[...].)

# %%
page.close()
