# %% [markdown]
# # Which log-probs were you given?
#
# An API answers with "logprobs", and rarely says which. For the whole row, for a few best tokens, or for the token that
# came? Before temperature and top-p, or after? A whole row is enough to recompute everything (page 4). One number per
# token is not, and a sum of the wrong ones is silently off by many nats. So know which ones you have. Here is how to
# find out.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, PINK, Page, heading, headline, plt, table

import math

import numpy as np

from scratchlm.functional import log_softmax, softmax
from scratchlm.pages.recipe import learn, new_mlp
from scratchlm.sampling import apply_temperature, generate, scores_kind, top_k, top_p

page = Page("15_whose_log_probs", steps=(2000, 300), texts=(200, 40), rows=(20_000, 2_000))
T, P = 0.6, 0.9
mlp = new_mlp()
learn(mlp, page.steps)

# %% [markdown]
# ## A model, and the names it wrote
#
# The network of page 7 invents names, at T = 0.6 and with top-p 0.9. We keep its scores for every letter.


# %%
def contexts_of(texts):
    """Return the context of every letter of some texts, and the letter itself; each text ends with the boundary."""
    padded = [[0] * mlp.context_length + list(map(int, text)) + [0] for text in texts]
    pairs = [(row[i : i + 8], row[i + 8]) for row in padded for i in range(len(row) - 8)]
    return np.array([context for context, _ in pairs]), np.array([letter for _, letter in pairs])


contexts, letters = contexts_of(generate(mlp, page.texts, rng=0, temperature=T, top_p=P))
z = mlp.forward(contexts).astype(np.float64)
of_letter = (np.arange(len(letters)), letters)

# %% [markdown]
# ## For the whole row, or for the token that came?
#
# l = z - Z, and at temperature T the log-prob is z / T - (the Z of z / T). A whole row of l gives the same numbers.
# From the token's l alone there is no way to compute Z, and l / T is not a log-prob: over all tokens, the exps of such
# numbers do not sum to 1.

# %%
log_probs = log_softmax(z)
at_temperature = log_softmax(z / T)[of_letter]
from_whole_rows = log_softmax(log_probs / T)[of_letter]
from_the_token = log_probs[of_letter] / T
row_difference = float(np.abs(from_whole_rows - at_temperature).max())
gap = from_the_token - at_temperature
factor = float(np.exp(np.median(np.abs(gap))))
per_100 = float(np.abs(gap).mean() * 100)

heading(f"{len(letters):,} letters: their log-prob at T = {T}, computed from log-probs at T = 1")
table(
    ["computed from", "median error", "error over 100 letters"],
    [
        ["log_softmax(l / T), whole rows", f"a factor of {1 + row_difference:.0f}", f"{100 * row_difference:.0e} nats"],
        ["l[y] / T, the letter's own", f"a factor of {factor:.2f}", f"{per_100:.0f} nats"],
    ],
)

# %% [markdown]
# ## Before the sampler, or after?
#
# vLLM lets you choose (logprobs_mode: raw_logprobs, or processed_logprobs, after temperature, top-k and top-p). Others
# choose for you, and differ (ollama/ollama#16196). Each gives the same text a different log-probability.

# %%
processed = log_softmax(top_p(apply_temperature(z, T), P))
raw_nll, processed_nll = (-float(scores[of_letter].mean()) for scores in (log_probs, processed))
heading("The same names, by reported log-probs (nats per letter, and perplexity)")
table(
    ["reported", "nats", "perplexity"],
    [
        ["raw: what the model believed", f"{raw_nll:.3f}", f"{math.exp(raw_nll):.2f}"],
        [f"processed: after T = {T} and top-p {P}", f"{processed_nll:.3f}", f"{math.exp(processed_nll):.2f}"],
    ],
)
print("The second number is lower, but the model is no better: it is the sampler that is surer.")

# %% [markdown]
# ## Ask the numbers themselves
#
# Probabilities sum to 1; so do the exps of log-probs; logits sum to whatever they like.

# %%
HANDED = {
    "logits": z,
    "raw log-probs": log_probs,
    "processed log-probs": processed,
    "probabilities": softmax(z),
    "the 5 best raw log-probs": np.sort(log_probs, axis=-1)[:, -5:],
    "raw log-probs, others masked": top_k(log_probs, 5),
    "log-probs, divided by T": log_probs / T,
    "log-probs in float16": log_probs.astype(np.float16),
}
kinds = {name: scores_kind(scores) for name, scores in HANDED.items()}
heading("What scores_kind says about scores that you may be given, all rows at once")
table(["given", "scores_kind says"], [[name, kinds[name]] for name in HANDED])

# %% [markdown]
# When raw log-probs are cut off, the exps of the rest sum to less than 1, and scores_kind calls them logits. Rightly
# so: you can do with them only what you can do with logits. Divided by T, log-probs are logits again.

# %%
# Its blind spot: logits whose exps happen to sum to 1. Any row of logits can be shifted until they do, and then it *is*
# a row of log-probs. How often does that happen by chance?
rng = np.random.default_rng(0)
chance = sum(scores_kind(row) != "logits" for row in rng.normal(0, 3, (page.rows, 27)).astype(np.float32))
print(f"mistaken for something else by chance: {chance} of {page.rows:,} random rows of logits (float32)")

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
low = float(min(at_temperature.min(), from_the_token.min()))
left.plot([low, 0], [low, 0], color=GREY, linestyle=":", linewidth=1.5)
left.plot(at_temperature, from_the_token, "o", color=PINK, markersize=4, alpha=0.5, label="l[y] / T, from one number")
left.plot(at_temperature, from_whole_rows, "s", color=BLUE, markersize=2, label="from the whole row")
left.set_xlabel(f"true log-prob at T = {T} (nats)")
left.set_ylabel("log-prob computed from T = 1 (nats)")
left.legend(loc="upper left", fontsize=13, markerscale=2)
left.set_title("Temperature needs the whole row", fontsize=15)
right.bar([0, 1], [raw_nll, processed_nll], 0.6, color=[BLUE, ORANGE])
for place, value in enumerate((raw_nll, processed_nll)):
    right.text(place, value + 0.02, f"{value:.2f}", ha="center")
right.set_xticks([0, 1], ["raw", f"after T = {T},\ntop-p {P}"])
right.set_ylabel("NLL of the same text (nats per letter)")
right.set_title("One text, two reports", fontsize=15)
headline(figure, "Log-probs, but which?")
page.save(figure)

page.keep(row_difference=row_difference, factor=factor, per_100=per_100, raw_nll=raw_nll, processed_nll=processed_nll)

# %% [markdown]
# **Remember:** whole rows of log-probs give you every temperature; the token's own number gives you none. Ask whether
# they are raw or processed, and let scores_kind ask the numbers.
#
# **Your turn:** you are given the 5 best raw log-probs of a row of 27, and no more. Between which bounds does the best
# token's log-prob lie at T = 0.5? (What can the squares of the other 22 probabilities sum to?)

# %%
page.close()
