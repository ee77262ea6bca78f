"""The wall itself: what a process gives up, step by step and for good, before it runs a submission.

It gives up memory, files and access to other packages. An audit hook checks what Python is asked to do. On Linux on
x86-64, the kernel is told to refuse whatever a computation does not need: starting or signalling a process, writing or
removing a file, connecting.
"""

import _imp
import contextlib
import linecache
import os
import platform
import signal
import struct
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]
try:
    import _posixsubprocess
except ImportError:
    _posixsubprocess = None  # type: ignore[assignment]

REFUSED_EVENTS = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.",
    "os.kill", "os.killpg", "signal.", "pty.", "socket.", "ctypes.", "os.remove", "os.rename", "os.rmdir", "os.mkdir",
    "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "shutil.", "tempfile.",
    "os.utime", "os.setxattr", "os.removexattr", "resource.", "gc.", "fcntl.", "sqlite3.",
    "cpython.PyInterpreterState",  # a second interpreter would have no audit hook
    "cpython._PySys_ClearAuditHooks", "sys._current_",
)  # fmt: skip
NO_EVENT = (  # calls that could disturb other processes and are not reported to audit hooks
    "pidfd_open", "pidfd_send_signal", "mkfifo", "mknod", "setpriority", "sched_setaffinity", "sched_setscheduler",
    "signal", "setitimer", "alarm", "siginterrupt", "set_wakeup_fd", "sync",
)  # fmt: skip
BORROWED = (  # packages that a submission could borrow an answer from
    "scratchlm", "scipy", "torch", "jax", "jaxlib", "tensorflow", "sklearn", "mygrad", "autograd", "cupy", "mlx",
)  # fmt: skip
STARTERS = (  # modules that start processes or interpreters, or call C
    "subprocess", "multiprocessing", "_posixsubprocess", "ctypes", "_ctypes", "_ctypes_test", "cffi", "_cffi_backend",
    "_xxsubinterpreters", "_interpreters", "_interpchannels", "_interpqueues", "_testcapi", "_testinternalcapi",
    "_testmultiphase", "xxlimited", "fcntl", "_posixshmem", "_multiprocessing",
)  # fmt: skip
READERS = (  # modules that open files without asking Python
    "readline", "sqlite3", "_sqlite3", "dbm", "_dbm", "_gdbm", "tkinter", "_tkinter", "ssl", "_ssl", "spwd", "nis",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def enclose(config: dict[str, Any], refused: list[str]) -> None:
    """Put up the wall; forbidden requests are recorded in `refused`."""
    banned = frozenset(config["banned"])
    own = [os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "DLLs")]  # the second exists on Windows only
    folders = [plain(folder) + "/" for folder in (own[0], os.path.dirname(np.__file__), *own[1:])]
    sys.path[:] = [p for p in sys.path if p.startswith(tuple(own)) and "-packages" not in p]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "importlib" in str(finder)]  # no editable installs
    for file in (*config["frames"], "<string>"):  # otherwise printing the stack would read them
        linecache.cache[file] = (0, None, [], file)
    threading.stack_size(2**20)  # small, so that many threads fit into memory
    limit(config["memory"])
    libraries = (*folders, *map(plain, config["readable"]))
    die_with(config["grader"])
    forbid_reading(libraries)
    forbid_system_calls()
    for name in list(sys.modules):  # a module that is loaded could be imported without a check
        if name.partition(".")[0] in banned:
            del sys.modules[name]
    take_away(banned)
    sys.addaudithook(guard(banned, libraries, refused.append))


def plain(path: str) -> str:
    """Return a path with slashes between its parts, as on every system but Windows."""
    return path.replace(os.sep, "/")


def limit(memory: int) -> None:
    """Limit the process to so many bytes more than it has now, and let it write no file and leave no core dump."""
    if resource is None:
        return
    try:
        with open("/proc/self/statm") as pages:
            now = int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        now = 2**30
    limits = {
        resource.RLIMIT_AS: now + memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: 600,  # seconds, in case the grader is killed and leaves us alone
    }
    for what, most in limits.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(what, (most, most))


def lacks() -> list[str]:
    """Return what the wall lacks on this system: nothing on x86-64 Linux from 5.13 upwards."""
    lacking = []
    if resource is None or sys.platform != "linux":
        lacking.append("a memory limit")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return [
            *lacking,
            "the kernel's help (someone who knows Python well can read files, or leave a process running)",
        ]
    if _libc().syscall(LANDLOCK_CREATE_RULESET, 0, 0, 1) < 1:  # with these arguments it returns the version
        lacking.append("the kernel's help against reading files")
    if _libc().prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        lacking.append("the kernel's help against starting processes and writing files")
    return lacking


# --- what Python is asked to do --------------------------------------------------------------------------------------


def guard(banned: frozenset[str], readable: tuple[str, ...], note: Callable[[str], None]) -> Callable[[str, Any], None]:
    """Return an audit hook: Python calls it before it imports, opens, starts or kills, and it cannot be removed.

    A submission can see the hook at work in a traceback, so nothing in it must be changeable. It has no global names.
    Everything it needs is in its own defaults, all of them immutable. It calls no function written in Python, and no
    method of what it is handed, since that may belong to the submission.
    """

    def hook(
        event: str,
        args: Any,
        banned: frozenset[str] = banned,
        borrowed: tuple[str, ...] = BORROWED,
        events: tuple[str, ...] = REFUSED_EVENTS,
        readable: tuple[str, ...] = readable,
        note: Callable[[str], None] = note,
        writes: int = WRITES,
        between: str = os.sep,
        kinds: Any = (type, str, int, bytes, ImportError, PermissionError),
    ) -> None:
        kind, text, number, raw, no_import, no_right = kinds
        if event == "import":
            name = args[0] if kind(args[0]) is text else "a name that is not plain text"
            parts = name.split(".")
            if kind(args[0]) is not text or parts[0] in banned or parts[-1] in banned:
                if parts[0] in borrowed:  # reported even if caught; Python's own library may try to import the others
                    note(f"importing {name:.80} is refused")
                raise no_import(f"importing {name:.80} is refused")
            return
        why = f"{event} is refused" if event.startswith(events) else ""
        if event in ("open", "os.listdir", "os.scandir") and kind(args[0]) is not number:
            path = args[0].decode("utf-8", "replace") if kind(args[0]) is raw else args[0]
            path = path.replace(between, "/") if kind(path) is text else "a path that is not plain text"
            base = path.startswith(readable[0]) and "-packages/" not in path  # Python's own; of packages, only NumPy
            if event == "open" and kind(args[2]) is number and args[2] & writes:
                why = f"writing to {path:.80} is refused"
            elif "/../" in path or not (base or path.startswith(readable[1:])):
                why = f"reading {path.rpartition('/')[2] or path:.80} is refused"
        if why:
            raise no_right(why)

    return types.FunctionType(hook.__code__, {"__builtins__": {}}, "hook", hook.__defaults__)


def take_away(banned: frozenset[str]) -> None:
    """Remove what is not reported to audit hooks: some functions, and second copies of modules written in C."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("this is refused")

    if _posixsubprocess is not None:
        _posixsubprocess.fork_exec = refuse  # type: ignore[assignment]
    for module in ("os", "posix", "signal", "_signal"):
        for name in NO_EVENT:
            if hasattr(sys.modules.get(module), name):
                setattr(sys.modules[module], name, refuse)

    loaded = frozenset(sys.modules)

    def only_new(create: Callable[..., Any]) -> Callable[..., Any]:
        def checked(spec: Any, file: Any = None) -> Any:
            if type(spec.name) is not str or spec.name in banned or spec.name in loaded:
                raise ImportError(f"importing {spec.name!s:.80} is refused")
            return create(spec)

        return checked

    for name in ("create_dynamic", "create_builtin"):
        setattr(_imp, name, only_new(getattr(_imp, name)))


# --- what the kernel is asked to do ----------------------------------------------------------------------------------

X86_64 = 0xC000003E
# What Python, NumPy and the C libraries under them need on any recent Linux, and nothing else: the numbers of system
# calls on x86-64 (asm/unistd_64.h). A few more are allowed with certain arguments only: see `_with_conditions`.
ALLOWED = {
    "memory": {
        "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "mincore": 27, "madvise": 28,
        "get_mempolicy": 239, "mbind": 237, "membarrier": 324,
    },
    "files that are open": {
        "read": 0, "write": 1, "close": 3, "lseek": 8, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20,
        "preadv": 295, "pwritev": 296, "preadv2": 327, "pwritev2": 328, "dup": 32, "dup2": 33, "dup3": 292,
        "close_range": 436, "fstat": 5, "fstatfs": 138, "fadvise64": 221, "readahead": 187,
        "pipe": 22, "pipe2": 293, "eventfd": 284, "eventfd2": 290, "poll": 7, "ppoll": 271, "select": 23,
        "pselect6": 270, "epoll_create": 213, "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232,
        "epoll_pwait": 281, "epoll_pwait2": 441,
    },
    "looking for files": {
        "stat": 4, "lstat": 6, "newfstatat": 262, "statx": 332, "statfs": 137, "access": 21, "faccessat": 269,
        "faccessat2": 439, "readlink": 89, "readlinkat": 267, "getdents": 78, "getdents64": 217, "getcwd": 79,
        "chdir": 80, "fchdir": 81,
    },
    "the time": {
        "nanosleep": 35, "clock_nanosleep": 230, "clock_gettime": 228, "clock_getres": 229, "gettimeofday": 96,
        "time": 201, "times": 100,
    },
    "threads": {
        "futex": 202, "futex_waitv": 449, "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456,
        "set_robust_list": 273, "get_robust_list": 274, "rseq": 334, "set_tid_address": 218, "gettid": 186,
        "sched_yield": 24, "sched_getaffinity": 204, "sched_getparam": 143, "sched_getscheduler": 145,
        "sched_get_priority_max": 146, "sched_get_priority_min": 147, "getcpu": 309,
    },
    "signals that come": {
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
        "rt_sigsuspend": 130, "sigaltstack": 131, "restart_syscall": 219, "pause": 34,
    },
    "who and where one is": {
        "getpid": 39, "getppid": 110, "getpgrp": 111, "getpgid": 121, "getsid": 124, "getuid": 102, "geteuid": 107,
        "getgid": 104, "getegid": 108, "getresuid": 118, "getresgid": 120, "getgroups": 115, "getpriority": 140,
        "getrlimit": 97, "getrusage": 98, "uname": 63, "sysinfo": 99, "umask": 95,
    },
    "chance": {"getrandom": 318},
    "the end": {"exit": 60, "exit_group": 231},
}  # fmt: skip
NEWEST = 456  # of these numbers; later calls are reported as unknown, and programs then do without them
OPEN, IOCTL, CLONE, FCNTL, PRCTL, TKILL, TGKILL, OPENAT, PRLIMIT = 2, 16, 56, 72, 157, 200, 234, 257, 302
CLONE3, OPENAT2 = 435, 437  # their arguments cannot be seen, so both are unknown; then clone and openat are tried
ASKS_OF_A_TERMINAL = (0x5401, 0x5413, 0x802C542A)  # TCGETS, TIOCGWINSZ, TCGETS2: is it a terminal, and how wide?
ASKS_OF_A_FILE = (0x5421, 0x5450, 0x5451, 0x541B)  # FIONBIO, FIONCLEX, FIOCLEX, FIONREAD
FLAGS_OF_A_FILE = (0, 1, 2, 3, 4, 1030)  # F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC; an owner, F_SETOWN, would get signals
NAMES = (15, 16, 0x53564D41)  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory
CLONE_THREAD = 0x10000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_SET_SECCOMP, BY_FILTER = 1, 38, 21, 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
ALL_RIGHTS, MAY_READ, MAY_LIST = 2**13 - 1, 4, 8  # rights to files and folders
SHARED_LIBRARIES = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
NO_RIGHT, NOT_KNOWN, FINE = 0x50000 | 1, 0x50000 | 38, 0x7FFF0000  # return EPERM; return ENOSYS; go on
LOAD, EQUAL, AT_LEAST, BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of the Berkeley Packet Filter


def die_with(parent: int, by: int = getattr(signal, "SIGKILL", signal.SIGTERM)) -> None:
    """Let the kernel end this process when its parent ends, however the parent ends (on Linux)."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, by, 0, 0, 0)
        if os.getppid() != parent:  # too late: the parent had already ended
            os._exit(2)


def forbid_reading(readable: tuple[str, ...]) -> bool:
    """Let the kernel (Landlock, Linux 5.13 or later) refuse to open other files; return whether it can.

    `readable` begins with the folder of Python's own library, in which the folders of other packages stay closed.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    syscall, own = _libc().syscall, readable[0]
    rules = syscall(LANDLOCK_CREATE_RULESET, struct.pack("Q", ALL_RIGHTS), 8, 0)
    if rules < 0:
        return False
    inside = [os.path.join(own, name) for name in os.listdir(own) if not name.endswith("-packages")]
    for path in (own, *inside, *readable[1:], *SHARED_LIBRARIES):
        right = MAY_LIST if path == own else MAY_READ if os.path.isfile(path) else MAY_READ | MAY_LIST
        if os.path.exists(path):
            place = os.open(path, os.O_PATH)
            syscall(LANDLOCK_ADD_RULE, rules, 1, struct.pack("=Qi", right, place), 0)
            os.close(place)
    _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done: bool = syscall(LANDLOCK_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return done


def forbid_system_calls() -> bool:
    """Let the kernel (seccomp) refuse what a submission does not need; return whether it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    program = _filter(os.getpid())
    address = np.frombuffer(program, np.uint8).__array_interface__["data"][0]
    libc, header = _libc(), struct.pack("HP", len(program) // 8, address)
    done: bool = (
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, BY_FILTER, header, 0, 0) == 0
    )
    return done


def _libc() -> Any:
    import ctypes  # here, not at module level, where a submission could find it

    return ctypes.CDLL(None)


# The program that the kernel runs at every system call, in instructions of 8 bytes.


def _filter(own_id: int) -> bytes:
    """Return a program that allows the calls in ALLOWED, and some others if their arguments are harmless."""
    program = [_step(LOAD, 4), _step(EQUAL, X86_64, 1, 0), DENY]  # elsewhere the numbers mean something else
    program += [_step(LOAD, 0)]
    program += [_for_call(number, ALLOW) for group in ALLOWED.values() for number in group.values()]
    program += _with_conditions(own_id)
    program += [_step(AT_LEAST, NEWEST + 1, 0, 1), UNKNOWN, DENY]
    return b"".join(program)


def _with_conditions(own_id: int) -> list[bytes]:
    """Return the part of the program for calls that are allowed with certain arguments only."""
    return [
        _for_call(OPEN, _argument(1), _step(BITS, WRITES, 0, 1), DENY, ALLOW),
        _for_call(OPENAT, _argument(2), _step(BITS, WRITES, 0, 1), DENY, ALLOW),
        _for_call(CLONE, _argument(0), _step(BITS, CLONE_THREAD, 1, 0), DENY, ALLOW),
        _for_call(IOCTL, _argument(1), *_one_of(ASKS_OF_A_TERMINAL + ASKS_OF_A_FILE)),
        _for_call(FCNTL, _argument(1), *_one_of(FLAGS_OF_A_FILE)),
        _for_call(PRCTL, _argument(0), *_one_of(NAMES)),
        _for_call(TKILL, _argument(0), *_one_of((own_id,))),
        _for_call(TGKILL, _argument(0), *_one_of((own_id,))),  # it may crash itself
        _for_call(PRLIMIT, _argument(2), _step(EQUAL, 0, 0, 2), _step(LOAD, 36), _step(EQUAL, 0, 1, 0), DENY, ALLOW),
        _for_call(CLONE3, UNKNOWN),
        _for_call(OPENAT2, UNKNOWN),
    ]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return an instruction; `yes` and `no` say how many instructions it then skips."""
    return struct.pack("HBBI", code, yes, no, value)


DENY, UNKNOWN, ALLOW = (_step(RETURN, what) for what in (NO_RIGHT, NOT_KNOWN, FINE))


def _argument(n: int) -> bytes:
    return _step(LOAD, 16 + 8 * n)


def _for_call(number: int, *steps: bytes) -> bytes:
    return _step(EQUAL, number, 0, len(steps)) + b"".join(steps)


def _one_of(values: tuple[int, ...]) -> list[bytes]:
    return [*(_step(EQUAL, value, len(values) - i) for i, value in enumerate(values)), DENY, ALLOW]
