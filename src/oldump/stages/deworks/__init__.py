"""Denormalized works: one line a work, with everything about it."""
