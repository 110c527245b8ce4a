"""Outcomes of documents: a document stays, or a later revision deletes or redirects it."""

from oldump.synth import kinds
from oldump.synth.dice import Dice
from oldump.synth.frames import Frame

LIVES = 0
DELETED = -1

_FAMILY = 499
_CHAINED = (5, 6, 7)
_LOOPED = {11: 1, 12: -1}
_MORTAL = frozenset({kinds.EDITION, kinds.WORK, kinds.AUTHOR})


def outcome(kind: int, dice: Dice, number: int, revision: int) -> int:
    """Return LIVES, DELETED, or the number of the document that this revision redirects to.

    Of every 499 documents with a second revision, three form a chain of redirects and two a loop.
    """
    if revision == 1 or kind not in _MORTAL:
        return LIVES
    place = number % _FAMILY
    if place in _CHAINED:
        return number + 1
    if place in _LOOPED:
        return number + _LOOPED[place]
    chance, when = dice[-1], dice[-2] % 3
    if chance > 2_400 or revision < 2 + when:
        return LIVES
    return max(1, number - 1 - when * chance) if chance < 500 else DELETED


def ended(kind: int, number: int, target: int, frame: Frame) -> str:
    """Return the row of a redirect to number `target`, or of a deletion if `target` is DELETED."""
    opening, created, modified, closing, manner = frame
    prefix, letter = {
        kinds.EDITION: (manner.books, "M"),
        kinds.WORK: ("/works/", "W"),
        kinds.AUTHOR: (manner.authors, "A"),
    }[kind]
    key = f'"key": "{prefix}OL{number}{letter}"'
    shared = f"{opening}{created}{modified}"
    if target == DELETED:
        return f'{shared}{key}, "type": {{"key": "/type/delete"}}, {closing}'
    location = f'"location": "{prefix}OL{target}{letter}"'
    return f'{shared}{location}, {key}, "type": {{"key": "/type/redirect"}}, {closing}'
