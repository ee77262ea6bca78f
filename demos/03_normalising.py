# %% [markdown]
# # What does normalising throw away, and what can bring it back?
#
# A model outputs logits z. Log-softmax normalises them: l = z - Z, with Z = log(sum of exp(z)), so that the
# probabilities exp(l) add up to 1. People say that this loses the scale of the logits. But which scale: the *level* of
# a row (how high all its scores lie), or the *distances* between them? We measure both, and then what exp throws away
# on top of that.

# %%
from scratchlm.pages.plumbing import BLUE, GREEN, GREY, ORANGE, PINK, Page, heading, headline, in_ulps, plt, say, table

import numpy as np

from scratchlm.functional import log_softmax, log_softmax_backward, logsumexp, softmax
from scratchlm.oracle import ulp_error

page = Page("03_normalising", rows=(200, 20))
rng = np.random.default_rng(0)
DTYPES = [np.float16, np.float32, np.float64]

# %% [markdown]
# ## Many rows of logits, one row of log-probs

# %%
z = np.array([2.0, 1.0, 0.0, -3.0])
heading("Four rows of logits: the first, and the first plus a number c")
table(
    ["c", "logits z + c", "Z", "log-probs z + c - Z", "probabilities"],
    [
        [
            f"{c:g}",
            " ".join(f"{x:6.1f}" for x in z + c),
            f"{logsumexp(z + c):8.3f}",
            " ".join(f"{x:.3f}" for x in log_softmax(z + c)),
            " ".join(f"{x:.3f}" for x in softmax(z + c)),
        ]
        for c in (0, 5, -100, 1000)
    ],
)

# %% [markdown]
# Only Z moved, and by exactly c. All four rows are the same model: logits may be any real numbers.

# %% [markdown]
# ## Is it exactly the same? Let us measure
#
# To test the formula and not the addition, we draw logits that are whole multiples of 1/64 and add whole numbers. Then
# z + c is exact, even in float16. An ulp is the step from one float to the next.

# %%
OFFSETS = [-16, -5, 1, 16]


def ulps_between(actual, expected):
    """Return the largest difference between two arrays of floats, in ulps."""
    return float(ulp_error(actual, expected.astype(float)).max())


shift_ulps, scale_ulps = {}, {}
for dtype in DTYPES:
    scores = (rng.integers(-256, 256, size=(page.rows, 27)) / 64).astype(dtype)
    assert all(np.array_equal(scores + dtype(c) - dtype(c), scores) for c in OFFSETS)  # nothing was rounded away
    probs = softmax(scores)
    shift_ulps[dtype.__name__] = max(ulps_between(softmax(scores + dtype(c)), probs) for c in OFFSETS)
    scale_ulps[dtype.__name__] = ulps_between(softmax(scores * dtype(1.01)), probs)

heading(f"Against softmax(z), {page.rows} rows of 27 scores, c in {OFFSETS}: the largest difference in ulps")
table(
    ["dtype", "softmax(z + c)", "softmax(1.01 z)"],
    [[name, in_ulps(shift_ulps[name]), in_ulps(scale_ulps[name])] for name in shift_ulps],
)

# %% [markdown]
# A few ulps are only rounding errors: on paper the two are equal. A factor is different: distances that are only one
# per cent larger already make another model.

# %% [markdown]
# ## How much is lost? One number per row, and no more
#
# Nudge the logits in every possible direction and see which nudge leaves l unchanged. The matrix of all slopes gives
# the answer: slopes[i, j] says how much l_i moves when z_j does, and the rank is the number of directions in which l
# does move. (Page 5 explains the `_backward` functions that compute slopes.)

# %%
V = 27
scores = rng.normal(0, 3, size=V)
slopes = log_softmax_backward(np.eye(V), np.tile(log_softmax(scores), (V, 1)))  # row i: how l_i moves with every z_j
directions_lost = V - int(np.linalg.matrix_rank(slopes))
all_alike = float(np.abs(slopes @ np.ones(V)).max())

heading(f"{V} logits have {V} directions to move in")
print(f"directions that log-probs cannot see:              {directions_lost}")
print(f"it moves every logit by the same amount; moving along it by 1 changes l by {all_alike:.0e}")

# %% [markdown]
# ## With Z stored, the logits come back
#
# z = l + Z. Each of the three numbers is rounded once, so z is off by at most half an ulp of l, of Z and of z. We
# measure in ulps of the largest of the three, so rounding explains an error of 1.5. Z and l are themselves computed,
# and may add one ulp each. A small z beside a large Z keeps fewer of its digits: that is the price of the round trip.


# %%
def in_ulps_of(largest, dtype):
    return 2.0 ** (np.floor(np.log2(largest.astype(float))) - np.finfo(dtype).nmant)


def round_trip(dtype):
    z = rng.normal(0, 5, size=(page.rows, V)).astype(dtype)
    log_probs, total = log_softmax(z), logsumexp(z, keepdims=True)
    off = np.abs((log_probs + total).astype(float) - z.astype(float))
    return float((off / in_ulps_of(np.maximum(np.maximum(abs(log_probs), abs(z)), abs(total)), dtype)).max())


def distances(dtype):
    """Return how far l_i - l_0 is from z_i - z_0, in ulps of the row's largest l."""
    z = rng.normal(0, 5, size=(page.rows, V)).astype(dtype)
    wide, log_probs = z.astype(float), log_softmax(z).astype(float)
    off = np.abs((log_probs - log_probs[:, :1]) - (wide - wide[:, :1]))
    return float((off / in_ulps_of(np.abs(log_probs).max(axis=-1, keepdims=True), dtype)).max())


back_ulps = {t.__name__: round_trip(t) for t in DTYPES}
distance_ulps = {t.__name__: distances(t) for t in DTYPES}
heading("What survives: the largest error, in ulps of the largest number involved")
table(
    ["dtype", "z from l + Z", "differences l_i - l_0 against z_i - z_0"],
    [[name, in_ulps(back_ulps[name]), in_ulps(distance_ulps[name])] for name in back_ulps],
)

# %% [markdown]
# ## What exp throws away on top
#
# l has room for a token that is e^800 times less likely than another. p = exp(l) does not: below e^-17 in float16,
# e^-104 in float32 and e^-745 in float64 it is 0, and log 0 is -inf. We spread the scores of a row further and further
# apart, and count the tokens whose probability is gone, and those whose log-prob is gone.

# %%
SPREADS = [10, 20, 30, 50, 100, 200, 300, 500, 1000]


def share_lost(dtype, spread):
    z = np.random.default_rng(spread).uniform(-spread / 2, spread / 2, (page.rows, V)).astype(dtype)
    return float((softmax(z) == 0).mean()), float(np.isneginf(log_softmax(z)).mean())


lost_by = {t.__name__: {str(spread): share_lost(t, spread) for spread in SPREADS} for t in DTYPES}
lost_by_exp = {name: {spread: of_p for spread, (of_p, _) in shares.items()} for name, shares in lost_by.items()}
lost_as_log = max(of_l for shares in lost_by.values() for _, of_l in shares.values())
heading(f"The share of {V} tokens whose probability is 0, by the spread of their logits (nats)")
table(
    ["dtype", *map(str, SPREADS)],
    [[name, *(f"{share:.0%}" for share in shares.values())] for name, shares in lost_by_exp.items()],
)
say(f"The share of tokens whose log-prob is gone, in any of these rows: {lost_as_log:.0%}.")

# %% [markdown]
# ## So which scale is lost?

# %%
kept = f"kept, to {max(distance_ulps.values()):.1f} ulps"
heading("The answer")
table(
    ["", "in log-probs l", "in probabilities p = exp(l)"],
    [
        ["the level of the row, Z", *[f"lost: {directions_lost} number per row"] * 2],
        ["the distances between scores", kept, "kept until p underflows"],
        ["whatever depends on distances", "kept: temperature (page 4), ...", "gone with the tokens that are 0"],
        ["with Z stored beside it", "z = l + Z", "z = log p + Z until p underflows"],
    ],
)

# %% Kept for the verdicts of page 10
page.keep(
    shift_ulps=shift_ulps,
    scale_ulps=scale_ulps,
    directions_lost=directions_lost,
    back_ulps=back_ulps,
    distance_ulps=distance_ulps,
    lost_by_exp=lost_by_exp,
    lost_as_log=lost_as_log,
)

# %% The first picture: many rows, one distribution

figure, axes = plt.subplots(1, 3, figsize=(11, 5.2))
for c, color, marker in ((0, BLUE, "o"), (5, ORANGE, "s"), (-4, GREEN, "^")):
    place = {0: 0, 5: 0.13, -4: -0.13}[c] + np.arange(4)
    Z = logsumexp(z + c)
    for panel, heights in zip(axes, (z + c, log_softmax(z + c), softmax(z + c)), strict=True):
        panel.plot(
            place,
            heights,
            marker,
            color=color,
            markersize=10,
            label=f"z {c:+d}: Z = {Z:.2f}" if c else f"z: Z = {Z:.2f}",
        )
    axes[0].axhline(Z, color=color, linewidth=1.5, linestyle="--")
    axes[0].text(3.3, Z + 0.15, "Z", color=color, ha="right")
for panel, title, unit in zip(
    axes,
    ("logits", "log-probs = logits - Z", "probabilities"),
    ("score (nats)", "log-prob (nats)", "probability"),
    strict=True,
):
    panel.set_title(title, fontsize=14)
    panel.set_ylabel(unit)
    panel.set_xticks(range(4), ["a", "b", "c", "d"])
    panel.set_xlabel("token (the rows stand side by side)", fontsize=12)
axes[2].set_ylim(-0.03, 1)
headline(figure, "Three rows of logits, one model: only the level Z is lost")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
page.save(figure, "level")

# %% The second picture: what exp loses

figure, axes = plt.subplots()
for (name, shares), color, marker in zip(lost_by_exp.items(), (ORANGE, PINK, BLUE), "o^s", strict=True):
    axes.plot(SPREADS, [100 * share for share in shares.values()], marker + "-", color=color, markersize=9, label=name)
axes.axhline(100 * lost_as_log, color=GREY, linestyle=":", label="as log-probs")
axes.set_xscale("log")
axes.set_xticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
axes.minorticks_off()
axes.set_ylim(-3, 103)
axes.set_xlabel("spread of the logits of a row (nats, log scale)")
axes.set_ylabel("tokens whose probability is 0 (%)")
axes.set_title("exp throws away what log-probs keep:\nthe less likely tokens of a row become impossible")
axes.legend(loc="upper left")
page.save(figure, "underflow")

# %% [markdown]
# **Remember:** normalising loses one number per row, the level Z. Distances between scores survive, until exp
# underflows.
#
# **Your turn:** here are two rows of logits, [3, 1] and [30, 10]. Are they the same model? And [3, 1] and [13, 11]?
# Answer without a computer, and name the number that you would need to tell the second pair apart.

# %%
page.close()
