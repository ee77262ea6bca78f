"""How verdicts are reported: a table for people, HTML for a notebook, JSON and JUnit XML for machines.

In: the verdicts of an examination. Out: text. A known mistake is named first.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload
from xml.etree import ElementTree

from scratchlm.properties.battery import Verdict
from scratchlm.terminal import escaped


@dataclass(frozen=True, repr=False)
class Report(Sequence[Verdict]):
    """A sequence of verdicts that prints as a table: what holds, what does not, and on which input.

    >>> from scratchlm import functional
    >>> from scratchlm.properties import examine
    >>> print(examine("softmax", functional.softmax, names=["ratios"], budget=5))
    identities
      ✓ ratios                       p_j / p_k = exp(z_j - z_k)
    <BLANKLINE>
    1 of 1 properties hold.
    """

    kind: str
    verdicts: tuple[Verdict, ...]

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Verdict]: ...
    def __getitem__(self, index: int | slice) -> Verdict | Sequence[Verdict]:
        """Return one verdict, or some."""
        return self.verdicts[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.verdicts)

    @property
    def passed(self) -> bool:
        """Return whether every property holds."""
        return all(verdict.passed for verdict in self)

    @property
    def diagnosis(self) -> str:
        """Return the sentence that names the mistake, or ""."""
        return next((verdict.diagnosis for verdict in self if verdict.diagnosis), "")

    def __str__(self) -> str:
        """Return a line for each verdict, then every failure with its counterexample, then the count."""
        tiers = dict.fromkeys(verdict.property.tier for verdict in self)
        tables = [_table(tier, [v for v in self if v.property.tier == tier]) for tier in tiers]
        failures = [_failure(verdict) for verdict in self if not verdict.passed]
        parts = [self.diagnosis, *tables, *failures, self._conclusion()]
        return escaped("\n\n".join(part for part in parts if part), keep="\n")

    __repr__ = __str__

    def _conclusion(self) -> str:
        """Return how many properties hold, and whether it is correct, which depends on the identities alone."""
        failed = [verdict for verdict in self if not verdict.passed]
        line = f"{len(self) - len(failed)} of {len(self)} properties hold."
        identities = [verdict for verdict in self if verdict.property.tier == "identities"]
        if failed and identities and all(verdict.passed for verdict in identities):
            line += " Every identity holds: this is a correct implementation."
            if any(verdict.property.tier == "manners" for verdict in failed):
                line += " See manners for what it does not take or keep."
            if any(verdict.property.tier == "accuracy" for verdict in failed):
                line += " The oracle shows where it could gain digits."
        return line

    def _repr_html_(self) -> str:
        """Return the report as a table for a notebook."""
        rows = []
        for verdict in self:
            mark = "✓" if verdict.passed else "✗"
            rest = "" if verdict.passed else f"<br><pre>{_safe(_failure(verdict))}</pre>"
            cells = [mark, verdict.property.tier, f"<b>{_safe(verdict.property.name)}</b>"]
            shown = f"{_safe(verdict.property.identity)}{rest}"
            rows.append("".join(f'<td style="text-align:left;vertical-align:top">{c}</td>' for c in [*cells, shown]))
        head = f"<p><b>{_safe(self.diagnosis)}</b></p>" if self.diagnosis else ""
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"{head}<table>{body}</table><p>{_safe(self._conclusion())}</p>"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "kind": self.kind,
            "passed": self.passed,
            "diagnosis": escaped(self.diagnosis),
            "verdicts": [
                {
                    "name": verdict.property.name,
                    "tier": verdict.property.tier,
                    "identity": verdict.property.identity,
                    "passed": verdict.passed,
                    **({} if verdict.passed else _details(verdict)),
                }
                for verdict in self
            ],
        }

    def to_junit(self) -> bytes:
        """Return the report as JUnit XML, for servers that run tests, with a test case for each property."""
        failures = sum(not verdict.passed for verdict in self)
        suite = ElementTree.Element("testsuite", name=self.kind, tests=str(len(self)), failures=str(failures))
        for verdict in self:
            p = verdict.property
            case = ElementTree.SubElement(suite, "testcase", classname=f"{self.kind}.{p.tier}", name=p.name)
            if not verdict.passed:
                message = escaped(verdict.diagnosis or verdict.message)
                text = escaped(_failure(verdict), keep="\n")
                ElementTree.SubElement(case, "failure", message=message).text = text
        return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def failure_of(verdict: Verdict) -> str:
    """Return what is wrong in a few lines, beginning with the name of the mistake, if there is one."""
    return escaped("\n".join(part for part in (verdict.diagnosis, _failure(verdict)) if part), keep="\n")


def _table(tier: str, verdicts: Sequence[Verdict]) -> str:
    """Return a line for each verdict, under the name of their tier."""
    rows = [f"  {'✓' if v.passed else '✗'} {v.property.name:28} {v.property.identity}" for v in verdicts]
    return "\n".join([tier, *rows])


def _details(verdict: Verdict) -> dict[str, str]:
    texts = ("message", "counterexample", "expected", "actual", "diagnosis")
    found = {name: escaped(getattr(verdict, name), keep="\n") for name in texts}
    return {**found, "why": verdict.property.why, "hint": verdict.property.hint}


def _failure(verdict: Verdict) -> str:
    """Return what is wrong, the case that shows it, why it matters, and what to look for."""
    lines = [f"✗ {verdict.property.name}: {verdict.message}"]
    shown = [("", verdict.counterexample), ("expected", verdict.expected), ("actual", verdict.actual)]
    for label, text in shown:
        lines += [f"    {label:9}{line}" for line in text.splitlines()]
    about_answers = verdict.property.name == "it answers"
    if not verdict.raised:  # otherwise the exception says it all
        lines += [f"    why      {verdict.property.why}"]
    if (not verdict.raised or about_answers) and not verdict.diagnosis:
        lines += [f"    hint     {verdict.property.hint}"]
    return "\n".join(lines)


def _safe(text: str) -> str:
    return html.escape(escaped(text, keep="\n"))
