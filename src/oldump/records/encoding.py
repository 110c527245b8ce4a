"""Whether JSON texts are in the dress of the dumps, many at once.

Native code looks at all texts, and names those of which only a closer look can tell.
"""

import msgspec


def undressed(texts: list[bytes]) -> list[int]:
    """The places of the texts that are not JSON spaced as the dumps are, or that may not be."""
    return (
        []
        if _is_dressed(b"[" + b", ".join(texts) + b"]")
        else [place for place, text in enumerate(texts) if not _is_dressed(text)]
    )


def _is_dressed(text: bytes) -> bool:
    try:
        return msgspec.json.format(text, indent=0) == text
    except (msgspec.DecodeError, RecursionError):
        return False
