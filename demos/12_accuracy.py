# %% [markdown]
# # How many digits of a softmax are right, and whose?
#
# The formulas are one line each, and everybody computes them: the textbook, SciPy, PyTorch, and scratchlm. In print,
# all their answers look alike. So we ask a judge who knows 60 digits (scratchlm/oracle.py), and count in ulps: one ulp
# is the step from one float to the next. Half an ulp off is perfect, since nobody can round better. A float32 has 7
# digits; when it is 8 ulps off, 6 of them are right. We look for the worst entry, not the average: a loss that is wrong
# once is wrong.

# %%
from scratchlm.pages.plumbing import BLUE, GREEN, GREY, ORANGE, PINK, Page, heading, headline, in_ulps, plt, table

import math
from itertools import product

import numpy as np

from scratchlm import functional, naive, oracle

try:
    from scipy import special
except ImportError:
    special = None
try:
    import torch
except ImportError:
    torch = None

page = Page("12_accuracy", rows=(8, 1))
FUNCTIONS = ["softmax", "log_softmax", "cross_entropy", "gradient"]

# %% [markdown]
# ## The four candidates
#
# Each takes rows of scores z and a target y for each row, and returns softmax, log_softmax, cross_entropy (one loss per
# row) and its gradient. SciPy has no cross-entropy, so we compose one from its parts, as its users do.


# %%
def by_naive(z, y):
    p = naive.softmax(z)
    return p, naive.log_softmax(z), naive.cross_entropy(z, y, "none"), p - one_hot(z, y)


def by_scipy(z, y):
    p = special.softmax(z, axis=-1)
    losses = special.logsumexp(z, axis=-1) - z[np.arange(len(y)), y]
    return p, special.log_softmax(z, axis=-1), losses, p - one_hot(z, y)


def by_torch(z, y):
    scores = torch.tensor(z, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(scores, torch.tensor(y), reduction="none")
    losses.sum().backward()
    results = scores.softmax(-1), scores.log_softmax(-1), losses, scores.grad
    return [result.detach().numpy() for result in results]


def by_us(z, y):
    return functional.softmax(z), functional.log_softmax(z), *functional.cross_entropy_with_grad(z, y, "none")


def one_hot(z, y):
    return (np.arange(z.shape[1]) == y[:, None]).astype(z.dtype)


WHO = {"naive": by_naive, "SciPy": by_scipy, "PyTorch": by_torch, "ours": by_us}
for name, library in [("SciPy", special), ("PyTorch", torch)]:
    if library is None:
        del WHO[name]
        print(f"{name} is not installed and is left out; to see it too: pip install '.[peers]'")

# %% [markdown]
# ## The rows: four kinds that models produce
#
# Ordinary rows; confident rows, in which one class is 20 to 60 above the others; offset rows, in which all scores have
# drifted far from zero together; and wide rows, in which they lie far apart. Every second target is the largest score.

# %%
DTYPES = ["float32", "float64"]
LENGTHS = [2, 3, 27, 200]
KINDS = ["ordinary", "confident", "offset", "wide"]
OFFSETS = [-1e8, -1e6, -1e4, 1e4, 1e6, 1e8]


def rows_of(kind, length, rng):
    count = page.rows
    noise = rng.normal(size=(count, length))
    sure = np.arange(length) == rng.integers(length, size=(count, 1))
    z = {
        "ordinary": 3 * noise,
        "confident": noise + sure * rng.uniform(20, 60, size=(count, 1)),
        "offset": 2 * noise + rng.choice(OFFSETS, size=(count, 1)),
        "wide": 20 * noise,
    }[kind]
    y = np.where(np.arange(count) % 2, z.argmax(axis=-1), rng.integers(length, size=count))
    return z, y


# %% [markdown]
# ## The judge
#
# All four answers follow from the exact log_softmax. (Its exp is computed to 28 digits, decimal's default precision; a
# float64 has 16.) The gradient is p, except at the target, where it is p - 1 = -odds / (1 + odds): minus the sum of the
# others.


# %%
def exact_answers(row, target):
    log_p = np.array(oracle.log_softmax(row))
    p = np.array([x.exp() for x in log_p])
    grad = p.copy()
    grad[target] = 0
    grad[target] = -sum(grad)
    return p, log_p, -log_p[[target]], grad


# A number below the smallest normal float (1.2e-38 in float32) is stored with fewer digits, whoever computes it. So an
# entry counts only if it and its exp(z - max z) are normal floats.


def that_count(row, target, exact):
    p, log_p, _, grad = (np.abs(answer.astype(np.float64)) >= np.finfo(row.dtype).tiny for answer in exact)
    log_p &= row.astype(np.float64) - row.max() > math.log(np.finfo(row.dtype).tiny)
    return p, log_p, log_p[[target]], grad  # off the target the gradient is p, so its exp is normal too


# An error of 2^23 ulps in float32 (2^52 in float64) is at least half the number itself: no digit is right. That happens
# when a small number comes out as 0, and of course when anything comes out as inf or nan.


def worst_ulps(answer, exact, keep):
    error = oracle.ulp_error(answer[keep], exact[keep]).max(initial=0)
    return float(error) if error < 2 ** np.finfo(answer.dtype).nmant else math.inf


# %% [markdown]
# ## The examination


# %%
def examine(dtype, kind):
    rng = np.random.default_rng(0)
    found = dict.fromkeys(product(FUNCTIONS, WHO), 0.0)
    for length in LENGTHS:
        z, y = rows_of(kind, length, rng)
        z = z.astype(dtype)
        answers = {who: compute(z, y) for who, compute in WHO.items()}
        for i, (row, target) in enumerate(zip(z, y, strict=True)):
            exact = exact_answers(row, target)
            keep = that_count(row, target, exact)
            for (f, function), who in product(enumerate(FUNCTIONS), WHO):
                error = worst_ulps(np.atleast_1d(answers[who][f][i]), exact[f], keep[f])
                found[function, who] = max(found[function, who], error)
    return found


worst = {
    (function, dtype, kind, who): error
    for dtype, kind in product(DTYPES, KINDS)
    for (function, who), error in examine(dtype, kind).items()
}


for dtype in DTYPES:
    heading(f"{dtype}: the worst error in ulps (0.5 is perfect; 'all lost' means no digit is right)")
    table(
        ["function, rows", *WHO],
        [
            [f"{function}, {kind}", *(in_ulps(worst[function, dtype, kind, who]) for who in WHO)]
            for function, kind in product(FUNCTIONS, KINDS)
        ],
    )

# %% [markdown]
# ## The same in digits
#
# A float with b bits after the point that is off by u ulps has a relative error of at most u / 2^b. Minus the decimal
# logarithm of that is the number of digits that are right.


# %%
def digits(error, dtype):
    bits = np.finfo(dtype).nmant
    return 0.0 if error == math.inf else bits * math.log10(2) - math.log10(max(error, 0.5))


def all_errors(dtype, who):
    return [worst[function, dtype, kind, who] for function, kind in product(FUNCTIONS, KINDS)]


reliable = {(t, who): min(digits(error, t) for error in all_errors(t, who)) for t, who in product(DTYPES, WHO)}
lost = {(t, who): all_errors(t, who).count(math.inf) for t, who in product(DTYPES, WHO)}

heading("In digits: how many you can rely on, and in how many lines above all of them are lost")
table(
    ["who", *(f"{t}, of {digits(0.5, t):.1f}" for t in DTYPES), *(f"lines lost, {t}" for t in DTYPES)],
    [
        [
            who,
            *(f"{reliable[t, who]:.1f}" for t in DTYPES),
            *(f"{lost[t, who]} of {len(all_errors(t, who))}" for t in DTYPES),
        ]
        for who in WHO
    ],
)

# %% [markdown]
# ## Why a wide row costs digits: z - max z is rounded
#
# Everybody shifts a row before exp, lest it overflow, and most shift by max z. The difference has to fit into a float,
# and a float32 near 50 is rounded by up to 1.9e-6. That is little compared with 50, but exp turns an added error into a
# factor, and a factor of 1 + 1.9e-6 moves a probability by as much as 32 ulps. Look at naive in the lines "softmax,
# wide": it does not shift at all, and as long as nothing overflows it is among the best! So shift no further than
# overflow demands, and by a whole number c. Then z - c is exact in nearly every row, and in most of them c is 0. (See
# exp_shifted in functional.py. In the lines "softmax, offset", everyone who shifts is equally good: neighbours far from
# zero have an exact difference.)

# %%
pair = np.float32([0.6, -50])
exact_p = oracle.softmax(pair)[1]
exact_difference = float(pair[1]) - float(pair[0])  # exact in float64
difference = pair[1] - pair[0]
shift_error = float(difference) - exact_difference
by_maximum = np.exp(difference) / (1 + np.exp(difference))
by_whole_number = functional.softmax(pair)[1]
ulps_by_maximum, ulps_by_whole_number = (oracle.ulp_error(p, exact_p) for p in (by_maximum, by_whole_number))

heading("Where the digits of a wide row go: the second of [0.6, -50] in float32")
print(f"z - max z, exact              {exact_difference:.8f}")
print(f"z - max z, float32            {difference:.8f}        off by {shift_error:.1e}")
print(f"softmax, exact                {float(exact_p):.8e}")
print(f"softmax, shifted by max z     {by_maximum:.8e}     off by {ulps_by_maximum:.1f} ulps")
print(f"softmax, shifted by 0 (ours)  {by_whole_number:.8e}     off by {ulps_by_whole_number:.1f} ulps")

# %% [markdown]
# ## Why a confident row costs all of them: 1 + a little is 1
#
# The odds against the target are the probability of all the others, divided by its own. Its p is 1 / (1 + odds), so the
# loss is log(1 + odds). When the model is sure, the odds are tiny: added to 1 they vanish, and so does the loss. So do
# not add: log1p(odds) is log(1 + odds) without the addition. In the same way p - 1 comes out as 0 where p rounds to 1,
# but the true value is -odds / (1 + odds): minus the sum of the others.

# %%
sure = np.float32([20, 0])
odds = np.exp(sure[1] - sure[0])
by_log, by_log1p = np.log(1 + odds), np.log1p(odds)

heading("Where the digits of a confident row go: the first of [20, 0] in float32 is the target")
print(f"odds against it               {odds:.8e}")
print(f"loss, exact                   {float(oracle.cross_entropy(sure, 0)):.8e}")
print(f"loss = log(1 + odds)          {by_log:.8e}")
print(f"loss = log1p(odds)            {by_log1p:.8e}")

# %% [markdown]
# ## What became of the bug reports
#
# People met these errors and reported them. We run their cases again with the installed libraries, or compute the
# formula from the thread; the numbers decide the verdict. Everything is in float32, except SciPy's cases (float64) and
# the last.


# %%
def asked(who, function, row):
    """Return three answers, with a row's first class as the target: theirs (None if not installed), ours, exact."""
    place, y = FUNCTIONS.index(function), np.array([0])
    theirs, ours = (WHO[w](row[None], y)[place].flat[0] if w in WHO else None for w in (who, "ours"))
    return theirs, ours, float(exact_answers(row, 0)[place].flat[0])


gap, equal, low = np.array([0.0, -40.0]), np.float32([1e8, 1e8]), np.float32([-1000, -1000])
loss_of_equal, p_of_low = asked("PyTorch", "cross_entropy", equal), asked("ours", "softmax", low)
composed = functional.logsumexp(equal) - equal[0]  # adding log 2 to 1e8 lost it before the subtraction
e = np.exp(low - max(0, low.max()))  # [0, 0]
with np.errstate(invalid="ignore"):
    shifted_by_zero = (e / e.sum())[0]

surer = np.float16([[score, 0] for score in np.arange(4, 8, 1 / 16)])  # 64 rows, each more confident than the last
d = surer - surer[:, :1]
losses_in_float16 = np.log(np.exp(d).sum(axis=-1)) - d[:, 0]
losses_rounded_once = functional.cross_entropy(surer, np.zeros(len(surer), int), "none")
exact_losses = [np.float16(float(oracle.cross_entropy(row, 0))) for row in surer]
different = tuple(len(set(losses)) for losses in (losses_in_float16, losses_rounded_once, exact_losses))

LIBRARY, FORMULA = ("fixed", "still wrong"), ("refuted", "confirmed")  # the words for right and for wrong
reports = [  # thread, what was wrong in it, (theirs, ours, exact), words
    ("pytorch/pytorch#113708", "PyTorch log_softmax([20, 0])[0]", asked("PyTorch", "log_softmax", sure), LIBRARY),
    # With the score 0 at the target, the loss is logsumexp itself.
    ("scipy/scipy#18295, #21597", "SciPy logsumexp([0, -40])", asked("SciPy", "cross_entropy", gap), LIBRARY),
    ("(its neighbour)", "SciPy log_softmax([0, -40])[0]", asked("SciPy", "log_softmax", gap), LIBRARY),
    ("ml-explore/mlx#4188", "logsumexp(z) - z[y], z = [1e8, 1e8]", (composed, *loss_of_equal[1:]), FORMULA),
    ("pytorch/pytorch#11752", "PyTorch cross_entropy([1e8, 1e8])", loss_of_equal, LIBRARY),
    ("FluxML/NNlib.jl#43", "shift by max(0, max z), z = [-1000, -1000]", (shifted_by_zero, *p_of_low[1:]), FORMULA),
    ("google-deepmind/optax#1020", "64 losses in float16: how many differ?", different, FORMULA),
]
verdicts = {
    claim: "not installed" if theirs is None else words[not math.isclose(theirs, exact, rel_tol=1e-3)]
    for _, claim, (theirs, _, exact), words in reports
}

heading("Bug reports, put to the test again")
table(
    [f"{'thread':<28}what was wrong", "theirs", "ours", "exact", "verdict"],
    [
        [f"{thread:<28}{claim}", *("-" if x is None else f"{x + 0.0:.3g}" for x in answers), verdicts[claim]]
        for thread, claim, answers, _ in reports
    ],
)
print("\nA loss of 0 looks like a perfect model; a loss that moves in steps, like one that has stopped learning.")

# %% The picture: how far each answer hangs below perfect rounding

LOOKS = {"naive": (ORANGE, "X"), "SciPy": (GREEN, "s"), "PyTorch": (PINK, "^"), "ours": (BLUE, "o")}
TITLES = {"cross_entropy": "cross_entropy, one loss a row", "gradient": "gradient of cross_entropy"}
BEST = digits(0.5, "float32")

figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex=True, sharey=True)
for panel, function in zip(axes.flat, FUNCTIONS, strict=True):
    panel.axhline(BEST, color=GREY, linestyle=":", zorder=0)
    panel.axhspan(-0.4, 0.4, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    for place, who in enumerate(WHO):
        color, marker = LOOKS[who]
        x = np.arange(len(KINDS)) + 0.19 * (place - (len(WHO) - 1) / 2)
        y = [digits(worst[function, "float32", kind, who], "float32") for kind in KINDS]
        panel.vlines(x, y, BEST, color=color, linewidth=3)
        panel.plot(x, y, marker, color=color, markersize=11, markeredgecolor="black", label=who)
    panel.set_title(TITLES.get(function, function), fontsize=15)
    panel.set_xticks(range(len(KINDS)), KINDS)
    panel.set_yticks([0, 2, 4, 6], ["all lost", "2", "4", "6"])
    panel.set_ylim(-0.4, BEST + 0.9)
axes[0, 0].text(-0.4, BEST + 0.2, f"rounded perfectly: {BEST:.1f} digits (0.5 ulp)", color=GREY, fontsize=12)
for left in axes[:, 0]:
    left.set_ylabel("decimal digits right\n(worst entry)")
for bottom in axes[1]:
    bottom.set_xlabel(f"kind of row ({page.rows * len(LENGTHS)} rows of each)")
headline(
    figure,
    "The usual formulas lose every digit of a confident row's loss;\n"
    f"ours keep {math.floor(reliable['float32', 'ours'])} of 7 in every kind of row (float32)",
)
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
page.save(figure)

# %% [markdown]
# **Remember:** digits are lost where a small number is added to a large one. So subtract before you add, do not add the
# odds to 1 (use log1p), and shift by a whole number before exp, which hardly rounds.
#
# **Your turn:** find two float32 scores for which softmax, shifted by max z, is off by more than 50 ulps. What does
# their distance have to do with it, and why can no two scores less than 8 apart be off by more than 10?

# %%
page.close()
