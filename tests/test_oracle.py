"""The judge is judged: identities at 60 digits, known constants, and the ulp itself."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from scratchlm import oracle

LOG_2 = Decimal("0.693147180559945309417232121458176568075500134360255254120680")  # OEIS A002162
EXP_MINUS_1 = Decimal("0.367879441171442321595523770161460867445811131031767834507836")  # OEIS A068985


@pytest.fixture(autouse=True)
def enough_digits():
    """Let the tests compute with more digits than they check (Decimal's default is 28)."""
    with localcontext(prec=90):
        yield


def near(a, b, digits=60):
    return abs(a - b) <= abs(b) * Decimal(10) ** (1 - digits)


def test_known_constants_to_60_digits():
    assert near(oracle.logsumexp([0.0, 0.0]), LOG_2)
    assert near(oracle.cross_entropy([1e8, 1e8], 1), LOG_2)
    assert near(oracle.log_softmax([5.0, 5.0])[0], -LOG_2)
    p = oracle.softmax([0.0, -1.0])
    assert near(p[1] / p[0], EXP_MINUS_1)


@pytest.mark.parametrize("row", [[0.0, -40.0], [3.0, 2.0, 1.0], [-700.0, 0.1, 3.3], [1e5, 1e5 + 1, 3.0], [0.5] * 7])
def test_identities_to_60_digits(row):
    p, log_p, z = oracle.softmax(row), oracle.log_softmax(row), oracle.logsumexp(row)
    assert near(sum(p), Decimal(1), digits=59)
    for x, each_log_p, each_p in zip(row, log_p, p, strict=True):
        assert near(each_log_p.exp(), each_p, digits=59)
        assert abs(Decimal(x) - z - each_log_p) <= Decimal(10) ** -58 * max(1, abs(Decimal(x)))
    grad = oracle.cross_entropy_backward(row, 1)
    assert abs(sum(grad)) < Decimal(10) ** -59
    assert near(grad[0], p[0])


def test_a_confident_row_keeps_its_loss_however_tiny():
    for gap in (100.0, 1000.0, 1e6):
        loss = oracle.cross_entropy([gap, 0.0], 0)
        assert near(loss, (-Decimal(gap)).exp(), digits=40)


def test_masked_and_huge_entries():
    assert oracle.softmax([0.0, -math.inf]) == [1, 0]
    assert oracle.log_softmax([0.0, -math.inf])[1] == Decimal("-Infinity")
    assert near(oracle.log_softmax([1e308, -1e308])[1], -2 * Decimal(1e308))  # noqa: RUF032 (the float, not 10^308)


def test_nested_rows_give_nested_lists():
    rows = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert oracle.log_softmax(rows) == [oracle.log_softmax(row) for row in rows]
    assert oracle.cross_entropy(rows, [0, 1]) == [oracle.cross_entropy(rows[0], 0), oracle.cross_entropy(rows[1], 1)]
    assert oracle.softmax([rows.tolist()]) == [oracle.softmax(rows)]


@pytest.mark.parametrize("row", [[], [math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_rows_without_an_answer(row):
    for function in (oracle.logsumexp, oracle.softmax, oracle.log_softmax):
        with pytest.raises(ValueError, match="the oracle needs"):
            function(row)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_ulp_is_the_distance_to_the_next_float(dtype):
    for x in (1.0, 1.5, 0.1, 3e-5, 1000.0, float(np.finfo(dtype).tiny) / 4):
        x = dtype(x)
        assert oracle.ulp_error(np.nextafter(x, dtype(np.inf)), Decimal(float(x))) == 1
        assert oracle.ulp_error(x, Decimal(float(x))) == 0
    # Below a power of 2 the floats are closer: the ulp is that of the exact value, not of its rounding.
    below = Decimal(1) - Decimal(float(np.finfo(dtype).eps)) / 2
    assert oracle.ulp_error(dtype(1), below) == 1


def test_the_ulp_of_values_smaller_than_any_float():
    smallest = Decimal(2) ** -1074
    assert oracle.ulp_error(np.float64(5e-324), Decimal(0)) == 1
    assert oracle.ulp_error(np.float32(1e-10), Decimal(0)) > 1e34
    assert oracle.ulp_error(np.float64(5e-324), Decimal("1e-400")) == pytest.approx(1)
    assert oracle.ulp_error(np.float64(1), 1 - Decimal("1e-25")) == pytest.approx(float(Decimal("1e-25") * 2**53))
    assert oracle.ulp_error(np.float64(0), smallest) == 1


def test_ulp_error_of_values_that_are_not_finite():
    assert oracle.ulp_error(np.float64(np.nan), Decimal("NaN")) == 0
    assert oracle.ulp_error(np.float64(np.nan), Decimal(1)) == math.inf
    assert oracle.ulp_error(np.float64(-np.inf), Decimal("-Infinity")) == 0
    assert oracle.ulp_error(np.float64(np.inf), Decimal("-Infinity")) == math.inf
    assert oracle.ulp_error(np.float64(0), Decimal("-Infinity")) == math.inf


def test_ulp_error_has_the_shape_of_its_arguments_and_checks_them():
    assert oracle.ulp_error(np.ones((2, 2)), [[Decimal(1)] * 2] * 2).shape == (2, 2)
    with pytest.raises(ValueError, match="shape"):
        oracle.ulp_error(np.ones(2), [Decimal(1)])
    with pytest.raises(TypeError, match="float16, 32 or 64"):
        oracle.ulp_error(1, Decimal(1))
