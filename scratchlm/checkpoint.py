"""Checkpoints on disk: a model, its vocabulary and the state of its training, in one .npz file.

In: a model, a vocabulary, the objective it was trained with, and the run. Out: a zip of plain arrays. Reading uses no
pickle and trusts nothing: the size of every array follows from the few sizes in the configuration, and is compared with
the file before any memory is taken.
"""

import io
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratchlm.data import Vocabulary, WordVocabulary
from scratchlm.files import write_whole
from scratchlm.models import MLPLM, BigramLM, LanguageModel, Params
from scratchlm.objectives import Objective
from scratchlm.training import Optimizer, State

FORMAT = 2
CONFIG_LIMIT = 2**26  # bytes of configuration: room for the words of a large vocabulary
ITEMS, LEAST_BYTES = 1000, 12  # items that any configuration may list; the bytes of arrays behind each further one


@dataclass(frozen=True)
class Run:
    """The state of a training run: its settings, a fingerprint of its texts, and everything the next step needs."""

    settings: dict[str, str | int | float]
    texts: str  # a fingerprint of the texts
    state: State
    moments: dict[str, Params]  # of the optimizer


@dataclass(frozen=True)
class Checkpoint:
    """A model, its vocabulary, the objective it was trained with, and the run, if it can be resumed."""

    model: LanguageModel
    vocabulary: Vocabulary | WordVocabulary
    objective: Objective
    run: Run | None = None


# --- writing ---------------------------------------------------------------------------------------------------------


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a file, whole or not at all, replacing any file there.

    Errors: OSError if it cannot be written; an existing file is then unchanged.
    """
    model, run = checkpoint.model, checkpoint.run
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
    arrays = {f"param.{name}": np.ascontiguousarray(param) for name, param in model.params.items()}
    if run:
        config["run"] = {
            "settings": run.settings,
            "texts": run.texts,
            "step": run.state.step,
            "losses": run.state.losses,
            "rng": run.state.rng.bit_generator.state,
            "moments": list(run.moments),
        }
        arrays |= {f"{kind}.{name}": array for kind, moment in run.moments.items() for name, array in moment.items()}
    described = np.frombuffer(json.dumps(config).encode(), dtype=np.uint8)

    def write(file: IO[bytes]) -> None:
        np.savez(file, allow_pickle=False, config=described, **arrays)

    write_whole(path, write)


# --- reading ---------------------------------------------------------------------------------------------------------


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Errors: OSError if the file cannot be read; ValueError, in one line, if it is not a complete checkpoint.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is not a model of scratchlm: it is not an ordinary file")
    with open(path, "rb") as file:
        try:
            return _read(file)
        except KeyError as error:
            raise ValueError(f"{path} is not a model of scratchlm: it has no {error}") from None
        except (  # anything that a parser may raise on hostile bytes
            ArithmeticError,
            AttributeError,
            EOFError,
            IndexError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f"{path} is not a model of scratchlm: {str(error)[:200]}") from None


def _read(file: io.BufferedReader) -> Checkpoint:
    if not zipfile.is_zipfile(file):
        raise ValueError("it is not a .npz file, or only a part of one")
    with zipfile.ZipFile(file) as archive:
        config = _config(archive, os.fstat(file.fileno()).st_size)
        of_words = "words" in config
        vocabulary = WordVocabulary(config["words"]) if of_words else Vocabulary(config["characters"])
        make, shapes = _described(config, len(vocabulary))
        run = config.get("run")
        kinds = ["param", *(run["moments"] if run else [])]
        if len(kinds) > 3 or not all(isinstance(kind, str) for kind in kinds):
            raise ValueError("no optimizer has these moments")
        names = {f"{kind}.{name}.npy": shape for kind in kinds for name, shape in shapes.items()}
        listed = archive.namelist()
        if odd := {*names, "config.npy"} ^ set(listed):
            has = "has no" if min(odd) in names else "should not have"
            raise ValueError(f"it {has} {min(odd).removesuffix('.npy')!r}")
        if len(listed) > len(set(listed)):
            raise ValueError("it contains an array twice")
        found = {name: _array(archive, name, shape) for name, shape in names.items()}
    model = make()
    for name in shapes:
        model.params[name] = found[f"param.{name}.npy"]
    if run:
        moments = {kind: {name: found[f"{kind}.{name}.npy"] for name in shapes} for kind in run["moments"]}
        run = Run(run["settings"], run["texts"], _state(run), moments)
    return Checkpoint(model, vocabulary, Objective(config["head"], config["loss"]), run)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> zipfile.ZipExtFile:
    """Open a member that takes at most `limit` bytes, and no more memory than its size in the file."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise ValueError(f"{name} is compressed or encrypted; scratchlm writes neither")
    if info.file_size > limit:
        raise ValueError(f"{name} has {info.file_size:,} bytes; at most {limit:,} are possible")
    return archive.open(info)  # type: ignore[return-value]


def _config(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    if "config.npy" not in archive.namelist():
        raise KeyError("config")
    with _member(archive, "config.npy", CONFIG_LIMIT) as member:
        dtype, _ = _header(member)
        content = member.read() if dtype == np.uint8 else b"null"
    if (items := _items(content)) > ITEMS + size // LEAST_BYTES:
        raise ValueError(f"its configuration lists {items:,} items, more than a file of {size:,} bytes can need")
    config = json.loads(content)
    if not isinstance(config, dict):
        raise ValueError("its configuration is not a table of settings")
    if config["format"] != FORMAT:
        raise ValueError(f"its format is {config['format']!r}; this version reads format {FORMAT}")
    return config


def _items(content: bytes) -> int:
    """Return an upper bound on the lists and list items in JSON: the number of objects that Python will create."""
    characters = np.frombuffer(content.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    in_a_string = np.add.accumulate(characters == ord('"'), dtype=np.uint8) % 2  # odd after an odd number of quotes
    others = characters[in_a_string == 0].tobytes()
    return sum(others.count(mark) for mark in (b"[", b"{", b","))


def _header(member: zipfile.ZipExtFile) -> tuple["np.dtype[Any]", tuple[int, ...]]:
    """Read the header of an array: its dtype and shape."""
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError("an array is written in another version of the .npy format")
    shape, in_fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
    if in_fortran_order:
        raise ValueError("an array is written column by column")
    return dtype, shape


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return an array of floats of this shape; nothing is read before its size has been checked."""
    count = math.prod(shape)
    with _member(archive, name, count * 8 + 2**10) as member:
        dtype, found = _header(member)
        if found != shape or dtype not in (np.float32, np.float64):
            raise ValueError(f"{name} has shape {found} and dtype {dtype}, not shape {shape} and float32 or float64")
        array = np.frombuffer(bytearray(member.read()), dtype)
    if array.size != count:
        raise ValueError(f"{name} contains {array.size:,} numbers, not {count:,}")
    impossible = name == "param.logits.npy"  # a bigram may give -inf to pairs that it never saw
    if not (np.isfinite(array) | (impossible & (array == -np.inf))).all():
        raise ValueError(f"{name} contains nan or inf")
    return array.reshape(shape)


def _described(config: dict[str, Any], v: int) -> tuple[Callable[[], LanguageModel], dict[str, tuple[int, ...]]]:
    """Return a function that makes the described model for v tokens, and the shapes of its parameters."""
    if config["model"] == "bigram":
        return lambda: BigramLM(v), {"logits": (v, v)}
    if config["model"] != "mlp":
        raise ValueError(f"there is no model {config['model']!r}")
    sizes = config["sizes"]
    if not isinstance(sizes, list) or len(sizes) != 3 or not all(type(n) is int and n > 0 for n in sizes):
        raise ValueError(f"the sizes of the model must be three positive integers, not {sizes!r}")
    c, e, h = sizes
    shapes = {
        "embedding": (v, e),
        "hidden_weight": (c * e, h),
        "hidden_bias": (h,),
        "output_weight": (h, v),
        "output_bias": (v,),
    }
    return lambda: MLPLM(v, c, e, h), shapes


def _state(run: dict[str, Any]) -> State:
    """Return the state of a run, as stored in a configuration."""
    step, losses, rng = run["step"], run["losses"], np.random.default_rng(0)
    if type(step) is not int or step < 0 or not isinstance(losses, list) or not isinstance(run["texts"], str):
        raise ValueError("its description of the run is impossible")
    rng.bit_generator.state = run["rng"]
    return State(rng, step, [float(loss) for loss in losses])


def restore(optimizer: Optimizer, run: Run) -> None:
    """Restore an optimizer to its stored state. Errors: ValueError if it is of another kind."""
    if set(optimizer.moments) != set(run.moments):
        raise ValueError(f"the run has the moments {', '.join(run.moments)}, not those of this optimizer")
    for kind, moment in run.moments.items():
        for name, array in moment.items():
            optimizer.moments[kind][name][...] = array
    optimizer.steps = run.state.step
