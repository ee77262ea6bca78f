"""What is on disk: a trained model with its vocabulary, in one .npz file.

In: a model, a vocabulary, and the objective it was trained with. Out: a zip of plain arrays, written beside its place
and renamed, so a reader never meets half a file; read without pickle, so a file can hold numbers and nothing else.
"""

import errno
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.data import Vocabulary, WordVocabulary
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import Objective

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A model, the vocabulary that its token ids belong to, and the objective that it was trained with."""

    model: LanguageModel
    vocabulary: Vocabulary | WordVocabulary
    objective: Objective


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a file, whole or not at all; what stood there before is replaced.

    Errors: OSError if it cannot be written; then the file that stood there is untouched.
    """
    model = checkpoint.model
    config: dict[str, Any] = {
        "format": FORMAT,
        "model": "mlp" if isinstance(model, MLPLM) else "bigram",
        "head": checkpoint.objective.head,
        "loss": checkpoint.objective.loss,
    }
    if isinstance(checkpoint.vocabulary, WordVocabulary):
        config["words"] = checkpoint.vocabulary.words
    else:
        config["characters"] = checkpoint.vocabulary.characters
    if isinstance(model, MLPLM):
        config["sizes"] = [model.context_length, model.embedding_dim, model.hidden_dim]
    arrays: dict[str, Any] = {f"param.{name}": param for name, param in model.params.items()}
    arrays["config"] = np.frombuffer(json.dumps(config).encode(), dtype=np.uint8)

    path = Path(path).resolve()  # through a link, to what it leads to
    with beside(path) as written:
        with open(written, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Make an empty file in the same folder, to be written and renamed; remove it if that comes to nothing.

    Errors: OSError that names `path` if the folder cannot be written to.
    """
    written = path.with_name(f".scratchlm.{os.getpid()}")
    try:
        open(written, "xb").close()
        if len(os.fsencode(path.name)) > os.pathconf(path.parent, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        yield written
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        written.unlink(missing_ok=True)


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
        of_words = "words" in config
        vocabulary = WordVocabulary(config["words"]) if of_words else Vocabulary(config["characters"])
        params = {name.removeprefix("param."): array for name, array in arrays.items()}
        model = _model(config, len(vocabulary), params)
        return Checkpoint(model, vocabulary, Objective(config["head"], config["loss"]))
    except KeyError as error:
        raise ValueError(f"{path} is not a model of scratchlm: it has no {error}") from None
    except (ValueError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a model of scratchlm: {error}") from None


def _model(config: dict[str, Any], vocab_size: int, params: dict[str, Any]) -> LanguageModel:
    """Return the model that a configuration describes, with these parameters, if they are what it needs."""
    model: LanguageModel
    if config["model"] == "mlp":
        context_length, embedding_dim, hidden_dim = config["sizes"]
        stored = params["embedding"].shape, params["hidden_weight"].shape  # before a model of that size is made
        if stored != ((vocab_size, embedding_dim), (context_length * embedding_dim, hidden_dim)):
            raise ValueError(f"embedding and hidden_weight have shapes {stored}, which do not fit {config['sizes']}")
        model = MLPLM(vocab_size, context_length, embedding_dim, hidden_dim)
    elif config["model"] == "bigram":
        if params["logits"].shape != (vocab_size, vocab_size):
            raise ValueError(f"logits has shape {params['logits'].shape}, which does not fit {vocab_size} tokens")
        model = BigramLM(vocab_size)
    else:
        raise ValueError(f"there is no model {config['model']!r}")
    for name, expected in model.params.items():
        found = params[name]
        if found.shape != expected.shape or found.dtype.kind != "f":
            raise ValueError(f"{name} does not hold {expected.shape} numbers")
        if np.isnan(found).any() or np.isposinf(found).any():  # -inf is a transition that a bigram never saw
            raise ValueError(f"{name} holds nan or inf")
        model.params[name] = found
    return model
