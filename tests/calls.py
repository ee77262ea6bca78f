"""The command line, called in this process: as a user calls it, but half a second faster."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from scratchlm import cli

COMMAND = [sys.executable, "-m", "scratchlm"]


def run(*arguments, cwd=None, input=""):
    """Run a command in this process; return its exit status and what it wrote, as `subprocess.run` does."""
    stdout, stderr, folder = io.StringIO(), io.StringIO(), Path(cwd or Path.cwd())
    before, path, modules = sys.stdin, sys.path[:], set(sys.modules)
    sys.stdin = io.StringIO(input)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = cli.main([str(argument) for argument in arguments])
    finally:
        sys.stdin, sys.path[:] = before, path
        for name in set(sys.modules) - modules:
            if (folder / f"{name}.py").exists():  # a new process would read it again
                del sys.modules[name]
    return SimpleNamespace(returncode=status, stdout=stdout.getvalue(), stderr=stderr.getvalue())


def run_process(*arguments, **options):
    """Run a command in a process of its own: for limits, signals and descriptors."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8", **options)
