"""Blocks, threads and layouts: they make things fast, and must not change a bit."""

import os
import sys
import threading

import numpy as np
import pytest

from scratchlm import functional as F
from scratchlm import oracle
from scratchlm._engine import arrays, blocks, sums

FUNCTIONS = {
    "softmax": lambda z, y: F.softmax(z),
    "log_softmax": lambda z, y: F.log_softmax(z),
    "logsumexp": lambda z, y: F.logsumexp(z),
    "cross_entropy": lambda z, y: F.cross_entropy(z, y, "none"),
    "cross_entropy_backward": lambda z, y: F.cross_entropy_backward(z, y, "sum"),
    "nll_loss_backward": lambda z, y: F.nll_loss_backward(z, y, "sum"),
    "softmax_backward": lambda z, y: F.softmax_backward(z, F.softmax(z)),
    "log_softmax_backward": lambda z, y: F.log_softmax_backward(z, F.log_softmax(z)),
}
SHAPES = [
    (4096, 27),
    (5_000, 64),
    (5_000, 65),
    (7, 50_257),
    *(pytest.param(shape, marks=pytest.mark.long) for shape in [(20_000, 27), (700, 500)]),
]  # rows side by side, and one after another


def scores(shape, dtype):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, shape).astype(dtype)
    z[1::7] += 5000  # each kind of row beside every other: loud, quiet, masked, broken
    z[2::7] -= 5000
    z[3::7, ::3] = -np.inf
    z[5::7] -= 30
    z[4::701, 0] = np.nan
    return z, rng.integers(0, shape[1], shape[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, pytest.param(np.float16, marks=pytest.mark.long)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_gives_the_same_bits_alone_in_a_batch_and_with_any_threads(name, shape, dtype, monkeypatch):
    f = FUNCTIONS[name]
    z, y = scores(shape, dtype)
    if dtype == np.float16:
        z = np.clip(z, -5e4, 5e4)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("SCRATCHLM_THREADS", threads)
        results.append(f(z, y))
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
    for rows in ([0], [1], [2], [3], [4], [5], [0, 1, 2, 3, 4, 5], [shape[0] - 1]):
        np.testing.assert_array_equal(f(z[rows], y[rows]), results[0][rows])


@pytest.mark.parametrize("shape", [(20_000, 27), (700, 500)])
def test_the_classes_may_lie_along_any_axis_of_a_large_array(shape):
    z, _ = scores(shape, np.float32)
    np.testing.assert_array_equal(F.softmax(z.T, axis=0), F.softmax(z).T)
    cube = z.reshape(shape[0] // 4, 4, shape[1])
    np.testing.assert_array_equal(
        F.log_softmax(cube.transpose(2, 0, 1), axis=0), F.log_softmax(cube).transpose(2, 0, 1)
    )
    assert F.softmax(z.T, axis=0).flags.owndata


@pytest.mark.parametrize("rows", [5, 4096, 20_000])
def test_calls_leave_the_input_and_numpys_settings_unchanged(rows):
    z, y = scores((rows, 27), np.float32)
    before, steps, errors = z.copy(), np.getbufsize(), np.geterr()
    for f in FUNCTIONS.values():
        f(z, y)
    np.testing.assert_array_equal(z, before)
    assert np.getbufsize() == steps
    assert np.geterr() == errors


@pytest.mark.parametrize("told", ["0", "-1", "two", "1.5"])
def test_an_invalid_number_of_threads_raises_a_value_error(told, monkeypatch):
    monkeypatch.setenv("SCRATCHLM_THREADS", told)
    with pytest.raises(ValueError, match=f"SCRATCHLM_THREADS must be a whole number of at least 1, not '{told}'"):
        F.softmax(np.zeros((20_000, 27)))


def test_an_exception_in_one_block_is_raised_and_the_next_call_works(monkeypatch):
    monkeypatch.setenv("SCRATCHLM_THREADS", "2")

    @arrays.of_rows
    def fails_in_the_last_block(logits):
        if np.isnan(logits).any():
            raise RuntimeError("a block failed")
        return logits + 1

    z = np.zeros((20_000, 27))
    z[-1] = np.nan
    with pytest.raises(RuntimeError, match="a block failed"):
        fails_in_the_last_block(z)
    assert F.softmax(z)[0, 0] == pytest.approx(1 / 27)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (20_000, 27)])
def test_a_formula_that_returns_its_argument_shares_no_memory_with_the_caller(shape):
    z = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    before = z.copy()
    same = arrays.of_rows(lambda logits: logits)(z)
    assert same.flags.owndata
    assert not np.shares_memory(same, z)
    halved = arrays.loss_gradient(lambda logits, targets: logits)(z, np.zeros(shape[:-1], int), "mean")
    rows = np.prod(shape[:-1])
    assert np.array_equal(halved, z / rows)
    assert z.shape == shape  # nor has the caller's own array changed
    assert np.array_equal(same, before)
    assert np.array_equal(z, before)


@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.version_info >= (3, 12), reason="Python warns of forks beside threads"
)
def test_threads_work_again_after_a_fork(monkeypatch):
    monkeypatch.setenv("SCRATCHLM_THREADS", "2")
    z = np.zeros((20_000, 27))
    right = F.softmax(z)
    child = os.fork()
    if not child:
        os._exit(2 if blocks._helpers.cache_info().currsize else 0 if np.array_equal(F.softmax(z), right) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 27, 64, 65, 500])
def test_a_sum_has_the_same_bits_alone_and_among_others(classes, dtype):
    rng = np.random.default_rng(0)
    block = np.ldexp(rng.normal(size=(300, classes)), rng.integers(-60, 60, (300, classes))).astype(dtype)
    together = sums.row_sum(block)
    alone = np.concatenate([sums.row_sum(block[i : i + 1]) for i in range(len(block))])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("kind", ["equal", "ordinary", "confident", "two levels"])
@pytest.mark.parametrize("length", [513, pytest.param(5000, marks=pytest.mark.long)])
def test_long_rows_in_float32_are_right_to_the_last_few_bits(kind, length):
    rng = np.random.default_rng(length)
    row = {
        "equal": np.full(length, 3.3),
        "ordinary": rng.normal(0, 3, length),
        "confident": rng.normal(0, 1, length) + 25 * (np.arange(length) == 7),
        "two levels": np.where(np.arange(length) % 2, 0.1, 0.7),
    }[kind].astype(np.float32)
    exact_log_p, exact_p = oracle.log_softmax(row), oracle.softmax(row)
    bound = oracle.promised_ulps(0 * row)  # exp can take these rows unshifted, so the spread costs nothing
    assert np.max(oracle.ulp_error(F.log_softmax(row), exact_log_p)) <= bound
    assert np.max(oracle.ulp_error(F.softmax(row), exact_p)) <= bound
    for y in (int(row.argmax()), 0, length - 1):
        assert oracle.ulp_error(F.cross_entropy(row, np.array(y)), oracle.cross_entropy(row, y)) <= bound


# --- the linear layer ------------------------------------------------------------------------------------------------


def layer(n, h, v, dtype):
    rng = np.random.default_rng(0)
    hidden, weight, bias = (rng.normal(size=shape).astype(dtype) for shape in ((n, h), (h, v), (v,)))
    return hidden, weight, bias, rng.integers(0, v, n)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 7), (40, 8, 300_000)])
def test_a_linear_layer_and_its_loss_equal_those_computed_from_all_logits(size):
    hidden, weight, bias, y = layer(*size, np.float64)
    loss, grad_hidden, grad_weight, grad_bias = F.linear_cross_entropy_with_grad(hidden, weight, bias, y)
    right, grad = F.cross_entropy_with_grad(hidden @ weight + bias, y)
    assert loss == pytest.approx(right, rel=1e-13)
    np.testing.assert_allclose(grad_hidden, grad @ weight.T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(grad_weight, hidden.T @ grad, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(grad_bias, grad.sum(axis=0), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_linear_layer_keeps_the_dtype_and_the_tiny_gradient_of_a_sure_row(dtype):
    hidden, weight, bias = np.ones((1, 1), dtype), np.array([[12, 0]], dtype), np.zeros(2, dtype)
    loss, *grads = F.linear_cross_entropy_with_grad(hidden, weight, bias, [0])
    assert loss.dtype == dtype
    assert {g.dtype for g in grads} == {np.dtype(dtype)}
    p, info = 1 / (1 + np.exp(12.0)), np.finfo(dtype)
    allowed = {"rtol": 4 * float(info.eps), "atol": float(info.smallest_subnormal)}
    np.testing.assert_allclose(loss, -np.log1p(-p), **allowed)
    np.testing.assert_allclose(grads[2], [-p, p], **allowed)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 1e38])
def test_a_linear_layer_does_not_warn_of_extreme_logits(odd):
    hidden, weight, bias, y = layer(4, 3, 5, np.float32)
    hidden[1, 1] = odd
    loss, *grads = F.linear_cross_entropy_with_grad(hidden, weight, bias, y)
    with np.errstate(all="ignore"):
        right, grad = F.cross_entropy_with_grad(hidden @ weight + bias, y)
    np.testing.assert_array_equal(loss, right)
    np.testing.assert_array_equal(np.isnan(grads[2]), np.isnan(grad.sum(axis=0)))
    far = np.full((1, 1), 60000, np.float16), np.float16([[1, -1]]), np.zeros(2, np.float16), [1]
    assert F.linear_cross_entropy_with_grad(*far)[0] == np.inf  # 120,000 nats: beyond float16


def test_a_linear_layer_never_stores_all_its_logits():
    import tracemalloc

    arguments = layer(1024, 16, 50_257, np.float32)
    tracemalloc.start()
    try:
        results = F.linear_cross_entropy_with_grad(*arguments)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    gradients = sum(g.nbytes for g in results[1:])
    # bytes: a block of logits and one of their gradients, 16 MiB each, and a product for the weights
    assert peak - gradients < 60e6 < 1024 * 50_257 * 4


def test_a_machine_that_cannot_start_threads_computes_with_one(monkeypatch):
    logits, targets = np.random.default_rng(0).normal(size=(400, 2000)), np.arange(400)
    monkeypatch.setenv("SCRATCHLM_THREADS", "4")
    right = F.cross_entropy_with_grad(logits, targets)
    started = []

    def start(thread):
        started.append(thread)
        raise RuntimeError("can't start new thread")

    blocks._helpers.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", start)
    try:
        for _ in range(2):
            found = F.cross_entropy_with_grad(logits, targets)
            assert found[0] == right[0]
            assert np.array_equal(found[1], right[1])
    finally:
        blocks._helpers.cache_clear()
    assert len(started) == 2  # the second call tries again, and nothing waits for ever
