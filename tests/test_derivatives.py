"""Every derivative against two witnesses: central differences, which know no algebra, and explicit Jacobians."""

import numpy as np
import pytest

from scratchlm import functional as F
from scratchlm.gradcheck import max_relative_error, numerical_gradient
from scratchlm.models import MLPLM, BigramLM
from scratchlm.objectives import HEADS, LOSSES, Objective

SHAPES_AND_AXES = [((5,), -1), ((3, 4), -1), ((3, 4), 0), ((2, 3, 4), 1), ((2, 3, 4), (0, 2)), ((2, 3), None)]
# Central differences of fourth order are exact to about 1e-12 of the largest entry, and entries down to 1e-4 of that
# are compared. That makes 1e-8; the rest is for functions whose fifth derivative is not around 1.
CLOSE = 1e-7


def a_row(seed=0, n=6):
    return np.random.default_rng(seed).normal(scale=2, size=n)


@pytest.mark.parametrize(("shape", "axis"), SHAPES_AND_AXES)
def test_backwards_against_central_differences(shape, axis):
    rng = np.random.default_rng(1)
    z, g = rng.normal(scale=2, size=shape), rng.normal(size=shape)
    by_hand = F.softmax_backward(g, F.softmax(z, axis), axis)
    assert max_relative_error(by_hand, numerical_gradient(lambda x: (g * F.softmax(x, axis)).sum(), z)) < CLOSE
    by_hand = F.log_softmax_backward(g, F.log_softmax(z, axis), axis)
    assert max_relative_error(by_hand, numerical_gradient(lambda x: (g * F.log_softmax(x, axis)).sum(), z)) < CLOSE
    g = rng.normal(size=np.shape(F.logsumexp(z, axis)))
    by_hand = F.logsumexp_backward(g, z, axis)
    assert max_relative_error(by_hand, numerical_gradient(lambda x: (g * F.logsumexp(x, axis)).sum(), z)) < CLOSE


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_against_central_differences(reduction):
    rng = np.random.default_rng(2)
    z, y = rng.normal(scale=2, size=(2, 3, 5)), rng.integers(5, size=(2, 3))
    for loss, backward in ((F.cross_entropy, F.cross_entropy_backward), (F.nll_loss, F.nll_loss_backward)):
        numeric = numerical_gradient(lambda x, loss=loss: np.sum(loss(x, y, reduction)), z)
        assert max_relative_error(backward(z, y, reduction), numeric) < CLOSE


def test_backwards_against_explicit_jacobians():
    # J[j, k] = d output_j / d z_k, written out; backward must be grad_output @ J, up to a few roundings around 1.
    z, g = a_row(), a_row(seed=9)
    p, log_p = F.softmax(z), F.log_softmax(z)
    eye = np.eye(len(z))
    np.testing.assert_allclose(F.softmax_backward(g, p), g @ (np.diag(p) - np.outer(p, p)), atol=4e-15)
    np.testing.assert_allclose(F.log_softmax_backward(g, log_p), g @ (eye - p), atol=4e-15)
    np.testing.assert_allclose(F.logsumexp_backward(2.0, z), 2 * p, atol=4e-15)
    np.testing.assert_allclose(F.nll_loss_backward(log_p, np.array(3)), -eye[3])
    np.testing.assert_allclose(F.cross_entropy_backward(z, np.array(3)), p - eye[3], atol=4e-15)


def test_backward_is_linear_in_grad_output():
    p, log_p, g, h = F.softmax(a_row()), F.log_softmax(a_row()), a_row(1), a_row(2)
    for backward, output in ((F.softmax_backward, p), (F.log_softmax_backward, log_p)):
        both = backward(2 * g - 3 * h, output)
        np.testing.assert_allclose(both, 2 * backward(g, output) - 3 * backward(h, output), atol=2e-14)
        np.testing.assert_allclose(both.sum(), 0, atol=2e-14)


def test_softmax_backward_keeps_the_tiny_gradient_of_a_confident_row():
    # p = [1 - 2q, q, q] with q = exp(-40): the exact gradient for g = [1, 0, 0] is [2q, -q, -q] to 1e-17 of itself.
    p = F.softmax([40.0, 0.0, 0.0])
    np.testing.assert_allclose(F.softmax_backward([1.0, 0.0, 0.0], p), [2 * p[1], -p[1], -p[1]], rtol=1e-15)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["bigram", "mlp"])
def test_every_parameter_of_every_model_for_every_objective(kind, loss, head):
    rng = np.random.default_rng(5)
    if kind == "bigram":
        model = BigramLM(5, np.float64)
        model.params["logits"][...] = rng.normal(size=(5, 5))
    else:
        model = MLPLM(5, context_length=3, embedding_dim=4, hidden_dim=6, seed=2, dtype=np.float64)
        model.params["output_weight"] *= 10  # so that no two classes are alike
    contexts, targets = rng.integers(5, size=(9, model.context_length)), rng.integers(5, size=9)
    objective = Objective(head, loss)
    value, grad_logits = objective.value_and_grad(model.forward(contexts), targets)
    grads = model.backward(grad_logits)
    assert grads.keys() == model.params.keys()
    for name, kept in model.params.items():

        def value_with(param, name=name):
            model.params[name] = param
            return objective.value_and_grad(model.forward(contexts), targets)[0]

        numeric = numerical_gradient(value_with, kept)
        model.params[name] = kept
        assert max_relative_error(grads[name], numeric) < 1e-6
        assert value_with(kept) == value


def test_the_gradient_check_catches_a_wrong_gradient():
    z, y = np.random.default_rng(0).normal(size=(4, 5)), [0, 1, 2, 3]
    numeric = numerical_gradient(lambda x: F.cross_entropy(x, y), z)
    right = F.cross_entropy_backward(z, y)
    assert max_relative_error(right, numeric) < CLOSE
    one_entry_off = right.copy()
    one_entry_off[2, 3] *= 1.001
    for wrong in (-right, right * 4, F.softmax(z) / 4, right.T.copy().reshape(4, 5), one_entry_off, right * np.nan):
        assert max_relative_error(wrong, numeric) > 1e-4


def test_two_gradients_of_zeros_do_not_differ():
    assert max_relative_error(np.zeros(3), np.zeros(3)) == 0


def test_gradcheck_scales_its_step_with_the_input():
    for size in (1e-3, 1.0, 1e6, 1e13):
        assert max_relative_error([1.0, 2 * size], numerical_gradient(lambda x: x[0] + x[1] ** 2, [size, size])) < 1e-9


def test_gradcheck_leaves_its_argument_alone():
    x = np.ones((2, 2))
    numerical_gradient(lambda x: (x * x).sum(), x)
    assert np.array_equal(x, np.ones((2, 2)))
