"""Remove secrets from texts that leave this machine, and from the output of hooks."""

import os
import re
from collections.abc import Iterable

HIDDEN = "***"
_VARIABLES = ("PGPASSWORD", "IA_ACCESS_KEY_ID", "IA_SECRET_ACCESS_KEY", "SENTRY_DSN")
_LEAST_LENGTH = 4
_IN_WORDS = re.compile(r"""(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'&]+)""")
_IN_ARCHIVE_KEYS = re.compile(
    r"""(?im)(\bauthorization:\s*LOW\s+|\b(?:ia_)?(?:secret_)?(?:access|secret)(?:_?key)?(?:_id)?["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s'",]+)"""
)
"""Keys to archive.org: in ia.ini, in variables, in JSON, and in a request's header."""
_IN_URL = re.compile(r"(\w://[^\s/@:]*:)\S+(?=@)")  # up to the last @ of the word: a password may contain one


class Redaction:
    """Replaces secrets: the given ones, those in variables, passwords in connections, and keys to archive.org."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """secrets: texts to hide. Those shorter than 4 characters are ignored: they would hide too much else."""
        known = {*secrets, *(os.environ.get(name, "") for name in _VARIABLES)}
        self._secrets = sorted((each for each in known if len(each) >= _LEAST_LENGTH), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern in (_IN_WORDS, _IN_ARCHIVE_KEYS, _IN_URL):
            text = pattern.sub(rf"\1{HIDDEN}", text)
        return text
