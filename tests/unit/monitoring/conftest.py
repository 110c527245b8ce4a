"""A server that hears what is told."""

from collections.abc import Iterator

import pytest

from listener import Listener, listening


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One that answers 200."""
    with listening() as server:
        yield server
