"""The students of a class, and their names in the gradebook, on the terminal and in the file names of reports.

In: what was collected: folders, archives and files, whose names may be anything. Out: the students, each with a label
that any terminal shows, any file system takes for the name of a file, and nobody can mistake for another's.
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
OURS = ("gradebook", "gradescope")  # what stands beside the reports
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # to Windows no files, whatever follows the dot
ODD = '\\/:*?"<>|.~'
LONGEST = 255 - len(".json")  # bytes of a name, in most file systems
MARK = 12  # hexadecimal digits


class Student(NamedTuple):
    """A student: the name, the label, and where lies what was handed in."""

    name: str
    label: str
    places: tuple[Place, ...]

    @property
    def remarks(self) -> list[str]:
        """Return which name is meant, where the label is not the name."""
        return [] if self.label == self.name else [f"handed in as {self.name!a}"]


class Entry(NamedTuple):
    """A folder or a file in what was collected."""

    name: str
    is_folder: bool
    place: Place


def students_in(collected: Path, out: Path, own: Path | None = None) -> tuple[list[Student], list[str]]:
    """Return the students, sorted by name, and what else is there: in a folder, or in one archive of all.

    A folder is a student's, and so is an archive; loose files are, as platforms name them, or else after whom they are
    called. A link, a hidden folder, what archives leave behind, and `out` are no student's, nor is `own`, the teacher's
    exercises.

    Errors: OSError if the folder cannot be read; ValueError if there is no student, or `out` is the folder itself, or a
    student's.
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
    """Return what may be students' in a folder, and what is not."""
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
    """Return what may be students' in an archive, and what is not; a folder around all of it is opened.

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
    """Return places by who handed them in, and the number that a platform gave; and files that are nobody's yet."""
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
    """Return the students, sorted by name; two of one name are told apart by the platform's numbers."""
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
