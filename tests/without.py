"""The command line as on another system: python without.py WHAT,WHAT exercise grade ... runs without each WHAT.

Python's own library, NumPy and Hypothesis are loaded beforehand, since here they need it. The process behind the wall
and the processes that grade also start without it.
"""

import importlib
import os
import signal
import sys

# isort: off
import multiprocessing.util  # noqa: F401
import hypothesis.extra.numpy  # noqa: F401
import matplotlib  # noqa: F401

MODULES = ("resource", "_posixsubprocess", "fcntl")
NAMES = {
    signal: ("SIGHUP", "SIGKILL", "pthread_sigmask", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"),
    os: ("fork", "killpg", "waitid", "O_NONBLOCK", "set_blocking", "sched_getaffinity", "geteuid"),
}
LINUX = "linux"  # the system's name: without it, the kernel is asked for nothing, and processes start afresh
ALL = [*MODULES, *(name for names in NAMES.values() for name in names), LINUX]
TAKE = """
import os, signal, sys, subprocess, numpy
for name in {taken!r}:
    for place in (os, signal):
        if hasattr(place, name):
            delattr(place, name)
    if name in {modules!r}:
        sys.modules[name] = None
    if name == "linux":
        sys.platform = "another"
"""


def take_away(taken):
    """Take away the given names while the classroom is imported; restore those the library needs to start processes."""
    kept, kill = {name: sys.modules.get(name) for name in MODULES}, signal.SIGKILL
    exec(TAKE.format(taken=taken, modules=MODULES), {})
    sandbox = importlib.import_module("scratchlm.classroom.sandbox")
    importlib.import_module("scratchlm.classroom.commands")
    sandbox.FAR_SIDE = TAKE.format(taken=taken, modules=MODULES) + sandbox.FAR_SIDE
    signal.SIGKILL = kill
    for name, module in kept.items():
        if module is not None:
            sys.modules[name] = module


if "TAKEN_AWAY" in os.environ:  # also in the processes that grade, which only import this file
    take_away(os.environ["TAKEN_AWAY"].split(","))

if __name__ == "__main__":
    from scratchlm.cli import main

    sys.exit(main(sys.argv[1:]))
