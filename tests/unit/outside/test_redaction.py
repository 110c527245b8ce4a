"""No secret in what is told to others."""

import pytest

from oldump.outside.redaction import Redaction


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ping of https://hc.example/uuid failed", "ping of *** failed"),
        ("postgresql://me:s3cret@db/ol: refused", "postgresql://me:***@db/ol: refused"),
        ("postgresql://me:s3/cr@et@db/ol, refused", "postgresql://me:***@db/ol, refused"),
        ("host=db password=s3cret user=me", "host=db password=*** user=me"),
        ("host=db password = 's3 \\' cret' user=me", "host=db password = *** user=me"),
        ("postgresql://db/ol?password=s3cret&user=me", "postgresql://db/ol?password=***&user=me"),
        ("PASSWORD=s3cret sslpassword=s3cret", "PASSWORD=*** sslpassword=***"),
        ("http://127.0.0.1:8080/a: no answer", "http://127.0.0.1:8080/a: no answer"),
        ("access = AbC123", "access = ***"),
        ("secret: xYz/789 end", "secret: *** end"),
        ("+ IA_SECRET_ACCESS_KEY=xYz789 ia upload", "+ IA_SECRET_ACCESS_KEY=*** ia upload"),
        ('{"s3": {"access": "AbC123", "secret": "x"}}', '{"s3": {"access": ***, "secret": ***}}'),
        ("> Authorization: LOW AbC123:xYz789", "> Authorization: LOW ***"),
        ("no access to the secret folder", "no access to the secret folder"),
        ("mail to me@db at 10:20", "mail to me@db at 10:20"),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_kept(text: str, shown: str) -> None:
    """Those that are known, and passwords in connections of whatever form."""
    assert Redaction(["https://hc.example/uuid", ""])(text) == shown


def test_what_variables_hold_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the archive, libpq's password, Sentry's DSN."""
    for name in ("PGPASSWORD", "IA_ACCESS_KEY_ID", "IA_SECRET_ACCESS_KEY", "SENTRY_DSN"):
        monkeypatch.setenv(name, f"secret-{name}")
        assert Redaction([])(f"a secret-{name} b") == "a *** b"


def test_a_secret_within_a_secret_leaves_nothing_of_the_longer_one() -> None:
    """Whichever comes first."""
    assert Redaction(["abcd", "abcdefgh"])("abcdefgh abcd") == "*** ***"
