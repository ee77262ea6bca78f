"""The house rules that a machine can check: which module imports which, what importing costs, what docstrings say."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlm import functional
from scratchlm._engine.sums import row_sum

PACKAGE = Path(__file__).parent.parent / "scratchlm"

# A room may import only rooms listed before it.
ROOMS = [
    "terminal",
    "files",
    "_engine",
    "ladder",
    "naive",
    "functional",
    "oracle",
    "gradcheck",
    "data",
    "objectives",
    "models",
    "optim",
    "progress",
    "training",
    "sampling",
    "properties",
    "settings",
    "checkpoint",
    "runs",
    "pages",
    "classroom",
    "cli",
    "__main__",
]
PUBLIC = {
    "functional": """logsumexp softmax log_softmax nll_loss cross_entropy softmax_backward log_softmax_backward
        logsumexp_backward nll_loss_backward cross_entropy_backward cross_entropy_with_grad""",
    "ladder": "naive shifted on_paper log1p_odds",
    "naive": "softmax log_softmax logsumexp cross_entropy",
    "oracle": "logsumexp softmax log_softmax cross_entropy ulp_error",
    "gradcheck": "numerical_gradient max_relative_error",
    "data": "load_names read_text Vocabulary",
    "models": "BigramLM MLPLM",
    "objectives": "Objective HEADS LOSSES",
    "properties": "examine PROPERTIES",
    "sampling": "apply_temperature top_k top_p min_p repetition_penalty scores_kind sample generate",
}
FORMULAS = [
    (room, name)
    for room in ("functional", "sampling", "gradcheck")
    for name in PUBLIC[room].split()
    if name != "generate"
]


def imported_rooms(path):
    """Return the rooms of the package that a file imports, wherever in the file."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("scratchlm.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "scratchlm":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scratchlm."):
            rooms.add(node.module.split(".")[1])
        assert not (isinstance(node, ast.ImportFrom) and node.level), "relative imports hide the room"
    return rooms


def files_of(room):
    """Return the files of a room: a single file, or those in its folder."""
    folder = PACKAGE / room
    return sorted(folder.glob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]


def test_every_room_is_in_the_list():
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert files | folders == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room):
    for path in files_of(room):
        assert imported_rooms(path) - {room} <= set(ROOMS[: ROOMS.index(room)])


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_no_file_in_a_folder_has_the_name_of_a_room(room):
    names = {path.stem.strip("_") for path in files_of(room)}
    assert not names & {room.strip("_") for room in ROOMS}


def test_every_function_has_a_name_that_says_something():
    for path in PACKAGE.rglob("*.py"):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        assert "_" not in {function.name for function in functions}, path


def test_the_twins_import_nothing_and_the_witnesses_only_the_checks():
    for room in ("terminal", "ladder", "naive", "progress"):
        assert imported_rooms(PACKAGE / f"{room}.py") == set()
    for room in ("oracle", "gradcheck", "data"):
        assert imported_rooms(PACKAGE / f"{room}.py") == {"_engine"}
        assert "_engine.checks import" in (PACKAGE / f"{room}.py").read_text()


def test_each_file_of_the_engine_imports_only_files_before_it():
    order = ["checks", "sums", "blocks", "arrays"]
    assert {path.stem for path in files_of("_engine")} == {"__init__", *order}
    for i, name in enumerate(order):
        nodes = ast.walk(ast.parse((PACKAGE / "_engine" / f"{name}.py").read_text()))
        modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {m.rpartition(".")[2] for m in modules if m.startswith("scratchlm")} <= set(order[:i])


# --- the heart -------------------------------------------------------------------------------------------------------

HEART = [node for node in ast.parse((PACKAGE / "functional.py").read_text()).body if isinstance(node, ast.FunctionDef)]


def body_of(function):
    """Return the statements of a function, without its docstring."""
    return function.body[1:] if ast.get_docstring(function) else function.body


def statements_in(nodes):
    return [node for top in nodes for node in ast.walk(top) if isinstance(node, ast.stmt)]


@pytest.mark.parametrize("function", HEART, ids=lambda function: function.name)
def test_a_formula_takes_rows_and_returns_values(function):
    parameters = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    body = [node for statement in body_of(function) for node in ast.walk(statement)]
    assert parameters <= {node.id for node in body if isinstance(node, ast.Name)}, "an argument is unused"
    assert not [node for node in body if isinstance(node, ast.FunctionDef | ast.Lambda)], "a function in a function"
    assert not [node for node in body if isinstance(node, ast.keyword) and node.arg == "out"]
    calls = [node for node in body if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "put"]
    written = [call.args[0] for call in calls]
    targets = [t for node in body if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AugAssign | ast.AnnAssign)]
    written += [t.value if isinstance(t, ast.Subscript) else t for t in targets]
    assert not parameters & {node.id for node in written if isinstance(node, ast.Name)}, "it writes to an argument"
    if function.name != "linear_cross_entropy_with_grad":
        assert len(statements_in(body_of(function))) <= 9


def test_changing_a_formula_changes_what_callers_get(monkeypatch):
    # What you read is what runs: the public name hides no second copy, for small arrays or for large ones.
    def broken(e):
        return 2 * row_sum(e)

    monkeypatch.setattr(functional, "row_sum", broken)
    for rows in (2, 20_000):
        assert functional.softmax(np.zeros((rows, 27))).sum() == pytest.approx(rows / 2)
        loss = functional.cross_entropy(np.zeros((rows, 27)), np.zeros(rows, int))
        assert loss == pytest.approx(np.log1p(2 * 26))


@pytest.mark.parametrize("name", functional.__all__)
def test_a_function_of_the_heart_shows_its_own_source_and_signature(name):
    function = getattr(functional, name)
    source = inspect.getsource(function)
    assert f"def {name}(" in source
    assert inspect.getsourcefile(inspect.unwrap(function)) == functional.__file__
    assert function.__doc__
    assert not {"args", "kwargs", "arguments", "named"} & set(inspect.signature(function).parameters)


def test_import_loads_numpy_only():
    rooms = [f"scratchlm.{room}" for room in ROOMS if room not in ("properties", "__main__")]
    numpy = "import sys, numpy, numpy.random; before = set(sys.modules)"
    script = f"{numpy}; import {', '.join(rooms)}; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert loaded <= {"scratchlm", "numpy"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize(("room", "names"), [(room, names.split()) for room, names in PUBLIC.items()])
def test_public_names_exist_and_are_documented(room, names):
    module = importlib.import_module(f"scratchlm.{room}")
    for name in names:
        thing = getattr(module, name)
        if callable(thing):
            doc = inspect.getdoc(thing)
            assert doc.splitlines()[0].endswith(".")
            tests = doctest.DocTestFinder().find(thing, name, module)
            assert any(test.examples for test in tests), f"{room}.{name} has no example"


@pytest.mark.parametrize(("room", "name"), FORMULAS)
def test_a_function_that_computes_a_formula_states_it_and_its_shapes(room, name):
    doc = inspect.getdoc(getattr(importlib.import_module(f"scratchlm.{room}"), name))
    assert "Shapes:" in doc
    assert "Formula:" in doc or name == "top_k"


@pytest.mark.parametrize("room", ROOMS)
def test_no_function_is_longer_than_a_screen(room):
    # Exempt: a list of options, a loop that reads as one piece, and `_of_a...`, which enter short properties in turn.
    long = ("_parser", "train")
    for path in files_of(room):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name not in long and not node.name.startswith("_of_a"):
                doc = ast.get_docstring(node, clean=False) or ""
                assert node.end_lineno - node.lineno + 1 - len(doc.splitlines()) <= 40, node.name


def test_the_command_line_only_parses_calls_and_prints():
    assert len((PACKAGE / "cli.py").read_text().splitlines()) < 260


def test_a_long_file_says_why_it_is_one():
    # A page of demos is exempt: it is as long as its story.
    for path in [*PACKAGE.rglob("*.py"), *Path(__file__).parent.glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            assert "one file because" in " ".join(text.partition('"""\n\n')[0].split()) or "one long file" in text, path
