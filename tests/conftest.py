"""The pages of the demos, run once and quickly, for all tests that ask what is in them."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: with a busy core, two threads take ten times as long

import contextlib
import io
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CAN_COUNT = hasattr(os, "sched_getaffinity")
DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Share the whole suite among two to four processes, where pytest-xdist is there; one file starts faster in one."""
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.usepdb
    if whole and config.option.numprocesses is None:
        config.option.numprocesses = max(2, min(4, len(os.sched_getaffinity(0)) if CAN_COUNT else os.cpu_count() or 2))
    if config.option.numprocesses and config.option.dist == "no":
        config.option.dist = "loadfile"  # tests that share what a page computed stay in one process


def pytest_configure(config):
    """Name the marker that pytest-xdist reads, also where that is not installed."""
    config.addinivalue_line("markers", "xdist_group(name): run in the same process as others of this name")


class Ran(NamedTuple):
    """What a page left behind: its variables, what it printed, and the names of its pictures."""

    found: dict
    text: str
    pictures: list


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Return a function that runs page `number` quickly, in this process, once; all pages share a folder."""
    out, done = tmp_path_factory.mktemp("pictures"), {}

    def run_page(number):
        if number not in done:
            (script,) = DEMOS.glob(f"{number:02}_*.py")
            printed = io.StringIO()
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
                patch.setattr(sys, "argv", [str(script), "--quick", "--out", str(out)])
                patch.syspath_prepend(str(DEMOS))
                found = runpy.run_path(str(script))
            pictures = sorted(out.glob(f"{script.stem}*.png"))
            assert all(picture.read_bytes().startswith(PNG) for picture in pictures)
            done[number] = Ran(found, printed.getvalue(), [picture.name for picture in pictures])
        return done[number]

    run_page.out = out
    run_page.pages = sorted(int(path.name[:2]) for path in DEMOS.glob("[0-9]*.py"))
    return run_page


@pytest.fixture(scope="session")
def verdict_page(run):
    """Run the page of verdicts, after those that it reads."""
    for number in (1, 2, 3, 4, 5, 9):
        run(number)
    return run(10)
