"""Find what `examine` is given by name: a function from anyone's module, which may do anything when imported.

In: MODULE:FUNCTION. Out: the function, or one line that says why there is none; and the kind that its name implies.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from scratchlm.properties.battery import PROPERTIES
from scratchlm.terminal import described


def imported(target: str) -> Callable[..., object]:
    """Return what `module:name` refers to; the working folder is searched first, as python -m does.

    Errors: ValueError for a target that is not of this form, cannot be imported, or is not a function.

    >>> imported("math:sqrt")(16)
    4.0
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ValueError(f"{target!r} does not say what to examine; write MODULE:FUNCTION, as in scipy.special:softmax")
    if module_name.endswith(".py"):
        raise ValueError(f"{module_name} is a file; write its module, as in {Path(module_name).stem}:{name}")
    sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:  # a request to stop
        raise
    except BaseException as error:  # sys.exit, say
        raise ValueError(f"cannot import {target}: {described(error)}") from None
    if isinstance(found, type):
        raise ValueError(f"{target} is a class; name a function, or a method that needs no instance")
    if not callable(found):
        raise ValueError(f"{target} is a {type(found).__name__}, which cannot be called")
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise ValueError(f"{target} is async and returns no result when called; name a plain function")
    return found


def kind_of(target: str, kind: str | None) -> str:
    """Return what a target claims to be: the given kind, or its own name.

    Errors: ValueError if that is not a kind.

    >>> kind_of("scipy.special:softmax", None)
    'softmax'
    """
    found = kind or target.rpartition(":")[2].rpartition(".")[2]
    if kind is None and found not in PROPERTIES:
        raise ValueError(
            f"the name {found!r} does not say what it computes; add --as and one of {', '.join(PROPERTIES)}"
        )
    if found not in PROPERTIES:
        raise ValueError(f"--as must be one of {', '.join(PROPERTIES)}, not {found!r}")
    return found
