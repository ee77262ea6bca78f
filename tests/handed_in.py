"""What tests of the classroom hand in, the processes that look at it, and what those leave behind."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scratchlm.classroom.exercises import EXERCISES, Exercise, Part

SOLUTIONS = Path(__file__).parent / "solutions"


HONEST = """
def honest(logits, axis=-1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
def beside(log_probs, Z):
    return log_probs + Z[..., None]
"""


TWO = Exercise(1, "two functions", "two.py", (Part("softmax", "softmax"), Part("beside", "recover_logits")), ())


# Enough of a softmax to see a function called, heard, and found wrong: most tests here ask no more of the mathematics.
FEW = {"ordinary rows", "a distribution", "ratios", "shape and dtype", "input untouched", "there and back"}


def in_softmax(*lines):
    return "def softmax(logits, axis=-1):\n" + "\n".join(f"    {line}" for line in lines)


def start(*arguments, cwd):
    """Start a command that Ctrl-C can reach, also if the tests run in the background, and that has its own /tmp."""
    (cwd / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "scratchlm", "exercise", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"TMPDIR": str(cwd / "temporary")},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def lines_until(process, text):
    """Return the lines that a process prints, up to the first that holds a text."""
    lines = []
    while text not in (lines[-1] if lines else ""):
        line = process.stdout.readline()
        assert line, lines
        lines.append(line)
    return lines


def wait_until(something, seconds=20):
    """Wait until something is the case, and fail if that takes too long."""
    until = time.monotonic() + seconds
    while not something():
        assert time.monotonic() < until
        time.sleep(0.02)


def submissions(cwd):
    """Return the folders of submissions that a command started in a folder has made, and not removed."""
    return list((cwd / "temporary").rglob("submission-*"))


def processes_in(folder):
    """Return the processes that work in a folder, whoever is their parent."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += [process] if os.readlink(f"/proc/{process}/cwd").startswith(str(folder)) else []
    return found


def files_held_by(process):
    """Return the files that a process has open."""
    found = []
    with contextlib.suppress(OSError):  # it has ended meanwhile
        found += [link.readlink() for link in Path("/proc", process, "fd").iterdir()]
    return found


def hand_in(folder, number, sources):
    """Make a folder for each student, with a file for an exercise."""
    for student, source in sources.items():
        (folder / student).mkdir(parents=True)
        (folder / student / EXERCISES[number].file).write_text(source)
    return folder


def points_in(out):
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        return {row["student"]: row["total"] for row in csv.DictReader(book)}
