"""On every system the classroom starts and grades: without what only Linux has, one by one and all at once."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "without.py"
SOFTMAX = (Path(__file__).parent / "solutions" / "textbook_softmax.py").read_text(encoding="utf-8")
MODULES = ("resource", "_posixsubprocess", "fcntl")
NAMES = ("SIGHUP", "SIGKILL", "pthread_sigmask", "fork", "killpg", "waitid", "O_NONBLOCK", "set_blocking")
EVERYTHING = ",".join([*MODULES, *NAMES, "sched_getaffinity", "geteuid", "linux"])
ENDLESS = "def softmax(z, axis=-1):\n    while True: pass\n"


def run(taken, *arguments, cwd):
    environment = os.environ | {"TAKEN_AWAY": taken}
    command = [sys.executable, str(SCRIPT), "exercise", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def hand_in(folder):
    for name, text in {"anna": SOFTMAX, "ben": ENDLESS, "cem": "import os\nos._exit(3)\n" + SOFTMAX}.items():
        (folder / "in" / name).mkdir(parents=True)
        (folder / "in" / name / "hw.py").write_text(text)


def graded(folder):
    with open(folder / "out" / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        return {row["student"]: row["total"] for row in csv.DictReader(book)}


ONE_BY_ONE = [pytest.param(name, marks=pytest.mark.long) for name in (*MODULES, *NAMES, "linux")]
LACKS = "On this system the wall around submissions lacks a memory limit and the kernel's help"


@pytest.mark.skipif(sys.platform != "linux", reason="here it is Linux that is taken away")
@pytest.mark.parametrize("taken", [EVERYTHING, *ONE_BY_ONE])
def test_a_class_is_graded_without_it(taken, tmp_path):
    hand_in(tmp_path)
    command = ["grade", "in", "--out", "out", "--only", "1", "--budget", "2", "--seconds", "3", "--workers", "2"]
    done = run(taken, *command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert graded(tmp_path) == {"anna": "10", "ben": "0", "cem": "10"}
    first = done.stdout.splitlines()[0]
    assert first.startswith(LACKS) == ("linux" in taken)
    assert "did not return within 3 s" in (tmp_path / "out" / "ben.txt").read_text(encoding="utf-8")
    assert not [path for path in Path("/proc").glob("[0-9]*/cwd") if reaches(path, tmp_path)]


def reaches(link, folder):
    try:
        return str(link.readlink()).startswith(str(folder))
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="here it is Linux that is taken away")
def test_every_command_of_a_student_starts_without_it(tmp_path):
    for arguments in (["start", "mine", "1"], ["list"], ["hint", "1"], ["check", "mine"]):
        done = run(EVERYTHING, *arguments, cwd=tmp_path)
        assert done.returncode == (arguments[0] == "check"), done.stderr
        assert done.stderr == ""
    assert done.stdout.startswith(LACKS)
    assert "not attempted yet" in done.stdout
