"""The classroom: exercises, and a grader that runs a submission behind a wall and judges it with the battery."""
