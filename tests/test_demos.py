"""Every demo, run as a reader runs it; and the numbers in it, not only that it ran."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run_demo(monkeypatch, tmp_path, capsys):
    """Run a demo in this process; return its variables, its text, and the names of its pictures."""

    def run(name):
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path)])
        monkeypatch.syspath_prepend(str(DEMOS))
        variables = runpy.run_path(str(DEMOS / f"{name}.py"))
        pictures = sorted(tmp_path.iterdir())
        assert all(picture.read_bytes().startswith(PNG) for picture in pictures)
        return variables, capsys.readouterr().out, [picture.name for picture in pictures]

    return run


def test_overflow(run_demo):
    found, text, pictures = run_demo("01_overflow")
    assert pictures == ["01_overflow.png"]
    # The last float below log(largest float): found by bisection, so within one spacing, and exp's own rounding.
    for name, threshold in found["overflow"].items():
        info = np.finfo(name)
        assert threshold == pytest.approx(np.log(float(info.max)), rel=2 * float(info.eps))
    assert [round(x, 2) for x in found["overflow"].values()] == [11.09, 88.72, 709.78]
    for name, (low, high) in found["naive_band"].items():
        assert high < found["overflow"][name]
        assert low > found["underflow"][name]
        last_odd_float = 2.0 ** (np.finfo(name).nmant + 1) - 1
        assert found["our_band"][name] == [-(last_odd_float - 1), last_odd_float + 1]  # s - 1 is the odd one
    assert "11.0859" in text


def test_bigram(run_demo):
    found, text, pictures = run_demo("02_bigram")
    assert pictures == ["02_bigram_roads.png", "02_bigram_table.png"]
    assert round(found["counted_nll"], 5) == 2.33457
    assert 0 <= found["gap"] < 1e-4
    assert found["farthest"] < 0.01
    assert "2.33457 nats per token" in text


def test_mlp(run_demo):
    found, text, pictures = run_demo("03_mlp")
    assert pictures == ["03_mlp.png"]
    assert len(found["errors"]) == 6
    assert found["worst_error"] < 1e-6
    assert found["floor"] - found["final"] > 0.4
    shares = list(found["share_new"].values())
    assert shares == sorted(shares)
    assert "Twelve names at each temperature" in text


def test_all_of_them_by_one_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "demos", "--out", str(tmp_path)], capture_output=True, text=True, cwd=DEMOS.parent
    )
    assert result.returncode == 0, result.stdout
    scripts = sorted(path.stem for path in DEMOS.glob("[0-9]*.py"))
    assert [line.split()[0] for line in result.stdout.splitlines() if line[:1].isdigit()][: len(scripts)] == scripts
    for picture in tmp_path.iterdir():
        assert str(picture) in result.stdout
    assert "4 of 4 demos ran" in result.stdout


@pytest.mark.parametrize("script", ["01_overflow.py", "__main__.py"])
def test_pictures_that_cannot_be_written_are_one_line(script, tmp_path):
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    command = [sys.executable, str(DEMOS / script), "--out", str(not_a_folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "cannot write pictures to" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
