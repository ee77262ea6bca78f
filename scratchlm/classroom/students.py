"""The students of a class, and their names in the gradebook, on the terminal and in the file names of reports.

In: the collected folders, archives and files, with any names. Out: the students, each with a label that any terminal
shows, any file system accepts as a file name, and nobody confuses with another student's.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.found import ARCHIVE, NOTEBOOK, PLATFORMS, PYTHON, Place, members, plain_name
from scratchlm.terminal import escaped

NO_STUDENTS = ("__MACOSX", "__pycache__")
RULES = ("class.toml", "roster.csv")  # the teacher's
OURS = ("gradebook", "gradescope")  # the names of our own files beside the reports
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # not files on Windows, whatever follows the dot
ODD = '\\/:*?"<>|.~'
LONGEST = 255 - len(".json")  # bytes of a name, in most file systems
MARK = 12  # hexadecimal digits


class Student(NamedTuple):
    """A student: the name, the label, and the places of the submission."""

    name: str
    label: str
    places: tuple[Place, ...]

    @property
    def remarks(self) -> list[str]:
        """Return the original name, if the label differs from it."""
        return [] if self.label == self.name else [f"handed in as {self.name!a}"]


class Entry(NamedTuple):
    """A folder or a file of the collection."""

    name: str
    is_folder: bool
    place: Place


def students_in(collected: Path, out: Path, own: Path | None = None) -> tuple[list[Student], list[str]]:
    """Return the students, sorted by name, and everything else that is there, in a folder or in one archive of all.

    A folder or an archive belongs to one student. Loose files belong to the student in the platform's file name, or to
    the student they are named after. Links, hidden folders, leftovers of archives, `out`, and `own` (the teacher's
    exercises) belong to no student.

    Errors: OSError if the folder cannot be read; ValueError if there is no student, or if `out` is the folder itself or
    a student's.
    """
    is_students = _is_same(collected, out.parent) and any((out / known.file).exists() for known in EXERCISES.values())
    if _is_same(collected, out) or is_students:
        raise ValueError(f"{out} is the folder of the submissions; --out must be another folder")
    entries, others = _entries_of_archive(collected) if collected.is_file() else _entries_of_folder(collected, out, own)
    archives = [entry for entry in entries if _is_archive(entry.name)]
    if len(entries) == len(archives) == 1 and collected.is_dir():  # one archive: of all, or of the only student
        inside, more = _entries_of_archive(archives[0].place.path)
        if len(_by_student(inside)[0]) > 1:
            entries, others = inside, others + more
    by_student, loose = _by_student(entries)
    if not by_student and any(_is_handed_out(entry.name) for entry in loose):  # all are one student's
        by_student, loose = {(collected.name, ""): [Place(collected)]}, []
    elif not by_student:
        by_student, loose = {(Path(entry.name).stem, ""): [entry.place] for entry in loose}, []
    if not by_student:
        example = collected / "anna" / EXERCISES[1].file
        raise ValueError(f"{collected} contains no submissions; {example} would be a file of Anna's")
    return _labelled(by_student), sorted(others + [entry.name for entry in loose])


def _entries_of_folder(folder: Path, *teachers: Path | None) -> tuple[list[Entry], list[str]]:
    """Return the entries of a folder that may be students', and the names of all others."""
    found, others = list[Entry](), list[str]()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = entry.is_dir(follow_symlinks=False)
            is_file = entry.is_file(follow_symlinks=False) and _may_be_handed_in(entry.name)
            hidden = entry.name.startswith(".") or entry.name in NO_STUDENTS
            is_teachers = entry.name in RULES or any(other and _is_same(Path(entry), other) for other in teachers)
            if (is_folder or is_file) and not hidden and not is_teachers:
                found.append(Entry(entry.name, is_folder, Place(Path(entry))))
            elif not is_teachers:
                others.append(entry.name)
    return found, others


def _entries_of_archive(path: Path, within: str = "") -> tuple[list[Entry], list[str]]:
    """Return the entries of an archive that may be students', and the others; a folder around everything is opened.

    Errors: ValueError if it is no zip archive.
    """
    try:
        names = [name for name, *_ in members(path) if name.startswith(within)]
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    found, others = dict[str, Entry](), list[str]()
    for name in names:
        top, slash, _ = name.removeprefix(within).partition("/")
        if top.startswith(".") or top in NO_STUDENTS or not (slash or _may_be_handed_in(top)):
            others.append(name)
        else:
            found[top] = Entry(top, bool(slash), Place(path, f"{within}{top}{slash}"))
    if len(found) == 1 and (folder := next(iter(found.values()))).is_folder:
        inside, more = _entries_of_archive(path, folder.place.within)
        if len(_by_student(inside)[0]) > 1:
            return inside, others + more
    return list(found.values()), others


def _by_student(entries: list[Entry]) -> tuple[dict[tuple[str, str], list[Place]], list[Entry]]:
    """Return places by student and platform number, and the files that belong to nobody yet."""
    by_student, loose = dict[tuple[str, str], list[Place]](), list[Entry]()
    for entry in entries:
        match = next((match for platform in PLATFORMS if (match := platform.fullmatch(entry.name))), None)
        if match:
            by_student.setdefault((match["who"], match["id"]), []).append(entry.place)
        elif entry.is_folder or _is_archive(entry.name):
            name = entry.name if entry.is_folder else Path(entry.name).stem
            by_student.setdefault((name, ""), []).append(entry.place)
        else:
            loose.append(entry)
    return by_student, loose


def _may_be_handed_in(name: str) -> bool:
    return name.lower().endswith((*PYTHON, *NOTEBOOK, *ARCHIVE)) or any(p.fullmatch(name) for p in PLATFORMS)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE)


def _is_handed_out(name: str) -> bool:
    """Return whether a file has the name of an exercise or of one of its functions."""
    stem = plain_name(name).partition(".")[0].lower()
    stems = {exercise.file.removesuffix(".py") for exercise in EXERCISES.values()} | {"exercises"}
    return stem in stems | {part.function for exercise in EXERCISES.values() for part in exercise.parts}


def _labelled(by_student: dict[tuple[str, str], list[Place]]) -> list[Student]:
    """Return the students, sorted by name; the platform's numbers distinguish two students of the same name."""
    called = Counter(name for name, _ in by_student)
    places = {f"{who}_{number}" if called[who] > 1 and number else who: p for (who, number), p in by_student.items()}
    label = labels(list(places))
    return [Student(name, label[name], tuple(places[name])) for name in sorted(places)]


def _is_same(folder: Path, out: Path) -> bool:
    try:
        return folder.samefile(out)
    except OSError:  # there is no `out` yet
        return False


def labels(names: list[str]) -> dict[str, str]:
    """Return a label for each name: the name itself, if it is plain and unique; otherwise with a mark of its bytes.

    >>> labels(["anna", "Ben", "BEN"])
    {'anna': 'anna', 'Ben': 'Ben~030d756286e5', 'BEN': 'BEN~dc1813c6b54a'}
    """
    looks = {name: _look(name) for name in names}
    seen = Counter(looks.values())
    return {name: name if seen[look] == 1 and _is_plain(name, look) else _marked(name) for name, look in looks.items()}


def _look(name: str) -> str:
    """Return a form that a name shares with its lookalikes: é as one or two characters, wide letters, spaces, case."""
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
    """Return the part of a name that any file system accepts, with a mark that no plain name has."""
    plain = "".join(c if c.isprintable() and c not in ODD else "_" for c in unicodedata.normalize("NFC", name))
    cut = plain.encode()[: LONGEST - len("~") - MARK].decode(errors="ignore")
    return f"{cut}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:MARK]}"
