"""A run that is stopped in any way resumes as if nothing had happened, and a stranger's file does no harm.

It is one file because every test writes, damages or reads the same few checkpoints.
"""

import io
import json
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from calls import COMMAND, run, run_process

from scratchlm import checkpoint, cli, files, terminal
from scratchlm.checkpoint import Checkpoint
from scratchlm.data import Vocabulary
from scratchlm.models import BigramLM
from scratchlm.objectives import Objective

SMALL = ["--context-length", "3", "--embedding-dim", "4", "--hidden-dim", "8", "--batch-size", "16"]


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, if the tests run in the background
    )


def contents(path):
    """Return all that a checkpoint holds, to the last bit."""
    with np.load(path) as arrays:
        return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def complaint(capsys, *arguments):
    """Run a command that must fail, and return its one line."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("scratchlm: ")
    return line


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of 40 steps that is whole, with its moments."""
    path = tmp_path_factory.mktemp("good") / "m.npz"
    assert cli.main(["train", "--steps", "40", "--out", str(path), *SMALL]) == 0
    return path


# --- a run that goes on ----------------------------------------------------------------------------------------------


def which(path):
    """Return what tells a file from the one that it replaced, or None if there is no file."""
    return (os.stat(path).st_ino, os.stat(path).st_mtime_ns) if path.exists() else None


def wait_for_another(path, process, before):
    """Wait until there is another file at this path than before; the process must not end meanwhile."""
    while which(path) == before:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(kills, tmp_path):
    whole, out = tmp_path / "whole.npz", tmp_path / "m.npz"
    steps = 1000 * kills  # many more than it takes until the last kill
    arguments = ["train", "--steps", steps, *SMALL]
    rng = random.Random(0)
    seen = []
    for kill in range(kills):
        before = which(out)
        process = start(*(["train", "--resume", out] if seen else [*arguments, "--out", out]), "--checkpoint-every", 2)
        loads = kill % 6 == 1
        if not loads:  # it is at work: somewhere in the steps and writings after its first checkpoint
            wait_for_another(out, process, before)
            time.sleep(rng.uniform(0, 0.005))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        seen.append(checkpoint.load(out).run.state.step)  # it can always be read
        assert loads or kill == 0 or seen[-1] > seen[-2]  # it had gone on
    assert seen == sorted(seen)

    for left in tmp_path.glob(".scratchlm.*"):
        os.utime(left, (0, 0))  # an hour later
    assert run("train", "--resume", out, "--checkpoint-every", steps).returncode == 0
    assert run(*arguments, "--checkpoint-every", steps, "--out", whole).returncode == 0
    assert contents(out) == contents(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npz", "whole.npz"]  # nothing half-written is left


@pytest.mark.parametrize(
    "how", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.long) for n in terminal.REQUESTS[1:])]
)
def test_an_interrupted_run_says_how_to_resume(how, tmp_path):
    text, whole, out = tmp_path / "a b.txt", tmp_path / "whole.npz", tmp_path / "m.npz"
    text.write_text("to be or not to be\nthat is the question\nwhether it is nobler\n" * 5)
    arguments = ["train", "--text", text, "--tokens", "word", "--steps", 4000, "--optimizer", "sgd", *SMALL]
    process = start(*arguments, "--out", out)
    while "step" not in process.stderr.readline():  # it trains
        pass
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    line = stderr.splitlines()[-1]
    assert line.startswith("scratchlm: interrupted after step ")
    assert line.endswith(f"to resume: python -m scratchlm train --resume {out} --text '{text}'")
    assert 0 < checkpoint.load(out).run.state.step < 4000
    for command in (["train", "--resume", out, "--text", text], [*arguments, "--out", whole]):
        assert cli.main([str(word) for word in command]) == 0
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("model", ["bigram", "mlp"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_resumes_from_each_checkpoint_it_wrote(model, optimizer, tmp_path, monkeypatch, capsys):
    out, written = tmp_path / "m.npz", []
    save = checkpoint.save

    def save_and_copy(path, result):
        save(path, result)
        written.append(path.read_bytes())

    monkeypatch.setattr(checkpoint, "save", save_and_copy)
    arguments = ["train", "--model", model, "--optimizer", optimizer, "--steps", "25", "--checkpoint-every", "7"]
    assert cli.main([*arguments, *SMALL, "--out", str(out)]) == 0
    assert len(written) == 4
    whole, told = contents(out), re.findall("loss .*", capsys.readouterr().err)
    for content in written[:3]:
        out.write_bytes(content)
        assert cli.main(["train", "--resume", str(out)]) == 0
        assert contents(out) == whole
        again = re.findall("loss .*", capsys.readouterr().err)
        assert again == told[-len(again) :]  # also of the record that the stop fell into


def test_a_resumed_run_may_save_elsewhere_and_more_often(good, tmp_path):
    before = good.read_bytes()
    assert cli.main(["train", "--resume", str(good), "--out", str(tmp_path / "n.npz"), "--checkpoint-every", "7"]) == 0
    assert checkpoint.load(tmp_path / "n.npz").run.settings["checkpoint_every"] == 7
    assert good.read_bytes() == before


def test_a_run_that_cannot_resume_says_why(good, tmp_path, capsys):
    other = tmp_path / "other.txt"
    other.write_text("anna\nben\n")
    before = good.read_bytes()
    assert "was trained on other text" in complaint(capsys, "train", "--resume", good, "--text", other)
    assert "--resume takes --steps from the file" in complaint(capsys, "train", "--resume", good, "--steps", 4000)
    trained = tmp_path / "t.npz"
    assert cli.main(["train", "--text", str(other), "--held-out", "0", "--steps", "3", "--out", str(trained)]) == 0
    capsys.readouterr()
    assert "was trained on other text; pass it with --text FILE" in complaint(capsys, "train", "--resume", trained)
    lone = Checkpoint(BigramLM(3), Vocabulary("ab"), Objective("logits", "cross_entropy"))
    checkpoint.save(tmp_path / "lone.npz", lone)
    assert "no run to resume" in complaint(capsys, "train", "--resume", tmp_path / "lone.npz")
    assert good.read_bytes() == before


# --- a disk that is full, a folder that cannot be written to ---------------------------------------------------------


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(good, tmp_path):
    out = tmp_path / "m.npz"
    out.write_bytes(good.read_bytes())
    result = run_process(
        *("train", "--steps", 4000, "--checkpoint-every", 10, "--out", out),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)),  # bytes: no file may be larger
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f"scratchlm: {out}: File too large"
    assert "Traceback" not in result.stderr
    assert out.read_bytes() == good.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


@pytest.fixture
def as_nobody(tmp_path):
    """Be a user who may not do everything, while a test runs; its folder is that user's own."""
    root = os.geteuid() == 0
    for path in (tmp_path.parent, *tmp_path.parents[1:3]):
        path.chmod(0o755)
    if root:
        os.chown(tmp_path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


NOBODY = 65534


def test_a_folder_that_cannot_be_written_to_is_found_before_training(good, tmp_path, as_nobody, capsys):
    (tmp_path / "m.npz").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npz").symlink_to("folder/m.npz")
    (tmp_path / "folder").chmod(0o555)
    line = complaint(capsys, "train", "--resume", tmp_path / "m.npz", "--out", tmp_path / "link.npz")
    assert "it is not a .npz file" in line
    for out in ("folder/m.npz", "link.npz"):
        line = complaint(capsys, "train", "--out", tmp_path / out)
        assert line == f"scratchlm: {tmp_path / 'folder' / 'm.npz'}: Permission denied"
    assert os.listdir(tmp_path / "folder") == []


def test_a_model_can_be_saved_in_a_folder_that_cannot_be_listed(tmp_path, as_nobody):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o333)
    (tmp_path / "t.txt").write_text("anna\nben\n")  # the bundled names may lie where nobody can read them
    text = ["--text", str(tmp_path / "t.txt"), "--held-out", "0"]
    assert cli.main(["train", "--steps", "3", "--out", str(tmp_path / "folder" / "m.npz"), *text, *SMALL]) == 0
    (tmp_path / "folder").chmod(0o755)
    assert os.listdir(tmp_path / "folder") == ["m.npz"]


@pytest.mark.parametrize("mask", [0o777, 0o222, 0o444])
def test_a_umask_that_makes_the_model_unreadable_is_found_before_training(mask, tmp_path, as_nobody, capsys):
    before = os.umask(mask)
    try:
        line = complaint(capsys, "train", "--out", tmp_path / "m.npz")
    finally:
        os.umask(before)
    assert line == f"scratchlm: {tmp_path / 'm.npz'}: the umask does not let its owner read and write it"
    assert os.listdir(tmp_path) == []


def test_a_file_of_somebody_else_in_a_folder_of_all_is_found_before_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "m.npz").write_bytes(b"precious")
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert complaint(capsys, "train", "--out", tmp_path / "m.npz").endswith("m.npz: Operation not permitted")
    assert cli.main(["train", "--steps", "3", "--out", str(tmp_path / "mine.npz"), *SMALL]) == 0
    assert (tmp_path / "m.npz").read_bytes() == b"precious"


def test_a_link_that_leads_nowhere_good_is_found_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink("circle", "circle")
    os.symlink("a", "b")
    os.symlink("b", "a")
    os.symlink("/dev/full", "device")
    os.symlink("missing/m.npz", "nowhere")
    before = sorted(os.listdir())
    for out, words in (
        ("circle", "circle: Too many levels of symbolic links"),
        ("a", "a: Too many levels of symbolic links"),
        ("circle/m.npz", "circle/m.npz: Too many levels of symbolic links"),
        ("device", "device is not an ordinary file"),
        ("nowhere", f"{tmp_path}/missing/m.npz: No such file or directory"),
    ):
        assert complaint(capsys, "train", "--out", out).removeprefix("scratchlm: ").startswith(words)
    assert sorted(os.listdir()) == before


def test_a_link_to_a_file_that_is_not_there_yet_is_written_through(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/m.npz")
    assert cli.main(["train", "--steps", "3", "--out", str(tmp_path / "link"), *SMALL]) == 0
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "folder") == ["m.npz"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_anywhere_leaves_the_old_file_and_no_other(step, good, tmp_path, monkeypatch):
    out = tmp_path / "m.npz"
    out.write_bytes(good.read_bytes())
    loaded = checkpoint.load(good)

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(out, loaded)
    assert out.read_bytes() == good.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_everything_is_on_the_disk_before_the_name_is_changed_and_the_name_after_that(good, tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (done.append(name), real(*a)))
    checkpoint.save(tmp_path / "m.npz", checkpoint.load(good))
    assert done == ["fsync", "replace", "fsync"]


def test_leftovers_of_dead_processes_are_removed_and_files_of_living_ones_are_not(good, tmp_path):
    new, old, link, folder = (tmp_path / f".scratchlm.{i:016x}" for i in range(4))
    new.touch()
    old.touch()
    (tmp_path / "precious").touch()
    link.symlink_to("precious")
    folder.mkdir()
    others = [".scratchlm.7z", ".scratchlm.99999", ".scratchlm.notes", f".scratchlm.{5:016X}Z", f".scratchlm.{6:017x}"]
    for name in others:
        (tmp_path / name).mkdir()
    for path in (old, folder, tmp_path / "precious", *(tmp_path / name for name in others)):
        os.utime(path, (0, 0))
    os.utime(link, (0, 0), follow_symlinks=False)
    checkpoint.save(tmp_path / "m.npz", checkpoint.load(good))
    assert set(os.listdir(tmp_path)) == {"m.npz", "precious", new.name, link.name, folder.name, *others}


def test_two_that_write_to_one_folder_have_files_of_their_own(tmp_path):
    with files.beside(tmp_path / "a") as one, files.beside(tmp_path / "b") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
        assert one.read_text() == "one"
    assert os.listdir(tmp_path) == []


def test_a_file_that_another_run_took_for_a_leftover_is_written_again(good, tmp_path, monkeypatch):
    loaded, fsync, calls = checkpoint.load(good), os.fsync, []

    def asleep(file):
        fsync(file)
        if not calls:
            (left,) = tmp_path.iterdir()
            left.unlink()
        calls.append(file)

    monkeypatch.setattr(os, "fsync", asleep)
    checkpoint.save(tmp_path / "m.npz", loaded)
    assert contents(tmp_path / "m.npz") == contents(good)
    assert os.listdir(tmp_path) == ["m.npz"]


# --- files from strangers --------------------------------------------------------------------------------------------


def mutated(content, rng):
    """Return a file with some bytes flipped, cut out, or put elsewhere; half of the time near the tables of the zip."""

    def place():
        table = content.rfind(b"PK\x01\x02param") if rng.random() < 0.5 else 0
        return rng.randrange(max(0, min(table, len(content) - 2000)), len(content))

    changed = bytearray(content)
    kind = rng.choice(["flip", "flip", "cut", "splice"])
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 2, 8])):
            changed[place()] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        a, b = sorted((place(), place()))
        del changed[a : rng.choice([b, a + 1, len(changed)])]
    else:
        a, b = sorted((place(), place()))
        at = place()
        changed[at : rng.choice([at, at + b - a])] = changed[a:b]
    return kind, bytes(changed)


def same(a, b):
    """Tell whether two checkpoints are the same, to the last bit."""
    one, other = (
        (
            {n: p.tobytes() for n, p in c.model.params.items()},
            {k: {n: m.tobytes() for n, m in ms.items()} for k, ms in c.run.moments.items()},
            c.run.settings,
            c.run.texts,
            (c.run.state.step, c.run.state.losses, c.run.state.rng.bit_generator.state),
            (c.vocabulary.characters, c.objective.head, c.objective.loss, c.model.context_length),
        )
        for c in (a, b)
    )
    return one == other


@pytest.mark.parametrize("files", [100, pytest.param(500, marks=pytest.mark.long)])
def test_damaged_files_are_refused_or_are_the_same_model(files, good, tmp_path):
    content, right, rng = good.read_bytes(), checkpoint.load(good), random.Random(0)
    path, refused, said, loaded, most = tmp_path / "m.npz", set(), [], 0, 0
    tracemalloc.start()
    signal.alarm(120)  # a hang ends the tests
    try:
        for _ in range(files):
            kind, damaged = mutated(content, rng)
            path.write_bytes(damaged)
            tracemalloc.reset_peak()
            try:
                found = checkpoint.load(path)
            except ValueError as error:
                refused.add(kind)
                said.append(str(error))
            else:
                assert same(found, right)
                loaded += 1
            most = max(most, tracemalloc.get_traced_memory()[1])
    finally:
        signal.alarm(0)
        tracemalloc.stop()
    assert refused == {"flip", "cut", "splice"}
    assert all(line.startswith(f"{path} is not a model of scratchlm: ") and len(line) < 500 for line in said)
    assert 0 < loaded < files / 2  # such as a bit of a date: most damage is seen
    assert most < 200e6


def rewritten(good, path, change, **options):
    """Write a checkpoint again, with its configuration and arrays changed by `change`."""
    with np.load(good) as archive:
        arrays = dict(archive)
    config = json.loads(arrays.pop("config").tobytes())
    change(config, arrays)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, array in {"config": np.frombuffer(json.dumps(config).encode(), np.uint8), **arrays}.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue())


class Bomb:
    """What would run, if anything were unpickled."""

    def __reduce__(self):
        return os.mkdir, ("was-here",)


def put(where, **values):
    """Return a change that sets values in a part of the configuration: "" for all of it, or "run"."""
    return lambda config, arrays: (config[where] if where else config).update(values)


def array(name, make):
    """Return a change that makes an array another one."""
    return lambda config, arrays: arrays.update({name: make(arrays[name]) if name in arrays else make(None)})


STRANGE = {
    "of another version": (put("", format=3), "its format is 3"),
    "of no version": (lambda config, arrays: config.pop("format"), "it has no 'format'"),
    "of another model": (put("", model="gpt"), "there is no model 'gpt'"),
    "of a model with no size": (put("", sizes=[3, 4, 0]), "three positive integers, not [3, 4, 0]"),
    "of half a size": (put("", sizes=[3, 4, 8.5]), "three positive integers"),
    "of true sizes": (put("", sizes=[True, 4, 8]), "three positive integers"),
    "of too large a size": (put("", sizes=[3, 4, 10**12]), "hidden_weight.npy has shape (12, 8)"),
    "without characters": (put("", characters=""), "at least one character"),
    "with a number for characters": (put("", characters=7), "is not a model of scratchlm"),
    "with another head": (put("", head="gelu"), "head"),
    "with nan": (array("param.output_bias", lambda a: a * np.nan), "param.output_bias.npy contains nan or inf"),
    "with inf": (array("mean.embedding", lambda a: a + np.inf), "mean.embedding.npy contains nan or inf"),
    "with -inf": (array("param.embedding", lambda a: a - np.inf), "param.embedding.npy contains nan or inf"),
    "with integers": (array("param.embedding", lambda a: a.astype(int)), "dtype int64"),
    "with complex numbers": (array("param.embedding", lambda a: a.astype(complex)), "dtype complex128"),
    "with the other byte order": (array("param.embedding", lambda a: a.astype(">f4")), "dtype >f4"),
    "with columns": (array("param.hidden_weight", np.asfortranarray), "column by column"),
    "with a row too few": (array("param.embedding", lambda a: a[1:]), "has shape (26, 4)"),
    "with pickles": (array("param.embedding", lambda a: np.array([Bomb()])), "dtype object"),
    "with one more": (array("param.more", lambda _: np.zeros(3)), "it should not have 'param.more'"),
    "with one less": (lambda config, arrays: arrays.pop("square.embedding"), "it has no 'square.embedding'"),
    "with another moment": (put("run", moments=["mean", "velocity"]), "it should not have 'square.embedding'"),
    "with a moment of a moment": (put("run", moments=[["mean"]]), "no optimizer has these moments"),
    "with many moments": (put("run", moments=list("abcdefgh")), "no optimizer has these moments"),
    "with a step below 0": (put("run", step=-1), "its description of the run is impossible"),
    "with a step in words": (put("run", step="ten"), "its description of the run is impossible"),
    "with a generator of nothing": (put("run", rng={}), "is not a model of scratchlm"),
    "with another generator": (put("run", rng={"bit_generator": "MT19937"}), "is not a model of scratchlm"),
    "with losses in words": (put("run", losses=["high"]), "could not convert string to float"),
    "with no run": (put("", run=[1, 2]), "is not a model of scratchlm"),
    "with a list for all": (lambda config, arrays: config.clear(), "it has no 'format'"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_file_is_refused_by_every_command_in_one_line(kind, good, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, words = STRANGE[kind]
    rewritten(good, "odd.npz", change)
    for command in (["sample", "odd.npz"], ["score", "odd.npz", "anna"], ["train", "--resume", "odd.npz"]):
        assert words in complaint(capsys, *command)
    assert os.listdir() == ["odd.npz"]  # nothing ran, nothing was written


SETTINGS = {
    "steps": ("many", "'many' is not a whole number"),
    "learning_rate": (float("nan"), "'nan' is not a finite number"),
    "held_out": ([1], "'[1]' is not a number"),
    "optimizer": ("sgd --text /etc/passwd", "invalid choice"),
    "text": ("/etc/passwd", "they are not the settings of a run"),
    "out": ("elsewhere.npz", "they are not the settings of a run"),
    "model": (None, "'None' (choose from 'bigram', 'mlp')"),
    "batch_size": (True, "'True' is not a whole number"),
    "seed": (1.0, "'1.0' is not a whole number"),
    "checkpoint_every": (None, "'None' is not a whole number"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_of_a_file_are_read_as_strictly_as_a_command_line(name, good, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value, words = SETTINGS[name]
    rewritten(good, "odd.npz", lambda config, arrays: config["run"]["settings"].update({name: value}))
    assert words in complaint(capsys, "train", "--resume", "odd.npz")
    assert os.listdir() == ["odd.npz"]


@pytest.mark.parametrize("settings", [5, [[1]], {}, None, "steps"])
def test_settings_that_are_none_at_all_are_refused_in_one_line(settings, good, tmp_path, capsys):
    rewritten(good, tmp_path / "odd.npz", put("run", settings=settings))
    line = complaint(capsys, "train", "--resume", tmp_path / "odd.npz")
    assert line.endswith("is not a model of scratchlm: its settings: they are not the settings of a run")


def test_an_optimizer_is_not_put_back_to_where_another_one_was(good, tmp_path, capsys):
    rewritten(good, tmp_path / "odd.npz", lambda config, arrays: config["run"]["settings"].update(optimizer="sgd"))
    assert "not those of this optimizer" in complaint(capsys, "train", "--resume", tmp_path / "odd.npz")


def bombs(good, path):
    """Yield files that promise far more than they hold, and what is said of each."""
    rewritten(good, path, lambda config, arrays: None, compression=zipfile.ZIP_DEFLATED)
    yield "compressed or encrypted"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.npy", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    yield "compressed or encrypted"
    rewritten(good, path, lambda config, arrays: arrays.pop("param.embedding"))
    terabytes = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }".ljust(117) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("param.embedding.npy", b"\x93NUMPY\x01\x00v\x00" + terabytes.encode())
    yield "has shape (1000000000000, 4)"
    rewritten(good, path, lambda config, arrays: config.update(sizes=[10**6, 10**6, 10**6]))
    yield "has shape (27, 4)"
    rewritten(good, path, lambda config, arrays: config.update(words=["x" * 2**20] * 70))
    yield "at most 67,108,864"
    path.write_bytes(good.read_bytes())
    os.truncate(path, 2**40)  # a terabyte of nothing, that takes no disk
    yield "it is not a .npz file"
    path.write_bytes(json.dumps("[" * 1000).encode())
    yield "it is not a .npz file"
    rewritten(good, path, lambda config, arrays: None)
    with np.load(path) as arrays:
        found = dict(arrays)
    for content, things in (
        (b"[" * 10**5, "100,000"),
        (b'{"words": [' + b"[]," * 10**5 + b"[]]}", "200,003"),
        (b'{"words": [' + b'"ab",' * 10**5 + b'"ab"]}', "100,002"),
        (b'{"words": [' + rb'"\\", "[\\",' * 10**5 + b'"ab"]}', "200,002"),
    ):
        np.savez(path, **{**found, "config": np.frombuffer(content, np.uint8)})
        yield f"its configuration lists {things} items, more than"


def test_a_file_that_promises_more_than_it_holds_takes_no_memory(good, tmp_path, capsys):
    path = tmp_path / "bomb.npz"
    tracemalloc.start()
    try:
        for words in bombs(good, path):
            tracemalloc.reset_peak()
            assert words in complaint(capsys, "sample", path)
            assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


def test_a_pipe_a_folder_or_a_device_is_not_a_model(tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo")  # who opens it to read would wait for ever
    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "empty").touch()
    for path, words in (
        (tmp_path / "fifo", "not an ordinary file"),
        (tmp_path, "not an ordinary file"),
        ("/dev/zero", "not an ordinary file"),
        (tmp_path / "pickle", "it is not a .npz file"),
        (tmp_path / "empty", "it is not a .npz file"),
        (tmp_path / "missing", "No such file or directory"),
    ):
        for command in (["sample", path], ["score", path, "anna"], ["train", "--resume", path]):
            assert words in complaint(capsys, *command)


# --- a large text ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells how much memory a process had at most")
@pytest.mark.parametrize("size", [10_000_000, pytest.param(100_000_000, marks=pytest.mark.long)])
def test_a_large_text_takes_fourteen_bytes_of_memory_for_each_of_its_own(size, tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyzäéß"), rng.integers(2, 9))) for _ in range(5000)]
    lines = "".join(f"{' '.join(rng.choice(words, 10))}\n" for _ in range(2000))
    text = tmp_path / "large.txt"
    with open(text, "w", encoding="utf-8") as file:
        while file.tell() < size // 2:
            file.write(lines)
            lines = lines[7:] + lines[:7]  # other lines each time
        file.write(lines.replace("\n", " ") * -(-size // 2 // len(lines.encode())))  # and one as long as all of them
    assert size <= text.stat().st_size < 1.1 * size
    # Not ru_maxrss, which begins with what the process that starts another one has.
    code = "import sys; from scratchlm import cli; cli.main(sys.argv[1:]); print(open('/proc/self/status').read())"
    command = [
        sys.executable,
        "-c",
        code,
        "train",
        "--text",
        str(text),
        "--steps",
        "20",
        "--out",
        str(tmp_path / "m.npz"),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    stdout, stderr = result.stdout, result.stderr
    told = [line.split()[0] for line in stderr.splitlines()]
    assert told[:4] == ["reading", "finding", "numbering", "step"]  # at each stage, before it
    assert "judged by 100,000" in stdout
    most = int(re.search(r"VmHWM:\s+(\d+) kB", stdout)[1]) * 1024
    assert most < 100e6 + 14 * size  # 100 MB: Python, NumPy, the model and what it is judged by


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file has no such mode")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_model_keeps_the_permissions_of_the_one_it_replaces(mode, tmp_path):
    path = tmp_path / "m.npz"
    made = Checkpoint(BigramLM(2), Vocabulary("a"), Objective("logits", "cross_entropy"))
    checkpoint.save(path, made)
    path.chmod(mode)
    checkpoint.save(path, made)
    assert path.stat().st_mode & 0o777 == mode
