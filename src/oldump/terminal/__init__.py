"""What oldump draws on a terminal: live progress and tables."""
