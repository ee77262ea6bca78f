"""The dialogue of a command with a terminal: text, output that may fail, and Ctrl-C.

In: text from anywhere, and signals. Out: text that cannot control a terminal; a stream whose failure costs no work; one
line per error.
"""

import contextlib
import errno
import io
import os
import shlex
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

# --- text ------------------------------------------------------------------------------------------------------------

JOINERS = "\u200c\u200d"  # part of the spelling of Persian, Indian scripts and emoji; they are harmless


def escaped(text: str, keep: str = "") -> str:
    r"""Return a text in which characters that control a terminal, or reverse its lines, are written as Python escapes.

    Characters in `keep` stay as they are, a newline for example.

    >>> print(escaped(chr(27) + "[2J, " + chr(0x202E) + "gnp.exe"))
    \x1b[2J, \u202egnp.exe
    """
    return "".join(c if _only_shows(c) or c in keep else c.encode("unicode_escape").decode() for c in text)


def _only_shows(character: str) -> bool:
    return character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"


def in_one_line(text: object, most: int = 300) -> str:
    """Return a text as one escaped line of at most so many characters.

    >>> in_one_line("two" + chr(10) + "lines")
    'two lines'
    """
    lines = (line.strip() for line in str(text)[: 4 * most].splitlines())
    return escaped(" ".join(line for line in lines if line))[:most]


def shell_word(path: object) -> str:
    r"""Return a file name as a word that can be pasted into a shell: one line, and never an option.

    >>> print(shell_word("a name.txt"), shell_word("two" + chr(10) + "lines"))
    'a name.txt' $'two\x0alines'
    """
    word = f"./{path}" if str(path).startswith("-") else str(path)
    if escaped(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(c if _only_shows(c) and c not in "\\'" else _as_bytes(c) for c in word) + "'"


def _as_bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def described(error: BaseException) -> str:
    """Return an exception in one line; a stranger's exception may fail even to return its message.

    >>> described(ValueError("no such thing"))
    'ValueError: no such thing'
    """
    try:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = "(its message cannot be shown)"
    return in_one_line(f"{type(error).__name__}: {message}".removesuffix(": "))


def in_words(error: BaseException) -> str:
    """Return the message of an error in plain words; for a system error, the file and the reason.

    >>> in_words(OSError(2, "No such file or directory", "model.npz"))
    'model.npz: No such file or directory'
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory for that"
    if isinstance(error, FileNotFoundError) and error.filename is None:  # from os.getcwd
        return "the current folder no longer exists"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


# --- output ----------------------------------------------------------------------------------------------------------


class Output:
    """A stream that falls silent once it cannot be written, so that the work behind it is still done.

    `failed` is the error, if there was one. Characters that the stream cannot encode are replaced.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failed: OSError | None = None
        if stream is None:  # closed before we started (>&-)
            self.failed, stream = OSError(errno.EBADF, os.strerror(errno.EBADF)), io.StringIO()
        self.stream = stream
        with contextlib.suppress(AttributeError):  # not a file: in a notebook, or in a test
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write text, as long as that works."""
        self._while_it_works(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, as long as that works."""
        self._while_it_works(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self.stream, name)

    def _while_it_works(self, act: Callable[[], object]) -> None:
        if self.failed:
            return
        if self.stream.closed:  # by examined code, for example
            self.failed = OSError(errno.EBADF, os.strerror(errno.EBADF))
            return
        try:
            act()
        except RuntimeError:  # a signal handler interrupted a write, and cannot start another
            return
        except OSError as error:
            self.failed = error
            # Python flushes once more at exit, and would complain: send the rest of the buffer nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    @property
    def why(self) -> str:
        """Return why it failed, in words; "" if it did not."""
        if isinstance(self.failed, BrokenPipeError):
            return "nothing reads the output any more"
        return f"cannot write the output: {self.failed.strerror}" if self.failed else ""


@contextlib.contextmanager
def careful_output() -> Iterator[tuple[Output, Output]]:
    """Replace standard output and standard error, while the block runs, by streams that cannot end a command."""
    before = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = Output(before[0]), Output(before[1])
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def occupy_closed_descriptors() -> None:
    """Reopen standard input, output and error where closed (>&-); otherwise the next file would take their place."""
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(lowest)


def complain(message: str, name: str = "scratchlm") -> int:
    """Print on standard error, in one line, what is wrong; return the exit status for it."""
    line = in_one_line(message, 10_000)
    print(f"{name}:", line if len(line) <= 600 else f"{line[:400]} ... {line[-195:]}", file=sys.stderr, flush=True)
    return 2


# --- Ctrl-C, and other requests to end -------------------------------------------------------------------------------

Handler = Callable[[int, Any], object]
REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end_with(line: str) -> NoReturn:
    """End this process at once with one line, and status 2."""
    with contextlib.suppress(OSError):  # standard error may be closed, and there is nowhere else to write
        os.write(2, f"scratchlm: {in_one_line(line, 10_000)}\n".encode(errors="backslashreplace"))
    os._exit(2)


def end_at_once(number: int, frame: object) -> NoReturn:
    """End this process with one line: for a command that leaves nothing behind."""
    end_with("interrupted")


def interrupt(number: int, frame: object) -> NoReturn:
    """Raise KeyboardInterrupt, for a command that has to clean up. Further requests then do nothing."""
    for request in REQUESTS:  # not SIG_IGN: if another one has just arrived, Python would report it as lost
        signal.signal(request, once_is_enough)
    raise KeyboardInterrupt


def once_is_enough(number: int, frame: object) -> None:
    """Do nothing: the command is already ending."""


def ignore_requests() -> None:
    """Ignore all further requests to end, for a command that is ending."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)


def on_request_to_end(handler: Handler) -> dict[int, Any]:
    """Install a handler for requests to end; return the previous handlers.

    Ignored signals stay ignored, such as SIGHUP under nohup. Only the main thread can handle signals.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in REQUESTS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: Python could not restore it
                before[number] = signal.signal(number, handler)
    return before


@contextlib.contextmanager
def requests_blocked() -> Iterator[None]:
    """Let the system hold back requests to end while a short block runs, even in a process started in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def requests_to_end(handler: Handler) -> Iterator[None]:
    """Use a handler for requests to end while a block runs."""
    before = on_request_to_end(handler)
    try:
        yield
    finally:
        for number, handled in before.items():
            if handled is not end_at_once or signal.getsignal(number) is not once_is_enough:
                signal.signal(number, handled)


@contextlib.contextmanager
def requests_wait() -> Iterator[list[int]]:
    """Let a request to end wait while a block runs; the block gets the list of requests that came.

    A second request stops at once, with KeyboardInterrupt.
    """
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    with requests_to_end(note):
        yield asked


@contextlib.contextmanager
def in_one_piece() -> Iterator[None]:
    """Defer requests to end that come during a short block until after it."""
    asked: list[int] = []
    try:
        with requests_to_end(lambda number, _: asked.append(number)):
            yield
    finally:
        for number in asked:
            signal.raise_signal(number)
