"""`python -m oldump`."""

from oldump.cli.main import main

main()
