# %% [markdown]
# # Is log-softmax the same as the logarithm of softmax?
#
# On paper it is: l = log(softmax(z)) = z - Z. Here Z = log(sum of exp(z)), the log-sum-exp of the row, is the one
# number that makes the probabilities add up to 1. The l are called log-probs. Training needs them, because it minimises
# the loss: if the token that came next had probability p, the loss is -log p. A model that was sure and right pays 0.
# The unit of the loss is the nat; log 2 nats are one bit. On a computer there are four ways to compute l, each right
# where the one above it breaks (scratchlm/ladder.py). A judge that computes with 60 digits (scratchlm/oracle.py)
# measures the error of each. Errors are counted in ulps; an ulp is the step from one float to the next. An error of 0.5
# ulps is perfect: no rounding can do better.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, PINK, Page, heading, headline, in_ulps, plt, say, table

import math

import numpy as np

from scratchlm import functional, ladder, oracle

page = Page("02_logsumexp", rows=(40, 4))

# %% [markdown]
# ## Four ways to the same number

# %%
# The token with the largest score m is the favourite; d = z - m is how far each score lies below it. The *odds* against
# a token are the probability of all the others, divided by its own. The favourite's own exp(d) is exp(0) = 1, so the
# sum of all exp(d) is 1 + odds. The last way leaves the 1 out: log1p(odds) is log(1 + odds), computed without ever
# adding the 1.

LADDER = {
    "log(exp(z) / sum)": ladder.naive,
    "log(softmax(z))": ladder.shifted,
    "d - log(sum)": ladder.on_paper,
    "d - log1p(odds)": ladder.log1p_odds,
}


def by(way, rows):
    """Return the log-probs of many rows; a way takes one at a time."""
    with np.errstate(all="ignore"):  # we want to see where it breaks
        return np.array([way(row) for row in rows])


row = np.float32([100, 80, -10])
d = row - row.max()
exact = oracle.log_softmax(row)
with np.errstate(over="ignore"):
    e = np.exp(row)
breaks = [f"exp({row[0]:g}) is {e[0]}", f"exp({d[2]:g}) is {np.exp(d[2]):g}"]
breaks += [f"1 + exp({d[1]:g}) is {1 + np.exp(d[1]):g}", "nothing"]
heading("One row of float32, with a sure token, an unlikely one and a hopeless one: z = " + str(row))
table(
    ["", *(f"l[{i}]" for i in range(3)), "what breaks"],
    [
        [f"{way.__name__:10}  {name}", *(f"{x:.8g}" for x in by(way, [row])[0]), why]
        for (name, way), why in zip(LADDER.items(), breaks, strict=True)
    ]
    + [["exact", *(f"{float(x):.8g}" for x in exact), ""]],
)

# %% [markdown]
# The first way overflows: inf / inf is nan, not a number. The second shifts the row first, as page 1 does, and loses
# both ends. exp(-110) is smaller than any float32, so p is 0 and log 0 is -inf: the hopeless token has become
# impossible. And p of the sure token rounds to 1, so its loss is 0. The third takes the logarithm of the numerator on
# paper, log(exp(d)) = d, as SciPy and PyTorch do (page 12). It saves the hopeless token, but not the sure one: in
# 1 + exp(-20) the 1 swallows the odds. The fourth gets all three right.

# %% [markdown]
# ## How common is that? Rows of 27 scores, more and more spread out
#
# The 27 tokens are the letters a to z and the end of a name, as in the models of pages 6 and 7, whose rows are 5 to 18
# nats wide. The spread is the largest distance between the lowest and the highest score of a row.

# %%
WAYS = {name: way for name, way in LADDER.items() if way is not ladder.naive}  # page 1 shows where that one breaks
DTYPES = [np.float16, np.float32, np.float64]
SPREADS = [1, 10, 30, 100, 300, 1000]


def worst_ulps(computed, exact_rows, keep):
    """Return the largest error among the entries to keep; an error of half the number itself, or more, is inf."""
    error = max(
        oracle.ulp_error(x[k], np.array(e)[k]).max(initial=0)
        for x, e, k in zip(computed, exact_rows, keep, strict=True)
    )
    return float(error) if error < 2 ** np.finfo(computed.dtype).nmant else math.inf


def measure(dtype, spread):
    rng = np.random.default_rng(spread)
    z = rng.uniform(-spread / 2, spread / 2, size=(page.rows, 27)).astype(dtype)
    exact_rows = [oracle.log_softmax(row) for row in z]
    # Numbers below the smallest normal float are stored with fewer digits, however they are computed: not counted here.
    tiny = float(np.finfo(dtype).tiny)
    keep = np.abs(np.array(exact_rows, dtype=float)) >= tiny
    answers = {name: by(way, z) for name, way in WAYS.items()}
    lost = {name: float(np.isneginf(answer).mean()) for name, answer in answers.items()}
    ulps = {name: worst_ulps(answer, exact_rows, keep & np.isfinite(answer)) for name, answer in answers.items()}
    return lost, ulps, worst_ulps(functional.log_softmax(z), exact_rows, keep)


lost, ulps, package_ulps = {}, {}, {}
for dtype in DTYPES:
    for spread in SPREADS:
        key = dtype.__name__, spread
        lost[key], ulps[key], package_ulps[key] = measure(dtype, spread)

heading(f"{page.rows} rows of 27 scores: the worst error in ulps, and the share of log-probs that became -inf")
table(
    ["dtype, spread", *WAYS, "first way: -inf"],
    [
        [
            f"{name}, {spread}",
            *map(in_ulps, ulps[name, spread].values()),
            f"{share:.0%}" if (share := lost[name, spread]["log(softmax(z))"]) else "none",
        ]
        for name, spread in lost
    ],
)
others = max(max(list(shares.values())[1:]) for shares in lost.values())
say(f"""The -inf are counted separately, in the last column; the other two ways give
{f"{others:.0%}" if others else "none"}. "All lost" means an error of at least half the number itself, so no digit is
right. Usually the result was 0. (Among 27 scores, another one lies close below the best, so it takes a wider row than
[0, -20] to lose all digits: only the lead counts.) functional.log_softmax is the last way, for arrays of any shape; its
error is at most {in_ulps(max(package_ulps.values()))} ulps.""")

# %% [markdown]
# Both happen in practice. A loss of exactly 0 for a confident row is pytorch/pytorch#113708 (open). SciPy's logsumexp
# had the same problem (scipy/scipy#18295 and #21597), and log1p fixed it there.

# %% The picture: one row [s, 0], as the first token gets surer and surer

SURENESS = np.arange(0.5, 125, 0.5, dtype=np.float32)
pairs = np.stack([SURENESS, np.zeros_like(SURENESS)], axis=-1)
exact_pairs = np.array([oracle.log_softmax(pair) for pair in pairs])
error = {name: oracle.ulp_error(by(way, pairs), exact_pairs) for name, way in WAYS.items()}
ALL_LOST = 2.0**23  # ulps: half of a float32 number itself, or more


def first_lost(name, token):
    """Return the smallest s at which no digit is right, or None."""
    bad = error[name][:, token] >= ALL_LOST
    return float(SURENESS[bad][0]) if bad.any() else None


lost_from = {name: [first_lost(name, token) for token in (0, 1)] for name in WAYS}
normal = -exact_pairs[:, 0].astype(float) >= np.finfo(np.float32).tiny

figure, axes = plt.subplots(1, 2, figsize=(11, 6), sharey=True)
LOOKS = {"log(softmax(z))": (ORANGE, "--", 2.5), "d - log(sum)": (PINK, "-", 6), "d - log1p(odds)": (BLUE, "-", 2)}
for token, (panel, title) in enumerate(
    [(axes[0], "the sure token: l is about -exp(-s)"), (axes[1], "the other: l is about -s")]
):
    for name, (color, style, width) in LOOKS.items():
        shown = normal if token == 0 else np.ones_like(normal)
        y = np.clip(error[name][:, token], 0.05, 2 * ALL_LOST)  # 0 has no place on a log scale
        label = name + (", ours" if "log1p" in name else "")
        panel.semilogy(
            SURENESS[shown], y[shown], color=color, linestyle=style, linewidth=width, zorder=8 - width, label=label
        )
    panel.axhspan(ALL_LOST, 6e7, color=GREY, alpha=0.2, linewidth=0)
    panel.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    panel.set_title(title, fontsize=14)
    panel.set_xlabel("s: the lead of the first of [s, 0] (nats)")
    panel.set_ylim(0.04, 6e7)
    panel.set_xlim(0, 128)
axes[1].text(2, 1.1e7, "no digit is right", va="bottom", color=GREY)
axes[1].text(55, 0.06, "no error at all", ha="center", va="bottom", color=GREY)
axes[0].text(90, 0.8, "from here on\ntoo small for\na full float32", va="bottom", color=GREY)
axes[0].text(126, 0.4, "0.5: perfect", ha="right", va="top", color=GREY)
axes[0].set_ylabel("error (ulps of float32, log scale)")
headline(figure, "Only log1p keeps both ends of a confident row")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
page.save(figure)

heading("The row [s, 0] in float32: from which s upwards is no digit right?")
table(
    ["way", "the sure token", "the other"],
    [[name, *("never" if s is None else f"s = {s:g}" for s in both)] for name, both in lost_from.items()],
)

page.keep(
    lost={f"{name}, {spread}": shares for (name, spread), shares in lost.items()},
    ulps={f"{name}, {spread}": errors for (name, spread), errors in ulps.items()},
    lost_from=lost_from,
)

# %% [markdown]
# **Remember:** log-softmax is stable if it never goes through the probabilities: subtract, sum the odds, log1p.
#
# **Your turn:** what loss does d - log(sum) give in float16 when the right token leads by s = 8? Compute it by hand
# first: the float16 numbers just above 1 are 1.001 and 1.002, and exp(-8) is 0.0003.

# %%
page.close()
