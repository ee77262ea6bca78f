"""The engine room: how a formula for rows becomes a function of any array.

No mathematics of softmax lives here. Read `functional.py` first, and take these files on trust. Then look inside, in
this order:

- `checks`: the arguments a caller may pass. Each check is written once, and its error names the mistake.
- `sums`: the vocabulary of the formulas: `row_sum`, `favourite`, `pick`, `put`.
- `blocks`: a formula applied to one block of rows after another, in threads.
- `arrays`: any axis, dtype and memory layout turned into rows and back: the decorators above the formulas.
"""
