"""The paths of a run: all names contain its date."""

from datetime import date
from pathlib import Path

from oldump.records.record import PARTS
from oldump.run.folder import RunFolder


def test_all_names_contain_the_date(tmp_path: Path) -> None:
    """Items and their files; private files are in the run's own folder."""
    folder = RunFolder(tmp_path, date(2022, 7, 31))
    assert folder.items == ("ol_cdump_2022-07-31", "ol_dump_2022-07-31")
    paths = [folder.cdump, folder.dump, *map(folder.part, PARTS)]
    assert all(path.name.endswith("_2022-07-31.txt.gz") for path in paths)
    private = [folder.journal, folder.lock, folder.log, folder.rejects, folder.data, folder.spill, folder.making]
    assert {path.parent for path in private} == {tmp_path / "run-2022-07-31"}


def test_the_unpublished_item_comes_before_the_published_one(tmp_path: Path) -> None:
    """A new item leaves the published one alone. If neither exists, the path is that of a new one."""
    folder = RunFolder(tmp_path, date(2022, 7, 31))
    made, published = (place(folder.items[0]) for place in (folder.made, folder.published))
    assert folder.cdump_item == made
    published.mkdir()
    assert folder.cdump_item == published
    made.mkdir(parents=True)
    assert folder.cdump_item == made
    assert folder.artifact("x", folder.items[0]) == made / "x"
    assert folder.artifact("x", None) == folder.private / "x"
    assert made.parent == folder.making
