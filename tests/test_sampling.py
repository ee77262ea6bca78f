"""Decoders: what each keeps, what it refuses, and what becomes of a draw."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOATS, logits

from scratchlm import sampling
from scratchlm.data import BOUNDARY, Vocabulary, contexts_and_targets, load_names
from scratchlm.functional import log_softmax, softmax
from scratchlm.models import MLPLM, BigramLM

# Distinct scores, so that rounding in log_softmax cannot create or break a tie.
distinct = st.lists(st.integers(-40, 40), min_size=1, max_size=12, unique=True).map(lambda xs: np.array(xs) / 4)
FILTERS = [(sampling.top_k, 2), (sampling.top_p, 0.7), (sampling.min_p, 0.3)]


def kept(scores):
    return np.flatnonzero(scores > -np.inf)


@given(distinct, st.integers(1, 12), st.floats(0.01, 0.99), st.floats(0.2, 5))
def test_logits_and_log_probs_keep_the_same_tokens_and_draw_the_same_one(z, k, p, temperature):
    log_p = log_softmax(z)
    assert np.array_equal(kept(sampling.top_k(z, k)), kept(sampling.top_k(log_p, k)))
    shares = np.cumsum(-np.sort(-softmax(z)))
    if np.abs(shares - p).min() > 1e-9:
        assert np.array_equal(kept(sampling.top_p(z, p)), kept(sampling.top_p(log_p, p)))
    if np.abs(z - z.max() - math.log(p)).min() > 1e-9:
        assert np.array_equal(kept(sampling.min_p(z, p)), kept(sampling.min_p(log_p, p)))
    from_logits = sampling.sample(sampling.apply_temperature(z, temperature), np.random.default_rng(k))
    from_log_probs = sampling.sample(sampling.apply_temperature(log_p, temperature), np.random.default_rng(k))
    assert from_logits == from_log_probs


def test_the_repetition_penalty_alone_depends_on_the_shift():
    z = np.array([2.0, 1.0, -1.0])
    penalised = sampling.repetition_penalty(z, [0, 2, 2], 2.0)
    assert penalised.tolist() == [1.0, 1.0, -2.0]
    from_log_probs = sampling.repetition_penalty(log_softmax(z), [0, 2, 2], 2.0)
    assert np.abs(softmax(penalised) - softmax(from_log_probs)).max() > 0.05
    assert np.array_equal(sampling.repetition_penalty(z, np.zeros(0, int), 2.0), z)
    assert np.array_equal(sampling.repetition_penalty(z, [0, 1], 1.0), z)
    batched = sampling.repetition_penalty(np.stack([z, z]), [[0], [1]], 2.0)
    assert batched.tolist() == [[1.0, 1.0, -1.0], [2.0, 0.5, -1.0]]
    masked = sampling.repetition_penalty([-np.inf, 1.0], [0], 2.0)
    assert masked.tolist() == [-np.inf, 1.0]


@given(logits(max_dims=2))
def test_decoders_keep_dtype_and_input(z):
    before = z.copy()
    for decoder, setting in FILTERS:
        assert decoder(z, setting).dtype == z.dtype
    assert sampling.repetition_penalty(z, np.zeros((*z.shape[:-1], 1), int), 1.1).dtype == z.dtype
    assert sampling.apply_temperature(z, 2.0).dtype == z.dtype
    assert np.array_equal(z, before)


def test_extreme_settings_do_not_make_nan_of_a_mask():
    z = np.array([0.0, -np.inf], np.float32)
    assert sampling.apply_temperature(z, 1e300).tolist() == [0.0, -np.inf]
    assert sampling.apply_temperature(z, np.float64(0.7)).dtype == np.float32
    assert sampling.repetition_penalty(z, [0, 1], 1e300).tolist() == [0.0, -np.inf]


def test_among_equal_scores_the_lower_id_stays():
    assert kept(sampling.top_k(np.zeros(4), 2)).tolist() == [0, 1]
    assert kept(sampling.top_k(np.arange(30) % 2, 16)).tolist() == [0, *range(1, 30, 2)]  # a stable sort, at any length
    assert kept(sampling.top_p(np.zeros(4), 0.6)).tolist() == [0, 1, 2]
    assert kept(sampling.min_p(np.zeros(4), 1.0)).tolist() == [0, 1, 2, 3]


def test_a_nucleus_that_is_reached_exactly_is_not_exceeded():
    assert kept(sampling.top_p(np.log([0.5, 0.5]), 0.5)).tolist() == [0]
    assert kept(sampling.top_p(np.log([0.5, 0.25, 0.25]), 0.75)).tolist() == [0, 1]


def test_the_steps_come_in_the_order_that_is_promised():
    # One letter, so that the order of the steps decides what may come second.
    model = BigramLM(4)
    model.params["logits"][...] = [[-50, 4.0, 3.0, 2.0]] * 4
    scores = model.params["logits"][0].astype(np.float32)
    scores = sampling.apply_temperature(sampling.repetition_penalty(scores, [1], 2.0), 2.0)
    scores = sampling.min_p(sampling.top_p(sampling.top_k(scores, 3), 0.6), 0.1)
    drawn = sampling.generate(
        model, 400, temperature=2.0, top_k=3, top_p=0.6, min_p=0.1, repetition_penalty=2.0, max_length=2
    )
    after_1 = {int(text[1]) for text in drawn if text[0] == 1}
    assert after_1 == set(kept(scores).tolist())


def test_the_penalty_is_for_tokens_that_were_written_and_not_for_the_boundary_before_them():
    model = BigramLM(3)
    model.params["logits"][...] = [1.0, 0.9, -np.inf]
    texts = sampling.generate(model, 4000, repetition_penalty=10.0, max_length=2)
    after_one = [len(text) == 1 for text in texts if len(text)]
    stop = math.exp(1.0) / (math.exp(1.0) + math.exp(0.09))  # the boundary keeps its score, token 1 has a tenth
    assert abs(np.mean(after_one) - stop) < 5 * math.sqrt(stop * (1 - stop) / len(after_one))


def test_filters_leave_the_masked_masked():
    z = np.array([-np.inf, 1.0, 0.0])
    for decoder, setting in ((sampling.top_k, 3), (sampling.top_p, 0.999), (sampling.min_p, 1e-6)):
        assert decoder(z, setting)[0] == -np.inf
    assert kept(sampling.top_p(z, 1.0)).tolist() == [1, 2]


def test_samples_have_the_frequencies_of_softmax():
    z, n = np.array([1.0, 0.0, -np.inf, 2.0]), 20_000
    drawn = sampling.sample(np.tile(z, (n, 1)), np.random.default_rng(0))
    p = softmax(z)
    shares = np.bincount(drawn, minlength=4) / n
    # Five standard deviations of a share; a wrong distribution is off by tens.
    assert (np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()
    assert shares[2] == 0


def test_generate_follows_the_model_and_stops_at_the_boundary():
    # 0 -> 1 -> 2 -> 0 and nothing else.
    always_ab = BigramLM(3).fit_counts([[0], [1], [2]], [1, 2, 0])
    texts = sampling.generate(always_ab, count=3)
    assert [text.tolist() for text in texts] == [[1, 2]] * 3
    never_ends = BigramLM(2).fit_counts([[0], [1]], [1, 1])
    assert [text.tolist() for text in sampling.generate(never_ends, max_length=7)] == [[1] * 7]
    at_once = BigramLM(2).fit_counts([[0]], [0])
    assert [text.tolist() for text in sampling.generate(at_once, count=2)] == [[], []]
    assert sampling.generate(always_ab, count=0) == []


def test_generate_is_seeded_and_uses_every_option():
    names = load_names()[:300]
    vocabulary = Vocabulary.from_texts(names)
    model = BigramLM(len(vocabulary)).fit_counts(*contexts_and_targets(names, vocabulary, 1))
    plain = [vocabulary.decode(ids) for ids in sampling.generate(model, 20, rng=1)]
    assert plain == [vocabulary.decode(ids) for ids in sampling.generate(model, 20, np.random.default_rng(1))]
    assert plain != [vocabulary.decode(ids) for ids in sampling.generate(model, 20, rng=2)]
    for option in (
        {"temperature": 3.0},
        {"top_k": 2},
        {"top_p": 0.5},
        {"min_p": 0.5},
        {"repetition_penalty": 3.0},
        {"max_length": 3},
    ):
        assert plain != [vocabulary.decode(ids) for ids in sampling.generate(model, 20, rng=1, **option)]
    greedy = sampling.generate(model, 5, rng=1, top_k=1, max_length=5)
    assert all(text.tolist() == greedy[0].tolist() for text in greedy)
    assert all(BOUNDARY not in text for text in sampling.generate(model, 50))


def test_generate_gives_a_model_the_context_it_was_trained_with():
    class Spy(MLPLM):
        def forward(self, contexts):
            seen.append(np.array(contexts))
            return super().forward(contexts)

    seen: list[np.ndarray] = []
    text = sampling.generate(Spy(9, context_length=3, seed=1), rng=3, max_length=5)[0].tolist()
    padded = [BOUNDARY] * 3 + text
    for i, contexts in enumerate(seen):
        assert contexts.tolist() == [padded[i : i + 3]]


@pytest.mark.parametrize("dtype", FLOATS)
def test_gumbel_draws_in_any_dtype(dtype):
    assert sampling.sample(np.array([[0, 50], [50, 0]], dtype), np.random.default_rng(0)).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [2, 27, 1000])
def test_the_sums_of_scores_reveal_their_kind(dtype, size):
    z = np.random.default_rng(size).normal(0, 3, (5, size)).astype(dtype)
    log_probs = log_softmax(z)
    assert sampling.scores_kind(z) == "logits"
    assert sampling.scores_kind(log_probs) == sampling.scores_kind(log_probs[0]) == "log_probs"
    assert sampling.scores_kind(softmax(z)) == "probs"
    cut = sampling.top_k(z, size - 1)
    assert sampling.scores_kind(log_softmax(cut)) == "truncated log_probs"
    assert sampling.scores_kind(softmax(cut)) == "probs"
    mixed = log_probs.copy()
    mixed[3] += dtype(1)
    assert sampling.scores_kind(mixed) == sampling.scores_kind(mixed[3]) == "logits"
    assert sampling.scores_kind(np.full((2, size), np.nan, dtype)) == "logits"


def test_the_blind_spots_of_scores_kind():
    assert sampling.scores_kind([np.log(0.5), np.log(0.5)]) == "log_probs"  # whoever made them
    assert sampling.scores_kind(sampling.top_k(np.log([0.5, 0.3, 0.2]), 2)) == "logits"  # what is left of a raw row
    assert sampling.scores_kind([1.0, 0.0]) == "probs"
    assert sampling.scores_kind([1.5, -0.5]) == "logits"
    assert sampling.scores_kind([0.0, -np.inf]) == "truncated log_probs"
    assert sampling.scores_kind([-np.inf, -np.inf]) == "logits"
