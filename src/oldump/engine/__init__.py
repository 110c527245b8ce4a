"""Mechanisms that know no document: segments, shuffle, workers, commit."""
