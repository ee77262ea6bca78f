"""What users mistype, and what they give by mistake: one line that says what is wrong, status 2, nothing touched."""

import io
import os
import subprocess
import sys
import unicodedata

import pytest

from scratchlm import cli

COMMAND = [sys.executable, "-m", "scratchlm"]
SMALL = ["--steps", "3", "--hidden-dim", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with everything that one might take for a text, or for a model."""
    folder = tmp_path_factory.mktemp("folder")
    files = {
        "good.txt": b"anna\nben\n",
        "empty.txt": b"",
        "blank.txt": b" \n\t\n\r\n\xc2\xa0\n",
        "bom.txt": b"\xef\xbb\xbf",
        "latin1.txt": "Zoë\n".encode("latin-1"),
        "utf16.txt": "anna\n".encode("utf-16"),
        "utf16le.txt": "anna\n".encode("utf-16-le"),
        "nul.txt": b"anna\nb\x00en\n",
        "cut.txt": "anna\nZoë".encode()[:-1],
        "surrogate.txt": b"anna\n\xed\xa0\x80\n",
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "one.txt": b"anna\n",
        "model.npz": b"PK\x03\x04 and no more",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    (folder / "link.txt").symlink_to("nowhere")
    (folder / "circle.txt").symlink_to("circle.txt")
    os.mkfifo(folder / "fifo")
    assert cli.main(["train", "--out", str(folder / "good.npz"), *SMALL]) == 0
    return folder


def state_of(folder):
    """Return what is in a folder: names, contents, and when each was last written to."""
    return {
        path.name: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.iterdir()
        if path.name != "locked.txt"
    }


NUMBERS = {  # options, and what is no value of theirs
    "train --steps": ["-1", "1.5", "nan", "1e400", "ten", "", "1e3", "9" * 5000],
    "train --batch-size": ["0", "-0", "-5", "nan"],
    "train --seed": ["-1", "0.5", "inf", str(2**64)],
    "train --held-out": ["1", "-0.1", "nan", "1e400", "half"],
    "train --context-length": ["0", "10000000000"],
    "train --embedding-dim": ["0", "2.0"],
    "train --hidden-dim": ["0", "None"],
    "train --learning-rate": ["0", "-0", "-1", "nan", "inf", "1e400", "fast"],
    "train --weight-decay": ["-1", "nan", "inf"],
    "train --checkpoint-every": ["0", "-1", "nan", "1.0"],
    "sample good.npz --count": ["0", "-1", "1.5", "nan"],
    "sample good.npz --seed": ["-1", "x"],
    "sample good.npz --temperature": ["0", "-0", "-1", "nan", "1e400", "hot"],
    "sample good.npz --top-k": ["0", "-1", "nan", "1.5"],
    "sample good.npz --top-p": ["0", "1.01", "-0", "nan", "1e400"],
    "sample good.npz --min-p": ["0", "2", "nan"],
    "sample good.npz --repetition-penalty": ["0", "-1", "nan", "inf"],
    "sample good.npz --max-length": ["0", "-1", "1e2"],
    "examine math:exp --budget": ["0", "-1", "nan"],
    "examine math:exp --seed": ["-1", "1.0"],
}
OTHERS = [
    (["trane"], "invalid choice: 'trane'"),
    ([""], "invalid choice: ''"),
    (["--tran"], "required: COMMAND"),
    (["train", "anna"], "unrecognized arguments: anna"),
    (["train", "--steps"], "expected one argument"),
    (["train", "--h", "3"], "ambiguous option: --h"),
    (["train", "--speps", "3"], "unrecognized arguments: --speps"),
    (["train", "--model", "gpt"], "invalid choice: 'gpt'"),
    (["train", "--model", ""], "invalid choice: ''"),
    (["train", "--tokens", "byte"], "invalid choice: 'byte'"),
    (["train", "--head", "relu"], "invalid choice: 'relu'"),
    (["train", "--loss", "mse"], "invalid choice: 'mse'"),
    (["train", "--optimizer", "adam"], "invalid choice: 'adam'"),
    (["train", "--text", "missing.txt"], "missing.txt: No such file"),
    (["train", "--text", "missing/good.txt"], "No such file"),
    (["train", "--text", "good.txt/good.txt"], "Not a directory"),
    (["train", "--text", "folder"], "folder: Is a directory"),
    (["train", "--text", ""], "does not name a file"),
    (["train", "--text", "a\0b"], "null"),
    (["train", "--text", "x" * 5000], "File name too long"),
    (["train", "--text", "link.txt"], "link.txt: No such file"),
    (["train", "--text", "circle.txt"], "circle.txt: Too many levels of symbolic links"),
    (["train", "--text", "fifo"], "fifo contains no text"),
    (["train", "--text", "/dev/zero"], "/dev/zero is a device"),
    (["train", "--text", "/dev/null"], "/dev/null is a device"),
    (["train", "--text", "empty.txt"], "empty.txt contains no text"),
    (["train", "--text", "blank.txt"], "blank.txt contains no text"),
    (["train", "--text", "bom.txt"], "bom.txt contains no text"),
    (["train", "--text", "latin1.txt"], "latin1.txt is not UTF-8 text"),
    (["train", "--text", "utf16.txt"], "utf16.txt is not UTF-8 text"),
    (["train", "--text", "utf16le.txt"], "line 1 contains a NUL character"),
    (["train", "--text", "nul.txt"], "line 2 contains a NUL character"),
    (["train", "--text", "cut.txt"], "cut.txt is not UTF-8 text"),
    (["train", "--text", "surrogate.txt"], "surrogate.txt is not UTF-8 text"),
    (["train", "--text", "picture.png"], "picture.png is not UTF-8 text"),
    (["train", "--text", "good.npz"], "good.npz is not"),
    (["train", "--text", "one.txt", "--held-out", "0.9"], "leaves none of 1 texts to train on"),
    (["train", "--out", "folder"], "folder is a folder"),
    (["train", "--out", ""], "does not name a file"),
    (["train", "--out", "a\0b"], "null"),
    (["train", "--out", "x" * 300], "File name too long"),
    (["train", "--out", "missing/m.npz"], "there is no folder missing"),
    (["train", "--out", "good.txt/m.npz"], "good.txt"),
    (["train", "--out", "fifo"], "fifo is not an ordinary file"),
    (["train", "--out", "/dev/null"], "/dev/null is not an ordinary file"),
    (["train", "--out", "/proc/m.npz"], "/proc/m.npz: "),
    (["train", "--out", "good.txt", "--text", "good.txt"], "--out would replace the text"),
    (["train", "--resume", "missing.npz"], "missing.npz: No such file"),
    (["train", "--resume", "folder"], "not an ordinary file"),
    (["train", "--resume", "fifo"], "not an ordinary file"),
    (["train", "--resume", "model.npz"], "it is not a .npz file"),
    (["train", "--resume", "good.txt"], "it is not a .npz file"),
    (["train", "--resume", "good.npz", "--seed", "1"], "--resume takes --seed from the file"),
    (["train", "--resume", "good.npz", "--text", "good.txt"], "trained on other text; pass it with --text FILE"),
    (["train", "--resume", "good.npz", "--out", "folder"], "folder is a folder"),
    (["sample"], "the following arguments are required: MODEL.npz"),
    (["sample", ""], "does not name a file"),
    (["sample", "missing.npz"], "missing.npz: No such file"),
    (["sample", "folder"], "not an ordinary file"),
    (["sample", "good.txt"], "it is not a .npz file"),
    (["sample", "empty.txt"], "it is not a .npz file"),
    (["sample", "a\0b"], "null"),
    (["sample", "good.npz", "good.npz"], "unrecognized arguments"),
    (["score"], "the following arguments are required: MODEL.npz"),
    (["score", "missing.npz", "anna"], "missing.npz: No such file"),
    (["score", "model.npz", "anna"], "it is not a .npz file"),
    (["score", "good.npz", "Anna"], "'A' (U+0041) at position 0"),
    (["score", "good.npz", "an na"], "' ' (U+0020) at position 2"),
    (["score", "good.npz", "an\0na"], "(U+0000) at position 2"),
    (["score", "good.npz", "zo\udceb"], "(U+DCEB) at position 2"),
    (["score", "good.npz", "\N{GRINNING FACE}"], "(U+1F600) at position 0"),
    (["score", "good.npz", unicodedata.normalize("NFD", "zoë")], "(U+00EB) at position 2"),
    (["examine"], "the following arguments are required: MODULE:FUNCTION"),
    (["examine", "math"], "write MODULE:FUNCTION"),
    (["examine", ":exp"], "write MODULE:FUNCTION"),
    (["examine", "mine.py:softmax"], "mine.py is a file; write its module, as in mine:softmax"),
    (["examine", "math:exp"], "the name 'exp' does not say what it computes; add --as"),
    (["examine", "math:pi", "--as", "softmax"], "math:pi is a float"),
    (["examine", "math:softmax"], "cannot import math:softmax"),
    (["examine", "no.such.module:softmax"], "cannot import"),
    (["examine", "math:exp", "--tier", "speed"], "invalid choice: 'speed'"),
    (["exercise"], "COMMAND"),
    (["exercise", "begin"], "invalid choice: 'begin'"),
    (["exercise", "start"], "required"),
    (["exercise", "start", "good.txt"], "good.txt"),
    (["exercise", "start", "new", "99"], "99"),
    (["exercise", "check", "missing.py"], "missing.py"),
    (["exercise", "check", "good.txt"], "good.txt"),
    (["exercise", "hint", "0"], "0"),
    (["exercise", "hint", "one"], "one"),
    (["exercise", "grade", "missing", "--out", "grades"], "missing"),
]
ROWS = [([*option.split(), value], "is not a") for option, values in NUMBERS.items() for value in values] + OTHERS


def test_the_table_is_long():
    assert len(ROWS) >= 150


@pytest.mark.parametrize(
    ("arguments", "words"), ROWS, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else ""
)
def test_a_mistake_is_one_line_status_2_and_touches_nothing(arguments, words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = state_of(folder)
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("scratchlm: ")
    assert words in line
    assert len(line) < 1000
    assert state_of(folder) == before


def test_a_text_that_may_not_be_read_and_a_folder_that_may_not_be_entered(folder, monkeypatch, capsys):
    locked = folder / "locked.txt"
    locked.write_text("anna\n")
    locked.chmod(0)
    (folder / "folder").chmod(0)
    monkeypatch.chdir(folder)
    root = os.geteuid() == 0
    if root:  # who may read anything
        for path in (folder, *folder.parents[:2]):
            path.chmod(0o755)
        os.seteuid(65534)
    try:
        for arguments in (["train", "--text", "locked.txt"], ["train", "--text", "folder/x"], ["sample", "locked.txt"]):
            assert cli.main(arguments) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line == f"scratchlm: {arguments[-1]}: Permission denied"
    finally:
        if root:
            os.seteuid(0)
        locked.unlink()
        (folder / "folder").chmod(0o755)


# --- odd, but no mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfanna\nben\n", b"anna\r\nben\r\n", b"anna\n\n  ben", b"anna\rben"])
def test_what_editors_add_to_a_text_changes_nothing(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    heard = []
    for written in (b"anna\nben\n", content):
        (tmp_path / "t.txt").write_bytes(written)
        assert cli.main(["train", "--text", "t.txt", "--held-out", "0", *SMALL]) == 0
        heard.append(capsys.readouterr().out)
    assert heard[0] == heard[1]


def test_a_text_may_come_through_a_pipe(tmp_path):
    command = [*COMMAND, "train", "--text", "/dev/stdin", "--held-out", "0", *SMALL]
    result = subprocess.run(command, input="anna\nben\n", capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "learns from 9 targets" in result.stdout


ODD_PLACES = {
    "no HOME": {"env": {"PATH": os.defpath}},
    "a HOME that is not there": {"env": {"PATH": os.defpath, "HOME": "/nowhere"}},
    "a locale of ASCII": {"env": {"PATH": os.defpath, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}},
    "a locale that is not there": {"env": {"PATH": os.defpath, "LC_ALL": "xx_YY.UTF-8"}},
    "ASCII for output": {"env": {"PATH": os.defpath, "PYTHONIOENCODING": "ascii"}},
    "a terminal that can do nothing": {"env": {"PATH": os.defpath, "TERM": "dumb", "COLUMNS": "1"}},
    "no standard input": {"stdin": subprocess.DEVNULL},
    "a session without a terminal": {"start_new_session": True},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a text that is not ASCII, and a model of it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "t.txt").write_text("zoë\nanaïs\nλ\n" * 5, encoding="utf-8")
    assert cli.main(["train", "--text", str(folder / "t.txt"), "--out", str(folder / "m.npz"), *SMALL]) == 0
    return folder


SIMILAR = {"no HOME", "a locale that is not there", "a session without a terminal", "no standard input"}
IN_ODD_PLACES = [
    pytest.param(place, arguments, marks=[pytest.mark.long] if place in SIMILAR else [])
    for place in ODD_PLACES
    for arguments in (["sample", "m.npz"], ["train", "--text", "t.txt", "--out", "n.npz", *SMALL])
    if arguments[0] == "sample" or "ASCII" in place or place in SIMILAR
]


@pytest.mark.parametrize(("place", "arguments"), IN_ODD_PLACES)
def test_an_odd_place_to_work_in_stops_nobody(place, arguments, trained):
    result = subprocess.run([*COMMAND, *arguments], cwd=trained, capture_output=True, timeout=60, **ODD_PLACES[place])
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("given", [b"\xff\xfe\x00", b"an\x00na\n", b"", b"\n \n"])
def test_standard_input_without_text_is_one_line(given, folder):
    command = [*COMMAND, "score", "good.npz"]
    result = subprocess.run(command, input=given, capture_output=True, cwd=folder, timeout=60)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(b"scratchlm: ")


@pytest.mark.parametrize("given", [b"anna\rben\r", b"anna\r\nben\r\n"])
def test_lines_to_score_end_as_those_of_a_file_do(given, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), newline="\n"))  # as Python opens it
    assert cli.main(["score", "good.npz"]) == 0
    assert "(all 2 texts)" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--out", "--text", "--resume"])
@pytest.mark.parametrize("given", ["", "new/"])
def test_a_name_that_ends_before_that_of_a_file_is_shown_as_given(option, given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", option, given, *SMALL]) == 2
    assert capsys.readouterr().err == (
        f"scratchlm: argument {option}: {given!r} does not name a file; see scratchlm train --help\n"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder that somebody is in cannot be removed")
def test_a_folder_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(["train", "--out", "m.npz", *SMALL]) == 2
    assert capsys.readouterr().err == "scratchlm: the current folder no longer exists\n"
