"""Every demo, on a small budget: the numbers in it, not only that it ran.

It is one file because running the pages takes most of the time, and all tests share one run.
"""

import copy
import itertools
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlm.functional import cross_entropy, log_softmax
from scratchlm.gradcheck import numerical_gradient
from scratchlm.models import BigramLM

ROOT = Path(__file__).parent.parent
DEMOS = ROOT / "demos"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n"
PAGES = [int(path.name[:2]) for path in sorted(DEMOS.glob("[0-9]*.py"))]


@pytest.mark.parametrize("number", PAGES)
def test_a_page_opens_with_its_question_and_closes_with_what_to_remember(number, run):
    _, text, pictures = run(number)
    assert text.splitlines()[0].endswith("?") or "?" in text.splitlines()[0]
    assert re.search(r"^Remember: .*^Your turn: ", text, flags=re.DOTALL | re.MULTILINE)
    assert pictures
    if number != PAGES[-1]:
        assert re.search(rf"^Next: python .*{number + 1:02}_\w+\.py$", text, flags=re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 150


def test_overflow(run):
    found, text, pictures = run(1)
    assert pictures == ["01_overflow.png"]
    # The last float below log(largest float): found by bisection, so within one spacing, and exp's own rounding.
    for name, threshold in found["overflow"].items():
        info = np.finfo(name)
        assert threshold == pytest.approx(np.log(float(info.max)), rel=2 * float(info.eps))
    assert [round(x, 2) for x in found["overflow"].values()] == [11.09, 88.72, 709.78]
    for name, (low, high) in found["naive_band"].items():
        assert high < found["overflow"][name]
        assert low > found["underflow"][name]
        last_odd_float = 2.0 ** (np.finfo(name).nmant + 1) - 1
        assert found["our_band"][name] == [-(last_odd_float - 1), last_odd_float + 1]  # s - 1 is the odd one
    everywhere = ["float16", "float32", "float64"]
    assert list(found["survivors"].values()) == [[], [], everywhere, everywhere]
    assert "11.0859" in text


def test_logsumexp(run):
    found, text, _ = run(2)
    in_two_steps, usual, ours = found["WAYS"]
    # Where exp(-s), or what is left of it beside 1, is no longer a float32: 24 bits are 16.6 nats, 149 bits are 103.3.
    assert found["lost_from"] == {in_two_steps: [17.0, 104.0], usual: [17.0, None], ours: [None, None]}
    for key, errors in found["ulps"].items():
        assert errors[ours] <= 4, key
        assert errors[ours] <= errors[usual] + 1, key
    for key, shares in found["lost"].items():
        assert shares[usual] == shares[ours] == 0, key
    assert found["ulps"]["float32", 300][usual] == math.inf
    assert found["lost"]["float16", 1000][in_two_steps] > 0.9
    assert found["lost"]["float64", 300][in_two_steps] == 0
    assert "l[2]" in text
    assert "-inf" in text


def test_normalising(run):
    found, text, _ = run(3)
    for name, ulps in found["shift_ulps"].items():
        assert ulps <= 8  # two results, each within its 4 ulps
        assert found["scale_ulps"][name] > 10 * ulps
    assert max(found["shift_ulps"].values()) > 0  # two results, not one twice
    assert found["directions_lost"] == 1
    assert found["all_alike"] < 1e-14
    assert max(found["back_ulps"].values()) <= 3.5  # three numbers rounded half an ulp, two of them computed
    assert max(found["distance_ulps"].values()) <= 4
    for shares in found["lost_by_exp"].values():
        assert list(shares.values()) == sorted(shares.values())
    half, single, double = found["lost_by_exp"].values()
    assert half["10"] == single["100"] == double["500"] == 0
    assert min(half["30"], single["300"]) > 0.3
    assert double["1000"] > 0.1
    assert found["lost_as_log"] == 0
    assert "lost: 1 number per row" in text


def test_temperature(run):
    found, _, _ = run(4)
    for name, tolerance in (("float32", 1e-5), ("float64", 1e-13)):
        agreement = found["agreement"][name]
        assert agreement["of_bound"] <= 1
        assert agreement["difference"] < tolerance
        assert agreement["moved"] > 0.5
        assert agreement["ulps"] > 10  # two ways, not one way twice; and of_bound is not 0 for want of a bound
        assert agreement["of_bound"] > 0.05
    assert 0 < found["exp_difference"] < 4e-15
    assert found["ceiling"] == math.e / (math.e + 26)
    assert found["reached"] == pytest.approx(found["ceiling"], rel=1e-6)
    assert max(found["top_from_logits"]) > 0.999
    # Logits in steps of 200 / 26 below 0; a probability below e^-17.3 is 0 in float16, e^-104 in float32.
    assert found["tokens_lost"] == {"float16": 24, "float32": 13, "float64": 0}
    assert found["mass_lost"]["float16"] > 0.05
    assert found["falls"] == 0
    assert found["entropies"][0].mean() < 0.2 < 3.2 < found["entropies"][-1].mean() < math.log(27)


def test_a_page_with_too_few_steps_or_seeds_to_measure_says_how_many_it_needs(tmp_path):
    for page, few, needed in (
        ("13_collapse", "--steps=201", "more than 201"),
        ("10_verdicts", "--seeds=1", "2 or more"),
    ):
        command = [sys.executable, ROOT / "demos" / f"{page}.py", few, "--out", tmp_path]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert needed in ended.stderr


def test_collapse(run):
    found, text, pictures = run(13)
    assert pictures == ["13_collapse.png"]
    (usual,), (ours,) = found["courses"]["p - 1"], found["courses"]["ours"]
    before = min(usual.loss[: usual.top])
    assert usual.loss[usual.top] > 100 * max(before, usual.loss[usual.top - 100])
    assert ours.jump < 1.01 > found["exact"].jump
    # Both have float32's p; one has float64's gradient, but for rounding, and so its course.
    assert ours.loss[-1] == pytest.approx(found["exact"].loss[-1], rel=0.2)
    assert max(usual.silent) > 0.5
    assert max(ours.silent) == 0
    assert usual.level[-1] < -500
    assert abs(ours.level[-1]) < 20
    assert found["further"].loss[-1] < 1e-6 * ours.loss[-1]
    assert found["longer"].loss[-1] > 100 * before
    assert found["guessed"] < 0.1
    assert f"{usual.jump:,.0f} times" in text


def test_the_network_of_the_collapse_has_the_gradient_that_nudging_finds(run):
    found, _, _ = run(13)
    (pairs, answers), _ = found["sums"](0)
    pairs, answers, params = pairs[:7], answers[:7], found["new_network"](0, np.float64)
    layers = found["forward"](params, pairs)
    grads = found["backward"](params, pairs, layers, found["ours"](layers[-1], answers))
    for name in params:
        entry = np.unravel_index(np.abs(grads[name]).argmax(), grads[name].shape)

        def loss(x, name=name, entry=entry):
            nudged = {**params, name: params[name].copy()}
            nudged[name][entry] = x[0]
            return cross_entropy(found["forward"](nudged, pairs)[-1], answers)

        by_nudging = numerical_gradient(loss, params[name][entry][None])
        assert grads[name][entry] == pytest.approx(by_nudging[0], rel=1e-6)


def test_sixteen_bits(run):
    found, _, pictures = run(14)
    assert pictures == ["14_sixteen_bits.png"]
    errors, changed = found["errors"], found["changed"]
    assert errors["logits"] == sorted(errors["logits"])
    assert changed["logits"] == sorted(changed["logits"])
    assert errors["logits"][-1] > 0.5
    assert changed["logits"][-1] > 0.1
    # A score of at most log 100 is off by half a step, 1/256 of it, and so is what the sum of all exps is off by.
    assert max(errors["log-probs"] + errors["logits - max"]) < math.expm1(2 * math.log(100) / 256)
    assert max(changed["log-probs"]) < 0.01
    assert max(changed["logits - max"]) == 0
    assert found["cast_errors"]["before"] < 1e-4 < 0.01 < found["cast_errors"]["after"]
    for exact, rounded in zip(found["nlls"]["32"], found["nlls"]["16"], strict=True):
        assert 0 < abs(exact - rounded) < 0.02


def test_bfloat16_is_the_nearest_and_of_two_the_even_one(run):
    bfloat16 = run(14).found["bfloat16"]
    rng = np.random.default_rng(0)
    x = (rng.normal(0, 1, 2000) * 10.0 ** rng.integers(-20, 20, 2000)).astype(np.float32)
    x[:500] = (x[:500].view(np.uint32) & np.uint32(0xFFFF0000) | 0x8000).view(np.float32)  # halfway
    below = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)  # towards 0
    above = (below.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
    to_below, to_above = (abs(x.astype(float) - side.astype(float)) for side in (below, above))
    is_even = (below.view(np.uint32) >> 16) % 2 == 0
    nearest = np.where((to_below < to_above) | ((to_below == to_above) & is_even), below, above)
    assert (to_below == to_above).sum() >= 500
    np.testing.assert_array_equal(bfloat16(x), nearest)


def test_whose_log_probs(run):
    found, _, pictures = run(15)
    assert pictures == ["15_whose_log_probs.png"]
    assert found["row_difference"] < 1e-13
    # l / T lies below the log-prob at T, since exp(l / T) sums to less than 1 for T < 1.
    assert found["gap"].max() <= 1e-12
    assert found["factor"] > 1.5
    assert found["per_100"] > 50
    assert np.isfinite(found["processed"][found["of_letter"]]).all()
    assert found["processed_nll"] < found["raw_nll"] - 0.1
    kinds = list(found["kinds"].values())
    assert kinds == ["logits", "log_probs", "truncated log_probs", "probs", *["logits"] * 3, "log_probs"]
    assert found["chance"] == 0


def test_what_they_give_away(run):
    found, _, pictures = run(16)
    assert pictures == ["16_what_they_give_away.png"]
    for width in (4, 8, 16):
        count, step = found["found"][width, "log-probs"]
        assert count == width + 1
        assert step > 1000
        rounded, of_rounded = found["found"][width, "log-probs, 3 decimals"]
        assert rounded <= width + 1
        assert of_rounded < step / 10
        assert found["found"][width, "probabilities"][1] < 10
    for halvings, error in found["errors"].items():
        # Each distance is off by half an interval, and Z by no more than the worst of them.
        assert error <= 2 * 64 / 2 ** (halvings + 1) + 1e-12
        assert found["recovered"][halvings][1] == 1 + 26 * halvings


def test_tests(run):
    found, text, pictures = run(11)
    assert pictures == ["11_tests.png"]
    let_through, tried, refused = found["let_through"], found["tried"], found["refused"]
    assert sum(map(len, found["WRONG"].values())) == tried["shape and sums"] >= 24
    assert let_through["random inputs, every identity"] == refused["random inputs, every identity"] == 0
    weak = let_through.keys() - {"random inputs, every identity"}
    assert min(let_through[test] / tried[test] for test in weak) > 0.2
    assert max(let_through, key=lambda test: let_through[test] / tried[test]) == "shape and sums"
    assert let_through["one reference matrix"] > let_through["four examples"]
    assert refused["one reference matrix"] > 0  # what is computed in float32 has no 7 digits to agree in
    assert found["guess_passes"] == ["shape and sums"]
    assert {"one reference matrix", "four examples"} <= set(found["global_max_passes"])
    assert {"one reference matrix", "four examples"} <= set(found["famous_passes"])
    assert all(set(names) <= set(found["missed"]["shape and sums"][kind]) for kind, names in found["hardy"].items())
    assert f"The same with every identity: 0 of {tried['shape and sums']}." in " ".join(text.split())


def test_objectives(run):
    found, _, pictures = run(8)
    assert pictures == ["08_objectives.png", "08_objectives_twins.png"]
    truth, reported, outcome = found["truth"], found["reported"], found["outcome"]
    for kind in ("bigram", "MLP"):
        right = truth[kind, "logits", "cross_entropy"]
        for pair in (("log_softmax", "cross_entropy"), ("log_softmax", "nll_loss")):
            assert truth[kind, *pair] == pytest.approx(right, abs=1e-3)
            assert outcome[kind, *pair] == "learns"
        assert outcome[kind, "logits", "nll_loss"] == outcome[kind, "softmax", "nll_loss"] == "seems to learn"
        assert outcome[kind, "softmax", "cross_entropy"] == "grows too sure"
        assert reported[kind, "logits", "nll_loss"] < 0
        assert -1 < reported[kind, "softmax", "nll_loss"] < 0
        assert reported[kind, "softmax", "cross_entropy"] > math.log(1 + 26 / math.e)  # its floor
        for pair in (("logits", "nll_loss"), ("softmax", "cross_entropy"), ("softmax", "nll_loss")):
            assert truth[kind, *pair] > right + 0.1
    assert all(value <= 8 and share <= 1 for value, _, share in found["same"].values())
    assert 0 < found["drift"] < 10 * found["control"] < 1e-3
    assert all(difference > 0 for _, difference, _ in found["same"].values())  # two ways, not one way twice
    assert abs(found["twin_nll"][0] - found["twin_nll"][1]) < 1e-3
    assert found["lines"] == {"with_logits": 5, "with_log_softmax": 6}
    assert found["same_guesses"]
    assert found["same_tokens"]


def test_gradient(run):
    found, text, _ = run(5)
    assert found["gradient"] == pytest.approx(found["p"] - found["onehot"], abs=1e-15)
    assert found["worst_error"] < 1e-6
    assert found["wrong_sign"] == pytest.approx(2, abs=1e-6)
    assert found["dead_from"] == 17.5  # exp(-17.5) is less than half the distance from 1 to the float32 below
    assert found["ours_ulps"] <= 4
    assert found["as_difference"] == 0
    assert found["shifted_first"] == pytest.approx(math.log(2), rel=1e-7)
    losses = [loss for _, _, loss, _ in found["path"]]
    assert losses == sorted(losses, reverse=True)
    assert "+0.4631" in text


def test_bigram(run):
    found, text, pictures = run(6)
    assert pictures == ["06_bigram_roads.png", "06_bigram_table.png"]
    assert round(found["counted_nll"], 5) == 2.33457
    assert 0 <= found["gap"] < 5e-3  # 0.002 after 100 steps; 0.000005 after 300
    assert found["farthest"] < 0.01
    assert "2.33457 nats per letter" in text


def test_mlp(run):
    found, text, pictures = run(7)
    assert pictures == ["07_mlp.png"]
    assert len(found["errors"]) == 6
    assert found["worst_error"] < 1e-6
    assert found["floor"] - found["final"] > 0.2  # after 400 steps; 0.46 after 4,000
    share, surprise = found["share_new"], found["nll_of"]
    rising = ["T = 0.3", "T = 0.7", "T = 1", "T = 1.5"]
    for numbers in (share, surprise):
        assert [numbers[t] for t in rising] == sorted(numbers[t] for t in rising)
        assert max(numbers["top-k 3"], numbers["top-p 0.8"], numbers["min-p 0.2"]) < numbers["T = 1"]
    assert "Ten names by each decoder" in text


def test_decoders(run):
    found, text, _ = run(9)
    assert found["changed"] == ["repetition penalty 1.3", "soft-capping at 5"]
    assert len(found["survives"]) == 12
    assert min(found["change"][name] for name in found["changed"]) > 0.05
    assert max(found["change"][name] for name in found["survives"]) < 1e-14
    assert set(found["sets_differ"].values()) == {0}
    assert found["without"]["z"] == found["without"]["l = z - Z"] == found["without"]["z + 10"]
    assert len({tuple(texts) for texts in found["penalised"].values()}) == 3
    beams = found["beam_texts"]
    assert beams["sum of log-probs"] == beams["logits, normalised first"] != beams["sum of logits"]
    assert len(beams["sum of logits"]) > len(beams["sum of log-probs"])
    assert found["z_loss"]["z"] > 1 > 1e-20 > found["z_loss"]["l"]
    assert found["energy_tells"]["l"] == 0.5 < 0.55 < found["energy_tells"]["z"]
    assert found["change"]["contrast of two models"] > 0
    for cut, keep in found["CUTS"].items():
        dropped = np.isneginf(keep(found["z"])).mean()
        assert 0.2 < dropped < 1, cut
    heat = found["moved_by_heat"]
    assert heat["top-k"] == heat["top-nσ"] == 0
    assert min(heat["top-p"], heat["min-p"]) > 0.5
    assert len({tuple(texts) for texts in found["mended"].values()}) == 1
    assert f"0 of {found['rows_compared']:,} comparisons" in text


# --- the verdicts ----------------------------------------------------------------------------------------------------


# Measurements just beside the border of each rule, and the verdict then.
def difference(measure, mean, plus_minus):
    """Return a change of one measure's differences, the same for both models."""

    def change(m):
        for differences in m["differences"].values():
            differences[measure] = type(differences[measure])(mean, plus_minus)

    return change


def nats(measure, value):
    return lambda m: m[measure].update({"MLP logits nll_loss": value})


OURS, USUAL, TWO_STEPS = "d - log1p(odds)", "d - log(sum)", "log(softmax(z))"
LIMITED = "confirmed, with a limit"
OTHERWISE = [
    ("A1", lambda m: m["shift_ulps"].update(float32=8.0), "confirmed"),
    ("A1", lambda m: m["shift_ulps"].update(float32=8.1), "refuted"),
    ("A1", lambda m: m["scale_ulps"].update(float16=79.0), "refuted"),
    ("A2", lambda m: m["ulps"]["float64, 10"].update({OURS: 4.0}), LIMITED),
    ("A2", lambda m: m["ulps"]["float64, 10"].update({OURS: 4.1}), "refuted"),
    ("A2", lambda m: [shares.update({TWO_STEPS: 0.0}) for shares in m["lost"].values()], "refuted"),
    ("A2", lambda m: [errors.update({USUAL: 900.0}) for errors in m["ulps"].values()], "confirmed"),
    ("A3", lambda m: m["same"].update(float64=[8.0, 1e-16, 1.0]), "confirmed"),
    ("A3", lambda m: m["same"].update(float64=[8.1, 1e-16, 1.0]), "refuted"),
    ("A3", lambda m: m["same"].update(float64=[8.0, 1e-16, 1.1]), "refuted"),
    ("A4", lambda m: m.update(directions_lost=0), "refuted"),
    ("A4", lambda m: m["back_ulps"].update(float16=3.5), LIMITED),
    ("A4", lambda m: m["back_ulps"].update(float16=3.6), "confirmed"),
    ("A5", lambda m: m["agreement"]["float64"].update(of_bound=1.0), "refuted"),
    ("A5", lambda m: m["agreement"]["float64"].update(of_bound=1.1), "confirmed"),
    ("A5", lambda m: m["agreement"]["float32"].update(moved=0.0), "confirmed"),
    ("A6", lambda m: m.update(reached=0.98 * m["ceiling"]), "refuted"),
    ("A6", lambda m: m.update(reached=1.01 * m["ceiling"]), "refuted"),
    ("A6", lambda m: m.update(exp_difference=1e-14), "refuted"),
    ("A7", lambda m: m.update(falls=1), "refuted"),
    ("A7", lambda m: m.update(temperature_steps=0), "refuted"),
    ("A7", lambda m: m.update(coldest=m["hottest"]), "refuted"),
    ("A8", nats("reported", 0.1), "refuted"),
    ("A8", lambda m: nats("truth", m["truth"]["MLP logits cross_entropy"] + 0.09)(m), "refuted"),
    ("A8", lambda m: nats("truth", m["truth"]["MLP logits cross_entropy"] + 0.11)(m), "confirmed"),
    ("A9", lambda m: m["survivors"].update({"log_softmax, shifted": []}), "refuted"),
    ("A9", lambda m: m["survivors"].update({"softmax, shifted": []}), "confirmed"),
    ("A9", lambda m: m["survivors"].update({"log_softmax, naive": ["float64"]}), "confirmed"),
    ("A10", lambda m: m.update(drift=11 * m["control"], twin_nll=[2.0, 1.994, 2.0]), "confirmed"),
    ("A10", lambda m: m.update(drift=9 * m["control"], twin_nll=[2.0, 1.9, 2.0]), "refuted"),
    ("A10", lambda m: m.update(drift=11 * m["control"], twin_nll=[2.0, 2.1, 2.0]), "refuted"),
    ("A11", difference("census list guessed", 0.041, 0.035), "confirmed"),
    ("A11", difference("census list guessed", 0.041, 0.051), "undecided"),
    ("A11", difference("census list guessed", 0.001, 0.003), "refuted"),
    ("A12", lambda m: m["sets_differ"].update({"top-k, names": 1}), "refuted"),
    ("A12", lambda m: m["sets_differ"].update({"top-k, names": m["rows_compared"] // 900}), "confirmed"),
    ("A13", lambda m: m["lines"].update(with_logits=6), "refuted"),
    ("A13", lambda m: m["lines"].update(with_logits=7), "confirmed"),
    ("A14", difference("held-out NLL", -0.3, 0.1), "refuted"),
    ("A14", difference("held-out NLL", -0.5, 0.73), "undecided"),
    ("A14", difference("held-out NLL", 0.3, 0.1), "confirmed"),
    ("A15", lambda m: m.update(changed=[]), "refuted"),
    ("A15", lambda m: m.update(survives=[]), "confirmed"),
    ("B1", lambda m: m.update(in_32_bits=5e-5), "refuted"),
    ("B1", lambda m: m["errors"].update(logits=m["errors"]["log-probs"]), "confirmed"),
    ("A10", lambda m: m.update(drift=float("nan")), "undecided"),
    ("A5", lambda m: m["agreement"]["float32"].update(of_bound=float("nan")), "undecided"),
]


def test_the_verdicts(verdict_page):
    found, text, pictures = verdict_page
    assert pictures == ["10_verdicts.png"]
    assert "running page" not in text  # all that it needs was measured a moment ago
    assert list(found["verdicts"]) == [*(f"A{i}" for i in range(1, 16)), "B1"]
    assert {number for number, _, _ in OTHERWISE} == set(found["verdicts"])
    assert "So output logits" in text
    refuted = [number for number, verdict in found["verdicts"].items() if verdict == "refuted"]
    assert refuted == ["A5", "A10", "A11", "A12", "A13"]
    for kind in ("bigram", "MLP"):
        nll, letters, lists = found["differences"][kind]
        assert abs(nll.mean) < 0.005
        assert abs(letters.mean) < 0.01
        assert abs(lists.mean) < 0.01
    for nll, letters, lists in found["intervals"].values():
        assert 1.8 < nll.mean < 2.5
        assert 0.2 < letters.mean < 0.45
        assert 0.7 < lists.mean < 0.9
    assert found["recall"]["MLP"][0] > 0.85 > 0.2 > found["recall"]["MLP"][2]


@pytest.mark.parametrize(("number", "falsify", "then"), OTHERWISE)
def test_with_another_number_it_would_be_another_verdict(number, falsify, then, verdict_page):
    found = verdict_page.found
    (claim,) = [claim for claim in found["CLAIMS"] if claim.number == number]
    measured = copy.deepcopy(found["measured"][claim.page])
    falsify(measured)
    assert found["judge"](claim, measured) == then


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_confidence_interval_covers_the_truth_as_often_as_it_says(n, verdict_page):
    interval = verdict_page.found["interval"]
    rng = np.random.default_rng(0)
    covered = [abs(mean) <= plus_minus for mean, plus_minus in (interval(rng.normal(size=n)) for _ in range(4000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))  # 4 standard errors


def test_page_10_learns_from_some_names_and_judges_by_others(verdict_page, monkeypatch):
    found = verdict_page.found
    variables, calls = found["classify"].__globals__, []

    def spy(model, steps, objective, data, seed):
        calls.append((model, objective, data, seed))
        return variables["learn_for_real"](model, 1, objective, data, seed)

    monkeypatch.setitem(variables, "learn_for_real", variables["learn"])
    monkeypatch.setitem(variables, "learn", spy)
    for ask in ("guess_letters", "classify"):
        for head in ("logits", "log_softmax"):
            for seed in (0, 1):
                found[ask](found["MODELS"]["MLP"], found["HEADS"][head], seed)
    starts = {}
    for model, objective, (learning, held_out), seed in calls:
        assert (objective.head, objective.loss) in [("logits", "cross_entropy"), ("log_softmax", "nll_loss")]
        size = model.vocab_size
        assert len(held_out.targets) < 0.12 * len(learning.targets)
        starts.setdefault((size, seed), []).append((held_out.targets[:50].tolist(), model.params["embedding"].sum()))
        if size == len(found["with_answers"]):  # the whole context of an answer is the name: none in both parts
            short = [{tuple(c) for c in part.contexts.tolist() if c[0] == 0} for part in (learning, held_out)]
            assert not short[0] & short[1]
            assert set(held_out.targets.tolist()) == set(found["answer_ids"].tolist())
    assert len(calls) == 8
    assert len(starts) == 4  # two sizes of vocabulary, two seeds: and in each, both heads are judged by the same names
    for heads in starts.values():
        assert heads[0][0] == heads[1][0]
    assert starts[27, 0][0][0] != starts[27, 1][0][0]


def test_the_recipe_learns_from_one_part_and_is_judged_by_the_other(monkeypatch):
    from scratchlm.pages import recipe

    handed = {}

    def spy(model, objective, optimizer, learning, held_out, **options):
        handed.update(learning=learning, held_out=held_out, **options)

    monkeypatch.setattr(recipe, "train", spy)
    model = recipe.new_bigram()
    recipe.learn(model, steps=40, seed=3)
    assert not set(recipe.learning_names) & set(recipe.held_out_names)
    for part, names in (("learning", recipe.learning_names), ("held_out", recipe.held_out_names)):
        assert len(handed[part].targets) == sum(len(name) + 1 for name in names)
    assert (handed["seed"], handed["steps"], handed["record_every"], handed["warmup"]) == (3, 40, 2, 4)
    assert not np.array_equal(recipe.data_for(model, split=1)[1].targets, recipe.data_for(model, split=2)[1].targets)


def test_beam_search_finds_the_likeliest_text(run):
    beam_search = run(9).found["beam_search"]
    rng = np.random.default_rng(5)
    model = BigramLM(3, dtype=np.float64)
    for _ in range(20):
        model.params["logits"][...] = rng.normal(0, 2, size=(3, 3))
        log_probs = log_softmax(model.params["logits"])
        texts = [(*text, 0) for length in range(4) for text in itertools.product((1, 2), repeat=length)]
        worth = {text: sum(log_probs[pair] for pair in itertools.pairwise((0, *text))) for text in texts}
        tokens, found = beam_search(model, log_softmax, width=50, length=4)
        assert tokens == max(worth, key=worth.get)
        assert found == pytest.approx(worth[tokens])
        greedy, _ = beam_search(model, log_softmax, width=1, length=4)
        assert not greedy or greedy in worth


# --- what is told of them in README.md and in the gallery -------------------------------------------------------------


def table_of(text):
    """Return the rows of the first table of verdicts in a text."""
    return re.findall(r"^\| [AB]\d+ \|.*$", text, flags=re.MULTILINE)


def without_digits(rows):
    """Return the rows with every number replaced by #, as a small budget gives other digits."""
    return [re.sub(r"(?<![AB\w])[-+]?\d[\d.,]*(e[-+]\d+)?", "#", row) for row in rows]


def test_the_verdicts_are_those_that_the_demos_compute(verdict_page, run):
    fresh = table_of((run.out / "verdicts.md").read_text(encoding="utf-8"))
    assert len(fresh) == 16
    assert without_digits(table_of(README)) == without_digits(fresh)


def test_the_verdicts_are_those_of_the_pictures():
    drawn = (ROOT / "demos" / "gallery" / "verdicts.md").read_text(encoding="utf-8")
    assert table_of(README) == table_of(drawn)


def test_the_gallery_shows_every_picture_that_the_demos_draw(verdict_page, run):
    gallery = (ROOT / "demos" / "README.md").read_text(encoding="utf-8")
    drawn = {picture for number in run.pages for picture in run(number).pictures}
    drawn |= {"explorer.png", "benchmark.png", "benchmark_size.png"}
    assert drawn == set(re.findall(r"!\[\]\(gallery/([^)]+)\)", gallery))
    assert drawn == {path.name for path in (ROOT / "demos" / "gallery").glob("*.png")}
