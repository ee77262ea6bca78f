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

DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"


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
