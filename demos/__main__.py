"""Run the demos in order, each in a process of its own: python -m demos [--only 3,4] [--quick] [--out DIR].

A line for each page with its question, and where its pictures went; at the end, the verdicts of page 10.
"""

from demos.terminal import Output, folder_for

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

SCRIPTS = {int(path.name[:2]): path for path in sorted(Path(__file__).parent.glob("[0-9][0-9]_*.py"))}
VERDICTS = 10  # needs what the others measured, and so comes last
running: "set[subprocess.Popen[str]]" = set()


class Run(NamedTuple):
    """How a page went."""

    page: int
    seconds: float
    status: int
    stdout: str
    stderr: str


def main() -> int:
    """Run each page; return 0 if all went well."""
    parser = argparse.ArgumentParser(prog="python -m demos", description="Run the demos, in order.", allow_abbrev=False)
    parser.add_argument("--only", type=_pages, default=list(SCRIPTS), metavar="3,4", help="the pages to run")
    parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for pictures (default: pictures)")
    options = parser.parse_args()
    extra = [f"--out={folder_for(options.out, parser)}", *["--quick"] * options.quick]
    Output()
    first = [page for page in options.only if page != VERDICTS]
    failed, verdicts = [], ""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for pages in (first, [page for page in options.only if page == VERDICTS]):
                for run in pool.map(lambda page: _run(page, extra), pages):
                    _report(run)
                    failed += [run.page] if run.status else []
                    verdicts = run.stdout if run.page == VERDICTS and not run.status else verdicts
        finally:  # after Ctrl-C, begin no other page, and end those that run
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.terminate()
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
    command, start = [sys.executable, str(SCRIPTS[page]), *extra], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        running.add(process)
        stdout, stderr = process.communicate()
        running.remove(process)
    return Run(page, time.monotonic() - start, process.returncode, stdout, stderr)


def _report(run: Run) -> None:
    name = f"{SCRIPTS[run.page].stem:<16}"
    if run.status:
        story = "" if run.status == 2 else run.stdout  # 2: one line on stderr says it all
        print(f"{name}failed after {run.seconds:.0f} s\n{story}{run.stderr.rstrip()}", flush=True)
        return
    print(f"{name}{run.seconds:4.1f} s   {run.stdout.split(chr(10), 1)[0]}", flush=True)
    for picture in re.findall(r"^picture: (.*)$", run.stdout, flags=re.MULTILINE):
        print(f"{'':25}{picture}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
