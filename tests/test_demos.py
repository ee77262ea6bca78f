"""Every demo, run as a reader runs it; and the numbers in it, not only that it ran."""

import os
import re
import runpy
import shutil
import signal
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


@pytest.fixture
def a_few_demos(tmp_path):
    """Return a folder `demos` with the runner and its first script, to see what the runner does with what it finds."""
    folder = tmp_path / "few" / "demos"
    folder.mkdir(parents=True)
    for name in ("__main__.py", "plumbing.py", "01_overflow.py"):
        shutil.copy(DEMOS / name, folder)
    return folder


def run_all(folder, out):
    command = [sys.executable, "-m", "demos", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)


def test_one_command_runs_every_numbered_script_and_says_where_pictures_went(a_few_demos, tmp_path):
    (a_few_demos / "02_sad.py").write_text("print('Why?')\nraise ValueError('because')\n")
    result = run_all(a_few_demos, tmp_path / "out")
    assert result.returncode == 2
    assert re.search(r"^01_overflow +[\d.]+ s   From which score on", result.stdout, flags=re.MULTILINE)
    assert str(tmp_path / "out" / "01_overflow.png") in result.stdout
    assert re.search(r"^02_sad +failed after", result.stdout, flags=re.MULTILINE)
    assert "because" in result.stdout
    assert "1 of 2 demos ran" in result.stdout
    (a_few_demos / "02_sad.py").unlink()
    assert run_all(a_few_demos, tmp_path / "out").returncode == 0


def test_pictures_that_cannot_be_written_are_one_line(a_few_demos, tmp_path):
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    alone = subprocess.run(
        [sys.executable, str(a_few_demos / "01_overflow.py"), "--out", str(not_a_folder)],
        capture_output=True,
        text=True,
    )
    for result in (alone, run_all(a_few_demos, not_a_folder)):
        assert result.returncode == 2
        assert "cannot write pictures to" in result.stdout + result.stderr
        assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_loses_no_picture(unbuffered, a_few_demos, tmp_path):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    for what in ("demos/01_overflow.py", "-m demos"):
        out = tmp_path / what.replace("/", "_")
        command = f"set -o pipefail; '{sys.executable}' {what} --out '{out}' | head -1"
        result = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, cwd=a_few_demos.parent, env=environment
        )
        assert result.returncode in (0, 2)  # head may have read all before it left
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) <= 1
        assert (out / "01_overflow.png").read_bytes().startswith(PNG)


def test_ctrl_c_is_one_line(a_few_demos, tmp_path):
    (a_few_demos / "01_overflow.py").write_text(
        '"""Why?"""\nimport time\nfrom plumbing import Page\npage = Page(__file__, __doc__)\n'
        'print("ready", flush=True)\ntime.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, str(a_few_demos / "01_overflow.py"), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, if the tests run in the background
    )
    while "ready" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 2
    assert stderr.splitlines() == ["interrupted"]
