"""Rerun a run: committed files that are still intact are kept, everything else is made again."""

import json
import os
import shutil
from pathlib import Path

import pytest

from commands.command import (
    DATE,
    assert_same_records,
    cdump_of,
    failed,
    final_names,
    item_of,
    made_files,
    name_of,
    oldump,
    private_of,
    published,
    run,
    texts,
)
from commands.stages import stages_run
from oldump.synth.table import copy_blocks
from reference import dumps_of

ARTIFACTS = {
    "cdump": (cdump_of(Path()), "dumps"),
    "a part": (item_of(Path()) / name_of("works"), "dumps"),
    "an index": (item_of(Path()) / (name_of("lists") + ".index"), "dumps"),
    "the dump": (item_of(Path()) / name_of(None), "splice"),
    "deworks": (item_of(Path()) / name_of("deworks"), "deworks"),
}
ALL = ["dumps", "splice", "deworks", "gate", "verify"]
MADE_WITH = {"dumps": ALL, "splice": ["splice", *ALL[3:]], "deworks": ALL[2:]}
"""The stages that run when the key's stage runs again."""
HARMS = [(name, "removed") for name in ARTIFACTS] + [(name, "changed") for name in ARTIFACTS if name != "an index"]


def identities(out: Path) -> dict[str, tuple[int, int]]:
    """Return inode and ctime of every published file."""
    files = [path for item in (cdump_of(out).parent, item_of(out)) for path in item.iterdir()]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def journal_lines(out: Path) -> list[bytes]:
    """Return the lines of the journal."""
    return (private_of(out) / "journal.jsonl").read_bytes().splitlines(keepends=True)


def write_journal(out: Path, lines: list[bytes]) -> None:
    """Replace the journal with one that a crash might have left."""
    (private_of(out) / "journal.jsonl").write_bytes(b"".join(lines))


def damage(path: Path, harm: str) -> None:
    """Delete the file or change its first byte."""
    content = path.read_bytes()
    path.unlink()
    if harm == "changed":
        path.write_bytes(b"\0" + content[1:])


def unpublish(out: Path) -> Path:
    """Turn a complete run into one that was killed just before publication; return the folder of its items."""
    making = private_of(out) / "making"
    making.mkdir()
    for item in (cdump_of(out).parent, item_of(out)):
        item.rename(making / item.name)
    for name in ("manifest.json", "SHA256SUMS", "MD5SUMS"):
        (making / item_of(out).name / name).unlink()
    write_journal(out, journal_lines(out)[:-1])
    return making


def test_a_second_run_does_nothing(small: Path, complete: Path, tmp_path: Path) -> None:
    """The files keep their inodes and times, and no stage starts."""
    before = identities(complete)
    again = run(small, complete, cwd=tmp_path)
    assert identities(complete) == before
    assert stages_run(again.err) == []
    assert "complete" in again.err


@pytest.mark.parametrize(("artifact", "harm"), HARMS)
def test_a_damaged_artifact_is_made_again(
    artifact: str, harm: str, small: Path, complete: Path, tmp_path: Path
) -> None:
    """Before publication, an artifact counts only if its digest matches. Otherwise its stage runs again."""
    whole = published(complete)
    path, stage = ARTIFACTS[artifact]
    damage(unpublish(complete) / path, harm)
    again = run(small, complete, cwd=tmp_path)
    assert stages_run(again.err) == MADE_WITH[stage]
    assert published(complete) == whole


def test_a_damaged_published_file_is_not_repaired_in_place(small: Path, complete: Path, tmp_path: Path) -> None:
    """Readers may use it: the run names the file and changes nothing, unless --overwrite replaces everything."""
    made = made_files(complete)
    for artifact, harm in HARMS:
        path, _ = ARTIFACTS[artifact]
        content = (complete / path).read_bytes()
        damage(complete / path, harm)
        before = identities(complete)
        failed(oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path), 30, path.name.split(".")[0])
        assert identities(complete) == before
        (complete / path).write_bytes(content)
    cdump_of(complete).unlink()
    run(small, complete, "--overwrite", cwd=tmp_path)
    assert made_files(complete) == made


@pytest.mark.parametrize("torn", [1, 20, 300])
def test_a_torn_journal_line_is_ignored(torn: int, small: Path, complete: Path, tmp_path: Path) -> None:
    """A crash during a journal write loses the stage being recorded, and nothing else."""
    whole = published(complete)
    unpublish(complete)
    begun, dumps, splice, deworks, *_ = journal_lines(complete)
    write_journal(complete, [begun, dumps, splice, deworks[:torn]])
    again = run(small, complete, cwd=tmp_path)
    assert stages_run(again.err) == MADE_WITH["deworks"]
    assert published(complete) == whole
    run(small, complete, cwd=tmp_path)


@pytest.mark.parametrize("kept", [1, 2, 3, 4, 5, 6, 7])
def test_a_run_resumes_from_each_line_of_its_journal(kept: int, small: Path, complete: Path, tmp_path: Path) -> None:
    """Killed after any journal line, a run ends with the same files.

    After the last line but one, everything is already published.
    """
    whole = published(complete)
    lines = journal_lines(complete)
    if kept < 6:
        unpublish(complete)
    write_journal(complete, lines[:kept])
    if kept == 1:
        shutil.rmtree(private_of(complete) / "making")
    again = run(small, complete, cwd=tmp_path)
    assert stages_run(again.err) == MADE_WITH["dumps"][kept - 1 :]
    assert published(complete) == whole
    assert not (private_of(complete) / "making").exists()


def test_an_overwrite_killed_early_changes_nothing_published(small: Path, complete: Path, tmp_path: Path) -> None:
    """The resumed run, without --overwrite, makes its items beside the published ones, not in them."""
    before = identities(complete)
    begun = json.loads(journal_lines(complete)[0])
    write_journal(complete, [*journal_lines(complete), json.dumps(begun | {"overwrite": True}).encode() + b"\n"])
    run(small, complete, "--only", "dumps", cwd=tmp_path)
    assert identities(complete) == before
    run(small, complete, cwd=tmp_path)
    assert not (private_of(complete) / "making").exists()


@pytest.mark.parametrize("first", ["cdump", "dump"])
def test_a_run_killed_between_its_two_items_completes(first: str, small: Path, complete: Path, tmp_path: Path) -> None:
    """One item has its final name, the other has not. The next run renames the other and changes nothing else."""
    whole = published(complete)
    item = item_of(complete) if first == "cdump" else cdump_of(complete).parent
    making = private_of(complete) / "making"
    making.mkdir()
    item.rename(making / item.name)
    write_journal(complete, journal_lines(complete)[:-1])
    assert stages_run(run(small, complete, cwd=tmp_path).err) == []
    assert published(complete) == whole


@pytest.mark.parametrize("in_two_steps", [False, True])
def test_a_stage_that_runs_again_invalidates_later_stages(in_two_steps: bool, tmp_path: Path) -> None:
    """Rows from standard input may differ from the last ones, so nothing made from the last ones remains.

    This holds for dump, sums and manifest, even if the run is stopped between the stages.
    """
    first, second = (b"".join(copy_blocks(300, seed=seed)) for seed in (1, 2))
    run("-", tmp_path / "out", cwd=tmp_path, stdin=first)
    (unpublish(tmp_path / "out") / cdump_of(Path())).unlink()
    if in_two_steps:
        ran = run("-", "out", "--only", "dumps", cwd=tmp_path, stdin=second)
        assert "not complete: missing splice" in ran.err
        assert ran.out == b""
        run("-", "out", cwd=tmp_path)
    else:
        run("-", "out", cwd=tmp_path, stdin=second)
    assert_same_records(texts(tmp_path / "out")["cdump"], dumps_of(second, DATE).cdump)
    run("-", "fresh", cwd=tmp_path, stdin=second)
    assert published(tmp_path / "out") == published(tmp_path / "fresh")


def test_another_source_is_refused(small: Path, complete: Path, tmp_path: Path) -> None:
    """A run is made from one source. Another file, or the same file changed, is refused by name."""
    whole = published(complete)
    other = tmp_path / "other.txt"
    other.write_bytes(small.read_bytes())
    ran = oldump("run", DATE, "--source", other, "--out", complete, cwd=tmp_path)
    failed(ran, 2, "data.txt", "other.txt", "--overwrite")
    changed = tmp_path / "data.txt"
    shutil.copy2(small, changed)
    os.utime(changed, (1, 1))
    failed(oldump("run", DATE, "--source", changed, "--out", complete, cwd=tmp_path), 2, "--overwrite")
    assert published(complete) == whole


def test_items_without_a_journal_are_not_changed(small: Path, complete: Path, tmp_path: Path) -> None:
    """Their origin is unknown, so only --overwrite replaces them."""
    whole = identities(complete)
    shutil.rmtree(private_of(complete))
    failed(oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path), 2, "--overwrite")
    assert identities(complete) == whole
    run(small, complete, "--overwrite", cwd=tmp_path)
    assert not set(identities(complete).values()) & set(whole.values())


def test_overwrite_replaces_the_old_item(small: Path, complete: Path, tmp_path: Path) -> None:
    """From another source, the new files are those of a fresh run, and no old file remains."""
    other = tmp_path / "other.txt"
    other.write_bytes(b"".join(copy_blocks(400, seed=3)))
    run(other, complete, "--overwrite", "--override-gate", "another table", cwd=tmp_path)
    run(other, tmp_path / "fresh", cwd=tmp_path)
    assert made_files(complete) == made_files(tmp_path / "fresh")
    assert sorted(path.name for path in complete.iterdir()) == [
        "history.jsonl",
        cdump_of(tmp_path).parent.name,
        item_of(tmp_path).name,
        private_of(tmp_path).name,
    ]
    assert not (private_of(complete) / "replaced").exists()


def test_overwrite_keeps_the_old_item_until_the_new_one_is_complete(
    small: Path, complete: Path, tmp_path: Path
) -> None:
    """A new run that fails leaves every old file in place and unchanged."""
    before = identities(complete)
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"no row\n" * 20 + small.read_bytes())
    options = ("--source", broken, "--out", complete, "--max-rejects", 10)
    failed(oldump("run", DATE, *options, "--overwrite", cwd=tmp_path), 21)
    assert identities(complete) == before
    failed(oldump("run", DATE, *options, cwd=tmp_path), 21)
    assert identities(complete) == before


def test_overwrite_killed_at_once_still_replaces(small: Path, complete: Path, tmp_path: Path) -> None:
    """Only the journal was restarted: the next run makes everything and replaces the old item."""
    other = tmp_path / "other.txt"
    other.write_bytes(b"".join(copy_blocks(400, seed=3)))
    run(other, tmp_path / "fresh", cwd=tmp_path)
    before = identities(complete)
    begun = json.loads(journal_lines(tmp_path / "fresh")[0])
    write_journal(complete, [*journal_lines(complete), json.dumps({**begun, "overwrite": True}).encode() + b"\n"])
    broken = oldump("run", DATE, "--source", other, "--out", complete, "--only", "splice", cwd=tmp_path)
    failed(broken, 2, "dumps")
    assert identities(complete) == before
    run(other, complete, "--override-gate", "another table", cwd=tmp_path)
    assert made_files(complete) == made_files(tmp_path / "fresh")


def test_overwrite_after_a_kill_in_the_exchange_keeps_the_old_items(
    small: Path, complete: Path, tmp_path: Path
) -> None:
    """Both items were moved aside, none was in place: they are published again, and the gate compares with them."""
    before = published(complete)
    replaced, making = private_of(complete) / "replaced", private_of(complete) / "making"
    for item in (cdump_of(complete).parent, item_of(complete)):
        shutil.copytree(item, making / item.name)
        (replaced / item.name).parent.mkdir(exist_ok=True)
        item.rename(replaced / item.name)
    (tmp_path / "bad.txt").write_bytes(b"broken\n")
    options = ("--source", "bad.txt", "--out", complete, "--max-rejects", "0")
    failed(oldump("run", DATE, *options, "--overwrite", cwd=tmp_path), 21)
    assert published(complete) == before
    ran = run(small, complete, "--overwrite", cwd=tmp_path)
    assert f"gate: compared with {item_of(complete)}" in ran.err


def test_a_failed_overwrite_is_not_resumed_from_another_source(small: Path, complete: Path, tmp_path: Path) -> None:
    """Permission to overwrite holds for one source only: the complete dump stays in place."""
    before = identities(complete)
    broken, other = tmp_path / "broken.txt", tmp_path / "other.txt"
    broken.write_bytes(b"no row\n" * 20)
    other.write_bytes(b"".join(copy_blocks(400, seed=3)))
    failed(oldump("run", DATE, "--source", broken, "--out", complete, "--overwrite", cwd=tmp_path), 14)
    failed(oldump("run", DATE, "--source", other, "--out", complete, cwd=tmp_path), 2, "broken.txt", "--overwrite")
    assert identities(complete) == before


def test_a_failed_first_try_does_not_permit_overwriting(small: Path, complete: Path, tmp_path: Path) -> None:
    """An item of another run stays, however often a run without --overwrite is repeated."""
    before = identities(complete)
    shutil.rmtree(private_of(complete))
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"no row\n" * 20)
    for _ in range(2):
        failed(oldump("run", DATE, "--source", broken, "--out", complete, cwd=tmp_path), 2, "--overwrite")
        failed(oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path), 2, "--overwrite")
    assert identities(complete) == before


def test_an_item_that_appears_during_a_run_is_not_replaced(small: Path, complete: Path, tmp_path: Path) -> None:
    """A run with committed stages finds an item under its own name. Another run made it, so it stays."""
    out = tmp_path / "other"
    run(small, out, "--only", "dumps", cwd=tmp_path)
    shutil.copytree(item_of(complete), item_of(out))
    failed(oldump("run", DATE, "--source", small, "--out", out, cwd=tmp_path), 2, item_of(out).name, "--overwrite")
    shutil.rmtree(item_of(out))
    run(small, out, cwd=tmp_path)
    assert published(out) == published(complete)


def test_stages_can_be_run_one_by_one(small: Path, tmp_path: Path) -> None:
    """--only and --skip select stages; the items appear when the last stage is committed."""
    run(small, tmp_path / "whole", cwd=tmp_path)
    out = tmp_path / "out"
    run(small, out, "--skip", "splice", cwd=tmp_path)
    assert sorted(path.name for path in out.iterdir()) == [private_of(out).name]
    run(small, out, "--only", "splice", cwd=tmp_path)
    assert sorted(path.name for path in out.iterdir()) == [private_of(out).name]
    run(small, out, "--only", "gate", "--only", "verify", cwd=tmp_path)
    assert published(out) == published(tmp_path / "whole")


def test_a_stage_without_its_inputs_is_refused(small: Path, tmp_path: Path) -> None:
    """The error names the missing stage. For an unknown stage it lists the known ones."""
    ran = oldump("run", DATE, "--source", small, "--out", "o", "--only", "splice", cwd=tmp_path)
    failed(ran, 2, "splice needs the output of dumps")
    ran = oldump("run", DATE, "--source", small, "--out", "o", "--skip", "splcie", cwd=tmp_path)
    failed(ran, 2, "'splcie' is not a stage", "wikidata, extract, dumps, splice")
    assert final_names(tmp_path) == []


def test_plan_shows_what_is_committed(small: Path, tmp_path: Path) -> None:
    """`oldump plan` lists the stages before a run, between its stages and after it."""

    def states() -> dict[str, str]:
        ran = oldump("plan", DATE, "--source", small, "--out", "o", cwd=tmp_path)
        assert ran.code == 0, ran.err
        rows = [line.split("  ") for line in ran.out.decode().splitlines()[1:]]
        return {row[0]: row[-1].strip() for row in rows}

    read_databases = ("reading-log", "ratings", "wikidata", "extract", "covers_metadata", "ia-metadata")
    assert states() == {
        **dict.fromkeys(read_databases, "not needed: the source is a file"),
        "archive": "not requested: --archive",
        "sitemaps": "not requested: --sitemaps",
        "dumps": "to be run",
        "splice": "to be run",
        "deworks": "to be run",
        "gate": "to be run",
        "verify": "to be run",
    }
    run(small, "o", "--only", "dumps", cwd=tmp_path)
    assert (states()["dumps"][:9], states()["splice"]) == ("committed", "to be run")
    run(small, "o", cwd=tmp_path)
    assert states()["splice"].startswith("committed")


def test_the_lock_file_and_the_log_remain_after_the_run(small: Path, tmp_path: Path) -> None:
    """The lock file stays where a second run looks for it, and the log holds both runs."""
    for _ in range(2):
        run(small, tmp_path, cwd=tmp_path)
    assert (private_of(tmp_path) / "lock").read_bytes() == b""
    lines = (private_of(tmp_path) / "run.log").read_text(encoding="utf-8").splitlines()
    assert [line.partition(" INFO ")[2].partition(":")[0] for line in lines][-2:] == [
        "complete",
        "already complete",
    ]
    assert all("[openlibrary.dump]" in line for line in lines)


def test_the_journal_agrees_with_the_manifest(small: Path, complete: Path, tmp_path: Path) -> None:
    """Both describe the same artifacts: everything published was committed."""
    entries = [json.loads(line) for line in journal_lines(complete)]
    assert [entry["event"] for entry in entries] == ["begun", *["committed"] * 5, "published"]
    committed = {each.pop("name"): each for entry in entries[1:6] for each in entry["artifacts"]}
    assert committed == json.loads((item_of(complete) / "manifest.json").read_bytes())["artifacts"]


# --only and --skip


def test_a_damaged_file_of_an_omitted_stage_is_not_used(small: Path, complete: Path, tmp_path: Path) -> None:
    """It is neither read nor published although its stage is not selected: an artifact counts only with its digest."""
    out = tmp_path / "other"
    run(small, out, "--only", "dumps", cwd=tmp_path)
    making = private_of(out) / "making"
    for path in (cdump_of(making), item_of(making) / name_of("works")):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        line = ("run", DATE, "--source", small, "--out", out, "--only", "splice", "--only", "deworks")
        failed(oldump(*line, cwd=tmp_path), 30, "files of dumps changed since they were committed", "--only")
        assert not item_of(out).exists()
        path.write_bytes(content)
    run(small, out, cwd=tmp_path)
    assert published(out) == published(complete)


def test_a_skipped_artifact_is_not_published(small: Path, tmp_path: Path) -> None:
    """Even if it was made before, the run is complete without it, as if it had never existed."""
    out = tmp_path / "out"
    run(small, out, "--skip", "splice", cwd=tmp_path)
    assert (item_of(private_of(out) / "making") / name_of("deworks")).exists()
    run(small, out, "--skip", "deworks", cwd=tmp_path)
    run(small, tmp_path / "never", "--skip", "deworks", cwd=tmp_path)
    assert published(out) == published(tmp_path / "never")
    assert stages_run(run(small, out, "--skip", "deworks", cwd=tmp_path).err) == []
    failed(oldump("run", DATE, "--source", small, "--out", out, cwd=tmp_path), 2, "without deworks", "--skip deworks")


def test_a_selection_without_stages_is_refused(small: Path, tmp_path: Path) -> None:
    """A run that would make nothing fails; plan and doctor refuse the selection too."""
    for command in ("run", "plan", "doctor"):
        line = (command, DATE, "--source", small, "--out", "o")
        failed(oldump(*line, "--only", "ratings", cwd=tmp_path), 2, "ratings", "from a file")
        failed(oldump(*line, "--only", "splice", "--skip", "splice", cwd=tmp_path), 2, "leave nothing to run")
    for more in ((), ("--dry-run",)):
        again = ("run", DATE, "--source", small, "--out", "o", "--overwrite", "--only", "dumps", *more)
        failed(oldump(*again, cwd=tmp_path), 2, "--overwrite reruns all stages")


def test_another_database_may_be_named_before_it_is_read(small: Path, tmp_path: Path) -> None:
    """A run started without coverstore can resume with one, here until the unreachable server is reported."""
    run(small, "o", "--only", "dumps", cwd=tmp_path)
    line = ("run", DATE, "--source", small, "--out", "o", "--coverstore", "host=127.0.0.1 port=1")
    failed(oldump(*line, cwd=tmp_path), 13, "port=1")
    run(small, "o", cwd=tmp_path)
