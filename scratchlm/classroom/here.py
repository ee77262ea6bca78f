"""The functions of this process, to be judged without a wall: a student's own, in a notebook say.

In: functions by name. Out: what the judge calls; it says itself which question a function is to be handed.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class Here:
    """Functions of this process, as the judge wants them: see `Functions` in grader.py."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.functions = dict(functions)
        self.signatures = {name: _parameters(function) for name, function in functions.items()}
        self.candidate: Callable[..., Any] | None = None
        self.lost = ""
        self.mirrored = True

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function that hands the student's own what it is given; "<ask>" stands for the candidate."""
        own = self.functions[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            return own(*map(self._handed, args), **kwargs)

        kind = inspect.Parameter
        names = self.signatures[name]
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [kind("kwargs", kind.VAR_KEYWORD)]
            if "**" in names
            else [kind(parameter, kind.POSITIONAL_OR_KEYWORD) for parameter in names]
        )
        return call

    def _handed(self, argument: Any) -> Any:
        """Return what the function is handed: a copy, unless it is to be seen what it does to its arguments."""
        if isinstance(argument, str) and argument == "<ask>":
            return self._ask
        if self.mirrored or not isinstance(argument, np.ndarray):
            return argument
        copy = argument.copy(order="K")
        copy.flags.writeable = argument.flags.writeable
        return copy

    def _ask(self, *args: Any) -> Any:
        if self.candidate is None:
            raise ValueError("there is no candidate to ask about")
        return self.candidate(*args)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters of a function; ** stands for any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # one written in C
        return ["**"]
    kind = inspect.Parameter
    if any(p.kind is kind.VAR_KEYWORD for p in parameters):
        return ["**"]
    return [p.name for p in parameters if p.kind not in (kind.POSITIONAL_ONLY, kind.VAR_POSITIONAL)]
