"""A reusable buffer: views of the requested size in the same memory, as long as it is large enough."""

from oldump.engine.buffer import Buffer


def test_memory_is_reused() -> None:
    """Views share their memory; a larger view gets new memory and leaves the earlier one unchanged."""
    buffer = Buffer()
    first = buffer.view(100)
    first[:] = b"x" * 100
    assert bytes(buffer.view(60)) == b"x" * 60
    assert len(buffer.view(100_000)) == 100_000
    assert bytes(first) == b"x" * 100
    assert len(buffer.view(0)) == 0


def test_a_size_given_in_advance_is_allocated_once() -> None:
    """No new memory is allocated."""
    buffer = Buffer(1_000)
    buffer.view(1_000)[:3] = b"abc"
    assert bytes(buffer.view(3)) == b"abc"
