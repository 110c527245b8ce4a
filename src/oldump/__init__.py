"""Open Library's public data dumps: from the live database to files that anyone may download."""
