# %% [markdown]
# # How fast is it, beside textbook NumPy, SciPy and PyTorch, on this machine, now?
#
# The contestants compute the same thing in turns, over and over, so that whatever else the machine does affects all of
# them alike. A figure is the median of the peer's time / our time, round by round, with the quartiles beside it: above
# 1, we are faster. Two limits show how much there is to gain: np.exp into a ready array, and a bare copy. No softmax
# can be faster than that. For the functions that meet a large vocabulary we also measure memory.

# %%
from threads import THREADS, parser

from scratchlm.pages.console import run
from scratchlm.pages.plumbing import BLUE, GREEN, GREY, ORANGE, PINK, Page, heading, plt, say, table

import ctypes
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from scratchlm import functional, naive
from scratchlm.data import BOUNDARY
from scratchlm.models import MLPLM
from scratchlm.objectives import Objective
from scratchlm.optim import AdamW
from scratchlm.sampling import generate
from scratchlm.terminal import escaped
from scratchlm.training import Data, loss_and_grads

try:
    from scipy import special
except ImportError:
    special = None
try:
    import torch

    torch.set_num_threads(THREADS)
except ImportError:
    torch = None

parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
page = Page("benchmark", parents=[parser], milliseconds=(4000, 30))
figures = parser.parse_known_args()[0].json
if figures:
    page.can_write(figures)

# %% Who computes what

SHAPES = [(32, 27), (4096, 27), *([(512, 1000)] if page.quick else [(4096, 1000), (1024, 50257)])]
OURS, NAIVE, SCIPY, TORCH, EXP, COPY = "ours", "naive", "SciPy", "PyTorch", "one exp", "a copy"
LOOK = {
    OURS: (BLUE, "o-"), NAIVE: (GREY, "v:"), SCIPY: (ORANGE, "s--"), TORCH: (PINK, "^-."), EXP: (GREEN, "x:"),
}  # fmt: skip


def torch_loss_and_gradient(z, y):
    z.grad = None
    torch.nn.functional.cross_entropy(z, y).backward()
    return z.grad


def by_hand(log_softmax, softmax):
    """Return a function of cross-entropy and gradient, composed from a library's parts."""

    def loss_and_gradient(z, y, t):
        rows = np.arange(len(y))
        loss = -log_softmax(z)[rows, y].mean()
        gradient = softmax(z)
        gradient[rows, y] -= 1
        return loss, gradient / len(y)

    return loss_and_gradient


def contestants(function):
    """Return the implementations of a function, by contestant: callables of (z, y, PyTorch's copies of both)."""
    ours = {
        "softmax": lambda z, y, t: functional.softmax(z),
        "log_softmax": lambda z, y, t: functional.log_softmax(z),
        "logsumexp": lambda z, y, t: functional.logsumexp(z),
        "cross_entropy + gradient": lambda z, y, t: functional.cross_entropy_with_grad(z, y),
    }
    found = {OURS: ours[function]}
    textbook = {
        "softmax": lambda z, y, t: naive.softmax(z),
        "log_softmax": lambda z, y, t: naive.log_softmax(z),
        "logsumexp": lambda z, y, t: naive.logsumexp(z),
        "cross_entropy + gradient": by_hand(naive.log_softmax, naive.softmax),
    }
    found[NAIVE] = textbook[function]
    if special:
        found[SCIPY] = {
            "softmax": lambda z, y, t: special.softmax(z, axis=-1),
            "log_softmax": lambda z, y, t: special.log_softmax(z, axis=-1),
            "logsumexp": lambda z, y, t: special.logsumexp(z, axis=-1),
            "cross_entropy + gradient": by_hand(
                lambda z: special.log_softmax(z, axis=-1), lambda z: special.softmax(z, axis=-1)
            ),
        }[function]
    if torch:
        found[TORCH] = {
            "softmax": lambda z, y, t: torch.softmax(t["plain"], -1),
            "log_softmax": lambda z, y, t: torch.log_softmax(t["plain"], -1),
            "logsumexp": lambda z, y, t: torch.logsumexp(t["plain"], -1),
            "cross_entropy + gradient": lambda z, y, t: torch_loss_and_gradient(t["z"], t["y"]),
        }[function]
    return found


# %% How it is timed
#
# A round times each contestant once, over as many calls as take a hundredth of a second (fewer, if there is less time).
# Threads stay awake for a while after a call, and keep a core busy while the next contestant runs; a long turn makes
# that effect small. The order changes from round to round, because the predecessor decides what is in the cache.


def in_turns(calls, seconds):
    """Return the times of each call, a list per name, from rounds in which each gets a turn."""
    repeats = {}
    for name, call in calls.items():
        call()  # a warm-up
        begun = time.perf_counter()
        call()
        repeats[name] = max(1, int(min(1e-2, seconds) / (time.perf_counter() - begun)))
    times = {name: [] for name in calls}
    names, until = list(calls), time.perf_counter() + seconds
    while len(times[names[0]]) < 5 or (time.perf_counter() < until and len(times[names[0]]) < 1000):
        names.append(names.pop(0))
        for name in names:
            call, n = calls[name], repeats[name]
            begun = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - begun) / n)
    return times


def ratios(times):
    """Return, by name, the quartiles of their time / our time; the second is the median."""
    return {
        name: statistics.quantiles([a / b for a, b in zip(theirs, times[OURS], strict=True)], n=4)
        for name, theirs in times.items()
        if name != OURS
    }


def shown(quartiles):
    low, middle, high = quartiles
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


measured = {
    "machine": platform.processor() or platform.machine(),
    "cores": os.cpu_count(),
    "threads": THREADS,
    "versions": {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        **({"SciPy": sys.modules["scipy"].__version__} if special else {}),
        **({"PyTorch": torch.__version__} if torch else {}),
    },
}
versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
say(f"{measured['machine']}, {measured['cores']} cores, {THREADS} threads for each side; {versions}.")
for name, library in [("SciPy", special), ("PyTorch", torch)]:
    if library is None:
        print(f"{name} is not installed and is left out; to see it too: pip install '.[peers]'")

# %% Functions of rows

FUNCTIONS = ["softmax", "log_softmax", "logsumexp", "cross_entropy + gradient"]


def race(function, shape, dtype):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, shape).astype(dtype)
    y = rng.integers(0, shape[1], shape[0])
    t = {}
    if torch:
        t = {"z": torch.tensor(z, requires_grad=True), "y": torch.tensor(y)}
        t["plain"] = t["z"].detach()
    ready = np.empty_like(z)
    calls = {name: (lambda call=call: call(z, y, t)) for name, call in contestants(function).items()}
    calls |= {EXP: lambda: np.exp(z, out=ready), COPY: lambda: np.copyto(ready, z)}
    with np.errstate(all="ignore"):
        return in_turns(calls, page.milliseconds / 1000)


measured["functions"] = []
for dtype in ("float32", "float64"):
    heading(f"{dtype}: their time / our time, median (quartiles); our time")
    rows = []
    for function in FUNCTIONS:
        for shape in SHAPES:
            times = race(function, shape, dtype)
            found = ratios(times)
            ours = statistics.median(times[OURS])
            measured["functions"].append(
                {"function": function, "shape": shape, "dtype": dtype, "seconds": ours, "ratios": found}
            )
            cells = [shown(found[name]) if name in found else "" for name in (NAIVE, SCIPY, TORCH, EXP, COPY)]
            rows.append([f"{function} {shape[0]} x {shape[1]}", *cells, f"{ours * 1e6:,.0f} us"])
    table(["", NAIVE, SCIPY, TORCH, EXP, COPY, "ours"], rows)

# %% A training step: forward, loss, backward, AdamW, for the network of page 7

V, C, E, H = 27, 8, 24, 128


def torch_network():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(V, E)
            self.hidden, self.output = torch.nn.Linear(C * E, H), torch.nn.Linear(H, V)

        def forward(self, contexts):
            return self.output(torch.tanh(self.hidden(self.embedding(contexts).flatten(1))))

    return Network()


def race_of_steps(batch):
    rng = np.random.default_rng(0)
    data = Data(rng.integers(0, V, (batch, C)), rng.integers(0, V, batch))
    model, objective = MLPLM(V, C, E, H), Objective()
    optimizer = AdamW(model.params)

    def ours():
        _, grads = loss_and_grads(model, objective, data)
        optimizer.step(grads, 1e-3)

    calls = {OURS: ours}
    if torch:
        network, contexts, targets = torch_network(), torch.tensor(data.contexts), torch.tensor(data.targets)
        theirs = torch.optim.AdamW(network.parameters(), lr=1e-3)

        def step():
            theirs.zero_grad()
            torch.nn.functional.cross_entropy(network(contexts), targets).backward()
            theirs.step()

        calls[TORCH] = step
    return in_turns(calls, page.milliseconds / 1000)


measured["steps"] = []
heading("A training step of an MLP (27 tokens, context 8, embedding 24, hidden 128): PyTorch's time / our time")
rows = []
for batch in (32, 256, 1024):
    times = race_of_steps(batch)
    ours = statistics.median(times[OURS])
    measured["steps"].append({"batch": batch, "seconds": ours, "ratios": ratios(times)})
    rows.append([f"batch {batch}", shown(ratios(times)[TORCH]) if torch else "", f"{ours * 1e6:,.0f} us"])
table(["", TORCH, "ours"], rows)

# %% Writing names: all side by side, or one after another as in makemore's loop


def race_of_writers(ours_at_once=500, theirs_at_once=20):
    model = MLPLM(V, C, E, H)
    calls = {OURS: lambda: generate(model, ours_at_once, np.random.default_rng(0), max_length=30)}
    if torch:
        network = torch_network()
        with torch.no_grad():  # the same model, sampled with other random numbers
            for theirs, name, turned in [
                (network.embedding.weight, "embedding", False),
                (network.hidden.weight, "hidden_weight", True),
                (network.hidden.bias, "hidden_bias", False),
                (network.output.weight, "output_weight", True),
                (network.output.bias, "output_bias", False),
            ]:
                theirs.copy_(torch.tensor(model.params[name].T if turned else model.params[name]))

        @torch.no_grad()
        def one_by_one():
            for _ in range(theirs_at_once):
                context, length = [BOUNDARY] * C, 0
                while length < 30:
                    probabilities = torch.softmax(network(torch.tensor([context])), dim=1)
                    token = torch.multinomial(probabilities, num_samples=1).item()
                    if token == BOUNDARY:
                        break
                    context, length = [*context[1:], token], length + 1

        calls[TORCH] = one_by_one
    times = in_turns(calls, page.milliseconds / 1000)
    per_name = {OURS: [t / ours_at_once for t in times[OURS]]}
    if torch:
        per_name[TORCH] = [t / theirs_at_once for t in times[TORCH]]
    return per_name


times = race_of_writers()
names_per_second = {who: 1 / statistics.median(each) for who, each in times.items()}
measured["generation"] = {"names per second": names_per_second, "ratios": ratios(times)}
heading("Writing names: ours 500 side by side, PyTorch one after another, as makemore does")
for who, speed in names_per_second.items():
    print(f"{who:10} {speed:12,.0f} names per second")
if torch:
    print(f"their time / our time: {shown(ratios(times)[TORCH])}")

# %% Memory: what a call needs beyond its arguments and its result
#
# Linux records the peak memory of a process, and can reset it.


def extra_megabytes(call):
    """Return a call's peak memory beyond what was in use before, in MB; None if unknown."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # otherwise freed memory would be reused unseen
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        before = _status("VmRSS")
        call()
        return (_status("VmHWM") - before) / 1000
    except (OSError, AttributeError):
        return None


def _status(name):
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def memories():
    rng = np.random.default_rng(0)
    n, v = SHAPES[-1]
    z, y = rng.normal(0, 3, (n, v)).astype(np.float32), rng.integers(0, v, n)
    t = {}
    if torch:
        t = {"z": torch.tensor(z, requires_grad=True), "y": torch.tensor(y)}
        torch_loss_and_gradient(t["z"][:8].detach().requires_grad_(), t["y"][:8])
    found = {}
    for who, call in contestants("cross_entropy + gradient").items():
        with np.errstate(all="ignore"):
            call(z[:8], y[:8], {"z": t["z"][:8].detach().requires_grad_(), "y": t["y"][:8]} if t else t)
            extra = extra_megabytes(lambda call=call: call(z, y, t))
        found[who] = None if extra is None else extra - z.nbytes / 1e6
        if t:
            t["z"].grad = None
    return found


def in_megabytes(extra):
    return "unknown here" if extra is None else f"{max(extra, 0):,.0f} MB"


found = memories()
measured["extra megabytes"] = {"cross_entropy + gradient": found}
heading("Peak memory beyond arguments and results")
for who, extra in found.items():
    print(f"cross_entropy + gradient, {SHAPES[-1][0]} x {SHAPES[-1][1]}, float32, {who:10} {in_megabytes(extra):>12}")

# %% A linear layer and its loss, without all of the logits
#
# PyTorch 2.13 has it too. Taking few rows at a time saves memory and costs time, because every chunk reads and writes
# the whole gradient of the weight. So PyTorch runs twice: with the chunk size that it chooses, and with ours. Before
# the race we check that all results are the same.

N_LARGE, H_LARGE, V_LARGE = (1024, 64, 5000) if page.quick else (4096, 64, 50257)
AT_A_TIME = 2**24 // (V_LARGE * 4)  # the chunk size of functional.py: 16 MB of logits
chunks = {}
if torch and hasattr(torch.nn, "LinearCrossEntropyOptions"):
    options = torch.nn.LinearCrossEntropyOptions
    chunks[f"{TORCH}, its choice"] = options()
    chunks[f"{TORCH}, {AT_A_TIME} rows"] = options(batch_chunk_size=AT_A_TIME, chunking_method=None)


def torch_linear(hidden, weight, bias, targets, options):
    """Return a function that computes the same with PyTorch, whose weight is (V, H)."""
    turned = np.ascontiguousarray(weight.T)  # row by row in memory, as a torch.nn.Linear keeps it
    h, w, b = (torch.tensor(array, requires_grad=True) for array in (hidden, turned, bias))
    y = torch.tensor(targets)

    def loss_and_gradients():
        h.grad = w.grad = b.grad = None
        loss = torch.nn.functional.linear_cross_entropy(h, w, y, linear_bias=b, options=options)
        loss.backward()
        return loss.item(), h.grad.numpy(), w.grad.numpy().T, b.grad.numpy()

    return loss_and_gradients


def linear_contestants(rows):
    """Return functions that compute the mean loss and its three gradients, by contestant."""
    rng = np.random.default_rng(0)
    hidden, weight = (rng.normal(size=s).astype(np.float32) for s in ((rows, H_LARGE), (H_LARGE, V_LARGE)))
    arguments = hidden, weight, np.zeros(V_LARGE, np.float32), rng.integers(0, V_LARGE, rows)
    ours = {OURS: lambda: functional.linear_cross_entropy_with_grad(*arguments)}
    return ours | {who: torch_linear(*arguments, options) for who, options in chunks.items()}


def memories_of_linear():
    for call in linear_contestants(8).values():
        call()  # a warm-up
    gradients = (N_LARGE * H_LARGE + H_LARGE * V_LARGE + V_LARGE) * 4 / 1e6
    extras = {who: extra_megabytes(call) for who, call in linear_contestants(N_LARGE).items()}
    return {who: None if extra is None else extra - gradients for who, extra in extras.items()}


def largest_difference(ours, theirs):
    """Return how far apart two results are, relative to the largest entry of each loss or gradient."""
    return float(max(np.abs(a - b).max() / np.abs(a).max() for a, b in zip(ours, theirs, strict=True)))


found = memories_of_linear()
calls = linear_contestants(N_LARGE)
results = {who: call() for who, call in calls.items()}
apart = max(largest_difference(results[OURS], theirs) for theirs in results.values())
del results
if apart > 1e-5:
    page.end(f"PyTorch's linear_cross_entropy and ours are {apart:.0e} apart, so a race would mean nothing")
times = in_turns(calls, page.milliseconds / 1000)
measured["linear_cross_entropy_with_grad"] = {
    "N, H, V": [N_LARGE, H_LARGE, V_LARGE],
    "largest difference": apart,
    "seconds": statistics.median(times[OURS]),
    "ratios": ratios(times),
    "extra megabytes": found,
}
heading(f"A linear layer and its loss, with gradients; N = {N_LARGE}, H = {H_LARGE}, V = {V_LARGE}, float32")
table(
    ["", "their time / our time, median (quartiles)", "time", "memory beyond arguments and gradients"],
    [
        [
            who,
            shown(ratios(times)[who]) if who != OURS else "",
            f"{statistics.median(each):.2f} s",
            in_megabytes(found[who]),
        ]
        for who, each in times.items()
    ],
)
print(f"all of the logits would take {N_LARGE * V_LARGE * 4 / 1e6:,.0f} MB", end="")
print(f"; loss and gradients agree to within {apart:.0e} of the largest entry" if chunks else "")
if torch and not chunks:
    print(f"PyTorch {torch.__version__} has no chunked linear_cross_entropy and is left out; 2.13 has it")

# %% Import


def seconds_to_import(what):
    begun = time.perf_counter()
    run([sys.executable, "-c", f"import {what}"])
    return time.perf_counter() - begun


def race_of_imports(rounds):
    whats = ["numpy", "scratchlm", "scratchlm.functional", "scratchlm.training"]
    times = {what: [] for what in whats}
    for _ in range(rounds):
        for what in whats:
            times[what].append(seconds_to_import(what if what == "numpy" else f"numpy, {what}"))
    return {
        what: statistics.median([a - b for a, b in zip(times[what], times["numpy"], strict=True)]) for what in whats[1:]
    }


measured["import seconds beyond numpy"] = race_of_imports(2 if page.quick else 9)
heading("Import time beyond numpy's own")
for what, seconds in measured["import seconds beyond numpy"].items():
    print(f"{what:22} {seconds * 1e3:6.1f} ms")

# %% Time against size

SIZES = [2**k for k in range(8, 19 if page.quick else 27, 2)]
CLASSES = 256


def against_size():
    found = {}
    for size in SIZES:
        for who, times in race("log_softmax", (size // CLASSES, CLASSES), "float32").items():
            found.setdefault(who, []).append(statistics.median(times))
    return found


page.milliseconds = page.milliseconds / 4
found = against_size()
slopes = {
    who: float(np.polyfit(np.log(SIZES[3:]), np.log(times[3:]), 1)[0]) for who, times in found.items() if who != COPY
}
measured["size"] = {"N V": SIZES, "seconds": found, "slope from 2^14": slopes}
figure, axes = plt.subplots()
for who, slope in slopes.items():
    colour, line = LOOK[who]
    axes.loglog(SIZES, found[who], line, color=colour, label=f"{who}: slope {slope:.2f}")
axes.set(xlabel="entries, N x V (V = 256)", ylabel="seconds for log_softmax, float32")
axes.set_title("Beyond some thousand entries, time grows in proportion")
axes.legend()
page.save(figure, "size")

# %% The picture: the functions in float32


def bars():
    peers = [name for name in (SCIPY, TORCH) if name in measured["functions"][0]["ratios"]] or [NAIVE]
    entries = [entry for entry in measured["functions"] if entry["dtype"] == "float32"]
    figure, axes = plt.subplots(figsize=(10, 7.2))
    places = np.arange(len(entries))[::-1]
    height = 0.8 / len(peers)
    for i, name in enumerate(peers):
        quartiles = np.array([entry["ratios"][name] for entry in entries])
        at = places + 0.4 - height * (i + 0.5)
        spread = np.abs(quartiles[:, [0, 2]] - quartiles[:, [1]]).T
        axes.barh(at, quartiles[:, 1], height, color=LOOK[name][0], label=name, xerr=spread)
    axes.axvline(1, color="black", linewidth=1)
    labels = [f"{e['function']}  {e['shape'][0]} x {e['shape'][1]}" for e in entries]
    axes.set_yticks(places, labels, fontsize=11)
    axes.set(xscale="log", xlabel=f"their time / ours, float32, {THREADS} threads each (right of 1: we are faster)")
    middle = np.array([entry["ratios"][name][1] for entry in entries for name in peers])
    axes.set_title(f"Faster than the libraries in {(middle > 1).sum()} of {len(middle)} races")
    axes.legend()
    page.save(figure)


bars()
if figures:
    page.write(figures, json.dumps(measured, indent=1))
    print(f"figures: {escaped(str(figures))}")

# %% [markdown]
# **Remember:** measure in turns, side by side, and report the spread. A time alone says as much about the machine as
# about the code. Where we lose, PyTorch's loops read an array once, while NumPy reads it again for each step of a
# formula.
#
# **Your turn:** run it with --threads=1. Which rows change, and which do not?

# %%
page.close()
