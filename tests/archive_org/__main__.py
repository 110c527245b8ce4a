"""Run the fake archive.org by hand, to try uploads.

PYTHONPATH=tests python -m archive_org --folder /tmp/fake --share 0.3
"""

# ruff: noqa: T201 - a command-line program prints

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from archive_org.faults import Faults, Kind
from archive_org.server import archive_org


def main(arguments: Sequence[str]) -> None:
    """Serve until the first SIGINT or SIGTERM; print the environment variables that a client needs."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    faults = Faults(chosen.share, chosen.seed, [Kind[name] for name in chosen.kinds] or Faults.kinds)
    with archive_org(chosen.folder, faults=faults, port=chosen.port) as archive:
        archive.late_looks = chosen.late_looks
        archive.on_answer = print if chosen.verbose else None
        print(f"# a fake archive.org at {archive.url}; uploads are kept in {chosen.folder}/files")
        for name, value in archive.environment().items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            print(f"# {len(archive.log)} requests, {len(faults.happened)} of them with a fault")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m archive_org", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free port)")
    parser.add_argument("--folder", type=Path, required=True, help="folder for uploads and ia.ini")
    parser.add_argument("--share", type=float, default=0.0, help="share of requests that fail (default: 0.0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults (default: 0)")
    parser.add_argument(
        "--late-looks", type=int, default=0, help="metadata requests until an upload shows (default: 0)"
    )
    parser.add_argument("--verbose", action="store_true", help="print each request, without its keys")
    kinds_help = f"kinds of faults: {', '.join(Kind.__members__)} (default: all but DENIED)"
    kinds = list(Kind.__members__)
    parser.add_argument("--kinds", nargs="*", default=[], choices=kinds, metavar="KIND", help=kinds_help)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
