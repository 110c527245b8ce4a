"""The gate's rules: each at, below and beyond its threshold; and which run is compared with."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from oldump.errors import StorageError
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.manifest import Manifest, render_manifest
from oldump.settings import Settings
from oldump.stages.gate.comparison import Changes
from oldump.stages.gate.earlier import figures_of, last_complete, name_of
from oldump.stages.gate.rules import Figures, Rule, gate_findings, gate_warnings

JUNE, JULY = date(2022, 6, 30), date(2022, 7, 31)
SETTINGS = Settings.of(workers=1)
TYPES = {"/type/page": 3_000, "/type/macro": 7_000}
"""What the part `other` is of."""


def artifact(name: str, day: date, **members: Any) -> Artifact:
    """One of 10,000 records."""
    usual = Artifact(
        name=f"ol_dump_{name}_{day}.txt.gz" if name not in {"cdump", "dump"} else f"ol_{name}_{day}.txt.gz",
        item=f"ol_dump_{day}",
        size_bytes=100_000,
        text_bytes=1_000_000,
        records=10_000,
        segments=1,
        sha256=f"{day}",
        md5="",
        first_key="/a",
        newest=f"{day}T12:00:00",
        digest=f"{day}",
    )
    if name in {"ratings", "deworks"}:
        usual = replace(usual, newest=None, digest=None, columns=["a", "b"])
    if name == "other":
        usual = replace(usual, by_type=TYPES)
    return replace(usual, **members)


def figures(day: date, **others: dict[str, Any]) -> Figures:
    """A run in which nothing is odd, but for these members of its artifacts."""
    names = ("cdump", "dump", *PARTS, "ratings", "deworks")
    filled = {"editions": {"title": 10_000, "ocaid": 2_000}, "works": {"covers": 5_000}}
    return Figures(day, {name: artifact(name, day, **others.get(name, {})) for name in names}, filled, 50_000)


def found(
    now: Figures | None = None, before: Figures | None = None, changes: Changes | None = None, **settings: Any
) -> list[tuple[str, str]]:
    """Rule and what it is about, of all findings."""
    all_settings = Settings.of(workers=1, **settings)
    judged = gate_findings(now or figures(JULY), before or figures(JUNE), changes, all_settings)
    return [(finding.rule.value, finding.about) for finding in judged]


def test_a_usual_month_has_no_findings() -> None:
    """Nor does the first run of all."""
    assert found(changes=Changes(same=9_000, changed=900, new=200)) == []
    assert gate_findings(figures(JULY), None, None, SETTINGS) == []


@pytest.mark.parametrize(
    ("read_at", "rules"),
    [
        ("2022-07-31T23:59:59.999+00:00", ["unfinished"]),
        ("2022-08-01T00:00:00+00:00", []),
        ("2022-08-01T01:30:00+02:00", ["unfinished"]),
        (None, []),
    ],
)
def test_rows_read_before_the_end_of_the_day_are_a_finding(read_at: str | None, rules: list[str]) -> None:
    """Later edits of that day are missing, even if the run is resumed on the next day."""
    read = replace(figures(JULY), read_at=read_at)
    assert [finding.rule.value for finding in gate_findings(read, None, None, SETTINGS)] == rules


@pytest.mark.parametrize(
    ("before", "now", "is_found"),
    [(0, 100, False), (0, 101, True), (50, 150, False), (50, 151, True), (None, 101, True), (5_000, 5_000, False)],
)
def test_repeated_records(before: int | None, now: int, is_found: bool) -> None:
    """They may rise by 0.01 here, in a first run from 0; a fall is no finding."""
    run, earlier = (replace(figures(day), same_revision=count) for day, count in ((JULY, now), (JUNE, before)))
    expected = [("repeated", "cdump, records with the same key and revision")] * is_found
    assert found(run, earlier, gate_repeated=0.01) == expected
    if not before:
        first = gate_findings(run, None, None, Settings.of(workers=1, gate_repeated=0.01))
        assert [finding.rule.value for finding in first] == ["repeated"] * is_found


@pytest.mark.parametrize(
    ("name", "left", "falls"),
    [
        ("works", 9_501, False),
        ("works", 9_500, False),
        ("works", 9_499, True),
        ("dump", 9_499, True),
        ("ratings", 9_500, False),
        ("ratings", 9_499, True),
        ("deworks", 9_499, True),
        ("cdump", 9_901, False),
        ("cdump", 9_900, False),
        ("cdump", 9_899, True),
        ("lists", 20_000, False),
    ],
)
def test_records_fall(name: str, left: int, falls: bool) -> None:
    """By more than 5 %, or 1 % of the cdump; they may grow as they like."""
    assert found(figures(JULY, **{name: {"records": left}})) == [("records", f"{name}, records")] * falls


@pytest.mark.parametrize(("before", "falls"), [(199, False), (200, True), (201, True)])
def test_a_small_fall_is_noise(before: int, falls: bool) -> None:
    """A type of a few pages may lose half of them: 100 records must be missing before that is a finding."""
    now, was = figures(JULY, lists={"records": 100}), figures(JUNE, lists={"records": before})
    assert found(now, was) == [("records", "lists, records")] * falls
    assert found(now, was, gate_least=99) == [("records", "lists, records")]


@pytest.mark.parametrize(("pages", "falls"), [(2_850, False), (2_849, True), (0, True)])
def test_records_of_a_type_fall(pages: int, falls: bool) -> None:
    """Within a part of many types, though another type makes up for it."""
    now = figures(JULY, other={"by_type": {"/type/page": pages, "/type/macro": 12_000}})
    assert found(now) == [("records", "other, records of /type/page")] * falls


@pytest.mark.parametrize("what", ["size_bytes", "text_bytes"])
@pytest.mark.parametrize(("share", "falls"), [(0.91, False), (0.90, False), (0.899, True)])
def test_bytes_fall(what: str, share: float, falls: bool) -> None:
    """By more than a tenth, of an artifact that has more than a few records."""
    left = int(share * getattr(artifact("works", JUNE), what))
    assert found(figures(JULY, works={what: left})) == [("bytes", f"works, {what}")] * falls
    few = {"records": 99}
    assert found(figures(JULY, works={what: left, **few}), figures(JUNE, works=few)) == []


@pytest.mark.parametrize("name", ["lists", "ratings", "dump", "deworks"])
def test_what_had_records_is_empty(name: str) -> None:
    """However few there were; what was empty before may stay so."""
    empty = {name: {"records": 0, "size_bytes": 20, "text_bytes": 0}}
    assert found(figures(JULY, **empty), figures(JUNE, **{name: {"records": 1}})) == [("empty", name)]
    assert found(figures(JULY, **empty), figures(JUNE, **empty)) == []


@pytest.mark.parametrize(
    ("newest", "is_old"),
    [
        ("2022-07-31T23:59:59.999999", False),
        ("2022-07-28T23:59:59.999999", False),
        ("2022-07-28T23:59:59.999998", True),
        ("2022-05-31T23:59:59.999999", True),
        (None, True),
    ],
)
def test_the_newest_record_is_near_the_cutoff(newest: str | None, is_old: bool) -> None:
    """Three days before it, at most: of the first run too, that has nothing to be compared with."""
    now = figures(JULY, cdump={"newest": newest})
    told = [("newest", "cdump, newest record")] * is_old
    assert [(each.rule.value, each.about) for each in gate_findings(now, None, None, SETTINGS)] == told
    assert gate_findings(now, None, None, Settings.of(workers=1, gate_newest_days=100_000_000)) == [] or newest is None


def test_the_newest_record_never_goes_back() -> None:
    """Whatever age is allowed: what the run before had is in this one too."""
    now = figures(JULY, cdump={"newest": "2022-06-30T11:59:59"})
    assert found(now, gate_newest_days=1_000) == [("newest", "cdump, newest record")]
    assert found(figures(JULY, cdump={"newest": "2022-06-30T12:00:00"}), gate_newest_days=1_000) == []


@pytest.mark.parametrize("name", ["cdump", "dump", "ratings"])
def test_the_content_is_another(name: str) -> None:
    """Of another date. The same date made anew should have the same, and a part may stay as it was."""
    same = {"digest": None, "sha256": "same"} if name == "ratings" else {"digest": "same"}
    assert found(figures(JULY, **{name: same}), figures(JUNE, **{name: same})) == [("identical", name)]
    assert found(figures(JULY, **{name: same}), figures(JULY, **{name: same})) == []
    assert found(figures(JULY, lists={"digest": "same"}), figures(JUNE, lists={"digest": "same"})) == []
    empty = {name: {**same, "records": 0}}
    assert found(figures(JULY, **empty), figures(JUNE, **empty)) == []


@pytest.mark.parametrize(("left", "falls"), [(1_801, False), (1_800, False), (1_799, True), (0, True)])
def test_a_member_loses_its_values(left: int, falls: bool) -> None:
    """By more than a tenth of the share of documents that had one."""
    now = replace(figures(JULY), filled={"editions": {"title": 10_000, "ocaid": left}, "works": {"covers": 5_000}})
    assert found(now) == [("fill", "editions, documents with ocaid")] * falls
    assert found(now, replace(figures(JUNE), filled=None)) == []


def test_a_share_is_compared_and_not_a_count() -> None:
    """Fewer editions may have fewer values, more must have more."""
    counts = {"editions": {"title": 9_600, "ocaid": 1_920}, "works": {"covers": 5_000}}
    assert found(replace(figures(JULY, editions={"records": 9_600}), filled=counts)) == []
    counts = {"editions": {"title": 20_000, "ocaid": 3_000}, "works": {"covers": 5_000}}
    now = replace(figures(JULY, editions={"records": 20_000}), filled=counts)
    assert found(now) == [("fill", "editions, documents with ocaid")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (Changes(same=199_800, gone=100, older=100), []),
        (Changes(same=199_799, gone=101, older=100), ["lost"]),
        (Changes(same=100_000, gone=99), []),
        (Changes(same=1_000, gone=99), []),
        (Changes(same=1_000, older=100), ["lost"]),
        (Changes(same=1_000, changed=1_000), []),
        (Changes(same=1_000, changed=1_001), ["changed"]),
        (Changes(same=10, changed=99), []),
        (Changes(new=1_000), []),
        (Changes(changed=500, gone=500), ["lost"]),
    ],
)
def test_records_are_lost_or_changed(changes: Changes, told: list[str]) -> None:
    """One in a thousand is lost, or more than half of them changed; and a hundred at the least."""
    assert [rule for rule, _ in found(changes=changes)] == told


@pytest.mark.parametrize(("items", "told"), [(47_500, []), (47_499, ["records"]), (0, ["empty", "records"])])
def test_the_archives_items_fall(items: int, told: list[str]) -> None:
    """They are in no file that is published, and stand in deworks."""
    assert [rule for rule, _ in found(replace(figures(JULY), items=items))] == told


def test_what_is_left_out_is_told_and_let_pass() -> None:
    """The operator has said so by name."""
    now = figures(JULY)
    without = replace(now, artifacts={n: a for n, a in now.artifacts.items() if n != "ratings"}, items=None)
    told = gate_warnings(without, figures(JUNE))
    assert [each.partition(":")[0] for each in told] == ["ia-metadata", "ratings"]
    assert "10,000 lines" in told[1]
    assert found(without) == []
    assert gate_warnings(now, figures(JUNE)) == []


def test_findings_say_before_and_now_and_what_is_allowed() -> None:
    """And come in the order of the rules, the gravest first."""
    now = figures(JULY, works={"records": 0}, cdump={"records": 5_000})
    told = [str(each) for each in gate_findings(now, figures(JUNE), None, SETTINGS)]
    assert told == [
        "works: 10,000 records before, none now",
        "cdump, records: 10,000 before, 5,000 now: a decrease of 50.00%, 1.00% is allowed",
    ]
    assert next(iter(Rule)) is Rule.EMPTY


# Which run is compared with


Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Writes the manifest of a complete run; where it is."""

    def write(day: date, **members: Any) -> Path:
        made = figures(day)
        manifest = json.loads(render_manifest(day, {}, {"deworks": {"items": 7}}, made.artifacts.values(), []))
        path = tmp_path / f"ol_dump_{day}" / "manifest.json"
        path.parent.mkdir()
        path.write_text(json.dumps({**manifest, **members}), encoding="utf-8")
        return path

    return write


def chosen(out: Path, day: date = JULY) -> tuple[date | None, list[str]]:
    """The date of the run that is compared with, and what was told."""
    told: list[str] = []
    earlier = last_complete(RunFolder(out, day), told.append)
    return earlier and earlier.day, told


def test_it_is_the_newest_before_the_date(publish: Publish, tmp_path: Path) -> None:
    """Not one of a later date; one of the same date only where there is no other."""
    assert chosen(tmp_path) == (None, [])
    publish(JULY + timedelta(31))
    assert chosen(tmp_path) == (None, [])
    publish(JULY)
    assert chosen(tmp_path) == (JULY, [])
    publish(JUNE - timedelta(30))
    publish(JUNE)
    assert chosen(tmp_path) == (JUNE, [])


def test_it_is_complete(publish: Publish, tmp_path: Path) -> None:
    """A folder without a manifest is of a run that is not, and one of another name is none of a run."""
    publish(JUNE)
    (tmp_path / "ol_dump_2022-07-15").mkdir()
    publish(date(2022, 7, 20)).parent.rename(tmp_path / "ol_dump_2022-07-20.old")
    publish(date(2022, 7, 20)).parent.rename(tmp_path / "ol_dump_2022-07-32")
    assert chosen(tmp_path) == (JUNE, [])


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "\0", '{"format": 2}', '{"format": 1, "date": "2022-07-15", "artifacts": {"a": 1}}'],
)
def test_a_manifest_that_cannot_be_read_is_told_and_passed_over(text: str, publish: Publish, tmp_path: Path) -> None:
    """The run before that is compared with instead."""
    publish(JUNE)
    path = publish(date(2022, 7, 15))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StorageError, match=r"manifest\.json"):
        Manifest.read_file(path)
    day, (told,) = chosen(tmp_path)
    assert day == JUNE
    assert str(path) in told


def test_a_manifest_of_another_date_is_passed_over(publish: Publish, tmp_path: Path) -> None:
    """And one that lacks a part."""
    publish(date(2022, 7, 15), date="2022-07-14")
    publish(date(2022, 7, 16), artifacts={})
    day, told = chosen(tmp_path)
    assert (day, len(told)) == (None, 2)


def test_an_artifacts_unknown_member_does_no_harm(publish: Publish) -> None:
    """A later version may say more of it."""
    path = publish(JUNE)
    manifest = json.loads(path.read_bytes())
    for members in manifest["artifacts"].values():
        members["shade"] = "blue"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    read = Manifest.read_file(path)
    assert {each.name: each for each in read.artifacts} == {
        each.name: each for each in figures(JUNE).artifacts.values()
    }
    assert figures_of(JUNE, read.artifacts, read.counts).items == 7


@pytest.mark.parametrize("name", ["cdump", "dump", "works", "reading-log", "covers_metadata"])
def test_artifacts_are_known_by_their_names_in_the_table(name: str) -> None:
    """Whatever the date in the file's name."""
    assert name_of(artifact(name, JUNE), JUNE) == name
