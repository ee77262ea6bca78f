"""How the tests are shared among processes, and what several files of tests ask for."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: with a busy core, two threads take ten times as long

import contextlib
import io
import runpy
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CAN_COUNT = hasattr(os, "sched_getaffinity")
FIRST = [
    "demos",
    "wall",
    "demo_terminal",
    "properties",
    "checkpoint",
    "mistakes",
    "contract",
    "judge",
    "calling",
    "grading",
]
DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"

# In the background of a script, or under nohup, requests to end are ignored: here, and in all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)  # it ends what is started, and not us


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Share the whole suite among two to four processes, where pytest-xdist is there; one file starts faster in one."""
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.usepdb
    if whole and config.option.numprocesses is None:
        config.option.numprocesses = max(2, min(4, len(os.sched_getaffinity(0)) if CAN_COUNT else os.cpu_count() or 2))
    if config.option.numprocesses and config.option.dist == "no":
        config.option.dist = "loadfile"  # the tests of a file share what they need: pages, submissions, models
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no process has one left when the others are done."""
    place = {f"test_{name}": i for i, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))


class Ran(NamedTuple):
    """What a page left behind: its variables, what it printed, and the names of its pictures."""

    found: dict
    text: str
    pictures: list


READ_BY_PAGE_10 = (1, 2, 3, 4, 8, 9, 14)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Return a function that runs page `number` quickly, in this process, once; all pages share a folder."""
    out, done = tmp_path_factory.mktemp("pictures"), {}

    def run_page(number):
        for before in READ_BY_PAGE_10 if number == 10 else ():
            run_page(before)
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
    """Run the page of verdicts."""
    return run(10)


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """Return a function that grades a hostile softmax beside an honest one, and gives the lines of both."""
    from handed_in import FEW, HONEST, TWO  # here: Hypothesis takes a while, and most rooms do without it

    from scratchlm.classroom import grader
    from scratchlm.classroom.exercises import properties_of

    def grade(source, names=FEW, **options):
        monkeypatch.setattr(grader, "properties_of", lambda part: [p for p in properties_of(part) if p.name in names])
        path = tmp_path / "two.py"
        path.write_text(f"import numpy as np\n{HONEST}\n{source}\n")
        before = path.read_bytes()
        report = grader.check(TWO, path, **{"budget": 3, "seconds": 20, **options})
        assert path.read_bytes() == before
        lines = {name: [line for line in report.lines if line.function == name] for name in ("softmax", "beside")}
        return report, lines["softmax"], lines["beside"]

    return grade


@pytest.fixture
def few_cases(monkeypatch):
    """Let every property be judged on three cases at most, stars as well, for tests of what becomes of a verdict."""
    from scratchlm.classroom import grader

    really = grader.judged
    monkeypatch.setattr(grader, "judged", lambda *a, budget, **more: really(*a, budget=min(budget, 3), **more))


@pytest.fixture
def afterwards_as_before():
    """Let a teacher's own exercises be gone when the test ends."""
    from scratchlm.classroom.exercises import EXERCISES

    before = dict(EXERCISES)
    yield
    EXERCISES.clear()
    EXERCISES.update(before)
