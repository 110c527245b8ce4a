"""Room for texts: as much as is asked for, in the same memory as long as that suffices."""

from oldump.engine.buffer import Buffer


def test_room_is_used_again() -> None:
    """Views share their memory; a larger view gets new memory and leaves the earlier one unchanged."""
    buffer = Buffer()
    first = buffer.view(100)
    first[:] = b"x" * 100
    assert bytes(buffer.view(60)) == b"x" * 60
    assert len(buffer.view(100_000)) == 100_000
    assert bytes(first) == b"x" * 100
    assert len(buffer.view(0)) == 0


def test_room_that_is_known_beforehand_suffices() -> None:
    """Nothing is taken anew."""
    buffer = Buffer(1_000)
    buffer.view(1_000)[:3] = b"abc"
    assert bytes(buffer.view(3)) == b"abc"
