"""Submissions that look alike: the same code except for names, comments, docstrings and spacing. For the teacher only.

In: the texts of students. Out: pairs of students, and the functions that they have in common. Alike is not copied:
short functions are alike by nature, so only those of some size are compared.
"""

import ast
import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scratchlm.terminal import escaped

# Nodes of a syntax tree. The textbook softmax has about 40, and there is one way to write it; from 80 on, as in the
# gradients of a network, two students who think alike still choose other steps, and another order of them.
LEAST = 80
Function = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = dict.fromkeys([ast.FunctionDef, ast.AsyncFunctionDef, ast.ExceptHandler], "name") | {
    ast.Name: "id",
    ast.arg: "arg",
}


class Pair(NamedTuple):
    """Two students, and the functions whose code is the same: by the name that the first gave them."""

    one: str
    other: str
    functions: tuple[str, ...]


def similar(sources: Mapping[str, Sequence[str]], handed_out: Sequence[str] = ()) -> list[Pair]:
    r"""Return the pairs of students some of whose functions are the same, those with most in common first.

    `sources` holds the texts of each student; a text that is no Python is left out. So is what was handed out.

    >>> long = "def f(a):\n" + "".join(f"    a = a * {i} + a ** {i}\n" for i in range(12)) + "    return a\n"
    >>> renamed = long.replace("a", "x").replace("f(", "other(")
    >>> similar({"anna": [long], "ben": ["# mine\n" + renamed], "cem": ["def f(a): return a"]})
    [Pair(one='anna', other='ben', functions=('f',))]
    """
    given = set().union(*(_functions(text) for text in handed_out), set())
    own = {student: _of_all(texts, given) for student, texts in sources.items()}
    pairs = []
    for one, other in itertools.combinations(own, 2):
        if common := own[one].keys() & own[other].keys():
            pairs.append(Pair(one, other, tuple(sorted({own[one][code] for code in common}))))
    return sorted(pairs, key=lambda pair: (-len(pair.functions), pair))


def as_text(pairs: Sequence[Pair]) -> str:
    """Return a line for each pair.

    >>> print(as_text([Pair("anna", "ben", ("mlp_backward",))]))
    anna and ben: mlp_backward
    """
    lines = [escaped(f"{pair.one} and {pair.other}: {', '.join(pair.functions)}") for pair in pairs]
    return "\n".join(lines) or "no two have the same code"


def _of_all(texts: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Return the code of all functions in some texts, with their names, but for what was given."""
    found = {code: name for text in texts for code, name in _functions(text).items()}
    return {code: name for code, name in found.items() if code not in set(given)}


def _functions(text: str) -> dict[str, str]:
    """Return the code of each function in a text, as it is whatever things are called, with its name."""
    try:
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]
        return {_plain(function): function.name for function in functions if _size(function) >= LEAST}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _size(function: Function) -> int:
    return sum(1 for statement in _body(function) for _ in ast.walk(statement))


def _body(function: Function) -> list[ast.stmt]:
    """Return what a function does, without its docstring."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[has_docstring:]


def _plain(function: Function) -> str:
    """Return the code of a function with its own names numbered in the order in which they come."""
    code = ast.Module([ast.Expr(ast.Lambda(function.args, ast.Constant(None))), *_body(function)], [])
    return ast.dump(_Numbered(code).visit(copy.deepcopy(code)))


class _Numbered(ast.NodeTransformer):
    """Replace the names that some code gives: those of arguments, variables, inner functions and exceptions."""

    def __init__(self, code: ast.AST) -> None:
        self.numbers: dict[str, str] = {}
        self.own = {given for node in ast.walk(code) if (given := _given(node))}

    def visit(self, node: ast.AST) -> ast.AST:
        field = NAMED.get(type(node))
        name = getattr(node, field) if field else None
        if field and name in self.own:
            setattr(node, field, self.numbers.setdefault(name, f"#{len(self.numbers)}"))
        for hint in ("annotation", "returns"):
            if hasattr(node, hint):
                setattr(node, hint, None)
        return self.generic_visit(node)


def _given(node: ast.AST) -> str | None:
    """Return the name that a node gives to something, if it does."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
        return None
    name: str | None = getattr(node, NAMED.get(type(node), ""), None)
    return name
