"""Publish two months: the second needs to match what the first lets the gate expect, or a reason to override."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands.command import Ran, failed, oldump
from commands.stages import stages_run
from oldump.settings import Settings
from oldump.synth.table import copy_blocks

JUNE, JULY = "2022-06-30", "2022-07-31"
DEFAULTS = {"OLDUMP_GATE_NEWEST_DAYS": "3"}
"""commands.command sets another value."""
ROWS = 6_000
MODIFIED_IN_MAY = b'"last_modified": {"type": "/type/datetime", "value": "2022-05'


@pytest.fixture(scope="module")
def rows() -> list[bytes]:
    """The rows of a table with revisions until August, in write order."""
    return b"".join(copy_blocks(ROWS)).splitlines(keepends=True)


@pytest.fixture(scope="module")
def source(rows: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table in a file."""
    return written(tmp_path_factory.mktemp("source"), rows)


@pytest.fixture(scope="module")
def june_once(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the run of June. Copy it before use."""
    out = tmp_path_factory.mktemp("june")
    ran = run(JUNE, source, out)
    assert ran.code == 0, ran.err
    return out


@pytest.fixture
def june(june_once: Path, tmp_path: Path) -> Path:
    """The test's own output folder with the run of June."""
    return shutil.copytree(june_once, tmp_path / "out")


def written(folder: Path, rows: list[bytes]) -> Path:
    """Write these rows to a file and return its path."""
    path = folder / "data.txt"
    path.write_bytes(b"".join(rows))
    return path


def run(day: str, source: Path, out: Path, *more: object, **env: str) -> Ran:
    """Run `oldump run` with the default gate."""
    line = ("run", day, "--source", source, "--out", out, *more)
    return oldump(*line, cwd=source.parent, env={**DEFAULTS, **env})


def manifest_of(out: Path, day: str) -> dict[str, Any]:
    """Return the manifest of a complete run."""
    manifest = json.loads((out / f"ol_dump_{day}" / "manifest.json").read_bytes())
    assert isinstance(manifest, dict)
    return manifest


def gate_of(out: Path, day: str) -> dict[str, Any]:
    """Return the manifest's gate results."""
    gate = manifest_of(out, day)["gate"]
    assert isinstance(gate, dict)
    return gate


def reasons(ran: Ran) -> list[str]:
    """Return the log's reasons against publication, up to the colon."""
    return [line.split("gate: ")[1].split(":")[0] for line in ran.err.splitlines() if " WARNING gate: " in line]


def is_published(out: Path, day: str = JULY) -> bool:
    """Whether either item has its final name."""
    return any((out / f"{item}_{day}").exists() for item in ("ol_cdump", "ol_dump"))


def records_of(out: Path, day: str) -> dict[bytes, bytes]:
    """Return the records of the dump by key."""
    text = gzip.decompress((out / f"ol_dump_{day}" / f"ol_dump_{day}.txt.gz").read_bytes())
    return {line.split(b"\t")[1]: line for line in text.split(b"\n")[:-1]}


def test_a_first_run_has_counts_but_no_comparison(june_once: Path) -> None:
    """The counts of members with values agree with a recount of the dump's documents."""
    gate = gate_of(june_once, JUNE)
    assert (gate["compared_with"], gate["changes"], gate["findings"]) == (None, None, [])
    assert (gate["warnings"], gate["override"]) == ([], None)
    documents = [line.split(b"\t") for line in records_of(june_once, JUNE).values()]
    for part, kind in (("editions", b"/type/edition"), ("works", b"/type/work"), ("authors", b"/type/author")):
        texts = [json.loads(text) for type_key, _, _, _, text in documents if type_key == kind]
        assert gate["filled"][part] == {
            name: sum(bool(document.get(name)) for document in texts) for name in gate["filled"][part]
        }
    assert 0 < gate["filled"]["editions"]["ocaid"] < gate["filled"]["editions"]["title"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_normal_month_passes(june: Path, source: Path, workers: int) -> None:
    """The changes in the manifest agree with a comparison of two dictionaries."""
    ran = run(JULY, source, june, "--workers", workers)
    assert ran.code == 0, ran.err
    before, now = records_of(june, JUNE), records_of(june, JULY)
    same = sum(now.get(key) == line for key, line in before.items())
    gate = gate_of(june, JULY)
    assert gate["compared_with"] == JUNE
    assert gate["changes"] == {
        "same": same,
        "changed": len(before) - same,
        "older": 0,
        "new": len(now) - len(before),
        "gone": 0,
    }
    assert len(now) > len(before) > same
    assert (gate["findings"], gate["warnings"]) == ([], [])
    journal = (june / f"run-{JULY}" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("counts") for line in journal if '"stage": "gate"' in line] == [gate]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_source_with_every_row_twice_is_not_published(
    is_first: bool, june: Path, rows: list[bytes], tmp_path: Path
) -> None:
    """Neither as the first run nor after a good one."""
    out = tmp_path / "first" if is_first else june
    ran = run(JULY, written(tmp_path, rows * 2), out)
    failed(ran, 41, "not published", "records with the same key and revision")
    assert not is_published(out)


def test_half_a_dump_is_not_published(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """The log has each reason; the June run is unchanged, and the July run can resume."""
    before = records_of(june, JUNE)
    half = written(tmp_path, rows[::2])
    for stages in (["dumps", "splice", "deworks", "gate"], ["gate"]):
        ran = run(JULY, half, june)
        failed(ran, 41, "not published", "--override-gate REASON", "--overwrite", str(june / f"run-{JULY}"))
        assert {"cdump, records", "dump, records", "editions, records", "dump, records lost"} <= set(reasons(ran))
        assert stages_run(ran.err) == stages
        assert not is_published(june)
    assert records_of(june, JUNE) == before


def test_a_reason_overrides_the_gate_and_is_kept(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """Nothing is made again. Journal and manifest keep the reason beside the findings that it overrides."""
    half = written(tmp_path, rows[::2])
    assert run(JULY, half, june).code == 41
    ran = run(JULY, half, june, "--override-gate", "half of it was spam")
    assert ran.code == 0, ran.err
    assert stages_run(ran.err) == ["gate", "verify"]
    assert "half of it was spam" in ran.err
    gate = gate_of(june, JULY)
    assert gate["override"] == "half of it was spam"
    found = {(each["rule"], each["about"]) for each in gate["findings"]}
    assert {("records", "dump, records"), ("bytes", "dump, size_bytes"), ("lost", "dump, records lost")} <= found
    assert "half of it was spam" in (june / f"run-{JULY}" / "journal.jsonl").read_text(encoding="utf-8")


def test_an_empty_reason_is_refused(source: Path, tmp_path: Path) -> None:
    """It is refused before anything is made."""
    failed(run(JULY, source, tmp_path / "out", "--override-gate", " "), 2, "--override-gate needs a reason")
    assert not (tmp_path / "out").exists()


def test_an_unneeded_reason_is_not_kept(june: Path, source: Path) -> None:
    """The manifest does not claim that a finding was overridden."""
    assert run(JULY, source, june, "--override-gate", "just in case").code == 0
    assert gate_of(june, JULY)["override"] is None


def test_a_reason_is_for_one_set_of_artifacts(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """When artifacts are made again, the gate checks them again: its earlier result is invalidated."""
    half = written(tmp_path, rows[::2])
    assert run(JULY, half, june, "--override-gate", "half of it was spam").code == 0
    making = june / f"run-{JULY}" / "making"
    making.mkdir()
    for item in (f"ol_cdump_{JULY}", f"ol_dump_{JULY}"):
        (june / item).rename(making / item)
    journal = june / f"run-{JULY}" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    (making / f"ol_dump_{JULY}" / f"ol_dump_{JULY}.txt.gz").unlink()
    ran = run(JULY, half, june)
    failed(ran, 41, "not published")
    assert stages_run(ran.err) == ["splice", "gate"]
    assert not is_published(june)


def test_old_rows_are_not_published(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """The table of May under July's date is refused for its newest record and for the records lost since June."""
    end = max(place for place, row in enumerate(rows) if MODIFIED_IN_MAY in row)
    old = written(tmp_path, rows[: end + 1])
    ran = run(JULY, old, june)
    failed(ran, 41, "cdump, newest record", "not published")
    assert reasons(ran).count("cdump, newest record") == 2
    first = run(JULY, old, tmp_path / "first")
    failed(first, 41, "there is no earlier run", "more than 3 days before the cutoff, 2022-07-31")


def test_the_same_content_under_another_date_is_not_published(june: Path, source: Path, tmp_path: Path) -> None:
    """Even if its newest record is recent enough."""
    rows = [row for row in source.read_bytes().splitlines(keepends=True) if not newer_than_june(row)]
    ran = run("2022-07-02", written(tmp_path, rows), june)
    failed(ran, 41, "cdump: the same", "lines as on 2022-06-30")
    assert reasons(ran) == ["cdump", "dump"]


def newer_than_june(row: bytes) -> bool:
    """Whether the row is from July or August."""
    return any(month in row for month in (b'"value": "2022-07', b'"value": "2022-08'))


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_without_the_previous_files_the_manifest_suffices(
    harm: str, june: Path, source: Path, rows: list[bytes], tmp_path: Path
) -> None:
    """The manifest is enough to find a loss. The log says that changed records cannot be compared."""
    path = june / f"ol_dump_{JUNE}" / f"ol_dump_works_{JUNE}.txt.gz"
    if harm == "gone":
        for each in path.parent.glob("*.txt.gz*"):
            each.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    ran = run(JULY, written(tmp_path, rows[::2]), june)
    failed(ran, 41)
    assert {"cdump, records", "editions, records"} <= set(reasons(ran))
    assert "dump, records lost" not in reasons(ran)
    shutil.rmtree(june / f"run-{JULY}")
    ran = run(JULY, source, june)
    assert ran.code == 0, ran.err
    (warning,) = gate_of(june, JULY)["warnings"]
    assert "records changed since 2022-06-30 are not counted" in warning
    assert gate_of(june, JULY)["changes"] is None


def test_a_previous_manifest_without_counts_suffices(june: Path, source: Path) -> None:
    """An earlier version wrote it: counts and sizes are compared, and the log says what is not."""
    path = june / f"ol_dump_{JUNE}" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["gate"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    ran = run(JULY, source, june)
    assert ran.code == 0, ran.err
    assert "no counts of members with values" in gate_of(june, JULY)["warnings"][0]


def test_a_member_that_lost_its_values_is_found(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """All records exist, and as many bytes as before; only the titles are gone."""
    renamed = [row.replace(b'"title": "', b'"tilte": "') for row in rows]
    ran = run(JULY, written(tmp_path, renamed), june)
    failed(ran, 41)
    assert {"editions, documents with title", "works, documents with title", "dump, records changed"} == set(
        reasons(ran)
    )


def test_a_newly_skipped_artifact_gives_a_warning(june: Path, source: Path) -> None:
    """Skipping by name is the operator's choice."""
    ran = run(JULY, source, june, "--skip", "deworks")
    assert ran.code == 0, ran.err
    (warning,) = gate_of(june, JULY)["warnings"]
    assert warning.startswith("deworks: the run of 2022-06-30 has it")


def test_overwrite_is_compared_with_what_it_replaces(
    june: Path, source: Path, rows: list[bytes], tmp_path: Path
) -> None:
    """Without an earlier run, half of the data does not replace the whole, but equal data does."""
    before = records_of(june, JUNE)
    half = written(tmp_path, rows[::2])
    failed(run(JUNE, half, june, "--overwrite"), 41, f"compared with {june / f'ol_dump_{JUNE}'}")
    assert records_of(june, JUNE) == before
    ran = run(JUNE, source, june, "--overwrite")
    assert ran.code == 0, ran.err
    assert gate_of(june, JUNE)["compared_with"] == JUNE
    assert records_of(june, JUNE) == before


def test_thresholds_are_settings(june: Path, rows: list[bytes], tmp_path: Path) -> None:
    """An operator who expects a loss can allow it beforehand; a share is a number from 0 to 1."""
    half = written(tmp_path, rows[::2])
    shares = ("RECORDS_FALL", "CDUMP_FALL", "BYTES_FALL", "FILL_FALL", "LOST", "CHANGED")
    ran = run(JULY, half, june, **{f"OLDUMP_GATE_{share}": "1" for share in shares})
    assert [each for each in reasons(ran) if "newest" not in each] == []
    wrong = run(JULY, half, june, OLDUMP_GATE_LOST="2")
    failed(wrong, 2, "gate_lost", "OLDUMP_GATE_LOST or oldump.toml")
    assert "--gate-lost" not in wrong.err


def test_the_plan_has_the_gate(june: Path, source: Path) -> None:
    """It comes after everything that it checks."""
    ran = oldump("plan", JULY, "--source", source, "--out", june, cwd=june)
    names = [line.split()[0] for line in ran.out.decode().splitlines()]
    gate = names.index("gate")
    assert names[gate + 1 : gate + 4] == ["verify", "archive", "sitemaps"]
    assert "  to be run" in ran.out.decode().splitlines()[gate]


def test_the_demo_needs_no_reason(tmp_path: Path) -> None:
    """Even with few rows, synth writes one from July's last days."""
    for rows in (200, 500, 1_000, 2_900, 5_000):
        path = written(tmp_path, list(copy_blocks(rows)))
        ran = run(JULY, path, tmp_path / str(rows))
        assert ran.code == 0, ran.err


def test_every_setting_of_the_gate_has_an_effect() -> None:
    """No setting is read and then ignored."""
    source = (Path(__file__).parents[2] / "src/oldump/stages/gate/rules.py").read_text(encoding="utf-8")
    names = [name for name in Settings.model_fields if name.startswith("gate_")]
    assert len(names) == 9
    assert [name for name in names if f"settings.{name}" not in source] == []
