# %% [markdown]
# # How much better does a model guess if it looks at eight letters, and can we trust a gradient worked out by hand?
#
# The bigram forgets everything but the last letter. Bengio's network (2003) looks at several. Each letter becomes a few
# numbers, its embedding. The embeddings of the last eight letters stand side by side, and two layers turn them into
# logits. A layer multiplies a row of numbers by a matrix of weights and adds a row; after the first layer, tanh bends
# each number into the range from -1 to 1. Such a network is called a multi-layer perceptron, or MLP. We wrote its
# derivative by hand, in some twenty lines. So first we check them, then we train, then we let the model invent names.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, PINK, Page, heading, plt, say, table

import math
from functools import partial

import numpy as np

from scratchlm.data import contexts_and_targets
from scratchlm.gradcheck import max_relative_error, numerical_gradient
from scratchlm.models import MLPLM
from scratchlm.objectives import HEADS, LOSSES, Objective
from scratchlm.pages.recipe import data_for, held_out_names, learn, names, new_bigram, new_mlp, vocabulary
from scratchlm.sampling import generate
from scratchlm.training import Data, mean_nll

page = Page("07_mlp", steps=(4000, 400), names=(1000, 100), letters=(8, 8))

# %% [markdown]
# ## Trust first: the gradient check
#
# For each parameter of a small model, nudge every number a little in both directions, and see how far the loss moves.
# Nudging knows nothing about our algebra: if both agree, it would be a strange accident for both to be wrong. We try
# six losses: a model may output z, log_softmax(z) or softmax(z) (its *head*), and pass it to cross_entropy or nll_loss.
# Page 8 asks which of the six can teach a model.


# %%
def gradient_errors(objective):
    rng = np.random.default_rng(0)
    model = MLPLM(vocab_size=6, context_length=3, embedding_dim=4, hidden_dim=5, seed=1, dtype=np.float64)
    contexts, targets = rng.integers(6, size=(8, 3)), rng.integers(6, size=8)
    _, grad_logits = objective.value_and_grad(model.forward(contexts), targets)
    by_hand = model.backward(grad_logits)

    def loss_with(name, value):
        kept, model.params[name] = model.params[name], value
        loss, _ = objective.value_and_grad(model.forward(contexts), targets)
        model.params[name] = kept
        return loss

    by_nudging = {name: numerical_gradient(partial(loss_with, name), value) for name, value in model.params.items()}
    return {name: max_relative_error(by_hand[name], by_nudging[name]) for name in model.params}


errors = {(head, loss): gradient_errors(Objective(head, loss)) for head in HEADS for loss in LOSSES}
worst_error = max(max(by_name.values()) for by_name in errors.values())

heading("The gradient by hand and by nudging: the largest relative difference")
table(
    ["head + loss", *next(iter(errors.values()))],
    [[f"{head} + {loss}", *(f"{e:.0e}" for e in by_name.values())] for (head, loss), by_name in errors.items()],
)
say(f"The worst of all is {worst_error:.1e}. A wrong sign or a forgotten factor would show as 0.1 to 2.")

# %% [markdown]
# ## The rivals, and names that neither has seen
#
# A tenth of the names is held out. The bigram counts the rest, with 1 added to every count, so that no new pair is
# impossible. That is close to the best that pairs can do. For both models lower is better; the unit is nats per letter.
#
# The network starts from random weights. Each step draws 128 letters with their contexts, goes forward, goes backward,
# and moves each weight against its gradient (AdamW: in units of the recent gradient, and a little towards 0). Over the
# first 100 steps the step size grows; after that it shrinks along half a cosine. See scratchlm/pages/recipe.py and
# scratchlm/training.py.

# %%
bigram = new_bigram()
pairs, held_out_pairs = data_for(bigram)
floor = mean_nll(bigram.fit_counts(*pairs, smoothing=1), held_out_pairs)

mlp = new_mlp(letters=page.letters)
history = learn(mlp, page.steps)
final = history[-1].nll
_, held_out = data_for(mlp)

heading(f"Held-out names: {len(held_out_names)} names, {len(held_out.targets):,} letters and ends")
table(
    ["model", "numbers to learn", "nats per letter", "perplexity"],
    [
        ["blind guess", "0", f"{math.log(len(vocabulary)):.4f}", f"{len(vocabulary):.2f}"],
        ["bigram, counted", f"{bigram.params['logits'].size:,}", f"{floor:.4f}", f"{math.exp(floor):.2f}"],
        ["MLP, trained", f"{sum(p.size for p in mlp.params.values()):,}", f"{final:.4f}", f"{math.exp(final):.2f}"],
    ],
)
say(f"""The MLP is {floor - final:.3f} nats better: the bigram hesitates between {math.exp(floor):.1f} letters, the MLP
between {math.exp(final):.1f}. (That number is the perplexity, exp of the NLL.)""")

# %% [markdown]
# ## The names it invents, by temperature and by decoder
#
# A decoder decides which token is drawn. It may divide the logits by a temperature: below 1, likely letters become
# likelier; above 1, all become more alike. Or it may cut off the unlikely ones. top-k keeps the k best letters (Fan et
# al. 2018). top-p keeps the fewest letters that together have probability p (Holtzman et al. 2020). min-p keeps every
# letter with at least a given share of the best one's probability (Nguyen et al. 2024).

# %%
known = set(names)
DECODERS = {
    "T = 0.3": {"temperature": 0.3},
    "T = 0.7": {"temperature": 0.7},
    "T = 1": {},
    "T = 1.5": {"temperature": 1.5},
    "top-k 3": {"top_k": 3},
    "top-p 0.8": {"top_p": 0.8},
    "min-p 0.2": {"min_p": 0.2},
    "T = 1.5, min-p 0.2": {"temperature": 1.5, "min_p": 0.2},
}


def invented(count, seed, options):
    return [vocabulary.decode(ids) for ids in generate(mlp, count, rng=seed, **options)]


heading("Ten names by each decoder (new ones marked *)")
for decoder, options in DECODERS.items():
    print(f"{decoder:18}  " + " ".join(name + "*" * (name not in known) for name in invented(10, 7, options)))

share_new, nll_of = {}, {}
for decoder, options in DECODERS.items():
    texts = invented(page.names, 0, options)
    share_new[decoder] = sum(name not in known for name in texts) / len(texts)
    nll_of[decoder] = mean_nll(mlp, Data(*contexts_and_targets(texts, vocabulary, mlp.context_length)))

heading(f"{page.names:,} names by each decoder")
table(
    ["decoder", "new names", "the model's own surprise (nats per letter)"],
    [[decoder, f"{share_new[decoder]:.0%}", f"{nll_of[decoder]:.2f}"] for decoder in DECODERS],
)

# %% The picture

figure, axes = plt.subplots()
steps = [r.step for r in history]
axes.plot(steps[1:], [r.loss for r in history[1:]], color=PINK, linestyle=":", label="MLP, training names")
axes.plot(steps, [r.nll for r in history], color=BLUE, label="MLP, held-out names")
axes.axhline(floor, color=ORANGE, linestyle="--", label="bigram, held-out names")
axes.text(page.steps, floor + 0.03, f"{floor:.2f}", ha="right", color=GREY)
axes.text(page.steps, final - 0.1, f"{final:.2f}", ha="right", color=BLUE)
x = 0.85 * page.steps
axes.annotate("", (x, floor), (x, final), arrowprops={"arrowstyle": "<->", "color": GREY, "lw": 2})
axes.text(0.84 * page.steps, (floor + final) / 2, f"{floor - final:.2f} nats", ha="right", va="center", color=GREY)
axes.set_ylim(1.5, 3.4)
axes.set_xlabel("step (a minibatch of 128 letters)")
axes.set_ylabel("NLL (nats per letter)")
axes.set_title(f"{page.letters} letters of context instead of 1 save {floor - final:.2f} nats per letter")
axes.legend()
page.save(figure)

page.keep(worst_error=worst_error, bigram_nll=floor, mlp_nll=final, share_new=share_new, nll_of=nll_of)

# %% [markdown]
# **Remember:** a gradient by hand is an algebra exercise; a gradient check makes it a fact. Do it in float64, and
# before you train.
#
# **Your turn:** let the MLP look at one letter: --letters 1. Which number in the table should it now approach, and why
# can it not beat that number by much?

# %%
page.close()
