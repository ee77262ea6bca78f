# %% [markdown]
# # Why does a training run that went well explode?
#
# The loss falls below a ten-millionth, and every answer is right. Hundreds of steps later the loss is a million times
# higher, for no visible reason. People fight this with clipping, with weight decay, with float64. The reason is on page
# 5: when the model is sure, p - 1 is 0 in float32, though the gradient is not. Here a small network learns a table by
# heart, twice, from the same start; the only difference is one subtraction.

# %%
from scratchlm.pages.plumbing import BLUE, PINK, Page, heading, headline, plt, say, table

import math

import numpy as np

from scratchlm.functional import cross_entropy, cross_entropy_backward, softmax
from scratchlm.optim import AdamW

try:
    import torch
except ImportError:
    torch = None

HOURS = 31
page = Page("13_collapse", seeds=(3, 1), steps=(2000, 1800), width=(128, 64))
if page.steps <= 201:
    page.end(
        f"--steps must be more than 201, not {page.steps}: the page looks for jumps in the loss from step 201 onwards"
    )

# %% [markdown]
# ## The task: a + b, on a clock of 31 hours
#
# There are 961 sums. The network learns 60% of them by heart, all of these in every step, so nothing is left to chance
# but the start. Nothing is noisy, and nothing is hard.


# %%
def sums(seed):
    """Return the sums to learn, and those to guess: pairs and their answers for each."""
    a, b = np.divmod(np.random.default_rng(seed).permutation(HOURS**2), HOURS)
    pairs, answers = np.stack([a, b], axis=1), (a + b) % HOURS
    learned = int(0.6 * len(pairs))
    return (pairs[:learned], answers[:learned]), (pairs[learned:], answers[learned:])


# %% [markdown]
# ## The network: a table of embeddings, two hidden layers, and their gradients by hand

# %%
EMBEDDING = 16


def new_network(seed, dtype):
    """Return the initial parameters, scaled so that each layer outputs numbers around 1."""
    rng, sizes = np.random.default_rng(seed), [2 * EMBEDDING, page.width, page.width, HOURS]
    params = {"embedding": rng.normal(0, 1, (HOURS, EMBEDDING))}
    for k in range(3):
        params[f"weight{k}"] = rng.normal(0, 1, (sizes[k], sizes[k + 1])) / np.sqrt(sizes[k])
        params[f"bias{k}"] = np.zeros(sizes[k + 1])
    return {name: param.astype(dtype) for name, param in params.items()}


def forward(params, pairs):
    """Return the input of each layer, and finally the logits."""
    layers = [params["embedding"][pairs].reshape(len(pairs), -1)]
    for k in range(3):
        above = layers[-1] @ params[f"weight{k}"] + params[f"bias{k}"]
        layers.append(np.maximum(above, 0) if k < 2 else above)
    return layers


def backward(params, pairs, layers, grad):
    """Return the gradient of every parameter, given the gradient of the logits."""
    grads = {}
    for k in (2, 1, 0):
        grads[f"weight{k}"], grads[f"bias{k}"] = layers[k].T @ grad, grad.sum(axis=0)
        grad = grad @ params[f"weight{k}"].T
        if k:
            grad = grad * (layers[k] > 0)
    grads["embedding"] = np.zeros_like(params["embedding"])
    np.add.at(grads["embedding"], pairs, grad.reshape(*pairs.shape, EMBEDDING))
    return grads


# %% [markdown]
# ## The only difference: the gradient at the target
#
# On paper, p - 1 and -(sum of the other p) are the same number, since probabilities sum to 1. In float32, p is rounded
# to 1 once the others sum to less than 3e-8. Then p - 1 says "nothing to do here", while the others, tiny but not 0,
# still say "down with us": the gradient of a row no longer sums to 0.


# %%
def usual(logits, targets):
    """Return the gradient of the mean loss as in textbooks: p - 1 at the target."""
    grad = softmax(logits)
    grad[np.arange(len(targets)), targets] -= 1
    return grad / grad.dtype.type(len(targets))


ours = cross_entropy_backward  # at the target, minus the sum of the others


def by_torch(logits, targets):
    """Return the gradient that PyTorch computes by itself."""
    scores = torch.tensor(logits, requires_grad=True)
    torch.nn.functional.cross_entropy(scores, torch.tensor(targets)).backward()
    return scores.grad.numpy()


# %% [markdown]
# ## Training as large language models are trained: Adam, remembering squares for some 20 steps (beta2 = 0.95)


# %%
class Course:
    """A training run: for each step the loss, the share of silent rows, the mean score, and how far a lead moved.

    A row is silent if its gradient is 0 at the target but not at the others. A lead is that of a right answer over
    another answer; the one that moved furthest in the last step counts, in nats.
    """

    def __init__(self, gradient, seed, dtype=np.float32, beta2=0.95, epsilon=1e-8):
        (pairs, answers), (new_pairs, new_answers) = sums(seed)
        params, rows = new_network(seed, dtype), np.arange(len(answers))
        adam = AdamW(params, beta2=beta2, epsilon=epsilon, weight_decay=0)
        self.loss, self.silent, self.level, self.moved = [], [], [], []
        before = None
        for _ in range(page.steps):
            layers = forward(params, pairs)
            grad = gradient(layers[-1], answers)
            self.loss.append(float(cross_entropy(layers[-1], answers)))
            self.silent.append(float(((grad[rows, answers] == 0) & grad.any(axis=1)).mean()))
            self.level.append(float(layers[-1].mean()))
            leads = layers[-1][rows, answers, None] - layers[-1]
            self.moved.append(0.0 if before is None else float(abs(leads - before).max()))
            before = leads
            adam.step(backward(params, pairs, layers, grad), learning_rate=0.002)
        self.norm = float(np.sqrt(sum((p.astype(np.float64) ** 2).sum() for p in params.values())))
        self.guessed = float((forward(params, new_pairs)[-1].argmax(axis=1) == new_answers).mean())
        rise = np.array(self.loss[201:]) / np.minimum.accumulate(self.loss)[200:-1]
        self.jump, self.top = (
            float(rise.max()),
            int(rise.argmax()) + 201,
        )  # relative to the lowest loss so far, and when


heading("From the same start: p - 1 at the target, or minus the sum of the others")
courses = {name: [Course(g, seed) for seed in range(page.seeds)] for name, g in [("p - 1", usual), ("ours", ours)]}
exact = Course(usual, 0, dtype=np.float64)
shown = [(f"{name}, start {seed}", course) for name in courses for seed, course in enumerate(courses[name])]
shown.append(("p - 1, start 0, float64", exact))
if torch is None:
    print("PyTorch is not installed and is left out; to see it too: pip install '.[peers]'")
else:
    shown.append(("PyTorch's own, start 0", Course(by_torch, 0)))
table(
    ["gradient", "lowest loss", "last loss", "largest rise of the loss", "last mean score", "norm of weights"],
    [
        [
            name,
            f"{min(c.loss):.1e}",
            f"{c.loss[-1]:.1e}",
            f"{c.jump:,.0f} times",
            f"{round(c.level[-1]):,}",
            f"{c.norm:.0f}",
        ]
        for name, c in shown
    ],
)
print("(The rise is relative to the lowest loss so far, after the first 200 steps; 1 means that it never rose.)")

# %% [markdown]
# ## What happens: all scores sink, and softmax does not see it

# %%
one, other = courses["p - 1"][0], courses["ours"][0]
heading("The first start, step by step")
table(
    ["step", "p - 1: loss", "silent rows", "mean score", "lead moved", "ours: loss", "mean score", "lead moved"],
    [
        [str(n), f"{one.loss[n]:.1e}", f"{one.silent[n]:.0%}", f"{round(one.level[n]):,}", f"{one.moved[n]:.2f}",
         f"{other.loss[n]:.1e}", f"{round(other.level[n]):,}", f"{other.moved[n]:.2f}"]
        for n in sorted({0, 200, one.top // 4, one.top // 2, 3 * one.top // 4, one.top - 50, one.top})
    ],
)  # fmt: skip
print("silent: the gradient is 0 at the target, but not at the others; lead moved: the furthest in this step (nats)")
lowest = min(one.loss[: one.top])
say(f"""In silent rows all that is left says "down". Adam divides a gradient by its own usual size, so a whisper of 1e-9
moves the weights as far as a shout. All scores of a row sink together, and softmax, blind to a shift (page 3), reports
nothing. But the larger the scores, the further a step moves them, and the leads with them: by
{max(one.moved[200:]):.0f} nats in the end, while a loss of {lowest:.0e} means a lead of {-math.log(lowest):.0f}. Our
gradient pushes the target up by as much as it pushes the others down. Its scores stay where they are, and after step
200 no step moves a lead by more than {max(other.moved[200:]):.2f} nats.""")

# %% [markdown]
# ## How far does it go, and what does it not show?
#
# In the end, Adam's epsilon of 1e-8 slows our training down: gradients below it no longer count. With 1e-25 it goes on.
# With a longer memory, beta2 = 0.999, Adam takes smaller steps while the gradient falls, and takes longer to reach the
# point where p - 1 is 0. (In 30,000 steps it gets there, and explodes too: replace 0.95 by 0.999 in Course, and run
# this page with --steps 30000 --width 64 --seeds 1. It takes a few minutes.)

# %%
further, longer = Course(ours, 0, epsilon=1e-25), Course(usual, 0, beta2=0.999)
heading("Other settings")
print(f"ours with epsilon 1e-25: the loss ends at {further.loss[-1]:.0e}")
print(
    f"p - 1 with beta2 = 0.999: the loss ends at {longer.loss[-1]:.0e}, and its largest rise is {longer.jump:.1f} times"
)
guessed = max(course.guessed for course in (*courses["p - 1"], *courses["ours"]))
print(f"of the sums that were held out, at most {guessed:.0%} are answered right: no network understands addition")

# %% [markdown]
# So this is about training that goes on when every answer is right, not about a model that generalises. Generalising
# takes weight decay, which keeps scores small and hides the fault. The fault was found in this very task, and called
# softmax collapse (Prieto and others 2025, arXiv:2501.04697). That it happens at p - 1 was reported to PyTorch
# (pytorch/pytorch#113708).

# %% The picture

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6), width_ratios=(3, 2))
steps = np.arange(page.steps)
for n, course in enumerate(courses["p - 1"]):
    left.semilogy(steps, course.loss, color=PINK, linewidth=1.5, label="p - 1" if not n else None)
for n, course in enumerate(courses["ours"]):
    left.semilogy(steps, course.loss, color=BLUE, linestyle="--", label="-(sum of the others)" if not n else None)
left.set_xlabel("training step")
left.set_ylabel("loss (nats, log scale)")
left.legend(loc="lower left", fontsize=14)
left.set_title("The loss", fontsize=15)
right.plot(steps, one.level, color=PINK, linewidth=2)
right.plot(steps, other.level, color=BLUE, linestyle="--")
right.set_xlabel("training step")
right.set_ylabel("mean of all scores (nats)")
right.set_title("All scores sink", fontsize=15)
headline(figure, "A training run that went well explodes, because of one subtraction: p - 1")
page.save(figure)

page.keep(
    jumps={name: [course.jump for course in runs] for name, runs in courses.items()},
    last={name: [course.loss[-1] for course in runs] for name, runs in courses.items()},
    float64_jump=exact.jump,
    float64_last=exact.loss[-1],
)

# %% [markdown]
# **Remember:** where the model is sure, p - 1 is 0 and the gradient is not. Write -(sum of the others).
#
# **Your turn:** weight decay is said to help. In Course, give AdamW a weight_decay of 0.1, and then of 1. Which one
# saves p - 1, and at what cost?

# %%
page.close()
