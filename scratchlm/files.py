"""Files that are written whole: a path always leads to the old file or the new one, never to a part of one.

In: a path and a function that writes. Out: the file. It is written under another name, synced to the disk, and renamed.
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
    """Let `write` write a file, and move it into place when it is complete; links are followed.

    Errors: OSError if it cannot be written, or would replace a device, a pipe or a folder; an existing file is then
    unchanged.
    """
    try:
        _replace(path, write)
    except FileNotFoundError:  # this process slept so long in the middle of a write that another run removed its file
        _replace(path, write)


def try_to_write(path: str | Path) -> None:
    """Do everything that `write_whole` does, except the last step, with a few bytes: any failure comes now, not later.

    Errors: those of `write_whole`.
    """
    path = destination(path)
    with beside(path) as written:
        if path.exists() and not _may_be_replaced(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        try:
            _write(written, lambda file: file.write(b"is there room for a byte?"))
            open(written, "rb").close()
        except PermissionError:  # for a file that we have just created
            raise PermissionError(errno.EACCES, "the umask does not let its owner read and write it") from None
        _sync_folder(path.parent)


def destination(path: str | Path) -> Path:
    """Return the file that a path leads to, through links; it need not exist yet.

    Errors: OSError for circular links or anything else that leads nowhere, and for anything but an ordinary file.
    """
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "it is not an ordinary file, and would be replaced by one", str(path))
    return Path(path).resolve()


def _may_be_replaced(path: Path) -> bool:
    """Return whether we may replace a file: in a shared folder such as /tmp, only its owner may."""
    folder, file = path.parent.stat(), path.stat()
    return not folder.st_mode & stat.S_ISVTX or os.geteuid() in (0, folder.st_uid, file.st_uid)


def _replace(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    path = destination(path)
    with beside(path) as written:
        _write(written, write)
        with suppress(OSError):  # there was no file yet, or this disk has no modes
            shutil.copymode(path, written)
        os.replace(written, path)
        _sync_folder(path.parent)


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Sync the names in a folder to the disk as well, where the system allows that."""
    if os.name != "posix":
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to, but not listed
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- the file beside -------------------------------------------------------------------------------------------------

LEFTOVER = re.compile(r"\.scratchlm\.[0-9a-f]{16}")
OLD = 3600  # seconds: no write pauses that long


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Create an empty file in the same folder, to be written and renamed; remove it if that fails.

    A request to end waits until that is done. Files left behind by killed processes are removed too, once they are an
    hour old: on every system and network disk, only their age tells them from files that another process is writing.
    Errors: OSError that names `path` if the folder cannot be written to.
    """
    written = path.with_name(f".scratchlm.{os.urandom(8).hex()}")
    with in_one_piece():
        try:
            with suppress(FileNotFoundError):
                os.lstat(path)  # the name itself may be impossible: too long, or with a NUL character
            open(written, "xb").close()
            _remove_leftovers(written)
            yield written
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            written.unlink(missing_ok=True)


def _remove_leftovers(written: Path) -> None:
    """Remove our files that are an hour older than one created just now, by the clock of their disk."""
    now = written.stat().st_mtime
    with suppress(OSError):  # the folder cannot be listed, or a file may not be removed
        for left in written.parent.iterdir():
            if LEFTOVER.fullmatch(left.name):
                found = left.lstat()
                if stat.S_ISREG(found.st_mode) and now - found.st_mtime > OLD:
                    left.unlink(missing_ok=True)
