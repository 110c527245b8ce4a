"""The dumps stage, and the commands of the old procedure: cdump, sort, dump, split, idump."""
