"""The first four columns of many records, read at once: which records are usual, and the ranks of those.

Usual is a record of one of the big collections, with the collection's letter at the end of its key, and number and
revision of at most eight digits. Nearly all records are.
"""

import re
from collections.abc import Iterable

import numpy as np

from oldump.records.bytewise import PADDING, Flags, Places, numbers, word, words
from oldump.records.keys import COLLECTIONS, MAX_REVISION, REVISION_BITS, Ranks
from oldump.records.record import FURTHER_CONTROLS

_COLUMNS = 4
_FURTHER_CONTROLS = re.compile(f"[{FURTHER_CONTROLS}]")


class Heads:
    """Heads of records: type, key, revision and last_modified, each with a tab behind it."""

    def __init__(self, heads: Iterable[str]) -> None:
        """Take the heads."""
        text = "".join(heads)
        self._text = text.encode()
        characters = np.frombuffer(self._text, np.uint8)
        controls = np.flatnonzero(characters < 32)
        self.are_plain = (
            not len(controls) % _COLUMNS
            and bool((characters[controls] == ord("\t")).all())
            and not _has_further_controls(text)
        )
        """Whether nothing but the tabs may not stand in a column; if there is, nothing else here may be asked for."""
        self._tabs = controls[: len(controls) // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS)

    def __len__(self) -> int:
        """The number of heads."""
        return len(self._tabs)

    def each(self) -> list[bytes]:
        """The heads as bytes."""
        ends = (self._tabs[:, 3] + 1).tolist()
        return [self._text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def ranks(self) -> tuple[Ranks, Flags]:
        """The ranks, and which records are usual; the others' ranks mean nothing."""
        padded = self._text + PADDING
        key_starts, key_ends, revision_ends = self._tabs[:, 0] + 1, self._tabs[:, 1], self._tabs[:, 2]
        digits_at, collection_ranks = _collections(padded, key_starts, key_ends)
        keyed, usual = numbers(padded, digits_at, key_ends - 1)
        revisions, plain = numbers(padded, key_ends + 1, revision_ends)
        usual &= plain & (collection_ranks > 0) & (revisions < MAX_REVISION)
        return collection_ranks + (keyed << np.uint64(REVISION_BITS)) + revisions, usual


def _has_further_controls(text: str) -> bool:
    """Nearly all heads are ASCII, which a str knows of itself: those need no search."""
    return "\x7f" in text if text.isascii() else _FURTHER_CONTROLS.search(text) is not None


def _collections(padded: bytes, key_starts: Places, key_ends: Places) -> tuple[Places, Ranks]:
    """Where each key's digits start, and its collection's class in a rank; 0 if it is of none of the big ones."""
    digits_at = key_starts.copy()
    ranks = np.zeros(len(key_starts), np.uint64)
    first, letters = words(padded, key_starts), np.frombuffer(padded, np.uint8)[key_ends - 1]
    for collection in COLLECTIONS:
        stem = collection.stem.encode()
        chosen = (first == word(stem[:8])) & (letters == ord(collection.letter))
        chosen &= words(padded, key_starts + len(stem) - 8) == word(stem[-8:])
        digits_at[chosen] += len(stem)
        ranks[chosen] = collection.rank
    return digits_at, ranks
