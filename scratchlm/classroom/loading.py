"""Runs a student's code on the far side of the wall, statement by statement, so a failing one costs only itself.

In: a student's sources. Out: modules whose functions can be called, and what went wrong on the way.
"""

import __future__

import ast
import contextlib
import importlib.abc
import importlib.machinery
import inspect
import itertools
import re
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from scratchlm.classroom.stand_ins import STAND_INS, Finder, classroom

PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python", "%%writefile", "%%file")
MAGIC = re.compile(r"^([ \t]*)(?:[\w, \t]+=[ \t]*)?(?:[%!](?![ =])|\?).*$|^([ \t]*)[\w.]+\?{1,2}[ \t]*$", re.MULTILINE)
PACKAGE = "handed_in"  # where `from .utils import x` looks
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
MOST_TROUBLES = 10
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # what a parser raises for text that is not Python


class Source(NamedTuple):
    """A student's file: its name, the name without what platforms add, and its cells, each with its label."""

    name: str
    plain_name: str
    cells: list[list[str]]


class Sources:
    """A student's files, each run once: when it is asked for, or when another imports it."""

    def __init__(self, sources: list[Any]) -> None:
        self.sources = [Source(*source) for source in sources]
        self.modules: dict[int, types.ModuleType] = {}
        self.troubles: dict[int, list[str]] = {}
        self.by_name: dict[str, int] = {}  # "week1.softmax" and "softmax" are both week1/softmax.py
        for index in reversed(range(len(self.sources))):
            source = self.sources[index]
            folders = PurePosixPath(source.name).parent.parts
            path = [re.sub(r"\W", "_", part) for part in (*folders, source.plain_name.partition(".")[0])]
            for start in range(len(path)):
                self.by_name[".".join(path[start:])] = index

    @property
    def labels(self) -> set[str]:
        """Return the labels of all cells: the places where a student's lines can be."""
        return {label for source in self.sources for label, _ in source.cells}

    def loaded(self, index: int, definitions_only: bool = False) -> types.ModuleType:
        """Return a file as a module, run as far as it goes, or only its definitions if it takes too long to run."""
        if index not in self.modules:
            source = self.sources[index]
            module = types.ModuleType(source.plain_name.partition(".")[0])
            module.__file__, module.__package__ = source.name, PACKAGE
            self.modules[index], self.troubles[index] = module, []
            self.run(index, module, definitions_only)
        return self.modules[index]

    def run(self, index: int, module: types.ModuleType, definitions_only: bool) -> None:
        """Run the statements of a file one by one; note each one that fails, and run the next."""
        flags = 0
        for label, text in self.sources[index].cells:
            try:
                statements = parsed(text, label).body
                only_definitions = definitions_only
            except NO_PYTHON as error:
                self.note(index, error, label, "could not be read")
                statements, only_definitions = list(salvaged(text, label)), True
            for statement in statements:
                flags |= _future(statement)
                if only_definitions and not _defines(statement):
                    continue
                try:
                    code = compile(ast.Module([statement], []), label, "exec", flags, dont_inherit=True)
                    exec(code, module.__dict__)
                except BaseException as error:
                    self.note(index, error, label, "failed")

    def note(self, index: int, error: BaseException, label: str, how: str) -> None:
        """Record what went wrong in a cell."""
        told = described(error, {label})
        where = f"{label}, line {told['line']}" if isinstance(told["line"], int) else label
        if len(self.troubles[index]) < MOST_TROUBLES:
            self.troubles[index].append(f"{where} {how}: {told['raised']}: {told['text']}".rstrip(": "))


class Imports(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets a student's files import one another, and reports packages that are not available."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a module comes from. Errors: ModuleNotFoundError if it is neither the student's nor Python's."""
        name_there = name.removeprefix(f"{PACKAGE}.")
        names = self.sources.by_name
        if name_there in names or name == PACKAGE or any(known.startswith(f"{name_there}.") for known in names):
            return importlib.machinery.ModuleSpec(name, self, is_package=name_there not in names)
        if name.partition(".")[0] in sys.stdlib_module_names or path is not None:
            return None
        raise ModuleNotFoundError(
            f"{name} is not among the submitted files; besides these, only NumPy and Python's own library can be "
            "imported",
            name=name,
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Return the module of a file, or an empty one for a folder."""
        index = self.sources.by_name.get(spec.name.removeprefix(f"{PACKAGE}."))
        return None if index is None else _alias(self.sources.loaded(index), spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the file has run already."""


def _alias(module: types.ModuleType, name: str) -> types.ModuleType:
    """Return another module with the same names in it, because import writes into the module."""
    other = types.ModuleType(name)
    other.__dict__.update({key: value for key, value in vars(module).items() if not key.startswith("__")})
    return other


def let_import(sources: Sources) -> None:
    """Let a student's files import one another, and stand-ins for packages that draw and display."""
    sys.meta_path[:] = [Finder(), *sys.meta_path, Imports(sources)]
    for name in [name for name in sys.modules if name.partition(".")[0] in STAND_INS]:
        del sys.modules[name]
    ours = types.ModuleType("scratchlm")
    ours.__path__ = []
    ours.classroom = classroom()  # type: ignore[attr-defined]
    sys.modules |= {"scratchlm": ours, "scratchlm.classroom": ours.classroom}


def parsed(text: str, label: str) -> ast.Module:
    """Return a text as statements; if it is not Python, try without magics, and with spaces in place of tabs.

    Errors: SyntaxError, from the text without magics.
    """
    lines = text.split("\n", 1)
    if lines[0].lstrip().startswith("%%"):
        kept = lines[0].split()[0] in PYTHON_CELLS and len(lines) > 1
        text = "\n" + lines[1] if kept else ""
    try:
        return ast.parse(text, label)
    except SyntaxError:
        text = MAGIC.sub(lambda found: f"{found[1] or found[2] or ''}pass", text)
    for attempt in (text, text.expandtabs(8)):  # last comes the other width, whose error is the one reported
        with contextlib.suppress(SyntaxError):
            return ast.parse(attempt, label)
    return ast.parse(text.expandtabs(4), label)


def salvaged(text: str, label: str) -> Iterator[ast.stmt]:
    """Yield those statements of a text that are Python, if the text as a whole is not.

    A piece begins wherever a line begins at the margin.
    """
    lines = text.expandtabs(4).split("\n")
    starts = [n for n, line in enumerate(lines) if line and line[0] not in " #)]}"]
    decorated = {after for before, after in itertools.pairwise(starts) if lines[before].startswith("@")}
    starts = [n for n in starts if n not in decorated]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        with contextlib.suppress(*NO_PYTHON):
            for statement in ast.parse("\n".join(lines[start:end]), label).body:
                yield ast.increment_lineno(statement, start)


def _future(statement: ast.stmt) -> int:
    if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
        return 0
    return sum(getattr(__future__, alias.name).compiler_flag for alias in statement.names if alias.name != "*")


def _defines(statement: ast.stmt) -> bool:
    """Return whether a statement takes no time: it defines or imports something, or names a number."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        parts = ast.walk(statement.value) if statement.value else ()
        return not any(isinstance(part, ast.Call | ast.ListComp | ast.GeneratorExp | ast.Pow) for part in parts)
    return isinstance(statement, DEFINITIONS)


def described(error: BaseException, labels: set[str]) -> dict[str, Any]:
    """Return what a submission raised: its name, its message, and the line of the submission it came from."""
    frames = traceback.walk_tb(error.__traceback__)  # without the source, since reading ours is refused
    lines = [number for frame, number in frames if frame.f_code.co_filename in labels]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        text = ""
    return {"raised": type(error).__name__, "text": text[:300], "line": line}


def functions_of(module: types.ModuleType) -> dict[str, list[str]]:
    """Return the parameter names of every function; ** stands for any name."""
    found, kinds = {}, inspect.Parameter
    for name, value in list(vars(module).items()):
        if isinstance(value, types.FunctionType):
            parameters = inspect.signature(value).parameters.values()
            by_name = [p for p in parameters if p.kind not in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL)]
            found[name] = ["**" if p.kind is kinds.VAR_KEYWORD else p.name for p in by_name]
        elif callable(value) and not isinstance(value, type):
            found[name] = ["**"]
    return found


def untouched(module: types.ModuleType) -> list[str]:
    """Return the functions that still only raise NotImplementedError, as in the original exercise file."""
    functions = {name: value for name, value in vars(module).items() if isinstance(value, types.FunctionType)}
    return [name for name, value in functions.items() if value.__code__.co_names == ("NotImplementedError",)]
