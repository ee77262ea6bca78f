"""A run of training from Python: the same as from the command line, and told the same when a setting cannot be."""

from dataclasses import fields

import numpy as np
import pytest

from scratchlm import checkpoint, cli, runs
from scratchlm.settings import DEFAULTS, SETTINGS, SUITABLE, Complaint, Settings

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


def test_a_run_from_python_goes_on(tmp_path, monkeypatch):
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
        ({"wings": 2}, "a run has no setting 'wings', but model, tokens, steps"),
    ],
)
def test_a_setting_that_cannot_be_is_named(given, words):
    with pytest.raises(Complaint, match=f"^{words}"):
        Settings.of(**given)
