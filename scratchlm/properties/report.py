"""What became of properties, as text: a line for each, then every failure with its counterexample, then the count."""

from collections.abc import Sequence

from scratchlm.properties.battery import Verdict
from scratchlm.terminal import escaped


def as_text(verdicts: Sequence[Verdict]) -> str:
    """Return the report on verdicts, in parts with an empty line between them.

    >>> from scratchlm import functional
    >>> from scratchlm.properties import examine
    >>> print(as_text(examine("softmax", functional.softmax, names=["ratios"], budget=5)))
    identities
      ✓ ratios                       p_j / p_k = exp(z_j - z_k)
    <BLANKLINE>
    1 of 1 properties hold.
    """
    tiers = dict.fromkeys(verdict.property.tier for verdict in verdicts)
    tables = [_table(tier, [v for v in verdicts if v.property.tier == tier]) for tier in tiers]
    failures = [_failure(verdict) for verdict in verdicts if not verdict.passed]
    return escaped("\n\n".join([*tables, *failures, _count(verdicts)]), keep="\n")


def _table(tier: str, verdicts: Sequence[Verdict]) -> str:
    """Return a line for each verdict, under the name of their tier."""
    rows = [f"  {'✓' if v.passed else '✗'} {v.property.name:28} {v.property.identity}" for v in verdicts]
    return "\n".join([tier, *rows])


def _failure(verdict: Verdict) -> str:
    """Return what is wrong, the case that shows it, why it matters, and what to look for."""
    lines = [f"✗ {verdict.property.name}: {verdict.message}"]
    shown = [("", verdict.counterexample), ("expected", verdict.expected), ("actual", verdict.actual)]
    for label, text in shown:
        lines += [f"    {label:9}{line}" for line in text.splitlines()]
    lines += [f"    why      {verdict.property.why}", f"    hint     {verdict.property.hint}"]
    return "\n".join(lines)


def _count(verdicts: Sequence[Verdict]) -> str:
    """Return how many properties hold; of a correct implementation that loses digits, this is said, too."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    line = f"{len(verdicts) - len(failed)} of {len(verdicts)} properties hold."
    if failed and all(verdict.property.tier == "accuracy" for verdict in failed):
        line += (
            " Every identity does: this is a correct implementation. The oracle shows where digits can still be won."
        )
    return line
