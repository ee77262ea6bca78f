# %% [markdown]
# # Is the temperature lost when a model outputs log-probs instead of logits?
#
# To write text, a model draws the next token at random, with these probabilities. Often the scores are first divided by
# a temperature T: softmax(z / T). Below 1, likely tokens become likelier; above 1, all tokens become more alike. People
# say that with log-probs l = log_softmax(z) this is no longer possible: the temperature is frozen at 1. Let us try it,
# and then look at the two things that really go wrong.

# %%
from scratchlm.pages.plumbing import BLUE, GREEN, GREY, ORANGE, SKY, Page, heading, in_ulps, plt, say, table

import math

import numpy as np

from scratchlm.functional import log_softmax, softmax
from scratchlm.oracle import ulp_error

page = Page("04_temperature", rows=(200, 20))
rng = np.random.default_rng(0)

# %% [markdown]
# ## What temperature does

# %%
z = np.array([2.0, 1.0, 0.0, -1.0])
log_probs = log_softmax(z)
heading("Logits " + str(z) + ", log-probs " + str(log_probs.round(3)))
table(
    ["T", "softmax(z / T)", "softmax(l / T)"],
    [
        [f"{T:g}", *("  ".join(f"{p:.4f}" for p in softmax(scores / T)) for scores in (z, log_probs))]
        for T in (0.5, 1, 2, 10)
    ],
)

# %% [markdown]
# They are the same. On paper, l / T = (z - Z) / T = z / T - Z / T, and softmax does not see a number that is subtracted
# from all scores of a row.

# %% [markdown]
# ## The same to the last digit? From very cold to very hot
#
# On the way, scores are rounded: z / T, l, and l / T. exp turns each rounding error into a factor. (Let S be the
# largest |s| / T. Half a unit in the last place of a score becomes up to S ulps in a probability, and as many in the
# sum that divides it. That is 2 S for z / T, 6 S for l / T, since l may be a whole ulp off, and a few more for exp and
# the division. So rounding explains 8 + 8 S ulps. `of_bound` is the share of that bound that we saw; page 10 uses it.)

# %%
V = 27
TEMPERATURES = np.geomspace(0.05, 20, 25)
DTYPES = [np.float32, np.float64]


def compare(dtype):
    """Return the largest differences between softmax(z / T) and softmax(l / T), over all rows and temperatures."""
    z = rng.normal(0, 3, size=(page.rows, V)).astype(dtype)
    log_probs = log_softmax(z)
    ulps, of_bound, difference, moved = [], [], [], []
    for T in TEMPERATURES.astype(dtype):
        from_z, from_l = softmax(z / T), softmax(log_probs / T)
        normal = from_z > np.finfo(dtype).tiny
        apart = np.where(normal, ulp_error(from_l, from_z.astype(float)), 0)
        farthest = np.maximum(np.abs(z), np.abs(log_probs)).max(axis=-1, keepdims=True) / T
        ulps.append(apart.max())
        of_bound.append((apart / (8 + 8 * farthest)).max())
        difference.append(np.abs(from_l - from_z).max())
        moved.append(np.abs(from_l - softmax(log_probs)).max())
    names = "ulps", "of_bound", "difference", "moved"
    return {name: float(np.max(x)) for name, x in zip(names, (ulps, of_bound, difference, moved), strict=True)}


agreement = {dtype.__name__: compare(dtype) for dtype in DTYPES}
heading(
    f"softmax(l / T) against softmax(z / T), T from 0.05 to 20, {page.rows} rows of {V} scores: the largest difference"
)
table(
    ["largest difference", "in probability", "in ulps", "effect of T, for comparison"],
    [[name, f"{a['difference']:.0e}", in_ulps(a["ulps"]), f"{a['moved']:.2f}"] for name, a in agreement.items()],
)
say(f"""So not to the last digit: at T = 0.05, a rounding error grows 20 times before exp turns it into a factor. But
the probabilities agree to within {agreement["float64"]["difference"]:.0e}, and rounding explains the rest. The
temperature is not frozen.""")

# %% [markdown]
# Users who wanted logits in order to set a temperature have been told that log-probs work as well
# (ml-explore/mlx-examples#1292), or to take the logarithm of their probabilities (soda-inria/tabicl#25). But a log-prob
# does not say whether a temperature has already been applied to it; standardcompletions/rfcs#11 and ollama/ollama#16196
# ask for exactly that.

# %% [markdown]
# ## And exp(l)? It gives the probabilities, as it should

# %%
z = rng.normal(0, 3, size=(page.rows, V))
exp_difference = float(np.abs(np.exp(log_softmax(z)) - softmax(z)).max())
say(f"exp(l) equals softmax(z) to within {exp_difference:.0e} (float64). What you can do with it is another question.")

# %% [markdown]
# ## The first thing that goes wrong: probabilities in place of logits
#
# A probability lies between 0 and 1. If p is fed to softmax as if it were a row of logits, the largest score is at most
# 1 and all others are at least 0. So the top probability cannot exceed e / (e + V - 1), however sure the model was.

# %%
ceiling = math.e / (math.e + V - 1)
SPREADS = np.geomspace(0.1, 100, page.rows)  # from unsure rows to sure ones
rows = rng.normal(0, 1, (page.rows, V)) * SPREADS[:, None]
top_from_logits = softmax(rows).max(axis=-1)
top_from_probs = softmax(softmax(rows)).max(axis=-1)
reached = float(top_from_probs.max())

heading(f"Probabilities fed to softmax as if they were logits, {V} tokens: the top probability")
shown = np.linspace(0, page.rows - 1, 6).astype(int)
table(
    ["standard deviation of the logits", "from logits", "from probabilities"],
    [[f"{SPREADS[i]:.1f}", f"{top_from_logits[i]:.4f}", f"{top_from_probs[i]:.4f}"] for i in shown],
)
say(f"""The highest of {page.rows} rows is {reached:.6f}. The ceiling, e / (e + {V - 1}), is {ceiling:.6f}, and a blind
guess is 1 / {V} = {1 / V:.6f}. Hardly anything is left of what the model knew.""")

# %% [markdown]
# ## The second: the logarithm of probabilities that underflowed
#
# log p is l, unless p is too small for its dtype. Then p is 0, log p is -inf, and no temperature brings the token back:
# -inf / T is -inf. But sampling at a high temperature, T = 10, needs exactly these unlikely tokens.

# %%
HOT = 10.0
unlikely = np.linspace(0, -200, V)  # logits that fall in even steps; exact in float64


def after_underflow(dtype):
    """Return softmax(log p / HOT), with p computed in this dtype."""
    with np.errstate(divide="ignore"):
        return softmax(np.log(softmax(unlikely.astype(dtype)).astype(np.float64)) / HOT)


right = softmax(unlikely / HOT)
from_log_p = {t.__name__: after_underflow(t) for t in (np.float16, *DTYPES)}
tokens_lost = {name: int((p == 0).sum()) for name, p in from_log_p.items()}
mass_lost = {name: float(right[p == 0].sum()) for name, p in from_log_p.items()}

heading(f"{V} logits from 0 down to -200, T = {HOT:g}: tokens lost by using log p, by the dtype of p")
table(
    ["dtype of p", "tokens lost", "their true probability at T = 10"],
    [
        [name, f"{lost} of {V}" if lost else "none", f"{mass_lost[name]:.1e}" if lost else ""]
        for name, lost in tokens_lost.items()
    ],
)

# %% [markdown]
# ## Does a higher temperature always mean more doubt?
#
# The entropy of a distribution, -sum of p log p, measures its doubt in nats: 0 for certainty, log V for a blind guess.
# Its slope dH / d log T is the variance of z / T under p (differentiate and compare), and a variance is never negative.
# So the entropy must never fall.


# %%
def entropy(scores):
    return -(softmax(scores) * log_softmax(scores)).sum(axis=-1)


z = rng.normal(0, 3, size=(page.rows, V))
finer = np.geomspace(0.05, 20, 200)
entropies = np.stack([entropy(z / T) for T in finer])
steps = np.diff(entropies, axis=0)
falls = int((steps < -1e-14 * math.log(V)).sum())  # 1e-14: some 50 roundings in a sum of 27
heading(f"Entropy at {len(finer)} temperatures, {page.rows} rows")
print(f"steps up in temperature: {steps.size:,}; the entropy fell in {falls} of them")
print(f"on average {entropies[0].mean():.3f} nats at T = 0.05, and {entropies[-1].mean():.3f} at T = 20")
print(f"a blind guess: log {V} = {math.log(V):.3f} nats")

# %% Kept for the verdicts of page 10
page.keep(
    agreement=agreement,
    ceiling=ceiling,
    reached=reached,
    exp_difference=exp_difference,
    tokens_lost=tokens_lost,
    mass_lost=mass_lost,
    falls=falls,
    temperature_steps=steps.size,
    coldest=float(entropies[0].mean()),
    hottest=float(entropies[-1].mean()),
)

# %% The picture: one row, four ways to feed it

row = unlikely / 10
curve_T = np.geomspace(0.05, 20, 120)
with np.errstate(divide="ignore"):
    feeds = {
        "logits z": (row, BLUE, "-", 5),
        "log-probs l": (log_softmax(row), SKY, "--", 2.5),
        "log p, p in float16": (np.log(softmax(row.astype(np.float16)).astype(float)), GREEN, "-.", 2.5),
        "p as if logits": (softmax(row), ORANGE, ":", 3.5),
    }


def entropy_of(p):
    return -(p[p > 0] * np.log(p[p > 0])).sum()


figure, axes = plt.subplots()
for name, (scores, color, style, width) in feeds.items():
    curve = [entropy_of(softmax(scores / T)) for T in curve_T]
    axes.semilogx(curve_T, curve, color=color, linestyle=style, linewidth=width, label=name)
axes.axhline(math.log(V), color=GREY, linewidth=1, linestyle=":")
axes.text(0.05, math.log(V) + 0.03, f"blind guess: log {V} = {math.log(V):.2f}", va="bottom", color=GREY)
axes.set_xticks([0.05, 0.1, 0.5, 1, 5, 10, 20], ["0.05", "0.1", "0.5", "1", "5", "10", "20"])
axes.minorticks_off()
axes.set_ylim(0, 3.75)
axes.set_xlabel("temperature T (log scale)")
axes.set_ylabel("doubt: entropy of softmax(. / T) (nats)")
axes.set_title("Temperature works on log-probs as on logits;\nonly probabilities break it")
axes.legend(loc="lower right")
page.save(figure)

# %% [markdown]
# **Remember:** softmax(log_softmax(z) / T) = softmax(z / T). Temperature needs only the distances between scores, and
# they survive.
#
# **Your turn:** you are given only p, in float64, and no entry is 0. Compute softmax(z / 2) from p in one line, without
# log or exp. (What is sqrt(p), once you make it add up to 1?)

# %%
page.close()
