"""Models, optimisers and the loop, on the real names: what they reach, and what they say when they cannot."""

import io
import math
import time

import numpy as np
import pytest

from scratchlm import training
from scratchlm.data import Vocabulary, contexts_and_targets, load_names, split_texts
from scratchlm.functional import softmax
from scratchlm.models import MLPLM, BigramLM, _add_rows
from scratchlm.objectives import HEADS, LOSSES, Objective
from scratchlm.optim import SGD, AdamW
from scratchlm.progress import Progress
from scratchlm.training import Data, Diverged, learning_rate_at, mean_nll, train

NAMES = load_names()
VOCABULARY = Vocabulary.from_texts(NAMES)
LEARNING, HELD_OUT = split_texts(NAMES, 0.1, seed=0)


def data(texts, model):
    return Data(*contexts_and_targets(texts, VOCABULARY, model.context_length))


def trained(objective, *, steps=200, seed=0, learning_rate=0.01, dtype=np.float32):
    model = MLPLM(27, context_length=3, embedding_dim=8, hidden_dim=32, seed=seed, dtype=dtype)
    history = train(
        model,
        objective,
        AdamW(model.params),
        data(LEARNING, model),
        data(HELD_OUT, model),
        steps=steps,
        batch_size=64,
        learning_rate=learning_rate,
        seed=seed,
        record_every=100,
    )
    return model, history


def test_counting_gives_the_conditional_entropy():
    model = BigramLM(27, np.float64)
    every = data(NAMES, model)
    assert len(every.targets) == 36_122
    nll = mean_nll(model.fit_counts(*every), every)
    pairs = np.zeros((27, 27))
    np.add.at(pairs, (every.contexts[:, 0], every.targets), 1)
    p = pairs / pairs.sum()
    given_previous = pairs / pairs.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(given_previous, where=p > 0, out=np.zeros_like(p))).sum()
    assert math.isclose(nll, entropy, rel_tol=1e-12)
    assert round(nll, 5) == 2.33457
    # The optimum: no gradient is left. Each entry is a difference of sums of shares, 36,122 roundings of up to 1e-16.
    _, grad = Objective().value_and_grad(model.forward(every.contexts), every.targets)
    np.testing.assert_allclose(model.backward(grad)["logits"], 0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_counting_does_not_overflow_in_the_dtype_of_the_ids(dtype):
    contexts, targets = np.array([[25], [25], [3]]), np.array([1, 2, 5])
    small = BigramLM(27).fit_counts(contexts.astype(dtype), targets.astype(dtype))
    assert np.array_equal(small.params["logits"], BigramLM(27).fit_counts(contexts, targets).params["logits"])


def test_counting_with_smoothing_is_a_formula():
    model = BigramLM(3, np.float64).fit_counts([[0], [0], [1]], [1, 1, 0], smoothing=1)
    np.testing.assert_allclose(
        softmax(model.params["logits"]), [[1 / 5, 3 / 5, 1 / 5], [2 / 4, 1 / 4, 1 / 4], [1 / 3] * 3]
    )
    unseen = BigramLM(3).fit_counts([[0]], [1])
    np.testing.assert_allclose(softmax(unseen.params["logits"]), [[0, 1, 0], [1 / 3] * 3, [1 / 3] * 3], rtol=1e-6)
    for bad in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="smoothing"):
            BigramLM(3).fit_counts([[0]], [1], smoothing=bad)
    with pytest.raises(ValueError, match="must have the same length, not 2 and 1"):
        BigramLM(3).fit_counts([[0], [1]], [1])


def test_the_mlp_beats_the_bigram_by_a_third_of_a_nat_on_names_it_never_saw():
    bigram = BigramLM(27)
    floor = mean_nll(bigram.fit_counts(*data(LEARNING, bigram), smoothing=1), data(HELD_OUT, bigram))
    model = MLPLM(27)
    learning, held_out = data(LEARNING, model), data(HELD_OUT, model)
    history = train(
        model,
        Objective(),
        AdamW(model.params, weight_decay=0.1),
        learning,
        held_out,
        steps=2000,
        batch_size=128,
        learning_rate=0.01,
        record_every=1000,
    )
    assert floor - history[-1].nll > 0.33
    assert history[-1].nll == mean_nll(model, held_out)


def test_sgd_with_momentum_learns_too():
    model = BigramLM(27)
    every = data(NAMES, model)
    history = train(
        model,
        Objective(),
        SGD(model.params),
        every,
        every,
        steps=300,
        batch_size=512,
        learning_rate=2.0,
        record_every=300,
    )
    assert history[0].nll == pytest.approx(math.log(27))
    assert history[-1].nll < 2.6


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    first, first_history = trained(Objective(), seed=3)
    again, again_history = trained(Objective(), seed=3)
    other, _ = trained(Objective(), seed=4)
    for name, param in first.params.items():
        assert np.array_equal(param, again.params[name])
        assert not np.array_equal(param, other.params[name])
    assert first_history[1:] == again_history[1:]


def test_what_each_of_the_six_objectives_does_to_the_true_loss():
    after = {(head, loss): trained(Objective(head, loss))[1] for head in HEADS for loss in LOSSES}
    right = after["logits", "cross_entropy"][-1].nll
    assert right < 2.5
    # Right or redundant: the same values and gradients but for roundings, so after 200 steps nearly the same model.
    for pair in (("log_softmax", "nll_loss"), ("log_softmax", "cross_entropy")):
        assert after[pair][-1].nll == pytest.approx(right, abs=1e-3)
    # No lower bound: what is reported falls below every true loss, while the true loss climbs above blind guessing.
    reported = after["logits", "nll_loss"][-1]
    assert reported.loss < -10
    assert reported.nll > math.log(27)
    # Probabilities taken for logits: the reported loss cannot pass log(1 + 26/e), the true one stalls.
    stalled = after["softmax", "cross_entropy"][-1]
    assert stalled.loss > math.log(1 + 26 / math.e)
    assert stalled.nll > right + 0.3
    # Minus the mean probability of the target: between -1 and 0.
    bounded = after["softmax", "nll_loss"][-1]
    assert -1 < bounded.loss < 0
    assert bounded.nll > right + 0.3


def test_a_loss_that_becomes_nan_is_reported_with_its_step():
    with pytest.raises(Diverged, match=r"the loss became (nan|-inf) at step \d+: .*no lower bound") as caught:
        trained(Objective("logits", "nll_loss"), learning_rate=1e30, steps=50)
    assert caught.value.step > 0
    assert caught.value.history[0].step == 0


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_optimizers_change_parameters_in_place_and_go_downhill(optimizer):
    params = {"w": np.array([3.0, -2.0])}
    w = params["w"]
    stepper = optimizer(params)
    for _ in range(500):
        stepper.step({"w": 2 * w}, learning_rate=0.02)
    assert params["w"] is w
    assert np.abs(w).max() < 0.2


def test_adamw_is_its_formula():
    params, grads = {"w": np.array([1.0])}, [0.5, -1.0, 0.25]
    stepper = AdamW(params, beta1=0.8, beta2=0.9, epsilon=1e-3, weight_decay=0.1)
    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(grads, start=1):
        stepper.step({"w": np.array([g])}, learning_rate=0.1)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        w -= 0.1 * ((m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-3) + 0.1 * w)
    assert params["w"][0] == pytest.approx(w, rel=1e-14)


def test_sgd_is_its_formula():
    params = {"w": np.array([1.0])}
    stepper = SGD(params, momentum=0.5)
    for _ in range(3):
        stepper.step({"w": np.array([1.0])}, learning_rate=0.1)
    assert params["w"][0] == pytest.approx(1 - 0.1 * (1 + 1.5 + 1.75))


@pytest.mark.parametrize("size", [256, 257])  # below, a product with a one-hot matrix; above, line by line
def test_the_derivative_of_a_look_up_adds_every_row_to_its_line(size):
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(size, size=400), rng.integers(-9, 9, size=(400, 3)).astype(np.float32)
    expected = np.zeros((size, 3), np.float32)
    for i, row in zip(ids, rows, strict=True):
        expected[i] += row
    assert np.array_equal(_add_rows(ids, rows, size), expected)


def test_the_learning_rate_climbs_and_then_falls_to_almost_nothing():
    rates = [learning_rate_at(step, 100, 1.0, warmup=10) for step in range(100)]
    assert rates[9] == max(rates) == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.01


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_progress(stream):
    model, out = BigramLM(27), stream()
    every = data(NAMES[:50], model)
    progress = Progress(steps=40, stream=out)
    train(
        model,
        Objective(),
        SGD(model.params),
        every,
        every,
        steps=40,
        batch_size=8,
        learning_rate=0.1,
        record_every=10,
        progress=progress,
    )
    progress.finish()
    lines = out.getvalue().replace("\r", "\n").split("\n")
    shown = [line for line in lines if "steps/s" in line]
    assert len(shown) >= 4
    assert "40/40" in shown[-1]
    assert "s left" in shown[-1]
    assert "nats per token" in shown[-1]
    assert ("\r" in out.getvalue()) == (stream is Terminal)


def test_progress_shows_how_slow_slow_steps_are(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(time, "monotonic", iter([0.0, 10.0, 10.0]).__next__)
    Progress(steps=4, stream=out).tick(1)
    assert out.getvalue() == "step 1/4  0.10 steps/s  30 s left  \n"


def test_a_large_vocabulary_is_learned_from_the_same_gradients_without_all_the_logits(monkeypatch):
    rng = np.random.default_rng(0)
    batch = Data(rng.integers(0, 300, (50, 2)), rng.integers(0, 300, 50))
    model = MLPLM(300, 2, 4, 8, dtype=np.float64)
    whole = training.loss_and_grads(model, Objective(), batch)
    monkeypatch.setattr(training, "LARGE_VOCABULARY", 300)
    forward, asked = model.forward, []
    model.forward = lambda contexts: asked.append(1) or forward(contexts)
    in_parts = training.loss_and_grads(model, Objective(), batch)
    assert not asked
    assert in_parts[0] == pytest.approx(whole[0], rel=1e-13)
    for name, grad in whole[1].items():
        np.testing.assert_allclose(in_parts[1][name], grad, rtol=1e-10, atol=1e-14)
    training.loss_and_grads(model, Objective("log_softmax", "nll_loss"), batch)
    assert asked


def test_what_forward_gave_is_not_overwritten_by_the_next():
    model = MLPLM(9, 2, 4, 8)
    first = model.forward([[1, 2], [3, 4]])
    kept = first.copy()
    grads = model.backward(np.ones_like(first))
    copies = {name: grad.copy() for name, grad in grads.items()}
    model.backward(2 * np.ones_like(first))
    model.forward([[5, 6], [7, 8]])
    np.testing.assert_array_equal(first, kept)
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, copies[name])


@pytest.mark.parametrize("size", [3, 256, 257, 1000])
def test_adding_to_lines_of_a_table_adds_every_time(size):
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(0, min(size, 20), 200), rng.normal(size=(200, 3))
    right = np.zeros((size, 3))
    np.add.at(right, ids, rows)
    np.testing.assert_allclose(_add_rows(ids, rows, size), right, atol=1e-13)
    np.testing.assert_array_equal(_add_rows(ids[:0], rows[:0], size), np.zeros((size, 3)))
