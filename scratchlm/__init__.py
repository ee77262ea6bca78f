"""scratchlm: softmax, log-softmax, cross-entropy and two tiny language models, by hand in NumPy, and measured."""

# What `python -m scratchlm` prints: what one can do, by what one wants.
OVERVIEW = """\
scratchlm: softmax, log-softmax, cross-entropy and two tiny language models, by hand in NumPy.

What would you like to do?

  learn                    python demos/03_normalising.py            (in the repository; python -m demos runs all pages)
  write softmax myself     python -m scratchlm exercise start homework 1
  check my softmax         python -m scratchlm examine mine:softmax             (for the function softmax in mine.py)
  train a language model   python -m scratchlm train --out names.npz
  grade my class           python -m scratchlm exercise grade handed_in --out graded

--help after a command lists its options.
"""
