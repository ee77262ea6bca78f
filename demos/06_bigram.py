# %% [markdown]
# # How well can a table of letter pairs guess the next letter, and does gradient descent find the best table?
#
# The simplest language model, the bigram, looks at one letter and has a row of scores, or logits, for the next. There
# are two roads to the best such table. One is to count: how often did the letter n follow the letter a? The other knows
# nothing about counting: start at zero, and follow the gradient of the cross-entropy, p - onehot, row by row. Do they
# meet?

# %%
from scratchlm.pages.plumbing import BLUE, GREY, Page, heading, plt, say, table

import math

import numpy as np
from matplotlib.colors import PowerNorm

from scratchlm.data import Vocabulary, contexts_and_targets, load_names
from scratchlm.functional import softmax
from scratchlm.models import BigramLM
from scratchlm.objectives import Objective
from scratchlm.optim import AdamW
from scratchlm.sampling import generate
from scratchlm.training import Data, mean_nll, train

page = Page("06_bigram", steps=(300, 100))
names = load_names()
vocabulary = Vocabulary.from_texts(names)
data = Data(*contexts_and_targets(names, vocabulary, context_length=1))
tokens = [".", *vocabulary.characters]  # the dot is the boundary, before the first letter and after the last

# %% [markdown]
# ## The data: 5,163 given names

# %%
heading("The data")
print(f"{len(names):,} names, such as {', '.join(names[::1000])}")
print(f"{len(data.targets):,} transitions between {len(vocabulary)} tokens (a to z, and '.' for start and end)")

# %% [markdown]
# ## The first road: count
#
# logits = log(counts). Softmax divides each row of counts by its sum, which gives the share of each next letter. No
# table can have a lower loss on these names. The loss that is left is page 4's entropy, averaged over the previous
# letters: the doubt that remains about a letter when you know the one before it.

# %%
counted = BigramLM(len(vocabulary), dtype=np.float64).fit_counts(*data)
counted_nll = mean_nll(counted, data)
counted_probs = softmax(counted.params["logits"])

heading("The first road: count")
print(f"guessing blindly:  log {len(vocabulary)} = {math.log(len(vocabulary)):.5f} nats per letter")
print(f"counted table:          {counted_nll:.5f} nats per letter, the lowest that any table of pairs can reach")
pairs = [(counted_probs[i, j], i, j) for i in range(len(tokens)) for j in range(len(tokens))]
surest = sorted(pairs, reverse=True)[:5]
print("the surest pairs:  " + ", ".join(f"{tokens[i]}{tokens[j]} {share:.0%}" for share, i, j in surest))

# %% [markdown]
# ## The second road: gradient descent
#
# Start from a table of zeros. Each step looks at all pairs, and moves the logits against the gradient. The *optimizer*
# decides how far: AdamW measures its steps in units of the recent gradient. The gradient of a pair that never occurs
# shrinks with its probability, and beta2 = 0.9 makes "recent" short enough to keep up.

# %%
learned = BigramLM(len(vocabulary), dtype=np.float64)
history = train(
    learned,
    Objective("logits", "cross_entropy"),
    AdamW(learned.params, beta2=0.9, weight_decay=0),
    data,
    data,
    steps=page.steps,
    batch_size=None,
    learning_rate=0.1,
    record_every=10,
)
learned_probs = softmax(learned.params["logits"])
gap = history[-1].nll - counted_nll
farthest = float(np.abs(learned_probs - counted_probs).max())

heading("The second road: follow the gradient")
table(
    ["step", "nats per letter", "above the optimum"],
    [
        [str(r.step), f"{r.nll:.5f}", f"{r.nll - counted_nll:.5f}"]
        for r in history
        if r.step in (0, 10, 20, 50, 100, 200, page.steps)
    ],
)
say(f"""The roads meet: their losses are {gap:.1e} nats apart. No probability in the table differs by more than
{farthest:.0e}.""")
say(f"""Names from the learned table: {", ".join(vocabulary.decode(ids) for ids in generate(learned, 8, rng=1))}. With
one letter of memory, each pair of letters looks right, but the names do not.""")

# %% The first picture: what the table knows

figure, axes = plt.subplots(figsize=(10, 8.6))
image = axes.imshow(counted_probs, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
axes.set_xticks(range(len(tokens)), tokens)
axes.set_yticks(range(len(tokens)), tokens)
axes.set_xlabel("next letter ( . is the end of the name)")
axes.set_ylabel("this letter ( . is the start)")
q, u = tokens.index("q"), tokens.index("u")
axes.text(u + 0.7, q, f"{counted_probs[q, u]:.0%}", va="center", fontweight="bold")
axes.set_title("What a bigram model is: one row of probabilities per letter")
figure.colorbar(image, label="probability of the next letter (square-root scale)", shrink=0.8)
page.save(figure, "table")

# %% The second picture: two roads, one optimum

figure, axes = plt.subplots()
above = [max(r.nll - counted_nll, 1e-16) for r in history]
axes.semilogy([r.step for r in history], above, color=BLUE, marker="o")
axes.axhline(1e-4, color=GREY, linestyle=":")
axes.annotate("one ten-thousandth of a nat", (0, 1e-4), (4, 6), textcoords="offset points", color=GREY)
axes.annotate(f"{gap:.0e}", (page.steps, gap), (0, 10), textcoords="offset points", ha="center")
axes.set_xlabel("step (each looks at all 36,122 letter pairs)")
axes.set_ylabel("NLL above the counted table\n(nats per letter, log scale)")
axes.set_title("Two roads to one optimum: descent arrives at the counts")
page.save(figure, "roads")

page.keep(counted_nll=counted_nll, gap=gap, farthest=farthest)

# %% [markdown]
# **Remember:** for a table, log(counts) is the exact minimum of the cross-entropy, and gradient descent leads there
# from 0.
#
# **Your turn:** fit_counts gives -inf to pairs that never occur. What does one new name with such a pair cost? Repair
# it with fit_counts(..., smoothing=1), and see what that costs on the names above.

# %%
page.close()
