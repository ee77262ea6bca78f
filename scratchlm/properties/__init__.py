"""The battery: every identity once, as a property that any implementation can be examined with.

In: a kind ("softmax", "cross_entropy_backward", ...) and a callable that claims to be one. Out: a verdict for every
property, and where it fails, the smallest input that Hypothesis finds, ready to be pasted into Python.

A property is a family of inputs and an assertion about the callable `f` on one of them. The same properties test this
package, examine other people's libraries, and mark exercises; so they know nothing of how `f` works. Two tiers:

- *identities*: what is true of every correct implementation, the textbook's included. Tolerances allow what a textbook
  formula loses: each exp of a rounded z - max z is off by half the spread of the row, in units of eps.
- *accuracy*: what this package reaches, and libraries often do not, measured against the 60-digit oracle.
"""

# Each of these enters its properties into PROPERTIES, and in this order they are shown.
from scratchlm.properties import forward, losses, derivatives, decoders, manners, accuracy  # noqa: F401, I001
from scratchlm.properties.battery import PROPERTIES, Property, Verdict, as_python, examine, judged

__all__ = ["PROPERTIES", "Property", "Verdict", "as_python", "examine", "judged"]
