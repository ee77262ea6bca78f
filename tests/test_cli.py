"""The commands, as a user calls them: with files, pipes and mistakes.

It is one file because its tests share one trained model.
"""

import argparse
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from calls import COMMAND, run

from scratchlm import checkpoint, cli, runs, terminal
from scratchlm.data import BOUNDARY
from scratchlm.progress import Progress
from scratchlm.properties import PROPERTIES
from scratchlm.settings import DEFAULTS, Settings

VIETNAMESE = ["Nguyễn Ánh", "Trần Đức", "Lê Thị Hương", "Phạm Quỳnh", "Vũ Mỹ Duyên", "Đặng Hữu Phước"] * 3


def refused(result, *words):
    """One line on standard error, status 2, no traceback; and it says what is wrong."""
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("scratchlm: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "names.npz"
    result = run("train", "--steps", 300, "--hidden-dim", 32, "--out", path, "--seed", 5)
    assert result.returncode == 0, result.stderr
    assert "held-out texts:" in result.stdout
    assert "it invents:" in result.stdout
    assert str(path) in result.stdout
    assert result.stderr.count("steps/s") == 10
    return path


def test_train_sample_score_on_the_bundled_names(model):
    sampled = run("sample", model, "--count", 7, "--seed", 3)
    names = sampled.stdout.splitlines()
    assert len(names) == 7
    assert re.fullmatch("[a-z\n]*", sampled.stdout)
    assert sampled.stdout == run("sample", model, "--count", 7, "--seed", 3).stdout
    assert sampled.stdout != run("sample", model, "--count", 7, "--seed", 4).stdout

    scored = run("score", model, "anna", "xqzk")
    _, anna, xqzk, every = scored.stdout.splitlines()
    nats, bits, perplexity, tokens, text = anna.split()
    assert (tokens, text) == ("5", "anna")
    assert float(nats) < float(xqzk.split()[0])
    assert float(bits) == pytest.approx(float(nats) / np.log(2), abs=2e-4)
    assert float(perplexity) == pytest.approx(np.exp(float(nats)), rel=1e-3)
    assert float(every.split()[0]) == pytest.approx((float(nats) + float(xqzk.split()[0])) / 2, abs=2e-4)
    assert run("score", model, input="anna\n\nxqzk\n").stdout == scored.stdout


def test_without_arguments_it_shows_commands_that_exist():
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    commands = re.findall(r"python -m scratchlm (.*?)(?:  |$)", result.stdout, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert run(*command.split(), "--help").returncode == 0


def test_every_decoder_has_an_option_that_does_something(model):
    plain = run("sample", model).stdout
    for option in (
        ("--temperature", 3),
        ("--top-k", 2),
        ("--top-p", 0.3),
        ("--min-p", 0.5),
        ("--repetition-penalty", 5),
        ("--max-length", 2),
    ):
        changed = run("sample", model, *option)
        assert changed.returncode == 0
        assert changed.stdout != plain


def test_the_same_command_gives_the_same_model(tmp_path):
    for name in ("a", "b"):
        assert run("train", "--steps", 50, "--hidden-dim", 8, "--out", tmp_path / name).returncode == 0
    a, b = (checkpoint.load(tmp_path / name).model.params for name in ("a", "b"))
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_text_in_another_language_trains_samples_and_scores(tmp_path):
    text, model = tmp_path / "tên người.txt", tmp_path / "mô hình.npz"
    text.write_text("\n".join(unicodedata.normalize("NFD", name) for name in VIETNAMESE), encoding="utf-8")
    sizes = ("--hidden-dim", 32, "--context-length", 4)
    trained = run("train", "--text", text, "--out", model, "--steps", 300, "--held-out", 0, *sizes)
    assert trained.returncode == 0, trained.stderr
    assert "the texts it learned from" in trained.stdout
    sampled = run("sample", model, "--count", 10, "--temperature", 0.3).stdout
    assert any(name in sampled for name in VIETNAMESE)
    assert run("score", model, unicodedata.normalize("NFD", "Lê Đức")).returncode == 0
    refused(run("score", model, "Łukasz"), "'Ł' (U+0141) at position 0")


@pytest.mark.parametrize("model_name", ["bigram", "mlp"])
@pytest.mark.parametrize("head", ["logits", "log_softmax", "softmax"])
@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
def test_all_objectives_run_for_both_models(model_name, head, loss):
    result = run("train", "--model", model_name, "--head", head, "--loss", loss, "--steps", 20, "--hidden-dim", 8)
    assert result.returncode == 0, result.stderr
    assert "nats per token" in result.stdout


def test_sgd_and_no_steps_at_all():
    assert run("train", "--model", "bigram", "--optimizer", "sgd", "--learning-rate", 2, "--steps", 50).returncode == 0
    assert "3.2958 nats" in run("train", "--model", "bigram", "--steps", 0).stdout


def test_a_diverging_run_is_one_clear_line(tmp_path):
    out = tmp_path / "m.npz"
    result = run("train", "--loss", "nll_loss", "--learning-rate", 1e30, "--steps", 50, "--out", out)
    assert result.returncode == 2
    assert "the loss became" in result.stderr.splitlines()[-1]
    assert "no lower bound" in result.stderr.splitlines()[-1]
    assert "Warning" not in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], ["'fly'"]),
        (["train", "--steps", "many"], ["--steps", "'many'", "whole number"]),
        (["train", "--steps", "-1"], ["--steps", "-1"]),
        (["train", "--batch-size", "0"], ["--batch-size", "'0'"]),
        (["train", "--learning-rate", "0"], ["--learning-rate", "'0'", "above 0"]),
        (["train", "--learning-rate", "1e400"], ["'1e400'"]),
        (["train", "--learning-rate", "nan"], ["'nan'"]),
        (["train", "--held-out", "1"], ["--held-out", "below 1"]),
        (["train", "--head", "tail"], ["'tail'", "log_softmax"]),
        (["train", "--model", "gpt"], ["'gpt'", "bigram"]),
        (["train", "--text", "missing.txt"], ["missing.txt", "No such file"]),
        (["train", "--text", "."], [".", "directory"]),
        (["train", "--out", "no/such/folder/m.npz"], ["no folder no/such/folder"]),
        (["train", "--out", "."], ["is a folder"]),
        (["train", "--wings"], ["--wings"]),
        (["sample"], ["MODEL.npz"]),
        (["sample", "missing.npz"], ["missing.npz", "No such file"]),
        (["sample", "MODEL", "--temperature", "0"], ["--temperature", "'0'"]),
        (["sample", "MODEL", "--temperature", "1e-320"], ["overflow"]),
        (["sample", "MODEL", "--top-k", "0"], ["--top-k"]),
        (["sample", "MODEL", "--top-p", "1.5"], ["--top-p", "at most 1"]),
        (["sample", "MODEL", "--min-p", "0"], ["--min-p"]),
        (["sample", "MODEL", "--repetition-penalty", "inf"], ["--repetition-penalty"]),
        (["sample", "MODEL", "--seed", "-1"], ["--seed"]),
        (["score", "MODEL", "anna", "Anna"], ["'A' (U+0041) at position 0"]),
        (["score", "MODEL"], ["no text to score"]),
    ],
)
def test_mistakes_get_one_line(arguments, words, model, tmp_path):
    arguments = [str(model) if a == "MODEL" else a for a in arguments]
    result = run(*arguments, cwd=tmp_path, input="")
    refused(result, *words)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_texts_that_cannot_be_read(tmp_path):
    text = tmp_path / "latin1.txt"
    text.write_bytes("Łódź é".encode("utf-16"))
    refused(run("train", "--text", text), "latin1.txt", "not UTF-8")
    text.write_text("\n\n")
    refused(run("train", "--text", text), "contains no text")
    text.write_text("one\n")
    refused(run("train", "--text", text, "--held-out", 0.9), "leaves none")


def damaged(model, how):
    whole = model.read_bytes()
    return {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello", "npy": b"\x93NUMPY" + bytes(100)}[how]


@pytest.mark.parametrize("how", ["cut", "empty", "text", "npy"])
def test_a_file_that_is_not_a_model_is_refused(how, model, tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(damaged(model, how))
    for command in ("sample", "score"):
        refused(run(command, path, input="anna"), "broken.npz is not a model of scratchlm")


def test_an_npz_of_something_else_and_a_pickle_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, weights=np.ones(3))
    refused(run("sample", path), "is not a model")
    np.savez(path, config=np.array([{"a": 1}], dtype=object))
    refused(run("sample", path), "is not a model")


def test_parameters_that_do_not_fit_are_refused(model, tmp_path):
    arrays = dict(np.load(model))
    for name, bad in (("param.output_bias", np.zeros(3)), ("param.hidden_bias", np.full(32, np.nan, np.float32))):
        path = tmp_path / "odd.npz"
        np.savez(path, **{**arrays, name: bad})
        refused(run("sample", path), name.removeprefix("param."))


def test_a_checkpoint_brings_everything_back(model, tmp_path):
    loaded = checkpoint.load(model)
    checkpoint.save(tmp_path / "again.npz", loaded)
    again = checkpoint.load(tmp_path / "again.npz")
    assert again.vocabulary.characters == loaded.vocabulary.characters
    assert (again.objective.head, again.objective.loss) == ("logits", "cross_entropy")
    assert again.model.params["hidden_weight"].dtype == np.float32
    contexts = np.full((1, 8), BOUNDARY)
    assert np.array_equal(again.model.forward(contexts), loaded.model.forward(contexts))


def test_a_failed_write_leaves_the_old_file_and_no_other(model, tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    path.write_bytes(b"precious")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, checkpoint.load(model))
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_out_never_replaces_a_folder_a_pipe_or_the_text(tmp_path, model):
    text = tmp_path / "text.txt"
    text.write_text("anna\nben\n")
    refused(run("train", "--text", text, "--out", text), "--text")
    assert text.read_text() == "anna\nben\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(run("train", "--out", pipe), "not an ordinary file")
    refused(run("train", "--out", tmp_path / ("a" * 300)), "File name too long")
    link, target = tmp_path / "link.npz", tmp_path / "target.npz"
    link.symlink_to(target)
    checkpoint.save(link, checkpoint.load(model))
    assert link.is_symlink()
    assert checkpoint.load(target).vocabulary.characters == checkpoint.load(model).vocabulary.characters
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "pipe", "link.npz", "target.npz"}


def test_a_model_of_numbers_that_are_none_is_not_kept(tmp_path):
    out = tmp_path / "m.npz"
    options = ("--steps", 1, "--learning-rate", 1e38, "--optimizer", "sgd", "--hidden-dim", 8)
    result = run("train", *options, "--out", out)
    assert result.returncode == 2
    assert "the loss became" in result.stderr.splitlines()[-1]
    assert "Warning" not in result.stderr
    assert not out.exists()


def test_a_file_that_claims_to_be_huge_is_refused_before_memory_is_taken(model, tmp_path):
    arrays = dict(np.load(model))
    config = json.loads(arrays["config"].tobytes())
    for changes, word in (
        ({"sizes": [10**9, 10**9, 10]}, "not shape (27, 1000000000)"),
        ({"model": "gpt"}, "no model 'gpt'"),
    ):
        odd = np.frombuffer(json.dumps({**config, **changes}).encode(), np.uint8)
        np.savez(tmp_path / "odd.npz", **{**arrays, "config": odd})
        refused(run("sample", tmp_path / "odd.npz"), word)
    del arrays["param.output_bias"]
    np.savez(tmp_path / "odd.npz", **arrays)
    refused(run("sample", tmp_path / "odd.npz"), "it has no 'param.output_bias'")


@pytest.mark.parametrize(
    ("redirection", "words"),
    [(">&-", "sample '{model}' --count 2"), (">/dev/full", "--help"), ("1</dev/null", "exercise --help")],
)
def test_output_that_cannot_be_written_is_one_line_and_status_2(redirection, words, model):
    command = f"'{sys.executable}' -m scratchlm {words.format(model=model)} {redirection}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr in {
        f"scratchlm: cannot write the output: {os.strerror(n)}\n" for n in (errno.EBADF, errno.ENOSPC)
    }


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_complaint_that_cannot_be_written_is_status_2_all_the_same(redirection, model):
    for words, status in ((f"sample '{model}' --count 2", 0), ("sample no.npz", 2)):
        command = f"'{sys.executable}' -m scratchlm {words} {redirection}"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert (result.returncode, result.stderr, len(result.stdout.splitlines())) == (status, "", 2 - status)


def test_a_closed_pipe_is_no_traceback(model):
    process = subprocess.Popen(
        [*COMMAND, "sample", str(model), "--count", "20000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 2
    assert len(stderr.splitlines()) == 1
    assert "nothing reads" in stderr


def test_ctrl_c_keeps_what_was_learned(tmp_path):
    out = tmp_path / "m.npz"
    process = subprocess.Popen(
        [*COMMAND, "train", "--steps", "1000000", "--checkpoint-every", "10", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, if the tests run in the background
    )
    while not out.exists():  # it has learned something
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"to resume: python -m scratchlm train --resume {out}" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert len(run("sample", out, "--count", 3).stdout.splitlines()) == 3


def test_examine_distinguishes_a_good_implementation_from_a_naive_one():
    ours = run("examine", "scratchlm.functional:log_softmax", "--budget", 5)
    assert ours.returncode == 0, ours.stdout
    assert "20 of 20 properties hold." in ours.stdout
    assert "✗" not in ours.stdout
    naive = run("examine", "scratchlm.naive:softmax", "--as", "softmax", "--tier", "identities", "--budget", 5)
    assert naive.returncode == 1
    assert "✗ huge, tiny, alone" in naive.stdout
    assert "logits = np.array([" in naive.stdout
    assert "✓ ratios" in naive.stdout
    named = (
        "This gives exactly the same results as taking exp of the scores as they are. Subtract each row's own maximum"
    )
    assert named in naive.stdout.splitlines()[2]


def test_examine_is_kind_to_a_textbook(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Homework:\n"
        "    @staticmethod\n"
        "    def log_softmax(z, axis=-1):\n"
        "        d = z - z.max(axis=axis, keepdims=True)\n"
        "        return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))\n"
    )
    result = run("examine", "mine:Homework.log_softmax", "--budget", 5, cwd=tmp_path)
    assert result.returncode == 1
    assert "this is a correct implementation" in result.stdout
    assert result.stdout.count("✗ accurate in") == 4
    assert (
        run("examine", "mine:Homework.log_softmax", "--tier", "identities", "--budget", 5, cwd=tmp_path).returncode == 0
    )
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"mine.py"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("softmax", ["MODULE:FUNCTION"]),
        ("no_such_module:f", ["cannot import", "No module named"]),
        ("math:softmax", ["cannot import", "softmax"]),
        ("math:pi", ["is a float"]),
        ("math:sqrt", ["add --as", "'sqrt'"]),
        ("broken:f", ["cannot import", "SyntaxError"]),
    ],
)
def test_a_target_that_cannot_be_examined_is_one_line(target, words, tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    refused(run("examine", target, cwd=tmp_path), *words)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", 1),
        ("--batch-size", 16),
        ("--held-out", 0.5),
        ("--context-length", 3),
        ("--embedding-dim", 5),
        ("--hidden-dim", 9),
        ("--learning-rate", 0.001),
        ("--weight-decay", 0),
        ("--optimizer", "sgd"),
        ("--steps", 6),
    ],
)
def test_every_option_of_train_changes_the_model(option, value, plain_model, tmp_path):
    out = tmp_path / "m.npz"
    assert run("train", "--steps", 5, option, value, "--out", out).returncode == 0
    params = checkpoint.load(out).model.params
    assert any(not np.array_equal(params[name], plain_model[name]) for name in params)


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "m.npz"
    assert run("train", "--steps", 5, "--out", out).returncode == 0
    return checkpoint.load(out).model.params


def test_each_model_has_settings_that_suit_it(tmp_path):
    best = {"bigram": 2.45, "mlp": 2.12}  # nats per token after 400 steps; the other's settings do not reach them
    for name, bound in best.items():
        result = run("train", "--model", name, "--steps", 400)
        assert float(re.search(r"held-out texts: ([\d.]+)", result.stdout)[1]) < bound


def test_help_shows_every_default():
    parser = cli._parser()
    (commands,) = (action for action in parser._actions if action.choices and not action.option_strings)
    for name, command in commands.choices.items():
        assert run(name, "--help").returncode == 0
        for action in command._actions:
            default = DEFAULTS.get(action.dest) if name == "train" else action.default
            if action.option_strings and default not in (None, False, argparse.SUPPRESS):
                value = f"{default:g}" if isinstance(default, float) else str(default)
                assert "(default" in action.help, action.option_strings
                assert value in action.help or action.help.endswith("(default)"), action.option_strings


def test_examine_names_every_kind_in_its_help():
    assert cli.KINDS.split(", ") == list(PROPERTIES)


def test_a_model_of_words_is_trained_sampled_and_scored(tmp_path):
    text, model = tmp_path / "text.txt", tmp_path / "words.npz"
    text.write_text("the cat sat on the mat\nthe dog sat on the cat\n" * 20)
    sizes = ["--context-length", 2, "--embedding-dim", 4, "--hidden-dim", 8]
    trained = run("train", "--tokens", "word", "--text", text, "--steps", 200, "--held-out", 0, *sizes, "--out", model)
    assert trained.returncode == 0, trained.stderr
    assert "for 7 tokens" in trained.stdout
    sampled = run("sample", model, "--count", 5).stdout.splitlines()
    assert {word for line in sampled for word in line.split()} <= {"the", "cat", "sat", "on", "mat", "dog"}
    likely, unlikely = (float(run("score", model, line).stdout.splitlines()[1].split()[0])
                        for line in ("the cat sat on the mat", "mat mat on on on on"))  # fmt: skip
    assert likely < unlikely
    unknown = run("score", model, "the bird")
    assert unknown.returncode == 2
    assert "the word 'bird' is not in the vocabulary" in unknown.stderr


def test_a_table_for_a_hundred_million_pairs_is_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"w{i}" for i in range(10_001)))
    result = run("train", "--model", "bigram", "--tokens", "word", "--text", text, "--held-out", 0)
    assert result.returncode == 2
    assert "a table for 10,002 tokens" in result.stderr


# --- what is in a file is shown, and commands nothing ----------------------------------------------------------------

COMMANDS_TO_A_TERMINAL = "a\x1b[31mb\x9b2Jc\u202ed\u2066e\x07f\x7fg"
HARMLESS = r"a\x1b[31mb\x9b2Jc\u202ed\u2066e\x07f\x7fg"


def only_shows(result):
    """Tell whether nothing in an answer would move a cursor, ring a bell, or turn a line around."""
    return all(c.isprintable() or c in "\n\t\u200d" for c in result.stdout + result.stderr)


def test_a_text_that_commands_a_terminal_is_shown_escaped(tmp_path):
    text, model = tmp_path / "t.txt", tmp_path / COMMANDS_TO_A_TERMINAL
    text.write_text(f"{COMMANDS_TO_A_TERMINAL}\n" * 5)
    sizes = ["--context-length", 2, "--embedding-dim", 4, "--hidden-dim", 16]
    trained = run("train", "--text", text, "--steps", 400, "--held-out", 0, *sizes, "--out", model)
    assert trained.returncode == 0
    assert f"it invents: {HARMLESS}" in trained.stdout
    assert rf"wrote $'{tmp_path}/a\x1b[31mb\xc2\x9b2Jc\xe2\x80\xae" in trained.stdout
    assert HARMLESS in run("sample", model).stdout.splitlines()
    assert run("score", model, COMMANDS_TO_A_TERMINAL).stdout.endswith(f"  {HARMLESS}\n")
    for words in (
        ["score", model, "x" + COMMANDS_TO_A_TERMINAL],
        ["sample", COMMANDS_TO_A_TERMINAL],
        ["train", "--out", model, "--text", COMMANDS_TO_A_TERMINAL],
        ["train", f"--{COMMANDS_TO_A_TERMINAL}"],
        ["examine", f"{COMMANDS_TO_A_TERMINAL}:f"],
    ):
        refused(result := run(*words), r"a\x1b[31mb")
        assert only_shows(result)
    assert only_shows(trained)
    assert only_shows(run("sample", model))


def test_a_text_with_joiners_and_tabs_is_shown_as_it_is(tmp_path):
    text, model = tmp_path / "t.txt", tmp_path / "m.npz"
    lines = ["می\u200cخواهم", "👩\u200d🚀\tja"]
    text.write_text("\n".join(lines * 5), encoding="utf-8")
    assert run("train", "--text", text, "--steps", 300, "--held-out", 0, "--out", model).returncode == 0
    assert set(lines) <= set(run("sample", model, "--temperature", 0.5).stdout.splitlines())


# --- standard input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        ("<&-", "there is no text to score"),
        ("< latin1.txt", "standard input is not UTF-8 text"),
        ("0> write-only", "standard input: "),
    ],
)
def test_texts_to_score_that_cannot_be_read_are_one_line(redirection, words, model, tmp_path):
    (tmp_path / "latin1.txt").write_bytes("Zoë\n".encode("latin-1"))
    command = f"'{sys.executable}' -m scratchlm score '{model}' {redirection}"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    refused(
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment), words
    )


def test_texts_to_score_are_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "t.txt").write_text("zoë\nanaïs\n" * 5, encoding="utf-8")
    out = tmp_path / "m.npz"
    assert run("train", "--text", tmp_path / "t.txt", "--steps", 3, "--held-out", 0, "--out", out).returncode == 0
    result = subprocess.run(
        [*COMMAND, "score", str(out)],
        input="\ufeffzoë\r\n\nanaïs".encode(),
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 4


# --- output that cannot be written: what was learned is kept ---------------------------------------------------------


@pytest.mark.parametrize(("redirection", "status"), [(">/dev/full 2>&1", 2), ("2>/dev/full", 0), (">&- 2>&-", 2)])
def test_training_continues_if_its_output_cannot_be_written(redirection, status, tmp_path):
    out = tmp_path / "m.npz"
    command = f"'{sys.executable}' -m scratchlm train --steps 5 --hidden-dim 4 --out '{out}' {redirection}"
    assert subprocess.run(["bash", "-c", command]).returncode == status
    assert checkpoint.load(out).run.state.step == 5


class Unread(io.StringIO):
    """A stream that nothing reads any more."""

    def write(self, _):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Unread, closed, lambda: None])
def test_training_continues_if_progress_cannot_be_shown(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(runs, "LARGE", 0)  # so that the text is told of, too
    (tmp_path / "t.txt").write_text("anna\nben\n")
    job = runs.begin(Settings.of(steps=5, hidden_dim=4, held_out=0), tmp_path / "t.txt", tmp_path / "m.npz")
    runs.learn(job, Progress(5))
    assert checkpoint.load(tmp_path / "m.npz").run.state.step == 5


# --- parameters that are too large -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [3.4e38, 1e308])
@pytest.mark.parametrize("where", ["hidden_weight", "output_weight", "output_bias", "embedding"])
def test_huge_parameters_bring_numbers_or_one_line_and_no_warning(number, where, model, tmp_path):
    loaded = checkpoint.load(model)
    for name in loaded.model.params if number > 1e300 else [where]:
        loaded.model.params[name] = loaded.model.params[name].astype(np.float64 if number > 1e300 else np.float32)
    for signs in (1, np.random.default_rng(0).choice([-1, 1], loaded.model.params[where].shape)):
        loaded.model.params[where][...] = number * signs
        checkpoint.save(tmp_path / "m.npz", replace(loaded, run=None))
        for words in (["sample", tmp_path / "m.npz"], ["score", tmp_path / "m.npz", "anna"]):
            result = run(*words)
            if result.returncode:
                refused(result, "are too large" if words[0] == "score" else " row")
            else:
                assert result.stderr == ""
                assert "nan" not in result.stdout


# --- what `examine` imports ------------------------------------------------------------------------------------------

STRANGE_MODULES = {
    "import sys; sys.exit(3)": "cannot import mine:softmax: SystemExit: 3",
    "import sys; sys.exit()": "cannot import mine:softmax: SystemExit",
    "raise OSError(28, 'No space left on device')": "OSError: [Errno 28] No space left on device",
    "raise BaseException": "cannot import mine:softmax: BaseException",
    "raise GeneratorExit('x\\ny\\x1b[2J')": r"GeneratorExit: x y\x1b[2J",
    "class Odd(Exception):\n    def __str__(self): raise self\nraise Odd": "Odd: (its message cannot be shown)",
    "def __getattr__(name): raise SystemExit(name)": "cannot import mine:softmax: SystemExit: softmax",
    "class softmax: pass": "mine:softmax is a class; name a function",
    "softmax = 3": "mine:softmax is a int, which cannot be called",
    "raise KeyboardInterrupt": "interrupted",
}


@pytest.mark.parametrize("source", STRANGE_MODULES)
def test_a_module_that_cannot_be_examined_is_one_line(source, tmp_path):
    (tmp_path / "mine.py").write_text(source)
    result = run("examine", "mine:softmax", cwd=tmp_path)
    refused(result, STRANGE_MODULES[source])
    assert result.stdout == ""


STRANGE_FUNCTIONS = {
    "a signature that raises": "class Odd:\n    @property\n    def __signature__(self): raise SystemExit\n"
    "    def __call__(self, *args, **kwargs): return real(*args, **kwargs)\nsoftmax = Odd()",
    "a module that prints": "print('loaded')\nsoftmax = real",
    "a module that replaces what is printed to": "import io, sys\nsys.stdout = io.StringIO()\nsys.stderr = None\n"
    "softmax = real",
    "a function that replaces what is printed to": "import sys\n"
    "def softmax(*args, **kwargs):\n    sys.stdout = None\n    return real(*args, **kwargs)",
}


@pytest.mark.parametrize("kind", STRANGE_FUNCTIONS)
def test_a_strange_module_with_a_right_function_is_examined(kind, tmp_path):
    (tmp_path / "mine.py").write_text(f"from scratchlm.functional import softmax as real\n{STRANGE_FUNCTIONS[kind]}\n")
    result = run("examine", "mine:softmax", "--tier", "identities", "--budget", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("properties hold.\n")
    assert result.stderr == ""


def test_a_module_that_closes_the_output_is_one_line(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nsys.stdout.close()\nfrom scratchlm.functional import softmax\n")
    command = [*COMMAND, "examine", "mine:softmax", "--tier", "identities", "--budget", "1"]
    refused(subprocess.run(command, capture_output=True, text=True, cwd=tmp_path), "cannot write the output")


WRONG_FUNCTIONS = {
    "raise SystemExit('\\x1b[2J')": r"SystemExit: \x1b[2J",
    "raise Odd": "Odd: (its message cannot be shown)",
    "return Odd()": "the result is not an array of floats",
    "return '\\x1b[2J'": "the result is not an array of floats",
}


@pytest.mark.parametrize("body", WRONG_FUNCTIONS)
def test_what_a_wrong_function_says_commands_nothing(body, tmp_path):
    (tmp_path / "mine.py").write_text(
        f"class Odd(Exception):\n    def __str__(self): raise self\ndef softmax(z, axis=-1):\n    {body}\n"
    )
    result = run("examine", "mine:softmax", "--tier", "identities", "--budget", 2, cwd=tmp_path)
    assert result.returncode == 1
    assert WRONG_FUNCTIONS[body] in result.stdout
    assert only_shows(result)


def test_a_library_that_cannot_be_loaded_is_one_line(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('libgfortran is missing')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run([*COMMAND, "sample", "m.npz"], capture_output=True, text=True, env=environment)
    refused(result, "cannot start: ", "libgfortran is missing")


@pytest.mark.parametrize("name", ["random.py", pytest.param("numpy.py", marks=pytest.mark.long)])
def test_a_file_in_the_current_folder_is_not_mistaken_for_a_library(name, tmp_path):
    (tmp_path / name).write_text("raise SystemExit('who wrote this meant something else')\n")
    command = [*COMMAND, "exercise", "list"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_handler_that_interrupts_a_write_may_flush():
    class Writing(io.StringIO):
        def flush(self):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")

    output = terminal.Output(Writing())
    output.flush()
    assert not output.failed
