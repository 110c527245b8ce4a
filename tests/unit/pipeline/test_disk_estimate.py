"""The disk estimate: what each artifact adds, and what is not known."""

from oldump.outside.postgres.examination import TableSize
from oldump.pipeline.disk_estimate import bytes_for, estimate_bytes, split_off_spill

DATA = {"data": TableSize(80_000_000_000, 100_000_000_000, 192_000_000)}
ALL = {"data", "cdump", "works", "dump", "deworks"}


def test_committed_artifacts_need_no_space() -> None:
    """Only what is still to be written counts."""
    assert estimate_bytes({"cdump", "works", "dump"}, 1_000, {}, 6) == {
        "spill": 250,
        "cdump": 140,
        "parts": 80,
        "dump": 80,
    }
    assert estimate_bytes({"dump"}, 1_000, {}, 6) == {"dump": 80}
    assert estimate_bytes({"deworks"}, 1_000, {}, 6) == {"spill": 250, "deworks": 90}
    assert estimate_bytes(set(), 1_000, DATA, 6) == {}


def test_a_low_level_makes_larger_files() -> None:
    """The level applies to what is published, not to data.txt.gz and the spill."""
    assert estimate_bytes(ALL, 1_000, {}, 5) == {
        "data": 300,
        "spill": 250,
        "cdump": 224,
        "parts": 128,
        "dump": 128,
        "deworks": 144,
    }


def test_table_dumps_are_estimated_from_their_tables() -> None:
    """All tables that a stage reads count. If the size of one is unknown, as for a view, so is the estimate."""
    sizes = {"bookshelves_books": TableSize(900, 1_000, None), "bookshelves": TableSize(0, 0, None), **DATA}
    assert estimate_bytes({"reading-log"}, None, sizes, 6) == {"tables": 150}
    assert estimate_bytes({"reading-log", "ratings"}, None, sizes, 6) is None
    assert estimate_bytes({"ratings"}, 1_000, {}, 6) is None


def test_a_known_text_size_is_preferred() -> None:
    """The journal has it once table data is extracted; before, the size of the table stands in for it."""
    assert estimate_bytes({"dump"}, 1_000, DATA, 6) == {"dump": 80}
    assert estimate_bytes({"dump"}, None, DATA, 6) == {"dump": 8_000_000_000}
    assert estimate_bytes({"dump"}, None, {}, 6) is None


def test_each_stage_needs_its_share_of_the_estimate() -> None:
    """The spill of two stages counts once; a file without an estimate counts nothing."""
    estimate = {"tables": 1, "data": 2, "spill": 4, "cdump": 8, "parts": 16, "dump": 32, "deworks": 64}
    assert bytes_for({"ratings", "wikidata"}, estimate) == 1
    assert bytes_for({"data"}, estimate) == 2
    assert bytes_for({"cdump", "works", "dump", "deworks"}, estimate) == 124
    assert bytes_for({"dump", "deworks"}, estimate) == 100
    assert bytes_for({"deworks"}, {}) == 0


def test_the_spill_can_be_split_off() -> None:
    """It may be on another disk. An unknown estimate stays unknown."""
    assert split_off_spill({"spill": 4, "cdump": 8}) == ({"cdump": 8}, {"spill": 4})
    assert split_off_spill(None) == (None, None)
