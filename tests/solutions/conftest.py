"""Answers, and no tests: the stubs of the same names would collide with them."""

collect_ignore_glob = ["*.py"]
