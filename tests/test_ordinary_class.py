"""An ordinary class on a Monday: every way to hand in that is usual, and every answer right; then one fault each."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from scratchlm import cli

SOFTMAX = """import numpy as np


def softmax(logits, axis=-1):
    shifted = logits - logits.max(axis=axis, keepdims=True)
    e = np.exp(shifted)
    return e / e.sum(axis=axis, keepdims=True)
"""
LSE = """import numpy as np


def logsumexp(logits, axis=-1, keepdims=False):
    top = logits.max(axis=axis, keepdims=True)
    total = top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=True))
    return total if keepdims else total.squeeze(axis)
"""
STUB = (Path(cli.__file__).parent / "classroom" / "stubs" / "ex01_softmax.py").read_text(encoding="utf-8")


def notebook(*cells, version=4):
    """Return a notebook whose code cells have these sources."""
    code = [
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": c.splitlines(True)}
        for c in cells
    ]
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Homework: def softmax"}, *code]
    if version == 3:
        old = [{**cell, "input": cell["source"], "language": "python"} for cell in cells]
        return json.dumps({"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": old}]})
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def archive(**files):
    """Return a zip archive of texts."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return data.getvalue()


def forms(softmax, lse):
    """Return, for each student, what they hand in: names of files, and what is in them; a folder's name comes first."""
    both = f"{softmax}\n\n{lse}"
    plots = "import matplotlib.pyplot as plt\nfrom mpl_toolkits.mplot3d import Axes3D\n"
    drawn = "fig, (a, b) = plt.subplots(1, 2)\na.plot([1, 2])\nwith plt.style.context('dark'):\n    plt.show()\n"
    shown = "import pandas as pd, seaborn as sns\nfrom IPython.display import display\nfrom tqdm import tqdm\n"
    shown += (
        "display(pd.DataFrame({'p': [1]}).head())\nsns.set_theme()\nassert [i for i in tqdm(range(3))] == [0, 1, 2]\n"
    )
    tested = (
        "\nimport pytest\n@pytest.mark.parametrize('n', [1])\ndef test_it(n):\n    assert softmax([1.0]).sum() == 1\n"
    )
    magic = (
        "%matplotlib inline\n!pip install numpy\nimport numpy as np\nif True:\n    !ls\nfiles = !ls\n%time x = 1\nnp?\n"
    )
    imports = "from ex01_softmax import softmax\nfrom helpers.tools import largest\n\n"
    helped = lse.replace("logits.max(axis=axis, keepdims=True)", "largest(logits, axis)")
    return {
        "as handed out": {"01/ex01_softmax.py": softmax, "01/ex02_logsumexp.py": lse},
        "a subfolder": {"02/week 1/src/ex01_softmax.py": softmax, "02/week 2/ex02_logsumexp.py": lse},
        "a notebook": {"03/Homework 1.ipynb": notebook(softmax, lse)},
        "magics, a broken cell": {"04/hw.ipynb": notebook(magic, softmax, "def broken(:\n", lse, "%%bash\nls | wc")},
        "an old notebook": {"05/Untitled.ipynb": notebook(softmax, lse, version=3)},
        "a zip": {"06/homework.zip": archive(**{"ex01_softmax.py": softmax, "ex02_logsumexp.py": lse})},
        "a folder in a zip of a Mac": {
            "07/hw.zip": archive(**{"hw/a.py": softmax, "hw/.DS_Store": "", "__MACOSX/hw/._a.py": "\0", "hw/b.py": lse})
        },
        "one file": {"08/homework.py": both},
        "files named as the functions": {"09/softmax.py": softmax, "09/logsumexp.py": lse},
        "plots": {"10/hw.py": plots + both + "\n\n" + drawn},
        "tables": {"11/hw.py": both + "\n\n" + shown},
        "Windows": {"12/hw.py": ("\ufeff" + both).replace("\n", "\r\n").encode()},
        "old Windows": {"13/hw.py": ("# für die Übung\n" + both).encode("cp1252")},
        "Notepad": {"14/hw.py": both.encode("utf-16")},
        "tabs and spaces": {"15/hw.py": both.replace("\n    ", "\n\t", 3)},
        "it fails at its last line": {"16/hw.py": both + "\n\ndata = open('data.csv').read()\n"},
        "it fails at its first line": {"17/hw.py": "data = open('data.csv').read()\n" + both},
        "files that import one another": {
            "18/ex01_softmax.py": softmax,
            "18/ex02_logsumexp.py": imports + helped,
            "18/helpers/tools.py": "def largest(z, axis):\n    return z.max(axis=axis, keepdims=True)\n",
        },
        "Canvas": {"doejane_123_4567_ex01 softmax.py": softmax, "doejane_123_4568_ex02_logsumexp-1.py": lse},
        "Canvas, late": {"roejohn_LATE_124_4569_Homework.ipynb": notebook(softmax, lse)},
        "Moodle": {"Zoë_7_assignsubmission_file_/ex01_softmax.py": softmax, "Zoë_7_assignsubmission_file_/b.py": lse},
        "Moodle, loose": {"Li Wei_8_assignsubmission_file_hw.zip": archive(**{"hw.py": both})},
        "downloaded twice": {"23/ex01_softmax (1).py": softmax, "23/ex02_logsumexp - Copy.py": lse},
        "the stub is there, too": {"24/ex01_softmax.py": STUB, "24/mine.ipynb": notebook(softmax, lse)},
        "a text file": {"25/ex01_softmax.py.txt": softmax, "25/EX02_LOGSUMEXP.PY": lse},
        "it asks and waits": {"26/hw.py": both + "\nname = input('name? ')\nimport time\nwhile True: time.sleep(1)\n"},
        "its own tests": {"27/hw.py": both + tested + "\nif __name__ == '__main__':\n    pytest.main()\n"},
        "a loose zip": {"zoe.zip": archive(**{"inner.zip": archive(**{"hw.py": both})})},
        "the check is left in": {
            "29/exercises.ipynb": notebook("from scratchlm.classroom import check", softmax, "check(softmax)", lse)
        },
        "from a web page": {"30/hw.py": both.replace("    ", "\u00a0   ", 4) + "\nimport sys\nsys.exit(main)\n"},
    }  # fmt: skip


def hand_in(folder, files):
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def rows_of(out):
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        return list(csv.DictReader(book))


@pytest.mark.long
def test_an_ordinary_class_gets_the_marks_it_deserves(tmp_path, capsys):
    handed_in = tmp_path / "in"
    for files in forms(SOFTMAX, LSE).values():
        hand_in(handed_in, files)
    command = [
        "exercise",
        "grade",
        str(handed_in),
        "--out",
        str(tmp_path / "out"),
        "--only",
        "1",
        "2",
        "--budget",
        "4",
    ]
    status = cli.main([*command, "--seconds", "2"])
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 30
    assert {row["student"]: (row["total"], row["troubles"]) for row in rows if row["total"] != "20"} == {}
    assert status == 1
    told = {row["student"]: row["troubles"] for row in rows if row["troubles"]}
    assert told == {"04": "hw.ipynb, cell 3, line 1 could not be read: SyntaxError: invalid syntax"}


GIVEN = "import numpy as np\n\n\ndef softmax(logits, axis=-1):\n    "
FAULTS = {  # what is usually wrong, and what says so
    GIVEN.replace("softmax", "soft_max") + "return np.exp(logits)": "may be meant as softmax: rename it",
    GIVEN + "e = np.exp(logits)\n    return e / np.sum(e)": "dividing by the sum of the whole array",
    GIVEN + "e = np.exp(logits)\n    return e / e.sum(axis=axis, keepdims=True)": "exp of the scores as they are",
    GIVEN + "e = np.exp(logits - np.max(logits))\n    return e / e.sum(axis=axis, keepdims=True)": "of the whole array",
    GIVEN + "e = np.exp(logits - logits.max(axis, keepdims=True))\n    e / e.sum(axis)": "is a `return` missing?",
    GIVEN + "e = np.exp(logits - logits.max(axis))\n    return e / e.sum(axis)": "keepdims",
    GIVEN + "return = logits": "line 5 could not be read: SyntaxError",
    GIVEN + "return scipy.special.softmax(logits, axis)": "NameError: name 'scipy' is not defined",
    "from scipy.special import softmax": "importing scipy.special is refused",
    GIVEN + "e = math.exp(logits)\n    return e / sum(e)": "NameError: name 'math' is not defined",
    GIVEN + "e = np.exp(logits - logits.max(0))\n    return e / e.sum(0)": "axis",
    GIVEN + "e = np.exp(logits - logits.max(axis, keepdims=True))\n    return e / (e.sum(axis, keepdims=True) + 1e-9)":
        "1e-9",
    "class Softmax:\n    def forward(self, logits):\n        return logits": "may be meant as softmax: rename it",
    GIVEN + "logits -= logits.max(axis, keepdims=True)\n    e = np.exp(logits)\n    return e / e.sum(axis)[..., None]":
        "input untouched",
    GIVEN + "raise NotImplementedError": "not attempted yet",
}  # fmt: skip


def student_of(files):
    """Return what the student is called who hands in these files."""
    return re.sub(r"_(LATE_)?\d.*|\.zip$", "", next(iter(files)).partition("/")[0])


@pytest.mark.long
def test_the_same_class_with_one_fault_each_hears_each_fault(tmp_path):
    told = {}
    for form, (fault, said) in zip(forms(SOFTMAX, LSE), list(FAULTS.items()) * 2, strict=True):
        files = forms(fault, LSE)[form]
        hand_in(tmp_path / "in", files)
        told[student_of(files)] = said
    out = tmp_path / "out"
    command = ["exercise", "grade", str(tmp_path / "in"), "--out", str(out), "--only", "1", "--budget", "10"]
    cli.main([*command, "--seconds", "2"])
    rows = rows_of(out)
    reports = {row["student"]: (out / f"{row['student']}.txt").read_text(encoding="utf-8") for row in rows}
    unsaid = {name: report for name, report in reports.items() if told[name] not in " ".join(report.split())}
    assert (len(reports), unsaid) == (30, {})
    assert [row["student"] for row in rows if float(row["total"]) >= 10] == []
