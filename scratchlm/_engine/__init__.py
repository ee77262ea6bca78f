"""The engine room: how a formula for rows becomes a function of any array. No mathematics of softmax lives here.

Read `functional.py` first, and believe these rooms; then look inside, in this order:

- `checks`: what a caller may hand in. Each check stands here once, and its error names what is wrong.
- `sums`: the words that the formulas are written in: `row_sum`, `favourite`, `pick`, `put`.
- `blocks`: a formula applied to block after block of rows, by threads.
- `arrays`: any axis, dtype and memory layout turned into rows, and back: the decorators above the formulas.
"""
