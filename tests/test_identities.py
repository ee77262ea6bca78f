"""The identities of softmax and its relatives, as properties. Each names the wrong implementation that it catches."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import WIDE_FLOATS, logits

from scratchlm import functional as F
from scratchlm.sampling import apply_temperature

some_logits = logits(dtypes=WIDE_FLOATS, bound=1000)
any_logits = logits(dtypes=WIDE_FLOATS)


def ulps_of_1(z, n):
    """n units of rounding, relative to 1."""
    return n * np.finfo(z.dtype).eps


@given(any_logits)
def test_softmax_sums_to_one(z):
    # Catches: a wrong axis, no keepdims. V terms, each off by less than 4 ulps of itself, so 4 ulps of their sum.
    p = F.softmax(z)
    assert (p >= 0).all()
    assert (p <= 1).all()
    np.testing.assert_allclose(p.sum(axis=-1, dtype=np.float64), 1, rtol=0, atol=ulps_of_1(z, 4))


@given(any_logits)
def test_order_is_kept(z):
    # Catches: exp(-z), softmax of |z|.
    order = np.argsort(z, axis=-1, kind="stable")
    for function in (F.softmax, F.log_softmax):
        ordered = np.take_along_axis(function(z), order, axis=-1)
        assert (ordered[..., 1:] >= ordered[..., :-1]).all()


@given(logits(dtypes=[np.float64], bound=100), st.integers(-100, 100))
def test_softmax_cannot_see_a_shift(z, c):
    # Catches: a max(0, max z) shift, an epsilon in the denominator. Integers up to 100 in steps of 2^-40: no rounding.
    z = np.round(z * 2**40) / 2**40
    np.testing.assert_allclose(F.softmax(z + c), F.softmax(z), rtol=ulps_of_1(z, 8))
    np.testing.assert_allclose(F.log_softmax(z + c), F.log_softmax(z), rtol=ulps_of_1(z, 8))


@given(any_logits, st.randoms(use_true_random=False))
def test_a_permutation_of_the_classes_permutes_the_result(z, random):
    # Catches: sums that leave out an entry, a tie broken by position. Sums in another order: a few roundings.
    order = list(range(z.shape[-1]))
    random.shuffle(order)
    np.testing.assert_allclose(F.softmax(z[..., order]), F.softmax(z)[..., order], rtol=ulps_of_1(z, 8))


@given(any_logits)
def test_logsumexp_lies_between_max_and_max_plus_log_n(z):
    # Catches: log2, a mean instead of a sum. One rounding of the result on either side.
    top, value, n = z.max(axis=-1), F.logsumexp(z), z.shape[-1]
    assert (value >= top).all()
    with np.errstate(over="ignore"):
        slack = np.spacing(np.abs(top) + np.log(z.dtype.type(n)))
        assert (value <= top + np.log(z.dtype.type(n)) + slack).all()


@given(st.floats(-1e4, 1e4), st.integers(1, 300))
def test_n_equal_scores(score, n):
    # Catches: anything that loses count. logsumexp of n copies is z + log n, each probability 1/n. Ties are counted,
    # not summed up, so log n comes out to the last bit, but for NumPy's own log1p.
    for dtype in WIDE_FLOATS:
        log_p = F.log_softmax(np.full(n, score, dtype))
        assert (abs(log_p + math.log(n)) <= np.spacing(dtype(math.log(n)))).all()
    z = np.full(n, score)
    np.testing.assert_allclose(F.softmax(z), 1 / n, rtol=4e-16)
    np.testing.assert_allclose(F.log_softmax(z), -math.log(n), rtol=1e-15, atol=0)
    np.testing.assert_allclose(F.logsumexp(z), score + math.log(n), rtol=1e-15, atol=1e-15)


@given(logits(dtypes=[np.float64], bound=500, min_dims=1, max_dims=1), st.integers(1, 5))
def test_a_row_can_be_summed_in_two_parts(z, cut):
    # Catches: whatever makes logsumexp other than associative. np.logaddexp is the independent witness.
    if cut < len(z):
        merged = np.logaddexp(F.logsumexp(z[:cut]), F.logsumexp(z[cut:]))
        np.testing.assert_allclose(F.logsumexp(z), merged, rtol=1e-15, atol=1e-15)


@given(some_logits)
def test_log_softmax_is_normalised_and_idempotent(z):
    # Catches: log_softmax that returns z - max. Its rounded entries exp to 1 within V ulps of 1.
    log_p = F.log_softmax(z)
    atol = ulps_of_1(z, 4 + z.shape[-1])
    np.testing.assert_allclose(F.logsumexp(log_p), 0, atol=atol)
    np.testing.assert_allclose(F.log_softmax(log_p), log_p, rtol=ulps_of_1(z, 8), atol=atol)


@given(some_logits)
def test_exp_of_log_softmax_is_softmax(z):
    # Catches: a log_softmax in another base. Half an ulp of l is |l| ulps of exp(l); compared where exp(l) is normal.
    log_p, p = F.log_softmax(z), F.softmax(z)
    with np.errstate(under="ignore"):
        there = np.exp(log_p) >= np.finfo(z.dtype).tiny
        error = np.abs(np.exp(log_p) - p) / np.where(there, p, 1)
    assert (error[there] <= ulps_of_1(z, 8 + np.abs(log_p[there]))).all()


@given(some_logits)
def test_what_log_softmax_keeps_and_what_it_loses(z):
    # Catches: anything that is not a shift. Differences stay; with Z in hand the logits come back.
    log_p = F.log_softmax(z)
    size = np.abs(z).max() + np.log(z.shape[-1])
    atol = 8 * np.spacing(z.dtype.type(size))
    np.testing.assert_allclose(np.diff(log_p, axis=-1), np.diff(z, axis=-1), rtol=0, atol=2 * atol)
    np.testing.assert_allclose(log_p + F.logsumexp(z, keepdims=True), z, rtol=0, atol=atol)


@given(logits(dtypes=[np.float64], bound=30), st.floats(0.05, 20))
def test_temperature_can_still_be_changed_after_log_softmax(z, temperature):
    # Catches the article: softmax(log_softmax(z) / T) = softmax(z / T). A rounding of l is 1/T times that in l / T.
    from_log_probs = F.softmax(apply_temperature(F.log_softmax(z), temperature))
    from_logits = F.softmax(apply_temperature(z, temperature))
    np.testing.assert_allclose(from_log_probs, from_logits, rtol=1e-15 * (8 + 200 / temperature), atol=1e-300)


@given(logits(dtypes=[np.float64], bound=30, max_dims=1), st.floats(0.1, 10), st.floats(1.01, 5))
def test_entropy_does_not_fall_when_temperature_rises(z, temperature, factor):
    # Catches: a multiplied temperature. The entropies are sums of terms around 1, so 1e-14 covers their roundings.
    def entropy(t):
        log_p = F.log_softmax(z / t)
        return -(np.exp(log_p) * log_p).sum()

    assert entropy(temperature * factor) >= entropy(temperature) - 1e-14


@given(logits(dtypes=WIDE_FLOATS, bound=1000, min_dims=2), st.integers(0, 5))
def test_cross_entropy_is_nll_of_log_softmax(z, k):
    # Catches: an epsilon inside the log, a clip. Two groupings of the same sum: a few ulps.
    y = np.full(z.shape[:-1], k % z.shape[-1])
    composed = F.nll_loss(F.log_softmax(z), y, "none")
    loss = F.cross_entropy(z, y, "none")
    assert (loss >= 0).all()
    np.testing.assert_allclose(loss, composed, rtol=ulps_of_1(z, 16), atol=float(np.finfo(z.dtype).tiny))


@given(st.integers(2, 200), st.floats(-1e6, 1e6))
def test_a_uniform_row_costs_log_v(v, level):
    # Catches: the loss as logsumexp(z) - z[y], which rounds away under a large level.
    for dtype in WIDE_FLOATS:
        loss = F.cross_entropy(np.full((1, v), level, dtype), [0])
        np.testing.assert_allclose(loss, math.log(v), rtol=4 * np.finfo(dtype).eps)


@given(logits(dtypes=WIDE_FLOATS, bound=1000, min_dims=2), st.integers(0, 5))
def test_the_gradient_pulls_the_target_up_and_the_others_down(z, k):
    # Catches: p - 1 in every row, a transposed one-hot, no 1/N.
    y = np.full(z.shape[:-1], k % z.shape[-1])
    grad = F.cross_entropy_backward(z, y)
    onehot = np.arange(z.shape[-1]) == y[..., None]
    assert (grad[onehot] <= 0).all()
    assert (grad[~onehot] >= 0).all()
    np.testing.assert_allclose(grad.sum(axis=-1), 0, atol=ulps_of_1(z, 8) / y.size)
    np.testing.assert_allclose(grad * y.size, F.softmax(z) - onehot, rtol=0, atol=ulps_of_1(z, 8))


@given(logits(dtypes=WIDE_FLOATS, bound=1000, min_dims=2), st.integers(0, 5), st.sampled_from(["mean", "sum", "none"]))
def test_one_pass_gives_the_same_bits_as_two(z, k, reduction):
    y = np.full(z.shape[:-1], k % z.shape[-1])
    loss, grad = F.cross_entropy_with_grad(z, y, reduction)
    assert np.array_equal(loss, F.cross_entropy(z, y, reduction))
    assert np.array_equal(grad, F.cross_entropy_backward(z, y, reduction))
