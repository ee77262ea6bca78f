"""The battery: every identity once, as a property that any implementation can be examined with.

In: a kind ("softmax", "cross_entropy_backward", ...) and a callable that claims to be one. Out: a verdict for every
property, and where it fails, the smallest input that Hypothesis finds, ready to be pasted into Python; and the name of
the mistake, where it is one that many have made.

A property is a family of inputs and an assertion about the callable `f` on one of them. The same properties test this
package, examine other people's libraries, and mark exercises; so they know nothing of how `f` works. Three tiers:

- *identities*: mathematics, and nothing else: what is true of every correct implementation, the textbook's included.
  Tolerances allow what a textbook formula loses: each exp of a rounded z - max z is off by half the spread of the row,
  in units of eps.
- *manners*: any shape, axis and memory layout, the dtype kept, the input untouched, no warnings.
- *accuracy*: what this package reaches, and libraries often do not, measured against the 60-digit oracle.
"""

# Each of these enters its properties into PROPERTIES, and in this order they are shown.
from scratchlm.properties import forward, losses, derivatives, decoders, manners, accuracy  # noqa: F401, I001
from scratchlm.properties.battery import PROPERTIES, Property, Verdict, as_python
from scratchlm.properties.examination import examine, judged
from scratchlm.properties.report import Report
from scratchlm.properties.testing import as_test

__all__ = ["PROPERTIES", "Property", "Report", "Verdict", "as_python", "as_test", "examine", "judged"]
