"""From text to integers and back: the corpus, the vocabulary, contexts and targets, and an honest split.

In: a list of texts. Out: for every character, and for the end of every text, a context (the token ids before it) and a
target (its own id). A language model of this package sees nothing else:

    anna  ->  contexts  . . .   . . a   . a n   a n n   n n a
              targets   a       n       n       a       .          with . for the boundary, and three tokens of context

All functions raise TypeError for a text that is not a str, for one text in place of a list, and for a setting of the
wrong type.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchlm._engine.checks import IntArray, as_ids, generator, ids_below, size

BOUNDARY = 0  # the token before and after every text
CHUNK = 2**20  # characters looked up at once, so that a long text takes no more memory than a short one

CORPORA = Path(__file__).parent / "corpora"


def load_names() -> list[str]:
    """Return the bundled corpus: 5,163 distinct given names, lower case, in alphabetical order.

    Source: U.S. Census Bureau 1990, public domain; see corpora/README.md.

    >>> names = load_names()
    >>> len(names), names[:3]
    (5163, ['aaron', 'abbey', 'abbie'])
    """
    return sorted({name for names in load_name_lists().values() for name in names})


def load_name_lists() -> dict[str, list[str]]:
    """Return the two lists of the census that the names come from; 331 names are in both.

    >>> lists = load_name_lists()
    >>> {title: len(names) for title, names in lists.items()}
    {'female': 4275, 'male': 1219}
    >>> [title for title, names in lists.items() if "robin" in names]
    ['female', 'male']
    """
    return {title: read_text(CORPORA / f"{title}.txt") for title in ("female", "male")}


def read_text(path: str | Path) -> list[str]:
    """Return the lines of a UTF-8 file, one text per line, without surrounding white space or empty lines.

    Texts are normalised to NFC, so that an accented letter is the same token however it was typed.
    Errors: OSError if the file cannot be read; ValueError if it is a device, is not UTF-8, contains no text or a NUL
    character, or if no file can have that name.

    >>> read_text(CORPORA / "female.txt")[-1]
    'zulma'
    """
    with _opened(path) as lines:
        return texts_in(lines, str(path))


def texts_in(lines: Iterable[str], name: str) -> list[str]:
    """Return the lines of an open file of this name, as read_text does. Errors: those of read_text."""
    texts, number = [], 0
    try:
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                raise ValueError(f"{name} is not a text file: line {number} contains a NUL character")
            if text := unicodedata.normalize("NFC", line).strip():
                texts.append(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text: {error.reason} after line {number}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    if not texts:
        raise ValueError(f"{name} contains no text")
    return texts


def _opened(path: str | Path) -> IO[str]:
    """Open a text file or a pipe; a pipe with no writer reads as empty instead of blocking."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL, or half of a character
        raise ValueError(f"{str(path)!r} cannot be the name of a file: {error}") from None
    kind = os.fstat(file).st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        os.close(file)
        raise ValueError(f"{path} is a device, not a text file")
    if stat.S_ISDIR(kind):
        os.close(file)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    os.set_blocking(file, True)
    return open(file, encoding="utf-8-sig")


class Vocabulary:
    """The characters of a corpus and their token ids, 1, 2, ... in the order of their code points; 0 is the boundary.

    >>> vocabulary = Vocabulary.from_texts(["anna", "ben"])
    >>> vocabulary.characters, len(vocabulary)
    ('aben', 5)
    >>> vocabulary.encode("anna")
    array([1, 4, 4, 1])
    >>> vocabulary.decode([2, 3, 4, BOUNDARY])
    'ben'
    """

    def __init__(self, characters: str) -> None:
        (text,) = _listed("characters", [characters])
        # One by one: joined, letters and accents that are separate in the texts would merge into one character.
        self.characters = "".join(sorted({c for one in set(text) for c in unicodedata.normalize("NFC", one)}))
        if not self.characters:
            raise ValueError("a vocabulary needs at least one character")
        codes = _code_points(self.characters)
        # The id of every code point up to the last; 0 for unknown ones.
        self._ids: IntArray = np.zeros(int(codes[-1]) + 2, np.min_scalar_type(len(codes)))
        self._ids[codes] = np.arange(1, len(codes) + 1)

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Vocabulary":
        """Return the vocabulary of all characters in the texts."""
        characters: set[str] = set()
        for text in _listed("texts", texts):
            characters.update(unicodedata.normalize("NFC", text))
        return cls("".join(characters))

    def __len__(self) -> int:
        """Return the number of tokens, the boundary included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> NDArray[np.intp]:
        """Return the token ids of a text, in NFC, without boundaries; ValueError names a character it does not know."""
        ids, _ = self.encode_all([text])
        return ids.astype(np.intp)

    def encode_all(self, texts: Sequence[str]) -> tuple[IntArray, NDArray[np.intp]]:
        """Return the token ids of all texts in one array, and the number of ids of each text. Errors: as encode."""
        texts = [unicodedata.normalize("NFC", text) for text in _listed("texts", texts)]
        joined = "".join(texts)
        ids: IntArray = np.empty(len(joined), self._ids.dtype)
        for start in range(0, len(joined), CHUNK):
            part = slice(start, start + CHUNK)
            self._ids.take(_code_points(joined[part]), mode="clip", out=ids[part])
        if not ids.all():
            known = set(self.characters)
            text = next(text for text in texts if not known.issuperset(text))
            i = next(i for i, character in enumerate(text) if character not in known)
            raise ValueError(
                f"the character {text[i]!r} (U+{ord(text[i]):04X}) at position {i} of the text is not in the "
                f"vocabulary; the text around it is {text[max(0, i - 20) : i + 20]!r}"
            )
        return ids, np.array([len(text) for text in texts], np.intp)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of token ids; boundaries are left out. ValueError for an id that is not in the vocabulary."""
        return "".join(self.characters[i - 1] for i in _tokens(ids, len(self)) if i != BOUNDARY)


class WordVocabulary:
    """The words of a corpus, split at white space, and their token ids, 1, 2, ... in sorted order; 0 is the boundary.

    >>> vocabulary = WordVocabulary.from_texts(["to be or", "not to be"])
    >>> vocabulary.words, len(vocabulary)
    (('be', 'not', 'or', 'to'), 5)
    >>> vocabulary.encode("to be")
    array([4, 1])
    >>> vocabulary.decode([2, 4, 1, BOUNDARY])
    'not to be'
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(
            sorted({part for word in _listed("words", words) for part in unicodedata.normalize("NFC", word).split()})
        )
        self._ids = {word: i for i, word in enumerate(self.words, start=1)}
        if not self.words:
            raise ValueError("a vocabulary needs at least one word")

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "WordVocabulary":
        """Return the vocabulary of all words in the texts."""
        return cls(_listed("texts", texts))

    def __len__(self) -> int:
        """Return the number of tokens, the boundary included."""
        return len(self.words) + 1

    def encode(self, text: str) -> NDArray[np.intp]:
        """Return the token ids of a text, in NFC, without boundaries; ValueError names a word it does not know."""
        ids, _ = self.encode_all([text])
        return ids.astype(np.intp)

    def encode_all(self, texts: Sequence[str]) -> tuple[IntArray, NDArray[np.intp]]:
        """Return the token ids of all texts in one array, and the number of ids of each text. Errors: as encode."""
        ids, lengths = [], []
        try:
            for text in _listed("texts", texts):
                words = unicodedata.normalize("NFC", text).split()
                ids.append(np.array([self._ids[word] for word in words], np.min_scalar_type(len(self))))
                lengths.append(len(words))
        except KeyError as error:
            raise ValueError(f"the word {error.args[0][:80]!r} is not in the vocabulary") from None
        return np.concatenate(ids or [np.zeros(0, np.uint8)]), np.array(lengths, np.intp)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of token ids; boundaries are left out. ValueError for an id that is not in the vocabulary."""
        return " ".join(self.words[i - 1] for i in _tokens(ids, len(self)) if i != BOUNDARY)


def _listed(name: str, texts: Iterable[str]) -> Sequence[str]:
    """Return the texts as a list. Errors: TypeError for one text in place of a list, or for anything but a str."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be a list of texts, not one {type(texts).__name__}")
    listed = texts if isinstance(texts, list | tuple) else list(texts)
    for text in listed:
        if not isinstance(text, str):
            raise TypeError(f"a text must be a str, not {type(text).__name__}")
    return listed


def _tokens(ids: ArrayLike, vocab_size: int) -> list[int]:
    """Return token ids as a list of ints. Errors: ValueError for an id outside a vocabulary of this size."""
    tokens: list[int] = ids_below("ids", as_ids("ids", ids), vocab_size).reshape(-1).tolist()
    return tokens


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class Contexts:
    """The contexts (N, context_length) of the tokens of texts, built when you index them.

    Each token is stored once, not once per place in a context.
    Errors: ValueError for a context_length below 1, or for ids with more than one axis; TypeError for anything but ids.

    >>> contexts = Contexts(np.array([1, 2, BOUNDARY, 1, BOUNDARY]), context_length=2)  # of "ab" and "a"
    >>> contexts[1:4].tolist()
    [[0, 1], [1, 2], [0, 0]]
    """

    def __init__(self, ids: IntArray, context_length: int) -> None:
        context_length = size("context_length", context_length)
        ids = as_ids("ids", ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must have shape (N,), not {ids.shape}")
        before = np.full(context_length, BOUNDARY, ids.dtype)
        self._windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, ids]), context_length)[:-1]

    def __len__(self) -> int:
        """Return the number of contexts."""
        return len(self._windows)

    def __getitem__(self, rows: slice | IntArray) -> NDArray[np.int32]:
        """Return some rows, in which boundary tokens fill the places before the start of the row's own text."""
        windows = self._windows[rows]
        own = np.logical_and.accumulate(windows[:, ::-1] != BOUNDARY, axis=1)[:, ::-1]
        return np.where(own, windows, BOUNDARY).astype(np.int32)


def windows_and_targets(
    texts: Sequence[str], vocabulary: Vocabulary | WordVocabulary, context_length: int
) -> tuple[Contexts, IntArray]:
    """Return what contexts_and_targets returns, in a tenth of the memory: the contexts are built when you index them.

    Errors: as contexts_and_targets.
    """
    if not isinstance(vocabulary, Vocabulary | WordVocabulary):
        raise TypeError(f"vocabulary must be a Vocabulary or a WordVocabulary, not {type(vocabulary).__name__}")
    texts = _listed("texts", texts)
    pieces: list[IntArray] = [np.zeros(0, np.min_scalar_type(len(vocabulary)))]
    for group in _groups(texts):
        ids, lengths = vocabulary.encode_all(group)
        pieces.append(np.insert(ids, np.cumsum(lengths), BOUNDARY))
    targets = np.concatenate(pieces)
    return Contexts(targets, context_length), targets


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in groups of about CHUNK characters."""
    first = characters = 0
    for i, text in enumerate(texts, start=1):
        characters += len(text)
        if characters >= CHUNK or i == len(texts):
            yield texts[first:i]
            first, characters = i, 0


def contexts_and_targets(
    texts: Sequence[str], vocabulary: Vocabulary | WordVocabulary, context_length: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return every token of the texts as a target, with the tokens before it as its context.

    Shapes: contexts (N, context_length) and targets (N,), where N is the number of tokens plus the number of texts.
    Boundary tokens fill the places before the start of a text, so no context ever looks into another text.
    Errors: ValueError for a context_length below 1, or a token that is not in the vocabulary.

    >>> contexts, targets = contexts_and_targets(["ab"], Vocabulary("ab"), context_length=2)
    >>> contexts.tolist(), targets.tolist()
    ([[0, 0], [0, 1], [1, 2]], [1, 2, 0])
    """
    contexts, targets = windows_and_targets(texts, vocabulary, context_length)
    return contexts[:], targets.astype(np.int32)


def split_texts(texts: Sequence[str], validation_fraction: float = 0.1, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return the texts in two parts, for training and for validation, with no text in both.

    The draw is over distinct texts, so copies of a text stay together. Both parts keep the order of the texts. The same
    seed gives the same split. Errors: ValueError for a fraction outside [0, 1), for one that leaves no text to train
    on, and for a seed below 0.

    >>> train, validation = split_texts(["anna", "ben", "anna", "cem", "dora"], validation_fraction=0.5, seed=1)
    >>> set(train) & set(validation)
    set()
    """
    texts = _listed("texts", texts)
    if not isinstance(validation_fraction, Real):
        raise TypeError(f"validation_fraction must be a real number, not {validation_fraction!r}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction must be at least 0 and below 1, not {validation_fraction}")
    distinct = list(dict.fromkeys(texts))
    count = round(validation_fraction * len(distinct))
    if count == len(distinct):
        raise ValueError(f"a validation_fraction of {validation_fraction} leaves none of {count} texts to train on")
    drawn = generator(seed, "seed").permutation(len(distinct))[:count]
    held_out = {distinct[i] for i in drawn}
    return [text for text in texts if text not in held_out], [text for text in texts if text in held_out]
