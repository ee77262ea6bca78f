"""Files that are written as a whole: at its place there is always either the old file or the new one, never a part.

In: a path, and how to write. Out: the file. It is written beside its place, brought to the disk, and renamed.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from scratchlm.terminal import in_one_piece


def write_whole(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` write a file, and put it at its place when it is whole; a link is followed to what it leads to.

    Errors: OSError if it cannot be written, or would replace a device, a pipe or a folder; what stood there is
    untouched.
    """
    try:
        _replace(path, write)
    except FileNotFoundError:  # asleep in the middle of a write, for so long that another run took it for a leftover
        _replace(path, write)


def try_to_write(path: str | Path) -> None:
    """Do all that `write_whole` does but for the last step, with a few bytes: what fails then, fails now.

    Errors: OSError, as for `write_whole`.
    """
    path = destination(path)
    with beside(path) as written:
        if path.exists() and not _may_be_replaced(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        try:
            _write(written, lambda file: file.write(b"is there room for a byte?"))
            open(written, "rb").close()
        except PermissionError:  # of a file that we have just made
            raise PermissionError(errno.EACCES, "the umask lets nobody read and write it") from None
        _sync_folder(path.parent)


def destination(path: str | Path) -> Path:
    """Return the file that a path leads to, through links; it need not be there yet.

    Errors: OSError for a circle of links and whatever else leads nowhere, and for what is no ordinary file.
    """
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "it is no ordinary file, and would be replaced by one", str(path))
    return Path(path).resolve()


def _may_be_replaced(path: Path) -> bool:
    """Tell whether a file is ours to replace: in a folder that is everybody's, as /tmp is, only its owner may."""
    folder, file = path.parent.stat(), path.stat()
    return not folder.st_mode & stat.S_ISVTX or os.geteuid() in (0, folder.st_uid, file.st_uid)


def _replace(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    path = destination(path)
    with beside(path) as written:
        _write(written, write)
        with suppress(OSError):  # there was no file yet, or this disk knows no modes
            shutil.copymode(path, written)
        os.replace(written, path)
        _sync_folder(path.parent)


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, too, where that can be asked for."""
    if os.name != "posix":
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # one that may be written to, but not listed
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- the file beside -------------------------------------------------------------------------------------------------

LEFTOVER = re.compile(r"\.scratchlm\.[0-9a-f]{16}")
OLD = 3600  # seconds: no write rests for so long


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Make an empty file in the same folder, to be written and renamed; remove it if that comes to nothing.

    A request to end waits until that is done. What a process that was killed has left behind is removed, too, when it
    is an hour old: nothing else tells it, on every system and every network disk, from what another one still writes.
    Errors: OSError that names `path` if the folder cannot be written to.
    """
    written = path.with_name(f".scratchlm.{os.urandom(8).hex()}")
    with in_one_piece():
        try:
            with suppress(FileNotFoundError):
                os.lstat(path)  # the name itself may be impossible: too long, or with a NUL
            open(written, "xb").close()
            _remove_leftovers(written)
            yield written
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            written.unlink(missing_ok=True)


def _remove_leftovers(written: Path) -> None:
    """Remove what is older by an hour than a file that was made just now, by the clock of their disk, and is ours."""
    now = written.stat().st_mtime
    with suppress(OSError):  # a folder that cannot be listed, or a leftover that may not be removed
        for left in written.parent.iterdir():
            if LEFTOVER.fullmatch(left.name):
                found = left.lstat()
                if stat.S_ISREG(found.st_mode) and now - found.st_mtime > OLD:
                    left.unlink(missing_ok=True)
