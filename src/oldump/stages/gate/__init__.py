"""Stage gate: compares a run with the last complete one before it may be published."""
