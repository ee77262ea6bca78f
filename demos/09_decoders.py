# %% [markdown]
# # Which ways of writing text survive when log-probs replace logits, and which write a different text?
#
# A decoder turns a row of scores into the next token: it may cut off unlikely tokens, make repetition harder or mix two
# models, and then it draws. Log-probs are the logits minus one number per row, Z. So the question for each decoder is:
# does it notice when the same number is subtracted from all scores? We give both to the same decoder, at every letter
# of names that the model has not seen, and report the largest change in any probability.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, Page, heading, plt, say, table

import numpy as np

from scratchlm import sampling
from scratchlm.data import BOUNDARY, contexts_and_targets
from scratchlm.functional import log_softmax, logsumexp, softmax
from scratchlm.pages.recipe import data_for, held_out_names, learn, new_bigram, new_mlp, vocabulary

page = Page("09_decoders", steps=(4000, 400), rows=(2000, 200))
mlp, bigram = new_mlp(), new_bigram()
learn(mlp, page.steps)
bigram.fit_counts(*data_for(bigram)[0], smoothing=1)

# %% [markdown]
# ## Two models to decode from

# %%
contexts = data_for(mlp)[1].contexts
contexts = contexts[contexts[:, -1] != BOUNDARY][: page.rows]  # at least one letter was written
previous = np.where(contexts == BOUNDARY, contexts[:, -1:], contexts)  # the letters written so far
z, z2 = (model.forward(c).astype(float) for model, c in ((mlp, contexts), (bigram, contexts[:, -1:])))
log_probs, log_probs2 = log_softmax(z), log_softmax(z2)
Z = logsumexp(z)

heading(f"The level of the logits, Z, at {len(contexts):,} places in held-out names")
print(f"MLP     from {Z.min():6.2f} to {Z.max():6.2f} nats")
print(f"bigram  from {logsumexp(z2).min():6.2f} to {logsumexp(z2).max():6.2f} nats")

# %% [markdown]
# The loss does not say where Z should be, because it cannot see Z. (The bigram's logits are log(count + 1), so its Z is
# the logarithm of how often a letter was seen, plus 27.) For log-probs Z is always 0.

# %% [markdown]
# ## The decoders
#
# Each takes the scores s of a model and the scores s2 of a second one, and returns new scores; the next token is drawn
# from their softmax. Page 4 explains temperature, and page 7 three of the cuts. The fourth, top-nσ, keeps the scores
# within n standard deviations of the best one (arXiv:2411.07641).


# %%
def top_n_sigma(s, n):
    return np.where(s >= s.max(axis=-1, keepdims=True) - n * s.std(axis=-1, keepdims=True), s, -np.inf)


IS_A = np.arange(len(vocabulary)) == vocabulary.encode("a")[0]
DECODERS = {
    "temperature 0.3": lambda s, s2: sampling.apply_temperature(s, 0.3),
    "temperature 3": lambda s, s2: sampling.apply_temperature(s, 3),
    "top-k 3": lambda s, s2: sampling.top_k(s, 3),
    "top-p 0.8": lambda s, s2: sampling.top_p(s, 0.8),
    "min-p 0.1": lambda s, s2: sampling.min_p(s, 0.1),
    "top-nσ 1": lambda s, s2: top_n_sigma(s, 1),
    "greedy (top-k 1)": lambda s, s2: sampling.top_k(s, 1),  # always the likeliest token
    "logit bias (+2 for a)": lambda s, s2: s + 2 * IS_A,  # make one token likelier
    "product of two models": lambda s, s2: s + s2,  # tokens that both find likely
    "contrast of two models": lambda s, s2: 1.5 * s - 0.5 * s2,  # away from the second, like classifier-free guidance
    "average of two scores": lambda s, s2: (s + s2) / 2,
    "repetition penalty 1.3": lambda s, s2: sampling.repetition_penalty(
        s, previous, 1.3
    ),  # against letters used before
    "soft-capping at 5": lambda s, s2: 5 * np.tanh(s / 5),  # squeeze every score into -5 ... 5
}

# Both ways are computed in float64, where a rounding error is 1e-16 of a score. Scores divided by the lowest
# temperature reach some 200, and exp turns that into 200 x 1e-16. Any change below 1e-12 is rounding.

ROUNDING = 1e-12
change = {
    name: float(np.abs(softmax(decode(z, z2)) - softmax(decode(log_probs, log_probs2))).max())
    for name, decode in DECODERS.items()
}

# Drawing: the Gumbel-max trick adds noise from Gumbel's distribution to each score, and takes the best. That draws each
# token with its probability. Does the same noise draw the same tokens?
drawn = [sampling.sample(scores, np.random.default_rng(0)) for scores in (z, log_probs)]
change["draw (Gumbel-max)"] = float((drawn[0] != drawn[1]).mean())


heading("From z and from l: the largest change in a probability (for the draw: the share of tokens that differ)")
table(
    ["decoder", "change", ""],
    [[name, f"{x:.0e}", "the same" if x <= ROUNDING else "a different text"] for name, x in change.items()],
)

# %% [markdown]
# ## Are the sets that top-k, top-p and min-p keep the same?
#
# People say that such sampling needs logits. We count the rows in which the kept sets differ: at the places above, and
# in random rows, both ordinary and wide.

# %%
CUTS = {
    "top-k": lambda s: sampling.top_k(s, 5),
    "top-p": lambda s: sampling.top_p(s, 0.9),
    "min-p": lambda s: sampling.min_p(s, 0.05),
}
rng = np.random.default_rng(0)
some_rows = {
    "names": z,
    "random": rng.normal(0, 3, (page.rows, 27)),
    "random, wide": rng.normal(0, 30, (page.rows, 1000)),
}
sets_differ = {
    f"{cut}, {which}": int((np.isfinite(keep(rows)) != np.isfinite(keep(log_softmax(rows)))).any(axis=-1).sum())
    for cut, keep in CUTS.items()
    for which, rows in some_rows.items()
}
rows_compared = sum(len(rows) for rows in some_rows.values()) * len(CUTS)
heading("Rows in which a different set of tokens is kept")
table(["rows", *CUTS], [[which, *(str(sets_differ[f"{cut}, {which}"]) for cut in CUTS)] for which in some_rows])
in_half = {
    cut: int(
        (np.isfinite(keep(z.astype(np.float16))) != np.isfinite(keep(log_softmax(z.astype(np.float16))))).any(-1).sum()
    )
    for cut, keep in CUTS.items()
}
say(f"""{sum(sets_differ.values())} of {rows_compared:,} comparisons differ in float64. In float16, where l is rounded
to three digits and neighbours become equal, {sum(in_half.values())} of {3 * len(z):,} differ, at the edge of the
cut.""")

# %% [markdown]
# ## Does temperature move a cut?
#
# Usually the temperature comes first, then the cut. At T = 3 the scores move closer together, so top-p and min-p keep
# more tokens. top-k and top-nσ keep the same ones, because neither the order nor the distances in standard deviations
# change. (Is min-p better than top-p? That was claimed, and disputed: arXiv:2506.13681.)

# %%
MOVED_CUTS = {**CUTS, "top-nσ": lambda s: top_n_sigma(s, 1)}
moved_by_heat = {
    name: float((np.isfinite(keep(z)) != np.isfinite(keep(sampling.apply_temperature(z, 3)))).any(axis=-1).mean())
    for name, keep in MOVED_CUTS.items()
}
heading("Rows in which the set kept at T = 3 differs from the one kept at T = 1")
table(["", *MOVED_CUTS], [["rows", *(f"{share:.0%}" if share else "none" for share in moved_by_heat.values())]])

# %% [markdown]
# ## A decoder that does notice: the repetition penalty, and the text it writes
#
# Keskar et al. 2019 divide the score of every used token by the penalty. That makes a token with a negative score
# *likelier*, so libraries multiply negative scores instead (huggingface/transformers#2302). All log-probs are negative;
# logits may have either sign. So the penalty depends on where the zero of the scores happens to be, and no loss ever
# fixes that.


# %%
class Shifted:
    """A model that shifts each row of another model's logits."""

    def __init__(self, model, shift):
        self.vocab_size, self.context_length, self.params = model.vocab_size, model.context_length, model.params
        self.forward = lambda contexts: shift(model.forward(contexts))


SHIFTS = {"z": lambda s: s, "l = z - Z": log_softmax, "z + 10": lambda s: s + 10}


def texts(shift, **options):
    model = Shifted(mlp, shift)
    return [vocabulary.decode(ids) for ids in sampling.generate(model, 8, rng=3, **options)]


without = {name: texts(shift) for name, shift in SHIFTS.items()}
penalised = {name: texts(shift, repetition_penalty=2.0) for name, shift in SHIFTS.items()}
heading("The same random numbers, without a penalty and with a repetition penalty of 2")
for name in SHIFTS:
    print(f"{name:10}  without  {' '.join(without[name])}")
for name in SHIFTS:
    print(f"{name:10}  penalty  {' '.join(penalised[name])}")
mended = {name: texts(lambda s, shift=SHIFTS[name]: log_softmax(shift(s)), repetition_penalty=2.0) for name in SHIFTS}
print(f"log_softmax first, then the penalty: {len({' '.join(text) for text in mended.values()})} text, from all three")

# %% [markdown]
# One model in three forms, and the penalty writes three texts. huggingface/transformers#47595 reports that it depends
# on the zero of the logits. arXiv:2607.09791 measures the cost: 97% of answers in JSON were valid without a penalty,
# and 23% with a penalty of 1.3. If you normalise first, the zero is fixed: the text may be wrong, but it is always the
# same.

# %% [markdown]
# ## Beam search: the surprise
#
# A beam keeps the few best beginnings of a text, and rates a beginning by the sum of its scores. So it adds scores from
# rows with different Z. Normalise first, and logits work like log-probs. Add raw logits, and each letter's Z counts
# too.


# %%
def beam_search(model, worth, width=20, length=12):
    """Return the best text, where worth(logits) scores each letter."""
    beams, done = [((), 0.0)], []
    for _ in range(length):
        padded = [(BOUNDARY,) * model.context_length + tokens for tokens, _ in beams]
        scores = worth(model.forward([text[-model.context_length :] for text in padded]).astype(float))
        longer = [
            ((*tokens, k), total + scores[i, k])
            for i, (tokens, total) in enumerate(beams)
            for k in range(scores.shape[1])
        ]
        longer = sorted(longer, key=lambda beam: -beam[1])[:width]
        done += [beam for beam in longer if beam[0][-1] == BOUNDARY]
        beams = [beam for beam in longer if beam[0][-1] != BOUNDARY]
        if not beams:
            break
    return max(done, key=lambda beam: beam[1]) if done else ((), -np.inf)


WORTHS = {"sum of logits": lambda s: s, "sum of log-probs": log_softmax}
beams = {name: beam_search(mlp, worth) for name, worth in WORTHS.items()}
beams["logits, normalised first"] = beam_search(mlp, lambda s: log_softmax(log_softmax(s)))
beam_texts = {name: vocabulary.decode(tokens) for name, (tokens, _) in beams.items()}
heading("Beam search for the likeliest name")
table(
    ["worth of a beginning", "name", "worth"], [[k, beam_texts[k], f"{worth:.2f}"] for k, (_, worth) in beams.items()]
)

# %% [markdown]
# Adding raw logits gives a long name, because every letter adds a positive Z. Here the logits are limited, and
# log-probs are right: a beam compares scores of different rows.

# %% [markdown]
# ## Methods that look at Z itself
#
# Some add a penalty on Z squared to the loss, to keep logits near zero (z-loss, Chowdhery et al. 2022). Others subtract
# the mean of the output embedding, which moves Z but no probability (arXiv:2601.02031). Some use -Z as an energy, to
# tell familiar inputs from strange ones (Liu et al. 2020). For log-probs Z is 0, so there is nothing left to look at.
# Does -Z tell names from random letters? We count how often a random text has the higher -Z.


# %%
def levels(texts, normalise):
    """Return the Z of the scores at the end of each text."""
    contexts, targets = contexts_and_targets(texts, vocabulary, mlp.context_length)
    scores = mlp.forward(contexts[targets == BOUNDARY]).astype(float)
    return logsumexp(log_softmax(scores) if normalise else scores)


def how_often_higher(ones, others):
    return float((ones[:, None] > others).mean() + (ones[:, None] == others).mean() / 2)


rng = np.random.default_rng(0)
random_texts = ["".join(rng.choice(list(vocabulary.characters), len(name))) for name in held_out_names]
z_loss, energy_tells = {}, {}
for way, normalise in (("z", False), ("l", True)):
    of_names, of_random = levels(held_out_names, normalise), levels(random_texts, normalise)
    z_loss[way] = float((of_names**2).mean())
    # Rounded to 12 places; otherwise rounding errors would decide for log-probs, where Z is 0.
    energy_tells[way] = how_often_higher(-of_random.round(12), -of_names.round(12))

heading("Z from logits and from log-probs")
table(
    ["from", "mean of Z squared", "random text has the higher energy -Z"],
    [[way, f"{z_loss[way]:.2g}", f"{energy_tells[way]:.0%}"] for way in z_loss],
)

# %% [markdown]
# 50% is a coin toss. (A small model of names does not judge strangeness well; but from log-probs, no model can.)

# %%
survives = [name for name, x in change.items() if x <= ROUNDING]
changed = [name for name in change if name not in survives]
# %% Kept for the verdicts of page 10
page.keep(
    change=change,
    rounding=ROUNDING,
    survives=survives,
    changed=changed,
    sets_differ=sets_differ,
    rows_compared=rows_compared,
    penalised=penalised,
    beam_texts=beam_texts,
    z_loss=z_loss,
    energy_tells=energy_tells,
)

# %% The picture

order = sorted(change, key=change.get)
figure, axes = plt.subplots(figsize=(10, 6.4))
for row, name in enumerate(order):
    same = name in survives
    x = max(change[name], 1e-17)
    axes.hlines(row, 1e-17, x, color=BLUE if same else ORANGE, linewidth=3)
    axes.plot(x, row, "o" if same else "X", color=BLUE if same else ORANGE, markersize=11, markeredgecolor="black")
    if not same:
        axes.text(x * 3, row, f"{change[name]:.2f}", va="center")
axes.axvspan(1e-17, ROUNDING, color=GREY, alpha=0.12, linewidth=0)
axes.text(1.6e-17, len(order) - 0.6, "rounding of float64", color=GREY, va="bottom")
axes.set_xscale("log")
axes.set_xlim(1e-17, 30)
axes.set_xticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
axes.set_ylim(-0.6, len(order) + 0.3)
axes.set_yticks(range(len(order)), order)
axes.set_xlabel("largest change in a probability, from logits to log-probs (log scale)")
axes.set_title(f"{len(survives)} of {len(order)} decoders cannot tell log-probs from logits", x=-0.3)
page.save(figure)

# %% [markdown]
# **Remember:** a decoder that only looks at distances between scores in one row cannot tell log-probs from logits. One
# that looks at signs or sizes, or compares scores of different rows, can. Then normalise first, so that all agree.
#
# **Your turn:** fix the repetition penalty so that it writes the same text from z, from l and from z + 10. (Subtract a
# number from a token's score instead, or pass Z to it.)

# %%
page.close()
