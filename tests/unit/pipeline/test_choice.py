"""The choice of stages: what the settings require, without what --only and --skip leave out."""

from pathlib import Path

import pytest

from oldump.errors import ConfigurationError
from oldump.pipeline.choice import choose
from oldump.settings import Settings

OF_A_FILE = ["dumps", "splice", "deworks", "gate", "verify"]
DATABASE = "postgresql://me@host/openlibrary"


def settings_of(source: str, **more: object) -> Settings:
    """Return settings with this source."""
    return Settings.of(source=source, **more)


def names(only: list[str], skip: list[str], settings: Settings) -> list[str]:
    """Return the names of the chosen stages."""
    return [stage.name for stage in choose(only, skip, settings).stages]


def test_a_run_from_a_file_reads_no_database() -> None:
    """Unless a connection to one of the other databases is configured."""
    assert names([], [], settings_of("-")) == OF_A_FILE
    assert names([], [], settings_of("-", coverstore="dbname=covers")) == ["covers_metadata", *OF_A_FILE]


def test_a_run_from_a_database_has_all_stages() -> None:
    """Those of one database are adjacent, so that they can share a snapshot."""
    stages = choose([], [], settings_of(DATABASE)).stages
    databases = [stage.database for stage in stages]
    assert databases == sorted(databases, key=databases.index)
    assert [stage.name for stage in stages][-6:] == ["extract", *OF_A_FILE]


def test_only_and_skip_combine() -> None:
    """--only picks stages, and --skip removes some of them."""
    assert names(["dumps", "splice"], ["splice"], settings_of("-")) == ["dumps"]


def test_skipping_an_optional_stage_changes_what_a_complete_run_needs() -> None:
    """Skipping any other stage does not, nor does --only."""
    settings = settings_of("-")
    assert "deworks" not in choose([], ["deworks"], settings).needed
    assert "splice" in choose([], ["splice"], settings).needed
    assert choose(["dumps"], [], settings).needed == OF_A_FILE
    assert choose(["dumps"], [], settings).omits_stages
    assert not choose([], ["deworks"], settings).omits_stages


def test_a_delivery_is_chosen_if_its_setting_requests_it(tmp_path: Path) -> None:
    """--skip leaves it out."""
    settings = settings_of("-", sitemaps=tmp_path)
    assert [delivery.name for delivery in choose([], [], settings).deliveries] == ["sitemaps"]
    assert choose([], ["sitemaps"], settings).deliveries == []


@pytest.mark.parametrize(
    ("only", "skip", "message"),
    [
        (["splcie"], [], "'splcie' is not a stage. Use one of: "),
        ([], ["splcie"], "'splcie' is not a stage. Use one of: "),
        (["ratings"], [], "ratings: not part of a run from a file. Set --source"),
        (["archive"], [], "archive is not requested. Set --archive too"),
        (["splice"], ["splice"], "--only and --skip leave nothing to run"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(only: list[str], skip: list[str], message: str) -> None:
    """The message names the stage, and the hint what to use instead."""
    with pytest.raises(ConfigurationError) as caught:
        choose(only, skip, settings_of("-"))
    assert str(caught.value).startswith(message)
