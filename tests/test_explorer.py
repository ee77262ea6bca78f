"""The explorer without a window: turn its knobs, press its keys, and read its bars and its sentence."""

import importlib
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"
UNDERFLOWS = (3.2, 1.3, 0.0, -2.1, -20.0)  # the last is 23 nats below the top: in float16, exp(-17.4) is already 0


@pytest.fixture(scope="module")
def explorer():
    """Return the demo as a module; its windows are drawn only on request, since drawing takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DEMOS))
        patch.setattr("matplotlib.backend_bases.FigureCanvasBase.draw_idle", lambda _: None)
        matplotlib.use("Agg")
        yield importlib.import_module("explorer")


@pytest.fixture(scope="module")
def one_window(explorer):
    """Return the Explorer that the tests share."""
    window = explorer.Explorer()
    yield window
    explorer.plt.close(window.figure)


@pytest.fixture
def window(one_window, monkeypatch, tmp_path):
    """Return the Explorer as it opens, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    one_window.reset()
    return one_window


def turn(window, explorer, **knobs):
    """Turn the knobs to a state, as a hand would."""
    state = explorer.State(**knobs)
    for slider, value in zip(window.sliders, [*state.z, state.c, math.log10(state.temperature)], strict=True):
        slider.set_val(value)
    window.dtype.set_active(explorer.DTYPES.index(state.dtype))
    window.fed.set_active(list(explorer.FED).index(state.fed))
    assert window.state == state


def widths(panel):
    return np.array([bar.get_width() for bar in panel.bars])


def texts(panel):
    return [text.get_text() for text in panel.numbers]


def press(window, *keys):
    for key in keys:
        event = matplotlib.backend_bases.KeyEvent("key_press_event", window.figure.canvas, key)
        window.figure.canvas.callbacks.process("key_press_event", event)


def by_hand(z, temperature=1.0):
    e = np.exp(np.array(z) / temperature)
    return e / e.sum()


def test_the_window_opens_with_the_default_numbers(explorer):
    window = explorer.Explorer()
    explorer.plt.close(window.figure)
    z = np.array(explorer.State().z)
    assert window.state == explorer.State()
    assert widths(window.scores) == pytest.approx(z)
    assert widths(window.log_probs) == pytest.approx(np.log(by_hand(z)))
    assert widths(window.probs) == pytest.approx(by_hand(z))
    assert texts(window.scores) == ["3.20", "1.30", "0.00", "-2.10", "-12.00"]
    assert texts(window.probs) == ["0.837", "0.125", "0.034", "0.004", "2e-07"]
    assert window.title.get_text() == "The highest score, 3.20, gets probability 0.837.\nTurn a knob: what moves?"
    assert window.footer.get_text() == explorer.KEYS


@pytest.mark.parametrize("c", [-1000, -37, 10, 1000])
def test_adding_c_moves_the_scores_and_Z_and_nothing_else(c, window, explorer):
    scores, log_probs, probs = map(widths, (window.scores, window.log_probs, window.probs))
    Z = explorer.compute(*window.state).Z
    turn(window, explorer, c=float(c))
    assert widths(window.scores) == pytest.approx(scores + c)
    Z_with_c = explorer.compute(*window.state).Z
    assert Z_with_c == pytest.approx(Z + c, rel=1e-15)
    assert window.Z_line.get_xdata() == [Z_with_c, Z_with_c]
    assert widths(window.log_probs) == pytest.approx(log_probs, abs=1e-12)
    assert widths(window.probs) == pytest.approx(probs, abs=1e-12)
    moved = f"Adding c = {c} moved Z from 3.38 to {3.376 + c:.2f} nats;\nno probability moved by more than 0.001"
    assert window.title.get_text() == moved
    low, high = window.scores.axes.get_xlim()
    assert high - low == pytest.approx(explorer.NATS)  # the scale is the same for every view
    assert low < widths(window.scores)[0] < high


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0, 7.0, 20.0])
def test_log_probs_do_as_well_as_logits_at_every_temperature(temperature, window, explorer):
    turn(window, explorer, c=10.0, temperature=temperature)
    probs = widths(window.probs)
    assert probs == pytest.approx(by_hand(explorer.State().z, temperature))
    turn(window, explorer, c=10.0, temperature=temperature, fed=explorer.LOG_PROBS)
    assert widths(window.probs) == pytest.approx(probs, rel=1e-12)
    assert abs(explorer.compute(*window.state).Z) < 1e-12
    assert "Log-probs do as well as logits: with Z = 0.00 instead of 13.38," in window.title.get_text()
    assert window.Z_text.get_text() == "Z of the scores fed: 0.00 nats; of z + c: 13.38"


def test_probabilities_fed_as_logits_are_flattened(window, explorer):
    ceiling = math.e / (math.e + 4)
    turn(window, explorer, fed=explorer.PROBS)
    assert widths(window.probs) == pytest.approx(by_hand(by_hand(explorer.State().z)))
    seen = "With probabilities fed, no score is above 1: the top token gets 0.356;"
    assert window.title.get_text() == f"{seen}\nat T = 1 it can get at most 0.405; the logits give it 0.837"
    turn(window, explorer, z=(20.0, -20.0, -20.0, -20.0, -20.0), fed=explorer.PROBS)  # as sure as the knobs allow
    assert widths(window.probs).max() == pytest.approx(ceiling)
    assert widths(window.probs).max() <= ceiling + 1e-15


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_an_underflowed_token_is_gone_at_every_temperature(temperature, window, explorer):
    knobs = {"z": UNDERFLOWS, "temperature": temperature, "dtype": "float16"}
    turn(window, explorer, **knobs, fed=explorer.LOG_OF_PROBS)
    assert widths(window.probs)[4] == 0
    assert [texts(panel)[4] for panel in (window.scores, window.log_probs, window.probs)] == ["-inf", "-inf", "gone"]
    should = explorer.number(by_hand(UNDERFLOWS, temperature)[4])
    seen = "In float16 the probability of E was 0, and log(0) is -inf:"
    assert window.title.get_text() == f"{seen}\ngone at every T; the logits give {should}"
    window.figure.canvas.draw()  # warnings are errors here
    turn(window, explorer, **knobs, fed=explorer.LOG_PROBS)
    assert widths(window.probs) == pytest.approx(by_hand(UNDERFLOWS, temperature), abs=0.001)
    assert texts(window.scores)[4] == "-23.38"
    assert "gone" not in texts(window.probs)
    if temperature == 20:
        assert widths(window.probs)[4] > 0.08


def test_float16_rounds_a_large_offset(window, explorer):
    turn(window, explorer, c=1000.0, dtype="float16")
    assert widths(window.scores).tolist() == [1003, 1001.5, 1000, 998, 988]
    moved = abs(widths(window.probs)[0] - by_hand(explorer.State().z)[0])
    seen = f"Rounding in float16 moved a probability by {moved:.4f};"
    assert window.title.get_text() == f"{seen}\nnear z + c its numbers are up to 0.5 apart"
    assert window.probs.ticks.get_xdata() == pytest.approx(by_hand(explorer.State().z))
    turn(window, explorer, z=(3.2, 1.3, 0.0, -2.1, -13.0), temperature=20.0, dtype="float16", fed=explorer.LOG_OF_PROBS)
    assert window.title.get_text() == "Rounding in float16 moved a probability by 0.0013;\nwith log-probs fed, by 5e-05"


def test_temperature_scales_the_gaps_between_scores(window, explorer):
    turn(window, explorer, temperature=2.0)
    assert widths(window.scores) == pytest.approx(explorer.State().z)  # they are divided inside softmax
    seen = "T = 2 makes every gap between scores 0.5 times as large:"
    top = by_hand(explorer.State().z, 2)[0]
    assert window.title.get_text() == f"{seen}\nthe top probability is {top:.3f}; at T = 1 it is 0.837"


def test_a_bar_that_leaves_the_view_is_marked(window, explorer):
    turn(window, explorer, temperature=0.05)
    assert [cut.get_text() for cut in window.log_probs.cuts] == ["", "", "◂", "◂", "◂"]
    assert texts(window.log_probs)[2:] == ["-64.00", "-106.00", "-304.00"]


def check_sentence(text, state, now):
    """Check the sentence against probabilities computed here."""
    exact = by_hand(state.z, state.temperature)
    off = np.abs(now.probs - exact).max()
    if "no probability moved by more than 0.001" in text:
        assert off <= 0.001 + 1e-12
    if found := re.search(r"moved a probability by ([\d.e-]+);", text):
        assert float(found[1]) == pytest.approx(off, abs=6e-5)
    if found := re.search(r"probability of (.*) was 0", text):
        assert [token in found[1] for token in "ABCDE"] == (now.scores == -np.inf).tolist() == (now.probs == 0).tolist()
    if found := re.search(r"token gets (\S+);\nat T = \S+ it can get at most (\S+);", text):
        assert float(found[1]) == pytest.approx(now.probs.max(), abs=6e-4)
        assert float(found[1]) <= float(found[2])
    if found := re.search(r"top probability is (\S+); at T = 1 it is (\S+)", text):
        assert [float(x) for x in found.groups()] == pytest.approx([exact.max(), by_hand(state.z).max()], abs=2e-3)
    if found := re.search(r"from (\S+) to (\S+) nats", text):
        step = float(np.spacing(np.array(1020, state.dtype))) + 0.01
        assert float(found[2]) - float(found[1]) == pytest.approx(state.c, abs=step)


def test_the_sentence_is_true_in_every_state(explorer):
    rng = np.random.default_rng(0)
    seen = set()
    for fed in explorer.FED:
        for dtype in explorer.DTYPES:
            for _ in range(40):
                spread = rng.choice([0, 1, 5, 20])
                z = tuple(np.round(rng.uniform(-spread, spread, size=5), 1).tolist())
                c = float(rng.choice([0, 0, 10, -300, 1000]))
                temperature = float(f"{rng.choice([1, 10 ** rng.uniform(-1.3, 1.3)]):.3g}")
                state = explorer.State(z, c, temperature, dtype, fed)
                now = explorer.compute(*state)
                text = explorer.tell(state, now)
                check_sentence(text, state, now)
                assert text.count("\n") == 1
                assert max(map(len, text.split("\n"))) <= 75  # longer lines would leave the window
                seen.add(text.split(" ")[0])
    assert seen == {"The", "T", "Adding", "Rounding", "Log-probs", "No", "With", "In"}


def test_keys_turn_the_knobs(window, explorer):
    press(window, "right", "shift+right", "shift+right")
    assert window.state.c == 120
    press(window, "left", "shift+left")
    assert window.state.c == 10
    press(window, "up", "up", "right", "shift+left")  # past E to D
    assert window.state.z == pytest.approx((3.2, 1.3, 0.0, -1.2, -12.0))
    assert [slider.label.get_fontweight() for slider in window.sliders].index("bold") == 3
    press(window, "down", "down", "down", "right")
    assert window.state.temperature == pytest.approx(10**0.1, abs=0.005)
    press(window, "down", *["left"] * 30)  # around to A, and no further than its knob goes
    assert window.state.z[0] == -20


def test_keys_choose_the_dtype_and_what_is_fed_reset_hint_and_save(window, explorer, tmp_path):
    press(window, "d", "f", "f", "right")
    assert window.state == explorer.State(c=100, dtype="float16", fed=explorer.PROBS)
    press(window, "r")
    assert window.state == explorer.State()
    assert widths(window.probs) == pytest.approx(by_hand(explorer.State().z))
    assert window.chosen == explorer.KNOBS.index("offset c")
    hints = []
    for key in "h?h?hh":
        press(window, key)
        hints.append(window.footer.get_text())
    assert len(set(hints)) == 6
    assert [hint.startswith("Try: ") for hint in hints] == [True] * 5 + [False]
    press(window, "s", "s", "x", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["explorer_1.png", "explorer_2.png"]
    assert (tmp_path / "explorer_2.png").read_bytes().startswith(PNG)
    assert window.footer.get_text() == "picture: explorer_2.png"


def test_q_closes_the_window(explorer):
    window = explorer.Explorer()
    assert explorer.plt.fignum_exists(window.figure.number)
    press(window, "q")
    assert not explorer.plt.fignum_exists(window.figure.number)


def test_a_picture_that_cannot_be_written_is_reported_at_the_bottom(window, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(window.figure, "savefig", fail)
    press(window, "s")
    assert window.footer.get_text() == "cannot write explorer_1.png: Permission denied"


def test_texts_do_not_overlap_or_leave_the_window(window, explorer):
    renderer = window.figure.canvas.get_renderer()
    width = window.figure.bbox.width
    for text in explorer.FOOTERS:
        window.say(text)
        assert window.footer.get_window_extent(renderer).x1 < width
    turn(window, explorer, z=(-20.0, -19.9, -19.8, -20.0, -20.0), c=-1000.0)
    edges = [panel.axes.bbox.x0 for panel in (window.log_probs, window.probs)]
    for panel, edge in zip((window.scores, window.log_probs, window.probs), [*edges, width], strict=True):
        for text in panel.numbers:
            box = text.get_window_extent(renderer)
            assert panel.axes.bbox.x1 < box.x0 < box.x1 < edge
    assert window.Z_text.get_window_extent(renderer).x1 < edges[0]


def run(*arguments, **environment):
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, str(DEMOS / "explorer.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**hidden, **environment}, timeout=120)


def test_save_writes_a_picture_and_follows_a_link(explorer, monkeypatch, capsys, tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "picture.png")
    monkeypatch.setattr(sys, "argv", ["explorer.py", "--save", str(tmp_path / "link.png")])
    explorer.main()
    explorer.plt.close("all")
    assert tuple(capsys.readouterr()) == ("", "")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)
    assert (tmp_path / "link.png").is_symlink()


@pytest.mark.long
def test_save_needs_no_display(tmp_path):
    result = run("--save", str(tmp_path / "picture.png"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def main(explorer, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["explorer.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        explorer.main()
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a window needs no DISPLAY")
def test_no_display_gives_one_line():
    result = run(MPLBACKEND="TkAgg")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "--save FILE.png" in result.stderr


def test_a_backend_without_windows_gives_one_line(explorer, monkeypatch, capsys):
    assert "no window can be opened" in main(explorer, monkeypatch, capsys)


def test_a_file_that_cannot_be_written_gives_one_line(explorer, monkeypatch, capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/null")
    nowhere, other, hostile = tmp_path / "nowhere" / "picture.png", tmp_path / "picture.xyz", tmp_path / "\x1b[2J" / "x"
    for path in (nowhere, tmp_path, other, hostile, tmp_path / "pipe.png", tmp_path / "link.png"):
        error = main(explorer, monkeypatch, capsys, "--save", str(path))
        shown = str(path).replace("\x1b", "\\x1b")
        assert error.startswith(f"explorer.py: cannot write {shown}: ")
        assert len(error.splitlines()) == 1
    assert "it is not an ordinary file" in error
    assert (tmp_path / "pipe.png").is_fifo()
    assert os.readlink(tmp_path / "link.png") == "/dev/null"
    assert main(explorer, monkeypatch, capsys, "--nonsense").startswith("explorer.py: unrecognized arguments: --nons")
    explorer.plt.close("all")


WINDOW = """
import sys
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas
def show():
    print("open", flush=True)
    sys.stdin.read()
"""


def test_ctrl_c_gives_one_line(tmp_path):
    (tmp_path / "a_window.py").write_text(WINDOW)
    window = {"MPLBACKEND": "module://a_window", "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, str(DEMOS / "explorer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **window},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored if the tests run in the background
    )
    assert process.stdout.readline() == "open\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (2, "", "scratchlm: interrupted\n")
