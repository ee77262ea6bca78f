"""The benchmark runs, measures what it says, and refuses options that it cannot use. Speed itself is not tested."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "demos" / "benchmark.py"
PNG = b"\x89PNG\r\n\x1a\n"


STRICT = ["-OO", "-W", "error", "-X", "warn_default_encoding"]


def run(*arguments):
    command = [sys.executable, *STRICT, str(DEMO), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def check_functions(entries, shapes):
    assert len(entries) == 4 * shapes * 2
    for entry in entries:
        assert entry["seconds"] > 0
        assert {"naive", "one exp", "a copy"} <= set(entry["ratios"])
        for low, middle, high in entry["ratios"].values():
            assert 0 < low <= middle <= high < math.inf


@pytest.fixture
def run_cells(monkeypatch, tmp_path):
    """Return a function that runs pieces of the benchmark one after another in this process, as an editor does."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    monkeypatch.delitem(sys.modules, "threads", raising=False)  # it reads the options and sets the environment
    monkeypatch.setattr(os, "environ", {**os.environ})

    def run_cells(cells, *words):
        monkeypatch.setattr(sys, "argv", [str(DEMO), "--quick", f"--out={tmp_path}", *map(str, words)])
        found = {"__name__": "__main__", "__file__": str(DEMO), "__doc__": "How fast?"}
        for cell in cells:
            exec(compile(cell, DEMO, "exec"), found)

    return run_cells


FIRST, *CELLS = re.split(r"^(?=# %% [A-Z])", DEMO.read_text(encoding="utf-8"), flags=re.MULTILINE)
OTHERS = ("A training step", "Writing names", "Memory", "A linear layer", "Import", "Time against size")


def test_it_measures_functions_of_rows_and_keeps_the_figures(run_cells, tmp_path, capsys):
    first, *cells = [cell for cell in CELLS if not cell.removeprefix("# %% ").startswith(OTHERS)]
    assert len(cells) == 3
    cells = [FIRST, first, "SHAPES = SHAPES[:1]", *cells]  # the first array is small, which is enough here
    run_cells(cells, "--milliseconds=1", "--threads=1", f"--json={tmp_path}/all.json")
    figures = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert figures["threads"] == 1
    check_functions(figures["functions"], shapes=1)
    assert (tmp_path / "benchmark.png").read_bytes().startswith(PNG)
    text = capsys.readouterr().out
    assert f"figures: {tmp_path}/all.json\n" in text
    for function in ("softmax", "log_softmax", "logsumexp", "cross_entropy + gradient"):
        assert text.count(f"\n{function} 32 x 27 ") == 2


@pytest.mark.long
def test_it_measures_everything_and_keeps_the_figures(tmp_path):
    result = run("--quick", "--milliseconds", 1, "--out", tmp_path, "--json", tmp_path / "all.json", "--threads", 1)
    assert (result.returncode, result.stderr) == (0, "")
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["threads"] == 1
    check_functions(figures["functions"], shapes=3)
    assert [entry["batch"] for entry in figures["steps"]] == [32, 256, 1024]
    assert figures["generation"]["names per second"]["ours"] > 0
    linear = figures["linear_cross_entropy_with_grad"]
    assert linear["seconds"] > 0
    assert linear["extra megabytes"].keys() == {"ours", *linear["ratios"]}
    assert linear["largest difference"] < 1e-5
    assert figures["size"]["slope from 2^14"].keys() >= {"ours", "naive"}
    for name in ("benchmark.png", "benchmark_size.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
    for heading in ("float32", "A training step", "Writing names", "Peak memory", "A linear layer", "Import"):
        assert f"\n{heading}" in result.stdout


@pytest.mark.parametrize("arguments", [["--threads=0"], ["--threads", "many"], ["--threads"]])
def test_a_bad_number_of_threads_gives_one_line(arguments):
    result = run("--quick", *arguments)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert "--threads" in result.stderr


@pytest.mark.parametrize("arguments", [["--json"], ["--milliseconds", "0"], ["--json", "/dev/null"]])
def test_a_bad_option_gives_one_line(arguments, run_cells, capsys):
    with pytest.raises(SystemExit) as stop:
        run_cells([FIRST], *arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
