"""Loops over the bytes of many lines, of which a run's speed depends: written to be compiled, right without."""
