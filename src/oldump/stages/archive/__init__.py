"""The stage archive: the upload to archive.org, and the pointer to the last run that is there."""
