"""Incremental dump: the records of the revisions that were created on one day.

The day is that of the transaction, in UTC; records stand in the order of their transactions, as changes are replayed.

Memory:     some blocks
"""

from datetime import date
from functools import partial
from pathlib import Path
from typing import BinaryIO

from oldump.engine.text_lines import Lines
from oldump.engine.text_stream import BLOCK_BYTES
from oldump.errors import SourceEmpty
from oldump.outside.postgres import Copying, SnapshotConnection, midnight_after
from oldump.records import rows
from oldump.records.privacy import first_text_after
from oldump.run.progress import Progress
from oldump.stages.dumps.account import Account, BlockSummary, RejectsWriter, RowCounts

TABLES = ("transaction", "version", "data")


def idump(
    leading: SnapshotConnection, day: date, output: BinaryIO, rejects: Path, max_rejects: int, progress: Progress
) -> RowCounts:
    """Write the records of a day. Raises SourceError, TooManyRejects, VerificationError."""
    name = f"the revisions of {day}"
    progress.begin("idump", "copy")
    with leading.reader() as reader, RejectsWriter(rejects, name, max_rejects) as rejected:
        account = Account(name, rejected)
        copying = Copying(reader, _query(day))
        for number, text in enumerate(iter(partial(copying.take, BLOCK_BYTES), b"")):
            batch = rows.ConvertedRows(text, first_text_after(None))
            account.hear(number, BlockSummary.of(batch))
            output.write(Lines(batch.text, batch.starts, batch.ends).joined())
            progress.update(account.counts.rows, None)
        rejected.commit()
    if not account.counts.records:
        raise SourceEmpty(f"{leading.place}: {name} gave no record ({account.counts}). Is it the right day?")
    return account.counts


def _query(day: date) -> str:
    """What COPY takes: rows as in table data. A version without its row there has NULL, and is rejected, not lost."""
    return f"""(
        SELECT version.thing_id, version.revision, data.data
        FROM transaction
        JOIN version ON version.transaction_id = transaction.id
        LEFT JOIN data ON data.thing_id = version.thing_id AND data.revision = version.revision
        WHERE transaction.created >= timestamp '{day}' AND transaction.created < {midnight_after(day)}
        ORDER BY transaction.created, transaction.id, version.id
    )"""  # noqa: S608 - no word is a user's
