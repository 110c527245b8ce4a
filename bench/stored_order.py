"""Write the records of a dump in the order of a cdump: `stored_order.py DUMP.gz CDUMP.gz > records`."""

import gzip
import sys


def main(dump: str, cdump: str) -> None:
    """Write the cdump's records that are in the dump."""
    with gzip.open(dump) as stream:
        latest = {hash(record) for record in stream}
    with gzip.open(cdump) as stream:
        sys.stdout.buffer.writelines(record for record in stream if hash(record) in latest)


if __name__ == "__main__":
    main(*sys.argv[1:])
