"""The accuracy demo on few rows: its numbers, its verdicts, and that it runs without the libraries it compares with."""

import contextlib
import io
import math
import runpy
import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).parent.parent / "demos"
PNG = b"\x89PNG\r\n\x1a\n"


def run_demo(out, rows):
    """Run the demo in this process, on `rows` rows of each kind and length; return its variables and output."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["12_accuracy", "--out", str(out), "--rows", str(rows)])
        patch.syspath_prepend(str(DEMOS))
        variables = runpy.run_path(str(DEMOS / "12_accuracy.py"))
    (picture,) = out.glob("*.png")
    assert picture.name == "12_accuracy.png"
    assert picture.read_bytes().startswith(PNG)
    return variables, printed.getvalue()


@pytest.fixture(scope="module")
def on_three_rows(tmp_path_factory):
    """Return the demo's results on three rows of each kind, and its output."""
    return run_demo(tmp_path_factory.mktemp("pictures"), rows=3)


def check_ours(found):
    for (function, dtype, kind, who), error in found["worst"].items():
        if who == "ours":
            # NumPy's exp in float32 is off by up to 2.6 ulp (numpy/numpy#13134), the sum and the division add as much
            # again, and near a mantissa of 1 an ulp counts double.
            assert error <= 8, (function, dtype, kind)
    for dtype, digits_at_8_ulps in (("float32", 6.0), ("float64", 14.7)):
        assert found["reliable"][dtype, "ours"] > digits_at_8_ulps
        assert found["lost"][dtype, "ours"] == 0


def check_what_no_library_decides(found):
    worst = found["worst"]
    for function in found["FUNCTIONS"]:
        assert worst[function, "float32", "offset", "naive"] == math.inf  # exp(1e4) is inf, exp(-1e4) is 0
    for function in ("log_softmax", "cross_entropy", "gradient"):
        assert worst[function, "float32", "confident", "naive"] == math.inf  # 1 + exp(-20) is 1
    # Half an ulp of 50.6 is 1.9e-6, and a probability has 2^23 to 2^24 ulps: up to 32 of them.
    assert 20 < found["ulps_by_maximum"] < 33
    assert found["ulps_by_whole_number"] < 4
    assert found["by_log"] == 0
    assert found["by_log1p"] == pytest.approx(math.exp(-20), rel=1e-6)


def check_verdicts(found):
    right = {
        "PyTorch log_softmax([20, 0])[0]": -math.log1p(math.exp(-20)),
        "SciPy logsumexp([0, -40])": math.exp(-40),
        "SciPy log_softmax([0, -40])[0]": -math.exp(-40),
        "logsumexp(z) - z[y], z = [1e8, 1e8]": math.log(2),
        "PyTorch cross_entropy([1e8, 1e8])": math.log(2),
        "shift by max(0, max z), z = [-1000, -1000]": 0.5,
        "64 losses in float16: how many differ?": 64,
    }
    assert set(found["verdicts"]) == set(right)
    for _, claim, (theirs, ours, exact), words in found["reports"]:
        assert exact == pytest.approx(right[claim], rel=1e-12, abs=0)
        assert ours == pytest.approx(exact, rel=1e-6, abs=0)  # 8 ulps of float32
        is_right = theirs is not None and float(theirs) == pytest.approx(exact, rel=1e-3, abs=0)
        assert found["verdicts"][claim] == ("not installed" if theirs is None else words[0 if is_right else 1])
    formulas = [claim for claim in right if not claim.startswith(("PyTorch", "SciPy"))]
    assert [found["verdicts"][claim] for claim in formulas] == ["confirmed"] * 3


def test_accuracy(on_three_rows):
    found, text = on_three_rows
    assert len(found["worst"]) == 4 * 2 * 4 * len(found["WHO"])
    check_ours(found)
    check_what_no_library_decides(found)
    check_verdicts(found)
    assert "all lost" in text
    assert "softmax, exact                1.05852033e-22" in text
    assert text.count("pip install") == 4 - len(found["WHO"])


def test_ours_against_the_libraries(on_three_rows):
    pytest.importorskip("scipy.special", reason="a comparison: needs the extra `peers`")
    found, _ = on_three_rows
    worst = found["worst"]
    libraries = [who for who in found["WHO"] if who in ("SciPy", "PyTorch")]
    for function, dtype, kind, who in worst:
        if who == "ours":
            cell = function, dtype, kind
            assert worst[*cell, "ours"] < max(worst[*cell, w] for w in found["WHO"] if w != "ours"), cell
            # Below 4 ulps, the rounding inside exp decides who is nearer. In an offset row, z - max z and exp(0) are
            # exact, so a library's softmax has one rounding fewer than ours there, and may win by an ulp.
            if (function, kind) != ("softmax", "offset"):
                assert worst[*cell, "ours"] <= max(4, min(worst[*cell, w] for w in libraries)), cell


def test_without_the_libraries(tmp_path, monkeypatch):
    for name in ("scipy", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it is an ImportError now
    found, text = run_demo(tmp_path, rows=1)
    assert list(found["WHO"]) == ["naive", "ours"]
    assert text.count("pip install '.[peers]'") == 2
    check_ours(found)
    check_verdicts(found)
    assert list(found["verdicts"].values()).count("not installed") == 4


@pytest.mark.parametrize("rows", ["0", "-1", "many", "9" * 30])
def test_a_bad_number_of_rows_is_refused(rows, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run_demo(tmp_path, rows)
    assert stop.value.code == 2
    assert f"must be a whole number from 1 to a million, not '{rows}'" in capsys.readouterr().err
