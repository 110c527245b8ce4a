"""Room for texts: as much as is asked for, in the same memory as long as that suffices."""

from oldump.engine.buffer import Buffer


def test_room_is_used_again() -> None:
    """What one text has written, the next one finds; a longer one has room too, and leaves the earlier as it was."""
    room = Buffer()
    first = room.of(100)
    first[:] = b"x" * 100
    assert bytes(room.of(60)) == b"x" * 60
    assert len(room.of(100_000)) == 100_000
    assert bytes(first) == b"x" * 100
    assert len(room.of(0)) == 0


def test_room_that_is_known_beforehand_suffices() -> None:
    """Nothing is taken anew."""
    room = Buffer(1_000)
    room.of(1_000)[:3] = b"abc"
    assert bytes(room.of(3)) == b"abc"
