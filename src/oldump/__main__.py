"""`python -m oldump`."""

from oldump.cli import main

main()
