# %% [markdown]
# # Why is the gradient of cross-entropy just p - onehot, and what becomes of it when the model is sure?
#
# To learn, a model must know for each logit: if I raised it a little, how would the loss move? That number is the
# derivative, and the row of all of them is the gradient; training takes a step against it. Libraries find it by
# machine. We do it by hand, since it is three lines, and since it tells all that a language model ever hears: lower the
# others, each as far as you believed in it, and raise what came by the sum of that.

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
# Four lines of algebra, which are printed first; and two things follow. The gradient sums to 0: what the target gains,
# the others lose. And it lies between -1 and 1: no row can shout louder than "you gave no chance at all to what came".

# %%
heading("On the board")
print("""L       = Z - z_y,  with Z = log(sum over j of exp(z_j))      the loss, if token y came
dZ/dz_k = exp(z_k) / (sum over j of exp(z_j)) = p_k           since d log u = du / u, and exp is its own slope
dz_y/dz_k = 1 if k is y, else 0 = onehot_k
so dL/dz_k = p_k - onehot_k""")
TOKENS = ["a", "b", "c", "d", "e"]
z, y = np.array([2.0, 1.0, 0.0, -1.0, 1.5]), 1
p, onehot = softmax(z), np.eye(5)[y]
gradient = cross_entropy_backward(z[None], [y])[0]

heading(f"One row; the token that came is {TOKENS[y]}")
table(
    ["token", "logit", "p", "onehot", "p - onehot", "cross_entropy_backward"],
    [
        [token, f"{z[k]:.1f}", f"{p[k]:.4f}", f"{onehot[k]:.0f}", f"{p[k] - onehot[k]:+.4f}", f"{gradient[k]:+.4f}"]
        for k, token in enumerate(TOKENS)
    ],
)
print(f"the loss is {cross_entropy(z[None], [y]):.4f} nats; the gradient sums to {abs(gradient.sum()):.0e}")

# %% [markdown]
# ## Do not believe it: nudge each logit, and see by how much the loss moves
#
# Differences know nothing of our algebra. They are right to 12 digits of the row's largest entry; of an entry that is
# 10,000 times smaller, to 8 (see scratchlm/gradcheck.py).

# %%
rng = np.random.default_rng(0)


def error_of(row, target):
    by_nudging = numerical_gradient(lambda x: cross_entropy(x[None], [target]), row)
    return max_relative_error(cross_entropy_backward(row[None], [target])[0], by_nudging)


worst_error = max(error_of(rng.normal(0, 3, 27), int(rng.integers(27))) for _ in range(page.rows))
wrong_sign = max_relative_error(-gradient, numerical_gradient(lambda x: cross_entropy(x[None], [y]), z))
heading("By hand against by nudging: the largest relative difference")
print(f"{page.rows} rows of 27 logits: {worst_error:.1e}. (A wrong sign would show as {wrong_sign:.0f}.)")

# %% [markdown]
# ## One step against it
#
# Move the logits against the gradient, by a step of size 1, again and again: the probability of what came climbs, and
# the gradient, which is what p lacks, shrinks with it. So a model that is sure and right is left in peace.

# %%
path, row = [], z.copy()
for step in range(101):
    path.append((step, softmax(row)[y], cross_entropy(row[None], [y]), cross_entropy_backward(row[None], [y])[0, y]))
    row = row - cross_entropy_backward(row[None], [y])[0]

heading(f"Descent on one row: the token that came is {TOKENS[y]}")
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
# At the target the gradient is p - 1. In float32 the numbers below 1 are 6e-8 apart; once p is nearer to 1 than half of
# that, it is rounded to 1, and p - 1 = 0: no gradient, though there is one. The way out is to ask for the odds against
# the target: what the others have, divided by what it has (page 2). p = 1 / (1 + odds), so p - 1 = -odds / (1 + odds):
# minus what the others have. Nothing in it cancels. And it is on the board already: the gradient sums to 0.

# %%
SURENESS = np.arange(0.5, 87.5, 0.5, dtype=np.float32)
pairs = np.stack([SURENESS, np.zeros_like(SURENESS)], axis=-1)
first = np.zeros(len(pairs), dtype=int)
usual = softmax(pairs)[:, 0] - 1
ours = cross_entropy_backward(pairs, first, "none")[:, 0]
exact = [oracle.cross_entropy_backward(pair, 0)[0] for pair in pairs]
ours_ulps = float(oracle.ulp_error(ours, exact).max())
dead_from = float(SURENESS[usual == 0][0])

heading("The row [s, 0] in float32, the first token came: the gradient at it")
table(
    ["s", "p - 1", "-odds / (1 + odds)", "exact"],
    [
        [f"{SURENESS[i]:g}", f"{usual[i]:.4e}", f"{ours[i]:.4e}", f"{float(exact[i]):.4e}"]
        for i in np.flatnonzero(np.isin(SURENESS, [1, 5, 10, 15, 17, 20, 50, 87]))
    ],
)
say(f"""p - 1 is 0 from s = {dead_from:g} on; ours is never off by more than {in_ulps(ours_ulps)} ulps. SciPy's users
compute p - 1, and so does PyTorch, in effect (pytorch/pytorch#113708; page 12 asks both). Does it matter? The gradient
at the target is 0 then, and those of the others are not: the row says "down" to all, and nobody pushes back. AdamW,
which trains most models, takes its steps in units of the recent gradient, so that even a whisper moves the weights.
Page 13 lets a training go on from there, and it explodes.""")

# %% [markdown]
# ## When all logits are large: the loss itself goes
#
# L = Z - z_y is a difference, and if both are near 1e8, where float32 numbers are 8 apart, it is 0: the loss of a
# perfect model, reported of one that guesses blindly. It happened: ml-explore/mlx#4188, pytorch/pytorch#11752. Subtract
# the maximum before anything is added, and nothing is lost.

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
# **Remember:** the gradient of cross-entropy is p - onehot; at the target, compute it as -odds / (1 + odds), minus what
# the others have.
#
# **Your turn:** a batch of two rows, in both of which token 0 came: z = [[0, 0], [9, 0]]. Which row moves the model
# more, and by what factor? First by hand; then ask cross_entropy_backward.

# %%
page.close()
