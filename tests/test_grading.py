"""Grading a class, whatever students hand in, whatever the machine lacks, and whenever it is interrupted."""

import contextlib
import csv
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from handed_in import (
    SOLUTIONS,
    files_held_by,
    hand_in,
    lines_until,
    points_in,
    processes_in,
    start,
    submissions,
    wait_until,
)

from scratchlm import cli
from scratchlm.classroom import gradebook, grader, sandbox, wall
from scratchlm.classroom.exercises import EXERCISES, STUBS


def test_grading_a_class_continues_where_it_stopped(tmp_path, capsys, few_cases):
    handed_in, out = tmp_path / "in", tmp_path / "out"
    sources = {
        "anna": (SOLUTIONS / "ex01_softmax.py").read_text(),
        "ben": "import os\ndef softmax(logits, axis=-1): os._exit(0)",
        "=cem": "x = = 1",
        "dora": (STUBS / "ex01_softmax.py").read_text(),
    }
    for student, source in sources.items():
        (handed_in / student).mkdir(parents=True)
        (handed_in / student / "ex01_softmax.py").write_text(source)
    (handed_in / "emil").mkdir()
    command = ["exercise", "grade", str(handed_in), "--out", str(out), "--only", "1", "--gradescope", "--budget", "10"]
    assert cli.main(command) == 1  # a syntax error: not all of it could be read
    first = capsys.readouterr().out
    assert len(re.findall(r"^\d of 5", first, re.MULTILINE)) == 5
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        rows = {row["student"]: row for row in csv.DictReader(book)}
    assert {name: float(row["total"]) for name, row in rows.items()} == {
        "anna": 12.0,
        "ben": 0.0,
        "'=cem": 0.0,
        "dora": 0.0,
        "emil": 0.0,
    }
    assert "not handed in" in rows["emil"]["troubles"]
    assert "ended the process" in (out / "ben.txt").read_text(encoding="utf-8")
    scope = json.loads((out / "gradescope" / "anna" / "results.json").read_text(encoding="utf-8"))
    assert scope["score"] == 12.0
    assert "ended the process" in (out / "gradescope" / "ben" / "results.json").read_text(encoding="utf-8")
    assert sum(test["max_score"] for test in scope["tests"]) == pytest.approx(10, abs=0.01)
    (handed_in / "dora" / "ex01_softmax.py").write_text(sources["anna"])
    assert cli.main(command) == 1  # a syntax error: not all of it could be read
    again = capsys.readouterr().out
    assert again.count("as graded before") == 4
    assert re.search(r"dora +12\.00$", again, re.MULTILINE)


def test_watch_checks_again_when_the_file_is_saved(tmp_path):
    path = tmp_path / "ex08_recover_logits.py"
    shutil.copy(STUBS / path.name, path)
    process = start("check", path.name, "--watch", "--budget", "3", cwd=tmp_path)
    assert any("– " in line for line in lines_until(process, "Waiting"))
    shutil.copy(SOLUTIONS / path.name, path)
    assert any("10 of 10 points" in line for line in lines_until(process, "Waiting"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 2
    assert stderr.split() == ["scratchlm:", "interrupted"]


def test_interrupted_grading_continues_later_and_leaves_nothing_running(tmp_path):
    name = EXERCISES[8].file
    for i in range(4):
        (tmp_path / "in" / f"s{i}").mkdir(parents=True)
        (tmp_path / "in" / f"s{i}" / name).write_text(
            (SOLUTIONS / name).read_text() + ("" if i < 2 else f"\nimport time\ntime.sleep({10 * i})\n")
        )
    arguments = ["grade", "in", "--out", "out", "--only", "8", "--workers", "2", "--seconds", "100", "--budget", "3"]
    process = start(*arguments, cwd=tmp_path)
    lines_until(process, "2 of 4")
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 2
    assert stderr.split() == ["scratchlm:", "interrupted"]
    for i in range(2, 4):
        (tmp_path / "in" / f"s{i}" / name).write_text((SOLUTIONS / name).read_text())
    again = start(*arguments, cwd=tmp_path)
    stdout, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert stdout.count("as graded before") == 2
    assert stdout.count("10.00") == 4
    assert not processes_in(tmp_path)
    assert not submissions(tmp_path)


SIMILAR = [pytest.param(how, marks=pytest.mark.long) for how in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL, *SIMILAR])
def test_a_grader_that_is_ended_leaves_no_submission_running(how, tmp_path):
    path = tmp_path / EXERCISES[8].file
    path.write_text("import os, time\nheld = open(os.__file__)\nwhile True: time.sleep(1)\n")
    process = start("check", path.name, "--seconds", "1000", cwd=tmp_path)
    wait_until(lambda: submissions(tmp_path))
    (folder,) = submissions(tmp_path)
    wait_until(lambda: any(Path(os.__file__) in files_held_by(p) for p in processes_in(folder)))  # in its loop
    process.send_signal(how)
    _, stderr = process.communicate(timeout=20)
    if how == signal.SIGKILL:  # its own processes must notice and clean up
        wait_until(lambda: not os.listdir(tmp_path / "temporary"))
        wait_until(lambda: not processes_in(folder))
    else:
        assert (process.returncode, stderr) == (2, "scratchlm: interrupted\n")
        assert not processes_in(folder)
        assert not os.listdir(tmp_path / "temporary")


def answers_to(process, number):
    """Return whether a process has a handler for a signal."""
    status = Path("/proc", str(process.pid), "status").read_text()
    return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (number - 1) & 1)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows whether it handles a signal")
@pytest.mark.parametrize("seed", range(8))
def test_an_interruption_at_any_moment_leaves_nothing_behind(seed, tmp_path):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    folder = hand_in(tmp_path / "in", 8, dict.fromkeys(["anna", "ben", "cem"], right))
    grade = ["grade", "in", "--out", "out", "--only", "8", "--workers", "2"]
    chance = random.Random(seed)
    process = start(*chance.choice([grade, ["check", str(folder / "anna"), "8"]]), cwd=tmp_path)
    wait_until(lambda: answers_to(process, signal.SIGTERM))
    with contextlib.suppress(subprocess.TimeoutExpired):  # any moment will do
        process.wait(timeout=chance.uniform(0, 3))
    for _ in range(chance.choice([1, 2])):
        if process.poll() is None:
            chance.choice([os.kill, os.killpg])(process.pid, chance.choice([signal.SIGINT, signal.SIGTERM]))
    _, stderr = process.communicate(timeout=20)
    early = "scratchlm: interrupted before it started; nothing was changed\n"
    assert (process.returncode, stderr) in [(2, "scratchlm: interrupted\n"), (2, early), (0, "")]
    assert not processes_in(tmp_path / "temporary")
    assert not os.listdir(tmp_path / "temporary")
    assert not list(tmp_path.glob("out/.scratchlm*"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_process_whose_parent_has_already_ended_ends_too():
    child = os.fork()
    if not child:
        wall.die_with(os.getpid())  # this is not its parent
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_a_grading_process_that_dies_costs_nobody_else_points(tmp_path, monkeypatch, capsys):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    folder = hand_in(tmp_path / "in", 8, {"anna": right, "ben": "# kill", "cem": right, "dora": right})
    really = gradebook.checked

    def deadly(exercise, submission, **options):
        if "kill" in submission.sources[0].text:
            os.kill(os.getpid(), signal.SIGKILL)
        return really(exercise, submission, **options)

    monkeypatch.setattr(gradebook, "checked", deadly)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main(command) == 1
    assert points_in(tmp_path / "out") == {"anna": "10", "ben": "", "cem": "10", "dora": "10"}
    assert not os.listdir(tmp_path / "temporary")
    assert "1 could not be graded" in capsys.readouterr().out
    assert "was ended by SIGKILL" in (tmp_path / "out" / "gradebook.csv").read_text()
    monkeypatch.setattr(gradebook, "checked", really)
    assert cli.main(command) == 0
    assert capsys.readouterr().out.count("as graded before") == 3


def raises(error):
    """Return a function that raises this error whatever it is given."""

    def function(*args, **kwargs):
        raise error

    return function


def no_second_process():
    """Return a stand-in for subprocess.Popen that starts only one process."""
    started, really = [], subprocess.Popen

    def popen(*args, **kwargs):
        if started:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(really(*args, **kwargs))
        return started[0]

    return popen


def full(*given):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


NOT_THE_STUDENTS_FAULT = {  # what the machine lacks: where and how that is felt, and the message
    "a process": (sandbox.subprocess, "Popen", raises(BlockingIOError(11, "no process")), "started for it: no process"),
    "a second process": (sandbox.subprocess, "Popen", no_second_process(), "started for it: Resource temporarily"),
    "threads": (sandbox.threading.Thread, "start", raises(RuntimeError("can't start new thread")), "new thread"),
    "room on the disk": (sandbox.uuid, "uuid4", full, "no folder could be made for it: No space left on device"),
    "NumPy": (sandbox, "FAR_SIDE", "raise ImportError('libgfortran is missing')", "libgfortran is missing"),
    "memory for the other side": (sandbox.frames, "to_bytes", raises(MemoryError()), "not enough memory"),
    "memory for a process": (sandbox, "FAR_SIDE", "import os; os.kill(os.getpid(), 9)", "could not be loaded for it"),
    "memory to judge": (grader, "judged", raises(MemoryError()), "not enough memory"),
    "the right to read": (gradebook, "found_in", raises(PermissionError(13, "Permission denied", "x")), "x: Perm"),
    "a folder for temporary files": (tempfile, "mkdtemp", raises(OSError(28, "No space")), "be started: No space"),
    "a process to grade": (os, "fork", raises(BlockingIOError(11, "no process")), "could be started: no process"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="replacements do not reach processes that start afresh")
@pytest.mark.parametrize("what", NOT_THE_STUDENTS_FAULT)
def test_what_the_machine_lacks_costs_no_student_a_point(what, tmp_path, monkeypatch, capsys):
    where, name, stand_in, said = NOT_THE_STUDENTS_FAULT[what]
    lost = "import os\ndef recover_logits(log_probs, Z): os._exit(0)\n"
    folder = hand_in(tmp_path / "in", 8, {"anna": lost})
    monkeypatch.setattr(where, name, stand_in)
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main(command) == 1
    assert points_in(tmp_path / "out") == {"anna": ""}
    assert said in (tmp_path / "out" / "gradebook.csv").read_text()
    kept = json.loads((tmp_path / "out" / "anna.json").read_text())
    assert (kept["points"], "fingerprint" in kept) == (None, False)  # so there is another try
    capsys.readouterr()
    if what != "the right to read":  # which is needed only when a folder is graded
        assert cli.main(["exercise", "check", str(folder / "anna"), "8", "--budget", "3"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes start afresh")
def test_with_few_processes_allowed_few_run_and_never_more_than_students(tmp_path, monkeypatch):
    stub = (STUBS / EXERCISES[8].file).read_text()
    folder = hand_in(tmp_path / "in", 8, dict.fromkeys(["anna", "ben", "cem"], stub))
    asked, really = [], os.fork

    def fork():
        asked.append(len(asked))
        if len(asked) == 2:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return really()

    monkeypatch.setattr(os, "fork", fork)
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main([*command, "--workers", "300"]) == 0
    assert points_in(tmp_path / "out") == dict.fromkeys(["anna", "ben", "cem"], "0")
    assert len(asked) == 4


@pytest.mark.parametrize("descriptors", [12, pytest.param(8, marks=pytest.mark.long)])
def test_with_few_descriptors_grading_ends_and_nobody_loses_points(descriptors, tmp_path):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    hand_in(tmp_path / "in", 8, dict.fromkeys(["anna", "ben", "cem"], right))
    command = f"ulimit -n {descriptors}; exec {sys.executable} -m scratchlm exercise grade in --out out --only 8"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert points_in(tmp_path / "out") == dict.fromkeys(["anna", "ben", "cem"], "")


def test_students_may_hand_in_anything(tmp_path, capsys):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    folder = hand_in(tmp_path / "in", 8, dict.fromkeys(["anna", "ben", "cem", "dora", "emil", "finn"], right))
    name = EXERCISES[8].file
    os.truncate(folder / "ben" / name, 60 * 2**30)  # takes no room on the disk
    (folder / "cem" / name).unlink()
    os.mkfifo(folder / "cem" / name)
    (folder / "dora" / name).unlink()
    (folder / "dora" / name).symlink_to("/proc/kmsg")
    (folder / "emil" / name).rename(folder / "emil" / "solution.py")
    (folder / "finn" / name).unlink()
    (folder / "finn" / name).mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "notes.txt").write_text("")
    out = folder / "graded"
    assert cli.main(["exercise", "grade", str(folder), "--out", str(out), "--only", "8", "--budget", "3"]) == 1
    found = {"anna": "10", "emil": "10"}  # a file may have any name
    assert points_in(out) == {**found, **dict.fromkeys(["ben", "cem", "dora", "finn"], "0")}
    told = capsys.readouterr().out
    assert "skipped: __MACOSX" in told
    assert "skipped: notes.txt" in told
    assert f"{name} has more than 1,000,000 bytes" in (out / "ben.txt").read_text(encoding="utf-8")


def test_names_of_students_cannot_forge_lines_or_formulas(tmp_path, capsys):
    names = ["anna\x1b[2J\n2 of 2  anna  10.00", "=1+1", "cem\udcff"]
    folder = hand_in(tmp_path / "in", 8, dict.fromkeys(names, "x = 1"))
    assert cli.main(["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert not re.search("^2 of 2", told, re.MULTILINE)
    told.encode("utf-8")
    book = (tmp_path / "out" / "gradebook.csv").read_text(encoding="utf-8")
    assert len(book.splitlines()) == 4
    assert "'=1+1" in book


def test_gradescope_can_be_added_later_and_new_limits_grade_again(tmp_path, capsys):
    folder = hand_in(tmp_path / "in", 8, {"anna": (SOLUTIONS / EXERCISES[8].file).read_text()})
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main(command) == 0
    assert cli.main([*command, "--gradescope"]) == 0
    assert "as graded before" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "gradescope" / "anna" / "results.json").read_text())["score"] == 10
    assert cli.main([*command, "--seconds", "9"]) == 0
    assert "as graded before" not in capsys.readouterr().out


def test_a_link_to_another_students_file_earns_nothing(tmp_path, capsys):
    (tmp_path / "in" / "anna").mkdir(parents=True)
    (tmp_path / "in" / "ben").mkdir()
    name = EXERCISES[8].file
    shutil.copy(SOLUTIONS / name, tmp_path / "in" / "anna" / name)
    (tmp_path / "in" / "ben" / name).symlink_to("../anna/" + name)
    command = [
        "exercise",
        "grade",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--only",
        "8",
        "--budget",
        "3",
    ]
    assert cli.main(command) == 1
    assert "is a link" in (tmp_path / "out" / "ben.txt").read_text(encoding="utf-8")
    assert re.search(r"ben +0\.00 +not all of it could be read", capsys.readouterr().out)
