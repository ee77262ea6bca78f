"""What is on disk: a trained model with its vocabulary, in one .npz file.

In: a model, a vocabulary, and the objective it was trained with. Out: a zip of plain arrays, written beside its place
and renamed, so a reader never meets half a file; read without pickle, so a file can hold numbers and nothing else.
"""

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.data import Vocabulary
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import Objective

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A model, the vocabulary that its token ids belong to, and the objective that it was trained with."""

    model: LanguageModel
    vocabulary: Vocabulary
    objective: Objective


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a file, whole or not at all; what stood there before is replaced.

    Errors: OSError if it cannot be written; then the file that stood there is untouched.
    """
    model = checkpoint.model
    config: dict[str, Any] = {
        "format": FORMAT,
        "model": "mlp" if isinstance(model, MLPLM) else "bigram",
        "characters": checkpoint.vocabulary.characters,
        "head": checkpoint.objective.head,
        "loss": checkpoint.objective.loss,
    }
    if isinstance(model, MLPLM):
        config["sizes"] = [model.context_length, model.embedding_dim, model.hidden_dim]
    arrays: dict[str, Any] = {f"param.{name}": param for name, param in model.params.items()}
    arrays["config"] = np.frombuffer(json.dumps(config).encode(), dtype=np.uint8)

    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Errors: OSError if the file cannot be read; ValueError, in one line, if it is not a whole checkpoint of this format.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not a .npz file, or only a part of one")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        config = json.loads(arrays.pop("config").tobytes())
        if config["format"] != FORMAT:
            raise ValueError(f"its format is {config['format']}, and this version reads format {FORMAT}")
        vocabulary = Vocabulary(config["characters"])
        model: LanguageModel
        if config["model"] == "mlp":
            context_length, embedding_dim, hidden_dim = config["sizes"]
            model = MLPLM(len(vocabulary), context_length, embedding_dim, hidden_dim)
        else:
            model = BigramLM(len(vocabulary))
        for name, expected in model.params.items():
            found = arrays[f"param.{name}"]
            if found.shape != expected.shape or found.dtype.kind != "f" or np.isnan(found).any():
                raise ValueError(f"{name} does not hold {expected.shape} numbers")
            model.params[name] = found
        return Checkpoint(model, vocabulary, Objective(config["head"], config["loss"]))
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a model of scratchlm: {error}") from None
