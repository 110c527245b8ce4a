"""Past failures of Open Library's dumps, each under its issue number in internetarchive/openlibrary."""

import gzip
import json
import locale
import os
import shutil
import signal
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from commands.command import (
    DATE,
    Ran,
    bash,
    cdump_of,
    environment,
    failed,
    final_names,
    item_of,
    name_of,
    oldump,
    private_of,
    published,
    run,
    texts,
)
from commands.processes import is_scattering, running, wait_for
from listener import listening
from oldump.errors import ArchiveRefused, StorageFull, VerificationError
from oldump.outside.metrics import Figures, figures_in
from oldump.outside.postgres.copying import ResumableCopy
from oldump.outside.postgres.queries import midnight_after
from oldump.pipeline import runner
from oldump.pipeline.choice import choose
from oldump.pipeline.preflight import PlannedWork, disk_check
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages import tables
from oldump.stages.archive.stage import preflight
from oldump.synth.table import copy_blocks
from reference import dumps_of
from unit.stages.published import publish
from unit.stages.shelf import Shelf, archived, latest

STOP_SECONDS = 30
"""A stopped run that takes longer hangs."""


def row(document: dict[str, object], copy_id: int = 1) -> bytes:
    """Return a document's row as the COPY text that psql writes."""
    return b"%d\t1\t%s\n" % (copy_id, json.dumps(document).replace("\\", "\\\\").encode())


def document(key: str, kind: str = "work", moment: str = "2010-01-01T00:00:00", **more: object) -> dict[str, object]:
    """Return a document with everything that a record needs."""
    required = {"key": key, "type": {"key": f"/type/{kind}"}, "revision": 1}
    return {**required, "last_modified": {"type": "/type/datetime", "value": moment}, **more}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of 500 rows."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"".join(copy_blocks(500)))
    return path


def keys_of(text: bytes) -> list[str]:
    """Return the second column."""
    return [line.split(b"\t")[1].decode() for line in text.splitlines()]


def test_6640_12273_a_source_that_fails_fails_the_run(table: Path, tmp_path: Path) -> None:
    """A source that is empty or ends early never becomes a dump."""
    for line in ("false | gzip -c", f"head -c 20000 {table} | gzip -c | head -c 3000"):
        bash(f"{line} > data.txt.gz", cwd=tmp_path)
        ran = oldump("run", DATE, "--source", "data.txt.gz", "--out", "out", cwd=tmp_path)
        failed(ran, 12 if "head" in line else 14, "data.txt.gz")
        assert final_names(tmp_path) == []
        shutil.rmtree(tmp_path / "out")


def test_6640_12273_a_failing_step_is_not_lost_in_a_pipe(tmp_path: Path) -> None:
    """Each old command fails on empty input, so the last one in a pipe fails even without pipefail."""
    ran = bash(f"set +o pipefail; $OLDUMP cdump gone.txt {DATE} | $OLDUMP sort | $OLDUMP dump", cwd=tmp_path)
    assert ran.code == 14
    assert ran.out == b""


def test_6640_12273_no_published_file_is_20_bytes(table: Path, tmp_path: Path) -> None:
    """A dump or cdump without records is never published, and the manifest counts the records."""
    run(table, tmp_path, cwd=tmp_path)
    manifest = json.loads((item_of(tmp_path) / "manifest.json").read_bytes())
    for name in (f"ol_cdump_{DATE}.txt.gz", name_of(None)):
        assert manifest["artifacts"][name]["records"] > 0


def month(day: str, rows: list[bytes], out: Path, *more: object) -> Ran:
    """Run `oldump run` for a date over these rows, with the gate's default settings."""
    path = out.parent / f"data-{day}.txt"
    path.write_bytes(b"".join(rows))
    line = ("run", day, "--source", path, "--out", out, *more)
    return oldump(*line, cwd=out.parent, env={"OLDUMP_GATE_NEWEST_DAYS": "3"})


@pytest.fixture(scope="module")
def june_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with the good run of June. Only copy it."""
    out = tmp_path_factory.mktemp("june") / "out"
    assert month("2022-06-30", rows_in_writing_order(), out).code == 0
    return out


@pytest.fixture
def june(june_once: Path, tmp_path: Path) -> Path:
    """Return a private copy of the output folder with the good run of June."""
    return shutil.copytree(june_once, tmp_path / "out")


def rows_in_writing_order() -> list[bytes]:
    """Return the rows of a table that is written to every day, in the order of writing."""
    return b"".join(copy_blocks(6_000)).splitlines(keepends=True)


def require_refused(ran: Ran, out: Path, *words: str) -> None:
    """Require that the gate refused the run for these reasons and that nothing of July is published."""
    failed(ran, 41, "not published")
    warnings = [line for line in ran.err.splitlines() if " WARNING gate: " in line]
    assert all(any(word in line for line in warnings) for word in words), warnings
    assert sorted(path.name for path in out.glob("ol_*")) == ["ol_cdump_2022-06-30", "ol_dump_2022-06-30"]


def test_6640_a_dump_of_two_months_ago_is_not_published(june: Path) -> None:
    """Neither old rows under a new date nor June's dump again pass the gate."""
    rows = rows_in_writing_order()
    ended = max(
        place
        for place, row in enumerate(rows)
        if b'"last_modified": {"type": "/type/datetime", "value": "2022-05' in row
    )
    require_refused(month("2022-07-31", rows[: ended + 1], june), june, "newest record: 2022-05-31", "2022-06-30")
    till_june = [row for row in rows if b'"value": "2022-07' not in row and b'"value": "2022-08' not in row]
    again = month("2022-07-31", till_june, june, "--overwrite")
    require_refused(again, june, "cdump: the same", "dump: the same", "newest record")


@pytest.mark.parametrize("half", ["every other row", "the first half"])
def test_4621_4671_6376_half_a_dump_is_not_published(half: str, june: Path) -> None:
    """A run with half of the rows does not pass the gate, whichever half is missing."""
    rows = rows_in_writing_order()
    if half == "every other row":
        require_refused(
            month("2022-07-31", rows[::2], june), june, "cdump, records:", "dump, size_bytes", "records lost"
        )
    else:
        require_refused(month("2022-07-31", rows[: len(rows) // 2], june), june, "newest record", "cdump, records:")


def test_9521_a_tiny_cdump_is_not_published(june: Path) -> None:
    """The newest rows alone do not pass the gate, because the previous run had more records."""
    require_refused(
        month("2022-07-31", rows_in_writing_order()[-160:], june), june, "cdump, records:", "editions, records:"
    )


def test_6348_6349_legacy_keys_dates_and_ids_do_not_leak(tmp_path: Path) -> None:
    """No published file contains a legacy key, a date with a space or an id."""
    legacy = document(
        "/b/OL1M",
        "edition",
        "2008-04-30 20:50:18.033121",
        id=17,
        authors=[{"key": "/a/OL1A"}],
        languages=[{"key": "/l/eng"}],
        created={"type": "/type/datetime", "value": "2008-04-01 03:28:50.625462"},
    )
    run("-", tmp_path, cwd=tmp_path, stdin=row(legacy))
    for name, text in texts(tmp_path).items():
        assert not any(piece in text for piece in (b'"/a/', b'"/b/', b'"/l/', b"2008-04-30 ", b"2008-04-01 ", b'"id"'))
        assert (b"\t/books/OL1M\t1\t2008-04-30T20:50:18.033121\t" in text) == (name in {"cdump", "dump", "editions"})


def test_6825_log_lines_never_appear_among_the_records(table: Path, tmp_path: Path) -> None:
    """Standard output holds only records (cdump) or one path (run); the log goes to standard error."""
    table.write_bytes(table.read_bytes() + b"broken\n" * 3)
    ran = oldump("cdump", table, DATE, cwd=tmp_path)
    assert {line.count(b"\t") for line in ran.out.splitlines()} == {4}
    assert ran.err.count("[openlibrary.dump]") == len(ran.err.splitlines()) > 0
    assert run(table, "out", cwd=tmp_path).out == f"out/ol_dump_{DATE}\n".encode()


def test_9521_a_run_without_records_fails(tmp_path: Path) -> None:
    """Every row is a record, a drop or a reject, and a run without records fails."""
    users = b"".join(row(document(f"/people/user{number}", "user"), number) for number in range(50))
    ran = oldump("run", DATE, "--source", "-", "--out", "out", cwd=tmp_path, stdin=users)
    failed(ran, 14, "became a record", "50 rows", "private_page")
    assert final_names(tmp_path) == []


def test_2369_10702_every_line_has_five_columns(tmp_path: Path) -> None:
    """Control characters in a key or a text never break a line: four tabs, and ASCII JSON."""
    characters = [chr(code) for code in (*range(32), *range(0x7F, 0xA1), 0x2028, 0x2029, 0xFEFF)]
    rows = [row(document(f"/works/a{character}b", title=f"a{character}b")) for character in characters]
    ran = oldump("cdump", "-", cwd=tmp_path, stdin=b"".join(rows))
    assert ran.code == 0, ran.err
    lines = ran.out.split(b"\n")
    assert lines.pop() == b""
    for line, character in zip(lines, characters, strict=True):
        assert line.count(b"\t") == 4
        assert not any(unicodedata.category(each) == "Cc" for each in line.decode().replace("\t", ""))
        assert len(line.decode().splitlines()) == 1
        assert line.split(b"\t")[4].isascii()
        assert json.loads(line.split(b"\t")[4])["title"] == f"a{character}b"


LINES = {
    "reading-log": rb"/works/OL1W	/books/OL1M	Want to Read	2020-01-01",
    "ratings": rb"/works/OL1W	/books/OL1M	5	2020-01-01",
    "wikidata": rb'Q1	2020-01-01	{"id": "Q1"}',
    "covers_metadata": rb"1	200	300	2020-01-01",
    "ia-metadata": rb"citygihistor00ligh	IA1	inlibrary",
}
"""A line of each table."""


class FakeCopy:
    """A fake COPY result."""

    def __init__(self, text: bytes) -> None:
        """Hold this text."""
        self._text = text

    def take(self, _: int) -> bytes:
        """Return everything at the first call, then nothing."""
        text, self._text = self._text, b""
        return text


def table_dump_of(name: str, line: bytes) -> bytes:
    """Return the table dump made from this line of its query."""
    return b"".join(tables.texts(tables.TABLE_OF[name], cast("ResumableCopy", FakeCopy(line + b"\n"))))


@pytest.mark.parametrize("name", ["reading-log", "ratings", "wikidata", "covers_metadata"])
@pytest.mark.parametrize("other", LINES)
def test_5546_swapped_tables_are_detected(name: str, other: str) -> None:
    """Each table dump rejects lines of any other table."""
    if other == name:
        assert table_dump_of(name, LINES[name]) == LINES[name] + b"\n"
        return
    columns = ", ".join(tables.TABLE_OF[name].columns)
    with pytest.raises(VerificationError, match=f"{name}: the database gave a line that is not {columns}: "):
        table_dump_of(name, LINES[other])


@pytest.mark.parametrize("marker", [b"", b"NULL", b"null", b"None"])
def test_12504_another_marker_for_null_is_detected(marker: bytes) -> None:
    r"""NULL is \N in every table dump; any other marker fails the run."""
    for name, line in (("ratings", b"/works/OL1W\t%b\t5\t2020-01-01"), ("covers_metadata", b"1\t%b\t300\t2020-01-01")):
        assert table_dump_of(name, line % rb"\N") == line % rb"\N" + b"\n"
        with pytest.raises(VerificationError, match="the database gave a line that is not "):
            table_dump_of(name, line % marker)


def test_12504_the_manifest_has_a_format_number(table: Path, tmp_path: Path) -> None:
    """The manifest has a format number, so readers can detect a change of format."""
    run(table, tmp_path, cwd=tmp_path)
    assert json.loads((item_of(tmp_path) / "manifest.json").read_bytes())["format"] == 1


def test_11439_the_json_of_wikidata_is_raw_and_last() -> None:
    """`cut -f 3 | jq` can read the JSON, which is neither quoted nor escaped twice."""
    document = {"id": "Q1", "labels": {"en": 'a "b"\n\tc\\d\u2028'}}
    stored = json.dumps(document, ensure_ascii=False).replace("\\", "\\\\").encode()
    text = table_dump_of("wikidata", b"Q1\t2020-01-01\t" + stored)
    assert text.count(b"\t") == 2
    assert json.loads(text.split(b"\t")[2]) == document


def test_5402_one_date_is_in_all_names(table: Path, tmp_path: Path) -> None:
    """The given date is the only one in file names and manifest, whatever the clock says."""
    ran = oldump("run", "2019-02-28", "--source", table, "--out", "out", cwd=tmp_path)
    assert ran.code == 0, ran.err
    names = [path.name for path in (tmp_path / "out").rglob("*")]
    dated = [name for name in names if name.startswith(("ol_", "run-"))]
    assert all("2019-02-28" in name for name in dated)
    manifest = json.loads((tmp_path / "out" / "ol_dump_2019-02-28" / "manifest.json").read_bytes())
    assert (manifest["date"], manifest["cutoff"][:10]) == ("2019-02-28", "2019-02-28")


def test_5402_a_stale_file_with_the_right_name_is_not_used(table: Path, tmp_path: Path) -> None:
    """A run ignores files of an earlier run that its journal does not list."""
    run(table, tmp_path / "fresh", cwd=tmp_path)
    stale = private_of(tmp_path / "out") / "making" / item_of(tmp_path).name
    stale.mkdir(parents=True)
    for part in ("works", "editions"):
        (stale / name_of(part)).write_bytes(gzip.compress(b"stale\n"))
        (stale / f"{name_of(part)}.index").write_bytes(b"stale\n")
    (private_of(tmp_path / "out") / "data.txt.gz").write_bytes(gzip.compress(b"stale\n"))
    run(table, tmp_path / "out", cwd=tmp_path)
    assert published(tmp_path / "out") == published(tmp_path / "fresh")


def test_7369_a_second_run_is_refused(table: Path, tmp_path: Path) -> None:
    """A second run is refused with the first one's process id, until the first one is dead."""
    out = tmp_path / "out"
    with running("run", DATE, "--source", "-", "--out", out, cwd=tmp_path) as first:
        lock = private_of(out) / "lock"
        assert wait_for(lambda: lock.exists() and b"pid" in lock.read_bytes())
        second = oldump("run", DATE, "--source", table, "--out", out, cwd=tmp_path)
        failed(second, 32, f"pid {first.pid} on ")
        first.kill()
        first.wait()
        run(table, out, cwd=tmp_path)


def test_10514_a_stopped_container_loses_nothing(tmp_path: Path) -> None:
    """SIGTERM ends a run promptly without publishing anything, and the next start makes the same files."""
    source = tmp_path / "data.txt"
    source.write_bytes(b"".join(copy_blocks(25_000)))
    out = tmp_path / "out"
    with running("run", DATE, "--source", source, "--out", out, cwd=tmp_path) as process:
        assert wait_for(lambda: is_scattering(out))
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 128 + signal.SIGTERM
    assert not item_of(out).exists()
    run(source, out, cwd=tmp_path)
    run(source, tmp_path / "undisturbed", cwd=tmp_path)
    assert published(out) == published(tmp_path / "undisturbed")


class DiskFiller(NoProgress):
    """An observer that makes the disk full for one file that a later stage writes."""

    def __init__(self, path: Path) -> None:
        """Prepare this temporary file name."""
        self._path = path

    def begin(self, stage: str, step: str) -> None:
        """Link the name to /dev/full."""
        if stage == "splice":
            self._path.symlink_to("/dev/full")


@pytest.mark.parametrize("stage", ["splice", "deworks"])
def test_7393_11333_a_full_disk_loses_nothing_that_was_committed(stage: str, table: Path, tmp_path: Path) -> None:
    """A full disk gives one clear error, and committed stages are not repeated."""
    settings = Settings.of(source=str(table), out=tmp_path / "out", workers=1, gate_newest_days=100_000)
    day, choice = date.fromisoformat(DATE), choose([], [], settings)
    folder = RunFolder(settings.out, day)
    name = name_of(None if stage == "splice" else "deworks")
    full = DiskFiller(folder.made(folder.items[1]) / f"{name}.part")
    with pytest.raises(StorageFull, match="no space left"):
        runner.run(settings, day, choice, full)
    assert not item_of(settings.out).exists()
    ran = run(table, "out", cwd=tmp_path)
    assert "dumps: already committed" in ran.err
    run(table, "undisturbed", cwd=tmp_path)
    assert published(tmp_path / "out") == published(tmp_path / "undisturbed")


def test_7393_11333_free_space_is_checked_first(tmp_path: Path) -> None:
    """A run that does not fit on the disk is refused before it writes, with the missing bytes."""
    folder = RunFolder(tmp_path, date.fromisoformat(DATE))
    work = PlannedWork(folder, [], None, {"cdump"}, 0, 0, 1 << 30, 6, 1)
    check = disk_check(work, {"cdump": 3_000_000_000}, 2_000_000_000)
    assert isinstance(check.error, StorageFull)
    assert "1.0 GB more" in check.hint
    assert disk_check(work, {"cdump": 1_000_000_000}, 2_000_000_000).error is None


def test_5100_6825_7369_a_missing_dump_is_reported(june: Path, tmp_path: Path) -> None:
    """`status --check` fails and names the month whose dump is missing."""
    month = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    for out in (tmp_path / "nothing", june):
        ran = oldump("status", "--out", out, "--check", cwd=tmp_path, env={"OLDUMP_LATE_DAYS": "0"})
        failed(ran, 54, f"{month} is missing: late: not complete 0 days after its date")
        assert f"{month}  missing" in ran.out.decode()
    assert oldump("status", "2022-06-30", "--out", june, "--check", cwd=tmp_path).code == 0


def test_9538_one_command_runs_all_stages(table: Path, tmp_path: Path) -> None:
    """One command goes from rows to checksums, without a shell script around the stages."""
    run(table, tmp_path, cwd=tmp_path)
    assert bash("sha256sum --quiet -c SHA256SUMS && md5sum --quiet -c MD5SUMS", cwd=item_of(tmp_path)).code == 0


def test_a_wrapper_sees_the_exit_code(tmp_path: Path) -> None:
    """A shell such as cron's sees the exit code of the failure."""
    assert bash("$OLDUMP run 2022-02-30", cwd=tmp_path).code == 2
    assert bash("$OLDUMP run --source gone.txt", cwd=tmp_path).code == 11


def test_overwrite_keeps_the_last_good_output(table: Path, tmp_path: Path) -> None:
    """A failed --overwrite leaves the last good output as it was."""
    run(table, tmp_path / "out", cwd=tmp_path)
    good = published(tmp_path / "out")
    failed(oldump("run", DATE, "--source", "-", "--out", "out", "--overwrite", cwd=tmp_path), 14)
    assert published(tmp_path / "out") == good
    few = table.read_bytes().splitlines(keepends=True)[:200]
    ran = oldump("run", DATE, "--source", "-", "--out", "out", "--overwrite", cwd=tmp_path, stdin=b"".join(few))
    failed(ran, 41, "not published")
    assert published(tmp_path / "out") == good


def test_today_buckets_do_not_depend_on_a_salted_hash(table: Path, tmp_path: Path) -> None:
    """Two runs over the same rows give the same bytes, whatever PYTHONHASHSEED is."""
    outs = []
    for seed in ("1", "2"):
        ran = oldump("run", DATE, "--source", table, "--out", seed, cwd=tmp_path, env={"PYTHONHASHSEED": seed})
        assert ran.code == 0, ran.err
        outs.append(published(tmp_path / seed))
    assert outs[0] == outs[1]


def test_today_the_order_does_not_depend_on_the_locale(tmp_path: Path) -> None:
    """The order is the same in every locale, and revisions are sorted as numbers."""
    keys = ["/works/OL10W", "/works/OL9W", "/works/aB", "/works/Ab", "/works/é"]
    rows = [row(document(key)) for key in keys]
    rows += [row({**document("/works/OL1W"), "revision": revision}) for revision in (10, 9, 2)]
    locales = ["C", "C.UTF-8"] + [name for name in ("en_US.UTF-8", "de_DE.UTF-8") if has_locale(name)]
    cdump = oldump("cdump", "-", cwd=tmp_path, stdin=b"".join(rows)).out
    sorted_by_locale = [oldump("sort", cwd=tmp_path, stdin=cdump, env={"LC_ALL": name}).out for name in locales]
    assert len(set(sorted_by_locale)) == 1
    works = [line.split(b"\t")[1:3] for line in sorted_by_locale[0].splitlines() if b"\t/works/OL" in line]
    assert [revision for key, revision in works if key == b"/works/OL1W"] == [b"2", b"9", b"10"]
    assert [key for key, _ in works[3:]] == [b"/works/OL9W", b"/works/OL10W"]
    assert keys_of(sorted_by_locale[0])[-2:] == ["/works/aB", "/works/é"]


def has_locale(name: str) -> bool:
    """Whether this machine has the locale."""
    before = locale.setlocale(locale.LC_COLLATE)
    try:
        locale.setlocale(locale.LC_COLLATE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_COLLATE, before)
    return True


def test_today_redirects_point_to_current_keys(tmp_path: Path) -> None:
    """A redirect's target has a current key prefix, as its own key does."""
    redirect = document("/a/OL1A", "redirect", location="/a/OL2A")
    run("-", tmp_path, cwd=tmp_path, stdin=row(redirect))
    (line,) = texts(tmp_path)["redirects"].splitlines()
    assert json.loads(line.split(b"\t")[4])["location"] == "/authors/OL2A"


def test_today_a_user_is_private_under_any_key(tmp_path: Path) -> None:
    """A document of type user is private under any key; a user's list is public."""
    rows = [
        row(document("/members/me", "user")),
        row(document("/user/me", "page")),
        row(document("/user/me/lists/OL1L", "list")),
        row(document("/works/OL1W", "user")),
        row(document("/works/OL2W")),
    ]
    run("-", tmp_path, cwd=tmp_path, stdin=b"".join(rows))
    assert keys_of(texts(tmp_path)["cdump"]) == ["/people/me/lists/OL1L", "/works/OL2W"]


@pytest.mark.parametrize("member", ["last_modified", "type", "key", "revision"])
def test_today_an_incomplete_document_does_not_fail_the_run(member: str, tmp_path: Path) -> None:
    """A document with a missing member is rejected with a named reason, and the run continues."""
    incomplete = document("/works/OL1W")
    del incomplete[member]
    run("-", tmp_path, cwd=tmp_path, stdin=row(incomplete) + row(document("/works/OL2W")))
    assert keys_of(texts(tmp_path)["cdump"]) == ["/works/OL2W"]
    rejects = gzip.decompress((private_of(tmp_path) / "rejects.txt.gz").read_bytes())
    assert rejects.startswith(f"1\tno_{member}\t".encode())


def test_today_the_first_midnight_of_the_next_day_is_excluded(tmp_path: Path) -> None:
    """The cutoff is exact to the microsecond, with `T` or space and with or without a fraction."""
    moments = {
        "2022-07-31T23:59:59.999999": True,
        "2022-07-31 23:59:59.999999": True,
        "2022-08-01T00:00:00": False,
        "2022-08-01T00:00:00.000000": False,
        "2022-08-01 00:00:00": False,
    }
    rows = [row(document(f"/works/OL{number}W", moment=moment)) for number, moment in enumerate(moments, 1)]
    expected = dumps_of(b"".join(rows), DATE)
    run("-", tmp_path, cwd=tmp_path, stdin=b"".join(rows))
    assert texts(tmp_path)["cdump"] == expected.cdump
    assert keys_of(expected.cdump) == [
        f"/works/OL{number}W" for number, is_in in enumerate(moments.values(), 1) if is_in
    ]


def metrics_in(path: Path) -> Figures:
    """Return the metrics that a run wrote for Prometheus."""
    return figures_in(path.read_text(encoding="utf-8"))


def test_5100_6825_7369_the_time_of_the_last_success_stays_when_no_dump_is_made(table: Path, tmp_path: Path) -> None:
    """Neither a failed nor a partial run updates the time of the last success, so an alert can watch it."""
    metrics = {"OLDUMP_METRICS": str(tmp_path / "oldump.prom")}
    assert oldump("run", "2022-06-30", "--source", table, "--out", "out", cwd=tmp_path, env=metrics).code == 0
    before = metrics_in(tmp_path / "oldump.prom")["oldump_last_success_timestamp_seconds"]
    july = ("run", "2022-07-31", "--out", "out", "--source")
    assert oldump(*july, "gone.txt", cwd=tmp_path, env=metrics).code == 11
    assert oldump(*july, table, "--only", "dumps", cwd=tmp_path, env=metrics).code == 0
    after = metrics_in(tmp_path / "oldump.prom")
    assert after["oldump_last_success_timestamp_seconds"] == before
    assert after["oldump_last_failure_exit_code"] == {"": 11}
    assert after["oldump_last_start_timestamp_seconds"][""] > before[""]


def test_7369_a_killed_run_triggers_the_dead_mans_switch(tmp_path: Path) -> None:
    """A killed run sends a start ping but no end ping, so the dead man's switch fires."""
    (tmp_path / "data.txt").write_bytes(b"".join(copy_blocks(25_000)))
    with listening() as listener:
        settings = {"OLDUMP_PING_URL": f"http://{listener.place}/uuid", "OLDUMP_METRICS": str(tmp_path / "oldump.prom")}
        line = ("run", DATE, "--source", "data.txt", "--out", "out")
        with running(*line, cwd=tmp_path, env=settings) as process:
            assert wait_for(lambda: is_scattering(tmp_path / "out"))
            os.killpg(process.pid, signal.SIGKILL)
        assert listener.paths == ["/uuid/start"]
    assert set(metrics_in(tmp_path / "oldump.prom")) == {"oldump_last_start_timestamp_seconds"}


def test_5100_a_wrapper_sees_the_exit_code_whatever_hooks_do(tmp_path: Path) -> None:
    """Failing hooks, pings or metrics never change the exit code of a failed run."""
    for hook in ("exit 0", "exit 99", "kill -9 $$"):
        settings = f"OLDUMP_ON_FAILURE='{hook}' OLDUMP_PING_URL=none OLDUMP_METRICS=/nowhere/x.prom"
        assert bash(f"{settings} $OLDUMP run {DATE} --source gone.txt; exit $?", cwd=tmp_path).code == 11


def test_today_no_temporary_folder_is_left(table: Path, tmp_path: Path) -> None:
    """A run leaves no temporary file, neither in its own folder nor in TMPDIR."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ran = oldump("run", DATE, "--source", table, "--out", "out", cwd=tmp_path, env={"TMPDIR": str(temporary)})
    assert ran.code == 0, ran.err
    cdump = cdump_of(tmp_path / "out")
    assert oldump("sort", cdump, cwd=tmp_path, env={"TMPDIR": str(temporary)}).code == 0
    assert list(temporary.iterdir()) == []
    kept = ["journal.jsonl", "lock", "run.log", "status.json"]
    assert sorted(path.name for path in private_of(tmp_path / "out").iterdir()) == kept
    assert "HOME" not in environment() or not (Path(os.environ["HOME"]) / "ol_dump").exists()


def test_today_a_duration_does_not_wrap_after_a_day(table: Path, tmp_path: Path) -> None:
    """A stage that took 25 hours is shown with 90,000 seconds."""
    run(table, "out", "--only", "dumps", cwd=tmp_path)
    journal = private_of(tmp_path / "out") / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    lines[-1]["seconds"] = 90_000.25
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    plan = oldump("plan", DATE, "--source", table, "--out", "out", cwd=tmp_path).out.decode()
    assert "committed (90,000 s)" in plan


def test_today_the_databases_cutoff_is_before_the_first_midnight() -> None:
    """Every table query with times excludes the first moment of the next day."""
    assert midnight_after(date(2022, 7, 31)) == "timestamp '2022-08-01'"
    timed = [table for table in tables.TABLES if ":end" in table.query]
    assert {table.name for table in tables.TABLES} - {table.name for table in timed} == {"ia-metadata"}
    assert all(" < :end" in table.query and "<= :end" not in table.query for table in timed)


def test_today_the_archives_items_are_read_in_one_query() -> None:
    """One ordered COPY reads the items; paging would lose or repeat rows."""
    query = tables.TABLE_OF["ia-metadata"].query
    assert "OFFSET" not in query.upper()
    assert "LIMIT" not in query.upper()
    order = query.split("ORDER BY")[1]
    assert all(column in order for column in tables.TABLE_OF["ia-metadata"].columns)


def test_today_deworks_ends_for_large_works(tmp_path: Path) -> None:
    """A work with many editions, authors and archive items becomes one line, and no temporary folder is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    authors = [{"type": {"key": "/type/author_role"}, "author": {"key": f"/authors/OL{n}A"}} for n in range(1, 4)]
    rows = [row(document("/works/OL1W", authors=authors))]
    rows += [row(document(f"/authors/OL{n}A", "author", name=f"{n}")) for n in range(1, 4)]
    rows += [
        row(document(f"/books/OL{n}M", "edition", works=[{"key": "/works/OL1W"}], ocaid=f"item{n}"))
        for n in range(1, 30)
    ]
    run("-", "out", cwd=tmp_path, stdin=b"".join(rows))
    dump = item_of(tmp_path / "out") / name_of(None)
    items = tmp_path / "items.txt"
    items.write_bytes(b"".join(b"item%d\tIA%d\ta;b\n" % (n, n) for n in sorted(range(1, 30), key=str)))
    ran = oldump("deworks", dump, items, cwd=tmp_path, env={"TMPDIR": str(temporary)})
    assert ran.code == 0, ran.err
    (line,) = ran.out.splitlines()
    made = json.loads(line.split(b"\t")[1])
    assert [len(made[name]) for name in ("editions", "authors", "ia")] == [29, 3, 29]
    assert list(temporary.iterdir()) == []


@pytest.fixture
def archive_site() -> Shelf:
    """Return an empty fake archive.org."""
    return Shelf()


def test_9835_10493_latest_links_point_to_existing_files(tmp_path: Path, archive_site: Shelf) -> None:
    """The pointer to the latest dump moves only after every file was read back, even if an upload was killed."""

    def look(place: str) -> None:
        pointed = latest(tmp_path)
        assert pointed is None or (pointed["date"] == "2022-06-30" and archive_site.holds(pointed))
        if place.endswith(f"ol_dump_works_{DATE}.txt.gz"):
            raise Killed

    class Killed(BaseException):
        """An exception that nothing catches."""

    archive_site.slow_looks = 3
    archived(publish(tmp_path, date(2022, 6, 30)), archive_site)
    archive_site.before = look
    folder = publish(tmp_path, roles=("authors", "works"))
    with pytest.raises(Killed):
        archived(folder, archive_site)
    look("")
    archive_site.before = lambda place: None
    archived(folder, archive_site)
    pointed = latest(tmp_path)
    assert pointed is not None
    assert pointed["date"] == DATE
    assert archive_site.holds(pointed)


def test_5930_privileges_on_the_collection_are_checked_before_the_long_work(archive_site: Shelf) -> None:
    """Preflight writes a small item of its own, so a missing privilege is reported before the long work."""

    def refuse(place: str) -> None:
        raise ArchiveRefused(f"{place}: 403 AccessDenied", "Ask for the right.")

    archive_site.before = refuse
    with pytest.raises(ArchiveRefused, match="ol_exports-oldump-check"):
        preflight(archive_site, Settings.of())
    assert archive_site.items == {}
    assert archive_site.looks == 0


@pytest.mark.parametrize("item", [f"ol_cdump_{DATE}", f"ol_dump_{DATE}"])
def test_5931_both_items_are_compared_file_by_file(tmp_path: Path, archive_site: Shelf, item: str) -> None:
    """Every missing or different file of either item is sent again."""
    folder = publish(tmp_path)
    archived(folder, archive_site)
    files = archive_site.items[item]
    missing, different = sorted(files)[:2]
    del files[missing]
    files[different] = files[different]._replace(md5="another")
    archive_site.sent.clear()
    archived(folder, archive_site)
    assert sorted(archive_site.sent) == [f"{item}/{name}" for name in (missing, different)]
