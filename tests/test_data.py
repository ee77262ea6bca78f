"""Text to integers and back, and a split that does not leak."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchlm.data import (
    BOUNDARY,
    Vocabulary,
    WordVocabulary,
    contexts_and_targets,
    load_name_lists,
    load_names,
    read_text,
    split_texts,
)

# Characters that NFC leaves alone, whichever stand side by side.
some_texts = st.lists(st.text("abc đêñŷ漢字🙂", max_size=8), min_size=1, max_size=6)


def test_the_corpus_is_what_its_readme_says():
    names = load_names()
    assert len(names) == len(set(names)) == 5163
    assert names == sorted(names)
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz")
    assert sum(len(name) + 1 for name in names) == 36_122
    female, male = load_name_lists().values()
    assert (len(female), len(male), len(set(female) & set(male))) == (4275, 1219, 331)
    assert all(titled == sorted(set(titled)) for titled in (female, male))


def test_read_text_normalises_and_drops_empty_lines(tmp_path):
    path = tmp_path / "viet.txt"
    decomposed = unicodedata.normalize("NFD", "Nguyễn Ánh")
    path.write_bytes(b"\xef\xbb\xbf" + f"{decomposed}\r\n\r\n   \n  Trần  \nlast".encode())
    assert read_text(path) == ["Nguyễn Ánh", "Trần", "last"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9\n", "not UTF-8"),
        (b"", "contains no text"),
        (b"\n \r\n", "contains no text"),
        (b"\xff\xfea\x00", "not UTF-8"),
    ],
)
def test_read_text_refuses_what_it_cannot_read(tmp_path, content, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "missing.txt")


@given(some_texts)
def test_decode_undoes_encode(texts):
    if any(texts):
        vocabulary = Vocabulary.from_texts(texts)
        for text in texts:
            ids = vocabulary.encode(text)
            assert vocabulary.decode(ids) == text
            assert vocabulary.decode([BOUNDARY, *ids, BOUNDARY]) == text
            assert ((ids > BOUNDARY) & (ids < len(vocabulary))).all()


def test_an_unknown_character_is_named_with_its_position():
    vocabulary = Vocabulary.from_texts(["abc"])
    with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) at position 2 of the text .*'abé'"):
        vocabulary.encode(unicodedata.normalize("NFD", "abé"))
    with pytest.raises(ValueError, match="U\\+D800"):
        vocabulary.encode("a\ud800")
    with pytest.raises(ValueError, match="at least one character"):
        Vocabulary.from_texts(["", ""])
    for bad in (-1, 4):
        with pytest.raises(ValueError, match=f"is {bad}; valid ids are 0 to"):
            vocabulary.decode([1, bad])


@given(some_texts, st.integers(1, 4))
def test_contexts_and_targets_are_what_a_loop_would_find(texts, context_length):
    if not any(texts):
        return
    vocabulary = Vocabulary.from_texts(texts)
    expected = []
    for text in texts:
        padded = [BOUNDARY] * context_length + vocabulary.encode(text).tolist() + [BOUNDARY]
        expected += [(padded[i - context_length : i], padded[i]) for i in range(context_length, len(padded))]
    contexts, targets = contexts_and_targets(texts, vocabulary, context_length)
    assert contexts.tolist() == [context for context, _ in expected]
    assert targets.tolist() == [target for _, target in expected]


def test_no_texts_give_no_targets():
    contexts, targets = contexts_and_targets([], Vocabulary("a"), 3)
    assert contexts.shape == (0, 3)
    assert targets.shape == (0,)
    with pytest.raises(ValueError, match="context_length must be at least 1, not 0"):
        contexts_and_targets(["a"], Vocabulary("a"), 0)


@given(st.lists(st.text("ab", max_size=3), min_size=3), st.floats(0, 0.5), st.integers(0, 5))
def test_a_split_has_every_text_once_and_no_text_on_both_sides(texts, fraction, seed):
    train, validation = split_texts(texts, fraction, seed)
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(texts)
    assert len(set(validation)) == round(fraction * len(set(texts)))
    assert (train, validation) == split_texts(texts, fraction, seed)


def test_a_split_depends_on_its_seed_and_checks_its_fraction():
    names = load_names()
    assert split_texts(names, seed=0)[1] != split_texts(names, seed=1)[1]
    assert len(split_texts(names)[1]) == 516
    for bad in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="validation_fraction must be"):
            split_texts(names, bad)
    with pytest.raises(ValueError, match="leaves none"):
        split_texts(["a", "a"], 0.9)


def test_words_there_and_back():
    texts = ["to be or not to be", "  cafe\u0301 \t be "]
    vocabulary = WordVocabulary.from_texts(texts)
    assert vocabulary.words == ("be", "café", "not", "or", "to")
    assert [vocabulary.decode(vocabulary.encode(text)) for text in texts] == [texts[0], "café be"]
    contexts, targets = contexts_and_targets(texts, vocabulary, 2)
    assert targets.tolist() == [5, 1, 4, 3, 5, 1, BOUNDARY, 2, 1, BOUNDARY]
    assert contexts[:3].tolist() == [[0, 0], [0, 5], [5, 1]]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: WordVocabulary([" ", ""]), "at least one word"),
        (lambda: WordVocabulary(["a b"]).encode("a c"), "the word 'c' is not in the vocabulary"),
        (lambda: WordVocabulary(["a b"]).decode([3]), r"ids\[0\] is 3; valid ids are 0 to 2"),
    ],
)
def test_a_vocabulary_of_words_says_what_it_does_not_know(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("texts", [["ẹ́ káàárọ̀", "a e i o u n"], ["a", "\u0301b"], ["ᄀ", "ᅡ"]], ids=ascii)
def test_letters_and_accents_that_the_texts_have_apart_stay_apart(texts):
    vocabulary = Vocabulary.from_texts(texts)
    assert vocabulary.characters == "".join(sorted(set("".join(texts))))
    again = Vocabulary(vocabulary.characters)  # as a checkpoint is read
    assert [again.decode(vocabulary.encode(text)) for text in texts] == texts
    assert Vocabulary("".join(reversed(vocabulary.characters))).characters == vocabulary.characters
