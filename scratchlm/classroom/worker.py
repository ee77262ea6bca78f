"""The far side of the wall: a process that runs a submission and contains nothing worth stealing.

In: frames that name a function and its arguments. Out: frames with what it returned or raised. The expected results
are never sent here.
"""

import os
import signal
import sys
import warnings
from typing import Any

import numpy as np

from scratchlm.classroom import frames, loading, stand_ins
from scratchlm.classroom.frames import Pipe
from scratchlm.classroom.loading import Sources, described, functions_of, let_import, untouched
from scratchlm.classroom.wall import enclose


def laid_out(array: Any, layout: Any) -> Any:
    """Return a copy of the array with the strides and write protection of the caller's array."""
    strides, writeable = layout
    size = array.dtype.itemsize
    low = sum(min(0, s * (n - 1)) for s, n in zip(strides, array.shape, strict=True))
    high = sum(max(0, s * (n - 1)) for s, n in zip(strides, array.shape, strict=True))
    memory = np.zeros((high - low) // size + 1 if array.size else 1, array.dtype)
    view: Any = np.ndarray(array.shape, array.dtype, memory, -low, strides)
    view[...] = array
    view.flags.writeable = bool(writeable)
    return view


def answer(sources: Sources, request: dict[str, Any], pipe: Pipe) -> dict[str, Any]:
    """Call the function that a request names, and return the reply to send back."""

    def ask(*args: Any) -> Any:
        pipe.send({"id": request["id"], "ask": list(args)})
        reply = pipe.receive()
        if "raised" in reply:
            raise ValueError(reply["text"])
        return reply["value"]

    function = getattr(sources.loaded(request["source"]), request["function"])
    args = [laid_out(a, way) if way else a for a, way in zip(request["args"], request["layouts"], strict=True)]
    args = [ask if isinstance(a, str) and a == "<ask>" else a for a in args]
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in args]
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        result = function(*args, **request["kwargs"])
    arrays = [(i, a) for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    changed = {str(i): a for i, a in arrays if a.tobytes() != before[i].tobytes()}  # type: ignore[union-attr]
    shares = [
        [i, start_of(result) - start_of(a), list(result.strides)]
        for i, a in arrays
        if isinstance(result, np.ndarray) and np.may_share_memory(a, result) and np.shares_memory(a, result)
    ]
    return {
        "value": result,
        "changed": changed,
        "shares": shares,
        "warnings": [str(w.message)[:200] for w in caught[:20]],
    }


def start_of(array: Any) -> int:
    """Return the address of the first entry."""
    return int(array.__array_interface__["data"][0])


def main() -> None:
    """Serve the requests on standard input until there are no more; then end, whatever threads are left."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the grader blocked signals while it started us
    come, go = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # the submission's output joins its error output
    os.close(nothing)
    serve(Pipe(os.fdopen(come, "rb"), os.fdopen(go, "wb")))
    sys.stdout.flush()
    os._exit(0)


def serve(pipe: Pipe) -> None:
    """Put up the wall, and answer requests to load a file of the submission or to call one of its functions."""
    config = pipe.receive()
    sources, refused = Sources(texts(config["sources"])), []  # type: tuple[Sources, list[str]]
    sys.argv[:] = ["submission.py"]
    if any("testing" in text for source in sources.sources for _, text in source.cells):
        import numpy.testing  # noqa: F401  # for students' tests; slow to load, and needs calls refused later

    ours = (__file__, frames.__file__, loading.__file__, stand_ins.__file__)
    enclose({**config, "frames": ours}, refused)
    let_import(sources)
    pipe.send({"id": 0})  # NumPy is loaded; any time from now on is the submission's
    while True:
        try:
            request = pipe.receive()
        except EOFError:
            return
        refused.clear()
        try:
            reply = load(sources, request) if "load" in request else answer(sources, request, pipe)
        except BaseException as error:
            reply = described(error, sources.labels)
        pipe.send({"id": request["id"], **reply, "refused": list(refused)})


def texts(sources: list[Any]) -> list[Any]:
    """Return the sources with their texts as strings; they came as bytes."""
    return [[name, plain, [[label, bytes(text).decode()] for label, text in cells]] for name, plain, cells in sources]


def load(sources: Sources, request: dict[str, Any]) -> dict[str, Any]:
    """Run a file of the submission, and return the functions in it and what went wrong."""
    index = request["load"]
    module = sources.loaded(index, request["definitions only"])
    told = {"functions": functions_of(module), "untouched": untouched(module), "troubles": sources.troubles[index]}
    return {"value": told}
