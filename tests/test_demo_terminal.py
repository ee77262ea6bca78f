"""How demos end: alone or all in one command, well or badly, whatever the output, the signals and the warnings.

Most pages here draw nothing: a few lines stand in for Matplotlib, which takes most of a second to load. It is one file
because all tests share these pages.
"""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"
PAGE = '# %% [markdown]\n# # Which?\n\n# %%\nfrom scratchlm.pages.plumbing import Page, plt\npage = Page("01_draws")\n'
DRAWS = f"{PAGE}page.keep(x=1)\nprint('Remember: ±')\npage.save(plt.figure())\n"
WAITS = (  # for a stand-in: reports that it is there, and waits until it may go on
    "import os, pathlib, time\n"
    "def wait(name):\n"
    "    pathlib.Path(os.environ['WAIT'], name).write_text(str(os.getpid()))\n"
    "    while not pathlib.Path(os.environ['WAIT'], 'go').exists(): time.sleep(0.005)\n"
)
MATPLOTLIB = {
    "__init__": "rcParams = {}\ndef use(_): pass\ndef rcdefaults(): pass",
    "figure": f"class Figure:\n    def savefig(self, file, format):\n        file.write({PNG})",
    "pyplot": "from matplotlib.figure import Figure as figure\nrcParams = {}\ndef close(_): pass",
}


@pytest.fixture
def few(tmp_path):
    """Return a folder `demos` with its `__main__.py`, a Matplotlib that draws nothing, and one page."""
    folder = tmp_path / "few" / "demos"
    (folder / "matplotlib").mkdir(parents=True)
    for name in ("__main__.py",):
        shutil.copy(DEMOS / name, folder)
    for name, text in MATPLOTLIB.items():
        (folder / "matplotlib" / f"{name}.py").write_text(text)
    (folder / "01_draws.py").write_text(DRAWS)
    return folder


ALONE, ALL = ["demos/01_draws.py"], ["-m", "demos"]


def run(folder, *words, **options):
    """Run Python beside the folder of demos; return its status and output."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, timeout=900, **options)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# --- all of them in one command --------------------------------------------------------------------------------------


def test_one_command_runs_every_numbered_script_and_prints_where_pictures_went(few, tmp_path):
    (few / "02_sad.py").write_text("print('Why?')\nraise ValueError('because')\n")
    result = run(few, *ALL, "--out", tmp_path / "out", "--quick")
    assert result.returncode == 2
    assert re.search(r"^01_draws +[\d.]+ s   Which\?", result.stdout, flags=re.MULTILINE)
    assert str(tmp_path / "out" / "01_draws.png") in result.stdout
    assert re.search(r"^02_sad +failed after", result.stdout, flags=re.MULTILINE)
    assert "because" in result.stdout
    assert "1 of 2 demos ran" in result.stdout
    (few / "03_says.py").write_text("print('Why?')")
    assert run(few, *ALL, "--out", tmp_path / "out", "--quick", "--only", "3").returncode == 0


def test_the_verdicts_come_last(few, tmp_path):
    verdicts = "Which?\nA1  yes\n 1.0\nA2  with a limit\n 2.0\nA5  no\n 5.0\nA15 yes\n 15.0\n"
    (few / "10_verdicts.py").write_text(f"print({verdicts!r})")
    for name in ("01_draws", "11_last"):
        (few / f"{name}.py").write_text("print('Why?')")
    result = run(few, *ALL, "--out", tmp_path / "out", "--quick")
    assert result.returncode == 0
    assert re.findall(r"^\d\d_\w+", result.stdout, flags=re.MULTILINE) == ["01_draws", "11_last", "10_verdicts"]
    assert result.stdout.startswith("Running 3 of 3 demos. ")
    assert ":\n\nA2  with a limit\n 2.0\nA5  no\n 5.0\n\n3 of 3 demos ran" in result.stdout


@pytest.mark.parametrize("pages", ["0", "3", "1,", "one", "-1", "1.5", ""])
def test_page_numbers_that_do_not_exist_are_refused(pages, few, tmp_path):
    result = run(few, *ALL, "--out", tmp_path / "out", f"--only={pages}")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "must be pages from 1 to 1" in result.stderr
    assert not (tmp_path / "out").exists()


COUNTS = (
    "# %% [markdown]\n# # Why?\n\n# %%\nfrom scratchlm.pages.plumbing import Page\n"
    'page = Page("01_counts", rows=(7, 3))\npage.keep(rows=page.rows)\n'
)


@pytest.fixture
def pages_in_process(few, monkeypatch, tmp_path):
    """Return a function that makes a Page in this process, and that records which pages are run."""
    from scratchlm.pages import plumbing

    ran = []

    def run_page(command):
        ran.append(command[2:])
        monkeypatch.setattr(sys, "argv", command[1:])
        runpy.run_path(command[1])
        return subprocess.CompletedProcess(command, 0, "", "")

    def page(*words):
        monkeypatch.setattr(sys, "argv", ["02_asks.py", "--out", str(tmp_path), *words])
        variables = {"__file__": str(few / "02_asks.py"), "Page": plumbing.Page}
        (few / "02_asks.py").touch()
        return eval('Page("02_asks")', variables)

    alone = plumbing.run
    monkeypatch.setattr(plumbing, "run", run_page)
    page.run, page.ran, page.alone = run_page, ran, lambda: monkeypatch.setattr(plumbing, "run", alone)
    return page


def test_a_page_whose_measurements_are_stale_or_broken_is_run_again(few, pages_in_process, tmp_path, capsys):
    (few / "01_draws.py").rename(few / "01_counts.py").write_text(COUNTS)
    kept, out, ran = tmp_path / "01_counts.json", f"--out={tmp_path}", pages_in_process.ran
    page, quick = pages_in_process(), pages_in_process("--quick")

    def asked(page):
        ran.clear()
        return page.measured(1)["rows"], list(ran)

    assert asked(page) == (7, [[out]])  # missing
    assert asked(page) == (7, [])  # kept
    assert asked(quick) == (3, [[out, "--quick"]])  # was not quick
    assert asked(page) == (7, [[out]])  # was quick
    for junk in ("[]", '{"quick": false}', "[" * 100_000):
        kept.write_text(junk)
        assert asked(page) == (7, [[out]])
    pages_in_process.run([sys.executable, str(page.script(1)), "--rows", "5", out])
    assert asked(page) == (7, [[out]])  # measured with other counts
    os.utime(kept, (0, 0))
    assert asked(page) == (7, [[out]])  # older than the code
    page.script(1).write_text("raise ValueError('no')")
    pages_in_process.alone()
    assert capsys.readouterr().out.count("running page 1 first ...\n") == 8
    with pytest.raises(SystemExit) as stop:
        page.measured(1)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "02_asks: 01_counts.py failed: ValueError: no\n"


# --- output and pictures that cannot be written ----------------------------------------------------------------------

UNREAD = {
    "| true": "nothing reads the output any more",
    "> /dev/full": "cannot write the output: No space left on device",
    "1< /dev/null": "cannot write the output: Bad file descriptor",
    ">&-": "cannot write the output: Bad file descriptor",
}


def in_shell(folder, words, sink, **environment):
    """Run Python in a shell, with its output sent to a sink."""
    command = f"set -o pipefail; '{sys.executable}' {' '.join(map(str, words))} {sink}"
    environment = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=folder.parent, env=environment, timeout=900
    )


@pytest.mark.parametrize(("what", "sink"), [*((ALONE, sink) for sink in UNREAD), (ALL, "| true"), (ALL, ">&-")])
def test_unread_output_loses_no_picture(what, sink, few, tmp_path):
    (few / "00_says.py").write_text("print('Why?')")  # before the page that draws
    result = in_shell(few, [*what, "--out", tmp_path / "out"], sink)
    assert result.returncode == 2
    assert result.stderr == f"scratchlm: {UNREAD[sink]}; the pictures were kept\n"
    assert names_in(tmp_path / "out") == ["01_draws.json", "01_draws.png"]


@pytest.mark.long
@pytest.mark.parametrize(("sink", "unbuffered"), [*zip(UNREAD, ["", "1"] * 2, strict=True)])
def test_unread_output_loses_no_picture_of_real_pages(sink, unbuffered, few, tmp_path):
    for what in ([DEMOS / "01_overflow.py"], [*ALL, "--only", "1,4"]):
        words = [*what, "--quick", "--out", tmp_path / "out"]
        result = in_shell(DEMOS, words, sink, PYTHONUNBUFFERED=unbuffered)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert UNREAD[sink] in result.stderr
        assert "01_overflow.png" in names_in(tmp_path / "out")
    assert "04_temperature.png" in names_in(tmp_path / "out")


@pytest.mark.parametrize(
    "words",
    [
        ALONE,
        ALL,
        pytest.param([DEMOS / "explorer.py"], marks=pytest.mark.long),
        pytest.param([DEMOS / "benchmark.py"], marks=pytest.mark.long),
    ],
    ids=["page", "all", "explorer", "benchmark"],
)
def test_help_that_cannot_be_written_gives_one_line(words, few):
    result = in_shell(few, [*words, "--help"], "> /dev/full")
    assert (result.returncode, result.stderr) == (2, "scratchlm: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("sink", ["2> /dev/full", "2>&-", ">&- 2>&-"])
def test_an_error_message_that_cannot_be_written_leaves_only_the_status(sink, few):
    for what in (ALONE, ALL):
        result = in_shell(few, [*what, "--nonsense"], sink)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


def test_an_out_folder_that_is_a_file_gives_one_line(few, tmp_path):
    (tmp_path / "file\x1b[2J").write_text("")
    for what in (ALONE, ALL):
        result = run(few, *what, "--out", tmp_path / "file\x1b[2J")
        assert (result.returncode, result.stdout) == (2, "")
        assert f"cannot write pictures to {tmp_path}/file\\x1b[2J: " in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_typed_text_cannot_control_the_terminal(few, tmp_path):
    for what in (ALONE, ALL):
        result = run(few, *what, "--\x1b[2J")
        assert (result.returncode, result.stdout) == (2, "")
        assert "unrecognized arguments: --\\x1b[2J; see " in result.stderr
        assert len(result.stderr.splitlines()) == 1
    (few / "02_sad.py").write_text("raise ValueError('\x1b[2J')\n")
    result = run(few, *ALL, "--out", tmp_path / "a\x1b[2Jfolder")
    assert result.returncode == 2
    assert f"{tmp_path}/a\\x1b[2Jfolder/01_draws.png\n" in result.stdout
    assert "ValueError: \\x1b[2J\n" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_a_picture_that_cannot_be_saved_gives_one_line(few, tmp_path):
    (tmp_path / "01_draws.png").mkdir()
    alone = run(few, *ALONE, "--quick", "--out", tmp_path)
    assert alone.returncode == 2
    assert len(alone.stderr.splitlines()) == 1
    assert "cannot write" in alone.stderr
    assert (tmp_path / "01_draws.json").exists()  # measurements are not lost with the picture
    together = run(few, *ALL, "--quick", "--out", tmp_path)
    assert together.returncode == 2
    assert len(together.stdout.splitlines()) < 8


def test_a_pipe_is_not_replaced_by_a_picture_and_a_link_is_followed(few, tmp_path):
    out, kept = tmp_path / "out", tmp_path / "kept.png"
    out.mkdir()
    (out / "01_draws.png").symlink_to(kept)
    assert run(few, *ALONE, "--out", out).returncode == 0
    assert kept.read_bytes() == PNG
    assert (out / "01_draws.png").is_symlink()
    (out / "01_draws.png").unlink()
    os.mkfifo(out / "01_draws.png")
    (out / "01_draws.json").unlink()
    result = run(few, *ALONE, "--out", out)
    why = "it is not an ordinary file, and would be replaced by one"
    assert (result.returncode, result.stderr) == (2, f"01_draws: cannot write {out}/01_draws.png: {why}\n")
    assert (out / "01_draws.png").is_fifo()
    (out / "01_draws.json").unlink()
    (out / "01_draws.json").symlink_to("/dev/null")
    result = run(few, *ALONE, "--out", out)
    assert (result.returncode, result.stderr) == (2, f"01_draws: cannot write {out}/01_draws.json: {why}\n")
    assert names_in(out) == ["01_draws.json", "01_draws.png"]


# --- requests to end -------------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def interrupted(few, tmp_path):
    """Return a function that runs Python until something waits, sends it a signal, and returns how it ended."""
    (tmp_path / "wait").mkdir()
    (few / "waits.py").write_text(WAITS)

    def begin(*words, ignored=None):
        def as_in_a_shell():  # if the tests run in the background, SIGINT is ignored
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

        return subprocess.Popen(
            [sys.executable, *map(str, words), "--out", str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=few.parent,
            env={**os.environ, "WAIT": str(tmp_path / "wait"), "PYTHONPATH": str(few)},
            preexec_fn=as_in_a_shell,
        )

    def after(*words, number, at, then=False, ignored=None):
        """Send a signal when `at` waits; if `then`, let it go on."""
        process = begin(*words, ignored=ignored)
        until(lambda: (tmp_path / "wait" / at).exists() and (tmp_path / "wait" / at).read_text())
        process.send_signal(number)
        if then:
            (tmp_path / "wait" / "go").touch()
        stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout, stderr

    yield after
    (tmp_path / "wait" / "go").touch()  # releases anything that should have ended


def until(happened):
    """Wait until something has happened."""
    latest = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < latest
        time.sleep(0.005)


def runs(process):
    """Return whether the process whose number is in a file is running."""
    try:
        os.kill(int(process.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


INTERRUPTED = (2, "", "scratchlm: interrupted\n")


IS_THERE = "import scratchlm.pages.console, waits\nprint('Which?')\nwaits.wait({!r})\n"  # a page without the plumbing


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("what", [ALONE, ALL], ids=["page", "all"])
def test_a_signal_ends_a_page_with_one_line_and_every_process_it_started(what, number, few, interrupted, tmp_path):
    (few / "01_draws.py").write_text(IS_THERE.format("a page"))
    status, stdout, stderr = interrupted(*what, number=number, at="a page")
    assert (status, stderr) == (2, "scratchlm: interrupted\n")
    assert stdout.rstrip().endswith("out." if what == ALL else "Which?")  # printed lines are not lost
    assert not runs(tmp_path / "wait" / "a page")


def test_a_signal_also_ends_the_page_that_a_page_runs_first(few, interrupted, tmp_path):
    (few / "01_draws.py").write_text(IS_THERE.format("first"))
    (few / "02_asks.py").write_text(f"{PAGE}page.measured(1)\n")
    status, _, stderr = interrupted(few / "02_asks.py", number=signal.SIGTERM, at="first")
    assert (status, stderr) == (2, "scratchlm: interrupted\n")
    assert not runs(tmp_path / "wait" / "first")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_that_is_still_loading_ends_with_one_line(number, few, interrupted):
    (few / "textwrap.py").write_text("import waits\nwaits.wait('loading')\n")  # instead of Python's own
    assert interrupted(*ALONE, number=number, at="loading") == INTERRUPTED


def test_a_signal_does_not_interrupt_the_loading_of_matplotlib(few, interrupted):
    # It holds a lock while it writes its font cache; left behind, the lock would delay every later page by 5 seconds.
    (few / "matplotlib" / "__init__.py").write_text("import waits\nwaits.wait('locked')\nprint('unlocked')")
    status, stdout, stderr = interrupted(*ALONE, number=signal.SIGINT, at="locked", then=True)
    assert (status, stdout, stderr) == (2, "unlocked\n", "scratchlm: interrupted\n")


def test_a_picture_is_written_to_the_end_and_leaves_no_temporary_file(few, interrupted, tmp_path):
    (few / "matplotlib" / "figure.py").write_text(
        "import waits\nclass Figure:\n    def savefig(self, file, format):\n"
        "        file.write(b'half')\n        file.flush()\n"
        "        waits.wait('half')\n        file.write(b' whole')\n"
    )
    (few / "01_draws.py").write_text(f"{DRAWS}page.keep(went='on')\n")
    status, _, stderr = interrupted(*ALONE, number=signal.SIGTERM, at="half", then=True)
    assert (status, stderr) == (2, "scratchlm: interrupted\n")
    assert (tmp_path / "out" / "01_draws.png").read_text() == "half whole"
    assert "went" not in (tmp_path / "out" / "01_draws.json").read_text()
    assert names_in(tmp_path / "out") == ["01_draws.json", "01_draws.png"]


def test_an_interrupted_page_still_runs_the_exit_handlers_of_libraries(few, interrupted):
    # If its own folder is not writable, Matplotlib makes another one, and removes it at exit.
    (few / "01_draws.py").write_text(
        "import scratchlm.pages.console, atexit, waits\natexit.register(print, 'removed')\nwaits.wait('there')\n"
    )
    assert interrupted(*ALONE, number=signal.SIGINT, at="there") == (2, "removed\n", "scratchlm: interrupted\n")


@pytest.mark.parametrize("what", [ALONE, ALL], ids=["page", "all"])
def test_under_nohup_a_page_survives_the_closing_of_its_terminal(what, few, interrupted):
    (few / "01_draws.py").write_text(IS_THERE.format("a page") + "print('went on')\n")
    hup = signal.SIGHUP
    status, stdout, stderr = interrupted(*what, number=hup, at="a page", then=True, ignored=hup)
    assert (status, stderr) == (0, "")
    assert ("1 of 1 demos ran" if what == ALL else "went on") in stdout


# --- a machine short of resources, and Python's own options ----------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("OSError(24, 'Too many open files', 'a\\x1bb')", "[Errno 24] Too many open files: 'a\\x1bb'"),
        ("MemoryError", "there is not enough memory"),
        ('RuntimeError("can\'t start new thread")', "can't start new thread"),
    ],
)
def test_a_missing_resource_gives_one_line(error, line, few, tmp_path):
    (few / "01_draws.py").write_text(f"import scratchlm.pages.console\nraise {error}\n")
    result = run(few, *ALONE, "--out", tmp_path)
    assert (result.returncode, result.stderr) == (2, f"scratchlm: {line}\n")


def test_an_error_in_a_page_is_reported_with_its_line(few, tmp_path):
    (few / "01_draws.py").write_text("import scratchlm.pages.console\n1 / 0\n")
    result = run(few, *ALONE, "--out", tmp_path)
    assert result.returncode == 1
    assert 'demos/01_draws.py", line 2' in result.stderr


def test_a_process_that_cannot_be_started_gives_one_line(few, tmp_path):
    no = "import subprocess\ndef no(*_, **__):\n    raise BlockingIOError(11, 'no process')\nsubprocess.Popen = no\n"
    main = (few / "__main__.py").read_text()
    (few / "__main__.py").write_text(main.replace("import argparse\n", f"import argparse\n{no}"))
    (few / "02_asks.py").write_text(f"{PAGE}{no}page.measured(1)\n")
    for what in (ALL, [few / "02_asks.py"]):
        result = run(few, *what, "--out", tmp_path / "out")
        assert (result.returncode, result.stderr) == (2, "scratchlm: [Errno 11] no process\n")


# Every warning is an error, and Matplotlib has never run before and cannot keep its cache.
STRICT = {"PYTHONWARNINGS": "error", "PYTHONWARNDEFAULTENCODING": "1", "PYTHONUTF8": "0", "LC_ALL": "C"}


def strict(tmp_path, *words, folder=DEMOS, encoding="ascii", **more):
    environment = {**os.environ, **STRICT, "PYTHONIOENCODING": encoding, **more}
    environment |= {"MPLCONFIGDIR": "/dev/null/nowhere", "TMPDIR": str(tmp_path)}
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nno.such.key: 1\n")
    environment |= {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(tmp_path)}
    result = run(folder, *words, env=environment, encoding=encoding.partition(":")[0])
    assert result.returncode == 0
    assert result.stderr == ""
    assert not list(tmp_path.glob("matplotlib-*"))  # its temporary folder
    return result


def test_a_page_prints_its_text_whatever_the_warnings_and_the_encoding(few, tmp_path):
    result = strict(tmp_path, DEMOS / "04_temperature.py", "--quick", "--out", tmp_path)
    assert result.stdout.startswith("Is the temperature lost when a model outputs log-probs instead of logits?\n\n")
    assert (tmp_path / "04_temperature.png").read_bytes().startswith(PNG)
    result = strict(tmp_path, *ALL, "--out", tmp_path / "ü", folder=few, encoding="latin-1")
    assert result.stderr == ""
    assert re.search(r"^01_draws .* s   Which\?", result.stdout, flags=re.MULTILINE)


@pytest.mark.long
def test_all_demos_run_whatever_the_warnings_the_encoding_and_the_optimisation(tmp_path):
    strict(tmp_path, *ALL, "--quick", "--out", tmp_path, PYTHONOPTIMIZE="2")
    strict(tmp_path, DEMOS / "explorer.py", "--save", tmp_path / "x.png", PYTHONOPTIMIZE="2")
    for page, encoding in zip("1346", ("ascii", "utf-16", "cp1252", "utf-8:strict"), strict=True):
        (script,) = DEMOS.glob(f"0{page}_*.py")
        result = strict(tmp_path, script, "--quick", "--out", tmp_path, encoding=encoding, PYTHONOPTIMIZE="2")
        assert len(result.stdout) > 1000
