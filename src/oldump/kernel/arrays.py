"""Texts and arrays that are handed about, by what they hold."""

import numpy as np

Digests = np.ndarray[tuple[int], np.dtype[np.uint64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Places = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Positions in a text, or numbers of its lines."""
Ranks = np.ndarray[tuple[int], np.dtype[np.uint64]]
Text = bytes | memoryview
"""Something to look into that nobody changes meanwhile; a memoryview is of single bytes."""
