"""The benchmark runs, measures what it says, and is refused what it cannot use. How fast things are is no test."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "demos" / "benchmark.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(DEMO), *map(str, arguments)], capture_output=True, text=True, timeout=200
    )


def test_it_measures_everything_and_keeps_the_figures(tmp_path):
    result = run("--quick", "--milliseconds", 1, "--out", tmp_path, "--json", tmp_path / "all.json", "--threads=1")
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["threads"] == 1
    assert len(figures["functions"]) == 4 * 3 * 2
    for entry in figures["functions"]:
        assert entry["seconds"] > 0
        assert {"naive", "one exp", "a copy"} <= set(entry["ratios"])
        for low, middle, high in entry["ratios"].values():
            assert 0 < low <= middle <= high < math.inf
    assert [entry["batch"] for entry in figures["steps"]] == [32, 256, 1024]
    assert figures["generation"]["names per second"]["ours"] > 0
    linear = figures["linear_cross_entropy_with_grad"]
    assert linear["seconds"] > 0
    assert linear["extra megabytes"].keys() == {"ours", *linear["ratios"]}
    assert linear["largest difference"] < 1e-5
    assert figures["size"]["slope from 2^14"].keys() >= {"ours", "naive"}
    for name in ("benchmark.png", "benchmark_size.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    for heading in ("float32", "A training step", "Writing names", "Peak memory", "A linear layer", "Import"):
        assert f"\n{heading}" in result.stdout


@pytest.mark.parametrize("arguments", [["--threads=0"], ["--threads=many"], ["--json"], ["--milliseconds", "0"]])
def test_what_it_cannot_use_is_one_line(arguments):
    result = run("--quick", *arguments)
    assert result.returncode
    assert "Traceback" not in result.stderr
