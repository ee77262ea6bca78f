"""The exercises: what each asks for, the file a student starts from, and hints from a nudge to nearly the answer.

In: a number. Out: an `Exercise`, whose parts name the functions to write and the kind of each. `properties_of` returns
the properties that a part is tested against.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from scratchlm.classroom.points import ordinary_properties
from scratchlm.classroom.tasks import TASKS
from scratchlm.files import beside
from scratchlm.properties import PROPERTIES, Property

STUBS = Path(__file__).parent / "stubs"
EXAMINER = "looks_like_softmax"  # a kind without properties: it is tested on CANDIDATES


@dataclass(frozen=True)
class Part:
    """One function of an exercise, and how it is tested.

    `kind` is a kind of the battery, or of TASKS, or "looks_like_softmax". A starred part is an optional goal: the
    accuracy tier of the battery. A teacher's own function brings its properties with it.
    """

    function: str
    kind: str
    starred: bool = False
    own: tuple[Property, ...] = ()


@dataclass(frozen=True)
class Exercise:
    """One exercise: its file, its parts, and its hints, to read one at a time."""

    number: int
    title: str
    file: str
    parts: tuple[Part, ...]
    hints: tuple[str, ...]

    @property
    def stub(self) -> str:
        """Return the text of the file that students get."""
        return (STUBS / self.file).read_text(encoding="utf-8")


def hand_out(text: str, place: Path) -> bool:
    """Write the file that a student starts from, whole or not at all; return False if a file exists already.

    Errors: OSError if it cannot be written.
    """
    if os.path.lexists(place):
        return False
    with beside(place) as written:
        written.write_text(text, encoding="utf-8", newline="\n")
        try:
            os.link(written, place)  # replaces nothing, even if a file has appeared meanwhile
        except FileExistsError:
            return False
        except OSError:  # some file systems have no links, a USB stick's for example
            os.rename(written, place)
    return True


def properties_of(part: Part) -> list[Property]:
    """Return the properties of a part: ordinary scores first, then those of TASKS or of the battery.

    The battery's identities and manners are required, and its accuracy earns a star.

    The part "looks_like_softmax" has none. Errors: ValueError for a kind that does not exist.

    >>> [p.name for p in properties_of(Part("softmax", "softmax", starred=True))]
    ['accurate in float64', 'accurate in float32']
    """
    if part.kind == EXAMINER or part.own:
        return list(part.own)
    if part.kind in TASKS:
        return [*ordinary_properties(part.kind), *TASKS[part.kind]]
    if part.kind not in PROPERTIES:
        raise ValueError(f"there is no kind {part.kind!r}")
    asked = [p for p in PROPERTIES[part.kind] if (p.tier == "accuracy") == part.starred]
    return asked if part.starred else [*ordinary_properties(part.kind), *asked]


def _with_star(kind: str) -> tuple[Part, Part]:
    return Part(kind, kind), Part(kind, kind, starred=True)


_ALL = (
    Exercise(
        1,
        "softmax",
        "ex01_softmax.py",
        _with_star("softmax"),
        (
            "Write the formula as it is, with np.exp and a sum, and try it on [1.0, 2.0] and on [1000.0, 1001.0].",
            "Adding c to every score of a row multiplies every exp by exp(c), and their sum too. So you may add any c "
            "before exp. Which one makes the largest exp 1?",
            "Subtract z.max(axis=axis, keepdims=True), and divide by e.sum(axis=axis, keepdims=True). Without keepdims "
            "the shapes do not fit, or, worse, they fit by chance.",
            "For the star: z - m is rounded, and exp magnifies the rounding error. A row with its maximum between 0 "
            "and 600 needs no shift at all. For other rows, shift by a whole number: it keeps more digits than the "
            "maximum does. For float32, compute in float64.",
        ),
    ),
    Exercise(
        2,
        "logsumexp",
        "ex02_logsumexp.py",
        _with_star("logsumexp"),
        (
            "Look at the number that softmax divides by in exercise 1.",
            "log(exp(c) * S) = c + log S. Take the maximum out of the sum, and add it back after the logarithm. "
            "[1000, 999] shows whether you did: the answer is 1000.31, not inf.",
            "With m = z.max(axis=axis, keepdims=True): Z = m + np.log(np.exp(z - m).sum(axis=axis, keepdims=True)). "
            "This Z still has an axis of length 1: return Z if keepdims else Z.squeeze(axis).",
            "For the star: the sum is the favourite's own 1 plus the odds against it. Do not add the 1: set the "
            "favourite's exp to 0 before you sum (np.put_along_axis with z.argmax), and return m + np.log1p(odds).",
        ),
    ),
    Exercise(
        3,
        "log_softmax",
        "ex03_log_softmax.py",
        _with_star("log_softmax"),
        (
            "Do not take the logarithm of softmax, however good your softmax is: for [1000, 0] it gives -inf. Take "
            "the logarithm on paper: the logarithm of a quotient is a difference, and the logarithm of exp(z) is z.",
            "z - Z is right on paper, but if both are huge, few digits of the difference survive. Z = m + log(sum): "
            "subtract these two one after the other.",
            "(z - m) - np.log(np.exp(z - m).sum(axis=axis, keepdims=True)).",
            "For the star: [40, 0] breaks hint 3, because 1 + exp(-40) is 1. Use log1p(odds) instead of log(sum), as "
            "in exercise 2, and the shift c of exercise 1's star. Then the odds are the sum of the other exps, "
            "divided by the favourite's own, np.exp(m - c).",
        ),
    ),
    Exercise(
        4,
        "the loss",
        "ex04_loss.py",
        (Part("nll_loss", "nll_loss"), *_with_star("cross_entropy")),
        (
            "Start with nll_loss and reduction='none': one entry of each row, with a minus sign. Then take the mean or "
            "the sum of those.",
            "With y = np.asarray(targets)[..., None], np.take_along_axis(log_probs, y, axis=-1) picks them. The result "
            "has an axis of length 1; drop it with [..., 0].",
            "cross_entropy is nll_loss of the log_softmax of exercise 3, (z - m) - log(sum of exp(z - m)), with m the "
            "maximum of the row. Do not multiply by a one-hot matrix: 0 times -inf is nan.",
            "For the star: the loss is log1p(odds), with the odds against the target. For a hopeless target they "
            "overflow, so take the odds against the favourite, and add the distance: (m - z[y]) + log1p(odds). "
            "Nothing cancels. Compute the odds as in exercise 3's star, in float64 and with the shift c of exercise "
            "1's: the sum of exp(z_j - c) over all but the favourite, divided by its own exp, np.exp(m - c).",
        ),
    ),
    Exercise(
        5,
        "the gradient of the loss",
        "ex05_loss_gradient.py",
        _with_star("cross_entropy_backward"),
        (
            "You need softmax: copy yours from exercise 1.",
            "One entry of each row is lowered by 1. With y = np.asarray(targets)[..., None], read it with "
            "np.take_along_axis(p, y, axis=-1), subtract 1, and write it back with np.put_along_axis.",
            "Divide by targets.size for 'mean'; do not divide for 'sum' and 'none'.",
            "For the star: never compute p - 1. At the target the gradient is -odds / (1 + odds): minus the "
            "probability of the others. Set the target's exp to 0, sum the others, and write minus that sum in its "
            "place. Then divide the row by the full sum, which includes the target's exp. Shift as for the star of "
            "exercise 1.",
        ),
    ),
    Exercise(
        6,
        "the chain rule",
        "ex06_chain_rule.py",
        (*_with_star("softmax_backward"), *_with_star("log_softmax_backward")),
        (
            "Write the sum over j on paper, and split it: one part is the term j = k alone, the other is a sum over "
            "all j.",
            "For softmax the first part is g_k p_k, and the second is p_k times sum_j g_j p_j. For log_softmax they "
            "are g_k, and exp(l_k) times sum_j g_j.",
            "p * (g - (g * p).sum(axis=axis, keepdims=True)), and g - np.exp(l) * g.sum(axis=axis, keepdims=True).",
            "For the stars: only a row whose favourite has more than half of the probability needs care. For softmax, "
            "subtract the favourite's g from every g of the row first: that changes nothing, and its own becomes 0. "
            "For log_softmax, write the favourite's entry as -(sum of the other g) - np.expm1(l) * sum(g): -expm1(l) "
            "is the probability of the others.",
        ),
    ),
    Exercise(
        7,
        "temperature without logits",
        "ex07_temperature.py",
        (Part("probs_at_temperature", "probs_at_temperature"),),
        (
            "Substitute l = z - Z in softmax(l / T). Every exp has a factor exp(-Z / T), and so has their sum.",
            "So softmax(l / T) = softmax(z / T), and you have already written softmax.",
            "Use your softmax with its shift: without it, every exp(l / T) of a row can be 0 at a low temperature.",
        ),
    ),
    Exercise(
        8,
        "the logits come back",
        "ex08_recover_logits.py",
        (Part("recover_logits", "recover_logits"),),
        (
            "l = z - Z. Solve for z.",
            "NumPy aligns shapes from the right: (3, 3) and (3,) fit, but the 3 levels go to the columns.",
            "Z needs a last axis of length 1: Z[..., None], or np.expand_dims(Z, -1).",
        ),
    ),
    Exercise(
        9,
        "a bigram by counting",
        "ex09_bigram.py",
        (Part("bigram_by_counts", "bigram_by_counts"),),
        (
            "Count first, into a table of zeros, in a loop if you like. The logarithm comes last.",
            "np.add.at(count, (previous, following), 1) counts every pair, even one that occurs twice.",
            "If a row sums to 0, put a 1 into all its entries before you divide; then its shares are 1 / V.",
            "Divide by count.sum(axis=1, keepdims=True), and take the logarithm. log(0) is the -inf that you want; "
            "np.errstate(divide='ignore') silences the warning.",
        ),
    ),
    Exercise(
        10,
        "backward through a network",
        "ex10_mlp_backward.py",
        (Part("mlp_backward", "mlp_backward"),),
        (
            "Copy the lines that compute x and h. Then begin with the two gradients that the docstring writes as "
            "loops: output_bias and output_weight.",
            "For y = u @ W + b, with g the gradient of y, the gradient of W is u.T @ g, that of b is g.sum(axis=0), "
            "and that of u is g @ W.T. You need this twice.",
            "Between the two layers lies tanh: multiply the gradient of h by 1 - h**2.",
            "The gradient of x, reshaped to (N, C, E), belongs to the rows of the table: np.add.at(grad_embedding, "
            "contexts, grad_x).",
        ),
    ),
    Exercise(
        11,
        "top-k and top-p",
        "ex11_filters.py",
        (Part("top_k", "top_k"), Part("top_p", "top_p")),
        (
            "Both end with np.where(stays, scores, -np.inf), in the dtype of the scores. All the work is `stays`.",
            "For top_k: with k = min(k, V), the k-th best score of a row is "
            "np.sort(scores, axis=-1)[..., -k, None]. Every score that is at least this high stays.",
            "For top_p: order = np.argsort(-scores, axis=-1), probabilities in that order, and "
            "before = np.cumsum(probs, axis=-1) - probs. Every token with before < p stays.",
            "To move the answers back to their places: stays = np.zeros(scores.shape, bool), and "
            "np.put_along_axis(stays, order, before < p, axis=-1).",
        ),
    ),
    Exercise(
        12,
        "logsumexp of a stream",
        "ex12_streaming.py",
        (Part("absorb", "absorb"), Part("result", "result")),
        (
            "Work through the chunks [0] and [1] by hand. After the first, the state is (0, 1). The second brings a "
            "new maximum. What is the old 1 worth, measured from there?",
            "new_max = max(running_max, chunk.max(initial=-np.inf)). Then measure both the old sum and the new exps "
            "from new_max.",
            "new_sum = running_sum * np.exp(running_max - new_max) + np.exp(chunk - new_max).sum().",
            "If new_max is -inf, nothing has come yet: return (-np.inf, 0.0) before you take any exp.",
        ),
    ),
    Exercise(
        13,
        "the examiner",
        "ex13_examiner.py",
        (Part(EXAMINER, EXAMINER),),
        (
            "Begin with one row, and ask whether the probabilities sum to 1. Which of your own mistakes in exercise 1 "
            "would have passed that?",
            "The ratios p_j / p_k = exp(z_j - z_k) and the sum together leave only one answer for a row. It remains to "
            "choose the rows: unsorted ones, with ties, with large scores of both signs, with -inf, of length 1.",
            "Then the same with a batch: each row must give the same result as alone, even beside a row at another "
            "level.",
            "Put it all into try ... except Exception: return False. Write comparisons so that nan fails: "
            "abs(a - b) <= 1e-10 * abs(b), and then np.all of it.",
        ),
    ),
)
EXERCISES: dict[int, Exercise] = {exercise.number: exercise for exercise in _ALL}
