"""The wall itself: what a process gives up before it runs a submission, one thing after the other, and for good.

Memory, files, and the way to other packages; then an ear for what Python is asked to do; and on Linux on x86-64 the
kernel is told to refuse what the ear might miss: to start or signal a process, to write or remove a file, to connect.
"""

import _imp
import _posixsubprocess
import linecache
import os
import platform
import resource
import signal
import struct
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

REFUSED_EVENTS = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.",
    "os.kill", "os.killpg", "signal.", "pty.", "socket.", "ctypes.", "os.remove", "os.rename", "os.rmdir", "os.mkdir",
    "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "shutil.", "tempfile.",
    "os.utime", "os.setxattr", "os.removexattr", "resource.", "gc.", "fcntl.", "sqlite3.",
    "cpython.PyInterpreterState",  # a second interpreter would have no ear
    "cpython._PySys_ClearAuditHooks", "sys._current_",
)  # fmt: skip
NO_EVENT = (  # what could disturb other processes, and is not announced to an audit hook
    "pidfd_open", "pidfd_send_signal", "mkfifo", "mknod", "setpriority", "sched_setaffinity", "sched_setscheduler",
    "signal", "setitimer", "alarm", "siginterrupt", "set_wakeup_fd", "sync",
)  # fmt: skip
BORROWED = (  # packages that a submission could borrow an answer from
    "scratchlm", "scipy", "torch", "jax", "jaxlib", "tensorflow", "sklearn", "mygrad", "autograd", "cupy", "mlx",
)  # fmt: skip
STARTERS = (  # modules that start processes, or interpreters, or call C
    "subprocess", "multiprocessing", "_posixsubprocess", "ctypes", "_ctypes", "_ctypes_test", "cffi", "_cffi_backend",
    "_xxsubinterpreters", "_interpreters", "_interpchannels", "_interpqueues", "_testcapi", "_testinternalcapi",
    "_testmultiphase", "xxlimited", "fcntl", "_posixshmem", "_multiprocessing",
)  # fmt: skip
READERS = (  # modules that open files without asking Python
    "readline", "sqlite3", "_sqlite3", "dbm", "_dbm", "_gdbm", "tkinter", "_tkinter", "ssl", "_ssl", "spwd", "nis",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def enclose(config: dict[str, Any], path: str, refused: list[str]) -> None:
    """Put up the wall; what is asked for in spite of it is written down in `refused`."""
    banned = frozenset(config["banned"])
    folders = [os.path.dirname(module.__file__ or "") + os.sep for module in (os, np)]
    sys.path[:] = [p for p in sys.path if p.startswith(os.path.dirname(os.__file__)) and "-packages" not in p]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "importlib" in str(finder)]  # no editable installs
    for file in (*config["frames"], "<string>"):  # whoever prints the stack would read them
        linecache.cache[file] = (0, None, [], file)
    threading.stack_size(2**20)  # so that many threads fit into the memory
    limit(config["memory"])
    libraries = (*folders, path, *config["readable"])  # its own file is read when a syntax error is told
    die_with(config["grader"])
    forbid_reading(libraries)
    forbid_system_calls()
    for name in list(sys.modules):  # what is loaded could be imported without anybody being asked
        if name.partition(".")[0] in banned:
            del sys.modules[name]
    take_away(banned)
    sys.addaudithook(guard(banned, libraries, refused.append))


def limit(memory: int) -> None:
    """Let the process have so many bytes more than it has now, write no file, and leave no core."""
    try:
        with open("/proc/self/statm") as pages:
            now = int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        now = 2**30
    limits = {
        resource.RLIMIT_AS: now + memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: 600,  # seconds, should the grader be killed and leave us alone
    }
    for what, most in limits.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


# --- what Python is asked to do --------------------------------------------------------------------------------------


def guard(banned: frozenset[str], readable: tuple[str, ...], note: Callable[[str], None]) -> Callable[[str, Any], None]:
    """Return an audit hook: Python calls it before it imports, opens, starts or kills, and it cannot be taken away.

    A submission can see the hook at work, in a traceback. So there is nothing in it that could be changed: it has no
    global names, what it needs are its own defaults, all of them immutable, and it calls no function written in Python,
    nor a method of what it is handed, which may be the submission's.
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
        kinds: Any = (type, str, int, bytes, ImportError, PermissionError),
    ) -> None:
        kind, text, number, raw, no_import, no_right = kinds
        if event == "import":
            name = args[0] if kind(args[0]) is text else "a name that is no plain text"
            parts = name.split(".")
            if kind(args[0]) is not text or parts[0] in banned or parts[-1] in banned:
                if parts[0] in borrowed:  # to be told even if it is caught; others Python's own library may try
                    note(f"importing {name:.80} is refused")
                raise no_import(f"importing {name:.80} is refused")
            return
        why = f"{event} is refused" if event.startswith(events) else ""
        if event in ("open", "os.listdir", "os.scandir") and kind(args[0]) is not number:
            path = args[0].decode("utf-8", "replace") if kind(args[0]) is raw else args[0]
            path = path if kind(path) is text else "a path that is no plain text"
            base = path.startswith(readable[0]) and "-packages/" not in path  # Python's own; of all others, NumPy
            if event == "open" and kind(args[2]) is number and args[2] & writes:
                why = f"writing to {path:.80} is refused"
            elif "/../" in path or not (base or path.startswith(readable[1:])):
                why = f"reading {path.rpartition('/')[2] or path:.80} is refused"
        if why:
            raise no_right(why)

    return types.FunctionType(hook.__code__, {"__builtins__": {}}, "hook", hook.__defaults__)


def take_away(banned: frozenset[str]) -> None:
    """Take away what is not announced to an audit hook: some functions, and second copies of modules written in C."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("this is refused")

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
# Numbers of Linux's system calls on x86-64 (asm/unistd_64.h).
DENIED = {
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "ptrace": 101,
    "process_vm_readv": 310, "process_vm_writev": 311, "socket": 41, "connect": 42, "socketpair": 53, "creat": 85,
    "openat2": 437, "unlink": 87, "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83,
    "mkdirat": 258, "rmdir": 84, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "mknod": 133,
    "mknodat": 259, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93,
    "lchown": 94, "fchownat": 260, "truncate": 76, "ftruncate": 77, "utime": 132, "utimes": 235, "futimesat": 261,
    "utimensat": 280, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "setpriority": 141, "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142,
    "setrlimit": 160, "io_uring_setup": 425, "mount": 165, "umount2": 166, "chroot": 161, "unshare": 272, "setns": 308,
    "sync": 162, "syncfs": 306,
    "bpf": 321, "perf_event_open": 298, "memfd_create": 319, "shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240,
}  # fmt: skip
CLONE, CLONE3, OPEN, OPENAT, TGKILL, PRLIMIT = 56, 435, 2, 257, 234, 302
CLONE_THREAD = 0x10000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, BY_FILTER = 1, 38, 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
ALL_RIGHTS, MAY_READ, MAY_LIST = 2**13 - 1, 4, 8  # to files and folders
SHARED_LIBRARIES = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
NO_RIGHT, NOT_KNOWN, FINE = 0x50000 | 1, 0x50000 | 38, 0x7FFF0000  # return EPERM; return ENOSYS; go on
LOAD, EQUAL, AT_LEAST, BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of Berkeley's packet filter


def die_with(parent: int, by: int = signal.SIGKILL) -> None:
    """Let the kernel end this process when its parent ends, however that comes about (on Linux)."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, by, 0, 0, 0)
        if os.getppid() != parent:  # it was too late
            os._exit(2)


def forbid_reading(readable: tuple[str, ...]) -> bool:
    """Let the kernel (Linux 5.13 or later, Landlock) refuse to open other files; return whether it can.

    `readable` begins with the folder of Python's own library; in it, the folders of other packages are left out.
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
    """Let the kernel (seccomp) refuse what a submission has no need of; return whether it can."""
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
    import ctypes  # here, so that it does not lie about where a submission may find it

    return ctypes.CDLL(None)


def _filter(own_id: int) -> bytes:
    """Return the program that the kernel runs at every system call: instructions of 8 bytes."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)  # yes, no: how many steps are skipped then

    def argument(n: int) -> bytes:
        return step(LOAD, 16 + 8 * n)

    def for_call(number: int, *steps: bytes) -> bytes:
        return step(EQUAL, number, 0, len(steps)) + b"".join(steps)

    deny, allow = step(RETURN, NO_RIGHT), step(RETURN, FINE)
    program = [step(LOAD, 4), step(EQUAL, X86_64, 1, 0), allow]  # another machine's numbers mean something else
    program += [step(LOAD, 0), step(AT_LEAST, 0x40000000, 0, 1), deny]  # the same calls under a second set of numbers
    program += [for_call(number, deny) for number in DENIED.values()]
    program += [
        for_call(CLONE3, step(RETURN, NOT_KNOWN)),  # its arguments cannot be seen; then clone is tried
        for_call(CLONE, argument(0), step(BITS, CLONE_THREAD, 1, 0), deny, allow),
        for_call(OPEN, argument(1), step(BITS, WRITES, 0, 1), deny, allow),
        for_call(OPENAT, argument(2), step(BITS, WRITES, 0, 1), deny, allow),
        for_call(TGKILL, argument(0), step(EQUAL, own_id, 1, 0), deny, allow),  # a crash of its own is its own affair
        for_call(PRLIMIT, argument(2), step(EQUAL, 0, 0, 2), step(LOAD, 36), step(EQUAL, 0, 1, 0), deny, allow),
        allow,
    ]
    return b"".join(program)
