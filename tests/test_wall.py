"""The wall: how hostile and honest submissions fare, and what the kernel is asked to refuse.

It is one file because every attack has an honest twin beside it that must pass.
"""

import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handed_in import FEW, HONEST, TWO, in_softmax

from scratchlm.classroom import frames, grader, sandbox
from scratchlm.classroom.exercises import EXERCISES, Exercise, Part, properties_of
from scratchlm.classroom.found import found_at
from scratchlm.classroom.grader import check
from scratchlm.classroom.marks import FAILS, HOLDS
from scratchlm.classroom.paper import as_text, next_step
from scratchlm.classroom.sandbox import Submission

ONE_EACH = {"a distribution", "there and back"}  # a process that was lost is not restarted for more than that
# What a hostile softmax does, and what its line says. A function that was lost or refused is not called again, so it
# yields no smaller counterexample.
LOST_OR_REFUSED = {
    "an infinite loop": (in_softmax("while True: pass"), "did not return within 1 s"),
    "recursion without a limit": (
        "import sys\n" + in_softmax("sys.setrecursionlimit(10**9)", "return softmax(logits)"),
        "(crashed|MemoryError|did not return)",
    ),
    "os._exit": ("import os\n" + in_softmax("os._exit(0)"), r"ended the process \(exit status 0\)"),
    "a crash": ("import os, signal\n" + in_softmax("signal.raise_signal(signal.SIGSEGV)"), r"crashed \(SIGSEGV\)"),
    "a signal without a name": ("import signal\n" + in_softmax("signal.raise_signal(40)"), "was ended by signal 40"),
    "a signal that asks to end": ("import signal\n" + in_softmax("signal.raise_signal(15)"), r"crashed \(SIGTERM\)"),
    "memory without bound": (in_softmax("return np.ones(10**11)"), "MemoryError"),
    "memory, bit by bit": (
        in_softmax("a = []", "while True: a.append(bytearray(10**8))"),
        "(MemoryError|did not return)",  # whichever limit is hit first
    ),
    "importing this package": (
        in_softmax("import scratchlm.functional", "return honest(logits, axis)"),
        "importing scratchlm.functional is ref",
    ),
    "importing and hiding it": (
        in_softmax("try:", "    import scipy", "except BaseException:", "    pass", "return honest(logits, axis)"),
        "importing scipy is refused",
    ),
    "borrowing by path": (
        in_softmax(
            "import importlib.util as u",
            f"s = u.spec_from_file_location('f', {str(Path(frames.__file__).parent.parent / 'functional.py')!r})",
            "m = u.module_from_spec(s)",
            "s.loader.exec_module(m)",
        ),
        "reading functional.* is refused",
    ),
    "reading the battery": (
        in_softmax(f"return open({str(Path(frames.__file__).parent.parent / 'properties' / 'rows.py')!r}).read()"),
        "reading rows.py is refused",
    ),
    "reading the grader's memory": (
        "import os\n" + in_softmax("return open(f'/proc/{os.getppid()}/mem', 'rb').read(10)"),
        "reading mem is refused",
    ),
    "rewriting its own file": (in_softmax("open(__file__, 'w').write('x')"), "writing to .* is refused"),
    "deleting its own file": ("import os\n" + in_softmax("os.remove(__file__)"), "os.remove is refused"),
    "a child process": ("import os\n" + in_softmax("os.fork()"), "os.fork is refused"),
    "a command": ("import os\n" + in_softmax("os.system('true')"), "os.system is refused"),
    "subprocess": (in_softmax("import subprocess", "subprocess.run(['true'])"), "importing subprocess is refused"),
    "killing the grader": ("import os\n" + in_softmax("os.kill(os.getppid(), 9)"), "os.kill is refused"),
    "junk on every descriptor": (
        "import os\n"
        + in_softmax("for i in range(3, 64):", "    try: os.write(i, b'junk' * 99)", "    except OSError: pass"),
        "something other than a frame",
    ),
    "closing every descriptor": (
        "import os\n" + in_softmax("os.closerange(3, 64)", "return honest(logits, axis)"),
        "(ended the process|closed the pipe|crashed)",
    ),
    "a connection": (
        "import socket\n" + in_softmax("socket.create_connection(('127.0.0.1', 9))"),
        "socket.* is refused",
    ),
}


HEARD = {  # the submission answers or raises
    "recursion without end": (
        in_softmax("return softmax(logits)"),
        "(RecursionError|crashed|MemoryError|did not return)",  # Python 3.13.0 does not count these calls
    ),
    "sys.exit": ("import sys\n" + in_softmax("sys.exit(0)"), "SystemExit: 0"),
    "None": (in_softmax("return None"), "is a `return` missing?"),
    "text": (in_softmax("return 'p'"), "not an array of floats"),
    "an array of objects": (in_softmax("return np.array([object()])"), "not an array of floats"),
    "an object that cannot be shown": (
        "class Odd:\n    def __repr__(self): raise ValueError\n" + in_softmax("return Odd()"),
        "not an array of floats",
    ),
    "another shape": (in_softmax("return honest(logits)[..., :0]"), "."),
    "another dtype": (in_softmax("return honest(logits).astype(np.float16)"), "."),
    "writing into the input": (in_softmax("logits[...] = honest(logits, axis)", "return logits * 1"), "was changed"),
    "a view of the input": (in_softmax("logits[...] = honest(logits, axis)", "return logits[...]"), "."),
    "monkey-patching numpy": (
        "np.allclose = np.array_equal = lambda *a, **k: True\nnp.testing = None\n" + in_softmax("return logits"),
        ".",
    ),
    "catching everything": (
        in_softmax("try: raise KeyboardInterrupt", "except BaseException: return logits * 0"),
        ".",
    ),
}


HOSTILE = {**LOST_OR_REFUSED, **HEARD}


REFUSED = {what: LOST_OR_REFUSED[what] for what in LOST_OR_REFUSED if "refused" in LOST_OR_REFUSED[what][1]}
# If the process survives, one process can run them all in turn; in the long tests each has its own.
LIVING = {what: HEARD[what] for what in HEARD if what != "recursion without end"}  # it calls the last of its name
AT_ONCE = {"all that are refused": REFUSED, "all that are heard": LIVING}
ALONE = [pytest.param(what, marks=[pytest.mark.long] if what in {**REFUSED, **LIVING} else []) for what in HOSTILE]
ENDLESS = ("an infinite loop", "recursion without a limit", "recursion without end", "memory, bit by bit")


@pytest.mark.parametrize("what", [*AT_ONCE, *ALONE])
def test_a_hostile_submission_is_reported_in_one_line_and_harms_nobody(what, tmp_path, monkeypatch):
    functions = AT_ONCE.get(what) or {what: HOSTILE[what]}
    names = FEW if functions.keys() <= HEARD.keys() else ONE_EACH
    sources = [source for source, _ in functions.values()]
    told, honest, _ = judged_at_once(tmp_path, monkeypatch, sources, names, seconds=1 if what in ENDLESS else 20)
    for lines, (_, message) in zip(told, functions.values(), strict=True):
        failed = [line for line in lines if line.mark == FAILS]
        said = [f"{line.message} {line.note} {line.actual}" for line in failed]
        assert any(re.search(message, text) for text in said), said
        assert all("\n" not in line.message + line.note for line in lines)
    assert [line.mark for line in honest] == [HOLDS] * len(honest), [line.message for line in honest]


def judged_at_once(folder, monkeypatch, sources, names, seconds=20):
    """Hand in many softmaxes and an honest function in one file; return the lines of each, and the report."""
    path = folder / "many.py"
    kept = [f"{source}\nf{i} = softmax\n" for i, source in enumerate(sources)]
    path.write_text(f"import numpy as np\n{HONEST}\n" + "\n".join(kept))
    parts = (*(Part(f"f{i}", "softmax") for i in range(len(sources))), Part("beside", "recover_logits"))
    monkeypatch.setattr(grader, "properties_of", lambda part: [p for p in properties_of(part) if p.name in names])
    report = check(Exercise(1, "many", path.name, parts, ()), path, budget=3, seconds=seconds, shrink=False)
    assert not report.trouble
    *told, honest = ([line for line in report.lines if line.function == part.function] for part in parts)
    return told, honest, report


AT_IMPORT = {
    "a syntax error": ("x = = 1", "line 9 could not be read: SyntaxError: "),
    "an exception": ("1 / 0", "line 9 failed: ZeroDivisionError: "),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit"),
    "os._exit": ("import os; os._exit(0)", "ended the process"),
    "an infinite loop": ("while True: pass", "did not return"),
    "importing torch": ("import torch", "importing torch is refused"),
    "no Python at all": ("= $", "SyntaxError"),
}


@pytest.mark.parametrize("what", AT_IMPORT)
def test_an_error_at_import_is_reported_in_one_line(what, graded):
    source, message = AT_IMPORT[what]
    report, lines, honest = graded(source, seconds=1 if what == "an infinite loop" else 20)
    assert {line.mark for line in lines} == {FAILS}
    assert {line.mark for line in honest} == {HOLDS}  # it was defined before the error
    assert report.lines[0].note in report.troubles or report.trouble
    told = report.trouble + " ".join(report.troubles)
    assert "there is no function softmax in it" in told
    assert re.search(message, told), told
    assert report.troubles[-1] in as_text(report, width=10_000)
    assert next_step([report]).startswith("Next: fix two.py")


def test_a_flood_of_output_is_cut_and_printing_disturbs_nothing(graded):
    report, lines, _ = graded(in_softmax("print('x' * 10**6)", "return honest(logits, axis)"))
    assert {line.mark for line in lines} == {HOLDS}
    assert 1000 < len(report.printed) <= 20_000


def test_a_thread_left_running_ends_with_the_submission(graded, tmp_path):
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    _, lines, _ = graded(source + in_softmax("return honest(logits, axis)"))
    assert {line.mark for line in lines} == {HOLDS}
    path = tmp_path / "t.py"
    path.write_text(source)
    with Submission(found_at(path)) as submission:
        submission.load(0)
        process = submission.process
    assert process.poll() is not None


def test_the_child_is_never_sent_the_expected_results(tmp_path, monkeypatch):
    sent = []
    exchange = Submission._exchange

    def spy(self, message, seconds):
        sent.append(message)
        return exchange(self, message, seconds)

    monkeypatch.setattr(Submission, "_exchange", spy)
    path = tmp_path / "two.py"
    path.write_text(f"import numpy as np\n{HONEST}\nsoftmax = honest\n")
    check(TWO, path, budget=3)
    requests = [message for message in sent if message and "function" in message]
    assert len(requests) > 20
    assert {key for message in requests for key in message} == {"id", "function", "source", "args", "layouts", "kwargs"}
    assert {key for message in requests for key in message["kwargs"]} <= {"axis"}


@pytest.mark.parametrize(
    "junk", [b"", b"slm1", b"\x00\x00\x00\x05{}", b"\xff" * 50, b"\x00\x00\x00\x02[]", b"\x00" * 20]
)
def test_a_frame_of_junk_raises_garbled_and_nothing_else(junk):
    with pytest.raises(frames.Garbled):
        frames.from_bytes(junk)


def test_a_header_that_promises_too_much_allocates_nothing():
    blobs = []
    frames.pack(np.ones(3), blobs)
    forged = blobs[0].replace(b"(3,)", b"(9,)")
    with pytest.raises(frames.Garbled, match="header"):
        frames.unpack({"array": 0}, [forged])
    huge = blobs[0].replace(b"(3,), }      ", b"(99999999,), }")
    with pytest.raises(frames.Garbled):
        frames.unpack({"array": 0}, [huge])


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, "text", [1, 2.0], (np.float32([1, 2]), None), {"a": np.arange(3), "b": np.float64(2)}],
)
def test_values_pass_through_the_wall_unchanged(value):
    message = frames.from_bytes(frames.to_bytes({"value": value})[12:])
    np.testing.assert_equal(message["value"], value)


BYPASSES = {
    "a path that is not text": "import pathlib, io\nio.FileIO(pathlib.Path({file!r})).read()",
    "a folder's descriptor": "import os\nd = os.open({folder!r}, 0)\nos.open({name!r}, 0, dir_fd=d)",
    "another realpath": "import os\nos.path.realpath = lambda *a, **k: 'x'\nopen({file!r})",
    "a detour": "import os\nopen(os.path.dirname(os.__file__) + '/..' * 20 + {file!r})",
    "NumPy's own reader": "np.fromfile({file!r}, np.uint8)",
    "a history": "import readline\nreadline.read_history_file({file!r})",
    "the grader's memory": "import os\nos.open('/proc', 0)",
    "the harness": "import __main__\n__main__.WRITES = 0\n__main__.REFUSED_EVENTS = ('-',)\nimport os\nos.mkdir('x')",
    "another name for C": "import importlib\nimportlib.import_module('_ctypes').dlopen(None, 0)",
    "another way to fork": ("import importlib\nimportlib.import_module('_posixsubprocess').fork_exec(*[None] * 21)"),
    "a signal by descriptor": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
    "a pipe on disk": "import os\nos.mkfifo('x')",
    "new times": "import os\nos.utime(__file__)",
    "a name that is not plain text": "class S(str):\n    def __str__(self): return 'math'\n__import__(S('_ctypes'))",
    "another interpreter": "import _xxsubinterpreters as i\ni.run_string(i.create(isolated=False), 'x = 1')",
    "an interpreter for tests": "import _testcapi\n_testcapi.run_in_subinterp('x = 1')",
    "a second copy of a built-in module": (
        "import _imp\nfrom importlib.machinery import ModuleSpec\n_imp.create_builtin(ModuleSpec('posix', None))"
    ),
    "a second copy of a loaded module": (
        "import _imp\nfrom importlib.machinery import ModuleSpec, PathFinder\n"
        "_imp.create_dynamic(ModuleSpec('_ctypes', None, origin=PathFinder.find_spec('_ctypes').origin))"
    ),
    "looking around": "import os\nos.listdir('/tmp')",
    "shared memory": "import _posixshmem\n_posixshmem.shm_open('/left', 66, mode=0o600)",
    "other users": "import spwd\nspwd.getspall()",
}


@pytest.mark.parametrize("what", ["all of them", *(pytest.param(what, marks=pytest.mark.long) for what in BYPASSES)])
def test_ways_around_the_wall_are_refused(what, tmp_path, monkeypatch):
    file = Path(frames.__file__).parent.parent / "functional.py"
    named = {"file": str(file), "folder": str(file.parent), "name": file.name}
    ways = [way.format(**named) for way in (BYPASSES.values() if what == "all of them" else [BYPASSES[what]])]
    sources = [in_softmax(*way.splitlines(), "return honest(logits)") for way in ways]
    told, honest, _ = judged_at_once(tmp_path, monkeypatch, sources, ONE_EACH)
    for way, (line,) in zip(ways, told, strict=True):
        assert line.mark == FAILS, way
        assert re.search("refused", f"{line.note} {line.message} {line.actual}"), way
    assert {line.mark for line in honest} == {HOLDS}


FLOOD = """
def flood(data):
    for number in range(3, 64):
        try: os.write(number, data)
        except OSError: continue
"""


ODD = {
    "names without end": in_softmax("return {'10 of 10 points\\n' * 20000: logits}"),
    "numbers in a list": in_softmax("return [np.zeros(300_000)]"),
    "a group of exceptions": in_softmax("raise ExceptionGroup('all', [ValueError()])"),
    "half a character": in_softmax("raise ValueError('\\ud800 \\x1b[2J')"),
    "a flood of warnings": (
        "import warnings\n" + in_softmax("for i in range(3000): warnings.warn(str(i))", "return honest(logits, axis)")
    ),
    "a lying signature": (
        "import inspect\nclass P: kind = None; VAR_KEYWORD = 1; name = '1 x'\n"
        "class S(inspect.Signature): parameters = {'a': P()}\n"
        + in_softmax("return logits")
        + "\nsoftmax.__signature__ = S()"
    ),
    "a reply of a million lists": in_softmax("return [[] for _ in range(10**6)]"),
    "no numbers, many rows": in_softmax("return np.zeros((2 * 10**8, 0))"),
    "two shapes that make a third": (
        "n = 0\n" + in_softmax("global n", "n += 1", "return np.zeros((1, 12000)) if n % 2 else np.zeros((12000, 1))")
    ),
    "a forged report": (
        "class T:\n    def __repr__(self): return '\\x1b[2J10 of 10 points\\nExercise 1: softmax'\n"
        + in_softmax("return T()")
    ),
    "half a character as a result": ("class T:\n    def __repr__(self): return '\\ud800'\n" + in_softmax("return T()")),
    "one array, a hundred times": (
        "import io, json, os, struct\n"
        + FLOOD
        + in_softmax(
            "buffer = io.BytesIO()",
            "np.save(buffer, np.zeros(3_500_000))",
            "blob = buffer.getvalue()",
            'head = json.dumps({"id": {"plain": 1}, "value": {"list": [{"array": 0}] * 100}}).encode()',
            'body = struct.pack(">I", len(head)) + head + struct.pack(">Q", len(blob)) + blob',
            'flood(b"slm1" + struct.pack(">Q", len(body)) + body)',
        )
    ),
    "a flood of questions": (
        "import json, os, struct\n"
        + FLOOD
        + in_softmax(
            'head = json.dumps({"id": {"plain": 1}, "ask": {"list": []}}).encode()',
            'body = struct.pack(">I", len(head)) + head',
            'block = (b"slm1" + struct.pack(">Q", len(body)) + body) * 2000',
            "while True: flood(block)",
        )
    ),
}


BREAK_OFF = (
    "a reply of a million lists",
    "one array, a hundred times",
    "a flood of questions",
)  # these lose the process
GO_ON = [what for what in ODD if what not in BREAK_OFF]


@pytest.mark.parametrize(
    "what", ["all that go on", *BREAK_OFF, *(pytest.param(what, marks=pytest.mark.long) for what in GO_ON)]
)
def test_odd_replies_stop_neither_the_grader_nor_other_functions(what, tmp_path, monkeypatch):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sources = [ODD[name] for name in (GO_ON if what == "all that go on" else [what])]
    seconds = 1 if "million" in what else 20
    told, honest, report = judged_at_once(tmp_path, monkeypatch, sources, ONE_EACH, seconds)
    assert {line.mark for line in honest} == {HOLDS}
    as_text(report).encode("utf-8")
    assert "\x1b" not in as_text(report)
    assert not re.search("^Exercise 1: softmax", as_text(report), re.MULTILINE)
    assert all(told)
    assert len(as_text(report)) < 40_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # ru_maxrss is in kilobytes on Linux


THROUGH_THE_TRACEBACK = """
import sys
try: {refused}
except (ImportError, OSError) as error:
    frame = error.__traceback__
    while frame:
        for value in list(frame.tb_frame.f_locals.values()):
            if hasattr(value, "__code__"): value.__code__ = (lambda *a, **k: "").__code__
            if isinstance(value, list): value.clear()
        for name in list(frame.tb_frame.f_globals):
            if frame.tb_frame.f_code.co_name == "hook": frame.tb_frame.f_globals[name] = ()
        frame = frame.tb_next
sys.path.insert(0, {root!r})
from scratchlm.functional import softmax
"""


@pytest.mark.parametrize("refused", ["import scipy", "open('/etc/passwd')"])
def test_the_audit_hook_cannot_be_disarmed_through_a_traceback(refused, tmp_path):
    path = tmp_path / "ex01_softmax.py"
    root = str(Path(frames.__file__).parents[2])
    path.write_text(THROUGH_THE_TRACEBACK.format(refused=refused, root=root))
    report = check(EXERCISES[1], path, budget=3, shrink=False)
    assert report.points == 0
    assert "refused" in report.trouble + " ".join(report.troubles)


@pytest.mark.long
def test_a_flood_of_questions_ends_the_examination_but_not_the_grader(tmp_path):
    path = tmp_path / EXERCISES[13].file
    path.write_text(
        "import json, os, struct\nimport numpy as np\n" + FLOOD + "def looks_like_softmax(softmax):\n"
        '    head = json.dumps({"id": {"plain": 1}, "ask": {"list": [{"plain": 1.0}]}}).encode()\n'
        '    body = struct.pack(">I", len(head)) + head\n'
        '    while True: flood((b"slm1" + struct.pack(">Q", len(body)) + body) * 2000)\n'
    )
    report = check(EXERCISES[13], path, seconds=1)
    assert report.points == 0
    assert any("it sent more through the pipe than was asked for" in line.message for line in report.lines)


def test_the_audit_hook_reveals_nothing_of_the_wall(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        f"import numpy as np\n{HONEST}\ntry: import scipy\nexcept ImportError as error:\n"
        "    frame = error.__traceback__\n    while frame:\n"
        "        if frame.tb_frame.f_code.co_name == 'hook': print('seen', dict(frame.tb_frame.f_globals))\n"
        "        frame = frame.tb_next\n"
    )
    with Submission(found_at(path)) as submission:
        assert "importing scipy is refused" in submission.load(0).troubles
    assert "seen {'__builtins__': {}}" in submission.printed


HONEST_FILES = {
    "an environment": "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
    "an argument parser": "import argparse\nargparse.ArgumentParser().parse_args()",
    "NumPy's testing": "from numpy.testing import assert_allclose\nassert_allclose(1, 1)",
    "doctests": "import doctest\ndoctest.testmod()",
    "a warning about the caller": "import warnings\nwarnings.warn('x', stacklevel=3)",
    "the stack in print": "import traceback\ntraceback.print_stack()",
    "many threads": (
        "import threading, time\nts = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(40)]\n"
        "[t.start() for t in ts]\n[t.join() for t in ts]"
    ),
    "much of the standard library": (
        "import math, random, statistics, decimal, fractions, itertools, functools, collections, typing, dataclasses, "
        "array, heapq, json, csv, re, time, datetime, logging, pathlib, unittest, pprint, enum, abc, contextlib, copy, "
        "string, textwrap, inspect, os.path, concurrent.futures, threading, timeit, operator, zlib, bz2, lzma, uuid\n"
        "import numpy.random, numpy.linalg, numpy.fft, numpy.polynomial, numpy.ma, numpy.lib.stride_tricks\n"
        "np.random.default_rng(0).normal(size=3), np.linalg.inv(np.eye(2)), np.fft.fft(np.ones(4)), uuid.uuid4()"
    ),
}


@pytest.mark.parametrize(
    "what", ["all of them", *(pytest.param(what, marks=pytest.mark.long) for what in HONEST_FILES)]
)
def test_the_wall_lets_honest_code_run(what, graded):
    sources = HONEST_FILES.values() if what == "all of them" else [HONEST_FILES[what]]
    report, lines, _ = graded("\n".join([*sources, in_softmax("return honest(logits, axis)")]))
    assert report.trouble == ""
    assert {line.mark for line in lines} == {HOLDS}


# What Linux itself is asked to do once the wall stands, as if the audit hook had been removed.
ASKS_THE_KERNEL = {
    "to start a process": "os.fork()",
    "to run a program": "os.execv('/bin/true', ['true'])",
    "to signal the grader": "os.kill(os.getppid(), 0)",
    "for a handle of the grader": "os.pidfd_open(os.getppid())",
    "to create a file": "os.open('/tmp/left-behind', os.O_CREAT | os.O_WRONLY)",
    "to write a file": "os.open(__file__, os.O_RDWR)",
    "to remove a file": "os.remove(sys.argv[0])",
    "to make a folder": "os.mkdir('left-behind')",
    "for a socket": "socket.socket()",
    "for a file of another package": f"open({str(Path(frames.__file__))!r})",
    "for a folder": "os.listdir('/tmp')",
    "for more memory": "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))",
    "to outlive the grader": "call(157, 1, 0, 0, 0, 0, 0)",  # prctl(PR_SET_PDEATHSIG, 0) cancels the death signal
    "to send signals to another process": "call(72, 0, 8, os.getppid())",  # fcntl(0, F_SETOWN, ...)
    "to type into a terminal": "call(16, 0, 0x5412, b'x')",  # ioctl(0, TIOCSTI, ...)
    "to start a process by another architecture's number": "call_of_another_machine(2)",  # fork's number under int 0x80
}


REFUSED_CALLS = {
    "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129, "ptrace": 101, "process_vm_writev": 311, "pidfd_open": 434,
    "setsid": 112, "setpgid": 109, "setuid": 105, "capset": 126, "personality": 135, "setpriority": 141,
    "sched_setaffinity": 203, "socket": 41, "socketpair": 53, "shmget": 29, "mq_open": 240, "memfd_create": 319,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "sethostname": 170,
    "clock_settime": 227, "settimeofday": 164, "adjtimex": 159, "reboot": 169, "kexec_load": 246, "init_module": 175,
    "delete_module": 176, "swapon": 167, "acct": 163, "iopl": 172, "ioperm": 173, "bpf": 321, "perf_event_open": 298,
    "io_uring_setup": 425, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "seccomp": 317, "setrlimit": 160,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "quotactl": 179, "fsopen": 430,
    "landlock_restrict_self": 446, "execve by number": 59, "io_setup": 206, "splice": 275, "timer_create": 222,
}  # fmt: skip


ASKS_THE_KERNEL |= {name: f"call({number}, *[-1] * 6)" for name, number in REFUSED_CALLS.items()}


CALLS_THE_KERNEL = """
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
int_0x80 = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1 and ctypes.get_errno() == 1: raise PermissionError
def call_of_another_machine(number):
    code[:8] = b"\\xb8" + number.to_bytes(4, "little") + b"\\xcd\\x80\\xc3"  # mov eax, number; int 0x80; ret
    if int_0x80() == -1: raise PermissionError
"""


@pytest.fixture(scope="module")
def answers_of_the_kernel(tmp_path_factory):
    """Return the kernel's answers to a process behind the wall that asked every question."""
    folder = tmp_path_factory.mktemp("kernel")
    path = folder / "asks.py"
    path.write_text(
        f"import os, resource, socket, sys, threading\nfrom scratchlm.classroom import wall\n{CALLS_THE_KERNEL}"
        "library = os.path.dirname(os.__file__) + '/'\n"
        "assert wall.forbid_reading((library, __file__))\nassert wall.forbid_system_calls()\n"
        "sys.argv[0] = __file__\nopen(__file__).read()\nos.listdir(library)\nimport this\n"
        "thread = threading.Thread(target=print, args=('threads start',))\nthread.start()\nthread.join()\n"
        + "".join(
            f"try:\n    {question}\nexcept (PermissionError, ValueError) as error:\n"
            f"    print('not permitted' if isinstance(error, PermissionError) else error)\n"
            f"else:\n    print('permitted')\n"
            for question in ASKS_THE_KERNEL.values()
        )
    )
    told = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=folder)
    first, *answers = told.stdout.splitlines()[-len(ASKS_THE_KERNEL) - 1 :]
    assert first == "threads start", told.stderr
    assert path.exists()
    return dict(zip(ASKS_THE_KERNEL, answers, strict=True))


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="the kernel helps only there")
@pytest.mark.parametrize("what", ASKS_THE_KERNEL)
def test_the_kernel_refuses_calls_that_the_audit_hook_might_miss(what, answers_of_the_kernel):
    assert answers_of_the_kernel[what] in ("not permitted", "not allowed to raise maximum limit")


def test_all_calls_together_have_a_limit(graded, monkeypatch):
    monkeypatch.setattr(sandbox, "ALL_CALLS", 0.1)  # of 20 s: far more than the honest function's few calls need
    slow = in_softmax("time.sleep(0.9)", "return honest(logits, axis)")
    _, lines, honest = graded(f"import time\n{slow}")
    assert any("2 s in total" in line.note for line in lines)
    assert {line.mark for line in honest} == {HOLDS}
