# %% [markdown]
# # What do log-probs give away?
#
# An API that shows log-probs shows more than the next token. Each row is made of a few numbers inside the model, its
# hidden layer; so rows that look free lie in a small space, and whoever collects enough of them reads off how wide that
# layer is. And where no log-prob is shown, only the best token, but scores may be pushed by a "logit bias", a whole row
# can be had by asking again and again.

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
# The network of page 7, with a hidden layer of 4, 8 and 16 numbers. Its logits are h W + b: mixtures of so many rows of
# W, and of b. Log-probs are logits minus Z, one number in each entry. Take the mean from each row, and Z is gone.


# %%
def rows_of(width):
    """Train a network of a width, and return its logits for names that it has never seen."""
    model = MLPLM(V, context_length=8, embedding_dim=24, hidden_dim=width, seed=0)
    learn(model, page.steps)
    _, held_out = data_for(model)
    return model.forward(held_out.contexts[: page.rows])


logits = {width: rows_of(width) for width in WIDTHS}

# %% [markdown]
# ## How many directions do the rows span? Singular values tell
#
# The singular values of a matrix say how far its rows reach in each direction, the longest first. Rows of 27 free
# numbers, without their mean, reach in 26. In float32 rounding alone reaches 1e-7 as far as the longest, in all.


# %%
def reach(rows):
    """Return the singular values of rows, each without its mean, as shares of the largest."""
    values = np.linalg.svd(rows - rows.mean(axis=-1, keepdims=True), compute_uv=False)
    return values / values[0]


def directions(values):
    """Return after how many values they fall most steeply: by what factor, the next are smaller."""
    steps = values[:-2] / values[1:-1]  # the last is the mean that was taken out
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
say(f"""One more than the hidden width: b is a direction of its own. So whoever sees whole rows of log-probs knows the
width of the layer, and after that the space itself, which is W but for a mixing of its rows. With three decimals,
{told} of {len(WIDTHS)} widths are told: rounding hides the shortest directions. Probabilities end nowhere so clearly:
exp bends the space. It was done to real APIs: Carlini and others 2024, arXiv:2403.06634; Finlayson and others 2024,
arXiv:2403.09539.""")

# %% [markdown]
# ## A whole row, from nothing but best tokens
#
# The API shows the best token only, and lets us add a bias to a score. Raise token k until it wins: the bias at which
# it does is how far it lay behind. Halving an interval of 64 nats 40 times finds it to 1e-10.

# %%
secret = logits[8][7].astype(np.float64)
asked = 0


def best_token(bias):
    """Return what the API shows: the best token, after a bias was added to the scores."""
    global asked
    asked += 1
    return int(np.argmax(secret + bias))


def distance_behind(k, best, halvings):
    """Return how far token k lies behind the best one, to 64 / 2**halvings nats."""
    low, high = 0.0, 64.0
    for _ in range(halvings):
        middle = (low + high) / 2
        wins = best_token(middle * (np.arange(V) == k)) == k
        low, high = (low, middle) if wins else (middle, high)
    return (low + high) / 2


def row_after(halvings):
    """Return the log-probs of the secret row, and how many questions they took."""
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
# So hiding log-probs hides little while scores may be pushed. What protects is to refuse the bias, to limit how often
# one may ask, or noise; and none of it is a matter of logits or log-probs.

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
for width, colour in WIDTHS.items():
    values = reaches[width, "log-probs"][:-1]
    left.semilogy(range(1, V), values, "o-", color=colour, markersize=5)
    left.text(width + 1.7, 1e-5, f"width\n{width}", fontsize=14)  # beside where it falls
    left.axvline(width + 1, color=colour, linestyle=":", linewidth=1.5)
left.set_xlabel("direction, the longest first")
left.set_ylabel("reach of the rows (share of the longest, log scale)")
left.set_title("Log-probs show the hidden layer's width", fontsize=15)
truth = log_softmax(secret)
right.plot([truth.min(), 0], [truth.min(), 0], color=GREY, linestyle=":", linewidth=1.5)
right.plot(truth, recovered[10][0], "o", color=BLUE, markersize=9)
right.set_xlabel("log-prob, kept secret (nats)")
right.set_ylabel("log-prob, found (nats)")
right.set_title(f"{recovered[10][1]} best tokens show a row", fontsize=15)
headline(figure, "What is shown says more than it seems")
page.save(figure)

page.keep(directions={f"{width}, {name}": value for (width, name), value in found.items()}, errors=errors)

# %% [markdown]
# **Remember:** rows of log-probs span as many directions as the hidden layer is wide, and one. And a best token, asked
# for often enough, is a row of log-probs.
#
# **Your turn:** round the log-probs to one decimal, in SHOWN. Which widths do they tell now, and why are these
# directions too few, and not too many?

# %%
page.close()
