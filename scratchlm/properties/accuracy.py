"""The second tier: the distance from the 60-digit oracle, in ulps; and the tiny gradients that must not become 0."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional, oracle
from scratchlm.properties.battery import Implementation, property_of
from scratchlm.properties.compare import Array, demand, near, numbers
from scratchlm.properties.inputs import (
    only,
    with_targets,
)


@st.composite
def rows_to_judge(draw: st.DrawFn, dtype: Any) -> Array:
    """Draw a row that stays within what exp can tell from 0, at a level that may be far from 0."""
    reach, width = (80, 32) if dtype == np.float32 else (600, 64)
    n = draw(st.integers(1, 8))
    entries = st.integers(-reach // 2, reach // 2) | st.floats(-reach / 2, reach / 2, width=width)  # type: ignore[arg-type]
    row = np.array(draw(st.lists(entries, min_size=n, max_size=n)), dtype)
    level = draw(st.sampled_from([0, 1000, -float(row.max())]))  # the last brings the largest score to 0
    return np.asarray(row + level, dtype)


def _ulps_off(actual: Any, exact: list[Any], row: Array, per_class: bool) -> Any:
    """Return the error of each entry in ulps; 0 where exact value or exp(z - max z) is subnormal, with fewer digits."""
    errors = np.asarray(oracle.ulp_error(numbers(actual).reshape(np.shape(exact)), exact))
    tiny = float(np.finfo(row.dtype).tiny)
    normal = np.array([abs(float(x)) >= tiny for x in np.ravel(np.array(exact, object))]).reshape(np.shape(exact))
    if per_class:
        normal &= row.astype(np.float64) - float(row.max()) > math.log(tiny)
    return np.where(normal, errors, 0)


def _judged(kind: str, f: Implementation, row: Array, y: Array | None) -> tuple[Any, Any]:
    """Return what f gives for a row, and what is exact."""
    if kind == "cross_entropy" and y is not None:
        return f(row[None], y[None], reduction="none"), [oracle.cross_entropy(row, y)]
    if kind == "cross_entropy_backward" and y is not None:
        return f(row[None], y[None], reduction="sum"), [oracle.cross_entropy_backward(row, y)]
    if kind == "logsumexp_backward":
        return f(np.ones(1, row.dtype), row[None], axis=-1), [oracle.softmax(row)]
    return f(row[None], axis=-1), [getattr(oracle, kind)(row)]


# Rows on which z - max z is rounded as badly as can be: a textbook's softmax is off by 1.9 times what is allowed on the
# first, by 1.6 times on the second.
BADLY_ROUNDED = {np.float64: [227.1998426768955, -287.8225126706215], np.float32: [31.0, -36.999996185302734]}
HINTS = {
    "softmax": "exp makes much of the rounding of z - max z. A row with its maximum between 0 and 600 (60 in float32) "
    "needs no shift at all; for others, a whole number as the shift keeps more digits than the maximum does.",
    "logsumexp": "exp(-40) beside 1 is rounded away, so do not add them: leave one maximal exp out of the sum, and "
    "take log1p of the rest.",
    "cross_entropy": "The loss of a sure row is log1p(rest), with one maximal exp left out of the rest. Add what "
    "the target lacks to the maximum, m - z[y], and nothing else.",
    "cross_entropy_backward": "At the target, sum the other probabilities instead of p - 1; and before exp, "
    "shift as for the star of softmax.",
}
HINTS |= {"logsumexp_backward": HINTS["softmax"], "log_softmax": HINTS["logsumexp"]}


def _accuracy(kind: str, dtype: Any) -> None:
    per_class = kind not in ("logsumexp", "cross_entropy")
    row = {"logits": np.array(BADLY_ROUNDED[dtype], dtype)}
    always = [{**row, "targets": np.array(y)} for y in (0, 1)] if "cross" in kind else [row]

    @property_of(
        kind,
        f"accurate in {np.dtype(dtype).name}",
        "error <= 4 ulps + (max z - min z) / 2 ulps, entry by entry",
        why="A confident row has a tiny loss and a tiny gradient, and they are all it can learn from.",
        hint=HINTS[kind],
        cases=(with_targets if "cross" in kind else only)(rows_to_judge(dtype)),
        tier="accuracy",
        always=tuple(always),
    )
    def is_accurate(f: Implementation, logits: Array, targets: Array | None = None) -> None:
        actual, exact = _judged(kind, f, logits, targets)
        # logsumexp adds the maximum and log1p(rest). Where they cancel, no formula in one precision keeps the digits.
        if kind == "logsumexp" and abs(float(exact[0])) < abs(float(logits.max())):
            return
        off = _ulps_off(actual, exact, logits, per_class)
        bound = 4 + float(logits.max() - logits.min()) / 2
        wanted = np.array([[float(x) for x in part] if isinstance(part, list) else float(part) for part in exact])
        demand(off <= bound, f"off by {off.max():.6g} ulps, where {bound:.6g} are allowed", wanted, actual)


for _name in ("logsumexp", "softmax", "log_softmax", "cross_entropy", "logsumexp_backward", "cross_entropy_backward"):
    for _dtype in (np.float64, np.float32):
        _accuracy(_name, _dtype)


@property_of(
    "log_softmax_backward",
    "a confident row still learns",
    "for p_y near 1, the gradient of -l_y is -(1 - p_y), not 0",
    why="g_y - p_y g_y cancels to 0 once p_y rounds to 1, and the other classes are pushed with nothing to balance it.",
    hint="1 - exp(l) = -expm1(l), and l of a confident row is tiny but not 0.",
    cases=st.integers(20, 200).map(
        lambda gap: {"grad_output": np.array([-1.0, 0.0]), "log_probs": functional.log_softmax([float(gap), 0.0])}
    ),
    tier="accuracy",
)
def learns_from_confident_log_probs(f: Implementation, grad_output: Array, log_probs: Array) -> None:
    missing = -math.expm1(log_probs[0])
    near(f(grad_output, log_probs, axis=-1), [-missing, missing], "the gradient", rtol=1e-9)


@property_of(
    "softmax_backward",
    "a confident row still learns",
    "for p_y near 1, the gradient of p_y is p_y (1 - p_y), not 0",
    why="g_y - sum_j p_j g_j cancels to 0 once p_y rounds to 1.",
    hint="A number added to every g_k changes nothing: subtract g at the likeliest class first.",
    cases=st.integers(20, 200).map(
        lambda gap: {"grad_output": np.array([1.0, 0.0]), "probs": functional.softmax([float(gap), 0.0])}
    ),
    tier="accuracy",
)
def learns_from_confident_probs(f: Implementation, grad_output: Array, probs: Array) -> None:
    expected = probs[0] * probs[1]
    near(f(grad_output, probs, axis=-1), [expected, -expected], "the gradient", rtol=1e-9)
