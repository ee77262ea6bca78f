"""How much better does a model guess that looks at eight letters, and can we trust a gradient worked out by hand?

The bigram forgets all but the last letter. Bengio's network (2003) looks at several: each letter becomes a few numbers,
its embedding; the embeddings of the last eight stand side by side; one tanh layer and one linear layer turn them into
logits. Its derivative is some twenty lines of ours. So first we check them, then we train, then we let it invent names.
"""

# %% Trust first: the gradient check
#
# For each parameter of a small model, and for each of the six objectives, nudge every number a little in both
# directions, and see by how much the loss moves. That knows nothing of our algebra, so if both agree, both are right.
import math
from functools import partial

import numpy as np

from plumbing import BLUE, GREY, ORANGE, PINK, Page, heading, plt, table
from scratchlm.data import Vocabulary, contexts_and_targets, load_names, split_texts
from scratchlm.gradcheck import max_relative_error, numerical_gradient
from scratchlm.models import MLPLM, BigramLM
from scratchlm.objectives import HEADS, LOSSES, Objective
from scratchlm.optim import AdamW
from scratchlm.sampling import generate
from scratchlm.training import Data, mean_nll, train

page = Page(__file__, __doc__)


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

heading("Gradient by hand against gradient by nudging: largest relative difference")
table(
    ["head + loss", *next(iter(errors.values()))],
    [[f"{head} + {loss}", *(f"{e:.0e}" for e in by_name.values())] for (head, loss), by_name in errors.items()],
)
print(f"\nThe worst of all: {worst_error:.1e}. A wrong sign or a forgotten factor would show as 0.1 to 2.")

# %% The rivals, and names that neither has seen
#
# A tenth of the names is held out. The bigram is counted on the rest, with 1 added to every count, lest a new pair be
# impossible; that is the best that pairs can do. Lower is better for both; the scale is nats per letter.

names = load_names()
vocabulary = Vocabulary.from_texts(names)
learning_names, held_out_names = split_texts(names, validation_fraction=0.1, seed=0)


def data_for(model):
    parts = learning_names, held_out_names
    return [Data(*contexts_and_targets(part, vocabulary, model.context_length)) for part in parts]


bigram = BigramLM(len(vocabulary))
pairs, held_out_pairs = data_for(bigram)
floor = mean_nll(bigram.fit_counts(*pairs, smoothing=1), held_out_pairs)

mlp = MLPLM(len(vocabulary), context_length=8, embedding_dim=24, hidden_dim=128, seed=0)
learning, held_out = data_for(mlp)
STEPS = 4000
history = train(
    mlp,
    Objective("logits", "cross_entropy"),
    AdamW(mlp.params, weight_decay=0.1),
    learning,
    held_out,
    steps=STEPS,
    batch_size=128,
    learning_rate=0.01,
    warmup=100,
    record_every=200,
)
final = history[-1].nll

heading(f"Held-out names: {len(held_out_names)} names, {len(held_out.targets):,} letters and ends")
table(
    ["model", "numbers to learn", "nats per token", "perplexity"],
    [
        ["blind guess", "0", f"{math.log(len(vocabulary)):.4f}", f"{len(vocabulary):.2f}"],
        ["bigram, counted", f"{bigram.params['logits'].size:,}", f"{floor:.4f}", f"{math.exp(floor):.2f}"],
        ["MLP, trained", f"{sum(p.size for p in mlp.params.values()):,}", f"{final:.4f}", f"{math.exp(final):.2f}"],
    ],
)
print(f"\nThe MLP is {floor - final:.3f} nats better: where the bigram is in doubt between {math.exp(floor):.1f}")
print(f"letters, the MLP is in doubt between {math.exp(final):.1f}.")

# %% What it invents, by temperature
#
# Divide the logits by a temperature before the draw: below 1 the likely becomes likelier, above 1 all draws level.

known = set(names)
heading("Twelve names at each temperature (new ones marked *)")
for temperature in (0.3, 0.7, 1.0, 1.5):
    invented = [vocabulary.decode(ids) for ids in generate(mlp, 12, rng=7, temperature=temperature)]
    print(f"{temperature}   " + " ".join(name if name in known else name + "*" for name in invented))

share_new = {}
for temperature in (0.3, 0.7, 1.0, 1.5):
    invented = [vocabulary.decode(ids) for ids in generate(mlp, 1000, rng=0, temperature=temperature)]
    share_new[temperature] = sum(name not in known for name in invented) / len(invented)
print("new among 1,000 draws: " + ", ".join(f"{share:.0%} at {t}" for t, share in share_new.items()))

# %% The picture

figure, axes = plt.subplots()
steps = [r.step for r in history]
axes.plot(steps[1:], [r.loss for r in history[1:]], color=PINK, linestyle=":", label="MLP, names it learns from")
axes.plot(steps, [r.nll for r in history], color=BLUE, label="MLP, held-out names")
axes.axhline(floor, color=ORANGE, linestyle="--", label="bigram, held-out names")
axes.text(STEPS, floor + 0.03, f"{floor:.2f}", ha="right", color=GREY)
axes.text(STEPS, final - 0.1, f"{final:.2f}", ha="right", color=BLUE)
x = 0.85 * STEPS
axes.annotate("", (x, floor), (x, final), arrowprops={"arrowstyle": "<->", "color": GREY, "lw": 2})
axes.text(0.84 * STEPS, (floor + final) / 2, f"{floor - final:.2f} nats", ha="right", va="center", color=GREY)
axes.set_ylim(1.5, 3.4)
axes.set_xlabel("step (a minibatch of 128 letters)")
axes.set_ylabel("NLL (nats per token)")
axes.set_title(f"Eight letters of context are worth {floor - final:.2f} nats per letter")
axes.legend()
page.save(figure)

# %% Remember
print(
    """
Remember: a gradient by hand is an algebra exercise; a gradient check makes it a fact. Do it in float64, and before you
          train.
Exercise: set context_length to 1. Which number in the table should the MLP now approach, and why can it not pass it
          by much?
"""
)
