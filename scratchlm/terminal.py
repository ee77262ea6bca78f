"""What a command and a terminal say to each other: text, output that may fail, and Ctrl-C.

In: text from anywhere, and signals. Out: text that a terminal only shows; a stream whose failure costs no work; one
line for a complaint.
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

JOINERS = "\u200c\u200d"  # part of the spelling of Persian words, Indian scripts and emoji; they move nothing


def escaped(text: str, keep: str = "") -> str:
    r"""Return a text with what would command a terminal, or turn its lines around, written as Python writes it.

    Characters in `keep` stay as they are: a newline, say.

    >>> print(escaped(chr(27) + "[2J, " + chr(0x202E) + "gnp.exe"))
    \x1b[2J, \u202egnp.exe
    """
    return "".join(c if _only_shows(c) or c in keep else c.encode("unicode_escape").decode() for c in text)


def _only_shows(character: str) -> bool:
    return character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"


def in_one_line(text: object, most: int = 300) -> str:
    """Return a text as one line of at most so many characters, escaped.

    >>> in_one_line("two" + chr(10) + "lines")
    'two lines'
    """
    lines = (line.strip() for line in str(text)[: 4 * most].splitlines())
    return escaped(" ".join(line for line in lines if line))[:most]


def shell_word(path: object) -> str:
    r"""Return the name of a file as a word to be pasted into a shell: in one line, and no option, whatever it is.

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
    """Return an exception in one line; one from a stranger may fail even when it is asked for its message.

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
    """Return what an error says, as a person would; of the system's, the file and the reason.

    >>> in_words(OSError(2, "No such file or directory", "model.npz"))
    'model.npz: No such file or directory'
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory for that"
    if isinstance(error, FileNotFoundError) and error.filename is None:  # of os.getcwd
        return "the current folder no longer exists"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


# --- output ----------------------------------------------------------------------------------------------------------


class Output:
    """A stream that falls silent when it can no longer be written, so that the work behind it is still done.

    `failed` is the error, if there was one. What the stream cannot spell is replaced.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failed: OSError | None = None
        if stream is None:  # closed before we began (>&-)
            self.failed, stream = OSError(errno.EBADF, os.strerror(errno.EBADF)), io.StringIO()
        self.stream = stream
        with contextlib.suppress(AttributeError):  # not a file: a notebook's, or a test's
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write text, while it can be written."""
        self._while_it_works(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, likewise."""
        self._while_it_works(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Return what else a stream has."""
        return getattr(self.stream, name)

    def _while_it_works(self, act: Callable[[], object]) -> None:
        if self.failed:
            return
        if self.stream.closed:  # by code that is examined, say
            self.failed = OSError(errno.EBADF, os.strerror(errno.EBADF))
            return
        try:
            act()
        except RuntimeError:  # a handler of signals stands in the middle of a write, and cannot begin another
            return
        except OSError as error:
            self.failed = error
            # Python flushes once more at exit, and would complain: what is left in the buffer goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    @property
    def why(self) -> str:
        """Return why it failed, in words; "" if it did not."""
        if isinstance(self.failed, BrokenPipeError):
            return "nobody reads the output any more"
        return f"cannot write the output: {self.failed.strerror}" if self.failed else ""


@contextlib.contextmanager
def careful_output() -> Iterator[tuple[Output, Output]]:
    """Replace standard output and standard error by streams that cannot end a command, while it runs."""
    before = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = Output(before[0]), Output(before[1])
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def occupy_closed_descriptors() -> None:
    """Open what was closed of standard input, output and error (>&-), or else the next file would take its place."""
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(lowest)


def complain(message: str, name: str = "scratchlm") -> int:
    """Say on standard error, in one line, what is wrong; return the exit status for it."""
    line = in_one_line(message, 10_000)
    print(f"{name}:", line if len(line) <= 600 else f"{line[:400]} ... {line[-195:]}", file=sys.stderr, flush=True)
    return 2


# --- Ctrl-C, and other requests to end -------------------------------------------------------------------------------

Handler = Callable[[int, Any], object]
REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end_with(line: str) -> NoReturn:
    """End this process at once with one line, and status 2."""
    with contextlib.suppress(OSError):  # standard error may be closed, and there is nobody else to tell
        os.write(2, f"scratchlm: {in_one_line(line, 10_000)}\n".encode(errors="backslashreplace"))
    os._exit(2)


def end_at_once(number: int, frame: object) -> NoReturn:
    """End this process with one line: for a command that leaves nothing behind."""
    end_with("interrupted")


def interrupt(number: int, frame: object) -> NoReturn:
    """Raise KeyboardInterrupt: for a command that has something to clean up. A second request is not needed."""
    for request in REQUESTS:  # not SIG_IGN: if another has just come, Python would say that it was lost
        signal.signal(request, once_is_enough)
    raise KeyboardInterrupt


def once_is_enough(number: int, frame: object) -> None:
    """Do nothing: the command has been asked already, and is ending."""


def ignore_requests() -> None:
    """Let no request to end do anything any more: for a command that is ending."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)


def on_request_to_end(handler: Handler) -> dict[int, Any]:
    """Call this when somebody asks the process to end; return what was called before.

    What is ignored stays ignored: SIGHUP under nohup. Only the main thread can be asked.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in REQUESTS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's to put back
                before[number] = signal.signal(number, handler)
    return before


@contextlib.contextmanager
def requests_blocked() -> Iterator[None]:
    """Let the system hold requests to end back while a short block runs, also in a process that begins in it."""
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
    """Call this, while a block runs, when somebody asks the process to end."""
    before = on_request_to_end(handler)
    try:
        yield
    finally:
        for number, handled in before.items():
            if handled is not end_at_once or signal.getsignal(number) is not once_is_enough:
                signal.signal(number, handled)


@contextlib.contextmanager
def requests_wait() -> Iterator[list[int]]:
    """Let a request to end wait while a block runs, which is given the list of those that came.

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
    """Answer requests to end that come while a short block runs after the block, as they would be without it."""
    asked: list[int] = []
    try:
        with requests_to_end(lambda number, _: asked.append(number)):
            yield
    finally:
        for number in asked:
            signal.raise_signal(number)
