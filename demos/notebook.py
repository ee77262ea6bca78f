"""Pages as notebooks: one `.ipynb` each, in Jupyter's format 4.5, that runs on its own in an empty folder."""

import json
import os
import re
from pathlib import Path
from typing import Any

from scratchlm.pages.cells import cells_of
from scratchlm.terminal import complain, in_one_line

INSTALL = """\
# Installs scratchlm if it is missing, for example on Colab.
import importlib.util

if importlib.util.find_spec("scratchlm") is None:
    %pip install --quiet {package}"""
CARRIED = """\
## The pages that this one reads

This page reads measurements of other pages, and runs those that have not been run yet. A notebook stands alone, so it
brings them along: the next cells write them to the folder `pages`."""
READS = re.compile(r"page\.measured\(number\) for number in \(([\d, ]+)\)")

Notebook = dict[str, Any]


def notebook_of(page: Path, package: str) -> Notebook:
    """Return a page as a notebook, which installs a missing scratchlm from `package`."""
    cells = [_code(INSTALL.format(package=package)), *_carried(page)]
    for cell in cells_of(page.read_text(encoding="utf-8")):
        title = f"# {cell.title}\n" if cell.title else ""
        cells.append(_prose(cell.text) if cell.is_prose else _code(title + cell.text))
    for i, made in enumerate(cells):
        made["id"] = f"{page.stem}-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _carried(page: Path) -> list[Notebook]:
    """Return the cells that write the pages that this one reads."""
    found = READS.search(page.read_text(encoding="utf-8"))
    if not found:
        return []
    scripts = [script for number in found[1].split(",") for script in page.parent.glob(f"{int(number):02}_*.py")]
    cells = [_prose(CARRIED), _code('from pathlib import Path\n\nPath("pages").mkdir(exist_ok=True)')]
    for script in scripts:
        carried = _code(f"%%writefile pages/{script.name}\n{script.read_text(encoding='utf-8')}")
        carried["metadata"] = {"jupyter": {"source_hidden": True}}
        cells.append(carried)
    return cells


def _prose(text: str) -> Notebook:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> Notebook:
    lines = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines}


def text_of(notebook: Notebook) -> str:
    """Return the content of a notebook's file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def executed(notebook: Notebook, folder: Path, quick: bool) -> Notebook:
    """Return a notebook with the output of its cells, run in a folder.

    Errors: SystemExit in one line if nbclient is missing or a cell fails.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        why = "--execute needs nbclient and ipykernel: python -m pip install 'scratchlm[notebooks]'"
        raise SystemExit(complain(why)) from None
    os.environ["SCRATCHLM_PAGE_OPTIONS"] = "--quick" if quick else ""
    node = nbformat.reads(json.dumps(notebook), as_version=4)
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        node, timeout=None, kernel_name="python3", resources=place, extra_arguments=["--log-level=40"]
    )
    try:
        client.execute()
    except CellExecutionError as error:
        page = notebook["cells"][0]["id"].removesuffix("-0")
        raise SystemExit(complain(in_one_line(f"{page} failed: {error.ename}: {error.evalue}"))) from None
    for cell in node.cells:
        cell.metadata.pop("execution", None)  # the time of day, which changes with every run
    return json.loads(nbformat.writes(node))
