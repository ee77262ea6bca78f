"""Two language models with one interface: forward and backward by hand, side by side.

In: contexts (N, context_length), the token ids before each target. Out: logits (N, vocab_size), a score for each token
that could come next. Then backward takes the gradient of a loss with respect to those logits, and returns its
gradient with respect to every parameter, under the parameter's name. A training loop need not know which model it
trains:

    logits = model.forward(contexts)
    value, grad_logits = objective.value_and_grad(logits, targets)
    grads = model.backward(grad_logits)

Errors of both models: TypeError for contexts or targets that are not integer ids, and for a size that is not a whole
number; ValueError for a wrong shape, an id that is not in the vocabulary, a size below 1, or a dtype other than float32
and float64.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from scratchlm._engine.checks import FloatArray, IntArray, as_floats, generator, in_range, rows_of_ids, size
from scratchlm.functional import linear_cross_entropy_with_grad

Params = dict[str, FloatArray]


class LanguageModel(Protocol):
    """The interface that training and sampling need."""

    vocab_size: int
    context_length: int
    params: Params

    def forward(self, contexts: ArrayLike) -> FloatArray:
        """Return logits (N, vocab_size), and keep what backward will need."""

    def backward(self, grad_logits: FloatArray) -> Params:
        """Return the gradient of every parameter, for the contexts of the last forward."""


class BigramLM:
    """A table of logits: row i scores the tokens that may follow token i.

    It sees one token of context, and its rows share nothing.

    Parameters: logits (V, V), 0 at first, so every token is equally likely.
    Formula: forward is logits[context]; backward adds each row of grad_logits to the table row it came from.

    >>> model = BigramLM(vocab_size=3)
    >>> model.forward([[1], [2]]).shape
    (2, 3)
    """

    context_length = 1

    def __init__(self, vocab_size: int, dtype: DTypeLike = np.float32) -> None:
        self.vocab_size = size("vocab_size", vocab_size)
        self.params: Params = {"logits": np.zeros((self.vocab_size, self.vocab_size), _float(dtype))}

    def forward(self, contexts: ArrayLike) -> FloatArray:
        """Return the logits (N, V) of the token after each context (N, 1)."""
        self._contexts = rows_of_ids("contexts", contexts, (self.context_length,), self.vocab_size)
        logits: FloatArray = self.params["logits"][self._contexts[:, 0]]
        return logits

    def backward(self, grad_logits: FloatArray) -> Params:
        """Return the gradient of the table, given that of the logits (N, V) from the last forward.

        Errors: RuntimeError before the first forward; ValueError or TypeError for a gradient that does not fit.
        """
        grad_logits = _checked_gradient(self, grad_logits)
        return {"logits": _add_rows(self._contexts[:, 0], grad_logits, self.vocab_size)}

    def fit_counts(self, contexts: ArrayLike, targets: ArrayLike, smoothing: float = 0.0) -> "BigramLM":
        """Set the table to the closed-form optimum, the logarithms of the transition counts, and return self.

        Formula: logits[i, j] = log(count[i, j] + smoothing). Softmax normalises a row, so counts need no normalising.
        With smoothing = 0 no table has a lower loss on these targets: the loss is their conditional entropy. A
        transition that never occurred has logit -inf and costs inf in other text; with smoothing = 1 (Laplace) nothing
        is impossible. A token that nothing followed keeps a row of zeros: every next token is equally likely.
        Shapes: contexts (N, 1), targets (N,). Errors: ValueError for a smoothing that is negative or not finite.

        >>> model = BigramLM(2).fit_counts([[0], [0], [0], [1]], [0, 1, 1, 0])
        >>> np.exp(model.params["logits"])
        array([[1., 2.],
               [1., 0.]], dtype=float32)
        """
        smoothing = in_range("smoothing", smoothing, 0, np.inf)
        previous = rows_of_ids("contexts", contexts, (self.context_length,), self.vocab_size)[:, 0]
        following = rows_of_ids("targets", targets, (), self.vocab_size)
        if previous.shape != following.shape:
            raise ValueError(
                f"contexts and targets must have the same length, not {len(previous)} and {len(following)}"
            )
        pairs = np.bincount(previous * self.vocab_size + following, minlength=self.vocab_size**2)
        counts = pairs.reshape(self.vocab_size, self.vocab_size) + smoothing
        counts[counts.sum(axis=1) == 0] = 1
        with np.errstate(divide="ignore"):
            self.params["logits"][...] = np.log(counts)
        return self


class MLPLM:
    """Bengio's neural language model: the context's embeddings side by side, a tanh layer, and a linear layer.

    Parameters: embedding (V, E), hidden_weight (C E, H), hidden_bias (H,), output_weight (H, V), output_bias (V,), for
    a vocabulary of V, a context_length C, an embedding_dim E and a hidden_dim H.
    Formula: x = embedding[context], concatenated;  h = tanh(x W + b);  logits = h W' + b'.
    Source: Bengio, Ducharme, Vincent & Jauvin 2003, "A neural probabilistic language model", JMLR 3:1137.

    >>> model = MLPLM(vocab_size=27, context_length=3, embedding_dim=8, hidden_dim=32)
    >>> model.forward([[0, 0, 0], [0, 0, 5]]).shape
    (2, 27)
    """

    def __init__(
        self,
        vocab_size: int,
        context_length: int = 8,
        embedding_dim: int = 24,
        hidden_dim: int = 128,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.vocab_size = size("vocab_size", vocab_size)
        self.context_length = size("context_length", context_length)
        self.embedding_dim = size("embedding_dim", embedding_dim)
        self.hidden_dim = size("hidden_dim", hidden_dim)
        dtype, rng, inputs = _float(dtype), generator(seed, "seed"), self.context_length * self.embedding_dim
        params = {
            "embedding": rng.normal(0, 1, (vocab_size, embedding_dim)),
            "hidden_weight": rng.normal(0, 1, (inputs, hidden_dim)) / np.sqrt(inputs),  # so that x W + b is around 1
            "hidden_bias": np.zeros(hidden_dim),
            "output_weight": rng.normal(0, 0.1, (hidden_dim, vocab_size)) / np.sqrt(hidden_dim),  # near 0: no opinion
            "output_bias": np.zeros(vocab_size),
        }
        self.params: Params = {name: value.astype(dtype) for name, value in params.items()}

    def forward(self, contexts: ArrayLike) -> FloatArray:
        """Return the logits (N, V) of the token after each context (N, C).

        A matrix product adds in an order that depends on the number of rows. So the last bits of a context's logits may
        depend on the rest of the batch; those of softmax and its relatives do not.
        """
        p = self.params
        self._hidden(contexts)
        return self._h @ p["output_weight"] + p["output_bias"]

    def _hidden(self, contexts: ArrayLike) -> None:
        """Compute x and h, and keep them for backward."""
        p = self.params
        self._contexts = rows_of_ids("contexts", contexts, (self.context_length,), self.vocab_size)
        self._x = p["embedding"][self._contexts].reshape(len(self._contexts), -1)
        a = self._x @ p["hidden_weight"] + p["hidden_bias"]
        self._h = np.tanh(a, out=a)

    def backward(self, grad_logits: FloatArray) -> Params:
        """Return the gradient of every parameter, given that of the logits (N, V) from the last forward.

        Read forward from its last line up. The gradient of a factor is the gradient of the product times the other
        factor. Errors: RuntimeError before the first forward; ValueError or TypeError for a gradient that does not fit.
        """
        grad_logits = _checked_gradient(self, grad_logits)
        return {
            "output_bias": grad_logits.sum(axis=0),
            "output_weight": self._h.T @ grad_logits,
            **self._backward_from_hidden(grad_logits @ self.params["output_weight"].T),
        }

    def _backward_from_hidden(self, grad_h: FloatArray) -> Params:
        """Return the gradients of the parameters below h, given that of h."""
        grad_a = grad_h * (1 - self._h**2)  # a = x W + b, and tanh' = 1 - tanh^2
        grad_x = grad_a @ self.params["hidden_weight"].T
        return {
            "hidden_bias": grad_a.sum(axis=0),
            "hidden_weight": self._x.T @ grad_a,
            "embedding": _add_rows(self._contexts.reshape(-1), grad_x.reshape(-1, self.embedding_dim), self.vocab_size),
        }

    def loss_and_grads(self, contexts: ArrayLike, targets: ArrayLike) -> tuple[Any, Params]:
        """Return the mean cross-entropy of the targets and the gradient of every parameter, without storing all logits.

        It does the work of forward, cross_entropy_with_grad and backward, for vocabularies so large that a batch of
        logits takes more memory than everything else together.
        """
        p = self.params
        self._hidden(contexts)
        loss, grad_h, grad_weight, grad_bias = linear_cross_entropy_with_grad(
            self._h, p["output_weight"], p["output_bias"], targets
        )
        return loss, {
            "output_bias": grad_bias,
            "output_weight": grad_weight,
            **self._backward_from_hidden(grad_h),
        }


def _add_rows(ids: IntArray, rows: FloatArray, size: int) -> FloatArray:
    """Return a table (size, D) in which row n of rows (N, D) was added to line ids[n]: the derivative of a look-up.

    Picking lines is a product with a one-hot matrix; adding to them is a product with its transpose. For a small table
    that matrix is small, and nothing is faster than a product. For a large one we sort the ids and add up runs.
    """
    if size <= 256:
        one_hot = np.zeros((size, len(ids)), rows.dtype)
        one_hot[ids, np.arange(len(ids))] = 1
        return one_hot @ rows
    order = np.argsort(ids, kind="stable")
    first = np.flatnonzero(np.diff(ids[order], prepend=-1))  # where each run of equal ids begins
    table = np.zeros((size, rows.shape[1]), rows.dtype)
    if ids.size:
        table[ids[order[first]]] = np.add.reduceat(rows[order], first, axis=0)
    return table


def _checked_gradient(model: BigramLM | MLPLM, grad_logits: ArrayLike) -> FloatArray:
    """Return the gradient if it has the shape of the logits from the model's last forward; raise an error if not."""
    if not hasattr(model, "_contexts"):
        raise RuntimeError("backward needs the results of forward: call forward first")
    grad = as_floats("grad_logits", grad_logits)
    if grad.shape != (len(model._contexts), model.vocab_size):
        shape = (len(model._contexts), model.vocab_size)
        raise ValueError(f"grad_logits must have the shape of the logits, {shape}, not {grad.shape}")
    return grad


def _float(dtype: DTypeLike) -> "np.dtype[Any]":
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        raise ValueError(f"dtype must be float32 or float64, not {dtype!r}") from None
    if dtype is None or found not in (np.float32, np.float64):  # NumPy reads None as float64
        raise ValueError(f"dtype must be float32 or float64, not {dtype if dtype is None else found}")
    return found
