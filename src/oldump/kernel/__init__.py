"""Loops over single bytes: plain Python that Cython compiles if there is a C compiler."""
