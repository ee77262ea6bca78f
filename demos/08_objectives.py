# %% [markdown]
# # Which pairs of head and loss learn, and which only seem to?
#
# A *head* is what a model outputs: its logits z, log_softmax(z), or softmax(z). A *loss* turns that output and the
# token that came into one number: cross_entropy expects logits and normalises them itself; nll_loss expects log-probs
# and trusts them. Three heads and two losses make six pairs. All six run without an error, but not all are right.
# Training changes the numbers inside a model, its weights, so that the loss falls, step by step, one minibatch of
# letters at a time. Beside the reported loss we put the truth, the NLL: minus the log of the probability that
# softmax(z) gave to the token that came, in nats per letter, on names that the model has never seen. A blind guess
# among 27 tokens pays log 27 = 3.30.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, Page, heading, headline, in_ulps, plt, say, table

import inspect
import math

import numpy as np

from scratchlm.functional import cross_entropy, log_softmax, nll_loss
from scratchlm.objectives import HEADS, LOSSES, Objective
from scratchlm.optim import AdamW
from scratchlm.oracle import ulp_error
from scratchlm.pages.recipe import data_for, learn, new_bigram, new_mlp, vocabulary
from scratchlm.sampling import sample

page = Page("08_objectives", steps=(2000, 200), rows=(100, 10))
V = len(vocabulary)
PAIRS = [(head, loss) for head in HEADS for loss in LOSSES]
SAME = [("logits", "cross_entropy"), ("log_softmax", "nll_loss")]

# %% [markdown]
# ## On paper, cross_entropy(z) = nll_loss(log_softmax(z)). And on a computer?


# %%
def apart(dtype):
    """Return how far apart the two right pairs are: the loss in ulps, the gradient, and its share of the bound."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, size=(page.rows, V))
    sure = 30.0 * (np.arange(V) == rng.integers(V, size=(page.rows, 1)))
    value_ulps, grad_difference, of_bound = [], [], []
    for z in (noise, noise + sure, 10 * noise, noise + 1e4):  # ordinary, confident, wide, far from zero
        z = z.astype(dtype)
        log_probs = log_softmax(z)
        for y in (z.argmax(axis=-1), rng.integers(V, size=page.rows)):
            value_ulps.append(
                ulp_error(nll_loss(log_probs, y, "none"), cross_entropy(z, y, "none").astype(float)).max()
            )
            (_, one), (_, two) = (Objective(*pair).value_and_grad(z, y) for pair in SAME)
            grad_difference.append(np.abs(two - one).max() * len(z))  # of one row, not of the mean
            some = np.maximum(np.abs(one), np.abs(two)) >= np.finfo(dtype).tiny
            ulps = np.where(some, ulp_error(two, one.astype(float)), 0)
            rounded = np.abs(log_probs)
            others = np.where(np.arange(V) == y[:, None], -np.inf, log_probs)
            np.put_along_axis(rounded, y[:, None], -others.max(axis=-1, keepdims=True) + math.log(V), axis=-1)
            of_bound.append((ulps / (8 + 4 * rounded)).max())
    return [float(np.max(x)) for x in (value_ulps, grad_difference, of_bound)]


# (How far apart may rounding set them? The second gradient is computed from exp(l), and l was rounded: by up to 2 ulps,
# as page 2 measures. exp turns that into up to 4 |l| ulps, and two results add 4 ulps each: 8 + 4 |l|. At the target
# the entry is minus the probability of the others, so l is theirs: that of the likeliest, plus log V for those behind
# it. The last of the three numbers is the share of this bound; page 10 uses it.)

same = {dtype.__name__: apart(dtype) for dtype in (np.float32, np.float64)}
heading("cross_entropy(z) and nll_loss(log_softmax(z)) on four kinds of rows: the largest difference")
table(
    ["dtype", "in the loss", "in a row's gradient"],
    [[name, f"{in_ulps(value)} ulps", f"{grad:.0e}"] for name, (value, grad, _) in same.items()],
)

# %% [markdown]
# ## In training: six pairs, two models
#
# The bigram of page 6 and the MLP of page 7 learn here by the gradient of page 5. Each step draws a *minibatch* of 128
# letters with their contexts. A tenth of the names is held out: the models never learn from them and are only tested on
# them. scratchlm/pages/recipe.py has the details. The names, the minibatches and the start are the same; only the pair
# differs.

# %%
MODELS = {"bigram": new_bigram, "MLP": new_mlp}
histories, accuracy = {}, {}
for kind, new_model in MODELS.items():
    for pair in PAIRS:
        model = new_model()
        histories[kind, *pair] = learn(model, page.steps, Objective(*pair))
        _, held_out = data_for(model)
        best_guesses = model.forward(held_out.contexts).argmax(axis=-1)  # the letters with the highest score
        accuracy[kind, *pair] = float((best_guesses == held_out.targets).mean())

BLIND = math.log(V)
reported = {key: history[-1].loss for key, history in histories.items()}
truth = {key: history[-1].nll for key, history in histories.items()}


def what_happened(kind, head, loss):
    if truth[kind, head, loss] < truth[kind, *SAME[0]] + 0.05:
        return "learns"
    return "seems to learn" if reported[kind, head, loss] < BLIND - 1 else "grows too sure"


outcome = {key: what_happened(*key) for key in truth}
heading(f"After {page.steps} steps: the reported loss, and the truth on held-out names (blind guess: {BLIND:.2f})")
table(
    ["model, head + loss", "reported loss", "true NLL (nats per letter)", "best guess right", ""],
    [
        [
            f"{kind:6}  {head} + {loss}",
            f"{reported[kind, head, loss]:.3f}",
            f"{truth[kind, head, loss]:.3f}",
            f"{accuracy[kind, head, loss]:.0%}",
            outcome[kind, head, loss],
        ]
        for kind, head, loss in truth
    ],
)

# %% [markdown]
# logits + nll_loss: the loss is -z[y]. To make it small, the model only has to raise all scores, so the loss has no
# floor. softmax + cross_entropy: the loss takes probabilities for logits. Nothing it sees can exceed the ceiling of
# page 4, so it cannot fall below -log 0.0947 = 2.36, however sure the model gets. It keeps pushing the model to be
# surer, and the truth ends far above a blind guess. softmax + nll_loss: the loss is -p[y]. It rewards being right more
# often, and hardly notices how terribly wrong the model is when it is wrong.

# %% [markdown]
# ## Does log-softmax train more stably? Three twins
#
# We train three networks with the same start, the same minibatches and the same optimizer. The first has the pair
# logits + cross_entropy, the second log_softmax + nll_loss. Their rounding errors differ, and training amplifies them,
# so the two drift apart. Is that more than rounding? The third network has the pair of the first, but starts one ulp
# away, so it shows how much rounding alone does. And a stranger, with another random start, shows what far apart means.


# %%
def twins():
    """Train them side by side; return how far the others end from the first, and the held-out NLL of each."""
    models = [new_mlp(), new_mlp(), new_mlp(), new_mlp(seed=1)]
    for value in models[2].params.values():
        value[...] = np.nextafter(value, np.float32(np.inf))
    objectives = [Objective(*SAME[pair]) for pair in (0, 1, 0, 0)]
    optimizers = [AdamW(model.params, weight_decay=0.1) for model in models]
    learning, held_out = data_for(models[0])
    rng = np.random.default_rng(0)
    for _ in range(page.steps):
        rows = rng.integers(len(learning.targets), size=128)
        for model, objective, optimizer in zip(models, objectives, optimizers, strict=True):
            logits = model.forward(learning.contexts[rows])
            _, grad_logits = objective.value_and_grad(logits, learning.targets[rows])
            optimizer.step(model.backward(grad_logits), 0.003)
    distances = [distance(models[0], other) for other in models[1:]]
    return distances, [cross_entropy(m.forward(held_out.contexts), held_out.targets) for m in models]


def distance(one, other):
    """Return the distance between the weights of two models, as a share of their size."""
    difference = sum(((one.params[name] - other.params[name]) ** 2).sum() for name in one.params)
    return float(np.sqrt(difference / sum((value**2).sum() for value in one.params.values())))


distances, twin_nll = twins()
drift, control, stranger = distances
heading(
    f"Three twins and a stranger after {page.steps} steps: the distance of their weights from the first's, as a share"
)
table(
    ["twin", "distance", "held-out NLL"],
    [
        ["logits + cross_entropy", "-", f"{twin_nll[0]:.4f}"],
        ["log_softmax + nll_loss", f"{drift:.1e}", f"{twin_nll[1]:.4f}"],
        ["logits + cross_entropy, started 1 ulp away", f"{control:.1e}", f"{twin_nll[2]:.4f}"],
        ["logits + cross_entropy, another start", f"{stranger:.1e}", f"{twin_nll[3]:.4f}"],
    ],
)
say("It is the same training: only amplified rounding sets the two apart." if drift < 10 * control else "Not the same!")

# %% [markdown]
# ## Is the code simpler? Count the lines


# %%
def with_logits(logits, targets, rng):
    loss = cross_entropy(logits, targets)
    guess = logits.argmax(axis=-1)
    token = sample(logits / 0.8, rng)  # a temperature of 0.8
    return loss, guess, token


def with_log_softmax(logits, targets, rng):
    log_probs = log_softmax(logits)
    loss = nll_loss(log_probs, targets)
    guess = log_probs.argmax(axis=-1)
    token = sample(log_probs / 0.8, rng)
    return loss, guess, token


lines = {f.__name__: len(inspect.getsource(f).strip().splitlines()) for f in (with_logits, with_log_softmax)}
z, y = np.random.default_rng(1).normal(0, 2, size=(50, V)), np.arange(50) % V
results = [f(z, y, np.random.default_rng(2)) for f in (with_logits, with_log_softmax)]
same_guesses, same_tokens = (bool((one == two).all()) for one, two in list(zip(*results, strict=True))[1:])

heading("A loss, a best guess and a drawn token: lines of code, including the def")
table(["", "lines"], [[name, str(count)] for name, count in lines.items()])
print(f"the same guesses: {same_guesses}; the same tokens: {same_tokens}")

# %% Kept for the verdicts of page 10
page.keep(
    same=same,
    blind=BLIND,
    reported={" ".join(key): value for key, value in reported.items()},
    truth={" ".join(key): value for key, value in truth.items()},
    accuracy={" ".join(key): value for key, value in accuracy.items()},
    drift=drift,
    control=control,
    twin_nll=[float(x) for x in twin_nll],
    lines=lines,
)

# %% The first picture: the reported loss and the truth

figure, axes = plt.subplots(2, 3, figsize=(11, 7.2), sharex=True)
for column, head in enumerate(HEADS):
    for row, loss in enumerate(LOSSES):
        panel, history = axes[row, column], histories["MLP", head, loss]
        steps = [r.step for r in history]
        panel.plot(steps, [r.nll for r in history], color=BLUE, label="true NLL, held-out names")
        panel.plot(steps[1:], [r.loss for r in history[1:]], color=ORANGE, linestyle="--", label="reported loss")
        panel.axhline(BLIND, color=GREY, linestyle=":", linewidth=1.5, label=f"blind guess: {BLIND:.2f}")
        panel.set_title(f"{head} + {loss}\n{outcome['MLP', head, loss]}", fontsize=13)
        panel.set_xticks([0, page.steps // 2, page.steps])
        if outcome["MLP", head, loss] == "learns":
            panel.set_ylim(0, 5)
for panel in axes[:, 0]:
    panel.set_ylabel("nats per letter (scales differ)", fontsize=12)
for panel in axes[1]:
    panel.set_xlabel("step")
learning_pairs = sum(outcome["MLP", *pair] == "learns" for pair in PAIRS)
headline(figure, f"Six pairs report a falling loss; {learning_pairs} of them learn (MLP)")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
page.save(figure)

# %% The second picture: the twins

figure, axes = plt.subplots(figsize=(10, 4.2))
BARS = {
    "another random start": (stranger, GREY),
    "a start 1 ulp away": (control, ORANGE),
    "log_softmax + nll_loss": (drift, BLUE),
}
for place, (value, colour) in enumerate(BARS.values()):
    axes.barh(place, value, 0.6, left=0, color=colour)
    axes.text(value * 1.2, place, f"{value:.0e}" if value < 0.1 else f"{value:.1f}", va="center")
axes.set_xscale("log")
axes.set_xlim(1e-5, 10)
axes.set_yticks(range(len(BARS)), list(BARS))
axes.set_xlabel("distance from logits + cross_entropy after training\n(share of the weights' size, log scale)")
axes.set_title("Log-softmax ends closer to logits\nthan a start one rounding away")
page.save(figure, "twins")

# %% [markdown]
# **Remember:** a falling loss proves nothing. Know what your loss expects, and measure the true NLL beside it.
#
# **Your turn:** log_softmax + cross_entropy normalises twice, but still learns. Why does the second time change
# nothing? (What is the Z of a row of log-probs?)

# %%
page.close()
