"""Incremental dump: the records of the revisions created on one day.

The day is that of the transaction, in UTC. Records are in the order of their transactions, so that changes can be
replayed.

Memory:     a few blocks
"""

from datetime import date
from functools import partial
from pathlib import Path
from typing import BinaryIO

from oldump.engine.text_lines import Lines
from oldump.engine.text_stream import BLOCK_BYTES
from oldump.errors import SourceEmpty
from oldump.outside.postgres.copying import ResumableCopy
from oldump.outside.postgres.queries import midnight_after
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.records.privacy import first_text_after
from oldump.records.rows import ConvertedRows
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, BlockSummary, RowCounts
from oldump.stages.dumps.rejects import RejectsWriter

TABLES = ("transaction", "version", "data")


def idump(
    snapshot: SnapshotConnection,
    day: date,
    output: BinaryIO,
    rejects_path: Path,
    settings: Settings,
    progress: Progress,
) -> RowCounts:
    """Write the records of a day, and return the counts. Raises SourceError, TooManyRejects, VerificationError."""
    name = f"the revisions of {day}"
    progress.begin("idump", "copy")
    with snapshot.reader() as reader, RejectsWriter(rejects_path, name, settings.max_rejects) as rejects:
        account = Account(name, rejects)
        copying = ResumableCopy(reader, _query(day))
        for number, text in enumerate(iter(partial(copying.take, BLOCK_BYTES), b"")):
            rows = ConvertedRows(text, first_text_after(None), settings.withhold)
            account.add(number, BlockSummary.of(rows))
            output.write(Lines(rows.text, rows.starts, rows.ends).joined())
            progress.update(account.counts.rows, None)
        rejects.commit()
    if not account.counts.records:
        raise SourceEmpty(f"{snapshot.place}: {name} gave no records ({account.counts})", "Check the day.")
    return account.counts


def _query(day: date) -> str:
    """Return the query for COPY. A version without a row in `data` yields NULL, so it is rejected instead of lost."""
    return f"""(
        SELECT version.thing_id, version.revision, data.data
        FROM transaction
        JOIN version ON version.transaction_id = transaction.id
        LEFT JOIN data ON data.thing_id = version.thing_id AND data.revision = version.revision
        WHERE transaction.created >= timestamp '{day}' AND transaction.created < {midnight_after(day)}
        ORDER BY transaction.created, transaction.id, version.id
    )"""  # noqa: S608 - contains no user input
