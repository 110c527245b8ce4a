"""One run: its folder, journal, manifest and status."""
