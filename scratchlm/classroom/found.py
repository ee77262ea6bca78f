"""A student's submission: every file that may contain an answer, as Python, whatever its name and folder.

In: a folder, a file, or an archive. Out: its sources, and what there is to say of what could not be read. Nothing is
run here, nothing is unpacked to the disk, and no more is read than a student's work can have.
"""

import codecs
import contextlib
import io
import json
import os
import re
import stat
import time
import tokenize
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from scratchlm.terminal import in_one_line, in_words

LARGEST = 1_000_000  # bytes of a file of Python, or of the code in a notebook
LARGEST_NOTEBOOK = 20_000_000  # bytes: most of them are pictures
LARGEST_ARCHIVE = 50_000_000  # bytes
MOST_BYTES = 100_000_000  # of all that one student handed in, unpacked
MOST_FILES = 300  # sources of one student
MOST_MEMBERS = 5_000  # files in an archive
DEEPEST = 3  # archives in archives
PYTHON, NOTEBOOK, ARCHIVE = (".py", ".pyw", ".py.txt"), (".ipynb", ".ipynb.txt", ".ipynb.json"), (".zip",)
OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
NOT_THEIRS = frozenset({"__MACOSX", "__pycache__", "site-packages", "node_modules", "venv", "env"})
# How learning platforms name files: the student, then the platform's numbers, then the student's own file name.
CANVAS = re.compile(r"(?P<who>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)")
PLATFORMS = (MOODLE, CANVAS)


class Place(NamedTuple):
    """The place of a submission: a folder, a file, or the files of an archive whose names begin with `within`."""

    path: Path
    within: str = ""


class Source(NamedTuple):
    """A file that may contain answers: its name below the student's folder, its cells, and its time of change.

    A cell has a label and a text. A Python file is one cell; a notebook has many. A file that others only import is not
    `searched`.
    """

    name: str
    cells: tuple[tuple[str, str], ...]
    changed: float = 0.0
    searched: bool = True

    @property
    def text(self) -> str:
        """Return the text of all cells."""
        return "\n".join(text for _, text in self.cells)

    @property
    def plain_name(self) -> str:
        """Return the original name of the file, without the additions of platforms."""
        return plain_name(PurePosixPath(self.name).name)

    def defines(self, function: str) -> bool:
        """Return whether the text seems to define a function, at any depth."""
        return bool(re.search(rf"^[ \t]*(?:def\s+{function}\s*[(\[]|{function}\s*=[^=])", self.text, re.MULTILINE))

    def mentions(self, function: str) -> bool:
        """Return whether the text contains the name of a function at all."""
        return bool(re.search(rf"\b{function}\b", self.text))


@dataclass
class Found:
    """Everything found of one student.

    `unread` says what could not be read, partly or at all, and why; `others` are files that are not code.
    """

    sources: list[Source] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Return the names of the files that are searched for answers."""
        return [source.name for source in self.sources if source.searched]


def found_in(places: Iterable[Place]) -> Found:
    """Return the files at a student's places. Errors: OSError if a place cannot be read at all."""
    search = _Search()
    for place in places:
        search.take(place)
    return search.found


def found_at(path: Path) -> Found:
    """Return the files of a folder, or one file; then its neighbours may be imported, but are not searched.

    Errors: OSError if it cannot be read; ValueError if it is a file that is not code.
    """
    found = found_in([Place(path)])
    if path.is_dir():
        return found
    if not found.sources:
        raise ValueError(found.unread[0] if found.unread else f"{path} is not a file of Python, a notebook or a zip")
    wanted = [source.text for source in found.sources]
    neighbours = {p.stem: p for p in sorted(path.parent.glob("*.py")) if not p.samefile(path)}
    for text in wanted:  # which grows: a neighbour may import another
        for name in re.findall(r"^[ \t]*(?:from|import)[ \t]+\.?(\w+)", text, re.MULTILINE):
            if name in neighbours and len(found.sources) < MOST_FILES:
                more = found_in([Place(neighbours.pop(name))]).sources
                found.sources += [source._replace(searched=False) for source in more]
                wanted += [source.text for source in more]
    return found


def plain_name(name: str) -> str:
    """Return the name of a file without what platforms and browsers add, as it could be imported.

    >>> plain_name("doejane_123_456_ex01 softmax-1.py"), plain_name("ex01_softmax (2).py")
    ('ex01_softmax.py', 'ex01_softmax.py')
    """
    for platform in PLATFORMS:
        if (match := platform.fullmatch(name)) and match["file"]:
            name = match["file"]
    stem, dot, ending = name.partition(".")
    stem = re.sub(r"(?: ?\(\d+\)|-\d+| - Copy| copy)+$", "", stem)
    return re.sub(r"\W", "_", stem.strip()) + dot + ending.removesuffix(".txt")


# --- the search ------------------------------------------------------------------------------------------------------

Read = Callable[[int], bytes]  # returns so many bytes of a file at most, and one more if there are more


class _Search:
    """A walk through all that a student handed in, with an account of what it has read."""

    def __init__(self) -> None:
        self.found, self.bytes_left = Found(), MOST_BYTES

    def take(self, place: Place) -> None:
        path = place.path
        if place.within:
            self._members(path.name, path, 0, place.within)
        elif path.is_dir():
            for name, below in _files_below(path):
                self._path(name, below)
        else:
            self._path(path.name, path)

    def _path(self, name: str, path: Path) -> None:
        """Take a file of the disk."""
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            self._unread(name, "is a link, and was not followed")
        elif not stat.S_ISREG(mode):
            self._unread(name, "is not a file")
        else:
            self._file(name, path.stat().st_mtime, lambda most: read_file(path, most), 0)

    def _file(self, name: str, changed: float, read: Read, depth: int) -> None:
        """Take a file, of whatever kind it is."""
        kind = name.lower()
        try:
            if kind.endswith(PYTHON):
                self._add(Source(name, ((name, text_of(self._bytes(read, LARGEST))),), changed))
            elif kind.endswith(NOTEBOOK):
                self._add(Source(name, cells_of(name, self._bytes(read, LARGEST_NOTEBOOK)), changed))
            elif kind.endswith(ARCHIVE):
                self._archive(name, read, depth + 1)
            elif kind.endswith(OTHER_ARCHIVES):
                raise ValueError("is an archive that cannot be opened here; hand in a .zip or the files themselves")
            else:
                self.found.others.append(name)
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and not depth:
                raise  # of our disk: not the student's doing
            self._unread(name, in_words(error))

    def _bytes(self, read: Read, most: int) -> bytes:
        data = read(most)
        if len(data) > most:
            raise ValueError(f"has more than {most:,} bytes, and was not read")
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise ValueError(f"was not read: all files together have more than {MOST_BYTES:,} bytes")
        return data

    def _archive(self, name: str, read: Read, depth: int) -> None:
        """Take what is in an archive."""
        if depth > DEEPEST:
            raise ValueError("is an archive inside three others, and was not opened")
        self._members(name, io.BytesIO(self._bytes(read, LARGEST_ARCHIVE)), depth)

    def _members(self, name: str, archive: Path | io.BytesIO, depth: int, within: str = "") -> None:
        """Take the files in an archive, or those whose names begin with `within`."""
        for member, info, read_member in members(archive):
            if not (member == within or not within or (within.endswith("/") and member.startswith(within))):
                continue
            inside = member.removeprefix(within) or PurePosixPath(member).name
            label = inside if within else f"{name}/{inside}"
            if why := _why_not(info):
                self._unread(label, why)
            elif not _is_not_theirs(inside):
                self._file(label, _time_of(info), read_member, depth + 1)

    def _add(self, source: Source) -> None:
        if len(self.found.sources) >= MOST_FILES:
            raise ValueError(f"was not read: more than {MOST_FILES} files were handed in")
        self.found.sources.append(source)

    def _unread(self, name: str, why: str) -> None:
        if len(self.found.unread) < 20:
            self.found.unread.append(in_one_line(f"{name} {why.removeprefix(f'{name}: ')}"))


def read_file(path: Path, most: int) -> bytes:
    """Return what is in a file, up to one byte more than `most`; it does not wait for a pipe or a device.

    Errors: OSError if it cannot be read; ValueError if it is not a file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is not a file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        return file.read(most + 1) or b""


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the files in a folder and its subfolders, with their names; links to folders are given, not followed."""

    def complain(error: OSError) -> None:
        raise error

    for top, folders, files in os.walk(folder, onerror=complain):
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        folders[:] = sorted(name for name in folders if name not in links and not _is_not_theirs(name))
        for name in sorted(files + links):
            path = Path(top, name)
            if not _is_not_theirs(name):
                yield path.relative_to(folder).as_posix(), path


def _is_not_theirs(name: str) -> bool:
    return any(part in NOT_THEIRS or part.startswith(".") for part in PurePosixPath(name).parts)


# --- archives --------------------------------------------------------------------------------------------------------


def members(file: Path | io.BytesIO) -> Iterator[tuple[str, zipfile.ZipInfo, Read]]:
    """Give the files of an archive: name, what is known of it, and how to read it. Errors: ValueError."""
    try:
        archive = zipfile.ZipFile(file)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whoever forges an archive chooses the exception
        raise ValueError(f"is not a whole zip archive: {in_one_line(error, 80)}") from None
    with archive:
        yield from _members(archive)


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo, Read]]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_MEMBERS:
        raise ValueError(f"contains more than {MOST_MEMBERS:,} files, and was not opened")
    for info in sorted(infos, key=lambda info: info.filename):

        def read(most: int, info: zipfile.ZipInfo = info) -> bytes:
            try:
                with archive.open(info) as file:
                    return file.read(most + 1)
            except MemoryError:
                raise
            except Exception as error:
                raise ValueError(f"cannot be unpacked: {in_one_line(error, 80)}") from None

        yield info.filename.replace("\\", "/"), info, read


def _why_not(info: zipfile.ZipInfo) -> str:
    """Return why a file in an archive is not read, if so."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", info.filename):
        return "leads out of the archive, and was not read"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link, and was not followed"
    return "is locked with a password, and was not read" if info.flag_bits & 1 else ""


def _time_of(info: zipfile.ZipInfo) -> float:
    with contextlib.suppress(ValueError, OverflowError):
        return time.mktime((*info.date_time, 0, 0, -1))
    return 0.0


# --- text ------------------------------------------------------------------------------------------------------------

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
INVISIBLE = {0xA0: " ", 0x202F: " ", 0x200B: None, 0x2060: None, 0xFEFF: None}  # pasted from a web page


def text_of(data: bytes) -> str:
    r"""Return the text of a file of Python, whatever wrote it: lines end with \n, and no byte stops it.

    >>> text_of(b"\xef\xbb\xbfx = 1\r\n"), text_of("# é".encode("latin-1"))
    ('x = 1\n', '# é')
    """
    text = _decoded(data).translate(INVISIBLE)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _decoded(data: bytes) -> str:
    encodings = [name for mark, name in MARKS if data.startswith(mark)]
    if not encodings and data[1:64:2].count(0) > 16:  # as Windows writes it, without the mark
        encodings.append("utf-16-le")
    with contextlib.suppress(SyntaxError):  # of a first line that names no encoding that there is
        encodings.append(tokenize.detect_encoding(io.BytesIO(data).readline)[0])
    for encoding in (*encodings, "utf-8", "cp1252"):
        with contextlib.suppress(UnicodeError, LookupError):
            return data.decode(encoding)
    return data.decode("latin-1")


def cells_of(name: str, data: bytes) -> tuple[tuple[str, str], ...]:
    """Return the code cells of a notebook in their order, each with its label. Errors: ValueError."""
    try:
        notebook = json.loads(_decoded(data))
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]  # as it was until 2015
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        codes = [cell.get("source", cell.get("input", "")) for cell in cells if cell["cell_type"] == "code"]
        texts = [text_of("".join(code).encode("utf-8", "replace")) for code in codes]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("is not a complete notebook; open it, save it, and hand it in again") from None
    if sum(map(len, texts)) > LARGEST:
        raise ValueError(f"has more than {LARGEST:,} characters of code, and was not read")
    return tuple((f"{name}, cell {number}", text) for number, text in enumerate(texts, start=1))
