"""`oldump run --archive` checks the right to upload before the long work and uploads a complete run once."""

from collections.abc import Generator
from pathlib import Path

import pytest

from archive_org.faults import Faults, Kind
from archive_org.request import Action
from archive_org.server import OTHER_ACCOUNT, ArchiveOrg, archive_org
from commands.archiving import assert_complete, client, uploads
from commands.command import DATE, Ran, failed, item_of, oldump, private_of
from integration.archiving import config_of
from oldump.run.history import completed_runs


@pytest.fixture
def site(tmp_path: Path) -> Generator[ArchiveOrg]:
    """The fake archive.org."""
    with archive_org(tmp_path / "archive", faults=Faults(stall_seconds=0.1)) as site:
        yield site


def archived(site: ArchiveOrg, source: Path, out: Path, *more: object, **env: str) -> Ran:
    """Run `oldump run --archive`."""
    arguments = ("run", DATE, "--source", source, "--out", out, "--archive", *more)
    return oldump(*arguments, cwd=source.parent, env={**client(site), **env})


def test_a_run_is_made_and_uploaded_once(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """archive.org has both items and latest.json points to them. The same command again compares and sends nothing."""
    out = tmp_path / "out"
    ran = archived(site, small, out)
    assert ran.code == 0, ran.err
    assert_complete(site, out)
    assert (out / "latest.json").exists()
    sent = site.puts().total()
    again = archived(site, small, out)
    assert again.code == 0, again.err
    assert "already complete" in again.err
    assert site.puts().total() == sent
    plan = oldump("plan", DATE, "--source", small, "--out", out, "--archive", cwd=tmp_path)
    assert b"will be compared" in plan.out


def test_the_forecast_of_the_next_run_includes_the_upload(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """The history has the upload's duration, although the run was recorded before it."""
    assert archived(site, small, tmp_path / "out").code == 0
    past = completed_runs(tmp_path / "out" / "history.jsonl")[-1]
    assert past.stages["archive"].seconds > 0


def test_a_missing_right_to_upload_is_reported_first(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """Exit code 51, and no stage has started."""
    config_of(site, OTHER_ACCOUNT, tmp_path / "other.ini")
    ran = archived(site, small, tmp_path / "out", "--ia-config", tmp_path / "other.ini")
    failed(ran, 51, "AccessDenied", "archive.org staff")
    assert "started" not in ran.err
    assert not item_of(tmp_path / "out").exists()


def test_archive_org_may_be_unavailable_while_dumps_are_made(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """The run is made and ends with 52. The same command uploads it when archive.org is available again."""
    out = tmp_path / "out"
    site.faults.always(Kind.SLOW_DOWN)
    failed(archived(site, small, out, OLDUMP_ARCHIVE_PATIENCE_SECONDS="0.2"), 52, "SlowDown")
    assert item_of(out).exists()
    assert uploads(site) == []
    site.faults.never()
    ran = archived(site, small, out)
    assert ran.code == 0, ran.err
    assert_complete(site, out)


def test_rights_are_checked_also_before_verify_alone(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """A run that was stopped in verify, which writes nothing and takes long."""
    out = tmp_path / "out"
    assert oldump("run", DATE, "--source", small, "--out", out, "--skip", "verify", cwd=tmp_path).code == 0
    config_of(site, OTHER_ACCOUNT, tmp_path / "other.ini")
    ran = archived(site, small, out, "--ia-config", tmp_path / "other.ini")
    failed(ran, 51, "AccessDenied")
    assert "verify: started" not in ran.err


def test_a_notification_says_that_the_upload_failed(site: ArchiveOrg, small: Path, tmp_path: Path) -> None:
    """It also does if the sitemaps were made after it."""
    out = tmp_path / "out"
    site.faults.always(Kind.SLOW_DOWN)
    hook = {"OLDUMP_ON_FAILURE": 'echo "in stage <$DUMP_STAGE>"', "OLDUMP_ARCHIVE_PATIENCE_SECONDS": "0.2"}
    ran = archived(site, small, out, "--sitemaps", tmp_path / "sitemaps", **hook)
    failed(ran, 52, "SlowDown")
    assert "sitemaps: delivered" in ran.err
    assert "in stage <archive>" in ran.err


@pytest.mark.parametrize("asked_for", [True, False])
def test_an_incomplete_run_cannot_be_archived_alone(
    site: ArchiveOrg, small: Path, tmp_path: Path, asked_for: bool
) -> None:
    """`--only archive` needs a complete run and --archive."""
    out = tmp_path / "out"
    switch = "--archive" if asked_for else "--no-archive"
    error = "is not complete" if asked_for else "Set --archive too"
    failed(archived(site, small, out, switch, "--only", "archive"), 2, error)
    assert site.requests(Action.UPLOAD) == []
    assert not (private_of(out) / "journal.jsonl").exists()
