# %% [markdown]
# # Should a model output logits or log-softmax? Sixteen claims, and how they fared when measured.
#
# An article on language models asked this question and answered it by reasoning. Some of its claims are right, some are
# wrong, and some are missing the second half of the sentence. The other pages measured them. This page adds what they
# left open. Does the choice of output, the model's *head*, affect how good a model gets? Does it matter for
# classification, with another model, or with another random seed? Then the numbers decide: each verdict is computed
# from measurements, by a rule that you can read here.

# %%
from scratchlm.pages.plumbing import BLUE, GREY, ORANGE, Page, heading, headline, plt, say, table

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchlm.data import Vocabulary, contexts_and_targets, load_name_lists, split_texts
from scratchlm.objectives import Objective
from scratchlm.pages.recipe import data_for, learn, names, new_bigram, new_mlp, vocabulary
from scratchlm.training import Data

page = Page("10_verdicts", seeds=(5, 3), steps=(2000, 100))
if page.seeds < 2:
    page.end("one seed says nothing about others; use --seeds 2 or more")
measured = {number: page.measured(number) for number in (1, 2, 3, 4, 8, 9, 14)}

# %% [markdown]
# ## What the other pages measured
#
# Each page saves its numbers in a file beside its pictures. If they are missing, or older than the code, the page runs
# again.

# %% [markdown]
# ## What they left open: two heads, two architectures, several seeds
#
# A seed decides which names are held out, which weights a network starts from, and the order of the minibatches. So the
# results vary from seed to seed as they would if you repeated the whole experiment. Both heads use the same seeds, and
# are compared seed by seed.

# %%
HEADS = {"logits": Objective("logits", "cross_entropy"), "log_softmax": Objective("log_softmax", "nll_loss")}
MODELS = {"bigram": lambda size, seed: new_bigram(size), "MLP": new_mlp}


def guess_letters(new_model, objective, seed):
    """Return the held-out NLL of a language model, and how often its best guess is the next letter."""
    model = new_model(len(vocabulary), seed)
    learning, held_out = data_for(model, split=seed)
    history = learn(model, page.steps, objective, (learning, held_out), seed)
    return history[-1].nll, right_guesses(model, held_out).mean()


def right_guesses(model, data):
    return model.forward(data.contexts).argmax(axis=-1) == data.targets


# %% [markdown]
# ## Classification: which census list is a name on?
#
# The names come from two lists of the 1990 census, one of women's names and one of men's; 331 names are on both. To
# give the question one right answer, "both" is an answer of its own: F, M or B. Learning it takes nothing new:
# classifying is predicting one more token. We append the answer to the name, and train on that token alone.

# %%
female, male = (set(some_names) for some_names in load_name_lists().values())
ANSWERS = {"F": "women's list only", "M": "men's list only", "B": "both lists"}
with_answers = Vocabulary.from_texts([*names, *ANSWERS])
answer_ids = with_answers.encode("".join(ANSWERS))


def answer(name):
    return "B" if name in female and name in male else "F" if name in female else "M"


def answers_to(some_names, context_length):
    texts = [name + answer(name) for name in some_names]
    contexts, targets = contexts_and_targets(texts, with_answers, context_length)
    is_answer = np.isin(targets, answer_ids)
    return Data(contexts[is_answer], targets[is_answer])


def classify(new_model, objective, seed):
    """Return how often the list is guessed right, overall and for each answer, on held-out names."""
    model = new_model(len(with_answers), seed)
    parts = split_texts(names, validation_fraction=0.1, seed=seed)
    learning, held_out = (answers_to(part, model.context_length) for part in parts)
    learn(model, max(page.steps // 6, 50), objective, (learning, held_out), seed)
    right = right_guesses(model, held_out)
    most = np.bincount(held_out.targets).max() / len(held_out.targets)
    return right.mean(), most, [right[held_out.targets == i].mean() for i in answer_ids]


results = {}  # (model, head): one row per seed, with NLL, next-letter accuracy, list accuracy
by_answer, always_most = {}, []
for kind, new_model in MODELS.items():
    for head, objective in HEADS.items():
        rows = []
        for seed in range(page.seeds):
            nll, letters = guess_letters(new_model, objective, seed)
            lists, most, of_answers = classify(new_model, objective, seed)
            rows.append([nll, letters, lists])
            by_answer.setdefault((kind, head), []).append(of_answers)
            always_most.append(most)
        results[kind, head] = np.array(rows)

# %% [markdown]
# ## How sure are we? A confidence interval
#
# Other seeds would give a slightly different mean. If the results scatter in a bell curve, the true mean lies within t
# times scatter / sqrt(n) of the mean of n seeds in 95 of 100 such experiments. The factor t, listed here for n = 2, 3,
# ..., makes up for having so few seeds (Student 1908).

# %%
T_95 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26]


class Interval(NamedTuple):
    """A mean, and how far away the ends of its 95% confidence interval are."""

    mean: float
    plus_minus: float


def interval(values):
    n = len(values)
    t = T_95[min(n - 1, len(T_95)) - 1]
    return Interval(float(np.mean(values)) + 0.0, float(t * np.std(values, ddof=1) / np.sqrt(n)))


MEASURES = ["held-out NLL", "next letter guessed", "census list guessed"]
intervals = {key: [interval(column) for column in rows.T] for key, rows in results.items()}
differences = {
    kind: [interval(column) for column in (results[kind, "log_softmax"] - results[kind, "logits"]).T] for kind in MODELS
}

heading(f"Held-out names, {page.seeds} seeds: mean and 95% confidence interval")
table(
    ["model, head", "NLL (nats per letter)", *MEASURES[1:]],
    [
        [f"{kind}, {head}", f"{nll.mean:.4f} ± {nll.plus_minus:.4f}"]
        + [f"{x.mean:.2%} ± {x.plus_minus:.2%}" for x in (letters, lists)]
        for (kind, head), (nll, letters, lists) in intervals.items()
    ]
    + [
        [f"{kind}, difference", f"{nll.mean:+.0e} ± {nll.plus_minus:.0e}"]
        + [f"{x.mean:+.2%} ± {x.plus_minus:.2%}" for x in (letters, lists)]
        for kind, (nll, letters, lists) in differences.items()
    ],
)
recall = {kind: np.mean(by_answer[kind, "logits"], axis=0) for kind in MODELS}
print("\nThe census list, answer by answer: how many of each are found")
table(
    ["answer", "share of the names", *MODELS],
    [
        [text, f"{np.mean([answer(name) == a for name in names]):.0%}", *(f"{recall[kind][i]:.0%}" for kind in MODELS)]
        for i, (a, text) in enumerate(ANSWERS.items())
    ],
)
say(f"""Always giving the most common answer is right for {np.mean(always_most):.0%} of the names. Of the names on both
lists, the MLP finds {recall["MLP"][2]:.0%}: accuracy alone would not have shown it. (The intervals say what other seeds
would do with these names; about other names they say nothing.)""")


measured[10] = {
    "heads": {f"{kind}, {head}": dict(zip(MEASURES, x, strict=True)) for (kind, head), x in intervals.items()},
    "differences": {kind: dict(zip(MEASURES, x, strict=True)) for kind, x in differences.items()},
    "recall": {kind: dict(zip(ANSWERS, x.tolist(), strict=True)) for kind, x in recall.items()},
}
page.keep(**measured[10])

# %% [markdown]
# ## The rules
#
# Whether a claim holds is decided by comparing numbers; m is what its page measured. If the numbers leave it open,
# `holds` returns None, and the verdict is "undecided". If a claim holds, but only because of something else that was
# measured, or only up to a point, it is confirmed with a limit. No verdict is typed in: other numbers would give
# other verdicts.


# %%
class Claim(NamedTuple):
    """A claim, the page that measures it, when it holds, when it holds with a limit, and the numbers to report."""

    number: str
    claim: str
    page: int
    holds: Callable[[dict], bool | None]
    limited: Callable[[dict], bool]
    tell: Callable[[dict], str]


def never(m):
    return False


def worst(errors):
    return max(errors.values())


# The smallest gain worth the name, in nats or as a share of right answers; seeds scatter by more.
A_GAIN = 0.005


def is_larger(differences, gain=A_GAIN):
    """Return whether any difference is certainly a gain: False if certainly none is, None if the seeds cannot tell."""
    if any(d.mean - d.plus_minus > gain for d in differences):
        return True
    return False if all(d.mean + d.plus_minus < gain for d in differences) else None


def farthest(differences):
    """Return the difference that may be the largest, without its sign."""
    mean, plus_minus = max(differences, key=lambda d: abs(d.mean) + d.plus_minus)
    return abs(mean), plus_minus


def is_smaller(differences):
    return is_larger([Interval(-d.mean, d.plus_minus) for d in differences])


def opposite(answer):
    return None if answer is None else not answer


CLAIMS = [
    Claim(
        "A1",
        "logits are unnormalised: any real numbers will do",
        3,
        # Two results, each within the 4 ulps that scratchlm promises; a factor, for comparison, shows clearly.
        lambda m: worst(m["shift_ulps"]) <= 8 < 80 < min(m["scale_ulps"].values()),
        never,
        lambda m: f"softmax(z + c) equals softmax(z) to within {worst(m['shift_ulps']):.0f} ulps",
    ),
    Claim(
        "A2",
        "log-softmax is the numerically stable form",
        2,
        # It holds if log1p keeps what log(softmax(z)) loses. The limit: the log-softmax of libraries loses some of it.
        lambda m: (
            max(ulps["d - log1p(odds)"] for ulps in m["ulps"].values()) <= 4
            and max(lost["log(softmax(z))"] for lost in m["lost"].values()) > 0
        ),
        lambda m: max(ulps["d - log(sum)"] for ulps in m["ulps"].values()) > 1000,
        lambda m: (
            "with log1p, right to {:.1f} ulps; with log(sum), 0 once the lead reaches {:.0f}; as log(softmax(z)), "
            "{:.0%} -inf on rows 300 nats wide (float32)".format(
                max(ulps["d - log1p(odds)"] for ulps in m["ulps"].values()),
                m["lost_from"]["d - log(sum)"][0],
                m["lost"]["float32, 300"]["log(softmax(z))"],
            )
        ),
    ),
    Claim(
        "A3",
        "cross-entropy on logits is NLL on log-softmax",
        8,
        lambda m: all(value <= 8 and share <= 1 for value, _, share in m["same"].values()),
        never,
        lambda m: "the same loss to within {:.0f} ulp, and the same gradient to within {:.0e} (float32)".format(
            *m["same"]["float32"]
        ),
    ),
    Claim(
        "A4",
        "from log-probs the logits cannot be recovered",
        3,
        lambda m: m["directions_lost"] > 0,
        lambda m: worst(m["back_ulps"]) <= 3.5,  # three rounded by half an ulp, two of them computed: one ulp more
        lambda m: (
            f"{m['directions_lost']} number per row is lost, Z; with it, z comes back to within "
            f"{worst(m['back_ulps']):.1f} ulps"
        ),
    ),
    Claim(
        "A5",
        "with log-probs in hand, temperature is frozen at 1",
        4,
        # Frozen: T changes nothing, or not what it changes with logits, by more than rounding explains.
        lambda m: any(a["moved"] < 0.1 or a["of_bound"] > 1 for a in m["agreement"].values()),
        never,
        lambda m: (
            "from whole rows, softmax(l / T) equals softmax(z / T) to within {difference:.0e} for T from 0.05 to 20; "
            "l[y] alone is not enough (page 15)"
        ).format(**m["agreement"]["float64"]),
    ),
    Claim(
        "A6",
        "exp(l) gives the probabilities, not the logits",
        4,
        # 4e-15: 16 roundings of float64. Used as logits, probabilities do not come back; they reach the ceiling.
        lambda m: m["exp_difference"] < 4e-15 and 0.99 * m["ceiling"] < m["reached"] < 1.000001 * m["ceiling"],
        never,
        lambda m: (
            "exp(l) equals softmax(z) to within {exp_difference:.0e}; fed as logits, it gives flat rows: at most "
            "{reached:.4f}, e/(e + 26)"
        ).format(**m),
    ),
    Claim(
        "A7",
        "T < 1 sharpens, T > 1 flattens",
        4,
        lambda m: m["falls"] == 0 < m["temperature_steps"] and m["coldest"] < 0.1 * m["hottest"],
        never,
        lambda m: (
            "entropy fell in {falls} of {temperature_steps:,} steps up in T; it is {coldest:.2f} nats at T = 0.05, "
            "{hottest:.2f} at T = 20"
        ).format(**m),
    ),
    Claim(
        "A8",
        "forgetting log-softmax before the NLL loss is serious",
        8,
        # The reported loss is below 0, impossible for probabilities, and the true one at least a tenth of a nat worse.
        lambda m: all(
            m["reported"][f"{kind} logits nll_loss"] < 0
            and m["truth"][f"{kind} logits nll_loss"] > m["truth"][f"{kind} logits cross_entropy"] + 0.1
            for kind in MODELS
        ),
        never,
        lambda m: "reported loss {:.0f}, true NLL {:.0f} nats; a blind guess has {blind:.1f} (MLP)".format(
            m["reported"]["MLP logits nll_loss"], m["truth"]["MLP logits nll_loss"], **m
        ),
    ),
    Claim(
        "A9",
        "log-softmax lowers the risk of overflow",
        1,
        # It holds for the log-softmax of every library, compared with exp(z). The limit: with the same shift, softmax
        # survives too, and without it, no logarithm helps.
        lambda m: len(m["survivors"]["log_softmax, shifted"]) > len(m["survivors"]["softmax, naive"]),
        lambda m: (
            m["survivors"]["softmax, shifted"] == m["survivors"]["log_softmax, shifted"]
            and m["survivors"]["softmax, naive"] == m["survivors"]["log_softmax, naive"]
        ),
        lambda m: (
            "exp overflows above {float16:.2f}, {float32:.2f}, {float64:.2f} (float16, 32, 64); "
            "the shift prevents it, with or without the log"
        ).format(**m["overflow"]),
    ),
    Claim(
        "A10",
        "log-softmax trains more stably than logits",
        8,
        # Farther apart than twins that started one ulp apart, and with a better loss.
        lambda m: m["drift"] > 10 * m["control"] and m["twin_nll"][1] < m["twin_nll"][0] - A_GAIN,
        never,
        lambda m: (
            f"the weights end {m['drift']:.0e} apart; starting them 1 ulp apart gives {m['control']:.0e}; what makes "
            "training explode is p - 1 (page 13)"
        ),
    ),
    Claim(
        "A11",
        "for classification, log-softmax is better",
        10,
        lambda m: is_larger([d["census list guessed"] for d in m["differences"].values()]),
        never,
        lambda m: (
            "census list guessed right: MLP {:.1%}, bigram {:.1%}; the heads differ by at most {:.1%} ± {:.1%}".format(
                m["heads"]["MLP, logits"]["census list guessed"].mean,
                m["heads"]["bigram, logits"]["census list guessed"].mean,
                *farthest([d["census list guessed"] for d in m["differences"].values()]),
            )
        ),
    ),
    Claim(
        "A12",
        "top-k and top-p sampling need logits",
        9,
        lambda m: sum(m["sets_differ"].values()) > 1e-3 * m["rows_compared"],  # fewer are neighbours rounded to a tie
        never,
        lambda m: (
            f"the kept sets differ in {sum(m['sets_differ'].values())} of {m['rows_compared']:,} comparisons (float64)"
        ),
    ),
    Claim(
        "A13",
        "log-softmax makes the code simpler",
        8,
        lambda m: m["lines"]["with_log_softmax"] < m["lines"]["with_logits"],
        never,
        lambda m: "a loss, a guess and a sample take {with_log_softmax} lines with it, {with_logits} without".format(
            **m["lines"]
        ),
    ),
    Claim(
        "A14",
        "handled properly, logits cost no training quality",
        10,
        lambda m: opposite(is_smaller([d["held-out NLL"] for d in m["differences"].values()])),
        never,
        lambda m: "held-out NLL: MLP {:.3f}, bigram {:.3f}; the heads differ by at most {:.0e} ± {:.0e} nats".format(
            m["heads"]["MLP, logits"]["held-out NLL"].mean,
            m["heads"]["bigram, logits"]["held-out NLL"].mean,
            *farthest([d["held-out NLL"] for d in m["differences"].values()]),
        ),
    ),
    Claim(
        "A15",
        "for generation, log-softmax is limited",
        9,
        lambda m: len(m["changed"]) > 0,
        lambda m: len(m["survives"]) > 0,
        lambda m: (
            f"{len(m['survives'])} of {len(m['change'])} decoders write the same text, all but "
            + " and ".join(m["changed"])
            + ("; beam search needs log-probs" if len(set(m["beam_texts"].values())) > 1 else "")
        ),
    ),
    Claim(
        "B1",
        "(ours) logits lose nothing that log-probs keep",
        14,
        # In float32, 160 is stored in steps of 1.5e-5: half a step of error for p, and as much for the sum. The limit:
        # in 16 bits logits are more than 10 times as far off as log-probs.
        lambda m: m["in_32_bits"] < 4e-5,
        lambda m: m["errors"]["logits"][-1] > 10 * m["errors"]["log-probs"][-1],
        lambda m: (
            f"in bfloat16, logits of 160 distort probabilities by {m['errors']['logits'][-1]:.0%}, log-probs by "
            f"{m['errors']['log-probs'][-1]:.1%}; in float32, logits distort them by {m['in_32_bits']:.0e}"
        ),
    ),
]


def unmeasured(m):
    """Return whether there is a nan among the measurements, at any depth."""
    if isinstance(m, dict | list | tuple):
        return any(unmeasured(x) for x in (m.values() if isinstance(m, dict) else m))
    return isinstance(m, float) and np.isnan(m)


def judge(claim, m):
    """Return the verdict on a claim, from what its page measured."""
    holds = None if unmeasured(m) else claim.holds(m)
    if holds is None:
        return "undecided"
    if not holds:
        return "refuted"
    return "confirmed, with a limit" if claim.limited(m) else "confirmed"


verdicts = {claim.number: judge(claim, measured[claim.page]) for claim in CLAIMS}

# %% [markdown]
# ## The numbers decide

# %%
heading("The verdicts")
for claim in CLAIMS:
    print(f"{claim.number:4} {claim.claim:54} {verdicts[claim.number]:24} page {claim.page}")
    print(f"{'':4} {claim.tell(measured[claim.page])}")

WORDS = ["confirmed", "confirmed, with a limit", "refuted", "undecided"]
counts = {word: list(verdicts.values()).count(word) for word in WORDS}
say("Of {} claims: {}.".format(len(CLAIMS), "; ".join(f"{count} {word}" for word, count in counts.items() if count)))
same_for = [number for number in ("A5", "A10", "A11", "A12") if verdicts[number] == "refuted"]
if len(same_for) == 4 and verdicts["A14"] == "confirmed":
    say("""Should a model output logits or log-softmax? For training, for classification and for nearly every way of
generating text, it makes no difference. So output logits, from which everything else can be computed, and say that they
are logits. Normalise before you compare scores of different rows, or store them in 16 bits.""")

lines = ["| | the article says | verdict | measured | page |", "|---|---|---|---|---|"]
for claim in CLAIMS:
    number = claim.tell(measured[claim.page]).replace("|", "\\|")
    link = f"[{claim.page}](demos/{page.script(claim.page).name})"
    lines.append(f"| {claim.number} | {claim.claim} | **{verdicts[claim.number]}** | {number} | {link} |")
page.write(page.out / "verdicts.md", "\n".join(lines) + "\n")

# %% The picture: what matters, and what does not

figure, axes = plt.subplots(1, 3, figsize=(11, 4.6), sharey=True)
LOOKS = {"logits": (BLUE, "o", 0.12), "log_softmax": (ORANGE, "s", -0.12)}
for panel, (i, measure) in zip(axes, enumerate(MEASURES), strict=True):
    scale = 1 if i == 0 else 100
    for row, kind in enumerate(MODELS):
        for head, (color, marker, offset) in LOOKS.items():
            mean, plus_minus = intervals[kind, head][i]
            panel.errorbar(
                scale * mean,
                row + offset,
                xerr=scale * plus_minus,
                fmt=marker,
                color=color,
                markersize=10,
                capsize=5,
                elinewidth=2,
                label=head if row == 0 else None,
            )
    panel.set_title(measure, fontsize=14)
    panel.set_xlabel("nats per letter" if i == 0 else "% of held-out names" if i == 2 else "% of held-out letters")
    panel.set_ylim(-0.6, 1.6)
    panel.margins(x=0.15)
axes[2].axvline(100 * np.mean(always_most), color=GREY, linestyle=":", linewidth=1.5)
axes[2].text(100 * np.mean(always_most), 1.45, " always the same answer", color=GREY, fontsize=11)
axes[0].set_yticks(range(len(MODELS)), MODELS)
no_gain = verdicts["A11"] == "refuted" and verdicts["A14"] == "confirmed"
headline(figure, "The model matters; the head does not" if no_gain else "Two models and two heads")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
page.save(figure)

# %% [markdown]
# **Remember:** a claim about models is a number that nobody has measured yet. Measure it; then give the verdict.
#
# **Your turn:** pick the verdict you believe least. Change the page that measures it so that the claim gets its best
# chance, run this page again, and see whether the verdict changes.

# %%
page.close()
