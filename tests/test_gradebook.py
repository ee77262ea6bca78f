"""The gradebook and the commands: names and folders of any kind, files whole or not at all, and nothing that commands.

Most students here hand in nothing: what happens to their names does not depend on their files. It is one file because
all tests share that class.
"""

import csv
import ctypes
import functools
import io
import json
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from scratchlm import cli, files
from scratchlm.classroom import apart, commands, exercises, frames, sandbox
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.found import found_at
from scratchlm.classroom.sheets import cell
from scratchlm.classroom.students import labels
from scratchlm.terminal import in_words

SOLUTIONS = Path(__file__).parent / "solutions"
FILE = EXERCISES[8].file
QUICK = ["--only", "8", "--budget", "3"]


def handed_in_by(folder, *names, source=None):
    """Make a folder for each student, with a file for exercise 8 if there is a source; return the folder of all."""
    for name in names:
        (folder / name).mkdir(parents=True)
        if source is not None:
            (folder / name / FILE).write_text(source)
    return folder


def grade(folder, out, *options):
    return cli.main(["exercise", "grade", str(folder), "--out", str(out), *QUICK, *options])


def rows_of(out):
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        return list(csv.DictReader(book))


# --- who is a student ------------------------------------------------------------------------------------------------


def test_links_in_a_circle_and_other_things_cost_no_student_anything(tmp_path, capsys, monkeypatch):
    folder = handed_in_by(tmp_path / "in", "anna", ".hidden", source=(SOLUTIONS / FILE).read_text())
    for link, to in {"x": "x", "a": "b", "b": "a", "nowhere": "gone", "another": "anna"}.items():
        (folder / link).symlink_to(to)
    (folder / "file").write_text("")
    monkeypatch.chdir(folder)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert grade(folder, tmp_path / "out") == 0
    told = capsys.readouterr().out
    skipped = {".hidden", "a", "another", "b", "file", "nowhere", "socket", "x"}
    assert set(re.findall("^skipped: (.*) belongs to no student$", told, re.MULTILINE)) == skipped
    assert [(row["student"], row["total"]) for row in rows_of(tmp_path / "out")] == [("anna", "10")]


@pytest.fixture
def without_privileges():
    """Return what makes a new process obey permissions, also if it is root's."""
    prctl, drop_from_bounding_set, overrides = ctypes.CDLL(None).prctl, 24, (1, 2)
    return lambda: [prctl(drop_from_bounding_set, capability, 0, 0, 0) for capability in overrides]


@pytest.mark.skipif(sys.platform != "linux", reason="root obeys permissions only where it can drop its capabilities")
def test_an_unreadable_student_has_an_empty_cell_and_another_try(tmp_path, without_privileges):
    folder = handed_in_by(tmp_path / "in", "anna", "ben", "cem", "emil")
    handed_in_by(folder, "dora", source=(SOLUTIONS / FILE).read_text())
    (folder / "cem" / FILE).write_text("x = 1")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scratchlm", "exercise", "grade", str(folder), "--out", str(out), *QUICK]
    unreadable = {"ben": folder / "ben", "cem": folder / "cem", "dora": folder / "dora" / FILE}
    for mode, path in zip((0o000, 0o444, 0o000), unreadable.values(), strict=True):
        path.chmod(mode)
    (folder / "emil").chmod(0o111)  # may be entered, and not be looked around in
    out.mkdir()
    (out / "ben.txt").write_text("ben: 3 points, by the files of before")
    try:
        first = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_privileges)
    finally:
        for path in (*unreadable.values(), folder / "emil"):
            path.chmod(0o755)
    assert (first.returncode, first.stderr) == (1, "")
    rows = {row["student"]: row for row in rows_of(out)}
    totals = {name: row["total"] for name, row in rows.items()}
    assert totals == {"anna": "0", **dict.fromkeys([*unreadable, "emil"], "")}
    assert all("Permission denied" in rows[name]["troubles"] for name in [*unreadable, "emil"])
    assert "Permission denied" in (out / "ben.txt").read_text(encoding="utf-8")
    assert grade(folder, out) == 0
    assert {row["student"]: row["total"] for row in rows_of(out)} == dict.fromkeys(totals, "0") | {"dora": "10"}


def test_reports_cannot_go_into_the_submissions(tmp_path, capsys):
    folder = handed_in_by(tmp_path / "in", "anna")
    assert grade(folder, folder / "anna" / "..") == 2
    assert "--out must be another folder" in capsys.readouterr().err
    assert grade(folder, folder / "graded") == 0
    assert grade(folder, folder / "graded") == 0
    assert [row["student"] for row in rows_of(folder / "graded")] == ["anna"]


@pytest.mark.parametrize("place", ["file", "file/out", "/proc/out", "/proc"])
def test_a_place_that_cannot_be_written_to_is_found_before_anybody_is_graded(place, tmp_path, monkeypatch, capsys):
    folder = handed_in_by(tmp_path / "in", "anna")
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert grade(folder, place) == 2
    told, complained = capsys.readouterr()
    assert (told, len(complained.splitlines())) == ("", 1)
    assert place in complained


@pytest.mark.parametrize("before", ["of last week", None])
def test_a_gradebook_that_is_a_link_is_written_where_it_leads(before, tmp_path):
    folder, out, share = handed_in_by(tmp_path / "in", "anna"), tmp_path / "out", tmp_path / "share"
    out.mkdir()
    share.mkdir()
    (out / "gradebook.csv").symlink_to(share / "all.csv")
    if before:
        (share / "all.csv").write_text(before)
    assert grade(folder, out) == 0
    assert (out / "gradebook.csv").is_symlink()
    assert os.listdir(share) == ["all.csv"]
    assert [row["student"] for row in rows_of(out)] == ["anna"]


def test_a_report_that_cannot_be_written_costs_nobody_else_anything(tmp_path, capsys):
    folder, out = handed_in_by(tmp_path / "in", "anna", "ben"), tmp_path / "out"
    (out / "anna.json").mkdir(parents=True)
    assert grade(folder, out) == 1
    assert {row["student"]: row["total"] for row in rows_of(out)} == {"anna": "", "ben": "0"}
    assert "Is a directory" in rows_of(out)[0]["troubles"]


def test_an_ungraded_student_has_no_gradescope_result(tmp_path):
    folder, out = handed_in_by(tmp_path / "in", "anna"), tmp_path / "out"
    assert grade(folder, out, "--gradescope") == 0
    (out / "anna.json").unlink()
    (out / "anna.json").mkdir()
    assert grade(folder, out, "--gradescope") == 1
    assert not list((out / "gradescope" / "anna").iterdir())


def test_a_socket_in_the_place_of_a_file_is_the_students_own_affair(tmp_path, monkeypatch):
    folder = handed_in_by(tmp_path / "in", "anna")
    monkeypatch.chdir(folder / "anna")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(FILE)
    assert grade(folder, tmp_path / "out") == 1
    (row,) = rows_of(tmp_path / "out")
    told = f"{FILE} is not a file; exercise 8 ({FILE}) not handed in: it is empty"
    assert (row["total"], row["troubles"]) == ("0", told)


# --- what students are called ----------------------------------------------------------------------------------------

DOUBLES = [  # names that look the same, to somebody or to some file system
    ["José", unicodedata.normalize("NFD", "José"), "JOSÉ"],
    ["anna", "ＡＮＮＡ", "Anna", "anna\u200d", "anna "],
    ["a b", "a\u00a0b", "a\u2009b", "a\u202fb"],
    ["Groß", "gross"],
]
ODD = ["gradescope", "Gradebook", "con", "AUX", "com1.tar", "dot.", "é" * 127, "y" * 251, "ben~dc1813c6b54a"]
ODD += ["new\nline", "an\x1b[2Jsi", "bi\u202edi", "\u202e", "cem\udcff", "\t=2"]
PLAIN = ["ben", "O'Neil, Zoë", 'q"uote', "x" * 250, "Nguyễn Ánh", "=1+1", "a;=1+1", "com,ma", "console", "-3"]
NAMES = [*(name for names in DOUBLES for name in names), *ODD, *PLAIN]


def test_every_name_has_a_label_that_no_file_system_and_no_reader_takes_for_another():
    label = labels(NAMES)
    assert len({unicodedata.normalize("NFKC", text).casefold() for text in label.values()}) == len(NAMES)
    assert [name for name in NAMES if label[name] == name] == PLAIN
    for text in label.values():
        assert len(f"{text}.json".encode()) <= 255
        assert text.isprintable()
        assert text.casefold() not in ("gradebook", "gradescope")
        assert not re.match(r"(con|aux|com\d)(\.|$)", text.casefold())
    assert labels(list(reversed(NAMES))) == label
    assert labels(["Ben"]) == {"Ben": "Ben"}


def test_every_student_keeps_a_row_and_a_report_whatever_they_are_called(tmp_path, capsys):
    folder, out = handed_in_by(tmp_path / "in", *NAMES), tmp_path / "out"
    assert grade(folder, out, "--gradescope") == 0
    told = capsys.readouterr().out
    assert re.findall(r"^ ?(\d+) of \d+  ", told, re.MULTILINE) == [str(n + 1) for n in range(len(NAMES))]
    label, rows = labels(NAMES), {row["student"]: row for row in rows_of(out)}
    assert len(rows) == len(NAMES)
    for name in NAMES:
        assert json.loads((out / f"{label[name]}.json").read_text())["student"] == name
        assert (out / f"{label[name]}.txt").read_text(encoding="utf-8").startswith(f"{label[name]}: 0 of 10 points")
        assert (out / "gradescope" / label[name] / "results.json").exists()
        which = f"handed in as {name!a}" if label[name] != name else "exercise 8"
        assert rows[cell(label[name])]["troubles"].startswith(cell(which))
    assert grade(folder, out) == 0
    assert capsys.readouterr().out.count("(as graded before)") == len(NAMES)


def test_a_student_with_another_ones_name_is_graded_anew(tmp_path, capsys):
    folder, out = handed_in_by(tmp_path / "in", "Anna"), tmp_path / "out"
    assert grade(folder, out) == 0
    (out / "Anna.json").rename(out / "anna.json")  # as where capitals do not count
    (folder / "Anna").rename(folder / "anna")
    assert grade(folder, out) == 0
    assert "as graded before" not in capsys.readouterr().out


# --- nothing commands a terminal or a spreadsheet --------------------------------------------------------------------

COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORMULAS = ["=1+1", "+1", "-1", "@sum", "＝1", "＋1", "－1", "＠1"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_no_cell_is_a_formula_whatever_separates_them(separator):
    before = ("", " ", '"', "a;", "a,", "a\t", "a|", 'a";"', "\u200d")
    names = [f"{start}{formula}" for start in before for formula in FORMULAS]
    file = io.StringIO()
    csv.writer(file).writerows([cell(name), "0", cell(f"x: {name}; {name}")] for name in names)
    found = [part for row in csv.reader(io.StringIO(file.getvalue()), delimiter=separator) for part in row]
    assert len(found) >= len(names)
    assert not [part for part in found if part.lstrip(' "\u200d').startswith(tuple("=+-@＝＋－＠"))]


def test_what_a_submission_and_its_names_say_reaches_no_terminal(tmp_path, monkeypatch, capsys):
    evil = "\x1b[2J\r\u202e\x9b31m"
    folder = handed_in_by(tmp_path / evil, "anna", source=f"print({evil!r})\nraise ValueError({evil!r})")
    (folder / "anna" / f"{evil}.py").write_text("")
    (folder / evil).write_text("")
    monkeypatch.chdir(folder)
    for arguments, status in (
        (["grade", ".", "--out", evil + "out", "--only", "1", "8", "--gradescope"], 0),
        (["check", f"anna/{evil}.py", "1"], 1),
        (["check", f"anna/{evil}.py"], 2),
        (["check", "anna"], 1),
        (["check", f"{evil}gone"], 2),
        (["start", f"{evil}mine", "1"], 0),
        (["start", f"{evil}mine", "1"], 0),
        (["start", evil], 2),
    ):
        assert cli.main(["exercise", *arguments]) == status, arguments
        told, complained = capsys.readouterr()
        assert not COMMANDS.search(told + complained)
        assert "\\x1b[2J" in told + complained or arguments == ["check", "anna"]
    for report in (folder / f"{evil}out").rglob("*.*"):
        assert not COMMANDS.search(report.read_text(encoding="utf-8").replace("\r\n", "\n")), report.name


# --- exercise start: files whole or not at all -----------------------------------------------------------------------


def start(folder, *numbers):
    return cli.main(["exercise", "start", str(folder), *numbers])


def stubs_in(folder):
    """Return what is in a folder of exercises, and check that each is whole."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert found == {e.file: e.stub for e in EXERCISES.values() if e.file in found}
    return sorted(found)


def test_a_full_disk_leaves_whole_stubs_or_none_and_the_next_start_makes_the_rest(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    sizes = {number: len(exercise.stub.encode()) for number, exercise in EXERCISES.items()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    small, *_, large = (str(number) for number in sorted(sizes, key=sizes.get))
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[int(small)], limits[1]))
    try:
        assert start(tmp_path / "mine", small, large) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told, complained = capsys.readouterr()
    assert f"{EXERCISES[int(small)].file}: yours to fill in" in told
    (line,) = complained.splitlines()
    assert f"{EXERCISES[int(large)].file}: File too large" in line
    assert stubs_in(tmp_path / "mine") == [EXERCISES[int(small)].file]
    assert start(tmp_path / "mine") == 0
    assert len(stubs_in(tmp_path / "mine")) == len(EXERCISES)


def test_start_never_overwrites_even_a_file_that_appears_meanwhile(tmp_path, monkeypatch, capsys):
    place = tmp_path / EXERCISES[1].file
    really = os.link

    def late(source, target):
        place.write_text("mine")
        really(source, target)

    monkeypatch.setattr(os, "link", late)
    assert start(tmp_path, "1") == 0
    assert "was not changed" in capsys.readouterr().out
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_start_works_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert start(tmp_path, "1", "2") == 0
    assert stubs_in(tmp_path) == [EXERCISES[1].file, EXERCISES[2].file]


def interrupt_at(step, request, files):
    """Return a trace function that sends this process a request to end when it comes to a line of these files."""
    lines = iter(range(step))

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and next(lines, None) is None:
            sys.settrace(None)
            os.kill(os.getpid(), request)
        return trace

    return trace


@pytest.mark.parametrize(
    "request_", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGTERM, signal.SIGHUP))]
)
def test_start_that_is_interrupted_at_any_line_leaves_whole_stubs_or_none(request_, tmp_path, monkeypatch, capsys):
    traced = (exercises.__file__, files.__file__)
    unheard = functools.partial(pytest.fail, "nobody waits for this request")
    before, tracing = signal.signal(request_, unheard), sys.gettrace()
    statuses, unremoved = [], 0
    try:
        while 0 not in statuses:
            folder = tmp_path / str(len(statuses))
            sys.settrace(interrupt_at(len(statuses), request_, traced))
            statuses.append(start(folder, "1", "2"))
            sys.settrace(tracing)
            assert signal.getsignal(request_) is unheard
            assert capsys.readouterr().err == ("scratchlm: interrupted\n" if statuses[-1] else "")
            unremoved += clean(folder)
            assert len(stubs_in(folder)) == 2 or statuses[-1] == 2
    finally:
        sys.settrace(tracing)
        signal.signal(request_, before)
    assert set(statuses[:-1]) == {2}
    assert len(statuses) > 40
    assert unremoved <= 4  # where the line is reached that would remove it


def clean(folder):
    """Remove what the next write would remove; return how many files."""
    left = list(folder.glob(".scratchlm.*"))
    for path in left:
        path.unlink()
    return len(left)


@pytest.mark.parametrize("place", ["file", "file/mine", "link", "/proc/mine"])
def test_a_folder_that_cannot_be_made_is_one_line(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("link").symlink_to("nowhere")
    assert start(place) == 2
    told, complained = capsys.readouterr()
    assert (told, len(complained.splitlines())) == ("", 1)
    assert place in complained


def test_an_exercise_that_does_not_exist_is_one_line(capsys):
    for number in ("0", "14", "²", "-1", "9" * 5000):
        assert cli.main(["exercise", "hint", number]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "1 to 13, not" in line or "required: N" in line


# --- output that cannot be written -----------------------------------------------------------------------------------


def full():
    return open("/dev/full", "w")


def read_only():
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")


def unread():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize("sink", [full, read_only, unread, lambda: None])
def test_output_that_cannot_be_written_is_one_line_and_costs_no_work(sink, tmp_path, monkeypatch, capsys):
    folder = handed_in_by(tmp_path / "in", "anna")
    (tmp_path / FILE).write_text("")
    monkeypatch.setattr(commands, "_wait_for_change", lambda *_: pytest.fail("it goes on, unseen"))
    for arguments in (
        ["list"],
        ["hint", "1"],
        ["start", str(tmp_path / "mine"), "1"],
        ["check", str(tmp_path / FILE), "--watch"],
        ["grade", str(folder), "--out", str(tmp_path / "out"), *QUICK],
        *([command, "--help"] for command in ("list", "start", "check", "hint", "grade")),
    ):
        stream = sink()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            assert cli.main(["exercise", *arguments]) == 2, arguments
        if stream:
            stream.close()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(("scratchlm: cannot write the output: ", "scratchlm: nothing reads the output"))
    assert stubs_in(tmp_path / "mine") == [EXERCISES[1].file]
    assert [row["student"] for row in rows_of(tmp_path / "out")] == ["anna"]
    assert (tmp_path / "out" / "anna.txt").exists()


# --- any Python, any encoding ----------------------------------------------------------------------------------------

EVERY_COMMAND = """
import contextlib, io, json, os, sys
from scratchlm import checkpoint, cli
solutions = sys.argv[1]
commands = [
    ["exercise", "list"], ["exercise", "grade", "--help"], ["exercise", "hint", "3", "--step", "4"],
    ["exercise", "start", "mine", "8"], ["exercise", "check", "mine", "--budget", "3"],
    ["exercise", "check", "ex13_examiner.py"],
    ["exercise", "grade", "in", "--out", "out", "--only", "8", "--budget", "3", "--gradescope"],
    ["train", "--text", "names.txt", "--steps", "3", "--hidden-dim", "4", "--out", "m.npz"],
    ["sample", "m.npz", "--count", "2"], ["score", "m.npz", "anna"], ["train", "--help"],
    ["examine", "scratchlm.naive:softmax", "--budget", "3"], ["exercise", "hint", "99"],
]
statuses = [cli.main(command) for command in commands]
with open("statuses", "w", encoding="utf-8") as file:
    json.dump(statuses, file)
"""
STATUSES = [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 2]
STRICT = ["-W", "error", "-X", "warn_default_encoding"]
IN_C = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.mark.parametrize(
    ("options", "environment", "encoding"),
    [
        (STRICT, IN_C, "ascii"),
        pytest.param(["-OO", *STRICT], {"PYTHONIOENCODING": "utf-16"}, "utf-16", marks=pytest.mark.long),
        pytest.param(["-O"], {"PYTHONIOENCODING": "latin-1"}, "latin-1", marks=pytest.mark.long),
        pytest.param(STRICT, {"PYTHONIOENCODING": "cp1252"}, "cp1252", marks=pytest.mark.long),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_every_command_works_with_any_options_of_python_and_any_encoding(options, environment, encoding, tmp_path):
    handed_in_by(tmp_path / "in", "José")
    (tmp_path / "names.txt").write_text("Zoë\nJosé\nanna\n", encoding="utf-8")
    (tmp_path / "ex13_examiner.py").write_text("def looks_like_softmax(softmax): return True")
    command = [sys.executable, *options, "-c", EVERY_COMMAND, str(SOLUTIONS)]
    result = subprocess.run(command, capture_output=True, cwd=tmp_path, env=os.environ | environment)
    assert result.returncode == 0, result.stderr.decode(encoding)
    assert json.loads((tmp_path / "statuses").read_text()) == STATUSES
    assert "not '99'" in result.stderr.decode(encoding).splitlines()[-1]
    assert "Wrong: exp of the raw scores" in result.stdout.decode(encoding)  # though -OO leaves docstrings out


def test_closed_streams_are_no_traceback(tmp_path):
    """With every warning an error: what is opened in their place has an encoding, too."""
    command = [sys.executable, *STRICT, "-m", "scratchlm", "exercise", "list"]
    closed = subprocess.run(["bash", "-c", '"$@" >&-', "bash", *command], capture_output=True, text=True)
    assert (closed.returncode, closed.stderr.count("\n")) == (2, 1)


# --- a large class ---------------------------------------------------------------------------------------------------


def test_no_more_workers_than_students(tmp_path, monkeypatch):
    asked = []
    really = apart._started
    monkeypatch.setattr(apart, "_started", lambda work, item: asked.append(item.label) or really(work, item))
    folder = handed_in_by(tmp_path / "in", "anna", "ben")
    assert grade(folder, tmp_path / "out", "--workers", "300") == 0
    handed_in_by(folder, "cem")
    assert grade(folder, tmp_path / "out", "--workers", "300") == 0
    assert asked == ["anna", "ben", "cem"]


# --- what people type ------------------------------------------------------------------------------------------------


def test_the_command_that_start_proposes_works_for_a_folder_that_looks_like_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exercise", "start", "--", "-mine", "8"]) == 0
    proposed = shlex.split(capsys.readouterr().out.rpartition("scratchlm ")[2])
    assert cli.main(proposed) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("numbers", [["2"], ["8", "2"]])
def test_a_file_of_another_exercise_than_the_one_that_is_asked_for_is_not_checked(numbers, tmp_path, capsys):
    (tmp_path / FILE).write_text("")
    assert cli.main(["exercise", "check", str(tmp_path / FILE), *numbers]) == 2
    assert capsys.readouterr().err == f"scratchlm: {FILE} is the file of exercise 8, not 2\n"


def test_reports_cannot_go_into_a_students_folder(tmp_path, capsys):
    folder = handed_in_by(tmp_path, "anna", "ben", source="")
    assert grade(folder, folder / "anna") == 2
    assert "anna is the folder of the submissions; --out must be another folder" in capsys.readouterr().err
    assert os.listdir(folder / "anna") == [FILE]


def test_a_file_that_cannot_be_read_when_it_is_saved_is_checked_when_it_is_saved_again(tmp_path, monkeypatch, capsys):
    file, too_large = tmp_path / FILE, "#" * 1_000_001
    file.write_text("")
    saves = iter(
        [lambda: file.write_text(too_large), lambda: file.write_text("x = 1"), lambda: os.kill(os.getpid(), 2)]
    )
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: next(saves)())
    assert cli.main(["exercise", "check", str(file), "--watch"]) == 2
    seen = capsys.readouterr()
    told = "has more than 1,000,000 bytes, and was not read; save it again to check it again"
    assert seen.out.count(told) == 1
    assert seen.out.count("there is no function recover_logits") == 2
    assert seen.err == "scratchlm: interrupted\n"


def test_where_the_current_folder_is_gone_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as gone:
        os.getcwd()
    assert in_words(gone.value) == "the current folder no longer exists"


def test_an_answer_that_came_while_the_grader_was_stopped_counts(tmp_path, monkeypatch):
    (tmp_path / FILE).write_text("def f():\n    return 1.5\n")
    wait = sandbox.Submission._next

    def be_stopped_and_wait(self, deadline):
        time.sleep(0.3)  # as by Ctrl-Z, and fg
        return wait(self, deadline)

    with sandbox.Submission(found_at(tmp_path / FILE)) as submission:
        submission.load(0)
        submission.places, submission.seconds = {"f": 0}, 0.2
        monkeypatch.setattr(sandbox.Submission, "_next", be_stopped_and_wait)
        assert submission.call("f", (), {}) == 1.5
        assert submission.spent["f"] <= 0.2


@pytest.mark.parametrize(
    "edited", [{"points": "ten"}, {"points": None}, {"exercises": [1]}, {"troubles": 5}, {"tests": 5}]
)
def test_a_report_that_was_edited_until_it_is_none_any_more_is_made_anew(edited, tmp_path):
    folder, out = handed_in_by(tmp_path / "in", "anna"), tmp_path / "out"
    assert grade(folder, out) == 0
    report = (out / "anna.json").read_text(encoding="utf-8")
    (out / "anna.json").write_text(json.dumps(json.loads(report) | edited))
    assert grade(folder, out, "--gradescope") == 0
    assert (out / "anna.json").read_text(encoding="utf-8") == report


def test_an_array_that_is_too_large_to_be_sent_is_said_to_be_so():
    huge = np.broadcast_to(0.0, (10**6, 10**6))
    sent = frames.from_bytes(frames.to_bytes({"value": huge})[12:])
    assert str(sent["value"]) == "an array of shape (1000000, 1000000), far too large"
    sent = frames.from_bytes(frames.to_bytes({"value": [np.zeros(10**6)] * 9})[12:])
    assert [isinstance(part, np.ndarray) for part in sent["value"]] == [True] * 2 + [False] * 7


def test_a_student_whose_files_vanish_has_an_empty_cell_and_another_try(tmp_path, monkeypatch):
    folder, out = handed_in_by(tmp_path / "in", "anna", "ben"), tmp_path / "out"

    def found_and_gone(*folders, really=commands.students_in):
        students = really(*folders)
        (folder / "ben").rmdir()
        return students

    with monkeypatch.context() as while_graded:
        while_graded.setattr(commands, "students_in", found_and_gone)
        assert grade(folder, out) == 1
    assert [row["total"] for row in rows_of(out)] == ["0", ""]
    (folder / "ben").mkdir()
    assert grade(folder, out) == 0
    assert [row["total"] for row in rows_of(out)] == ["0", "0"]
