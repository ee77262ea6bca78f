# %% [markdown]
# # Why is the gradient of cross-entropy just p - onehot, and what happens to it when the model is sure?
#
# To learn, a model must know how the loss would move if one logit were raised a little. That number is the derivative.
# The row of all derivatives is the gradient, and training takes a step against it. Libraries compute it automatically.
# We do it by hand, because it takes three lines, and because it says all that a language model ever hears: lower every
# other token by the probability you gave it, and raise the token that came by the sum of those.

# %%
from scratchlm.pages.plumbing import BLUE, ORANGE, PINK, Page, heading, headline, in_ulps, plt, say, table

import math

import numpy as np

from scratchlm import oracle
from scratchlm.functional import cross_entropy, cross_entropy_backward, logsumexp, softmax
from scratchlm.gradcheck import max_relative_error, numerical_gradient

page = Page("05_gradient", rows=(50, 5))

# %% [markdown]
# ## On the board
#
# Four lines of algebra, printed first, have two consequences. The gradient sums to 0: the target gains what the others
# lose. And every entry lies between -1 and 1: no row can shout louder than "you gave no chance at all to what came".

# %%
heading("On the board")
print("""L       = Z - z_y,  with Z = log(sum over j of exp(z_j))      the loss, if token y came next
dZ/dz_k = exp(z_k) / (sum over j of exp(z_j)) = p_k           since d log u = du / u, and exp is its own slope
dz_y/dz_k = 1 if k is y, else 0 = onehot_k
so dL/dz_k = p_k - onehot_k""")
TOKENS = ["a", "b", "c", "d", "e"]
z, y = np.array([2.0, 1.0, 0.0, -1.0, 1.5]), 1
p, onehot = softmax(z), np.eye(5)[y]
gradient = cross_entropy_backward(z[None], [y])[0]

heading(f"One row; the token that came next is {TOKENS[y]}")
table(
    ["token", "logit", "p", "onehot", "p - onehot", "cross_entropy_backward"],
    [
        [token, f"{z[k]:.1f}", f"{p[k]:.4f}", f"{onehot[k]:.0f}", f"{p[k] - onehot[k]:+.4f}", f"{gradient[k]:+.4f}"]
        for k, token in enumerate(TOKENS)
    ],
)
print(f"the loss is {cross_entropy(z[None], [y]):.4f} nats; the gradient sums to {abs(gradient.sum()):.0e}")

# %% [markdown]
# ## Do not take our word for it: nudge each logit, and see how far the loss moves
#
# Differences know nothing about our algebra. They are right to 12 digits for the row's largest entry, and to 8 for an
# entry that is 10,000 times smaller (see scratchlm/gradcheck.py).

# %%
rng = np.random.default_rng(0)


def error_of(row, target):
    by_nudging = numerical_gradient(lambda x: cross_entropy(x[None], [target]), row)
    return max_relative_error(cross_entropy_backward(row[None], [target])[0], by_nudging)


worst_error = max(error_of(rng.normal(0, 3, 27), int(rng.integers(27))) for _ in range(page.rows))
wrong_sign = max_relative_error(-gradient, numerical_gradient(lambda x: cross_entropy(x[None], [y]), z))
heading("The gradient by hand and by nudging: the largest relative difference")
print(f"{page.rows} rows of 27 logits: {worst_error:.1e}. (A wrong sign would show as {wrong_sign:.0f}.)")

# %% [markdown]
# ## Step after step against it
#
# Move the logits against the gradient, with a step size of 1, again and again. The probability of the token that came
# climbs, and the gradient there, p - 1, shrinks. So a model that is sure and right is left in peace.

# %%
path, row = [], z.copy()
for step in range(101):
    path.append((step, softmax(row)[y], cross_entropy(row[None], [y]), cross_entropy_backward(row[None], [y])[0, y]))
    row = row - cross_entropy_backward(row[None], [y])[0]

heading(f"Descent on one row: the token that came next is {TOKENS[y]}")
table(
    ["step", "its probability", "loss (nats)", "gradient at it"],
    [
        [str(n), f"{prob:.4f}", f"{loss:.4f}", f"{grad:+.4f}"]
        for n, prob, loss, grad in path
        if n in (0, 1, 2, 5, 20, 100)
    ],
)

# %% [markdown]
# ## When the model is sure: p - 1
#
# At the target the gradient is p - 1. In float32 the numbers below 1 are 6e-8 apart. Once p is closer to 1 than half of
# that, it rounds to 1, and p - 1 becomes 0, although the gradient is not. The way out is to compute the odds against
# the target: the probability of all the others, divided by its own (page 2). p = 1 / (1 + odds), so p - 1 is
# -odds / (1 + odds): minus the probability of the others. Nothing in it cancels. And the board says so already: the
# gradient sums to 0.

# %%
SURENESS = np.arange(0.5, 87.5, 0.5, dtype=np.float32)
pairs = np.stack([SURENESS, np.zeros_like(SURENESS)], axis=-1)
first = np.zeros(len(pairs), dtype=int)
usual = softmax(pairs)[:, 0] - 1
ours = cross_entropy_backward(pairs, first, "none")[:, 0]
exact = [oracle.cross_entropy_backward(pair, 0)[0] for pair in pairs]
ours_ulps = float(oracle.ulp_error(ours, exact).max())
dead_from = float(SURENESS[usual == 0][0])

heading("The gradient at the first token of the row [s, 0], if that token came (float32)")
table(
    ["s", "p - 1", "-odds / (1 + odds)", "exact"],
    [
        [f"{SURENESS[i]:g}", f"{usual[i]:.4e}", f"{ours[i]:.4e}", f"{float(exact[i]):.4e}"]
        for i in np.flatnonzero(np.isin(SURENESS, [1, 5, 10, 15, 17, 20, 50, 87]))
    ],
)
say(f"""p - 1 is 0 from s = {dead_from:g} upwards; ours is never off by more than {in_ulps(ours_ulps)} ulps. SciPy's
users compute p - 1, and so, in effect, does PyTorch (pytorch/pytorch#113708; page 12 tests both). Does it matter? The
gradient at the target is then 0, but at the others it is not: the row tells all scores to sink, and nothing pushes
back. AdamW, which trains most models, takes its steps in units of the recent gradient, so even a whisper moves the
weights. Page 13 keeps training from there, and the training explodes.""")

# %% [markdown]
# ## When all logits are large: the loss itself is lost
#
# L = Z - z_y is a difference. If both are near 1e8, where float32 numbers are 8 apart, the difference is 0: a model
# that guesses blindly is reported as perfect. It has happened: ml-explore/mlx#4188, pytorch/pytorch#11752. Subtract the
# maximum before you add anything, and nothing is lost.

# %%
high = np.float32([1e8, 1e8])
as_difference = float(logsumexp(high) - high[0])
shifted_first = float(cross_entropy(high[None], [0]))
heading("z = [1e8, 1e8] in float32: a blind guess between two, log 2 = 0.693147 nats")
print(f"Z - z[y]            {as_difference:.6f}")
print(f"cross_entropy       {shifted_first:.6f}")

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.6))
place = np.arange(5)
left.bar(place - 0.2, p, 0.36, color=BLUE, label="p, what the model believed")
left.bar(
    place + 0.2,
    gradient,
    0.36,
    color=ORANGE,
    hatch="//",
    edgecolor="black",
    linewidth=0.5,
    label="gradient, p - onehot",
)
for k in range(5):
    left.text(
        k + 0.2,
        gradient[k] + math.copysign(0.02, gradient[k]),
        f"{gradient[k]:+.2f}",
        ha="center",
        va="bottom" if gradient[k] > 0 else "top",
        fontsize=12,
    )
left.axhline(0, color="black", linewidth=1)
left.set_xticks(place, [f"{token}\ncame" if k == y else token for k, token in enumerate(TOKENS)])
left.set_ylim(-1, 0.85)
left.set_xlabel("token")
left.set_ylabel("probability, and nats per unit of logit")
left.legend(loc="upper right", fontsize=12)
left.set_title("Raise what came, lower the others", fontsize=15)
right.semilogy(SURENESS, -ours, color=BLUE, label="-odds / (1 + odds), ours")
alive = usual != 0
right.semilogy(SURENESS[alive], -usual[alive], color=PINK, linestyle="--", label="p - 1")
right.plot(SURENESS[alive][-1], -usual[alive][-1], "X", color=PINK, markersize=14, markeredgecolor="black")
right.annotate(
    f"0 from s = {dead_from:g}", (SURENESS[alive][-1], -usual[alive][-1]), (12, 4), textcoords="offset points"
)
right.set_xlabel("s, the lead of the token that came (nats)")
right.set_ylabel("size of the gradient at that token\n(nats per unit of logit, log scale)")
right.legend(loc="lower left", fontsize=12)
right.set_title("p - 1 is 0 too early", fontsize=15)
headline(figure, "The gradient is what you believed, minus what came")
page.save(figure)

page.keep(
    worst_error=worst_error,
    dead_from=dead_from,
    ours_ulps=ours_ulps,
    as_difference=as_difference,
    shifted_first=shifted_first,
)

# %% [markdown]
# **Remember:** the gradient of cross-entropy is p - onehot. At the target, compute it as -odds / (1 + odds): minus the
# probability of the others.
#
# **Your turn:** in a batch of two rows, z = [[0, 0], [9, 0]], token 0 came in both. Which row moves the model more, and
# by what factor? Work it out by hand first, then ask cross_entropy_backward.

# %%
page.close()
