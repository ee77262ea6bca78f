# %% [markdown]
# # At which score does softmax break, and what saves it?
#
# A language model reads the beginning of a text and gives a score to every token (here: every letter) that could come
# next. The score is called a logit. It is a real number, and the higher it is, the likelier the token. Softmax turns a
# row of scores z into probabilities: exp(z) of each, divided by the sum of them all. But exp grows fast, and a
# computer's numbers end. The dtypes float16, float32 and float64 have 3, 7 and 16 digits, and reach 65,504, 3.4e38 and
# 1.8e308. A number that is too large becomes inf: that is overflow. A number that is too small becomes 0: that is
# underflow. We look for the scores at which the textbook formula (scratchlm/naive.py) breaks in each dtype. Then we try
# the careful formula (scratchlm/functional.py), which first subtracts a number from all scores of a row that are too
# large for exp. On all these pages log is the natural logarithm, and the unit of scores and logarithms is the nat.

# %%
from scratchlm.pages.plumbing import BLUE, ORANGE, Page, heading, plt, table

import numpy as np

from scratchlm import functional, naive

page = Page("01_overflow")
DTYPES = [np.float16, np.float32, np.float64]

# %% [markdown]
# ## Bisection: halve the interval until its two ends are neighbouring floats
#
# `works` is true at `good` and false at `bad`. The last float at which it is true lies in between. We find it in about
# as many steps as a float has bits, without knowing anything about exp.


# %%
def last_that_works(works, good, bad, dtype):
    good, bad = dtype(good), dtype(bad)
    while True:
        middle = dtype(good / 2 + bad / 2)
        if middle in (good, bad):
            return good
        good, bad = (middle, bad) if works(middle) else (good, middle)


def exp_is_finite(x):
    with np.errstate(over="ignore"):
        return np.isfinite(np.exp(x))


def exp_is_not_zero(x):
    with np.errstate(under="ignore"):
        return np.exp(x) > 0


overflow = {t.__name__: float(last_that_works(exp_is_finite, 0, 2000, t)) for t in DTYPES}
underflow = {t.__name__: float(last_that_works(exp_is_not_zero, 0, -2000, t)) for t in DTYPES}

heading("exp runs out of numbers at both ends")
table(
    ["dtype", "largest x with exp(x) < inf", "log of the largest float", "smallest x with exp(x) > 0"],
    [
        [name, f"{overflow[name]:.4f}", f"{np.log(float(np.finfo(name).max)):.4f}", f"{underflow[name]:.4f}"]
        for name in overflow
    ],
)

# %% [markdown]
# ## One row, lifted up and down
#
# The scores [s, s - 1, s - 2] mean the same for every s, because softmax cannot see a number that is added to all of
# them. So the answer is always [0.665, 0.245, 0.090]. The wider the band of s in which a formula returns it, the better
# the formula.

# %%
EXPECTED = np.array([0.66524096, 0.24472847, 0.09003057])


def band(softmax, dtype):
    def says_so(s):
        probs = softmax(np.array([s, s - 1, s - 2], dtype=dtype))
        return bool(np.allclose(probs, EXPECTED, atol=0.05))

    limit = 2.0 ** (np.finfo(dtype).nmant + 1)  # beyond it (nmant: bits after the binary point) the floats are 2 apart
    return [float(end if says_so(dtype(end)) else last_that_works(says_so, 0, end, dtype)) for end in (-limit, limit)]


naive_band = {t.__name__: band(naive.softmax, t) for t in DTYPES}
our_band = {t.__name__: band(functional.softmax, t) for t in DTYPES}

heading("The scores [s, s-1, s-2]: for which s is the answer right to 0.05?")
table(
    ["dtype", "exp(z) / sum exp(z)", "shifted before exp"],
    [
        [name, "{:.1f} to {:.1f}".format(*naive_band[name]), "{:.4g} to {:.4g}".format(*our_band[name])]
        for name in naive_band
    ],
)

# %% [markdown]
# The first column ends a little before exp does, because the sum overflows before its largest term. The second ends
# where the dtype does: beyond it the floats are 2 apart, and s - 1 is not one of them.

# %% [markdown]
# ## The rescue: subtract, then exponentiate
#
# Subtract the same number from all scores of the row. That divides every exp by the same factor, and their sum too, so
# the answer stays the same. But no exp overflows. (Textbooks subtract the largest score; page 12 explains why we
# subtract less.)

# %%
z = np.float32([1000, 999, 998])
heading("float32, scores " + str(z))
with np.errstate(over="ignore"):
    print("naive  exp(z)          ", np.exp(z))
print("naive  softmax(z)      ", naive.softmax(z))
print("shift  exp(z - 1000)   ", np.exp(z - 1000))
print("shift  softmax(z)      ", functional.softmax(z))
print("naive  log softmax(z)  ", naive.log_softmax(z))
print("shift  log_softmax(z)  ", functional.log_softmax(z))

# %% [markdown]
# ## Does the logarithm save it, or the shift?
#
# People often say that log-softmax does not overflow. We put the largest score of each dtype into a row, and see which
# of four functions return finite numbers: with or without the logarithm, with or without the shift.

# %%
CANDIDATES = {
    "softmax, naive": naive.softmax,
    "log_softmax, naive": naive.log_softmax,
    "softmax, shifted": functional.softmax,
    "log_softmax, shifted": functional.log_softmax,
}


def survives(function, dtype):
    largest = np.finfo(dtype).max
    return bool(np.isfinite(function(np.array([largest, 0], dtype))).all())


survivors = {who: [t.__name__ for t in DTYPES if survives(f, t)] for who, f in CANDIDATES.items()}

heading("The row [largest float, 0]: whose results are finite?")
table(["function", "finite in"], [[who, ", ".join(names) or "none"] for who, names in survivors.items()])

# %% [markdown]
# The shift saves it, with or without the logarithm.

# %% Kept for the verdicts of page 10
page.keep(overflow=overflow, underflow=underflow, naive_band=naive_band, our_band=our_band, survivors=survivors)

# %% The picture

figure, axes = plt.subplots()
for row, name in enumerate(reversed(naive_band)):
    for offset, (color, label, (low, high)) in zip(
        (-0.19, 0.19),
        [
            (ORANGE, "exp(z) / sum exp(z), as in the textbook", naive_band[name]),
            (BLUE, "shifted before exp", our_band[name]),
        ],
        strict=True,
    ):
        axes.barh(row - offset, high - low, left=low, height=0.34, color=color, label=label if row == 0 else None)
    low, high = naive_band[name]
    axes.annotate(
        f"{low:.1f} to {high:.1f}", (high, row + 0.19), (8, 0), textcoords="offset points", va="center", fontsize=13
    )
    times = (our_band[name][1] - our_band[name][0]) / (high - low)
    wider = f"{times:,.0f} times as wide" if times < 1e9 else f"{times / 1e12:.0f} million million times as wide"
    axes.text(0, row - 0.19, wider, ha="center", va="center", color="white", fontsize=13)
axes.set_xscale("symlog", linthresh=10)
axes.set_xticks([-1e15, -1e10, -1e5, -100, 0, 100, 1e5, 1e10, 1e15])
axes.set_yticks(range(len(DTYPES)), list(reversed(naive_band)))
axes.set_xlabel("s, the largest score of the row [s, s - 1, s - 2] (nats; symmetric log scale)")
axes.set_title(
    "The naive softmax works in a narrow band of scores,\nthe shifted one as far as the dtype itself reaches"
)
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
page.save(figure)

# %% [markdown]
# **Remember:** softmax does not change when you subtract the same number from all scores, so subtract one that keeps
# exp in range.
#
# **Your turn:** which of these three rows break naive.softmax in float32, and which one breaks only its logarithm?
# Guess first, then try them: [90, 0], [0, -110], [-110, -111].

# %%
page.close()
