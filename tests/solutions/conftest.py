"""Solutions, not tests: they would collide with the stubs of the same names."""

collect_ignore_glob = ["*.py"]
