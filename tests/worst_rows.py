"""A search for the rows on which `functional` is furthest from the truth, to test its promise of accuracy.

Three breeders make rows: from nearly equal scores; from the numbers on which this processor's exp is worst, too high
for some and too low for others; and from rows that are already bad, changed a little in each generation. A wider float
judges hundreds of rows at a time, and the 60-digit oracle has the last word on the worst.

    python tests/worst_rows.py --rounds 20000     # about four minutes; prints the worst rows and their bounds
"""

import argparse
from typing import NamedTuple

import numpy as np

from scratchlm import functional as F
from scratchlm import oracle

# The same functions, ours of (rows, ids) and exact ones of (row, id); and for each dtype a wider float.
KINDS = {
    "softmax": (lambda z, y: F.softmax(z), lambda row, y: oracle.softmax(row)),
    "log_softmax": (lambda z, y: F.log_softmax(z), lambda row, y: oracle.log_softmax(row)),
    "cross_entropy": (
        lambda z, y: F.cross_entropy(z, y, "none")[:, None],
        lambda row, y: [oracle.cross_entropy(row, y)],
    ),
    "cross_entropy_backward": (
        lambda z, y: F.cross_entropy_backward(z, y, "sum"),
        oracle.cross_entropy_backward,
    ),
}
WIDER = {np.float32: np.float64, np.float64: np.longdouble}


class Worst(NamedTuple):
    """The worst row that was found, and its target, its error and its promised bound, in ulps."""

    kind: str
    row: np.ndarray
    target: int
    ulps: float
    promised: float


def search(dtype, rounds, seed=0, kinds=KINDS):
    """Return the worst row of each kind found in this many rounds; the breeders take turns."""
    rng = np.random.default_rng(seed)
    extreme = _worst_of_exp(dtype, rng)
    best = {kind: [] for kind in kinds}
    for number in range(rounds):
        breeder = (_nearly_equal, _of_extremes, _bred)[number % 3]
        for kind, (ours, _) in kinds.items():
            rows, ids = breeder(rng, dtype, extreme, best[kind])
            errors = _screened(kind, ours, rows, ids)
            found = [(float(errors[i]), rows[i], int(ids[i])) for i in np.argsort(errors)[-5:]]
            best[kind] = sorted(best[kind] + found, key=lambda one: -one[0])[:20]
    return [_judged(kind, *kinds[kind], *found[0][1:]) for kind, found in best.items()]


# --- breeders: each returns rows (n, V) and a target for each --------------------------------------------------------


def _nearly_equal(rng, dtype, extreme, found):
    n, classes = 400, int(rng.integers(2, 70))
    level = rng.uniform(-20, 60, (n, 1))
    width = 10.0 ** rng.uniform(-6, -0.5, (n, 1))
    rows = level + width * rng.choice([0, 1], (n, classes)) * rng.uniform(0.5, 1, (n, 1))
    rows[::2, 0] -= width[::2, 0]  # one entry apart from the others
    return rows.astype(dtype), rng.integers(classes, size=n)


def _worst_of_exp(dtype, rng):
    """Return scores on which NumPy's exp is too high, and on which it is too low, the worst of a million."""
    x = rng.uniform(-20, 60, 1_000_000).astype(dtype)
    exact = np.exp(x.astype(WIDER[dtype]))
    order = np.argsort((np.exp(x) - exact) / exact)
    return x[order[:300]], x[order[-300:]]


def _of_extremes(rng, dtype, extreme, found):
    n, classes = 400, int(rng.integers(2, 40))
    low, high = extreme if rng.random() < 0.5 else extreme[::-1]
    rows = np.repeat(rng.choice(low, (n, 1)), classes, axis=1)  # equal entries: their errors have the same sign
    some = rng.random((n, classes)) < rng.uniform(0, 1)
    rows[some] = rng.choice(low, some.sum())
    rows[:, 0] = rng.choice(high, n)
    return rows, np.zeros(n, int) if rng.random() < 0.5 else rng.integers(classes, size=n)


def _bred(rng, dtype, extreme, found):
    _, row, target = found[rng.integers(len(found))] if found else (0, np.zeros(2, dtype), 0)
    rows = np.repeat(row[None], 400, axis=0)
    how = rng.integers(4)
    if how == 0:  # by some ulps
        rows += np.spacing(rows) * rng.integers(-50, 51, rows.shape)
    elif how == 1:  # with one entry replaced
        rows[np.arange(400), rng.integers(row.size, size=400)] = rng.choice(np.concatenate(extreme), 400)
    elif how == 2:  # all to another level
        rows += rng.uniform(-5, 5, (400, 1)).astype(dtype)
    else:  # more of the same
        rows = np.concatenate([rows, rows[:, rng.integers(row.size, size=3)]], axis=1)[:, :70]
    return rows.astype(dtype), np.full(400, min(target, rows.shape[1] - 1))


# --- judges ----------------------------------------------------------------------------------------------------------


def _screened(kind, ours, rows, ids):
    """Return the error of each row by a wider float, as a share of the promised bound."""
    z = rows.astype(WIDER[rows.dtype.type])
    i = np.arange(len(z))
    d = z - z.max(axis=-1, keepdims=True)
    e = np.exp(d)
    others = e.copy()
    others[i, ids] = 0
    total, odds = e.sum(axis=-1, keepdims=True), others.sum(axis=-1) / e[i, ids]
    if kind in ("softmax", "cross_entropy_backward"):
        exact = e / total
        if kind != "softmax":
            exact[i, ids] *= -odds
    elif kind == "cross_entropy":
        exact = np.log1p(odds)[:, None]
    else:
        top = d.argmax(axis=-1)
        e[i, top] = 0
        exact = d - np.log1p(e.sum(axis=-1, keepdims=True))
    unit = np.spacing(np.abs(exact).astype(rows.dtype)).astype(z.dtype)
    normal = np.abs(exact) >= np.finfo(rows.dtype).tiny
    errors = np.where(normal, np.abs(ours(rows, ids) - exact) / unit, 0)
    spread = (z.max(axis=-1) - z.min(axis=-1)).astype(float)
    return errors.max(axis=-1).astype(float) / (oracle.promised_ulps(rows[0] * 0) + spread / 2)


def _judged(kind, ours, exactly, row, target):
    """Return the oracle's verdict on a row."""
    exact = exactly(row, target)
    normal = np.abs(np.array(exact, float)) >= np.finfo(row.dtype).tiny
    errors = oracle.ulp_error(ours(row[None], np.array([target]))[0], exact)
    return Worst(kind, row, target, float(errors[normal].max(initial=0)), oracle.promised_ulps(row))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000, help="rounds of 400 rows of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed finds the same rows (default: 0)")
    options = parser.parse_args()
    for dtype in WIDER:
        print(f"{np.dtype(dtype).name}: the worst of {400 * options.rounds:,} rows of each kind")
        for worst in search(dtype, options.rounds, options.seed):
            print(f"  {worst.kind:24} {worst.ulps:5.2f} ulps; promised: {worst.promised:5.2f}")
            print(f"    {worst.row.size} scores, target {worst.target}: {worst.row[:4].tolist()} ...")


if __name__ == "__main__":
    main()
