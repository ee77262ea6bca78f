"""Run the demos in order, each in a process of its own: python -m demos [--only 3,4] [--quick] [--out DIR].

Each page gets a line with its question, and a line for each of its pictures. Three findings of page 10 come at the end,
with a hint where to look next. The output can be kept as a book or as Markdown, and the pages written as notebooks.
"""

from scratchlm.pages.console import Parser, folder_for, run

import argparse
import json
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

from scratchlm.files import try_to_write, write_whole
from scratchlm.terminal import complain, escaped

FOLDER = Path(__file__).parent
SCRIPTS = {int(path.name[:2]): path for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))}
WIDTH = max(len(path.stem) for path in SCRIPTS.values()) + 1
VERDICTS = 10  # reads what the other pages measured, so it runs last
TELLING = ("A2", "A5", "A10")  # the verdicts that a newcomer reads first
FIRST = 4  # the page that a newcomer reads first


class Run(NamedTuple):
    """The result of running a page."""

    page: int
    seconds: float
    status: int
    stdout: str
    stderr: str


def main() -> int:
    """Run each page, or write the notebooks; return 0 if all went well."""
    parser = Parser(prog="python -m demos", description="Run the demos, in order.", allow_abbrev=False)
    parser.add_argument("--only", type=_pages, default=list(SCRIPTS), metavar="3,4", help="the pages to run")
    parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for pictures (default: pictures)")
    kept = parser.add_argument_group("keep the output of the pages")
    kept.add_argument("--book", type=Path, metavar="FILE.html", help="everything in one file, to read in a browser")
    kept.add_argument("--markdown", type=Path, metavar="DIR", help="a Markdown file for each page")
    notebooks = parser.add_argument_group("take the pages elsewhere")
    notebooks.add_argument(
        "--notebooks", type=Path, metavar="DIR", help="write a notebook for each page, and run no page"
    )
    notebooks.add_argument(
        "--execute", action="store_true", help="run the notebooks, and keep the output of their cells"
    )
    text = "what pip installs on a machine without scratchlm: a name, URL or file (default: scratchlm)"
    notebooks.add_argument("--package", default="scratchlm", metavar="WHAT", help=text)
    options = parser.parse_args()
    if options.execute and not options.notebooks:
        parser.error("--execute needs --notebooks DIR, the folder for the notebooks")
    if options.notebooks:
        return _write_notebooks(options, parser)
    if options.book:
        _or_end(try_to_write, options.book)
    if options.markdown:
        folder_for(options.markdown, parser)
    keep = bool(options.book or options.markdown)
    extra = [f"--out={folder_for(options.out, parser)}", *["--quick"] * options.quick]
    count, total = len(options.only), len(SCRIPTS)
    how_long = ", in one to two minutes" if count == total and not options.quick else ""
    print(f"Running {count} of {total} demos{how_long}. Pictures go to {escaped(str(options.out))}.\n", flush=True)
    with tempfile.TemporaryDirectory() as records:
        failed = _run_all(options.only, extra, Path(records) if keep else None)
        if keep and not failed:
            _keep(options, Path(records))
    print(f"\n{count - len(failed)} of {count} demos ran.", flush=True)
    if failed:
        return 2
    page = FIRST if FIRST in options.only else options.only[0]
    print(f"Read one from top to bottom, with its picture beside it: {os.path.relpath(SCRIPTS[page])}")
    print("What else you can do: python -m scratchlm", flush=True)
    return 0


def _pages(text: str) -> list[int]:
    pages = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(pages) != len(text.split(",")) or not set(pages) <= set(SCRIPTS):
        raise argparse.ArgumentTypeError(
            f"must be pages from {min(SCRIPTS)} to {max(SCRIPTS)}, such as 3,4, not {text!r}"
        )
    return sorted(set(pages))


# --- running ---------------------------------------------------------------------------------------------------------


def _run_all(pages: list[int], extra: list[str], records: Path | None) -> list[int]:
    """Run the pages, and report on each; return those that failed."""
    failed, verdicts = [], ""
    first = [page for page in pages if page != VERDICTS]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for some in (first, [page for page in pages if page == VERDICTS]):
            for ran in pool.map(lambda page: _run(page, extra, records), some):
                _report(ran)
                failed += [ran.page] if ran.status else []
                verdicts = ran.stdout if ran.page == VERDICTS and not ran.status else verdicts
    if found := [match[0] for match in re.finditer(r"^(\w+) .*\n.*", verdicts, re.MULTILINE) if match[1] in TELLING]:
        print("\nThree findings; page 10 has all of them:\n\n" + "\n".join(found))
    return failed


def _run(page: int, extra: list[str], records: Path | None) -> Run:
    script = SCRIPTS[page]
    command = [str(script)] if records is None else ["-m", "demos.record", str(script), str(records / script.stem)]
    start = time.monotonic()
    result = run([sys.executable, *command, *extra])
    return Run(page, time.monotonic() - start, result.returncode, result.stdout, result.stderr)


def _report(ran: Run) -> None:
    name = SCRIPTS[ran.page].stem.ljust(WIDTH)
    if ran.status:
        story = "" if ran.status == 2 else ran.stdout  # status 2: one line on stderr says it all
        why = escaped(f"{story}{ran.stderr.rstrip()}", keep="\n")
        print(f"{name}failed after {ran.seconds:.0f} s\n{why}", flush=True)
        return
    print(f"{name}{ran.seconds:4.1f} s   {ran.stdout.split(chr(10), 1)[0]}", flush=True)
    for picture in re.findall(r"^picture: (.*)$", ran.stdout, flags=re.MULTILINE):
        print(f"{'':{WIDTH + 9}}{picture}", flush=True)


# --- keeping ---------------------------------------------------------------------------------------------------------


def _keep(options: argparse.Namespace, records: Path) -> None:
    """Write the output of the pages as a book and as Markdown."""
    from demos.markdown import Made, markdown_of

    scripts = [SCRIPTS[page] for page in options.only]
    pages = [Made(script, json.loads((records / script.stem).read_text(encoding="utf-8"))) for script in scripts]
    print()
    if options.markdown:
        for page in pages:
            _write(options.markdown / f"{page.script.stem}.md", markdown_of(page, options.markdown))
        print(f"markdown: {escaped(str(options.markdown))}")
    if options.book:
        from demos.book import book_of

        _write(options.book, book_of(pages))
        print(f"book: {escaped(str(options.book))}")


def _write_notebooks(options: argparse.Namespace, parser: Parser) -> int:
    """Write each page as a notebook."""
    from demos.notebook import executed, notebook_of, text_of

    folder = folder_for(options.notebooks, parser)
    scripts = [SCRIPTS[page] for page in options.only]
    if options.only == list(SCRIPTS):
        scripts.append(FOLDER / "explorer.py")
    for script in scripts:
        path = folder / f"{script.stem}.ipynb"
        notebook = notebook_of(script, options.package)
        if options.execute:
            with tempfile.TemporaryDirectory() as empty:
                notebook = executed(notebook, Path(empty), options.quick)
        _write(path, text_of(notebook))
        print(escaped(str(path)), flush=True)
    return 0


def _write(path: Path, text: str) -> None:
    _or_end(write_whole, path, lambda file: file.write(text.encode()))


def _or_end(act, path: Path, *more) -> None:
    try:
        act(path, *more)
    except OSError as error:
        _end(f"cannot write {path}: {error.strerror}")


def _end(why: str) -> NoReturn:
    sys.exit(complain(why, "python -m demos"))


if __name__ == "__main__":
    sys.exit(main())
