"""A run of training from Python: the same as from the command line, and told the same when a setting cannot be."""

import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from scratchlm import checkpoint, cli, runs
from scratchlm.settings import DEFAULTS, SETTINGS, SUITABLE, Complaint, Settings
from scratchlm.training import Record, mean_nll

SMALL = {"steps": 12, "context_length": 3, "embedding_dim": 4, "hidden_dim": 8}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


def contents(path):
    """Return all that a checkpoint holds, to the last bit."""
    with np.load(path) as arrays:
        return {name: array.tobytes() for name, array in arrays.items()}


def test_a_run_from_python_is_that_of_the_command_line(tmp_path, capsys):
    assert cli.main(["train", *OPTIONS, "--out", str(tmp_path / "cli.npz")]) == 0
    capsys.readouterr()
    job = runs.begin(Settings.of(**SMALL), out=str(tmp_path / "python.npz"))
    runs.learn(job)
    assert contents(tmp_path / "python.npz") == contents(tmp_path / "cli.npz")
    assert capsys.readouterr() == ("", "")  # who wants to see progress says so


def test_a_run_from_python_can_be_resumed(tmp_path, monkeypatch):
    out, written = tmp_path / "m.npz", []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, result: (save(path, result), written.append(out.read_bytes())))
    runs.learn(runs.begin(Settings.of(**SMALL, checkpoint_every=5), out=out))
    assert len(written) == 3
    out.write_bytes(written[0])
    job = runs.resume(out)
    assert job.state.step == 5
    runs.learn(job)
    assert out.read_bytes() == written[-1]
    assert runs.resume(out, checkpoint_every="7").settings.checkpoint_every == 7
    with pytest.raises(Complaint, match=r"^checkpoint_every: '0' is not a whole number from 1 to 1,000,000,000$"):
        runs.resume(out, checkpoint_every=0)
    with pytest.raises(Complaint, match="takes --steps from the file"):
        runs.resume(out, steps=99)


def test_every_setting_is_known_by_all_who_must_know_it():
    names = [field.name for field in fields(Settings)]
    assert list(SETTINGS) == names
    for model in SETTINGS["model"].names:
        assert sorted([*DEFAULTS, *SUITABLE[model]]) == sorted(names)


def test_a_setting_may_be_given_as_text_or_as_it_is():
    assert Settings.of(steps="12", held_out="0.25", model="bigram") == Settings.of(
        steps=12, held_out=0.25, model="bigram"
    )
    assert Settings.of(**Settings.of(learning_rate=0.1 + 0.2).stored()).learning_rate == 0.1 + 0.2


def test_each_model_has_its_own_defaults():
    assert (Settings.of().learning_rate, Settings.of().weight_decay) == (0.01, 0.1)
    bigram = Settings.of(model="bigram", weight_decay=0.5)
    assert (bigram.learning_rate, bigram.weight_decay) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": -1}, "steps: '-1' is not a whole number from 0 to 1,000,000,000"),
        ({"steps": True}, "steps: 'True' is not a whole number"),
        ({"batch_size": 2.0}, "batch_size: '2.0' is not a whole number from 1"),
        ({"held_out": 1}, "held_out: '1' is not a number of at least 0 and below 1"),
        ({"learning_rate": float("inf")}, "learning_rate: 'inf' is not a finite number above 0"),
        ({"weight_decay": None}, "weight_decay: 'None' is not a finite number of at least 0"),
        ({"model": "gpt"}, r"model: invalid choice: 'gpt' \(choose from 'bigram', 'mlp'\)"),
        ({"wings": 2}, "a run has no setting 'wings'; its settings are model, tokens, steps"),
    ],
)
def test_a_setting_that_cannot_be_is_named(given, words):
    with pytest.raises(Complaint, match=f"^{words}"):
        Settings.of(**given)


@pytest.mark.parametrize(
    ("given", "tokens", "words"),
    [
        ({}, 1_000_001, "a network for 1,000,001 tokens would have 153,024,857 parameters, and at most 100,000,000"),
        ({"hidden_dim": 10**9}, 27, "a network for 27 tokens would have 220,000,000,675 parameters"),
        (
            {"model": "bigram"},
            10_001,
            "a table for 10,001 tokens would have 100,020,001 entries; --model mlp needs far",
        ),
    ],
)
def test_a_model_that_is_too_large_is_refused_before_it_takes_memory(given, tokens, words):
    with pytest.raises(Complaint, match=f"^{words}"):
        runs._new_model(Settings.of(**given), tokens)


@pytest.mark.parametrize(("logits", "judges"), [(27 * 2000, 2000), (27, runs.FEWEST_JUDGES), (2**27, 3608)])
def test_a_model_of_many_tokens_is_judged_by_fewer_targets(logits, judges, monkeypatch):
    monkeypatch.setattr(runs, "JUDGED_LOGITS", logits)
    assert len(runs.begin(Settings.of(**SMALL)).judged_by.targets) == judges


def test_the_nll_of_a_run_is_that_of_its_model():
    job = runs.begin(Settings.of(**SMALL))
    assert runs.learn(job) == mean_nll(job.result.model, job.judged_by)
    assert runs.learn(job) == mean_nll(job.result.model, job.judged_by)  # there is nothing more to do


def test_a_long_run_remembers_few_losses():
    job = runs.begin(Settings.of(**{**SMALL, "steps": 10**9}))
    seen = []

    def see(*_, record_every, **more):
        seen.append(record_every)
        return [Record(10**9, 0, 0)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "train", see)
        runs.learn(job)
    assert seen == [runs.MOST_LOSSES]  # 20 bytes each in every checkpoint


def test_the_weights_do_not_depend_on_how_many_threads_the_user_asks_of_blas(tmp_path):
    for threads in "12":
        names = ("OPENBLAS", "MKL", "OMP")
        environment = {**os.environ, **{f"{name}_NUM_THREADS": threads for name in names}}
        command = [sys.executable, "-m", "scratchlm", "train", "--steps", "20", "--out", str(tmp_path / threads)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
