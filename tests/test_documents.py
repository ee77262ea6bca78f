"""Pages as documents: their cells, and what is made of them, on a terminal, in a notebook, in the book, as Markdown."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demos import explorer
from demos.book import KNOBS, book_of, states
from demos.markdown import Made, markdown_of
from demos.notebook import executed, notebook_of, text_of
from demos.record import record
from scratchlm.pages import plumbing
from scratchlm.pages.cells import cells_of, on_a_terminal

ROOT = Path(__file__).parent.parent
DEMOS = ROOT / "demos"
PAGES = sorted(DEMOS.glob("[0-9]*.py"))
PROSE = {page: [cell for cell in cells_of(page.read_text(encoding="utf-8")) if cell.is_prose] for page in PAGES}
of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

SMALL = """# %% [markdown]
# # Which <way>?
#
# A *level*, `code_of` and 2 < 3 & 4 * 5 * 6.

# %%
from scratchlm.pages.plumbing import Page, heading, plt, say, table

page = Page("05_small", rows=(7, 3))
print("raw & <b>")

# %% [markdown]
# ## A table
#
# - one
# - two

# %% Measured
heading("Rows")
table(["a", "b_c"], [["x|y", "1"]])
print("between")
say(f"{page.rows} rows, <i>")

# %% [markdown]
# **Remember:** that.

# %%
page.save(plt.figure())
page.close()
"""
WAY = [
    "Which <way>?\n\nA *level*, `code_of` and 2 < 3 & 4 * 5 * 6.\nraw & <b>",
    "\nA table\n=======\n\n- one\n- two\n\nRows\n----\na     b_c\n---   ---\nx|y     1\nbetween\n\n3 rows, <i>",
    "\nRemember: that.\n\npicture: ",
]


@pytest.fixture
def small(tmp_path, monkeypatch, capsys):
    """Return a page of a few cells, as it was recorded, and what it printed."""
    script = tmp_path / "05_small.py"
    script.write_text(SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [])
        before = plumbing._recorder
        shown = record(script, ["--quick", "--out", str(tmp_path)])
        plumbing.record_with(before)
    return Made(script, shown), capsys.readouterr().out


# --- the pages themselves --------------------------------------------------------------------------------------------


@of_each_page
def test_a_page_calls_itself_what_its_file_is_called(page):
    assert f'page = Page("{page.stem}"' in page.read_text(encoding="utf-8")


@of_each_page
def test_prose_is_printed_once_in_order_and_before_what_follows_it(page, run):
    _, text, _ = run(int(page.name[:2]))
    places = [text.index(on_a_terminal(cell.text)) for cell in PROSE[page]]
    assert places == sorted(places)
    assert all(text.count(on_a_terminal(cell.text)) == 1 for cell in PROSE[page])


@of_each_page
def test_prose_means_the_same_on_a_terminal_and_as_markdown(page):
    for cell in PROSE[page]:
        for block in re.split(r"\n\s*\n", cell.text):
            first, *others = block.splitlines()
            assert not [line for line in others if re.match(r"\s|[-+*#]+\s|[>=]|\d+[.)]\s", line)], block
            assert not re.search(r"<[A-Za-z/!]|\$|\]\(|(?<!\w)_\w[^_]*_(?!\w)", re.sub(r"`[^`]*`", "", block)), block
            assert first.count("**") % 2 == block.count("`") % 2 == 0


# --- the four ways to show a page ------------------------------------------------------------------------------------


def test_on_a_terminal_prose_stands_before_what_comes_after_it(small):
    _, printed = small
    text = printed
    for part in WAY:
        before, part_found, text = text.partition(part)
        assert part_found, part
        assert before.strip() == ""


def test_the_recorder_knows_what_each_cell_showed_and_no_prose(small):
    page, _ = small
    shown = [
        [],
        [["printed", "raw & <b>"]],
        [],
        [
            ["heading", "Rows"],
            ["table", ["a", "b_c"], [["x|y", "1"]]],
            ["printed", "between"],
            ["paragraph", "3 rows, <i>"],
        ],
        [],
        [["picture", str(page.script.with_suffix(".png"))]],
    ]
    assert json.loads(json.dumps(page.shown)) == shown


def test_a_script_prints_the_same_when_it_is_recorded(tmp_path):
    words = ["--quick", "--out", str(tmp_path)]
    ways = [[DEMOS / "03_normalising.py"], ["-m", "demos.record", DEMOS / "03_normalising.py", tmp_path / "shown"]]
    alone, recorded = (
        subprocess.run([sys.executable, *way, *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
        for way in ways
    )
    assert (alone.returncode, alone.stderr) == (recorded.returncode, recorded.stderr) == (0, "")
    assert alone.stdout == recorded.stdout
    shown = json.loads((tmp_path / "shown").read_text())
    assert len(shown) == len(cells_of((DEMOS / "03_normalising.py").read_text()))
    assert [block[0] for blocks in shown for block in blocks].count("picture") == 2


def test_markdown(small, tmp_path):
    page, _ = small
    text = markdown_of(page, tmp_path / "pages")
    assert "![](../05_small.png)" in text
    assert "| a | b\\_c |\n| :-- | --: |\n| x\\|y | 1 |" in text
    assert "```python\n# Measured\nheading(" in text
    assert "**Rows**" in text
    assert "3 rows, \\<i>" in text
    assert "```text\nraw & <b>\n```" in text


@of_each_page
def test_the_markdown_that_is_committed_is_what_the_page_says_now(page):
    committed = (DEMOS / "gallery" / "pages" / f"{page.stem}.md").read_text(encoding="utf-8")
    cells = cells_of(page.read_text(encoding="utf-8"))
    parts = markdown_of(Made(page, [[] for _ in cells]), DEMOS / "gallery" / "pages")
    assert re.findall(r"^```python\n.*?^```$", committed, re.S | re.M) == re.findall(
        r"^```python\n.*?^```$", parts, re.S | re.M
    )
    rest = committed
    for cell in cells:
        _, found, rest = rest.partition(cell.text)
        assert found, cell.text
    pictures = re.findall(r"!\[\]\(\.\./(.*?)\)", committed)
    assert sorted(pictures) == sorted(path.name for path in (DEMOS / "gallery").glob(f"{page.stem}*.png"))


# --- notebooks -------------------------------------------------------------------------------------------------------


@of_each_page
def test_a_notebook_holds_the_cells_of_its_page(page):
    notebook = notebook_of(page, "a_wheel.whl")
    first, *others = notebook["cells"]
    assert "%pip install --quiet a_wheel.whl" in "".join(first["source"])
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)
    assert notebook_of(page, "a_wheel.whl") == notebook
    cells = cells_of(page.read_text(encoding="utf-8"))
    for cell, made in zip(cells, others[-len(cells) :], strict=True):
        assert "".join(made["source"]).endswith(cell.text)
        assert made["cell_type"] == ("markdown" if cell.is_prose else "code")
    carried = [re.match(r"%%writefile pages/(\S+)", made["source"][0]) for made in others[: -len(cells)]]
    assert len([found for found in carried if found]) == (7 if page.stem == "10_verdicts" else 0)


def numbers_in(text):
    return re.findall(r"\d[\d.,]*(?:e[-+]\d+)?", text)


def outputs_of(path):
    """Return what the cells of an executed notebook show; it is valid, and none of them complains."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"], path
    assert any("image/png" in output.get("data", {}) for output in outputs), path
    return outputs


@pytest.mark.long
def test_a_kernel_runs_a_notebook_alone_in_an_empty_folder(tmp_path):
    # The page with the most cells that draw, and the page that reads others.
    command = [sys.executable, "-m", "demos", "--notebooks", tmp_path, "--execute", "--quick", "--only", "3,10"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (result.returncode, result.stderr) == (0, "")
    outputs_of(tmp_path / "10_verdicts.ipynb")
    shown = "".join(output.get("text", "") for output in outputs_of(tmp_path / "03_normalising.ipynb"))
    script = [sys.executable, DEMOS / "03_normalising.py", "--quick", "--out", tmp_path / "out"]
    printed = subprocess.run(script, capture_output=True, text=True, timeout=100).stdout
    for cell in PROSE[DEMOS / "03_normalising.py"]:
        printed = printed.replace(on_a_terminal(cell.text), "", 1)
    shown, printed = (re.sub(r"^(picture|Next): .*$", "", text, flags=re.MULTILINE) for text in (shown, printed))
    assert numbers_in(shown) == numbers_in(printed)
    assert len(numbers_in(shown)) > 30


@pytest.mark.long
def test_a_kernel_without_ipympl_shows_the_explorer_as_pictures(tmp_path):
    path = tmp_path / "explorer.ipynb"
    path.write_text(text_of(executed(notebook_of(DEMOS / "explorer.py", "scratchlm"), tmp_path, quick=False)))
    pictures = [output for output in outputs_of(path) if "image/png" in output.get("data", {})]
    assert len(pictures) == len(explorer.STORY)


# --- the book --------------------------------------------------------------------------------------------------------


def test_the_book(small):
    page, _ = small
    book = book_of([page])
    assert not re.search(r'(?:src|href)="(?!#|data:)', book)  # nothing is fetched
    assert set(re.findall(r'href="#([^"]+)"', book)) <= {*re.findall(r'id="([^"]+)"', book), "verdicts"}
    assert '<li value="5"><a href="#page-5">Which &lt;way&gt;?</a></li>' in book
    assert "<p>A <em>level</em>, <code>code_of</code> and 2 &lt; 3 &amp; 4 * 5 * 6.</p>" in book
    assert "<h3>A table</h3>" in book
    assert "<ul><li>one</li><li>two</li></ul>" in book
    assert '<th scope="col">b_c</th>' in book
    assert '<td class="numbers">x|y</td><td class="numbers">1</td>' in book
    assert "<strong>Remember:</strong> that." in book
    assert "3 rows, &lt;i&gt;" in book
    assert "raw &amp; &lt;b&gt;" in book
    assert book.count("data:image/png;base64,") == 1
    assert "<!-- " not in book.partition("<main>")[2]


def test_the_book_has_the_verdicts(verdict_page, run):
    script = DEMOS / "10_verdicts.py"
    shown = [[] for _ in cells_of(script.read_text(encoding="utf-8"))]
    shown[-1] = [["picture", str(run.out / "10_verdicts.png")]]
    found = book_of([Made(script, shown)])
    table = found[found.index('<h2 id="verdicts">') : found.index("</table>")]
    assert table.count("<tr>") == 17
    assert "<td>with log-probs in hand, temperature is frozen at 1</td><td><strong>refuted</strong></td>" in table
    assert '<a href="#page-4">4</a>' in table


def test_the_books_explorer_knows_what_the_package_computes():
    found = states()
    assert found["knobs"] == KNOBS
    sizes = [len(values) for values in KNOBS.values()]
    assert len(found["states"]) == np.prod(sizes)
    rng = np.random.default_rng(0)
    for _ in range(30):
        at = [int(rng.integers(size)) for size in sizes]
        T, fed, dtype, c, E = (values[i] for values, i in zip(KNOBS.values(), at, strict=True))
        state = explorer.State((3.2, 1.3, 0.0, -2.1, E), c, T, dtype, fed)
        sentence, scores, _, probs = found["states"][np.ravel_multi_index(at, sizes)]  # as the book looks it up
        assert sentence == explorer.tell(state, explorer.compute(*state))
        assert [float(x) for x in probs] == pytest.approx(explorer.compute(*state).probs.astype(float), abs=6e-4)
        assert [float(x) for x in scores] == pytest.approx(explorer.compute(*state).scores.astype(float), abs=6e-3)


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000", "--dump-dom"]
TURN = """<script>
at("T").value = knobs.T.indexOf(1); at("fed").value = 2; at("fed").dispatchEvent(new Event("input"));
document.body.append(Object.assign(document.createElement("p"), {id: "wider", textContent:
  [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 &&
    !e.closest(".table, pre, .picture, .skip")).map(e => e.tagName + "." + e.className).join(" ")}));
</script></body>"""


@pytest.mark.long
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_book(width, small, tmp_path):
    page, _ = small
    (tmp_path / "inner.html").write_text(book_of([page]).replace("</body>", TURN), encoding="utf-8")
    report = f"""<iframe id="f" src="inner.html" style="width:{width}px;height:900px"></iframe><script>
        f.onload = () => document.body.append(f.contentDocument.documentElement.outerHTML)</script>"""
    (tmp_path / "book.html").write_text(report, encoding="utf-8")
    address = (tmp_path / "book.html").as_uri()
    command = [BROWSER, *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'user'}", address]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    shown = html.unescape(result.stdout)
    assert "With probabilities fed, no score is above 1: the top token gets 0.356;" in shown
    assert "<td>0.356</td>" in shown
    (wider,) = re.findall(r'<p id="wider">(.*?)</p>', shown)
    assert wider == ""  # nothing makes the page scroll sideways


# --- a notebook where there is little --------------------------------------------------------------------------------

WITHOUT_FILE = """
import os, subprocess, sys, threading
if sys.argv[1] == "little":  # as in a browser's Python
    def no(*_, **__):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = subprocess.Popen = no
    for name in ("sched_getaffinity", "fork", "posix_spawn", "register_at_fork"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("hypothesis", "fcntl", "resource", "multiprocessing", "termios"):
        sys.modules[name] = None
with open("cells.py", encoding="utf-8") as cells:
    exec(compile(cells.read(), "cells.py", "exec"), {"__name__": "__main__"})
"""


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "10_verdicts"], ids=lambda page: page.stem)
def test_the_cells_run_without_a_file_and_pages_1_to_9_without_threads_processes_and_hypothesis(page, tmp_path):
    cells = [cell for cell in notebook_of(page, "scratchlm")["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "cells.py").write_text("\n".join("".join(cell["source"]) for cell in cells[1:]), encoding="utf-8")
    (tmp_path / "run_them.py").write_text(WITHOUT_FILE)
    what = "little" if page in PAGES[:9] else "all"
    options = "--quick --out here" + " --steps 300" * (page.stem == "13_collapse")  # which has three long trainings
    environment = {**os.environ, "SCRATCHLM_PAGE_OPTIONS": options, "MPLBACKEND": "Agg"}
    command = [sys.executable, "run_them.py", what]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stderr) == (0, "")
    drawn = {path.name for path in (tmp_path / "here").glob("*.png")}
    assert drawn == {path.name for path in (DEMOS / "gallery").glob(f"{page.stem}*.png")}
