"""Which lines of COPY text need a closer look, found in the whole block at once.

Does not: mend them, but for datetimes, which keep their length.
"""

import numpy as np

from oldump.records.bytewise import PADDING, Bytes, Places, has, word, words

_TYPE = b'"type": '
_DATETIME = b'/type/datetime", "value": "'
_DATETIME_STARTS = [(at, word(_DATETIME[at : at + 8])) for at in (0, 7)]
_DATETIME_GOES_ON = [(-9, word(_TYPE)), *((at, word(_DATETIME[at : at + 8])) for at in (13, 19))]
_U00 = word(b"u00")
_ESCAPED_NAMES = [
    (word(b'"' + name[:4]), word(b"\xff" * (1 + len(name[:4]))))
    for name in (b'key"', b"type", b"valu", b"loca", b'id"')
]


class Suspects:
    """What the stored bytes of regular lines alone do not settle, found in the whole block at once."""

    def __init__(self, stored: bytes, breaks: Places) -> None:
        """Take regular lines and the places of their tabs and newlines."""
        self._ends = breaks[2::3]
        characters = np.frombuffer(stored, np.uint8)
        slashes = np.flatnonzero(characters == ord("/"))
        slashes = slashes[characters[slashes - 1] == ord('"')]
        padded = stored + PADDING
        spaced, unsure_datetimes = _datetimes(padded, slashes)
        backslashes = np.flatnonzero(characters == ord("\\"))
        self.lines = _with_letter_t(stored, spaced)
        """The lines, with every spaced datetime mended that is sure to be one."""
        self.escaped = self._rows(backslashes)
        """The lines with a backslash."""
        self.legacy = self._rows(_legacy(characters, slashes))
        """The lines with a string that starts like a legacy key."""
        self.uncertain = self._rows(np.concatenate((_odd_escapes(padded, backslashes, breaks), unsure_datetimes)))
        """The lines of which only parsing can tell."""

    def _rows(self, places: Places) -> list[int]:
        found = np.zeros(len(self._ends), np.bool_)
        found[np.searchsorted(self._ends, places)] = True
        return np.flatnonzero(found).tolist()


def _legacy(characters: Bytes, slashes: Places) -> Places:
    """Of the slashes behind a quote, those that start /a/, /b/, /l/ or /us…/ with four letters."""
    first, second = (
        characters.take(slashes + 1, mode="clip"),
        characters.take(slashes + 2, mode="clip"),
    )
    fifth = characters.take(slashes + 5, mode="clip")
    short = (second == ord("/")) & ((first == ord("a")) | (first == ord("b")) | (first == ord("l")))
    legacy: Places = slashes[short | ((first == ord("u")) & (second == ord("s")) & (fifth == ord("/")))]
    return legacy


def _odd_escapes(stored: bytes, backslashes: Places, breaks: Places) -> Places:
    """The backslashes that are not simply half of a pair, and those that json.dumps would not have written.

    A JSON escape of an ASCII character can hide a key or a datetime; an escaped quote can pass for the start of a
    member's name; and a backslash in the first two columns is none of JSON's.
    """
    if not len(backslashes):
        return backslashes
    run_starts = np.flatnonzero(np.diff(backslashes, prepend=-2) != 1)
    run_lengths = np.diff(run_starts, append=len(backslashes))
    unpaired = backslashes[run_starts[run_lengths % 2 == 1]]
    line_of_each = np.searchsorted(breaks[2::3], backslashes)
    outside = backslashes[backslashes < breaks[1::3][line_of_each]]
    following = words(stored, backslashes + 1)
    character, hexadecimal = (
        following & np.uint64(0xFF),
        following >> np.uint64(24) & np.uint64(0xFF),
    )
    unusual = (
        ((following & np.uint64(0xFFFFFF) == _U00) & (hexadecimal >= ord("2")) & (hexadecimal <= ord("7")))
        | (character == ord("/"))
        | np.logical_or.reduce([following & mask == name for name, mask in _ESCAPED_NAMES])
    )
    return np.concatenate((unpaired, outside, backslashes[unusual]))


def _datetimes(stored: bytes, slashes: Places) -> tuple[Places, Places]:
    """Of the slashes behind a quote that start /type/datetime: where a space is to become T, and the unsure ones.

    Sure is `"type": "/type/datetime", "value": "…` with a value that has no space, or its first one at the eleventh
    character.
    """
    for at, literal in _DATETIME_STARTS:
        slashes = slashes[words(stored, slashes + at) == literal]
    sure = np.ones(len(slashes), np.bool_)
    for at, literal in _DATETIME_GOES_ON:
        sure &= words(stored, slashes + at) == literal
    values = slashes + len(_DATETIME)
    eight, ten = words(stored, values), words(stored, values + 2)
    plain_day = ~(has(eight, " ") | has(ten, " ") | has(eight, '"') | has(ten, '"') | has(eight, "\\") | has(ten, "\\"))
    separator = words(stored, values + 10) & np.uint64(0xFF)
    spaced = sure & plain_day & (separator == ord(" "))
    time = [words(stored, values + at) for at in (11, 16, 18)]
    # Nothing behind the closing quote may count: it can be the next line's.
    begins = ~(has(time[0], " ") | has(time[0], '"') | has(time[0], "\\")) & (separator != ord('"'))
    short = begins & (time[1] >> np.uint64(24) & np.uint64(0xFF) == ord('"'))
    ends = ~(has(time[1], " ") | has(time[1], '"') | has(time[1], "\\"))
    ends &= ~(has(time[2], " ") | has(time[2], '"') | has(time[2], "\\"))
    long = begins & ends & (words(stored, values + 26) & np.uint64(0xFF) == ord('"'))
    plain = sure & plain_day & (separator != ord(" ")) & (short | long)
    return values[spaced] + 10, slashes[~(spaced | plain)]


def _with_letter_t(stored: bytes, places: Places) -> bytes:
    """The text with a T at these places."""
    if not len(places):
        return stored
    characters = np.frombuffer(stored, np.uint8).copy()
    characters[places] = ord("T")
    return characters.tobytes()
