"""Run the demos in order, each in a process of its own: python -m demos [--only 3,4] [--quick] [--out DIR].

A line for each page with its question, and where its pictures went; at the end, the verdicts of page 10.
"""

from demos.terminal import Parser, folder_for, run

import argparse
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from scratchlm.terminal import escaped

SCRIPTS = {int(path.name[:2]): path for path in sorted(Path(__file__).parent.glob("[0-9][0-9]_*.py"))}
WIDTH = max(len(path.stem) for path in SCRIPTS.values()) + 1
VERDICTS = 10  # needs what the others measured, and so comes last


class Run(NamedTuple):
    """How a page went."""

    page: int
    seconds: float
    status: int
    stdout: str
    stderr: str


def main() -> int:
    """Run each page; return 0 if all went well."""
    parser = Parser(prog="python -m demos", description="Run the demos, in order.", allow_abbrev=False)
    parser.add_argument("--only", type=_pages, default=list(SCRIPTS), metavar="3,4", help="the pages to run")
    parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for pictures (default: pictures)")
    options = parser.parse_args()
    extra = [f"--out={folder_for(options.out, parser)}", *["--quick"] * options.quick]
    first = [page for page in options.only if page != VERDICTS]
    failed, verdicts = [], ""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for pages in (first, [page for page in options.only if page == VERDICTS]):
            for ran in pool.map(lambda page: _run(page, extra), pages):
                _report(ran)
                failed += [ran.page] if ran.status else []
                verdicts = ran.stdout if ran.page == VERDICTS and not ran.status else verdicts
    if found := re.search(r"^The verdicts\n.*?(?=^picture: )", verdicts, flags=re.DOTALL | re.MULTILINE):
        print("\n" + found[0].rstrip())
    done = len(options.only) - len(failed)
    example = SCRIPTS[options.only[0]]
    print(f"\n{done} of {len(options.only)} demos ran. Read one: python {os.path.relpath(example)}", flush=True)
    return 2 if failed else 0


def _pages(text: str) -> list[int]:
    pages = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(pages) != len(text.split(",")) or not set(pages) <= set(SCRIPTS):
        raise argparse.ArgumentTypeError(
            f"must be pages from {min(SCRIPTS)} to {max(SCRIPTS)}, such as 3,4, not {text!r}"
        )
    return sorted(set(pages))


def _run(page: int, extra: list[str]) -> Run:
    start = time.monotonic()
    result = run([sys.executable, str(SCRIPTS[page]), *extra])
    return Run(page, time.monotonic() - start, result.returncode, result.stdout, result.stderr)


def _report(ran: Run) -> None:
    name = SCRIPTS[ran.page].stem.ljust(WIDTH)
    if ran.status:
        story = "" if ran.status == 2 else ran.stdout  # 2: one line on stderr says it all
        why = escaped(f"{story}{ran.stderr.rstrip()}", keep="\n")
        print(f"{name}failed after {ran.seconds:.0f} s\n{why}", flush=True)
        return
    print(f"{name}{ran.seconds:4.1f} s   {ran.stdout.split(chr(10), 1)[0]}", flush=True)
    for picture in re.findall(r"^picture: (.*)$", ran.stdout, flags=re.MULTILINE):
        print(f"{'':{WIDTH + 9}}{picture}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
