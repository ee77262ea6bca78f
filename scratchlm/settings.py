"""The settings of a training run: the valid values and the default of each.

In: settings by name, as values or as text: 4000 or "4000". Out: `Settings`, complete and checked. The command line, a
stranger's file and Python code all go through the same door, `Settings.of`, which checks all of them equally strictly.
"""

import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scratchlm.objectives import HEADS, LOSSES


class Complaint(Exception):
    """A problem that the user can fix; shown as one line."""


@dataclass(frozen=True)
class Number:
    """The numbers from low to high, both included; `what` describes them in words.

    >>> WHOLE.read("12")
    12
    >>> WHOLE.read(1.5)
    Traceback (most recent call last):
    ValueError: '1.5' is not a whole number from 1 to 1,000,000,000
    """

    kind: type[int] | type[float]
    low: float
    high: float
    what: str

    def read(self, value: object) -> float:
        """Return the number, given as a value or as text. Errors: ValueError if it is not one of these numbers."""
        try:
            number = self.kind(str(value))  # as text, since int(1.5) and int(True) are 1
        except ValueError:
            number = math.nan
        if not self.low <= number <= self.high:
            raise ValueError(f"{str(value)!r} is not {self.what}")
        return number


@dataclass(frozen=True)
class Choice:
    """One of a few names.

    >>> Choice(("adamw", "sgd")).read("adam")
    Traceback (most recent call last):
    ValueError: invalid choice: 'adam' (choose from 'adamw', 'sgd')
    """

    names: tuple[str, ...]

    def read(self, value: object) -> str:
        """Return the value as one of the names. Errors: ValueError if it is not one of them."""
        if str(value) not in self.names:
            raise ValueError(f"invalid choice: {str(value)!r} (choose from {', '.join(map(repr, self.names))})")
        return str(value)


@dataclass(frozen=True)
class File:
    """The name of a file.

    >>> File().read("folder/")
    Traceback (most recent call last):
    ValueError: 'folder/' does not name a file
    """

    def read(self, value: object) -> Path:
        """Return the value as a path. Errors: ValueError if it does not end in a file name."""
        if not os.path.basename(str(value)):
            raise ValueError(f"{str(value)!r} does not name a file")
        return Path(str(value))


TINY = math.nextafter(0, 1)
HUGE = sys.float_info.max
WHOLE = Number(int, 1, 10**9, "a whole number from 1 to 1,000,000,000")
WHOLE_OR_0 = Number(int, 0, 10**9, "a whole number from 0 to 1,000,000,000")
ABOVE_0 = Number(float, TINY, HUGE, "a finite number above 0")
FROM_0 = Number(float, 0, HUGE, "a finite number of at least 0")
SHARE = Number(float, TINY, 1, "a number above 0 and at most 1")
BELOW_1 = Number(float, 0, math.nextafter(1, 0), "a number of at least 0 and below 1")

# The valid values of each setting.
SETTINGS: dict[str, Choice | Number] = {
    "model": Choice(("bigram", "mlp")),
    "tokens": Choice(("character", "word")),
    "steps": WHOLE_OR_0,
    "batch_size": WHOLE,
    "seed": WHOLE_OR_0,
    "head": Choice(tuple(HEADS)),
    "loss": Choice(tuple(LOSSES)),
    "held_out": BELOW_1,
    "checkpoint_every": WHOLE,
    "context_length": WHOLE,
    "embedding_dim": WHOLE,
    "hidden_dim": WHOLE,
    "optimizer": Choice(("adamw", "sgd")),
    "learning_rate": ABOVE_0,
    "weight_decay": FROM_0,
}

# The default of each setting: the same for every model, or one that suits the model.
DEFAULTS: dict[str, Any] = {
    "model": "mlp",
    "tokens": "character",
    "steps": 4000,
    "batch_size": 128,
    "seed": 0,
    "head": "logits",
    "loss": "cross_entropy",
    "held_out": 0.1,
    "checkpoint_every": None,
    "context_length": 8,
    "embedding_dim": 24,
    "hidden_dim": 128,
    "optimizer": "adamw",
}
SUITABLE = {"bigram": {"learning_rate": 0.1, "weight_decay": 0.0}, "mlp": {"learning_rate": 0.01, "weight_decay": 0.1}}


@dataclass(frozen=True)
class Settings:
    """The settings of one run; made by `Settings.of`.

    >>> settings = Settings.of(model="bigram", steps=300)
    >>> settings.steps, settings.batch_size, settings.learning_rate
    (300, 128, 0.1)
    """

    model: str
    tokens: str
    steps: int
    batch_size: int
    seed: int
    head: str
    loss: str
    held_out: float  # share of the texts to judge the model by
    checkpoint_every: int | None  # steps; None: only at the end
    context_length: int
    embedding_dim: int
    hidden_dim: int
    optimizer: str
    learning_rate: float  # at its highest, after warm-up
    weight_decay: float

    @classmethod
    def of(cls, **given: object) -> "Settings":
        """Return settings: the given ones, each checked, and defaults for all others.

        Errors: Complaint for an unknown name, and for a value that the setting cannot have.
        """
        read = {name: _read(name, value) for name, value in given.items()}
        model = read.get("model", DEFAULTS["model"])
        return cls(**{**DEFAULTS, **SUITABLE[model], **read})

    def stored(self) -> dict[str, str | int | float]:
        """Return the settings by name, as a file stores them: without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _read(name: str, value: object) -> Any:
    """Return the value of a setting, given as a value or as text."""
    if name not in SETTINGS:
        raise Complaint(f"a run has no setting {name!r}; its settings are {', '.join(SETTINGS)}")
    try:
        return SETTINGS[name].read(value)
    except ValueError as error:
        raise Complaint(f"{name}: {error}") from None
