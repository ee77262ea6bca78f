"""The numerical contract of `functional`, point by point. The oracle is the judge; every tolerance gives its reason.

It is one file because the contract is one document, and its points are tested in order.
"""

import functools
import math
from decimal import Decimal

import numpy as np
import pytest
import worst_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FLOATS, KINDS, LAYOUTS, WIDE_FLOATS, logits, make_row, rows_of_a_kind

from scratchlm import functional as F
from scratchlm import oracle

ROWS_TO_ROWS = {"softmax": F.softmax, "log_softmax": F.log_softmax}
BACKWARD = {"softmax_backward": F.softmax_backward, "log_softmax_backward": F.log_softmax_backward}


def normal(row, exact):
    """Return where the result and exp(d) are normal numbers. Below, floats have fewer digits, and ulps say nothing."""
    info = np.finfo(row.dtype)
    d = row.astype(np.float64) - float(row.max())
    return (d > math.log(float(info.tiny))) & (np.array([abs(float(x)) for x in exact]) >= float(info.tiny))


def worst_ulps(actual, exact, row, keep=None):
    errors = oracle.ulp_error(actual, exact)
    keep = normal(row, exact) if keep is None else keep
    return errors[keep].max(initial=0)


def gradient_is_normal(row, y, exact):
    """Return the same for a gradient. The target's exp(d) need not be normal, only its entry: the sum of the others."""
    keep = normal(row, exact)
    keep[y] = abs(float(exact[y])) >= float(np.finfo(row.dtype).tiny)
    return keep


def check_accuracy(row, y):
    bound = oracle.promised_ulps(row)
    log_p = oracle.log_softmax(row)
    assert worst_ulps(F.log_softmax(row), log_p, row) <= bound
    assert worst_ulps(F.softmax(row), oracle.softmax(row), row) <= bound
    if normal(row, log_p)[y]:
        assert oracle.ulp_error(F.cross_entropy(row, np.array(y)), oracle.cross_entropy(row, y)) <= bound
    exact = oracle.cross_entropy_backward(row, y)
    keep = gradient_is_normal(row, y, exact)
    assert worst_ulps(F.cross_entropy_backward(row, np.array(y)), exact, row, keep) <= bound
    # logsumexp adds m and log1p(odds), which may cancel: the error is measured in ulps of the larger of the two.
    exact_z = oracle.logsumexp(row)
    m = Decimal(float(row.max()))
    unit = max(abs(m), abs(exact_z - m), abs(exact_z))
    if float(unit) >= float(np.finfo(row.dtype).tiny):
        error = abs(Decimal(float(F.logsumexp(row))) - exact_z)
        assert error <= Decimal(bound) * Decimal(float(np.spacing(row.dtype.type(float(unit)))))


@pytest.mark.parametrize("examples", [60, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.parametrize("rows", [rows_of_a_kind(), logits(dtypes=WIDE_FLOATS, max_dims=1)], ids=["of a kind", "any"])
def test_1_and_2_accuracy_against_the_oracle(rows, examples):
    @given(rows, st.data())
    @settings(max_examples=examples, deadline=None)
    def holds(row, data):
        with np.errstate(over="ignore"):
            check_accuracy(row, data.draw(st.integers(0, len(row) - 1)))

    holds()


@pytest.mark.parametrize("length", [300, pytest.param(1024, marks=pytest.mark.long)])
@pytest.mark.parametrize("dtype", WIDE_FLOATS)
@pytest.mark.parametrize("kind", KINDS)
def test_2_accuracy_of_long_rows(kind, dtype, length):
    rng = np.random.default_rng(7)
    row = make_row(kind, length, rng, dtype)
    check_accuracy(row, int(rng.integers(length)))


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
def test_2_rows_of_nearly_equal_scores(dtype):
    # Their exps are all rounded the same way, and so are the sums. 33 scores within 0.05 once missed the bound.
    for seed in range(60 if dtype == np.float32 else 30):
        row = np.random.default_rng(seed).uniform(0, 0.05, 33).astype(dtype)
        assert worst_ulps(F.softmax(row), oracle.softmax(row), row) <= oracle.promised_ulps(row)
        assert worst_ulps(F.log_softmax(row), oracle.log_softmax(row), row) <= oracle.promised_ulps(row)
    two = np.array([float.fromhex("0x1.34f568p+1"), float.fromhex("0x1.8ed4fap-2")], dtype)
    assert worst_ulps(F.log_softmax(two), oracle.log_softmax(two), two) <= oracle.promised_ulps(two)


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
@pytest.mark.parametrize("below", [-30, -1, 0, 0.5, 1, 5, 20, 24, 25, 40])
@pytest.mark.parametrize("equal", [1, 2, 5])
def test_2_rows_that_exp_can_barely_take_and_means_of_many_of_them(dtype, below, equal):
    # Scores around the largest whose exp does not overflow: their sum might, and so might N times their sum.
    largest = np.log(np.finfo(dtype).max)
    row = np.append(np.full(equal, largest - below), [largest - below - 3, 0]).astype(dtype)
    for y in (0, equal):
        check_accuracy(row, y)
        n = 1000
        many = F.cross_entropy_backward(np.tile(row, (n, 1)), np.full(n, y))
        exact = np.array([float(g) / n for g in oracle.cross_entropy_backward(row, y)])
        keep = np.abs(exact) >= np.finfo(dtype).tiny
        assert (
            np.abs(many[0] - exact)[keep] <= oracle.promised_ulps(row) * np.spacing(np.abs(exact[keep]).astype(dtype))
        ).all()


@pytest.mark.parametrize(("dtype", "span"), [(np.float32, 60), (np.float64, 600)])
def test_2_the_spread_of_a_row_costs_nothing_while_exp_cannot_overflow(dtype, span):
    # Shifted by the rounded z - max z, entries far down would be wrong by up to `span` ulps. These are not shifted at
    # all, so they are as exact as a row without a spread.
    rng = np.random.default_rng(0)
    for lowest in (0, -span / 2, -span):  # all positive, mixed, all negative (as log-probabilities are)
        for _ in range(30):
            row = (lowest + rng.uniform(0, span, size=30)).astype(dtype)
            assert worst_ulps(F.softmax(row), oracle.softmax(row), row) <= oracle.promised_ulps(0 * row)


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
def test_2_equal_scores_of_any_size(dtype):
    # Near every power of 2 on both sides of 0, where the distance to the next float jumps. 3,000 of them are summed
    # without overflow, and each share is right to 4 ulps.
    for exponent in range(-20, np.finfo(dtype).maxexp, 1 if dtype == np.float32 else 3):
        for size in (dtype(2.0**exponent), np.nextafter(dtype(2.0**exponent), dtype(np.inf))):
            for score in (size, -size):
                for n in (2, 3000) if abs(exponent) < 40 else (2,):
                    row = np.full(n, score)
                    np.testing.assert_allclose(F.softmax(row), 1 / n, rtol=4 * np.finfo(dtype).eps)
                    np.testing.assert_allclose(F.log_softmax(row), -math.log(n), rtol=4 * np.finfo(dtype).eps)
                    np.testing.assert_allclose(
                        F.cross_entropy(row, np.array(0)), math.log(n), rtol=4 * np.finfo(dtype).eps
                    )


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
def test_1_a_confident_row_keeps_its_loss_and_its_gradient(dtype):
    for gap in (10, 20, 40, 80):
        row = np.array([gap, 0, 0], dtype)
        loss = F.cross_entropy(row, np.array(0))
        grad = F.cross_entropy_backward(row, np.array(0))
        assert loss > 0
        bound = oracle.promised_ulps(0 * row)  # z - c is exact here, so the spread costs nothing
        assert oracle.ulp_error(loss, oracle.cross_entropy(row, 0)) <= bound
        assert oracle.ulp_error(grad, oracle.cross_entropy_backward(row, 0)).max() <= bound
        through_log_softmax = F.log_softmax_backward(F.nll_loss_backward(row, np.array(0)), F.log_softmax(row))
        # Log-probabilities are rounded before exp sees them: half an ulp of l is up to |l| ulps of exp(l).
        assert oracle.ulp_error(through_log_softmax, oracle.cross_entropy_backward(row, 0)).max() <= bound + gap


# --- 1: gradients of ordinary rows -----------------------------------------------------------------------------------


def ordinary_rows(classes):
    """Yield rows as at the start of training, from nearly equal to spread out, and rows with a clear favourite."""
    rng = np.random.default_rng(1)
    for spread in (0, 0.001, 0.02, 1):
        yield (spread * rng.normal(size=classes)).astype(np.float32)
    for lead in (3, 10, 25):  # 3: barely more than half the probability, or less
        yield (rng.normal(size=classes) + lead * (np.arange(classes) == classes // 2)).astype(np.float32)


def gradients_from_above(row):
    """Yield gradients from a loss: equal for all, noise, a target that is not the favourite, a loud favourite."""
    rng, top = np.random.default_rng(2), int(row.argmax())
    yield np.ones_like(row)
    yield rng.normal(size=row.size).astype(np.float32)
    yield np.where(np.arange(row.size) == (top + 1) % row.size, -1, 0).astype(np.float32)
    yield np.where(np.arange(row.size) == top, 1000, rng.normal(size=row.size)).astype(np.float32)


@pytest.mark.parametrize("classes", [27, 1000, 50257])
def test_1_gradients_of_ordinary_rows_are_right_entry_by_entry(classes):
    u = 2.0**-24  # at most half an ulp of a float32, relative to its size
    for row in ordinary_rows(classes):
        z = row.astype(np.float64)
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        p = np.exp(log_p)
        for grad_output in gradients_from_above(row):
            g = grad_output.astype(np.float64)
            # Half an ulp of l is up to |l| u in exp(l); a rounded exp, product and difference are 8 u of p sum(g), and
            # the result is rounded too.
            exact = g - p * g.sum()
            exact[p > 0.5] = (-np.expm1(log_p) * g.sum() - (g.sum() - g))[p > 0.5]
            error = abs(F.log_softmax_backward(grad_output, F.log_softmax(row)) - exact)
            assert (error <= (8 + 4 * abs(log_p)) * u * p * abs(g.sum()) + 4 * u * abs(exact)).all()
            probs = F.softmax(row).astype(np.float64)
            exact = probs * (g - (probs * g).sum())
            error = abs(F.softmax_backward(grad_output, F.softmax(row)) - exact)
            assert (error <= 8 * u * probs * (abs(g) + abs((probs * g).sum()))).all()


def test_1_the_gradient_of_a_row_that_is_sure_of_nothing():
    row = (np.random.default_rng(1).normal(size=50257) * 1e-3).astype(np.float32)
    grad = F.log_softmax_backward(np.ones_like(row), F.log_softmax(row))
    assert grad[row.argmax()] == pytest.approx(-0.00442401, rel=4e-5)  # the form for sure rows gives -0.00351


# --- 2: the promise, searched ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [60, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.parametrize("dtype", WIDE_FLOATS)
def test_2_a_search_finds_no_row_that_breaks_the_promise(dtype, rounds):
    for worst in worst_rows.search(dtype, rounds):
        assert worst.ulps <= worst.promised, worst


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
def test_2_the_search_finds_the_errors_of_a_careless_sum(dtype):
    def careless(z, _):
        e = np.exp(z)
        return e / np.cumsum(e, axis=-1)[:, -1:]  # one after another

    (worst,) = worst_rows.search(dtype, 150, kinds={"softmax": (careless, worst_rows.KINDS["softmax"][1])})
    assert worst.ulps > worst.promised


def test_2_rows_that_a_search_once_found():
    # Equal numbers added one after another are rounded alike. A loud target needs a shift that costs the others a bit.
    equal = np.array([14.729297505577533] + [14.77077672070678] * 30)
    assert worst_ulps(F.softmax(equal), oracle.softmax(equal), equal) <= oracle.promised_ulps(equal)
    check_accuracy(np.float32([85.62062, -1.76271725, -1.71708584]), 0)


def test_2_numpys_exp_is_as_exact_as_the_promise_assumes():
    rng = np.random.default_rng(0)
    x = rng.uniform(-87, 88, 1_000_000).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (abs(np.exp(x) - exact) <= 2.1264e-7 * exact).all()
    for y in rng.uniform(-700, 700, 300):
        assert oracle.ulp_error(np.exp(y), Decimal(float(y)).exp()) <= 1


@pytest.mark.parametrize("dtype", WIDE_FLOATS)
@pytest.mark.parametrize("behind", [100, 1000, 1e30])
def test_1_a_hopeless_target_costs_the_logarithm_of_its_odds(dtype, behind):
    # Its odds overflow every float, but their logarithm does not. Below 0 or above it, behind one score or several.
    for scores in ([0, behind], [-behind, 0], [0, behind, behind - 1]):
        row = np.array(scores, dtype)
        loss, grad = F.cross_entropy_with_grad(row, np.array(0))
        assert oracle.ulp_error(loss, oracle.cross_entropy(row, 0)) <= oracle.promised_ulps(0 * row)
        assert grad[0] == -1


def test_1_the_examples_that_libraries_get_wrong():
    assert F.log_softmax(np.float32([20, 0]))[0] == np.float32(-2.0611537e-09)  # pytorch/pytorch#113708: 0
    assert F.cross_entropy(np.float32([[1e8, 1e8]]), [0]) == np.float32(math.log(2))  # ml-explore/mlx#4188: 0
    assert F.logsumexp([0.0, -40.0]) > 0  # scipy/scipy#18295: 0
    assert np.array_equal(F.softmax(np.float32([-1000, -1000])), [0.5, 0.5])  # FluxML/NNlib.jl#43: nan
    assert F.cross_entropy_backward(np.float32([[30, 0]]), [0])[0, 0] < 0


@functools.cache
def rows_and_their_truth(kind, dtype):
    """Return rows, with the exact result and our error for the function of each name: the same for every peer."""
    rng = np.random.default_rng(3)
    found = []
    for n in (2, 3, 27, 200):
        for _ in range(6):
            row = make_row(kind, n, rng, dtype)
            exact = {name: getattr(oracle, name)(row) for name in ROWS_TO_ROWS}
            found.append((row, {name: (e, worst_ulps(ROWS_TO_ROWS[name](row), e, row)) for name, e in exact.items()}))
    return found


@pytest.mark.parametrize("peer", ["scipy", "torch"])
@pytest.mark.parametrize("dtype", WIDE_FLOATS)
@pytest.mark.parametrize("kind", KINDS)
def test_2_never_worse_than_a_peer(kind, dtype, peer):
    # Below 4 ulps the rounding errors of exp decide who is nearer on a given row; above, the better formula does.
    if peer == "scipy":
        special = pytest.importorskip("scipy.special", reason="a comparison: needs the extra `peers`")
        theirs = {"softmax": lambda z: special.softmax(z), "log_softmax": lambda z: special.log_softmax(z)}
    else:
        torch = pytest.importorskip("torch", reason="a comparison: needs the extra `peers`")
        theirs = {
            "softmax": lambda z: torch.softmax(torch.from_numpy(z), -1).numpy(),
            "log_softmax": lambda z: torch.log_softmax(torch.from_numpy(z), -1).numpy(),
        }
    for row, truth in rows_and_their_truth(kind, dtype):
        for name, (exact, ours) in truth.items():
            assert ours <= max(4, worst_ulps(theirs[name](row), exact, row))


# --- 3: dtypes -------------------------------------------------------------------------------------------------------


@given(logits(dtypes=[np.float16], min_dims=2, max_dims=2))
def test_3_float16_is_computed_in_float32_and_rounded_once(z):
    y = np.zeros(len(z), int)
    wide = z.astype(np.float32)
    with np.errstate(all="ignore"):
        for function in (F.softmax, F.log_softmax):
            assert np.array_equal(function(z), function(wide).astype(np.float16))
        for reduction in ("mean", "sum", "none"):
            grad = F.cross_entropy_backward(wide, y, reduction).astype(np.float16)
            assert np.array_equal(F.cross_entropy_backward(z, y, reduction), grad)
            loss, exact = F.cross_entropy(z, y, reduction), F.cross_entropy(z.astype(np.float64), y, reduction)
            assert is_rounded(loss, exact)
        assert is_rounded(F.logsumexp(z), F.logsumexp(z.astype(np.float64)))


def is_rounded(actual, exact):
    """Return whether a float16 is the exact value, rounded: within half an ulp plus the tiny error of float32's exp."""
    return np.all((actual == exact.astype(np.float16)) | (abs(actual - exact) <= 0.51 * np.spacing(abs(actual))))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_3_integers_and_bools_become_float64(dtype):
    z = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    for function in (F.softmax, F.log_softmax, F.logsumexp):
        assert function(z).dtype == np.float64
        assert np.array_equal(function(z), function(z.astype(np.float64)))
    assert F.cross_entropy(z, [0, 1]).dtype == np.float64


@pytest.mark.parametrize("dtype", FLOATS)
def test_3_floats_keep_their_dtype(dtype):
    z, y = np.array([[0.5, 1, 2], [3, 1, 0]], dtype), [2, 0]
    p, log_p = F.softmax(z), F.log_softmax(z)
    results = [p, log_p, F.logsumexp(z), F.logsumexp(z[0]), F.nll_loss(log_p, y), F.nll_loss_backward(log_p, y)]
    results += [F.softmax_backward(z, p), F.log_softmax_backward(z, log_p), F.logsumexp_backward(z[:, 0], z)]
    results += [*F.cross_entropy_with_grad(z, y), F.cross_entropy(z, y, "none"), F.cross_entropy_backward(z, y)]
    assert {r.dtype for r in results} == {np.dtype(dtype)}


@pytest.mark.parametrize("bad", [[1j, 2], ["a", "b"], [None, 1], [object()], [np.datetime64("2026-01-01")]])
def test_3_anything_but_real_numbers_raises_a_type_error_that_names_the_argument(bad):
    for function in (F.softmax, F.log_softmax, F.logsumexp):
        with pytest.raises(TypeError, match="logits must contain real numbers"):
            function(bad)
    with pytest.raises(TypeError, match="logits"):
        F.cross_entropy(bad, 0)
    with pytest.raises(TypeError, match="log_probs"):
        F.nll_loss(bad, 0)
    with pytest.raises(TypeError, match="grad_output"):
        F.softmax_backward(bad, np.ones(len(bad)))
    with pytest.raises(TypeError, match="log_probs"):
        F.log_softmax_backward(np.ones(len(bad)), bad)


def test_3_longdouble_is_refused():
    z = np.zeros((2, 3), np.longdouble)
    for function in (F.softmax, F.log_softmax, F.logsumexp):
        with pytest.raises(TypeError, match="logits must be float16, float32 or float64, not longdouble"):
            function(z)
    with pytest.raises(TypeError, match="longdouble"):
        F.cross_entropy(z, [0, 1])


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_3_scores_without_classes_raise_a_value_error(shape):
    for function in (F.softmax, F.log_softmax, F.logsumexp):
        with pytest.raises(ValueError, match="no class"):
            function(np.zeros(shape))
    with pytest.raises(ValueError, match="no class"):
        F.cross_entropy(np.zeros(shape), np.zeros(shape[:-1], int))


def test_3_an_empty_batch_has_every_result_except_a_mean():
    z, y = np.zeros((0, 3)), np.zeros(0, int)
    assert F.softmax(z).shape == (0, 3)
    assert F.logsumexp(z).shape == (0,)
    assert F.cross_entropy(z, y, "sum") == 0
    assert F.cross_entropy_backward(z, y, "none").shape == (0, 3)
    with pytest.raises(ValueError, match="mean over no rows"):
        F.cross_entropy(z, y)
    assert F.cross_entropy(z, [], "sum") == 0


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, (0, 1), (2, 0), (-1, -2), (0, 1, 2), None])
def test_3_any_axis_gives_the_same_as_moving_it_to_the_end(axis):
    z = np.random.default_rng(0).normal(size=(3, 4, 5))
    axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(z, axes, last)
    flat = moved.reshape(*moved.shape[: 3 - len(axes)], -1)
    for function in (F.softmax, F.log_softmax):
        expected = np.moveaxis(function(flat).reshape(moved.shape), last, axes)
        assert np.array_equal(function(z, axis), expected)
    assert np.array_equal(F.logsumexp(z, axis), F.logsumexp(flat))
    kept = F.logsumexp(z, axis, keepdims=True)
    assert kept.shape == z.max(axis=axis, keepdims=True).shape
    assert np.array_equal(kept.reshape(-1), np.reshape(F.logsumexp(flat), -1))
    assert np.array_equal(F.logsumexp_backward(kept, z, axis), F.logsumexp_backward(F.logsumexp(z, axis), z, axis))


@pytest.mark.parametrize(("axis", "error"), [(2, ValueError), (-3, ValueError), ((0, 0), ValueError), ("0", TypeError)])
def test_3_a_bad_axis(axis, error):
    with pytest.raises(error):
        F.softmax(np.zeros((2, 2)), axis=axis)


# --- 4: -inf, inf and nan --------------------------------------------------------------------------------------------

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("row", "softmax", "log_softmax", "logsumexp"),
    [
        ([0, -INF], [1, 0], [0, -INF], 0),
        ([-INF, 5, 5], [0, 0.5, 0.5], [-INF, -math.log(2), -math.log(2)], 5 + math.log(2)),
        ([-INF, -INF], [NAN, NAN], [NAN, NAN], -INF),
        ([INF, 0], [NAN, NAN], [NAN, NAN], INF),
        ([INF, INF], [NAN, NAN], [NAN, NAN], INF),
        ([INF, -INF], [NAN, NAN], [NAN, NAN], INF),
        ([NAN, 0], [NAN, NAN], [NAN, NAN], NAN),
        ([0, NAN, INF, -INF], [NAN] * 4, [NAN] * 4, NAN),
        ([-INF], [NAN], [NAN], -INF),
        ([7], [1], [0], 7),
    ],
)
def test_4_special_rows(row, softmax, log_softmax, logsumexp, dtype):
    # The special row stands among ordinary ones, whose results must be the same as without it.
    z = np.zeros((3, len(row)), dtype)
    z[0], z[2] = np.arange(len(row)), -np.arange(len(row))
    z[1] = row
    tolerance = 2 * np.finfo(dtype).eps
    with np.errstate(all="raise"):
        for function, expected in ((F.softmax, softmax), (F.log_softmax, log_softmax), (F.logsumexp, logsumexp)):
            result = function(z)
            np.testing.assert_allclose(result[1].astype(float), expected, rtol=tolerance)
            assert np.array_equal(result[[0, 2]], function(z[[0, 2]]))
            assert np.isfinite(result[[0, 2]]).all()
        y = np.zeros(3, int)
        loss, grad = F.cross_entropy_with_grad(z, y, "none")
        np.testing.assert_allclose(float(loss[1]), -np.float64(log_softmax[0]), rtol=tolerance)
        others_loss, others_grad = F.cross_entropy_with_grad(z[[0, 2]], y[[0, 2]], "none")
        assert np.array_equal(loss[[0, 2]], others_loss)
        assert np.array_equal(grad[[0, 2]], others_grad)
        if np.isnan(softmax).any():
            assert np.isnan(grad[1]).all()
        else:
            assert (grad[1][np.isneginf(z[1])] == 0).all()


@given(logits(min_dims=2, max_dims=2, bound=50, masked=True), st.data())
def test_4_a_masked_token_has_no_probability_and_no_gradient(z, data):
    masked = np.isneginf(z)
    g = np.ones_like(z) * np.arange(z.shape[1], dtype=z.dtype)
    y = np.array([data.draw(st.integers(0, z.shape[1] - 1)) for _ in z])
    with np.errstate(all="raise"):
        p, log_p = F.softmax(z), F.log_softmax(z)
        assert (p[masked] == 0).all()
        assert (log_p[masked] == -np.inf).all()
        for grad in (
            F.softmax_backward(g, p),
            F.log_softmax_backward(g, log_p),
            F.logsumexp_backward(g[:, 0], z),
            F.cross_entropy_backward(z, y),
        ):
            assert (grad[masked] == 0).all()
            assert np.isfinite(grad).all()
        at_target = F.cross_entropy(z, y, "none")
    assert np.array_equal(np.isposinf(at_target), masked[np.arange(len(y)), y])


@given(logits(dtypes=WIDE_FLOATS, min_dims=2, max_dims=2, bound=30), st.integers(0, 5))
def test_4_masking_a_token_equals_leaving_it_out(z, k):
    # The sums group the same numbers differently, so they may differ by a few rounding errors.
    k %= z.shape[1]
    if z.shape[1] > 1:
        masked = z.copy()
        masked[:, k] = -np.inf
        without = np.delete(z, k, axis=1)
        rtol = 8 * np.finfo(z.dtype).eps
        np.testing.assert_allclose(np.delete(F.softmax(masked), k, axis=1), F.softmax(without), rtol=rtol)


@given(logits(), st.sampled_from([np.inf, -np.inf, np.nan]))
def test_4_no_row_causes_a_warning(z, special):
    z = z.copy()
    z.flat[0] = special
    y = np.zeros(z.shape[:-1], int)
    with np.errstate(all="raise"):
        p, log_p = F.softmax(z), F.log_softmax(z)
        F.softmax_backward(z, p)
        F.log_softmax_backward(z, log_p)
        F.logsumexp_backward(F.logsumexp(z), z)
        F.cross_entropy_with_grad(z, y, "sum")
        F.nll_loss(log_p, y)
        F.nll_loss_backward(log_p, y)


# --- 5 and 7: memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_5_and_7_every_layout_gives_the_same_result_and_inputs_do_not_change(layout, dtype):
    rng = np.random.default_rng(1)
    plain = rng.normal(size=(4, 40)).astype(dtype)
    p, log_p, y = F.softmax(plain), F.log_softmax(plain), np.array([3, 0, 2, 39])
    lay = LAYOUTS[layout]
    calls = [
        (F.softmax, plain),
        (F.log_softmax, plain),
        (F.logsumexp, plain),
        (F.softmax_backward, plain, p),
        (F.log_softmax_backward, plain, log_p),
        (F.logsumexp_backward, plain[:, 0].copy(), plain),
        (F.cross_entropy, plain, y),
        (F.cross_entropy_backward, plain, y),
        (F.cross_entropy_with_grad, plain, y),
        (F.nll_loss, log_p, y, "none"),
        (F.nll_loss_backward, log_p, y),
    ]
    for function, *arguments in calls:
        laid = [lay(a) if isinstance(a, np.ndarray) else a for a in arguments]
        before = [np.array(a) for a in laid]
        results, expected = function(*laid), function(*arguments)
        if not isinstance(results, tuple):
            results, expected = (results,), (expected,)
        for result, right in zip(results, expected, strict=True):
            assert np.array_equal(result, right)
            if np.ndim(result):
                assert result.flags.owndata
                assert result.flags.writeable
                assert not any(np.shares_memory(result, a) for a in laid if isinstance(a, np.ndarray))
        for a, b in zip(laid, before, strict=True):
            assert np.array_equal(a, b)


def test_7_broadcast_memory():
    row = np.array([1.0, 2.0, 3.0])
    z = np.broadcast_to(row, (5, 3))
    assert np.array_equal(F.softmax(z), np.tile(F.softmax(row), (5, 1)))
    assert np.array_equal(F.log_softmax(z, axis=0), np.full((5, 3), -np.log(5.0)))


@given(logits(min_dims=2))
@settings(max_examples=50)
def test_7_a_row_does_not_depend_on_its_neighbours(z):
    whole = F.log_softmax(z).reshape(-1, z.shape[-1])
    for i, row in enumerate(z.reshape(-1, z.shape[-1])):
        assert np.array_equal(whole[i], F.log_softmax(row))


def test_5_a_single_number_raises_a_value_error():
    for function in (F.softmax, F.log_softmax, F.logsumexp):
        with pytest.raises(ValueError, match="logits must have at least one axis"):
            function(3.0)
    with pytest.raises(ValueError, match="logits"):
        F.cross_entropy(3.0, 0)
    with pytest.raises(ValueError, match="logits must have at least one axis"):
        F.logsumexp_backward(1.0, 3.0)


@pytest.mark.parametrize("name", BACKWARD)
def test_5_different_shapes_raise_a_value_error(name):
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        BACKWARD[name](np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        F.logsumexp_backward(np.zeros(3), np.zeros((2, 3)))


# --- 6: targets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [F.cross_entropy, F.cross_entropy_backward, F.cross_entropy_with_grad, F.nll_loss])
@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([0, 3], ValueError, r"targets\[1\] is 3; valid ids are 0 to 2"),
        ([-1, 0], ValueError, r"targets\[0\] is -1"),
        ([0.0, 1.0], TypeError, "targets must be integer class ids, not float64"),
        ([True, False], TypeError, "not bool"),
        (["0", "1"], TypeError, "targets"),
        ([None, 1], TypeError, "targets"),
        ([0], ValueError, r"targets must have shape \(2,\), one class id per row, not \(1,\)"),
        ([[0], [1]], ValueError, r"not \(2, 1\)"),
        (0, ValueError, r"not \(\)"),
        (np.array([0, 2**63], np.uint64), ValueError, r"targets\[1\] is 9223372036854775808"),
    ],
)
def test_6_bad_targets(function, targets, error, message):
    with pytest.raises(error, match=message):
        function(np.zeros((2, 3)), targets)


def test_6_the_index_of_a_bad_target_has_all_its_coordinates():
    with pytest.raises(ValueError, match=r"targets\[1, 0\] is 9"):
        F.cross_entropy(np.zeros((2, 2, 3)), [[0, 0], [9, 9]])


def test_6_reduction():
    z, y = np.array([[[1.0, 2.0]], [[3.0, 0.0]]]), [[0], [1]]
    each = F.cross_entropy(z, y, "none")
    assert each.shape == (2, 1)
    assert F.cross_entropy(z, y, "sum") == each.sum()
    assert F.cross_entropy(z, y) == F.cross_entropy(z, y, "mean") == each.mean()
    assert np.array_equal(F.cross_entropy_backward(z, y, "sum"), F.cross_entropy_backward(z, y, "none"))
    np.testing.assert_allclose(F.cross_entropy_backward(z, y), F.cross_entropy_backward(z, y, "sum") / 2, rtol=1e-15)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none, not 'average'"):
        F.cross_entropy(z, y, "average")


def test_6_the_mean_of_many_losses_is_as_exact_as_one():
    # A million float32 additions one after another would lose three digits. Half an ulp for each loss and the mean.
    rng = np.random.default_rng(0)
    z = rng.normal(size=(100_000, 3)).astype(np.float32)
    y = rng.integers(3, size=len(z))
    exact = F.cross_entropy(z.astype(np.float64), y)
    assert abs(F.cross_entropy(z, y) - exact) <= 4 * np.spacing(np.float32(exact))


@given(logits(dtypes=WIDE_FLOATS, bound=1000, min_dims=2), st.integers(0, 5), st.sampled_from(["mean", "sum", "none"]))
def test_one_pass_gives_the_same_bits_as_two(z, k, reduction):
    y = np.full(z.shape[:-1], k % z.shape[-1])
    loss, grad = F.cross_entropy_with_grad(z, y, reduction)
    assert np.array_equal(loss, F.cross_entropy(z, y, reduction))
    assert np.array_equal(grad, F.cross_entropy_backward(z, y, reduction))


@given(st.floats(-1e4, 1e4), st.integers(1, 300))
def test_2_ties_are_counted_not_summed(score, n):
    # So log n is right to the last bit, apart from the error of NumPy's own log1p.
    for dtype in WIDE_FLOATS:
        log_p = F.log_softmax(np.full(n, score, dtype))
        assert (abs(log_p + math.log(n)) <= np.spacing(dtype(math.log(n)))).all()
