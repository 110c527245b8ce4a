"""Type aliases of texts and arrays, named for their content."""

import numpy as np

Digests = np.ndarray[tuple[int], np.dtype[np.uint64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Places = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Positions in a text, or numbers of its lines."""
Ranks = np.ndarray[tuple[int], np.dtype[np.uint64]]
Text = bytes | memoryview
"""A text that does not change while it is read. A memoryview has bytes as items."""
