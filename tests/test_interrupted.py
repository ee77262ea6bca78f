"""Who asks a run to end, at whatever moment, is told in one line what is true then, and how to go on."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from scratchlm import checkpoint, cli, data, files, runs, terminal, training

SMALL = ["--steps=12", "--context-length=3", "--embedding-dim=4", "--hidden-dim=8", "--batch-size=16"]
NOTHING = "interrupted before the first step; nothing was learned yet"


@pytest.fixture
def told(capfd):
    """Return a function that runs a command, which must end with one line and status 2, and returns that line."""

    def run(*arguments):
        before = [signal.getsignal(number) for number in terminal.REQUESTS]
        assert cli.main([str(argument) for argument in arguments]) == 2
        assert [signal.getsignal(number) for number in terminal.REQUESTS] == before
        complaints = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("step")]
        assert len(complaints) == 1
        return complaints[0].removeprefix("scratchlm: ")

    return run


def asked_at(monkeypatch, module, name, call=1, requests=(signal.SIGTERM,)):
    """Ask this process to end while a function is called for the so-manieth time."""
    real, calls = getattr(module, name), []

    def function(*args, **kwargs):
        calls.append(None)
        if len(calls) == call:
            for number in requests:
                signal.raise_signal(number)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, function)


BEFORE = {
    "a trial of the file": (os, "fsync", 1),
    "reading": (data, "_opened", 1),
    "a fingerprint": (runs, "_fingerprint", 1),
    "a new model": (runs, "_new_optimizer", 1),
    "numbering": (runs, "windows_and_targets", 2),
    "the first measurement": (training, "mean_nll", 1),
}


@pytest.mark.parametrize("moment", BEFORE)
@pytest.mark.parametrize("how", terminal.REQUESTS)
def test_before_the_first_step_nothing_was_learned_and_nothing_is_touched(moment, how, tmp_path, monkeypatch, told):
    (tmp_path / "m.npz").write_bytes(b"precious")
    asked_at(monkeypatch, *BEFORE[moment], requests=[how])
    assert told("train", *SMALL, "--out", tmp_path / "m.npz") == NOTHING
    assert (tmp_path / "m.npz").read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["m.npz"]


@pytest.fixture
def three_steps(tmp_path, monkeypatch, told):
    """Return a run of twelve steps that was interrupted in its third, kept, and how to go on with it."""
    with monkeypatch.context() as patch:
        asked_at(patch, training, "loss_and_grads", 3)
        line = told("train", *SMALL, "--out", tmp_path / "m.npz")
    assert line == f"interrupted after step 3 of 12; to resume: python -m scratchlm train --resume {tmp_path / 'm.npz'}"
    assert checkpoint.load(tmp_path / "m.npz").run.state.step == 3
    return tmp_path / "m.npz", line.partition("; ")[2]


@pytest.mark.parametrize("moment", [name for name in BEFORE if name not in ("a new model", "the first measurement")])
def test_a_run_interrupted_before_it_resumes_is_unchanged(moment, three_steps, monkeypatch, told):
    path, how_to_go_on = three_steps
    before = path.read_bytes()
    asked_at(monkeypatch, *BEFORE[moment])
    assert told("train", "--resume", path) == f"interrupted; {path} is unchanged; {how_to_go_on}"
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["m.npz"]


def test_a_run_to_be_saved_elsewhere_is_still_resumed_there(three_steps, monkeypatch, told):
    path, how_to_go_on = three_steps
    other = path.with_name("other.npz")
    for moment, ends in (
        ((data, "_opened"), f"{how_to_go_on} --out {other}"),
        ((training, "loss_and_grads"), f"to resume: python -m scratchlm train --resume {other}"),
    ):
        with monkeypatch.context() as patch:
            asked_at(patch, *moment)
            assert told("train", "--resume", path, "--out", other).endswith(ends)


def test_a_run_interrupted_again_and_again_resumes_every_time(three_steps, monkeypatch, told):
    path, how_to_go_on = three_steps
    for step in range(4, 12):
        with monkeypatch.context() as patch:
            asked_at(patch, training, "loss_and_grads")
            assert told(*shlex.split(how_to_go_on)[5:]) == f"interrupted after step {step} of 12; {how_to_go_on}"
    assert cli.main(["train", "--resume", str(path)]) == 0
    assert cli.main(["train", *SMALL, "--out", str(path.with_name("whole"))]) == 0
    assert path.read_bytes() == path.with_name("whole").read_bytes()


AFTER = {
    "the last step": (training, "loss_and_grads", 12),
    "the last measurement": (training, "mean_nll", 13),
    "the write": (os, "fsync", 3),  # the first two are those of the trial
    "the change of the name": (os, "replace", 1),
    "the samples": (cli, "generate", 1),
    "the last line": (terminal, "shell_word", 1),
}


@pytest.mark.parametrize("moment", AFTER)
def test_after_the_last_step_the_model_is_kept(moment, tmp_path, monkeypatch, told):
    asked_at(monkeypatch, *AFTER[moment])
    assert told("train", *SMALL, "--out", tmp_path / "m.npz") == f"interrupted; {tmp_path / 'm.npz'} is complete"
    assert checkpoint.load(tmp_path / "m.npz").run.state.step == 12
    assert os.listdir(tmp_path) == ["m.npz"]


def test_without_out_nothing_is_kept(monkeypatch, told):
    asked_at(monkeypatch, training, "loss_and_grads", 3)
    assert told("train", *SMALL) == "interrupted after step 3 of 12; nothing is saved without --out"


def test_a_second_ctrl_c_stops_at_once_and_says_what_is_saved(tmp_path, monkeypatch, told):
    path, before = tmp_path / "m.npz", [signal.getsignal(number) for number in terminal.REQUESTS]
    with monkeypatch.context() as patch:
        asked_at(patch, training, "loss_and_grads", 4, [signal.SIGINT] * 2)
        assert told("train", *SMALL, "--out", path) == "interrupted after step 3 of 12; nothing is saved"
        assert not path.exists()
    asked_at(monkeypatch, training, "loss_and_grads", 4, [signal.SIGINT, signal.SIGTERM])
    line = told("train", *SMALL, "--out", path, "--checkpoint-every=2")
    assert line.startswith(f"interrupted after step 3 of 12; {path} is saved at step 2; to resume: ")
    assert checkpoint.load(path).run.state.step == 2
    assert [signal.getsignal(number) for number in terminal.REQUESTS] == before


@pytest.mark.parametrize("name", ["a b", "it's", "two\nlines", "\x1b[2J", "a  b\\", "caf\udce9", "-m.npz", "ν"])
def test_the_resuming_command_can_be_pasted_whatever_the_name(name, tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    asked_at(monkeypatch, training, "loss_and_grads", 3)
    (tmp_path / name).write_text("anna\nben\n")
    line = told("train", *SMALL, "--held-out=0", f"--out={name}.npz", f"--text={name}")
    assert line.isprintable()
    command = line.partition("python -m scratchlm ")[2]
    pasted = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, cwd=tmp_path)
    given = os.fsdecode(pasted.stdout).split("\0")[:-1]
    assert cli.main(given) == 0
    assert checkpoint.load(f"{name}.npz").run.state.step == 12


def test_a_request_that_is_ignored_stays_ignored(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        asked_at(monkeypatch, training, "loss_and_grads", 3, [signal.SIGHUP])
        assert cli.main(["train", *SMALL, "--out", str(tmp_path / "m.npz")]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_file_is_written_as_a_whole_before_a_request_is_answered(tmp_path):
    def written_while_asked_to_end():
        with files.beside(tmp_path / "out") as written:
            signal.raise_signal(signal.SIGINT)
            os.replace(written, tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        written_while_asked_to_end()
    assert os.listdir(tmp_path) == ["out"]


COMMANDS = {
    "sample": "sample m.npz --count 1000000 --max-length 10",
    "score": "score m.npz",
    "examine": "examine mine:softmax --as softmax --budget 100000",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_keeps_nothing_ends_at_once_and_leaves_nothing(command, tmp_path):
    # Each of them makes a file when it is at work.
    folder = tmp_path / "tmp"
    folder.mkdir()
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "from scratchlm.functional import softmax as real\n"
        "def softmax(*args, **kwargs):\n"
        "    if not os.path.exists('begun'):\n"
        "        open('begun', 'w').close()\n"
        "    return real(*args, **kwargs)\n"
    )
    script = (
        "import sys, os\n"
        "from scratchlm import __main__, checkpoint\n"
        "load = checkpoint.load\n"
        "checkpoint.load = lambda path: (open('begun', 'w').close(), load('good.npz'))[1]\n"
        f"sys.argv[1:] = {COMMANDS[command].split()!r}\n"
        "sys.exit(__main__.main())\n"
    )
    assert cli.main(["train", *SMALL, "--out", str(tmp_path / "good.npz")]) == 0
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.stderr.read() == "scratchlm: interrupted\n"
    assert process.returncode == 2
    assert list(folder.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"tmp", "mine.py", "good.npz", "begun"}
