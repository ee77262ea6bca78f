"""The third tier: the error against the 60-digit oracle, in ulps, and the tiny gradients that must not become 0."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional, oracle
from scratchlm.properties.battery import Implementation, property_of
from scratchlm.properties.compare import Array, demand, near, numbers
from scratchlm.properties.inputs import only, with_targets


@st.composite
def rows_to_judge(draw: st.DrawFn, dtype: Any) -> Array:
    """Draw a batch of one row, narrow enough that no exp underflows, at a level that may be far from 0."""
    reach, width = (80, 32) if dtype == np.float32 else (600, 64)
    n = draw(st.integers(2, 8))
    entries = st.integers(-reach // 2, reach // 2) | st.floats(-reach / 2, reach / 2, width=width)  # type: ignore[arg-type]
    row = np.array(draw(st.lists(entries, min_size=n, max_size=n)), dtype)
    level = draw(st.sampled_from([0, 1000, -float(row.max())]))  # the last moves the largest score to 0
    return np.asarray(row + level, dtype)[None]


def _ulps_off(actual: Any, exact: list[Any], row: Array, per_class: bool) -> Any:
    """Return the error of each entry in ulps, or 0 where its exact value or exp(z - max z) is subnormal."""
    given = numbers(actual)
    given = (
        given.astype(row.dtype) if given.dtype.itemsize > row.dtype.itemsize else given
    )  # extra digits are not a mistake
    errors = np.asarray(oracle.ulp_error(given.reshape(np.shape(exact)), exact))
    tiny = float(np.finfo(row.dtype).tiny)
    normal = np.array([abs(float(x)) >= tiny for x in np.ravel(np.array(exact, object))]).reshape(np.shape(exact))
    if per_class:
        normal &= row.astype(np.float64) - float(row.max()) > math.log(tiny)
    return np.where(normal, errors, 0)


def _judged(kind: str, f: Implementation, z: Array, y: Array | None) -> tuple[Any, Any]:
    """Return the result of f for a batch of one row, and the exact values."""
    if kind == "cross_entropy" and y is not None:
        return f(z, y, reduction="none"), [oracle.cross_entropy(z[0], y[0])]
    if kind == "cross_entropy_backward" and y is not None:
        return f(z, y, reduction="sum"), [oracle.cross_entropy_backward(z[0], y[0])]
    if kind == "logsumexp_backward":
        return f(np.ones(1, z.dtype), z, axis=-1), [oracle.softmax(z[0])]
    return f(z, axis=-1), [getattr(oracle, kind)(z[0])]


# Rows on which z - max z rounds as badly as possible: the error of a textbook softmax is 1.8 times the bound on the
# first, and 1.3 times on the second.
BADLY_ROUNDED = {np.float64: [227.1998426768955, -287.8225126706215], np.float32: [31.0, -36.999996185302734]}
HINTS = {
    "softmax": "exp magnifies the rounding error of z - max z. A row whose scores all lie between -700 and 600 (in "
    "float32, -80 and 60) needs no shift at all. For other rows, shift by a whole number: it keeps more digits.",
    "logsumexp": "The odds against the favourite, the class with the largest score m, are the sum of exp(z_j - m) over "
    "all the others. Added to the favourite's own 1, an exp(-40) is rounded away, so take m + log1p(odds) instead.",
    "log_softmax": "Compute (z - m) - log1p(odds), with the odds against the favourite, the class with the largest "
    "score m. Leave the favourite out of the sum: its own 1 swallows small odds. Before exp, shift as for the star of "
    "softmax.",
    "cross_entropy": "The loss is log1p(odds), with the odds against the target. If the target is not the favourite, "
    "they may overflow. Then take the odds against the favourite and add the target's deficit, m - z[y]. Before exp, "
    "shift as for the star of softmax.",
    "cross_entropy_backward": "Never compute p - 1. At the target the gradient is -odds / (1 + odds), the negated sum "
    "of the other probabilities, so compute that sum. Before exp, shift as for the star of softmax.",
}
HINTS["logsumexp_backward"] = HINTS["softmax"]


def _accuracy(kind: str, dtype: Any) -> None:
    per_class = kind not in ("logsumexp", "cross_entropy")
    row = {"logits": np.array([BADLY_ROUNDED[dtype]], dtype)}
    always = [{**row, "targets": np.array([y])} for y in (0, 1)] if "cross" in kind else [row]

    @property_of(
        kind,
        f"accurate in {np.dtype(dtype).name}",
        f"error <= {oracle.promised_ulps(np.zeros(2, dtype)):.3g} + (max z - min z) / 2 ulps, entry by entry",
        why="No later step can restore a lost digit; a confident row learns only from its last ones.",
        hint=HINTS[kind],
        cases=(with_targets if "cross" in kind else only)(rows_to_judge(dtype)),
        tier="accuracy",
        always=tuple(always),
        dtype=dtype,
    )
    def is_accurate(f: Implementation, logits: Array, targets: Array | None = None) -> None:
        actual, exact = _judged(kind, f, logits, targets)
        # logsumexp adds the maximum and log1p(odds). Where they cancel, no formula in one precision keeps the digits.
        if kind == "logsumexp" and abs(float(exact[0])) < abs(float(logits.max())):
            return
        off = _ulps_off(actual, exact, logits[0], per_class)
        bound = oracle.promised_ulps(logits[0])
        wanted = np.array([[float(x) for x in part] if isinstance(part, list) else float(part) for part in exact])
        demand(off <= bound, f"off by {off.max():.6g} ulps; at most {bound:.6g} are allowed", wanted, actual)


for _name in ("logsumexp", "softmax", "log_softmax", "cross_entropy", "logsumexp_backward", "cross_entropy_backward"):
    for _dtype in (np.float64, np.float32):
        _accuracy(_name, _dtype)


@property_of(
    "log_softmax_backward",
    "a confident row still learns",
    "for p_y near 1, the gradient of -l_y is -odds / (1 + odds), the negated sum of the other p, not 0",
    why="Once p_y rounds to 1, g_y - p_y g_y cancels to 0, and nothing balances the push on the other classes.",
    hint="Only the entry of a favourite with more than half of the probability needs care. Compute it as "
    "-(sum of the other g) - expm1(l) sum(g): l is tiny but not 0, and -expm1(l) is the sum of the other p.",
    cases=st.integers(20, 200).map(
        lambda gap: {"grad_output": np.array([-1.0, 0.0]), "log_probs": functional.log_softmax([float(gap), 0.0])}
    ),
    tier="accuracy",
)
def learns_from_confident_log_probs(f: Implementation, grad_output: Array, log_probs: Array) -> None:
    others = -math.expm1(log_probs[0])
    near(f(grad_output, log_probs, axis=-1), [-others, others], "the gradient", rtol=1e-9)


@property_of(
    "softmax_backward",
    "a confident row still learns",
    "for p_y near 1, the gradient of p_y is p_y times the sum of the other p, not 0",
    why="g_y - sum_j p_j g_j cancels to 0 once p_y rounds to 1.",
    hint="Adding a number to every g_k of a row changes nothing. If the favourite has more than half of the "
    "probability, first subtract its g from every g of the row. Then its own g is 0, and nothing cancels.",
    cases=st.integers(20, 200).map(
        lambda gap: {"grad_output": np.array([1.0, 0.0]), "probs": functional.softmax([float(gap), 0.0])}
    ),
    tier="accuracy",
)
def learns_from_confident_probs(f: Implementation, grad_output: Array, probs: Array) -> None:
    expected = probs[0] * probs[1]
    near(f(grad_output, probs, axis=-1), [expected, -expected], "the gradient", rtol=1e-9)
