"""The place at which an integration test breaks a connection that copies a table."""

MID_COPY_BYTES = 700_000
"""Bytes after which a copying connection is in the middle of a range and has passed on part of it."""
