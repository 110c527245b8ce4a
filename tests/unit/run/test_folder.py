"""Where a run's files lie: one date names them all."""

from datetime import date
from pathlib import Path

from oldump.records.record import PARTS
from oldump.run.folder import RunFolder


def test_all_names_come_from_the_one_date(tmp_path: Path) -> None:
    """Items and what is in them; private files lie in the run's own folder."""
    folder = RunFolder(tmp_path, date(2022, 7, 31))
    assert folder.items == ("ol_cdump_2022-07-31", "ol_dump_2022-07-31")
    paths = [folder.cdump, folder.dump, *map(folder.part, PARTS)]
    assert all(path.name.endswith("_2022-07-31.txt.gz") for path in paths)
    private = [folder.journal, folder.lock, folder.log, folder.rejects, folder.data, folder.spill, folder.making]
    assert {path.parent for path in private} == {tmp_path / "run-2022-07-31"}


def test_an_item_is_where_it_is_made_until_it_is_published(tmp_path: Path) -> None:
    """While a new one is made, the old one is not touched; without either, it is to be made."""
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
