"""The grader: what hostile submissions get, what honest ones get, and that a class gets its gradebook."""

import contextlib
import csv
import errno
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from scratchlm import cli
from scratchlm.classroom import frames, gradebook, grader, sandbox, wall
from scratchlm.classroom.exercises import EXERCISES, STUBS, Exercise, Part, properties_of
from scratchlm.classroom.grader import FAILS, HOLDS, UNTOUCHED, check
from scratchlm.classroom.paper import as_text, next_step
from scratchlm.classroom.sandbox import Refused, Submission

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
FEW = {"a distribution", "ratios", "shape and dtype", "input untouched", "there and back"}


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """Return a function that grades a hostile softmax beside an honest one, and gives the lines of both."""

    def grade(source, names=FEW, **options):
        monkeypatch.setattr(grader, "properties_of", lambda part: [p for p in properties_of(part) if p.name in names])
        path = tmp_path / "two.py"
        path.write_text(f"import numpy as np\n{HONEST}\n{source}\n")
        before = path.read_bytes()
        report = check(TWO, path, **{"budget": 3, "seconds": 1, **options})
        assert path.read_bytes() == before
        lines = {name: [line for line in report.lines if line.function == name] for name in ("softmax", "beside")}
        return report, lines["softmax"], lines["beside"]

    return grade


def in_softmax(*lines):
    return "def softmax(logits, axis=-1):\n" + "\n".join(f"    {line}" for line in lines)


# What a hostile softmax does, and what its line says. Who was lost or refused is not called again: there is no smaller
# counterexample to be had of it.
LOST_OR_REFUSED = {
    "an infinite loop": (in_softmax("while True: pass"), "did not return within 1 s"),
    "recursion without a limit": (
        "import sys\n" + in_softmax("sys.setrecursionlimit(10**9)", "return softmax(logits)"),
        "(crashed|MemoryError|did not return)",
    ),
    "os._exit": ("import os\n" + in_softmax("os._exit(0)"), r"ended the process \(exit status 0\)"),
    "a crash": ("import os, signal\n" + in_softmax("signal.raise_signal(signal.SIGSEGV)"), r"crashed \(SIGSEGV\)"),
    "a signal without a name": ("import signal\n" + in_softmax("signal.raise_signal(40)"), "was ended by signal 40"),
    "a signal that asks to end": ("import signal\n" + in_softmax("signal.raise_signal(15)"), r"crashed \(SIGTERM\)"),
    "memory without bound": (in_softmax("return np.ones(10**11)"), "MemoryError"),
    "memory, bit by bit": (
        in_softmax("a = []", "while True: a.append(bytearray(10**8))"),
        "(MemoryError|did not return)",  # whichever limit is met first
    ),
    "importing this package": (in_softmax("import scratchlm", "return honest(logits, axis)"), "importing scratchlm is"),
    "importing and hiding it": (
        in_softmax("try:", "    import scipy", "except BaseException:", "    pass", "return honest(logits, axis)"),
        "importing scipy is refused",
    ),
    "borrowing by path": (
        in_softmax(
            "import importlib.util as u",
            f"s = u.spec_from_file_location('f', {str(Path(frames.__file__).parent.parent / 'functional.py')!r})",
            "m = u.module_from_spec(s)",
            "s.loader.exec_module(m)",
        ),
        "reading functional.* is refused",
    ),
    "reading the battery": (
        in_softmax(f"return open({str(Path(frames.__file__).parent.parent / 'properties' / 'rows.py')!r}).read()"),
        "reading rows.py is refused",
    ),
    "reading the grader's memory": (
        "import os\n" + in_softmax("return open(f'/proc/{os.getppid()}/mem', 'rb').read(10)"),
        "reading mem is refused",
    ),
    "rewriting its own file": (in_softmax("open(__file__, 'w').write('x')"), "writing to .* is refused"),
    "deleting its own file": ("import os\n" + in_softmax("os.remove(__file__)"), "os.remove is refused"),
    "a child process": ("import os\n" + in_softmax("os.fork()"), "os.fork is refused"),
    "a command": ("import os\n" + in_softmax("os.system('true')"), "os.system is refused"),
    "subprocess": (in_softmax("import subprocess", "subprocess.run(['true'])"), "importing subprocess is refused"),
    "killing the grader": ("import os\n" + in_softmax("os.kill(os.getppid(), 9)"), "os.kill is refused"),
    "junk on every descriptor": (
        "import os\n"
        + in_softmax("for i in range(3, 64):", "    try: os.write(i, b'junk' * 99)", "    except OSError: pass"),
        "something else than a frame",
    ),
    "closing every descriptor": (
        "import os\n" + in_softmax("os.closerange(3, 64)", "return honest(logits, axis)"),
        "(ended the process|closed the pipe|crashed)",
    ),
    "a connection": (
        "import socket\n" + in_softmax("socket.create_connection(('127.0.0.1', 9))"),
        "socket.* is refused",
    ),
}
HEARD = {  # it answers, or raises
    "recursion without end": (in_softmax("return softmax(logits)"), "RecursionError"),
    "sys.exit": ("import sys\n" + in_softmax("sys.exit(0)"), "SystemExit: 0"),
    "None": (in_softmax("return None"), "is there a `return`"),
    "text": (in_softmax("return 'p'"), "no array of floats"),
    "an array of objects": (in_softmax("return np.array([object()])"), "no array of floats"),
    "an object that cannot be shown": (
        "class Odd:\n    def __repr__(self): raise ValueError\n" + in_softmax("return Odd()"),
        "no array of floats",
    ),
    "another shape": (in_softmax("return honest(logits)[..., :0]"), "."),
    "another dtype": (in_softmax("return honest(logits).astype(np.float16)"), "."),
    "writing into the input": (in_softmax("logits[...] = honest(logits, axis)", "return logits * 1"), "was changed"),
    "a view of the input": (in_softmax("logits[...] = honest(logits, axis)", "return logits[...]"), "."),
    "monkey-patching numpy": (
        "np.allclose = np.array_equal = lambda *a, **k: True\nnp.testing = None\n" + in_softmax("return logits"),
        ".",
    ),
    "catching everything": (
        in_softmax("try: raise KeyboardInterrupt", "except BaseException: return logits * 0"),
        ".",
    ),
}
HOSTILE = {**LOST_OR_REFUSED, **HEARD}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_submission_is_told_in_one_line_and_harms_nobody(what, graded):
    source, message = HOSTILE[what]
    _, hostile, honest = graded(source, shrink=what in HEARD)
    failed = [line for line in hostile if line.mark == FAILS]
    assert failed
    told = [f"{line.message} {line.note} {line.actual}" for line in failed]
    assert any(re.search(message, text) for text in told), told
    assert all("\n" not in line.message + line.note for line in hostile)
    assert [line.mark for line in honest] == [HOLDS] * len(honest), [line.message for line in honest]


AT_IMPORT = {
    "a syntax error": ("x = = 1", r"SyntaxError: .*\(line 9\)"),
    "an exception": ("1 / 0", r"ZeroDivisionError: .*\(line 9\)"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit"),
    "os._exit": ("import os; os._exit(0)", "ended the process"),
    "an infinite loop": ("while True: pass", "did not return"),
    "importing torch": ("import torch", "importing torch is refused"),
    "no Python at all": ("\0", "."),
}


@pytest.mark.parametrize("what", AT_IMPORT)
def test_what_goes_wrong_at_import_is_told_in_one_line(what, graded):
    source, message = AT_IMPORT[what]
    report, *_ = graded(source)
    assert report.points == 0
    assert {line.mark for line in report.lines} == {FAILS}
    assert re.search(f"could not be loaded: .*{message}", report.trouble)
    assert report.trouble in " ".join(as_text(report, width=10_000).splitlines()[2:3])
    assert next_step([report]) == "Next: repair two.py."


def test_a_flood_of_output_is_cut_and_a_print_disturbs_nothing(graded):
    report, lines, _ = graded(in_softmax("print('x' * 10**6)", "return honest(logits, axis)"))
    assert {line.mark for line in lines} == {HOLDS}
    assert 1000 < len(report.printed) <= 20_000


def test_a_thread_left_running_ends_with_the_submission(graded, tmp_path):
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    _, lines, _ = graded(source + in_softmax("return honest(logits, axis)"))
    assert {line.mark for line in lines} == {HOLDS}
    path = tmp_path / "t.py"
    path.write_text(source)
    with Submission(path) as submission:
        submission.start()
        process = submission.process
    assert process.poll() is not None


def test_what_was_seen_under_one_seed_does_not_help_under_another(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        f"import numpy as np\n{HONEST}\nseen = []\n"
        + in_softmax("seen.append(logits.tobytes())", "print(logits.tolist())", "return honest(logits, axis)")
    )
    printed = [check(TWO, path, seed=seed, budget=3).printed for seed in (1, 1, 2)]
    assert printed[0] == printed[1] != printed[2]


def test_the_child_is_never_sent_what_was_expected(tmp_path, monkeypatch):
    sent = []
    exchange = Submission._exchange

    def spy(self, message, seconds):
        sent.append(message)
        return exchange(self, message, seconds)

    monkeypatch.setattr(Submission, "_exchange", spy)
    path = tmp_path / "two.py"
    path.write_text(f"import numpy as np\n{HONEST}\nsoftmax = honest\n")
    check(TWO, path, budget=3)
    requests = [message for message in sent if message and "function" in message]
    assert len(requests) > 20
    assert {key for message in requests for key in message} == {"id", "function", "args", "layouts", "kwargs"}
    assert {key for message in requests for key in message["kwargs"]} <= {"axis"}


@pytest.mark.parametrize(
    "junk", [b"", b"slm1", b"\x00\x00\x00\x05{}", b"\xff" * 50, b"\x00\x00\x00\x02[]", b"\x00" * 20]
)
def test_a_frame_of_junk_is_garbled_and_nothing_else(junk):
    with pytest.raises(frames.Garbled):
        frames.from_bytes(junk)


def test_a_header_that_promises_more_than_there_is_allocates_nothing():
    blobs = []
    frames.pack(np.ones(3), blobs)
    forged = blobs[0].replace(b"(3,)", b"(9,)")
    with pytest.raises(frames.Garbled, match="header"):
        frames.unpack({"array": 0}, [forged])
    huge = blobs[0].replace(b"(3,), }      ", b"(99999999,), }")
    with pytest.raises(frames.Garbled):
        frames.unpack({"array": 0}, [huge])


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, "text", [1, 2.0], (np.float32([1, 2]), None), {"a": np.arange(3), "b": np.float64(2)}],
)
def test_values_come_through_the_wall_as_they_were(value):
    message = frames.from_bytes(frames.to_bytes({"value": value})[12:])
    np.testing.assert_equal(message["value"], value)


@pytest.fixture
def few_cases(monkeypatch):
    """Let every property be judged on three cases at most, stars as well, for tests of what becomes of a verdict."""
    really = grader.judged
    monkeypatch.setattr(grader, "judged", lambda *a, budget, **more: really(*a, budget=min(budget, 3), **more))


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_gets_full_marks_and_the_stub_none(number, few_cases):
    full_marks_and_none(number)


@pytest.mark.long
@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_gets_full_marks_and_the_stub_none_on_many_cases(number):
    full_marks_and_none(number)


def full_marks_and_none(number):
    exercise = EXERCISES[number]
    solved = check(exercise, SOLUTIONS / exercise.file, budget=10)
    assert [(line.name, line.message) for line in solved.lines if line.mark != HOLDS] == []
    assert solved.passed
    assert solved.points == pytest.approx(12 if any(part.starred for part in exercise.parts) else 10, abs=0.02)
    empty = check(exercise, STUBS / exercise.file, budget=10)
    assert empty.points == 0
    assert {line.mark for line in empty.lines} == {UNTOUCHED}


def test_a_textbook_softmax_passes_at_the_first_try(tmp_path, capsys, few_cases):
    shutil.copy(SOLUTIONS / "textbook_softmax.py", tmp_path / "ex01_softmax.py")
    assert cli.main(["exercise", "check", str(tmp_path / "ex01_softmax.py")]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"✗ .*", text) == re.findall(r"✗ .*☆.*", text)
    assert "All that is required holds" in text


def test_as_a_new_student_would(tmp_path, capsys, few_cases):
    folder = tmp_path / "mine"
    assert cli.main(["exercise", "start", str(folder), "1"]) == 0
    path = folder / "ex01_softmax.py"
    assert cli.main(["exercise", "check", str(folder), "1"]) == 1
    assert "Next: open ex01_softmax.py" in capsys.readouterr().out
    naive = "    e = np.exp(logits)\n    return e / e.sum(axis=axis, keepdims=True)"
    path.write_text(path.read_text().replace("    raise NotImplementedError", naive))
    assert cli.main(["exercise", "check", str(folder)]) == 1
    text = capsys.readouterr().out
    assert re.search(r"✗ .*\n +for +logits = np.array\(", text)
    assert re.search(r"expected: .*\n +actual: ", text)
    assert "hint:" in text
    assert "Next: softmax, " in text
    assert cli.main(["exercise", "start", str(folder), "1"]) == 0
    assert "left as it is" in capsys.readouterr().out
    assert naive in path.read_text()
    path.write_text(path.read_text().replace("np.exp(logits)", "np.exp(logits - logits.max(axis=axis, keepdims=True))"))
    assert cli.main(["exercise", "check", str(folder)]) == 0


def test_hints_come_one_by_one(capsys):
    for step in (1, 2):
        assert cli.main(["exercise", "hint", "3", "--step", str(step)]) == 0
        text = capsys.readouterr().out
        assert text.count("\n1. ") == 1
        assert text.count("\n2. ") == step - 1
    assert cli.main(["exercise", "list"]) == 0
    assert len(re.findall(r"^ +\d+  ", capsys.readouterr().out, re.MULTILINE)) == len(EXERCISES) >= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.py"], "no such file"),
        (["check", "."], "exercise check other.py N"),
        (["check", "other.py"], "named like no exercise"),
        (["check", ".", "--budget", "0"], "--budget must be at least 1"),
        (["grade", ".", "--out", "graded"], "holds no folder of a student"),
        (["grade", "nowhere", "--out", "graded"], "No such file"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.py").write_text("")
    assert cli.main(["exercise", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_class_is_graded_and_goes_on_where_it_stopped(tmp_path, capsys):
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
    assert cli.main(command) == 0
    first = capsys.readouterr().out
    assert len(re.findall(r"^\d of 5", first, re.MULTILINE)) == 5
    with open(out / "gradebook.csv", encoding="utf-8", newline="") as book:
        rows = {row["student"]: row for row in csv.DictReader(book)}
    assert {name: float(row["total"]) for name, row in rows.items()} == {
        "anna": 12.0,
        "ben": 0.0,
        "'=cem": 0.0,
        "dora": 0.0,
        "emil": 0.0,
    }
    assert "was not handed in" in rows["emil"]["troubles"]
    assert "ended the process" in (out / "ben.txt").read_text(encoding="utf-8")
    scope = json.loads((out / "gradescope" / "anna" / "results.json").read_text(encoding="utf-8"))
    assert scope["score"] == 12.0
    assert "ended the process" in (out / "gradescope" / "ben" / "results.json").read_text(encoding="utf-8")
    assert sum(test["max_score"] for test in scope["tests"]) == pytest.approx(10, abs=0.01)
    (handed_in / "dora" / "ex01_softmax.py").write_text(sources["anna"])
    assert cli.main(command) == 0
    again = capsys.readouterr().out
    assert again.count("as graded before") == 4
    assert re.search(r"dora +12\.00$", again, re.MULTILINE)


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


def test_grading_that_is_interrupted_goes_on_and_leaves_nobody_behind(tmp_path):
    name = EXERCISES[8].file
    for i in range(6):
        (tmp_path / "in" / f"s{i}").mkdir(parents=True)
        (tmp_path / "in" / f"s{i}" / name).write_text(
            (SOLUTIONS / name).read_text() + ("" if i < 2 else f"\nimport time\ntime.sleep({10 * i})\n")
        )
    arguments = ["grade", "in", "--out", "out", "--only", "8", "--workers", "2", "--seconds", "100", "--budget", "3"]
    process = start(*arguments, cwd=tmp_path)
    lines_until(process, "2 of 6")
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 2
    assert stderr.split() == ["scratchlm:", "interrupted"]
    for i in range(2, 6):
        (tmp_path / "in" / f"s{i}" / name).write_text((SOLUTIONS / name).read_text())
    again = start(*arguments, cwd=tmp_path)
    stdout, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert stdout.count("as graded before") == 2
    assert stdout.count("10.00") == 6
    assert not processes_in(tmp_path)
    assert not submissions(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: os.mkfifo(path), "is not a file"),
        (lambda path: path.write_bytes(b"#" * 2_000_000), "has more than 1,000,000 bytes"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
    ],
)
def test_what_is_no_students_file_is_one_line(make, message, tmp_path, capsys):
    path = tmp_path / EXERCISES[8].file
    make(path)
    assert cli.main(["exercise", "check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


BYPASSES = {
    "a path that is no text": "import pathlib, io\nio.FileIO(pathlib.Path({file!r})).read()",
    "a folder's descriptor": "import os\nd = os.open({folder!r}, 0)\nos.open({name!r}, 0, dir_fd=d)",
    "another realpath": "import os\nos.path.realpath = lambda *a, **k: 'x'\nopen({file!r})",
    "a way around": "import os\nopen(os.path.dirname(os.__file__) + '/..' * 20 + {file!r})",
    "numpy's own reader": "np.fromfile({file!r}, np.uint8)",
    "a history": "import readline\nreadline.read_history_file({file!r})",
    "the grader's memory": "import os\nos.open('/proc', 0)",
    "the harness": "import __main__\n__main__.WRITES = 0\n__main__.REFUSED_EVENTS = ('-',)\nimport os\nos.mkdir('x')",
    "another name for C": "import importlib\nimportlib.import_module('_ctypes').dlopen(None, 0)",
    "another way to fork": ("import importlib\nimportlib.import_module('_posixsubprocess').fork_exec(*[None] * 21)"),
    "a signal by descriptor": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
    "a pipe on disk": "import os\nos.mkfifo('x')",
    "new times": "import os\nos.utime(__file__)",
    "a name that is no plain text": "class S(str):\n    def __str__(self): return 'math'\n__import__(S('_ctypes'))",
    "another interpreter": "import _xxsubinterpreters as i\ni.run_string(i.create(isolated=False), 'x = 1')",
    "an interpreter for tests": "import _testcapi\n_testcapi.run_in_subinterp('x = 1')",
    "a second copy of what is built in": (
        "import _imp\nfrom importlib.machinery import ModuleSpec\n_imp.create_builtin(ModuleSpec('posix', None))"
    ),
    "a second copy of what is loaded": (
        "import _imp\nfrom importlib.machinery import ModuleSpec, PathFinder\n"
        "_imp.create_dynamic(ModuleSpec('_ctypes', None, origin=PathFinder.find_spec('_ctypes').origin))"
    ),
    "looking around": "import os\nos.listdir('/tmp')",
    "shared memory": "import _posixshmem\n_posixshmem.shm_open('/left', 66, mode=0o600)",
    "other users": "import spwd\nspwd.getspall()",
}


@pytest.mark.parametrize("what", BYPASSES)
def test_ways_around_the_wall_are_refused(what, graded):
    file = Path(frames.__file__).parent.parent / "functional.py"
    source = BYPASSES[what].format(file=str(file), folder=str(file.parent), name=file.name)
    _, hostile, honest = graded(
        "def softmax(logits, axis=-1):\n" + textwrap.indent(source, "    ") + "\n    return honest(logits)",
        shrink=False,
    )
    assert hostile[0].mark == FAILS
    assert re.search("refused", f"{hostile[0].note} {hostile[0].message} {hostile[0].actual}")
    assert {line.mark for line in honest} == {HOLDS}


FLOOD = """
def flood(data):
    for number in range(3, 64):
        try: os.write(number, data)
        except OSError: continue
"""
ODD = {
    "names without end": in_softmax("return {'10 of 10 points\\n' * 20000: logits}"),
    "numbers in a list": in_softmax("return [np.zeros(300_000)]"),
    "a group of exceptions": in_softmax("raise ExceptionGroup('all', [ValueError()])"),
    "half a character": in_softmax("raise ValueError('\\ud800 \\x1b[2J')"),
    "a flood of warnings": (
        "import warnings\n" + in_softmax("for i in range(3000): warnings.warn(str(i))", "return honest(logits, axis)")
    ),
    "a lying signature": (
        "import inspect\nclass P: kind = None; VAR_KEYWORD = 1; name = '1 x'\n"
        "class S(inspect.Signature): parameters = {'a': P()}\n"
        + in_softmax("return logits")
        + "\nsoftmax.__signature__ = S()"
    ),
    "a reply of a million lists": in_softmax("return [[] for _ in range(10**6)]"),
    "no numbers, many rows": in_softmax("return np.zeros((2 * 10**8, 0))"),
    "two shapes that make a third": (
        "n = 0\n" + in_softmax("global n", "n += 1", "return np.zeros((1, 12000)) if n % 2 else np.zeros((12000, 1))")
    ),
    "a forged report": (
        "class T:\n    def __repr__(self): return '\\x1b[2J10 of 10 points\\nExercise 1: softmax'\n"
        + in_softmax("return T()")
    ),
    "half a character as a result": ("class T:\n    def __repr__(self): return '\\ud800'\n" + in_softmax("return T()")),
    "one array, a hundred times": (
        "import io, json, os, struct\n"
        + FLOOD
        + in_softmax(
            "buffer = io.BytesIO()",
            "np.save(buffer, np.zeros(3_500_000))",
            "blob = buffer.getvalue()",
            'head = json.dumps({"id": {"plain": 1}, "value": {"list": [{"array": 0}] * 100}}).encode()',
            'body = struct.pack(">I", len(head)) + head + struct.pack(">Q", len(blob)) + blob',
            'flood(b"slm1" + struct.pack(">Q", len(body)) + body)',
        )
    ),
    "a flood of questions": (
        "import json, os, struct\n"
        + FLOOD
        + in_softmax(
            'head = json.dumps({"id": {"plain": 1}, "ask": {"list": []}}).encode()',
            'body = struct.pack(">I", len(head)) + head',
            'block = (b"slm1" + struct.pack(">Q", len(body)) + body) * 2000',
            "while True: flood(block)",
        )
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_replies_stop_neither_the_grader_nor_the_rest(what, graded):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report, hostile, honest = graded(ODD[what])
    assert {line.mark for line in honest} == {HOLDS}
    as_text(report).encode("utf-8")
    assert "\x1b" not in as_text(report)
    assert not re.search("^Exercise 1: softmax", as_text(report), re.MULTILINE)
    assert hostile
    assert len(as_text(report)) < 40_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kilobytes, here


THROUGH_THE_TRACEBACK = """
import sys
try: {refused}
except (ImportError, OSError) as error:
    frame = error.__traceback__
    while frame:
        for value in list(frame.tb_frame.f_locals.values()):
            if hasattr(value, "__code__"): value.__code__ = (lambda *a, **k: "").__code__
            if isinstance(value, list): value.clear()
        for name in list(frame.tb_frame.f_globals):
            if frame.tb_frame.f_code.co_name == "hook": frame.tb_frame.f_globals[name] = ()
        frame = frame.tb_next
sys.path.insert(0, {root!r})
from scratchlm.functional import softmax
"""


@pytest.mark.parametrize("refused", ["import scipy", "open('/etc/passwd')"])
def test_the_ear_cannot_be_stopped_through_a_traceback(refused, tmp_path):
    path = tmp_path / "ex01_softmax.py"
    root = str(Path(frames.__file__).parents[2])
    path.write_text(THROUGH_THE_TRACEBACK.format(refused=refused, root=root))
    report = check(EXERCISES[1], path, budget=3, shrink=False)
    assert report.points == 0
    assert "refused" in report.trouble


def test_a_flood_of_questions_ends_the_examination_and_not_the_grader(tmp_path):
    path = tmp_path / EXERCISES[13].file
    path.write_text(
        "import json, os, struct\nimport numpy as np\n" + FLOOD + "def looks_like_softmax(softmax):\n"
        '    head = json.dumps({"id": {"plain": 1}, "ask": {"list": [{"plain": 1.0}]}}).encode()\n'
        '    body = struct.pack(">I", len(head)) + head\n'
        '    while True: flood((b"slm1" + struct.pack(">Q", len(body)) + body) * 2000)\n'
    )
    report = check(EXERCISES[13], path, seconds=1)
    assert report.points == 0
    assert any("more came through the pipe than was asked for" in line.message for line in report.lines)


def test_the_ear_shows_nothing_of_the_wall(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        f"import numpy as np\n{HONEST}\ntry: import scipy\nexcept ImportError as error:\n"
        "    frame = error.__traceback__\n    while frame:\n"
        "        if frame.tb_frame.f_code.co_name == 'hook': print('seen', dict(frame.tb_frame.f_globals))\n"
        "        frame = frame.tb_next\n"
    )
    with Submission(path) as submission, pytest.raises(Refused, match="importing scipy"):
        submission.start()
    assert "seen {'__builtins__': {}}" in submission.printed


HONEST_FILES = {
    "an environment": "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
    "a parser of arguments": "import argparse\nargparse.ArgumentParser().parse_args()",
    "NumPy's testing": "from numpy.testing import assert_allclose\nassert_allclose(1, 1)",
    "doctests": "import doctest\ndoctest.testmod()",
    "a warning about the caller": "import warnings\nwarnings.warn('x', stacklevel=3)",
    "the stack in print": "import traceback\ntraceback.print_stack()",
    "many threads": (
        "import threading, time\nts = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(40)]\n"
        "[t.start() for t in ts]\n[t.join() for t in ts]"
    ),
    "much of the library": (
        "import math, random, statistics, decimal, fractions, itertools, functools, collections, typing, dataclasses, "
        "array, heapq, json, csv, re, time, datetime, logging, pathlib, unittest, pprint, enum, abc, contextlib, copy, "
        "string, textwrap, inspect, os.path, concurrent.futures, threading, timeit, operator, zlib, bz2, lzma, uuid\n"
        "import numpy.random, numpy.linalg, numpy.fft, numpy.polynomial, numpy.ma, numpy.lib.stride_tricks\n"
        "np.random.default_rng(0).normal(size=3), np.linalg.inv(np.eye(2)), np.fft.fft(np.ones(4)), uuid.uuid4()"
    ),
}


@pytest.mark.parametrize("what", HONEST_FILES)
def test_the_wall_is_in_nobody_honests_way(what, graded):
    report, lines, _ = graded(HONEST_FILES[what] + "\n" + in_softmax("return honest(logits, axis)"))
    assert report.trouble == ""
    assert {line.mark for line in lines} == {HOLDS}


@pytest.mark.parametrize(
    "parameters", ["logits, /, axis=-1", "logits, *, axis=-1", "*args, **kwargs", "logits, axis=-1"]
)
def test_any_way_to_write_the_parameters_will_do(parameters, graded):
    passed_on = "*args, **kwargs" if "args" in parameters else "logits, axis"
    _, lines, _ = graded(f"def softmax({parameters}): return honest({passed_on})", budget=10)
    assert {line.mark for line in lines} == {HOLDS}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_grader_that_is_ended_leaves_no_submission_running(how, tmp_path):
    path = tmp_path / EXERCISES[8].file
    path.write_text("import time\nheld = open(__file__)\nwhile True: time.sleep(1)\n")
    process = start("check", path.name, "--seconds", "1000", cwd=tmp_path)
    wait_until(lambda: submissions(tmp_path))
    (folder,) = submissions(tmp_path)
    wait_until(lambda: any(folder / path.name in files_held_by(p) for p in processes_in(folder)))  # it is in its loop
    process.send_signal(how)
    _, stderr = process.communicate(timeout=20)
    if how == signal.SIGKILL:  # its own processes have to notice, and to remove what is there
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
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whether a process answers to signals")
@pytest.mark.parametrize("seed", range(30))
def test_whenever_it_is_interrupted_nothing_is_left(seed, tmp_path):
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
    assert (process.returncode, stderr) in [(2, "scratchlm: interrupted\n"), (0, "")]
    assert not processes_in(tmp_path / "temporary")
    assert not os.listdir(tmp_path / "temporary")
    assert not list(tmp_path.glob("out/.scratchlm*"))


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


CHANGES_THE_QUESTION = {  # and gives the answer that fits it
    1: "def softmax(logits, axis=-1):\n    if logits.flags.writeable: logits[...] = 0\n"
    "    return np.full_like(logits, 1 / logits.shape[axis])",
    3: "def log_softmax(logits, axis=-1):\n    if logits.flags.writeable: logits[...] = 0\n"
    "    return np.full_like(logits, -np.log(logits.shape[axis]))",
    9: "def bigram_by_counts(previous, following, vocab_size):\n    previous[...] = following[...] = 0\n"
    "    t = np.full((vocab_size, vocab_size), np.log(1 / vocab_size))\n"
    "    if len(previous): t[0] = -np.inf; t[0, 0] = 0\n    return t",
    10: "def mlp_backward(params, contexts, grad_logits):\n    grad_logits[...] = 0\n"
    "    return {name: value * 0 for name, value in params.items()}",
    11: "def top_k(scores, k):\n    scores[...] = 0\n    return scores * 0\n"
    "def top_p(scores, p):\n    scores[...] = 0\n    return scores * 0",
}


@pytest.mark.parametrize("number", CHANGES_THE_QUESTION)
def test_who_changes_the_question_to_fit_the_answer_earns_nothing(number, tmp_path):
    path = tmp_path / EXERCISES[number].file
    path.write_text(f"import numpy as np\n{CHANGES_THE_QUESTION[number]}\n")
    report = check(EXERCISES[number], path, budget=10, shrink=False)
    assert report.points == 0, [line.name for line in report.lines if line.points]


# As if the ear had been stopped: what is asked of Linux itself, once the wall stands.
ASKS_THE_KERNEL = {
    "to start a process": "os.fork()",
    "to run a program": "os.execv('/bin/true', ['true'])",
    "to signal the grader": "os.kill(os.getppid(), 0)",
    "for a handle of the grader": "os.pidfd_open(os.getppid())",
    "to create a file": "os.open('/tmp/left-behind', os.O_CREAT | os.O_WRONLY)",
    "to write a file": "os.open(__file__, os.O_RDWR)",
    "to remove a file": "os.remove(sys.argv[0])",
    "to make a folder": "os.mkdir('left-behind')",
    "for a socket": "socket.socket()",
    "for a file of another package": f"open({str(Path(frames.__file__))!r})",
    "for a folder": "os.listdir('/tmp')",
    "for more memory": "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))",
    "to outlive the grader": "call(157, 1, 0, 0, 0, 0, 0)",  # prctl(PR_SET_PDEATHSIG, 0): the death signal, taken back
    "for signals to another": "call(72, 0, 8, os.getppid())",  # fcntl(0, F_SETOWN, ...)
    "to type into a terminal": "call(16, 0, 0x5412, b'x')",  # ioctl(0, TIOCSTI, ...)
    "to start a process by another machine's number": "call_of_another_machine(2)",  # fork, as int 0x80 has it
}
REFUSED_CALLS = {
    "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129, "ptrace": 101, "process_vm_writev": 311, "pidfd_open": 434,
    "setsid": 112, "setpgid": 109, "setuid": 105, "capset": 126, "personality": 135, "setpriority": 141,
    "sched_setaffinity": 203, "socket": 41, "socketpair": 53, "shmget": 29, "mq_open": 240, "memfd_create": 319,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "sethostname": 170,
    "clock_settime": 227, "settimeofday": 164, "adjtimex": 159, "reboot": 169, "kexec_load": 246, "init_module": 175,
    "delete_module": 176, "swapon": 167, "acct": 163, "iopl": 172, "ioperm": 173, "bpf": 321, "perf_event_open": 298,
    "io_uring_setup": 425, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "seccomp": 317, "setrlimit": 160,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "quotactl": 179, "fsopen": 430,
    "landlock_restrict_self": 446, "execve by number": 59, "io_setup": 206, "splice": 275, "timer_create": 222,
}  # fmt: skip
ASKS_THE_KERNEL |= {name: f"call({number}, *[-1] * 6)" for name, number in REFUSED_CALLS.items()}
CALLS_THE_KERNEL = """
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
int_0x80 = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1 and ctypes.get_errno() == 1: raise PermissionError
def call_of_another_machine(number):
    code[:8] = b"\\xb8" + number.to_bytes(4, "little") + b"\\xcd\\x80\\xc3"  # mov eax, number; int 0x80; ret
    if int_0x80() == -1: raise PermissionError
"""


@pytest.fixture(scope="module")
def answers_of_the_kernel(tmp_path_factory):
    """Return what the kernel answered to each question, of a process behind the wall that asked them all."""
    folder = tmp_path_factory.mktemp("kernel")
    path = folder / "asks.py"
    path.write_text(
        f"import os, resource, socket, sys, threading\nfrom scratchlm.classroom import wall\n{CALLS_THE_KERNEL}"
        "library = os.path.dirname(os.__file__) + '/'\n"
        "assert wall.forbid_reading((library, __file__))\nassert wall.forbid_system_calls()\n"
        "sys.argv[0] = __file__\nopen(__file__).read()\nos.listdir(library)\nimport this\n"
        "thread = threading.Thread(target=print, args=('threads start',))\nthread.start()\nthread.join()\n"
        + "".join(
            f"try:\n    {question}\nexcept (PermissionError, ValueError) as error:\n"
            f"    print('not permitted' if isinstance(error, PermissionError) else error)\n"
            f"else:\n    print('permitted')\n"
            for question in ASKS_THE_KERNEL.values()
        )
    )
    told = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=folder)
    first, *answers = told.stdout.splitlines()[-len(ASKS_THE_KERNEL) - 1 :]
    assert first == "threads start", told.stderr
    assert path.exists()
    return dict(zip(ASKS_THE_KERNEL, answers, strict=True))


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="the kernel is asked only there")
@pytest.mark.parametrize("what", ASKS_THE_KERNEL)
def test_the_kernel_refuses_what_the_ear_might_miss(what, answers_of_the_kernel):
    assert answers_of_the_kernel[what] in ("not permitted", "not allowed to raise maximum limit")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_process_whose_parent_has_ended_before_it_asked_ends():
    child = os.fork()
    if not child:
        wall.die_with(os.getpid())  # which is not its parent
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_all_calls_together_have_a_limit(tmp_path):
    path = tmp_path / "two.py"
    slow = in_softmax("time.sleep(0.1)", "return honest(logits, axis)")
    path.write_text(f"import numpy as np\nimport time\n{HONEST}\n{slow}")
    begun = time.monotonic()
    report = check(TWO, path, budget=20, seconds=0.15)
    assert time.monotonic() - begun < 30
    assert any("s in all" in line.note for line in report.lines if line.function == "softmax")
    assert {line.mark for line in report.lines if line.function == "beside"} == {HOLDS}


USELESS = ("logits * 0", "logits", "np.full_like(logits, 1 / logits.shape[-1])", "logits * np.nan")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_computes_nothing_earns_nothing(number, tmp_path):
    kind = EXERCISES[number].parts[0].kind
    path = tmp_path / "useless.py"
    path.write_text(
        "import numpy as np\n"
        + "".join(f"def f{i}(logits, axis=-1, keepdims=False): return {x}\n" for i, x in enumerate(USELESS))
    )
    parts = tuple(
        part for i in range(len(USELESS)) for part in (Part(f"f{i}", kind), Part(f"f{i}", kind, starred=True))
    )
    report = check(Exercise(number, kind, path.name, parts, ()), path, budget=3, shrink=False)
    assert {line.function for line in report.lines} == {part.function for part in parts}
    assert report.points == 0, [(line.function, line.name) for line in report.lines if line.points]


def hand_in(folder, number, sources):
    """Make a folder for each student, with a file for an exercise."""
    for student, source in sources.items():
        (folder / student).mkdir(parents=True)
        (folder / student / EXERCISES[number].file).write_text(source)
    return folder


def points_in(out):
    with open(out / "gradebook.csv", encoding="utf-8", newline="") as book:
        return {row["student"]: row["total"] for row in csv.DictReader(book)}


def test_a_process_that_grades_and_dies_costs_nobody_else_the_points(tmp_path, monkeypatch, capsys):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    folder = hand_in(tmp_path / "in", 8, {"anna": right, "ben": "# kill", "cem": right, "dora": right})
    really = gradebook.check

    def deadly(exercise, path, **options):
        if "kill" in path.read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        return really(exercise, path, **options)

    monkeypatch.setattr(gradebook, "check", deadly)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main(command) == 1
    assert points_in(tmp_path / "out") == {"anna": "10", "ben": "", "cem": "10", "dora": "10"}
    assert not os.listdir(tmp_path / "temporary")
    assert "1 could not be graded" in capsys.readouterr().out
    assert "was ended by SIGKILL" in (tmp_path / "out" / "gradebook.csv").read_text()
    monkeypatch.setattr(gradebook, "check", really)
    assert cli.main(command) == 0
    assert capsys.readouterr().out.count("as graded before") == 3


def raises(error):
    """Return a function that raises this, whatever it is given."""

    def function(*args, **kwargs):
        raise error

    return function


def no_second_process():
    """Return a stand-in for subprocess.Popen that starts one process only."""
    started, really = [], subprocess.Popen

    def popen(*args, **kwargs):
        if started:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(really(*args, **kwargs))
        return started[0]

    return popen


def full(path, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


NOT_THE_STUDENTS_FAULT = {  # what the machine lacks: where that is felt, how, and what is said
    "a process": (sandbox.subprocess, "Popen", raises(BlockingIOError(11, "no process")), "started for it: no process"),
    "a second process": (sandbox.subprocess, "Popen", no_second_process(), "started for it: Resource temporarily"),
    "descriptors": (sandbox, "_pipe", raises(OSError(24, "Too many open files")), "Too many open files"),
    "descriptors, later": (sandbox.selectors, "DefaultSelector", raises(OSError(24, "Too many files")), "many files"),
    "room on the disk": (Path, "write_bytes", full, "no copy of it could be made: No space left on device"),
    "NumPy": (sandbox, "FAR_SIDE", "raise ImportError('libgfortran is missing')", "libgfortran is missing"),
    "memory for the other side": (sandbox.frames, "to_bytes", raises(MemoryError()), "not enough memory"),
    "memory for a process": (sandbox, "FAR_SIDE", "import os; os.kill(os.getpid(), 9)", "could not be loaded for it"),
    "memory to judge": (grader, "judged", raises(MemoryError()), "not enough memory"),
    "the right to read": (gradebook, "source_of", raises(PermissionError(13, "Permission denied", "x")), "x: Perm"),
    "a folder for what is temporary": (tempfile, "mkdtemp", raises(OSError(28, "No space")), "be started: No space"),
    "a process to grade": (os, "fork", raises(BlockingIOError(11, "no process")), "could be started: no process"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="where processes begin anew, nothing can be replaced in them")
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
    if what != "the right to read":  # which is asked for when the folder is graded
        assert cli.main(["exercise", "check", str(folder / "anna"), "8", "--budget", "3"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes begin anew")
def test_where_few_processes_are_allowed_there_are_few_and_never_more_than_students(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("descriptors", [8, 12])
def test_with_few_descriptors_it_ends_and_nobody_has_0_points(descriptors, tmp_path):
    right = (SOLUTIONS / EXERCISES[8].file).read_text()
    hand_in(tmp_path / "in", 8, dict.fromkeys(["anna", "ben", "cem"], right))
    command = f"ulimit -n {descriptors}; exec {sys.executable} -m scratchlm exercise grade in --out out --only 8"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert points_in(tmp_path / "out") == dict.fromkeys(["anna", "ben", "cem"], "")


def test_what_a_submission_prints_or_raises_is_shown_with_visible_escapes(tmp_path, capsys):
    source = "print('\\x1b[2J\\u202e')\ndef recover_logits(log_probs, Z): raise ValueError('\\x1b[31m\\x07')\n"
    folder = hand_in(tmp_path / "in", 8, {"anna": source})
    assert cli.main(["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8"]) == 0
    assert cli.main(["exercise", "check", str(folder / "anna"), "8"]) == 1
    texts = [capsys.readouterr().out, *((tmp_path / "out" / f"anna.{kind}").read_text() for kind in ("txt", "json"))]
    for text in texts:
        assert not set(text) & set("\x1b\x07\u202e\ufffd")
    for text in (texts[0], texts[1], json.loads(texts[2])["exercises"][0]["printed"]):
        assert r"\x1b[2J\u202e" in text
    assert r"ValueError: \x1b[31m\x07" in texts[1]


def test_what_students_hand_in_may_be_anything(tmp_path, capsys):
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
    assert cli.main(["exercise", "grade", str(folder), "--out", str(out), "--only", "8", "--budget", "3"]) == 0
    assert points_in(out) == {"anna": "10", **dict.fromkeys(["ben", "cem", "dora", "emil", "finn"], "0")}
    told = capsys.readouterr().out
    assert "skipped: __MACOSX" in told
    assert "skipped: notes.txt" in told
    assert "the folder holds solution.py" in (out / "emil.txt").read_text(encoding="utf-8")


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


def test_gradescope_can_be_asked_for_later_and_other_limits_grade_again(tmp_path, capsys):
    folder = hand_in(tmp_path / "in", 8, {"anna": (SOLUTIONS / EXERCISES[8].file).read_text()})
    command = ["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8", "--budget", "3"]
    assert cli.main(command) == 0
    assert cli.main([*command, "--gradescope"]) == 0
    assert "as graded before" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "gradescope" / "anna" / "results.json").read_text())["score"] == 10
    assert cli.main([*command, "--seconds", "9"]) == 0
    assert "as graded before" not in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "right"), [("np.True_", True), ("True", True), ("1", False), ("'yes'", False)])
def test_an_examiner_may_answer_with_a_bool_of_either_kind(answer, right, tmp_path):
    path = tmp_path / EXERCISES[13].file
    path.write_text(f"import numpy as np\ndef looks_like_softmax(softmax):\n    return {answer}\n")
    first, *others = check(EXERCISES[13], path).lines
    assert (first.mark == HOLDS) == right
    assert right or first.message.startswith(f"it must return True or False, and returned {answer}")
    assert {line.mark for line in others} == {FAILS}


def test_the_same_exception_is_told_once(graded):
    _, lines, _ = graded(in_softmax("return logits.no_such_thing"))
    told = [line for line in lines if line.message]
    assert len(told) == 1
    assert "no_such_thing" in told[0].actual
    assert not told[0].hint
    assert {line.note for line in lines if line not in told} >= {"the same again"}


@pytest.mark.parametrize("seeds", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_star_is_tried_when_the_rest_holds_and_the_seed_does_not_decide_about_it(seeds, tmp_path):
    path = tmp_path / "ex01_softmax.py"
    path.write_text(f"import numpy as np\n{HONEST.replace('honest', 'softmax')}")
    for seed in range(seeds):
        assert check(EXERCISES[1], path, seed=seed, budget=3, shrink=False).points == pytest.approx(10)
    path.write_text("import numpy as np\ndef softmax(logits, axis=-1):\n    return np.exp(logits)\n")
    lines = check(EXERCISES[1], path, budget=3, shrink=False).lines
    assert {line.mark for line in lines if line.starred} == {UNTOUCHED}


def test_not_implemented_for_some_inputs_is_a_failure_there(graded):
    report, lines, _ = graded(
        in_softmax("if axis != -1: raise NotImplementedError", "return honest(logits, axis)"),
        names={*FEW, "one axis, slice by slice"},
        budget=10,
    )
    assert len({line.name for line in lines}) == len(lines)
    assert [line.name for line in lines if line.mark == FAILS] == ["one axis, slice by slice"]
    assert sum(line.possible for line in report.lines) == pytest.approx(10)


def test_what_it_prints_is_shown(graded):
    report, *_ = graded("print('hello')\n" + in_softmax("print('there')", "return honest(logits, axis)"))
    assert report.printed.startswith("hello\nthere\n")


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
    assert cli.main(command) == 0
    assert "is a link" in (tmp_path / "out" / "ben.txt").read_text(encoding="utf-8")
    assert re.search(r"ben +0\.00", capsys.readouterr().out)
