"""The reply to a call: a result, an exception or a refusal, whatever a submission may have sent.

In: a reply from behind the wall, as plain values and arrays. Out: a result that can be judged, or an exception. Nothing
here trusts a reply to be well formed.
"""

import builtins
import keyword
import warnings
from typing import Any

import numpy as np

from scratchlm.terminal import in_one_line

MOST_RESULT = 2_000  # numbers in a result: broadcasting against a result of another shape could square them


class Refused(Exception):
    """The submission asked for something it may not have."""


def raise_what_it_raised(reply: dict[str, Any]) -> None:
    """Raise Refused, or the exception that the function raised, if it raised one."""
    refused = reply.get("refused")
    if isinstance(refused, list) and refused:
        raise Refused(in_one_line(refused[0]))
    if "raised" not in reply:
        return
    name, text, line = in_one_line(reply["raised"]), in_one_line(reply.get("text")), reply.get("line")
    where = f" (line {line})" if isinstance(line, int) else ""
    kind = getattr(builtins, name, None)
    odd = (UnicodeError, BaseExceptionGroup)  # these take more than a text
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, odd):
        raise kind(f"{text}{where}")
    raise RuntimeError(f"{name}: {text}{where}")


def result_of(reply: dict[str, Any], args: tuple[Any, ...], mirrored: bool) -> Any:
    """Return the result. If mirrored, repeat on the arguments here what was done to them there."""
    value: Any = reply.get("value")
    if _numbers_in(value) > MOST_RESULT:
        raise ValueError("it returned far too many numbers")
    changed = reply.get("changed")
    for place, array in (changed if isinstance(changed, dict) and mirrored else {}).items():
        given = args[int(place)] if place.isdecimal() and int(place) < len(args) else None
        if isinstance(given, np.ndarray) and given.flags.writeable and np.shape(array) == given.shape:
            given[...] = array
    told, shares = reply.get("warnings"), reply.get("shares")
    for text in told[:20] if isinstance(told, list) else []:
        warnings.warn(in_one_line(text), RuntimeWarning, stacklevel=2)
    for share in shares[:3] if isinstance(shares, list) and mirrored else []:
        try:  # the same view of our own array, which shows that the result is a view
            place, offset, strides = share
            size = args[place].nbytes
            if not 0 <= offset < size or any(abs(step) > size for step in strides):
                continue
            return np.ndarray(value.shape, value.dtype, args[place], offset, strides)
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
            continue
    return value


def are_names(names: Any) -> bool:
    """Return whether these can be the names of parameters."""
    return (
        isinstance(names, list)
        and all(isinstance(n, str) and (n == "**" or (n.isidentifier() and not keyword.iskeyword(n))) for n in names)
        and len(set(names)) == len(names)
    )


def _numbers_in(value: Any) -> int:
    """Return how many numbers there are in a result, however nested."""
    if isinstance(value, np.ndarray):
        return value.size
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(_numbers_in(part) for part in parts)
