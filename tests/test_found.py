"""What is handed in is found, whatever holds it; and a notebook or an archive made to do harm does none."""

import ast
import json
import os
import stat
import tracemalloc
import zipfile

import pytest
from calls import run
from test_ordinary_class import SOFTMAX, archive, hand_in, notebook, rows_of

from scratchlm.classroom import found
from scratchlm.classroom.found import Place, found_in
from scratchlm.classroom.loading import salvaged
from scratchlm.classroom.students import students_in

MB = 1_000_000


def link_in_zip(path):
    """Write an archive with a link to a file of the system, and a right answer beside it."""
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("ex02_logsumexp.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc/passwd")
        made.writestr("ex01_softmax.py", SOFTMAX)


def bomb(path):
    """Write 50 kB that unpack to 50 MB, and a right answer beside it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb.py", b"#" * (50 * MB))
        made.writestr("ex01_softmax.py", SOFTMAX)


def lying_bomb(path):
    """The same, but the archive says of the file that it has 10 bytes."""
    bomb(path)
    data = path.read_bytes()
    path.write_bytes(data.replace((50 * MB).to_bytes(4, "little"), (10).to_bytes(4, "little")))


def locked(path):
    """Write an archive one file of which says that it is locked."""
    data = bytearray(archive(**{"a.py": SOFTMAX, "ex01_softmax.py": SOFTMAX}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    path.write_bytes(data)


def nested(depth):
    """Return an archive in an archive in ..., with a right answer in each."""
    data = archive(**{"ex01_softmax.py": SOFTMAX})
    for _ in range(depth):
        data = archive(**{"inner.zip": data, "ex01_softmax.py": SOFTMAX})
    return data


def big_notebook(path, size):
    """Write a notebook with a right answer and pictures of so many bytes."""
    with open(path, "w") as file:
        picture = {"output_type": "display_data", "data": {"image/png": "A" * size}, "metadata": {}}
        cells = [{"cell_type": "code", "source": SOFTMAX, "outputs": [picture]}]
        json.dump({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}, file)


def deep_notebook(path):
    path.write_text('{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}")


def huge_file(path):
    path.touch()
    os.truncate(path, 200 * MB)


def many(path):
    with zipfile.ZipFile(path, "w") as made:
        for number in range(found.MOST_FILES + 20):
            made.writestr(f"z{number}.py", "x = 1")
        made.writestr("ex01_softmax.py", SOFTMAX)


HOSTILE = {  # what is handed in beside a right answer or around one, and what is said of it
    "a zip bomb": ("hw.zip", bomb, "hw.zip/bomb.py has more than 1,000,000 bytes, and was not read"),
    "a zip bomb that lies": ("hw.zip", lying_bomb, "hw.zip/bomb.py cannot be unpacked"),
    "a path that leads out": (
        "hw.zip",
        lambda path: path.write_bytes(archive(**{"../../out.py": "x = 1", "ex01_softmax.py": SOFTMAX})),
        "hw.zip/../../out.py leads out of the archive, and was not read",
    ),
    "a path from the root": (
        "hw.zip",
        lambda path: path.write_bytes(archive(**{"/tmp/out.py": "x = 1", "ex01_softmax.py": SOFTMAX})),
        "leads out of the archive",
    ),
    "a path of Windows": (
        "hw.zip",
        lambda path: path.write_bytes(archive(**{"C:\\out.py": "x = 1", "ex01_softmax.py": SOFTMAX})),
        "leads out of the archive",
    ),
    "a link in a zip": ("hw.zip", link_in_zip, "hw.zip/ex02_logsumexp.py is a link, and was not followed"),
    "a link": ("mine.py", lambda path: path.symlink_to("/etc/passwd"), "mine.py is a link, and was not followed"),
    "a link to a folder": ("all", lambda path: path.symlink_to("/etc"), "all is a link, and was not followed"),
    "a pipe": ("pipe.py", os.mkfifo, "pipe.py is not a file"),
    "a password": ("hw.zip", locked, "hw.zip/a.py is locked with a password, and was not read"),
    "no zip": ("hw.zip", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99)), "hw.zip is not a whole zip archive"),
    "half a zip": ("hw.zip", lambda path: path.write_bytes(nested(0)[:-40]), "hw.zip is not a whole zip archive"),
    "a rar": ("hw.rar", lambda path: path.write_bytes(b"Rar!"), "hw.rar is an archive that cannot be opened here"),
    "zips in zips": ("hw.zip", lambda path: path.write_bytes(nested(9)), "is an archive inside three others"),
    "too many files": ("hw.zip", many, f"more than {found.MOST_FILES} files were handed in"),
    "a notebook of 25 MB": ("hw.ipynb", lambda path: big_notebook(path, 25 * MB), "hw.ipynb has more than 20,000,000"),
    "a notebook of brackets": ("hw.ipynb", deep_notebook, "hw.ipynb "),
    "no notebook": ("hw.ipynb", lambda path: path.write_text("hello"), "hw.ipynb "),
    "a file of 200 MB": ("big.py", huge_file, "big.py has more than 1,000,000 bytes, and was not read"),
}


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are Unix's")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_harmful_file_does_no_harm_and_its_neighbours_are_found(what, tmp_path):
    name, make, said = HOSTILE[what]
    folder = tmp_path / "anna"
    hand_in(folder, {"softmax.py": SOFTMAX})
    make(folder / name)
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    there = found_in([Place(folder)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(said in text for text in there.unread), there.unread
    assert any(source.text == SOFTMAX for source in there.sources)
    assert not any("root:" in source.text for source in there.sources)
    assert sorted(tmp_path.rglob("*")) == before
    assert peak < 4 * found.LARGEST_NOTEBOOK


@pytest.mark.long
def test_a_class_with_odd_submissions_is_graded_and_each_is_reported(tmp_path):
    some = list(HOSTILE.values())[::4]  # all of them are read above
    for number, (name, make, _) in enumerate(some, start=10):
        hand_in(tmp_path / "in" / str(number), {"softmax.py": SOFTMAX})
        make(tmp_path / "in" / str(number) / name)
    hand_in(tmp_path / "in" / "99", {"softmax.py": SOFTMAX})
    big_notebook(tmp_path / "in" / "99" / "hw.ipynb", 100 * MB)
    done = run("exercise", "grade", "in", "--out", "out", "--only", "1", "--budget", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    rows = rows_of(tmp_path / "out")
    assert [row["total"] for row in rows] == ["10"] * (len(some) + 1)
    for row, (_, _, said) in zip(rows, some, strict=False):
        assert said in row["troubles"]
    assert "hw.ipynb has more than 20,000,000 bytes" in rows[-1]["troubles"]


# --- several definitions of one ---------------------------------------------------------------------------------------

WRONG = SOFTMAX.replace("e / e.sum", "2 * e / e.sum")


@pytest.mark.parametrize(
    ("files", "taken", "why"),
    [
        ({"ex01_softmax.py": SOFTMAX, "zzz.py": WRONG}, "ex01_softmax.py", "of its name"),
        ({"a/softmax.py": SOFTMAX, "b/notes.ipynb": notebook(WRONG)}, "a/softmax.py", "of its name"),
        ({"new.py": SOFTMAX, "draft.py": WRONG}, "new.py", "it was changed last"),
        ({"hw.zip": archive(**{"ex01_softmax.py": SOFTMAX}), "my.py": WRONG}, "hw.zip/ex01_softmax.py", "of its name"),
    ],
)
def test_of_several_definitions_one_is_taken_and_the_report_says_which(files, taken, why, tmp_path):
    hand_in(tmp_path / "in" / "anna", files)
    for number, name in enumerate(reversed(files)):  # the first was changed last
        os.utime(tmp_path / "in" / "anna" / name, (1_600_000_000 + number, 1_600_000_000 + number))
    done = run("exercise", "grade", "in", "--out", "out", "--only", "1", "--budget", "2", cwd=tmp_path)
    (row,) = rows_of(tmp_path / "out")
    assert (done.returncode, row["total"]) == (0, "10")
    report = (tmp_path / "out" / "anna.txt").read_text(encoding="utf-8")
    assert f"{taken} was used, because {why}" in " ".join(report.split())


BROKEN = """
@np.vectorize
def logsumexp(z, axis=-1:
    return (np.log(np.exp(z).sum(axis))

x = = 3
plot(softmax)
"""


@pytest.mark.parametrize("text", [BROKEN + SOFTMAX, SOFTMAX + BROKEN, SOFTMAX.replace("\n    ", "\n\t", 1) + BROKEN])
def test_a_syntax_error_costs_only_its_function_and_is_reported_once(text, tmp_path):
    hand_in(tmp_path / "in" / "anna", {"hw.py": "import numpy as np\n" + text})
    done = run("exercise", "grade", "in", "--out", "out", "--only", "1", "2", "--budget", "2", cwd=tmp_path)
    (row,) = rows_of(tmp_path / "out")
    assert (done.returncode, row["exercise 1 (of 10)"], row["exercise 2 (of 10)"]) == (1, "10", "0")
    assert row["troubles"].count("could not be read: SyntaxError") == 1
    assert "logsumexp is not there after it runs: hw.py, line" in row["troubles"]


def test_what_is_saved_of_a_broken_file_keeps_its_decorators_and_its_lines():
    first, second = salvaged("import a\n\n@a.b\n@a.c\ndef f():\n    pass\n\nx = = 3\n", "hw.py")
    assert (second.name, [ast.unparse(decorator) for decorator in second.decorator_list]) == ("f", ["a.b", "a.c"])
    assert (first.lineno, second.lineno) == (1, 5)


def test_an_unchanged_stub_is_recognised(tmp_path):
    run("exercise", "start", tmp_path / "in" / "anna", "1", "4")
    done = run("exercise", "grade", "in", "--out", "out", "--only", "1", "4", cwd=tmp_path)
    (row,) = rows_of(tmp_path / "out")
    assert (done.returncode, row["total"], row["troubles"]) == (0, "0", "exercises 1, 4 not attempted: as handed out")


# --- who handed in ----------------------------------------------------------------------------------------------------


def collected(tmp_path, files):
    hand_in(tmp_path / "in", files)
    students, _ = students_in(tmp_path / "in", tmp_path / "out")
    return {
        student.name: sorted(source.plain_name for source in found_in(student.places).sources) for student in students
    }


@pytest.mark.parametrize(
    "files",
    [
        {"anna/a.py": SOFTMAX, "ben/b.py": SOFTMAX},
        {"anna.zip": archive(**{"x/a.py": SOFTMAX}), "ben.zip": archive(**{"b.py": SOFTMAX})},
        {"anna_1_2_a.py": SOFTMAX, "ben_LATE_3_4_b.py": SOFTMAX},
        {"anna_1_assignsubmission_file_/a.py": SOFTMAX, "ben_2_assignsubmission_file_b.py": SOFTMAX},
        {"all.zip": archive(**{"anna/a.py": SOFTMAX, "ben/b.py": SOFTMAX})},
        {"all.zip": archive(**{"week 1/anna/a.py": SOFTMAX, "week 1/ben/b.py": SOFTMAX, "__MACOSX/._x": ""})},
        {"submissions.zip": archive(**{"anna_1_2_a.py": SOFTMAX, "ben_3_4_b.py": SOFTMAX})},
        {"all.zip": archive(**{"anna.zip": archive(**{"a.py": SOFTMAX}), "ben/b.py": SOFTMAX})},
    ],
)
def test_whatever_a_platform_makes_of_a_class_its_students_are_known(files, tmp_path):
    assert collected(tmp_path, files) == {"anna": ["a.py"], "ben": ["b.py"]}


def test_a_flat_folder_as_gradescope_has_it_is_one_student_s(tmp_path):
    files = {"ex01_softmax.py": SOFTMAX, "helper.py": "x = 1", "notes.ipynb": notebook("x = 1")}
    assert collected(tmp_path, files) == {"in": ["ex01_softmax.py", "helper.py", "notes.ipynb"]}
