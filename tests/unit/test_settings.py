"""Settings: options before variables before oldump.toml, with an error for every mistake."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oldump.errors import ConfigurationError
from oldump.run.log import named_format
from oldump.settings import NotificationSettings, Settings, date_of, reason_of, size_bytes


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no OLDUMP_… variables."""
    for name in [name for name in os.environ if name.startswith("OLDUMP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_are_what_the_help_says() -> None:
    """One worker per available core, 2 GiB, 1,000 rejects, level 6, the current folder, libpq's default database."""
    settings = Settings.of()
    assert (settings.source, settings.out) == ("", Path())
    assert settings.workers == len(os.sched_getaffinity(0))
    assert (settings.memory, settings.max_rejects, settings.level) == (2 << 30, 1_000, 6)


def test_flags_come_before_variables_before_the_file(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order applies to each setting separately."""
    (alone / "oldump.toml").write_text('workers = 3\nlevel = 3\nmemory = "300M"\n', encoding="utf-8")
    monkeypatch.setenv("OLDUMP_WORKERS", "2")
    monkeypatch.setenv("OLDUMP_LEVEL", "2")
    settings = Settings.of(workers=1, level=None)
    assert (settings.workers, settings.level, settings.memory) == (1, 2, 300 << 20)


def test_oldump_toml_names_another_file(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable OLDUMP_TOML replaces the default file."""
    (alone / "other.toml").write_text("level = 9\n", encoding="utf-8")
    monkeypatch.setenv("OLDUMP_TOML", "other.toml")
    assert Settings.of().level == 9


def test_settings_do_not_change() -> None:
    """All stages see the same settings."""
    with pytest.raises(ValueError, match="frozen"):
        Settings.of().level = 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("512M", 512 << 20),
        ("512MiB", 512 << 20),
        ("512mb", 512 << 20),
        (" 2 G ", 2 << 30),
        ("1.5G", 3 << 29),
        ("3k", 3072),
        ("1T", 1 << 40),
        (7, 7),
    ],
)
def test_sizes_are_in_powers_of_1024(text: object, size: int) -> None:
    """Whatever the spelling of the unit; a number is bytes."""
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "1P", "-1G", "1,5G", "1G1", "much", "٣G"])
def test_an_invalid_size_is_refused(text: str) -> None:
    """With an example of a valid size."""
    with pytest.raises(ValueError, match="is not a size: use a number with a unit, such as 512M or 2G"):
        print(size_bytes(text))  # noqa: T201 - shown if nothing is raised


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"workers": 0}, "workers: Input should be greater than or equal to 1"),
        ({"workers": 513}, "workers: Input should be less than or equal to 512"),
        ({"memory": "191M"}, "memory: must be at least 192M"),
        ({"memory": "much"}, "memory: 'much' is not a size"),
        ({"max_rejects": -1}, "max_rejects: Input should be greater than or equal to 0"),
        ({"level": 0}, "level: Input should be greater than or equal to 1"),
        ({"level": 10}, "level: Input should be less than or equal to 9"),
    ],
)
def test_a_bad_setting_is_named_with_where_it_may_come_from(flags: dict[str, Any], words: str) -> None:
    """The message names the setting and the three places it may come from."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.of(**flags)
    name = next(iter(flags))
    assert words in str(caught.value)
    assert f"--{name.replace('_', '-')}, OLDUMP_{name.upper()} or oldump.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["WORKERS", "MEMORY", "LEVEL", "MAX_REJECTS"])
def test_a_bad_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just like a bad option."""
    monkeypatch.setenv(f"OLDUMP_{name}", "many")
    with pytest.raises(ConfigurationError, match=f"OLDUMP_{name}"):
        Settings.of()


@pytest.mark.parametrize(
    "content", [b"workers = ", b"wrokers = 2", b"memory = 'much'", b"\0", b"\xff", b"workers = [1]"]
)
def test_a_bad_file_is_refused(content: bytes, alone: Path) -> None:
    """Broken or misspelled: an unknown key must not be ignored."""
    (alone / "oldump.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"oldump\.toml"):
        Settings.of()


def test_notification_settings_load_despite_other_mistakes(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So invalid values, unknown settings and an invalid file are reported too."""
    monkeypatch.setenv("OLDUMP_ON_FAILURE", "mail")
    monkeypatch.setenv("OLDUMP_WORKERS", "many")
    for content, metrics in (
        ("metrics = 'x.prom'", "x.prom"),
        ("metrics = 'x.prom'\nwrokers = 2", "x.prom"),
        ("metrics =", ""),
        ("metrics = 3", ""),
    ):
        (alone / "oldump.toml").write_text(content, encoding="utf-8")
        told = NotificationSettings.load_leniently(Path("elsewhere"))
        assert (told.out, told.metrics, told.on_failure) == (Path("elsewhere"), metrics, "mail")


def test_there_are_no_notifications_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """SENTRY_DSN is used, as in Sentry's SDK; OLDUMP_SENTRY_DSN has priority."""
    monkeypatch.delenv("SENTRY_DSN", raising=False)
    assert not NotificationSettings.load_leniently(None).is_any_set
    monkeypatch.setenv("SENTRY_DSN", "https://theirs@host/1")
    assert NotificationSettings.load_leniently(None).sentry == "https://theirs@host/1"
    monkeypatch.setenv("OLDUMP_SENTRY_DSN", "https://ours@host/1")
    assert NotificationSettings.load_leniently(None).sentry == "https://ours@host/1"


@pytest.mark.parametrize(
    ("path", "content", "word"),
    [("/proc/self/mem", None, "cannot be read"), ("deep.toml", "a = " + "[" * 50_000, "deep.toml: ")],
)
def test_a_file_that_cannot_be_read_is_named(
    path: str, content: str | None, word: str, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable or too deeply nested file is no bug; until it is fixed, the log format is text."""
    if content:
        (alone / path).write_text(content, encoding="utf-8")
    monkeypatch.setenv("OLDUMP_TOML", path)
    with pytest.raises(ConfigurationError, match=word):
        Settings.of()
    assert not NotificationSettings.load_leniently(None).is_any_set
    assert named_format() == "text"


@pytest.mark.parametrize("name", ["ping_url", "sentry_dsn"])
def test_a_secret_is_not_shown(name: str, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the settings' text, nor in the error for it or a neighbouring setting, nor in that error's cause."""
    monkeypatch.setenv(f"OLDUMP_{name.upper()}", "s3cret")
    assert "s3cret" not in f"{Settings.of()!r} {Settings.of()}"
    monkeypatch.delenv(f"OLDUMP_{name.upper()}")
    for content in (f"{name} = ['s3cret']", f"{name}s = 's3cret'", f"{name} = 's3cret'\nlevel = 0"):
        (alone / "oldump.toml").write_text(content, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            Settings.of()
        assert name in content
        assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_setting_without_a_flag_names_none(monkeypatch: pytest.MonkeyPatch, alone: Path) -> None:
    """The message names only the places it may come from."""
    (alone / "oldump.toml").write_text("metrics = 3", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"metrics: .* Check OLDUMP_METRICS or oldump\.toml"):
        Settings.of()


@pytest.mark.parametrize(
    "text", ["openlibrary.org", "ftp://x", "https://x/?a&b", "https://x/<y>", "https://" + "x" * 500]
)
def test_an_invalid_address_is_refused(text: str) -> None:
    """It goes into XML unescaped."""
    with pytest.raises(ConfigurationError, match="--base-url, OLDUMP_BASE_URL"):
        Settings.of(base_url=text)


def test_a_trailing_slash_is_removed() -> None:
    """Paths start with a slash."""
    assert Settings.of(base_url="http://localhost:8080/").base_url == "http://localhost:8080"


@pytest.mark.parametrize("text", ["2022-07-31", "2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_date_is_read(text: str) -> None:
    """Any existing day."""
    assert date_of(text).isoformat() == text


ODD_DIGITS = "".join(chr(0x660 + int(digit)) if digit.isdigit() else digit for digit in "2022-07-31")


@pytest.mark.parametrize(
    "text",
    [
        "2022-02-30",
        "2022-13-01",
        "2022-7-31",
        "31.07.2022",
        "2022-07",
        "20220731",
        "2022-W30-7",
        "2022-07-31T00:00",
        "2022-07-31\n",
        " 2022-07-31",
        "0000-01-01",
        ODD_DIGITS,
        "",
    ],
)
def test_an_invalid_date_is_refused(text: str) -> None:
    """Only an existing day, written in full, since it goes into file names."""
    with pytest.raises(ConfigurationError, match="is not a date"):
        date_of(text)


def test_the_default_date_is_the_last_day_of_the_previous_month() -> None:
    """In UTC, even if the test runs at midnight."""
    before = datetime.now(UTC).date()
    given = date_of(None)
    after = datetime.now(UTC).date()
    assert given in {day.replace(day=1) - timedelta(days=1) for day in (before, after)}


@pytest.mark.parametrize("given", ["", " ", "\n\t"])
def test_a_reason_must_not_be_blank(given: str) -> None:
    """Readers of the manifest depend on it."""
    with pytest.raises(ConfigurationError, match="--override-gate needs a reason"):
        reason_of(given)
    assert (reason_of("spam was removed"), reason_of(None)) == ("spam was removed", None)
