"""The stage archive: the upload to archive.org, and the pointer to the latest archived run."""
