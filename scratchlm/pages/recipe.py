"""How these pages train: 5,163 given names, a tenth of them held out, and one recipe for both models.

Page 6 explains the bigram and page 7 the network. This file contains only what several pages share.
"""

from scratchlm.data import Vocabulary, contexts_and_targets, load_names, split_texts
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import Objective
from scratchlm.optim import AdamW
from scratchlm.training import Data, Record, train

RIGHT = Objective("logits", "cross_entropy")

names = load_names()
vocabulary = Vocabulary.from_texts(names)
learning_names, held_out_names = split_texts(names, validation_fraction=0.1, seed=0)


def data_for(model: LanguageModel, split: int = 0) -> tuple[Data, Data]:
    """Return the data that a model learns from, and held-out data to judge it by."""
    parts = split_texts(names, validation_fraction=0.1, seed=split)
    learning, held_out = (Data(*contexts_and_targets(part, vocabulary, model.context_length)) for part in parts)
    return learning, held_out


def learn(
    model: LanguageModel, steps: int, objective: Objective = RIGHT, data: tuple[Data, Data] | None = None, seed: int = 0
) -> list[Record]:
    """Train a model on minibatches of 128, drawn with this seed; return 20 records of its progress."""
    learning, held_out = data or data_for(model)
    table = isinstance(model, BigramLM)  # a table has far fewer numbers, and can take larger steps
    return train(
        model,
        objective,
        AdamW(model.params, weight_decay=0 if table else 0.1),
        learning,
        held_out,
        steps=steps,
        batch_size=128,
        learning_rate=0.1 if table else 0.01,
        warmup=min(100, steps // 10),
        seed=seed,
        record_every=max(1, steps // 20),
    )


def new_bigram(vocab_size: int = len(vocabulary)) -> BigramLM:
    """Return the table that these pages use: it looks at the last letter."""
    return BigramLM(vocab_size)


def new_mlp(vocab_size: int = len(vocabulary), seed: int = 0, letters: int = 8) -> MLPLM:
    """Return the network that these pages use: it looks at the last eight letters."""
    return MLPLM(vocab_size, context_length=letters, embedding_dim=24, hidden_dim=128, seed=seed)
