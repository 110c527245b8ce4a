"""Frames of a spill: damage is found. See tests/property/test_shuffle.py too."""

from pathlib import Path

import pytest

from oldump.engine.frames import read_frame
from oldump.errors import StorageError
from unit.engine.spilling import spill_ranks


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_a_flipped_bit_in_the_spill_is_found(tmp_path: Path, bit: int) -> None:
    """At any position, also in text that zstd stores uncompressed: no damaged record is published."""
    (frame, *_) = spill_ranks(tmp_path, [1] * 5)
    spill = tmp_path / "spill-0"
    content = spill.read_bytes()
    batch = read_frame(spill, frame)
    messages: set[str] = set()
    for place in range(int(frame["offset"]), int(frame["offset"] + frame["size_bytes"]), 3):
        spill.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        try:
            found = read_frame(spill, frame)
        except StorageError as error:
            messages.add(str(error).split(" (")[0])
            continue
        assert [*found.lines] == [*batch.lines]  # an unused bit of the frame's header
        assert place < 8
    assert messages == {f"{spill}: the spill is damaged at byte 0"}
