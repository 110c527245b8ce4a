"""Fill rates: how many documents have a value in each of the members that readers depend on most.

A member has a value if it exists and is not null, an empty string, an empty list or an empty object. This module does
not decide how many are enough.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from oldump.records.document import parsed

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "authors": ("name", "alternate_names", "birth_date", "photos", "remote_ids"),
        "editions": (
            "title",
            "authors",
            "works",
            "isbn_10",
            "isbn_13",
            "lccn",
            "oclc_numbers",
            "ocaid",
            "covers",
            "publish_date",
            "publishers",
            "languages",
            "subjects",
            "identifiers",
            "source_records",
        ),
        "works": ("title", "authors", "covers", "description", "subjects"),
    }
)
"""The counted members, by part."""

_EMPTY_TEXTS = frozenset((b"", b"null", b'""', b"[]", b"{}"))
_EMPTY_LENGTHS = frozenset(map(len, _EMPTY_TEXTS))
_EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})


def _decoder_of(fields: Iterable[str]) -> "msgspec.json.Decoder[Any]":
    """Return a decoder that returns the raw JSON of these members and skips all others."""
    members = [(name, msgspec.Raw, msgspec.Raw()) for name in fields]
    return msgspec.json.Decoder(msgspec.defstruct("Members", members, gc=False))


_DECODERS = {part: _decoder_of(fields) for part, fields in FIELDS.items()}


def filled(part: str, documents: Iterable[bytes]) -> Counter[str]:
    """Return how many of the documents (canonical JSON) have a value, for each member in FIELDS[part]."""
    decode = _DECODERS[part].decode
    decoded: list[tuple[msgspec.Raw, ...]] = []
    counts: Counter[str] = Counter()
    for document in documents:
        try:
            decoded.append(msgspec.structs.astuple(decode(document)))
        except (msgspec.DecodeError, RecursionError):  # lone surrogates and deep nesting are legal
            values = parsed(document)
            counts.update(name for name in FIELDS[part] if values.get(name) not in _EMPTY_VALUES)
    for name, texts in zip(FIELDS[part], zip(*decoded, strict=True), strict=False):  # no documents: no columns
        short = [bytes(text) for text in texts if len(text) in _EMPTY_LENGTHS]
        counts[name] += len(texts) - sum(map(_EMPTY_TEXTS.__contains__, short))
    return counts
