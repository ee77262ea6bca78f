"""The loop: draw a minibatch, go forward, go backward, take a step; and now and then, measure the truth.

In: a model, an objective, an optimizer, and data to learn from and data to be judged by. Out: the model's parameters,
changed in place, and a history of records.

Two numbers are kept apart on purpose. The *loss* is what the objective reports for a minibatch; with a wrong objective
it may mean nothing. The *NLL* is the true negative log-likelihood of softmax(logits) on all the data that the model is
judged by, in nats per token. Its exponential, the perplexity, is the number of equally likely tokens that would be as
hard to guess.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchlm._engine.checks import IntArray, above_0, generator, whole
from scratchlm.data import Contexts
from scratchlm.functional import cross_entropy
from scratchlm.models import MLPLM, LanguageModel, Params
from scratchlm.objectives import Objective
from scratchlm.progress import Progress

LARGE_VOCABULARY = 4096  # tokens: from this size upwards, the logits of a batch are never all stored at once


class Data(NamedTuple):
    """Contexts (N, context_length) and the targets (N,) that followed them."""

    contexts: IntArray | Contexts
    targets: IntArray


@dataclass
class State:
    """The state of a run between two steps; the next step depends on it, the model and the optimizer alone."""

    rng: np.random.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)  # since the last record


@dataclass(frozen=True)
class Record:
    """Measurements after a number of steps: the objective's mean loss since the last record, and the true NLL."""

    step: int
    loss: float
    nll: float


class Optimizer(Protocol):
    """The interface that the loop needs from an optimizer."""

    steps: int
    moments: dict[str, Params]

    def step(self, grads: Params, learning_rate: float) -> None:
        """Move every parameter of the model by one step."""


class Diverged(ArithmeticError):
    """The loss is no longer finite; `history` contains the records until then."""

    def __init__(self, step: int, loss: float, history: list[Record]) -> None:
        super().__init__(
            f"the loss became {loss} at step {step}: the learning rate is too high, the objective has no lower bound "
            "(the nll_loss of raw logits has none), or a target is impossible (its logit is -inf)"
        )
        self.step, self.history = step, history


def learning_rate_at(step: int, steps: int, peak: float, warmup: int = 0) -> float:
    """Return the learning rate of a step (0, 1, ... steps - 1): a straight climb to the peak, then half a cosine to 0.

    Errors: TypeError for a number of the wrong type; ValueError for a step outside the run, a warmup below 0, or a peak
    that is not a finite number above 0.
    Source: Loshchilov & Hutter 2017 (cosine), Goyal et al. 2017 (warm-up).

    >>> [round(learning_rate_at(step, 8, 1.0, warmup=2), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    steps, warmup = whole("steps", steps, least=1), whole("warmup", warmup, least=0)
    step = whole("step", step, least=0, below=steps)
    above_0("peak", peak)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def mean_nll(model: LanguageModel, data: Data, rows: int = 4096) -> float:
    """Return the mean negative log-likelihood of the targets under softmax(logits), in nats per token.

    The model sees `rows` contexts at a time, or fewer if the vocabulary is large, so that memory does not grow with the
    data.
    Errors: ValueError if there are no targets, if contexts and targets differ in number, and for rows below 1;
    TypeError for anything but Data.
    """
    _check_data("data", data, "measure the NLL of")
    total, rows = 0.0, max(1, min(whole("rows", rows, least=1), 2**22 // model.vocab_size))
    for start in range(0, len(data.targets), rows):
        part = slice(start, start + rows)
        total += float(cross_entropy(model.forward(data.contexts[part]), data.targets[part], reduction="sum"))
    return total / len(data.targets)


def train(
    model: LanguageModel,
    objective: Objective,
    optimizer: Optimizer,
    training: Data,
    judged_by: Data,
    *,
    steps: int,
    batch_size: int | None,
    learning_rate: float,
    warmup: int = 0,
    seed: int = 0,
    record_every: int = 500,
    progress: Progress | None = None,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    keep_every: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Record]:
    """Train the model in place, and return a record for the start, for every `record_every` steps, and for the end.

    A minibatch is `batch_size` targets, drawn with replacement by a generator with this seed. The same seed gives the
    same weights, bit for bit, on the same machine. With batch_size=None every step takes all targets, so nothing is
    random.

    A run can continue from the `state` of another run, and ends as if there had been only one. `keep` is called with
    the state after every `keep_every` steps. `stop` is called after every step; if it returns True, the run ends early.
    Errors: Diverged as soon as a loss is nan or infinite; ValueError for sizes below 1, a learning rate that is not a
    finite number above 0, no data, or contexts and targets that differ in number; TypeError for a setting of the wrong
    type, or for anything but Data.
    """
    steps, warmup = whole("steps", steps, least=0), whole("warmup", warmup, least=0)
    record_every = whole("record_every", record_every, least=1)
    batch_size = None if batch_size is None else whole("batch_size", batch_size, least=1)
    keep_every = None if keep_every is None else whole("keep_every", keep_every, least=1)
    above_0("learning_rate", learning_rate)
    _check_data("training", training, "learn from")
    _check_data("judged_by", judged_by, "measure the NLL of")

    state = state or State(generator(seed, "seed"))
    history = [] if state.step else [Record(0, math.nan, mean_nll(model, judged_by))]
    while state.step < steps and not (stop and stop()):
        batch = training if batch_size is None else _draw(training, batch_size, state.rng)
        with np.errstate(over="ignore", invalid="ignore"):  # Diverged reports it better
            loss, grads = loss_and_grads(model, objective, batch)
            if not math.isfinite(loss):
                raise Diverged(state.step, float(loss), history)
            optimizer.step(grads, learning_rate_at(state.step, steps, learning_rate, warmup))
        state.losses.append(float(loss))
        state.step += 1
        if recorded := state.step % record_every == 0 or state.step == steps:
            with np.errstate(over="ignore", invalid="ignore"):
                nll = mean_nll(model, judged_by)
            if not math.isfinite(nll):
                raise Diverged(state.step - 1, nll, history)
            history.append(Record(state.step, sum(state.losses) / len(state.losses), nll))
            state.losses.clear()
        if keep and keep_every and state.step % keep_every == 0:
            keep(state)
        if progress and recorded:
            last = history[-1]
            progress.record(last.step, last.loss, last.nll)
        elif progress:
            progress.tick(state.step)
    return history


def loss_and_grads(model: LanguageModel, objective: Objective, batch: Data) -> tuple[Any, Params]:
    """Return the objective's loss on a batch, and the gradient of every parameter."""
    contexts, targets = batch.contexts[:], batch.targets
    plain = (objective.head, objective.loss) == ("logits", "cross_entropy")
    if plain and isinstance(model, MLPLM) and model.vocab_size >= LARGE_VOCABULARY:
        return model.loss_and_grads(contexts, targets)
    logits = model.forward(contexts)
    loss, grad_logits = objective.value_and_grad(logits, targets)
    return loss, model.backward(grad_logits)


def _check_data(name: str, data: Data, purpose: str) -> None:
    """Raise an error unless there are contexts, with one target each."""
    if not isinstance(data, Data):
        raise TypeError(f"{name} must be Data(contexts, targets), not {type(data).__name__}")
    if not isinstance(data.contexts, np.ndarray | Contexts) or not isinstance(data.targets, np.ndarray):
        kinds = " and ".join(type(part).__name__ for part in data)
        raise TypeError(f"{name} must be Data of an array of contexts and an array of targets, not {kinds}")
    if data.targets.shape != (len(data.contexts),):
        raise ValueError(f"{name} has {len(data.contexts)} contexts, but targets of shape {data.targets.shape}")
    if not len(data.targets):
        raise ValueError(f"there is no target to {purpose}")


def _draw(data: Data, count: int, rng: np.random.Generator) -> Data:
    rows = rng.integers(len(data.targets), size=count)
    return Data(data.contexts[rows], data.targets[rows])
