"""The README's commands, run unchanged. (Its Python blocks are doctests, and run as such.)"""

import re
import tomllib
from pathlib import Path

import pytest
from calls import run, run_process

from scratchlm.classroom.exercises import EXERCISES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


LESS = {  # the same, but rougher
    "--head": ["--steps", "1500"],
    "train": ["--steps", "300"],
    "examine": ["--budget", "5"],
    "check": ["--budget", "3"],
}


@pytest.mark.parametrize("how", ["with less to do", pytest.param("as they stand", marks=pytest.mark.long)])
def test_the_commands_of_the_readme_work_one_after_another(how, tmp_path):
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python -m scratchlm")]
    commands = [line for line in lines if "if SciPy" not in line]
    assert len(commands) >= 6
    printed = []
    for command in commands:
        arguments = command.partition("#")[0].split()[3:]
        if how == "as they stand":
            result = run_process(*arguments, cwd=tmp_path)
        else:
            less = next((more for word, more in LESS.items() if word in arguments), [])
            result = run(*arguments, *less, cwd=tmp_path)
        assert result.returncode == ("exit status 1" in command), result.stderr
        printed.append(result.stdout)
    _, sampled, scored, wrong, ours, naive, listed, _, unsolved, _ = printed
    assert "13  " in listed
    assert re.search("– +a distribution", unsolved)
    assert "20 of 20 properties hold" in ours
    assert "✗ huge, tiny, alone" in naive
    assert len(sampled.splitlines()) == 5
    assert float(scored.splitlines()[1].split()[0]) < float(scored.splitlines()[2].split()[0])
    assert float(re.search(r"held-out texts: ([\d.]+)", wrong)[1]) > 3.3


def test_the_tour_names_every_room_and_every_demo():
    for path in (ROOT / "scratchlm").glob("*.py"):
        assert path.stem.startswith("__") or f"`{path.name}`" in README
    for path in (ROOT / "demos").glob("[0-9]*.py"):
        question = path.read_text(encoding="utf-8").splitlines()[1].removeprefix("# # ")
        assert f"| `python demos/{path.name}` | {question} |" in README


def test_the_lesson_plans_name_every_page_and_every_exercise():
    plans = (ROOT / "demos" / "README.md").read_text(encoding="utf-8").partition("## A unit of four weeks")[2]
    plan, answers = plans.split("<details>")
    rows = [line.split("|") for line in plan.splitlines() if re.match(r"\| \d\.\d", line)]
    named = {column: [set(map(int, re.findall(r"\d+", row[column]))) for row in rows] for column in (4, 5)}
    assert len(rows) == 8
    assert set().union(*named[4]) == {int(path.name[:2]) for path in (ROOT / "demos").glob("[0-9]*.py")}
    assert sorted(number for numbers in named[5] for number in numbers) == list(EXERCISES)
    for number in range(1, 17):
        assert re.search(rf"^{number}\. ", answers, flags=re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "demos/README.md", "tests/README.md", "scratchlm/classroom/README.md"])
def test_every_link_leads_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_promise_names_an_existing_test():
    promises = (ROOT / "tests" / "README.md").read_text(encoding="utf-8").partition("## Which promise")[2]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, name in named:
            assert not name or f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), name
            assert (ROOT / "tests" / file).exists()


def test_every_test_file_belongs_to_a_room():
    rooms = (ROOT / "tests" / "README.md").read_text(encoding="utf-8").partition("## Which promise")[0]
    exempt = {
        "test_demo_accuracy",
        "test_classroom_zoo",
    }  # one page and one crowd; their rooms have files of their own
    files = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    assert files - exempt == set(re.findall(r"tests/(test_\w+)\.py", rooms)) - exempt


def test_required_dependencies_are_the_promised_ones():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split("[<>=]", name)[0] for name in project["dependencies"]} == {"numpy", "matplotlib", "hypothesis"}
    assert project["optional-dependencies"] == {
        "test": ["pytest", "pytest-xdist"],
        "peers": ["scipy", "torch"],
        "notebooks": ["nbclient", "ipykernel"],
    }
