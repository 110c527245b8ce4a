"""Lines of denormalized works, split into the documents that they consist of.

Does not: check the documents; see deworks.
"""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from oldump.records.document import deep_recursion, parsed, printed
from oldump.records.record import column

META = b'"_ia_meta"'
_META_AT_END = b', "_ia_meta": {'
_PIECES = (b'{"work": ', b', "editions": [', b'], "authors": [', b'], "ia": [', b'], "duplicates": ', b"}")


class _LineMembers(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    work: msgspec.Raw
    editions: list[msgspec.Raw]
    authors: list[msgspec.Raw]
    ia: list[msgspec.Raw]
    duplicates: msgspec.Raw


class _KeyMember(msgspec.Struct, gc=False):
    key: str


_decode = msgspec.json.Decoder(_LineMembers).decode
_decode_key = msgspec.json.Decoder(_KeyMember).decode
_decode_lists = msgspec.json.Decoder(dict[str, list[str]]).decode


@dataclass(frozen=True)
class DeworksLine:
    """A line split into its documents, each unchanged byte for byte."""

    key: bytes
    work: bytes
    editions: list[bytes]
    authors: list[bytes]
    ia: list[bytes]
    duplicates: bytes

    @property
    def line(self) -> bytes:
        """The line, assembled as the format requires."""
        lists = (b", ".join(each) for each in (self.editions, self.authors, self.ia))
        values = (self.work, *lists, self.duplicates)
        return self.key + b"\t" + b"".join(map(bytes.__add__, _PIECES, (*values, b"")))


def split_line(line: bytes) -> DeworksLine | None:
    """Split a line into its documents. Return None if it does not have the form that the format requires."""
    key, tab, text = line.partition(b"\t")
    if not tab:
        return None
    try:
        members = _decode(text)
    except (msgspec.DecodeError, RecursionError):  # lone surrogates and deep nesting are legal
        with deep_recursion():
            found = _split_slowly(key, text)
    else:
        editions, authors, ia = (list(map(bytes, each)) for each in (members.editions, members.authors, members.ia))
        found = DeworksLine(key, bytes(members.work), editions, authors, ia, bytes(members.duplicates))
    return found if found is not None and found.line == line else None


def _split_slowly(key: bytes, text: bytes) -> DeworksLine | None:
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    at = 0
    values: list[Any] = []
    try:
        decoded = text.decode("ascii")
        for number, piece in enumerate(_PIECES[:-1]):
            if not text.startswith(piece, at):
                return None
            at += len(piece)
            is_single = number in {0, 4}
            documents, at = _documents_at(decoder, decoded, at, is_single=is_single)
            values.append(documents[0] if is_single else documents)
    except (ValueError, RecursionError, IndexError):
        return None
    return DeworksLine(key, *values) if text[at:] == _PIECES[-1] else None


def _documents_at(decoder: json.JSONDecoder, text: str, at: int, *, is_single: bool) -> tuple[list[bytes], int]:
    """Return the value, or all values of a list, at a position, and where they end. Raises ValueError, IndexError."""
    found: list[bytes] = []
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].encode())
        at = end
        if is_single or not text.startswith(", ", at):
            break
        at += 2
    return found, at


def without_meta(text: bytes) -> bytes:
    """Return an edition's document without the member _ia_meta, which deworks replaces. Raises Rejected."""
    if META not in text:
        return text
    document = parsed(text)
    document.pop("_ia_meta", None)
    return printed(document)


def split_meta(text: bytes, *, has_ocaid: bool) -> tuple[bytes, bytes | None]:
    """Split an edition of deworks into the document without _ia_meta, and _ia_meta. Raises Rejected, ValueError."""
    if not has_ocaid:
        return without_meta(text), None
    at = text.rfind(_META_AT_END)
    rest, meta = text[:at] + b"}", text[at + len(_META_AT_END) - 1 : -1]
    if at >= 0 and META not in rest and _is_meta(meta):
        return rest, meta
    found = parsed(text).get("_ia_meta")
    return without_meta(text), None if found is None else printed(found)


def _is_meta(text: bytes) -> bool:
    try:
        return _decode_lists(text).keys() in ({"boxid", "collection"}, {"collection"})
    except (msgspec.DecodeError, RecursionError):
        return False


def key_in(text: bytes) -> bytes:
    """Return the key of a document, in the form of a column. Raises ValueError, Rejected."""
    try:
        return column(_decode_key(text).key)
    except (msgspec.DecodeError, RecursionError):
        key = parsed(text).get("key")
        if not isinstance(key, str):
            raise ValueError("a document has no key") from None  # noqa: TRY004 - the data is wrong, not the argument
        return column(key)
