# %% [markdown]
# # Is the temperature lost when a model hands out log-probs instead of logits?
#
# To write text, a model draws the next token by its probabilities. Before that, one often divides the scores by a
# temperature T: softmax(z / T). Below 1 the likely becomes likelier, above 1 all become more alike. It is said that who
# holds log-probs l = log_softmax(z) can no longer do this: the temperature is frozen at 1. Let us try, and then do the
# two things that really go wrong.

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
# The same. On paper: l / T = (z - Z) / T = z / T - Z / T, and softmax does not see a number that is subtracted from all
# scores of a row.

# %% [markdown]
# ## The same to the last digit? Measure, from very cold to very hot
#
# On the way scores are rounded: z / T, l, and l / T. exp makes a factor of what a rounding moved. (With S the largest
# |s| / T, half a unit in the last place of a score becomes up to S ulps in a probability, and as many in the sum that
# it is divided by. That is 2 S for z / T, 6 S for l / T, as l may be a whole ulp off, and a few for exp and the
# division. So rounding explains 8 + 8 S; `of_bound` is the share of it that was seen, and page 10 asks for it.)

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
    ["largest difference", "in probability", "in ulps", "moved by T, to compare"],
    [[name, f"{a['difference']:.0e}", in_ulps(a["ulps"]), f"{a['moved']:.2f}"] for name, a in agreement.items()],
)
say(f"""Not to the last digit, then: at T = 0.05 a rounding is made 20 times larger before exp makes a factor of it.
But to {agreement["float64"]["difference"]:.0e} in probability, and no farther apart than rounding explains. Not
frozen.""")

# %% [markdown]
# A user who wanted logits for a temperature was told that log-probs serve as well: ml-explore/mlx-examples#1292. One
# who held probabilities was told to take their logarithm: soda-inria/tabicl#25. What a log-prob does not tell is
# whether a temperature went into it already; that is asked in standardcompletions/rfcs#11 and ollama/ollama#16196.

# %% [markdown]
# ## And exp(l)? Those are the probabilities, as they should be

# %%
z = rng.normal(0, 3, size=(page.rows, V))
exp_difference = float(np.abs(np.exp(log_softmax(z)) - softmax(z)).max())
say(f"exp(l) is softmax(z), to {exp_difference:.0e} (float64). What can be done with it is another question.")

# %% [markdown]
# ## The first thing that goes wrong: probabilities in place of logits
#
# A probability lies between 0 and 1. If p is fed to softmax as if it were a row of logits, the largest score is 1 and
# all others are at least 0. So the top probability cannot pass e / (e + V - 1), however sure the model was.

# %%
ceiling = math.e / (math.e + V - 1)
SPREADS = np.geomspace(0.1, 100, page.rows)  # from rows in doubt to rows that are sure
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
say(f"""Highest of {page.rows} rows: {reached:.6f}. The ceiling, e / (e + {V - 1}), is {ceiling:.6f}, and a blind guess
1 / {V} = {1 / V:.6f}. Hardly anything that the model knew is left.""")

# %% [markdown]
# ## The second: the logarithm of probabilities that underflowed
#
# log p is l, if p is not too small for its dtype. If it is, p is 0 and log p is -inf, and no temperature brings it
# back: -inf / T is -inf. Hot sampling, T = 10, wants just those unlikely tokens.

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

heading(f"{V} logits from 0 down to -200, T = {HOT:g}: tokens lost when log p is used, p having been stored as")
table(
    ["dtype of p", "tokens lost", "the probability they should have at T = 10"],
    [
        [name, f"{lost} of {V}" if lost else "none", f"{mass_lost[name]:.1e}" if lost else ""]
        for name, lost in tokens_lost.items()
    ],
)

# %% [markdown]
# ## Does a higher temperature always mean more doubt?
#
# The entropy of a distribution, -sum of p log p, is the doubt in it, in nats: 0 for certainty, log V for a blind guess.
# Its slope is dH / d log T = the variance of z / T under p (differentiate, and compare), and a variance is never
# negative. So it must never fall.


# %%
def entropy(scores):
    return -(softmax(scores) * log_softmax(scores)).sum(axis=-1)


z = rng.normal(0, 3, size=(page.rows, V))
finer = np.geomspace(0.05, 20, 200)
entropies = np.stack([entropy(z / T) for T in finer])
steps = np.diff(entropies, axis=0)
falls = int((steps < -1e-14 * math.log(V)).sum())  # 1e-14: some 50 roundings in a sum of 27
heading(f"Entropy at {len(finer)} temperatures, {page.rows} rows")
print(f"steps up in temperature: {steps.size:,}; of them the entropy fell in {falls}")
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
axes.set_title("Temperature works from log-probs as from logits;\nonly probabilities spoil it")
axes.legend(loc="lower right")
page.save(figure)

# %% [markdown]
# **Remember:** softmax(log_softmax(z) / T) = softmax(z / T). Temperature needs the distances between scores; they are
# kept.
#
# **Your turn:** you are given only p, in float64, and none of it is 0. Get softmax(z / 2) from p in one line, without
# log and without exp. (What is sqrt(p), once it is made to add up to 1?)

# %%
page.close()
