"""The stage and the command that check what a run made, from the files alone."""
