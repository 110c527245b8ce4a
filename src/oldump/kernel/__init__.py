"""Loops over single bytes: plain Python, which Cython compiles where there is a C compiler."""
