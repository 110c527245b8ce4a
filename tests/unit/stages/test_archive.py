"""The stage archive, with an archive.org of a few lines: order, resuming, reading back, and the pointer."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from oldump.errors import (
    ArchiveMismatch,
    ArchiveRefused,
    ArchiveUnreachable,
    ConfigurationError,
    OldumpError,
    StorageError,
    VerificationError,
)
from oldump.outside.items import ItemFile
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.settings import Settings
from oldump.stages.archive import stage
from oldump.stages.archive.files import published_files, read_manifest, role_of, run_of
from oldump.stages.archive.pointer import LATEST, RECEIPT, pointed
from oldump.stages.archive.sent import Sent
from unit.stages.published import DAY, publish
from unit.stages.shelf import CHECK, Shelf, archived, latest

JUNE, AUGUST = date(2022, 6, 30), date(2022, 8, 31)


class Killed(BaseException):
    """What nobody catches."""


@pytest.fixture
def site() -> Shelf:
    """An empty archive.org."""
    return Shelf()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder."""
    return tmp_path / "out"


def test_the_cdumps_item_comes_first_and_the_manifest_last(out: Path, site: Shelf) -> None:
    """So that whoever sees a manifest in the item finds what it names; indexes are sent too."""
    folder = publish(out)
    archived(folder, site)
    items = [place.partition("/")[0] for place in site.sent]
    assert items == sorted(items)
    assert [place.partition("/")[2] for place in site.sent[-3:]] == ["MD5SUMS", "SHA256SUMS", "manifest.json"]
    there = {f"{item}/{path.name}" for item in folder.items for path in folder.published(item).iterdir()}
    assert set(site.sent) == there
    assert len(site.sent) == len(there)


def test_sums_and_manifest_are_sent_when_all_else_was_read_back(out: Path, site: Shelf) -> None:
    """Not only when it was sent: a file that is stored wrong is mended before a manifest stands beside it."""
    folder = publish(out)
    bad = f"ol_dump_{DAY}/ol_dump_authors_{DAY}.txt.gz"
    site.wrong.add(bad)

    def heal(place: str) -> None:
        if site.sent.count(bad) == 2:
            site.wrong.clear()

    site.before = heal
    archived(folder, site)
    assert site.sent.count(bad) == 3
    assert site.sent[-4:] == [bad, *(f"ol_dump_{DAY}/{name}" for name in ("MD5SUMS", "SHA256SUMS", "manifest.json"))]


def test_the_items_have_their_metadata(out: Path, site: Shelf) -> None:
    """Title, date, year, format, kind, collection, creator, licence, and a line for each artifact."""
    archived(publish(out), site, archive_collection="ol_exports", archive_creator="Somebody")
    for item in (f"ol_cdump_{DAY}", f"ol_dump_{DAY}"):
        told = site.metadata[item]
        assert str(DAY) in told["title"]
        wanted = {"date": str(DAY), "year": "2022", "format": "Data", "mediatype": "data", "collection": "ol_exports"}
        assert wanted.items() <= told.items()
        assert told["creator"] == "Somebody"
        assert told["licenseurl"].startswith("https://creativecommons.org/publicdomain/zero")
        assert f"<li>{item}.txt.gz: 3 records, " in told["description"]
    assert "ol_dump_authors" in site.metadata[f"ol_dump_{DAY}"]["description"]


def test_what_is_there_is_not_sent_again(out: Path, site: Shelf) -> None:
    """By checksum: nothing at all the second time, and receipt and pointer stay as they are, byte for byte."""
    folder = publish(out)
    archived(folder, site)
    before, pointer = (folder.private / RECEIPT).read_bytes(), (out / LATEST).read_bytes()
    site.sent.clear()
    site.items.pop(CHECK)
    archived(folder, site)
    assert site.sent == []
    assert CHECK not in site.items
    assert ((folder.private / RECEIPT).read_bytes(), (out / LATEST).read_bytes()) == (before, pointer)


def test_an_empty_answer_of_the_catalogue_does_not_send_everything_again(out: Path, site: Shelf) -> None:
    """Files that the receipt lists are missing only if repeated requests agree."""
    folder = publish(out)
    archived(folder, site)
    site.sent.clear()
    site.empty_looks = 8  # both items, four times
    archived(folder, site)
    assert site.sent == []
    assert latest(out) is not None
    site.items.clear()
    archived(folder, site)
    assert len(site.sent) == 15


def test_each_upload_has_the_size_of_its_item(out: Path, site: Shelf) -> None:
    """archive.org chooses a disk for the item by the size hint of its first file."""
    folder = publish(out)
    archived(folder, site)
    for item in folder.items:
        assert site.item_bytes[item] == sum(path.stat().st_size for path in folder.published(item).iterdir())


def test_metadata_that_archive_org_normalises_is_the_same(
    out: Path, site: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """A list with our collection, and other markup of the same text, cause neither a warning nor new metadata."""
    folder = publish(out)
    archived(folder, site)
    for listed in site.metadata.values():
        listed["collection"] = [listed["collection"], "texts"]
        listed["description"] = str(listed.get("description", "")).replace("<li>", "\n<li class='x'>") + " "
    assert warned(lambda: archived(folder, site), caplog) == []


def test_only_what_differs_is_sent_and_the_item_gets_its_new_description(out: Path, site: Shelf) -> None:
    """A run that was made again replaces its files, and the metadata of the items that were there."""
    archived(publish(out), site)
    site.sent.clear()
    folder = publish(out, text="again")
    site.items[folder.items[0]][f"{folder.items[0]}.txt.gz"] = ItemFile(1, "other", "")
    archived(folder, site)
    assert len(site.sent) == 15
    assert [place.partition("/")[0] for place in site.renewed] == list(folder.items)


def test_metadata_that_cannot_be_renewed_is_told(out: Path, site: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """Ours goes only with a file: where none is sent, a changed description would be lost without a word."""
    folder = publish(out)
    archived(folder, site)
    site.metadata[folder.items[1]]["title"] = "another"
    site.sent.clear()
    with caplog.at_level(logging.WARNING, "oldump"):
        archived(folder, site)
    assert site.sent == []
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        f"archive: {folder.items[1]} keeps its title"
    ]


@pytest.mark.parametrize("number", range(1, 16))
def test_a_kill_loses_one_file_at_most(out: Path, site: Shelf, number: int) -> None:
    """Killed at any file: what was taken is not sent again, though the catalogue shows it late; no pointer before."""
    folder = publish(out)
    site.slow_looks = 6

    def die(_: str) -> None:
        if len(site.sent) == number - 1 and not died:
            died.append(1)
            raise Killed

    died: list[int] = [1]
    archived_once = list(published_files(folder, read_manifest(folder)))
    died.clear()
    site.before = lambda place: die(place) if not place.startswith(CHECK) else None
    with pytest.raises(Killed):
        archived(folder, site)
    assert latest(out) is None
    assert not (folder.private / RECEIPT).exists()
    archived(folder, site)
    assert sorted(site.sent) == sorted(file.place for file in archived_once)
    assert site.holds(latest(out) or {})


def test_a_note_of_what_was_taken_is_believed_for_a_while(out: Path) -> None:
    """While the catalogue shows nothing new, of this file as it is, by a clock that does not go back."""
    folder = publish(out)
    place = f"ol_dump_{DAY}/ol_dump_editions_{DAY}.txt.gz"
    path = out / "notes.json"
    files = {each.place: each for each in published_files(folder, read_manifest(folder))}
    file, behind = files[place], files[f"ol_dump_{DAY}/manifest.json"]
    sent = Sent(path, 100, now=lambda: 0)
    sent.record(file, ItemFile(1, "old", ""))
    sent.record(behind, None)
    overtaken = {behind.place: ItemFile(behind.size_bytes, behind.md5, "")}
    assert sent.is_pending(file, {})
    assert sent.is_pending(file, {place: ItemFile(1, "old", "")})
    assert not sent.is_pending(file, {place: ItemFile(1, "another", "")})
    assert not sent.is_pending(replace(file, md5="another"), {})
    for now, shown, is_pending in ((99, overtaken, True), (101, overtaken, False), (101, {}, True), (801, {}, False)):
        assert Sent(path, 100, now=lambda now=now: now).is_pending(file, shown) is is_pending  # type: ignore[misc] # its default
    assert not Sent(path, 100, now=lambda: -1).is_pending(file, {})


def test_what_was_taken_and_is_never_shown_is_sent_again(out: Path, site: Shelf) -> None:
    """When half of the patience is over, and what was sent behind it is shown, it counts as lost."""
    folder = publish(out)
    name = f"ol_dump_editions_{DAY}.txt.gz"

    def lose(place: str) -> None:
        if f"editions_{DAY}" not in place and site.sent.count(f"ol_dump_{DAY}/{name}") == 1:
            site.items[f"ol_dump_{DAY}"].pop(name, None)

    site.before = lose
    archived(folder, site)
    assert site.sent.count(f"ol_dump_{DAY}/{name}") == 2
    assert site.holds(latest(out) or {})


def test_a_file_that_is_stored_wrong_again_and_again_is_no_archived_one(out: Path, site: Shelf) -> None:
    """After four times it is said what archive.org has; nothing points there."""
    folder = publish(out)
    bad = f"ol_cdump_{DAY}/ol_cdump_{DAY}.txt.gz"
    site.wrong.add(bad)
    with pytest.raises(ArchiveMismatch, match="sent 4 times"):
        archived(folder, site)
    assert site.sent.count(bad) == 4
    assert latest(out) is None


def test_a_catalogue_that_shows_nothing_is_waited_for_and_not_longer(out: Path, site: Shelf) -> None:
    """Until patience is over; the same command goes on, and sends nothing again."""
    folder = publish(out)
    site.slow_looks = 10**6
    with pytest.raises(ArchiveUnreachable, match="does not list it after 3,600 s"):
        archived(folder, site)
    sent = list(site.sent)
    assert latest(out) is None
    site.slow_looks = 0
    site.late()
    archived(folder, site)
    assert len(site.sent) == len(set(site.sent)) > len(sent)


def test_the_pointer_names_every_file_with_its_role_and_address(out: Path, site: Shelf) -> None:
    """For redirects: the cdump, the dump, each part and table, each index, sums and manifest."""
    archived(publish(out), site, archive_url="https://example.org/")
    pointed = latest(out)
    assert pointed is not None
    assert (pointed["format"], pointed["date"], pointed["previous"]) == (1, str(DAY), None)
    roles = {file["role"]: file for file in pointed["files"]}
    kinds = {"cdump", "dump", "authors", "editions", "reading-log", "covers_metadata"}
    assert set(roles) == kinds | {f"{kind}.index" for kind in kinds} | {"MD5SUMS", "SHA256SUMS", "manifest.json"}
    assert roles["cdump"]["url"] == f"https://example.org/download/ol_cdump_{DAY}/ol_cdump_{DAY}.txt.gz"
    for file in pointed["files"]:
        content = (out / file["item"] / file["name"]).read_bytes()
        assert (file["size_bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    receipt = json.loads((out / f"run-{DAY}" / RECEIPT).read_bytes())
    assert pointed.items() <= receipt.items()
    assert receipt["username"] == "dumps@openlibrary.example"
    assert receipt["sent_files"] == 15


def test_the_pointer_never_goes_back_because_an_older_run_was_archived(out: Path, site: Shelf) -> None:
    """It stays with the later one, and the older one has its receipt."""
    archived(publish(out, AUGUST), site)
    archived(publish(out, JUNE), site)
    pointed = latest(out)
    assert pointed is not None
    assert pointed["date"] == str(AUGUST)
    archived(publish(out, DAY), site)
    assert json.loads((out / f"run-{DAY}" / RECEIPT).read_bytes())["previous"] == str(JUNE)
    assert latest(out) == pointed


def test_the_pointer_goes_back_to_whatever_is_archived(out: Path, site: Shelf) -> None:
    """Also to a run that was archived after it; one whose receipt is damaged, or withdrawn, is passed over."""
    may = date(2022, 5, 31)
    for day in (DAY, JUNE, may):
        archived(publish(out, day), site)
    seen: set[str | None] = set()

    def look(place: str) -> None:
        if not place.startswith(CHECK):
            seen.add((latest(out) or {}).get("date"))

    site.before = look
    for expected, damaged in ((str(JUNE), JUNE), (str(may), may), (None, None)):
        seen.clear()
        archived(publish(out, DAY, f"before {expected}"), site)
        assert seen == {expected}
        if damaged:
            (out / f"run-{damaged}" / RECEIPT).write_text("{", encoding="utf-8")


def test_whoever_follows_the_pointer_always_finds_a_complete_set(out: Path, site: Shelf) -> None:
    """Looked at before each upload, of three months of which one is made again twice: what it names is there."""
    seen: list[str | None] = []

    def look(place: str) -> None:
        pointed = latest(out)
        assert pointed is None or site.holds(pointed), place
        seen.append(pointed["date"] if pointed else None)

    site.before = look
    for day, text in ((JUNE, ""), (DAY, ""), (DAY, "again"), (AUGUST, ""), (DAY, "third"), (AUGUST, "again")):
        seen.clear()
        archived(publish(out, day, text), site)
        look("the end")
        months = list(dict.fromkeys(seen))
        expected: dict[tuple[date, str], list[str | None]] = {
            (JUNE, ""): [None, str(JUNE)],
            (DAY, ""): [str(JUNE), str(DAY)],
            (DAY, "again"): [str(DAY), str(JUNE), str(DAY)],
            (AUGUST, ""): [str(DAY), str(AUGUST)],
            (DAY, "third"): [str(AUGUST)],
            (AUGUST, "again"): [str(AUGUST), str(DAY), str(AUGUST)],
        }
        assert months == list(dict.fromkeys(expected[day, text])), (day, text)
        assert seen[-1] == expected[day, text][-1]


@pytest.mark.parametrize("damage", ['{"format": 1, "x": ' + "[" * 100_000, "", "[]", '{"format": 1, "archived": 5}'])
def test_a_damaged_pointer_is_an_error_of_storage(damage: str, tmp_path: Path) -> None:
    """However it is damaged, with the path."""
    (tmp_path / LATEST).write_text(damage, encoding="utf-8")
    with pytest.raises(StorageError, match=LATEST):
        pointed(tmp_path)


def test_a_receipt_whose_moment_is_none_is_damaged(out: Path, site: Shelf) -> None:
    """`status` shows it."""
    archived(publish(out), site)
    path = out / LATEST
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "archived": 5}), encoding="utf-8")
    with pytest.raises(StorageError, match=LATEST):
        pointed(out)


def test_a_pointer_whose_files_are_replaced_goes_away_if_no_run_is_before(out: Path, site: Shelf) -> None:
    """Killed in the middle of replacing: nothing points to the mixture; and then to the new set."""
    folder = publish(out)
    archived(folder, site)
    publish(out, text="again")
    site.sent.clear()

    def die(_: str) -> None:
        if len(site.sent) == 4:
            raise Killed

    site.before = die
    with pytest.raises(Killed):
        archived(folder, site)
    assert latest(out) is None
    assert not (folder.private / RECEIPT).exists()
    site.before = lambda _: None
    archived(folder, site)
    assert site.holds(latest(out) or {})


def test_a_run_in_which_a_withdrawn_one_is_is_not_gone_back_to(out: Path, site: Shelf) -> None:
    """July is being replaced, and was the run before August: when August is replaced too, nothing is pointed to."""
    archived(publish(out, DAY), site)
    archived(publish(out, AUGUST), site)
    july, august = publish(out, DAY, "again"), publish(out, AUGUST, "again")

    def die(place: str) -> None:
        if not place.startswith(CHECK) and len(site.sent) > 35:
            raise Killed

    site.before = die
    for folder in (july, august):
        with pytest.raises(Killed):
            archived(folder, site)
    assert latest(out) is None


def test_files_of_an_earlier_upload_are_told_of(out: Path, site: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    """A table that the run does without now stays in the item, with a warning; what is not ours is not looked at."""
    folder = publish(out)
    stale = f"ol_dump_wikidata_{DAY}.txt.gz"
    site.items[folder.items[1]] = {stale: ItemFile(1, "x", ""), "__ia_thumb.jpg": ItemFile(1, "y", "")}
    warnings = warned(lambda: archived(folder, site), caplog)
    assert [stale in warning for warning in warnings] == [True]


def warned(act: Callable[[], object], caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings while it acts."""
    logger = logging.getLogger("oldump")
    logger.addHandler(caplog.handler)
    try:
        act()
    finally:
        logger.removeHandler(caplog.handler)
    return list(dict.fromkeys(each.getMessage() for each in caplog.records if each.levelno == logging.WARNING))


def test_a_file_that_is_none_of_the_runs_is_not_uploaded(
    out: Path, site: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever lies in the folder: it is told of."""
    folder = publish(out)
    (folder.published(folder.items[1]) / "notes.txt").write_text("private", encoding="utf-8")
    warnings = warned(lambda: archived(folder, site), caplog)
    assert ["notes.txt" in warning for warning in warnings] == [True]
    assert not any("notes.txt" in place for place in site.sent)


def damage(folder: RunFolder, how: str, name: str) -> None:
    """Remove, lengthen or change a file of the dump's item, or take the other item away."""
    path = folder.published(folder.items[1]) / name
    content = path.read_bytes() if path.is_file() else b""
    match how:
        case "remove":
            path.unlink()
        case "lengthen":
            path.write_bytes(content + b"x")
        case "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "rename inside":
            path.write_bytes(content.replace(b"ol_dump_authors_", b"../x_"))
        case "take away":
            folder.published(folder.items[0]).rename(folder.out / "elsewhere")


AUTHORS = f"ol_dump_authors_{DAY}.txt.gz"


@pytest.mark.parametrize(
    ("how", "name", "error", "told"),
    [
        ("remove", "manifest.json", ConfigurationError, "not complete"),
        ("remove", AUTHORS, VerificationError, "is missing"),
        ("remove", f"{AUTHORS}.index", VerificationError, "is missing"),
        ("remove", "SHA256SUMS", VerificationError, "is missing"),
        ("lengthen", AUTHORS, VerificationError, "bytes"),
        ("flip", AUTHORS, VerificationError, "checksum"),
        ("flip", f"{AUTHORS}.index", VerificationError, "checksum"),
        ("flip", "MD5SUMS", VerificationError, "sums"),
        ("rename inside", "manifest.json", VerificationError, "not a file of"),
        ("take away", "", VerificationError, "is missing"),
    ],
)
def test_what_is_not_a_complete_run_is_not_archived(
    out: Path, site: Shelf, how: str, name: str, error: type[OldumpError], told: str
) -> None:
    """Each way says what is wrong; what is damaged is not sent, and nothing points there."""
    folder = publish(out)
    damage(folder, how, name)
    with pytest.raises(error, match=told):
        archived(folder, site)
    sent = {place.partition("/")[2] for place in site.sent}
    assert not sent & {name, "manifest.json"}
    assert latest(out) is None


def test_a_manifest_that_was_changed_after_publication_is_not_archived(out: Path, site: Shelf) -> None:
    """The run's journal knows better, if it is there."""
    folder = publish(out)
    folder.private.mkdir()
    path = folder.published(folder.items[1]) / "manifest.json"
    Journal(folder.journal).publish({f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()})
    archived(folder, site)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(VerificationError, match="not the file that was published"):
        archived(folder, site)


def test_the_right_is_shown_before_anything_is_sent(out: Path, site: Shelf) -> None:
    """By a small item of its own in the collection: who lacks the right hears so at once."""
    folder = publish(out)

    def refuse(place: str) -> None:
        if place.startswith(CHECK):
            raise ArchiveRefused("no right", "ask")

    site.before = refuse
    with pytest.raises(ArchiveRefused):
        archived(folder, site)
    assert site.sent == []
    with pytest.raises(ArchiveRefused):
        stage.preflight(site, Settings.of())
    site.before = lambda _: None
    assert stage.preflight(site, Settings.of()) == "dumps@openlibrary.example"
    assert site.metadata[CHECK]["collection"] == "ol_exports"


def test_failures_that_pass_are_passed(out: Path, site: Shelf) -> None:
    """Each file fails three times."""
    folder = publish(out)
    failed: dict[str, int] = {}

    def fail(place: str) -> None:
        failed[place] = failed.get(place, 0) + 1
        if failed[place] < 4:
            raise ArchiveUnreachable("503", wait_seconds=2)

    site.before = fail
    archived(folder, site)
    assert len(site.sent) == 15
    assert site.holds(latest(out) or {})


@pytest.mark.parametrize(
    ("name", "role"),
    [
        (f"ol_cdump_{DAY}.txt.gz", "cdump"),
        (f"ol_dump_{DAY}.txt.gz", "dump"),
        (f"ol_dump_covers_metadata_{DAY}.txt.gz", "covers_metadata"),
        (f"ol_dump_{JUNE}.txt.gz", None),
        (f"ol_other_{DAY}.txt.gz", None),
        (f"../ol_dump_x_{DAY}.txt.gz", None),
        ("manifest.json", None),
    ],
)
def test_a_files_role_comes_from_its_name(name: str, role: str | None) -> None:
    """None for what no run of the date makes."""
    assert role_of(name, RunFolder(Path(), DAY)) == role


@pytest.mark.parametrize("name", ["ol_dump_2022-07", "elsewhere", "ol_dump_", "ol_cdump_2022-07-31"])
def test_a_folder_that_is_no_item_is_refused(name: str) -> None:
    """The item's name is the folder's."""
    with pytest.raises(ConfigurationError, match="ol_dump_DATE"):
        run_of(Path(name))
    assert run_of(Path("out/ol_dump_2022-07-31")) == RunFolder(Path("out"), DAY)
