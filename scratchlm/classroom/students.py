"""Who handed something in, and what they are called in the gradebook, on the terminal, and in the names of reports.

In: a folder with a folder for each student, whose name may be anything. Out: the students, each with a label that any
terminal shows, any file system takes for the name of a file, and nobody can mistake for another's.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from scratchlm.classroom.exercises import EXERCISES
from scratchlm.terminal import escaped

NO_STUDENTS = ("__MACOSX", "__pycache__")
OURS = ("gradebook", "gradescope")  # what stands beside the reports
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # to Windows no files, whatever follows the dot
ODD = '\\/:*?"<>|.~'
LONGEST = 255 - len(".json")  # bytes of a name, in most file systems
MARK = 12  # hexadecimal digits


class Student(NamedTuple):
    """A student: the folder that was handed in, and the label."""

    folder: Path
    label: str

    @property
    def remarks(self) -> list[str]:
        """Return which folder is meant, where the label is not its name."""
        return [] if self.label == self.folder.name else [f"handed in as {self.folder.name!a}"]


def students_in(folder: Path, out: Path) -> tuple[list[Student], list[Path]]:
    """Return the students, sorted by the names of their folders, and what else is there.

    A link, a hidden folder, a folder that archives leave behind, and `out` are no student's.
    Errors: OSError if the folder cannot be read; ValueError if there is no student, or `out` is the folder itself, or a
    student's.
    """
    is_students = _is_same(folder, out.parent) and any((out / known.file).exists() for known in EXERCISES.values())
    if _is_same(folder, out) or is_students:
        raise ValueError(f"{out} is what was handed in; --out must be another folder")
    found: list[Path] = []
    others: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            hidden = entry.name.startswith(".") or entry.name in NO_STUDENTS
            is_student = entry.is_dir(follow_symlinks=False) and not hidden and not _is_same(Path(entry), out)
            (found if is_student else others).append(Path(entry))
    if not found:
        raise ValueError(
            f"{folder} holds no folder of a student; {folder}/anna/{EXERCISES[1].file} would be one's file"
        )
    label = labels([path.name for path in found])
    return [Student(path, label[path.name]) for path in found], others


def _is_same(folder: Path, out: Path) -> bool:
    try:
        return folder.samefile(out)
    except OSError:  # there is no `out` yet
        return False


def labels(names: list[str]) -> dict[str, str]:
    """Return a label for each name: the name, if it is plain and looks like no other; else with a mark of its bytes.

    >>> labels(["anna", "Ben", "BEN"])
    {'anna': 'anna', 'Ben': 'Ben~030d756286e5', 'BEN': 'BEN~dc1813c6b54a'}
    """
    looks = {name: _look(name) for name in names}
    seen = Counter(looks.values())
    return {name: name if seen[look] == 1 and _is_plain(name, look) else _marked(name) for name, look in looks.items()}


def _look(name: str) -> str:
    """Return what a name and its doubles have in common: é in one character or two, wide letters, spaces, capitals."""
    shown = "".join(c for c in unicodedata.normalize("NFKC", name) if c.isprintable())
    return unicodedata.normalize("NFKC", " ".join(shown.split()).casefold())


def _is_plain(name: str, look: str) -> bool:
    return (
        name == escaped(name).strip(" .")
        and "~" not in name
        and len(os.fsencode(name)) <= LONGEST
        and look not in OURS
        and not DEVICES.match(look)
    )


def _marked(name: str) -> str:
    """Return what of a name any file system takes, and a mark, which no plain name has."""
    plain = "".join(c if c.isprintable() and c not in ODD else "_" for c in unicodedata.normalize("NFC", name))
    cut = plain.encode()[: LONGEST - len("~") - MARK].decode(errors="ignore")
    return f"{cut}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:MARK]}"
