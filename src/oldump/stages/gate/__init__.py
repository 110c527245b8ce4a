"""Stage gate: a run is compared with the last complete one before it may be published."""
