# %% [markdown]
# # Sixteen bits: should you store logits or log-probs?
#
# So far, logits lost nothing that log-probs keep. That was in 32 bits. Today's models compute and store in bfloat16:
# the first 16 bits of a float32, with its range and two to three digits. Then it matters how large a number is. The
# level of a row, which softmax cannot see (page 3), decides how many digits are left for what it can see.

# %%
from scratchlm.pages.plumbing import BLUE, GREEN, PINK, Page, heading, headline, plt, table

import numpy as np

from scratchlm.functional import log_softmax, softmax
from scratchlm.objectives import Objective
from scratchlm.pages.recipe import learn, new_mlp

page = Page("14_sixteen_bits", rows=(4000, 1000), steps=(2000, 300))

# %% [markdown]
# ## Half of a float32, by hand
#
# A float32 is a sign, 8 bits of exponent and 23 of fraction; a bfloat16 keeps 7 of the 23. To round, add half of the
# last bit that stays, and cut off the rest; a tie goes to the even neighbour.


# %%
def bfloat16(x):
    """Return x rounded to the nearest bfloat16, as a float32."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    last = (bits >> 16) & 1
    return ((bits + 0x7FFF + last) & np.uint32(0xFFFF0000)).view(np.float32)


heading("What bfloat16 makes of a number")
NUMBERS = np.float32([1, 1.003, 5.1, 20.1, 36.1, 80.1, 160.3])
table(
    ["number", "as bfloat16", "the next one above"],
    [[f"{x:g}", f"{bfloat16(x):g}", f"{bfloat16(bfloat16(x) * np.float32(1 + 2**-7)):g}"] for x in NUMBERS],
)

# %% [markdown]
# ## The same rows, at four levels
#
# A model's scores may lie anywhere: shifting a row changes no probability. So we take rows, shift each until its best
# score is at 5, 20, 80 or 160, store them in bfloat16, and look at what became of the probabilities.

# %%
PEAKS = [5, 20, 80, 160]
rng = np.random.default_rng(0)
distances = rng.normal(0, 2, (page.rows, 27))
distances -= distances.max(axis=-1, keepdims=True)
STORED = {
    "logits": lambda z: z,
    "log-probs": log_softmax,
    "logits - max": lambda z: z - z.max(axis=-1, keepdims=True),
}


def spoilt(z, stored, keep=bfloat16):
    """Return the worst relative error of a probability above 1%, and the share of greedy tokens that changed."""
    exact, kept = softmax(z), keep(stored(z))
    error = np.abs(softmax(kept.astype(np.float64)) / exact - 1)
    return float(error[exact > 0.01].max()), float((kept.argmax(axis=-1) != z.argmax(axis=-1)).mean())


errors, changed = {}, {}
in_32_bits, _ = spoilt(distances + max(PEAKS), STORED["logits"], keep=np.float32)
for name, stored in STORED.items():
    results = [spoilt(distances + peak, stored) for peak in PEAKS]
    errors[name], changed[name] = ([result[k] for result in results] for k in (0, 1))

heading(f"{page.rows:,} rows of 27 scores, stored in bfloat16: what became of the probabilities")
table(
    ["stored", *(f"best score {peak}" for peak in PEAKS)],
    [[f"{name}: worst error of p", *(f"{error:.1%}" for error in errors[name])] for name in STORED]
    + [[f"{name}: greedy token changed", *(f"{share:.2%}" for share in changed[name])] for name in STORED],
)

# %% [markdown]
# The larger logits are, the less they are worth. Log-probs are worth the same wherever the row lay: log-softmax brings
# every row to one level. So does subtracting the maximum, which costs no exp, and leaves the best score at 0, out of
# reach of any rounding. What helps is not the normalising but the small size of the scores that matter. So "logits lose
# nothing" has a limit: in 16 bits, do not store them as they come.

# %% [markdown]
# ## The loss is a stored number, too
#
# Near 36 nats, bfloat16 has steps of 0.25. If you sum such losses, you sum steps: google-deepmind/optax#1020,
# Modalities/modalities#464.

# %%
heading("A loss near 36 nats, as bfloat16")
LOSSES = np.float32([35.9, 36.0, 36.1, 36.2, 36.3])
table(["loss", *(f"{x:.1f}" for x in LOSSES)], [["bfloat16", *(f"{x:g}" for x in bfloat16(LOSSES))]])

# %% [markdown]
# ## Where should a head cast to float32?
#
# Many heads squeeze their scores between -c and c: c tanh(z / c). The products before it are bfloat16 in any case. If
# tanh is computed in bfloat16 too, scores are rounded once more, and those near c suffer most: karpathy/nanochat#326.

# %%
CAP = 30.0
scores = bfloat16(distances + 20)
before = CAP * np.tanh(scores / np.float32(CAP))
after = bfloat16(np.float32(CAP) * bfloat16(np.tanh(bfloat16(scores / np.float32(CAP)))))
exact_p = softmax(CAP * np.tanh(scores.astype(np.float64) / CAP))
cast_errors = {
    name: float(np.abs(softmax(z.astype(np.float64)) / exact_p - 1)[exact_p > 0.01].max())
    for name, z in [("before", before), ("after", after)]
}
heading("A soft cap at 30, scores up to 20 in bfloat16: the worst error of a probability above 1%")
print(f"cast to float32 before the cap: {cast_errors['before']:.5%};   after it: {cast_errors['after']:.1%}")

# %% [markdown]
# ## And does training mind?
#
# We train the network of page 7 with its logits, and their gradient, rounded to bfloat16 in every step.


# %%
class Sixteen:
    """A model whose logits, and their gradient, are rounded to bfloat16."""

    def __init__(self, model):
        self.model, self.params = model, model.params
        self.vocab_size, self.context_length = model.vocab_size, model.context_length

    def forward(self, contexts):
        return bfloat16(self.model.forward(contexts))

    def backward(self, grad_logits):
        return self.model.backward(bfloat16(grad_logits))


def held_out_nll(wrap, seed):
    return learn(wrap(new_mlp(seed=seed)), page.steps, Objective("logits", "cross_entropy"), seed=seed)[-1].nll


nlls = {name: [held_out_nll(wrap, seed) for seed in (0, 1)] for name, wrap in [("32", lambda m: m), ("16", Sixteen)]}
heading(f"The network of page 7, {page.steps:,} steps from two starts: NLL on held-out names (nats)")
table(["logits in", "start 0", "start 1"], [[f"{bits} bits", *(f"{x:.4f}" for x in nlls[bits])] for bits in nlls])

# %% [markdown]
# The effect is smaller than the difference between two starts: the scores are small, and the rounding errors of many
# rows cancel. A record for training speed was set with bfloat16 losses (KellerJordan/modded-nanogpt#133). It is not
# harmless everywhere: a training run on TPUs collapsed until log_softmax was computed in float32 (google/flax#677). And
# numbers that are stored for others to read, or reported, cannot count on cancelling.

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
looks = [("logits", PINK, "o-"), ("log-probs", BLUE, "s-"), ("logits - max", GREEN, "^--")]
for axes, values in ((left, errors), (right, changed)):
    for name, colour, mark in looks:
        axes.plot(
            range(len(PEAKS)), [100 * value for value in values[name]], mark, color=colour, markersize=9, label=name
        )
    axes.set_xticks(range(len(PEAKS)), [str(peak) for peak in PEAKS])
    axes.set_xlabel("the row's best score (nats)")
left.set_ylabel("worst error of a probability above 1% (%)")
left.set_title("The probabilities", fontsize=15)
left.legend(loc="upper left", title="stored in bfloat16")
right.set_ylabel("rows (%)")
right.set_title("The best token has changed", fontsize=15)
headline(figure, "In 16 bits, logits lose what log-probs keep")
page.save(figure)

page.keep(in_32_bits=in_32_bits, errors=errors, changed=changed, cast_errors=cast_errors, nlls=nlls)

# %% [markdown]
# **Remember:** in 16 bits a score keeps two to three digits, whatever it is worth. Bring rows to a level near 0
# before you store them: as log-probs, or as logits minus their maximum.
#
# **Your turn:** float16 has 10 bits of fraction and 5 of exponent. In spoilt, set keep=np.float16. How much better do
# logits fare, and what happens to a row whose best score is 65,520?

# %%
page.close()
