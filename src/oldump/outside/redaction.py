"""Texts without the secrets in them: what is told to others, and what a hook wrote."""

import os
import re
from collections.abc import Iterable

HIDDEN = "***"
_VARIABLES = ("PGPASSWORD", "IA_ACCESS_KEY_ID", "IA_SECRET_ACCESS_KEY", "SENTRY_DSN")
_LEAST_LENGTH = 4
_IN_WORDS = re.compile(r"""(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'&]+)""")
_IN_URL = re.compile(r"(\w://[^\s/@:]*:)\S+(?=@)")  # up to the last @ of the word: a password may have one


class Redaction:
    """Hides secrets: those that are named, those in variables, and passwords wherever a connection has them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take what must not be shown; what is shorter than 4 characters would hide too much else."""
        known = {*secrets, *(os.environ.get(name, "") for name in _VARIABLES)}
        self._secrets = sorted((each for each in known if len(each) >= _LEAST_LENGTH), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _IN_URL.sub(rf"\1{HIDDEN}", _IN_WORDS.sub(rf"\1{HIDDEN}", text))
