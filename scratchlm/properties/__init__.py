"""The battery: every identity once, as a property against which any implementation can be examined.

In: a kind ("softmax", "cross_entropy_backward", ...) and a callable that claims to be one. Out: a verdict for every
property. If it fails, the verdict has the smallest input that Hypothesis finds, ready to paste into Python, and the
name of the mistake, if it is a common one.

A property is a family of inputs and an assertion about the callable `f` on one of them. The same properties test this
package, examine other people's libraries, and mark exercises, so they know nothing about how `f` works. There are three
tiers:

- *identities*: pure mathematics, true of every correct implementation, the textbook's included. Tolerances allow for
  what a textbook formula loses: each exp of a rounded z - max z is off by half the spread of the row, in units of eps.
- *manners*: any shape, axis and memory layout, the dtype kept, the input untouched, no warnings.
- *accuracy*: the error against the 60-digit oracle, within bounds that this package meets and libraries often do not.
"""

# Each of these adds its properties to PROPERTIES; they are shown in this order.
from scratchlm.properties import forward, losses, derivatives, decoders, manners, accuracy  # noqa: F401, I001
from scratchlm.properties.battery import PROPERTIES, Property, Verdict, as_python
from scratchlm.properties.examination import examine, judged
from scratchlm.properties.report import Report
from scratchlm.properties.testing import as_test

__all__ = ["PROPERTIES", "Property", "Report", "Verdict", "as_python", "as_test", "examine", "judged"]
