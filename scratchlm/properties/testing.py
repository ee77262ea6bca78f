"""The battery in your own tests: two lines give pytest a case for each property.

In: a kind, and an implementation. Out: a test function; give it a name that pytest collects.
"""

from collections.abc import Callable, Collection
from typing import Any

from scratchlm.properties.examination import chosen, examine
from scratchlm.properties.report import failure_of


def as_test(
    kind: str,
    implementation: Callable[..., Any],
    *,
    tier: str | None = None,
    skip: Collection[str] = (),
    dtype: str | None = None,
    budget: int = 100,
    seed: int = 0,
) -> Callable[..., None]:
    """Return a pytest test with one case for each property of a kind, or of one tier, except those named in `skip`.

    A failing case shows the mistake, if it is a known one, and the smallest counterexample.
    Errors: as for `examine`, raised at once; ImportError without pytest.

    >>> from scratchlm import functional
    >>> test_my_softmax = as_test("softmax", functional.softmax, tier="identities", skip=["temperature"])
    >>> test_my_softmax("ratios")
    """
    import pytest  # only tests need it

    left_out = [p.name for p in chosen(kind, implementation, None, skip)] if skip else []
    names = [p.name for p in chosen(kind, implementation, tier, None) if p.name not in left_out]

    def test(name: str) -> None:
        report = examine(kind, implementation, names=[name], dtype=dtype, budget=budget, seed=seed)
        wrong = [failure_of(verdict) for verdict in report if not verdict.passed]
        __tracebackhide__ = True  # pytest need not show our own lines
        assert not wrong, "\n".join(wrong)

    return pytest.mark.parametrize("name", names)(test)
