# %% [markdown]
# # What do log-probs give away?
#
# An API that shows log-probs shows more than the next token. Each row is made from a few numbers inside the model, its
# hidden layer. So rows that look free lie in a small space, and anyone who collects enough of them can read off how
# wide that layer is. And if the API shows no log-probs but only the best token, and lets you push scores with a "logit
# bias", you can get a whole row by asking again and again.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, PINK, Page, heading, headline, plt, say, table

import numpy as np

from scratchlm.functional import log_softmax, softmax
from scratchlm.models import MLPLM
from scratchlm.pages.recipe import data_for, learn, vocabulary

page = Page("16_what_they_give_away", steps=(1500, 800), rows=(2000, 2000))
V = len(vocabulary)
WIDTHS = {4: ORANGE, 8: BLUE, 16: PINK}

# %% [markdown]
# ## Networks of three widths
#
# We take the network of page 7, with a hidden layer of 4, 8 and 16 numbers. Its logits are h W + b: mixtures of 4, 8 or
# 16 rows of W, plus b. Log-probs are logits minus Z, the same number in every entry of a row. Subtract the mean from
# each row, and Z is gone.


# %%
def rows_of(width):
    """Train a network of this width, and return its logits for names that it has never seen."""
    model = MLPLM(V, context_length=8, embedding_dim=24, hidden_dim=width, seed=0)
    learn(model, page.steps)
    _, held_out = data_for(model)
    return model.forward(held_out.contexts[: page.rows])


logits = {width: rows_of(width) for width in WIDTHS}

# %% [markdown]
# ## How many directions do the rows span? Ask the singular values
#
# The singular values of a matrix say how far its rows reach in each direction, the longest first. Rows of 27 free
# numbers, without their mean, reach in 26 directions. In float32, rounding alone reaches 1e-7 times as far as the
# longest, in all of them.


# %%
def reach(rows):
    """Return the singular values of the rows without their means, as shares of the largest value."""
    values = np.linalg.svd(rows - rows.mean(axis=-1, keepdims=True), compute_uv=False)
    return values / values[0]


def directions(values):
    """Return after how many values the steepest fall comes, and by what factor the next value is smaller."""
    steps = values[:-2] / values[1:-1]  # the last one is the mean that was subtracted
    return int(np.argmax(steps)) + 1, float(steps.max())


SHOWN = {
    "log-probs": log_softmax,
    "log-probs, 3 decimals": lambda z: log_softmax(z).round(3),
    "probabilities": softmax,
}
reaches = {
    (width, name): reach(shown(logits[width].astype(np.float64))) for width in WIDTHS for name, shown in SHOWN.items()
}
found = {key: directions(values) for key, values in reaches.items()}
heading(f"After how many of 26 directions do {page.rows:,} rows end? (And how much smaller the next one is.)")
table(
    ["shown", *(f"hidden width {width}" for width in WIDTHS)],
    [[name, *(f"{found[width, name][0]} ({found[width, name][1]:,.0f} times)" for width in WIDTHS)] for name in SHOWN],
)
told = sum(found[width, "log-probs, 3 decimals"][0] == width + 1 for width in WIDTHS)
say(f"""One more than the hidden width: b is a direction of its own. So anyone who sees whole rows of log-probs learns
the width of the layer, and then the space itself, which is W up to a mixing of its rows. With three decimals,
{told} of {len(WIDTHS)} widths still show: rounding hides the shortest directions. Probabilities end nowhere as clearly,
because exp bends the space. This has been done to real APIs: Carlini and others 2024, arXiv:2403.06634; Finlayson and
others 2024, arXiv:2403.09539.""")

# %% [markdown]
# ## A whole row, from nothing but best tokens
#
# Here the API shows only the best token, and lets us add a bias to a score. Raise token k until it wins: the bias that
# it needs is how far it lay behind. Halving an interval of 64 nats 40 times finds that bias to within 1e-10.

# %%
secret = logits[8][7].astype(np.float64)
asked = 0


def best_token(bias):
    """Return what the API shows: the best token after adding a bias to the scores."""
    global asked
    asked += 1
    return int(np.argmax(secret + bias))


def distance_behind(k, best, halvings):
    """Return how far token k lies behind the best one, to within 64 / 2**halvings nats."""
    low, high = 0.0, 64.0
    for _ in range(halvings):
        middle = (low + high) / 2
        wins = best_token(middle * (np.arange(V) == k)) == k
        low, high = (low, middle) if wins else (middle, high)
    return (low + high) / 2


def row_after(halvings):
    """Return the log-probs of the secret row, and the number of questions they took."""
    global asked
    asked = 0
    best = best_token(np.zeros(V))
    distances = [0.0 if k == best else distance_behind(k, best, halvings) for k in range(V)]
    return log_softmax(-np.array(distances)), asked


HALVINGS = [5, 10, 20, 40]
recovered = {n: row_after(n) for n in HALVINGS}
errors = {n: float(np.abs(row - log_softmax(secret)).max()) for n, (row, _) in recovered.items()}
heading("A row of 27 log-probs, from best tokens and a bias on one score")
table(
    ["halvings for each token", "questions", "worst error (nats)"],
    [[str(n), f"{recovered[n][1]:,}", f"{errors[n]:.0e}"] for n in HALVINGS],
)

# %% [markdown]
# So hiding log-probs hides little as long as users may push scores. Protection means refusing the bias, limiting the
# number of questions, or adding noise. None of this depends on whether the model outputs logits or log-probs.

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
for width, colour in WIDTHS.items():
    values = reaches[width, "log-probs"][:-1]
    left.semilogy(range(1, V), values, "o-", color=colour, markersize=5)
    left.text(width + 1.7, 1e-5, f"width\n{width}", fontsize=14)  # beside where it falls
    left.axvline(width + 1, color=colour, linestyle=":", linewidth=1.5)
left.set_xlabel("direction, the longest first")
left.set_ylabel("reach of the rows (share of the longest, log scale)")
left.set_title("Log-probs reveal the hidden layer's width", fontsize=15)
truth = log_softmax(secret)
right.plot([truth.min(), 0], [truth.min(), 0], color=GREY, linestyle=":", linewidth=1.5)
right.plot(truth, recovered[10][0], "o", color=BLUE, markersize=9)
right.set_xlabel("secret log-prob (nats)")
right.set_ylabel("recovered log-prob (nats)")
right.set_title(f"{recovered[10][1]} best tokens reveal a row", fontsize=15)
headline(figure, "An API shows more than it seems to")
page.save(figure)

page.keep(directions={f"{width}, {name}": value for (width, name), value in found.items()}, errors=errors)

# %% [markdown]
# **Remember:** rows of log-probs span as many directions as the hidden layer is wide, plus one. And if you ask for best
# tokens often enough, you get a row of log-probs.
#
# **Your turn:** in SHOWN, round the log-probs to one decimal. Which widths do they show now, and why do you find too
# few directions, not too many?

# %%
page.close()
