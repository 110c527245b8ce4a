"""Check many JSON texts at once for the canonical form of the dumps.

msgspec checks all texts in one call. A text that it cannot confirm may still be canonical: callers check those again.
"""

import msgspec


def possibly_non_canonical(texts: list[bytes]) -> list[int]:
    """Return the indices of the texts that cannot be confirmed to be JSON spaced as in the dumps."""
    if _is_confirmed(b"[" + b", ".join(texts) + b"]"):
        return []
    return [index for index, text in enumerate(texts) if not _is_confirmed(text)]


def _is_confirmed(text: bytes) -> bool:
    try:
        return msgspec.json.format(text, indent=0) == text
    except (msgspec.DecodeError, RecursionError):
        return False
