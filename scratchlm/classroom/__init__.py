"""Exercises and their grader. In a notebook: `from scratchlm.classroom import check`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchlm.classroom.notebook import Answer


def check(*functions: Callable[..., Any], exercise: int | None = None, seed: int = 0, budget: int = 30) -> "Answer":
    """Judge functions for an exercise on the spot, in a notebook, and return a table.

    The names of the functions identify the exercise; pass `exercise` if they have other names. `budget` is the number
    of cases for each property, and another seed gives other cases. The functions run in this process with no time
    limit, so interrupt the kernel if one does not return.
    Errors: TypeError for an argument that is not callable; ValueError if no exercise asks for such a function.

    >>> import numpy as np
    >>> def softmax(logits, axis=-1):
    ...     e = np.exp(logits)
    ...     return e / np.sum(e)
    >>> print(check(softmax, budget=5))  # doctest: +ELLIPSIS
    Exercise 1: softmax, 2 of 10 points, and 0 of 2 for stars
    mistake:  This gives exactly the same results as ...
    """
    from scratchlm.classroom.notebook import checked  # here: the far side of the wall does not need the judge

    return checked(functions, exercise, seed, budget)
