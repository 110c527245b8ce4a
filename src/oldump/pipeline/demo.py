"""The demo: the whole pipeline on an embedded PostgreSQL server that is filled with synthetic rows.

The server runs in a temporary folder and stops with the demo. The dumps remain.
"""

import gzip
import logging
import tempfile
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

from oldump.outside.embedded_postgres import embedded_database
from oldump.outside.synthetic_databases import fill
from oldump.pipeline import runner
from oldump.pipeline.choice import choose
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.synth.table import copy_blocks

DAY = date(2022, 7, 31)
"""The synthetic history ends a month later, so that some records are later than the cutoff, as in a real run."""

log = logging.getLogger("oldump")


def run_demo(rows: int, out: Path | None, workers: int | None, memory: str | None, progress: Progress) -> str:
    """Make the dumps of a synthetic database; return a summary for the terminal. Raises OldumpError."""
    out = out or Path(f"demo-{datetime.now(UTC):%Y-%m-%d-%H%M%S}")
    with tempfile.TemporaryDirectory(prefix="oldump-demo-") as folder, embedded_database(Path(folder)) as uri:
        log.info("demo: PostgreSQL is running in %s", folder)
        databases = fill(uri, copy_blocks(rows))
        log.info("demo: filled Open Library's tables; %s rows in data", f"{rows:,}")
        settings = Settings.of(
            source=databases.openlibrary,
            coverstore=databases.coverstore,
            archive_database=databases.archive,
            out=out,
            workers=workers,
            memory=memory,
        )
        runner.run(settings, DAY, choose([], [], settings), progress)
    return _summary_of(RunFolder(out, DAY))


def _summary_of(folder: RunFolder) -> str:
    artifacts = [artifact for artifact in Journal(folder.journal).artifacts() if artifact.item]
    width = max(len(artifact.name) for artifact in artifacts)
    lines = [f"  {'':{width}}  {'records':>10}  {'bytes':>12}  {'text bytes':>12}"]
    lines += [f"  {a.name:{width}}  {a.records:>10,}  {a.size_bytes:>12,}  {a.text_bytes:>12,}" for a in artifacts]
    dump, authors = folder.dump, folder.part("authors")
    return "\n".join(
        [
            f"Dumps in {folder.out}:",
            "",
            *lines,
            "",
            f"The first records of {authors.name} (type, key, revision, last_modified, JSON):",
            "",
            *_excerpt(authors, 2),
            "",
            "Take a look:",
            "",
            f"  zcat {dump} | head -3",
            f"  zcat {dump} | wc -l",
            f'  zcat {dump} | grep -c \'"ocaid": "\'',
            f"  (cd {folder.dump_item} && sha256sum -c SHA256SUMS)",
            f"  python3 -m json.tool {folder.dump_item}/manifest.json | less",
            f"  column -t -s $'\\t' {authors}.index | less",
        ]
    )


def _excerpt(path: Path, records: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [f"  {line.rstrip()[:160]}" for line in islice(stream, records)]
