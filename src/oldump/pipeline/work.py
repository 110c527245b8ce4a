"""What preflight must know about a run, derived from its stages and its state.

Does not: connect to a database, or read a source.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from oldump.engine.budget import workers_within
from oldump.pipeline.preflight import DatabaseRead, PlannedWork
from oldump.pipeline.sources import DATABASES, connection_of, is_file
from oldump.pipeline.stage import DatabaseStage, Stage
from oldump.pipeline.state import RunState, leftovers
from oldump.run.measures import size_bytes
from oldump.run.spill import is_there


def planned_work(
    read_by: list[Stage], written_by: list[Stage], state: RunState, *, overwrite: bool = False
) -> PlannedWork:
    """Return what these stages read and write. overwrite: whatever exists is stale."""
    settings, folder = state.settings, state.folder
    writes = {name for stage in written_by for name in stage.writes}
    reads_rows = any("data" in stage.reads for stage in read_by)
    extracted = None if overwrite or "data" in writes else state.journal.stages.get("extract")
    stale = folder.making.glob("*/*") if overwrite or not state.journal.stages else ()
    return PlannedWork(
        folder=folder,
        reads=list(_database_reads(read_by, state)),
        file=settings.source if reads_rows and is_file(settings.source) else None,
        writes=writes,
        text_bytes=extracted.artifacts[0].text_bytes if extracted else None,
        left_bytes=size_bytes(leftovers(folder).union(stale)),
        memory_bytes=settings.memory,
        level=settings.level,
        jobs=workers_within(settings.memory, settings.jobs),
        spill=folder.spill.resolve() if is_there(folder) and not overwrite else settings.tmpdir,
    )


def _database_reads(stages: list[Stage], state: RunState) -> Iterator[DatabaseRead]:
    copying = [stage for stage in stages if isinstance(stage, DatabaseStage)]
    for database, group in groupby(copying, attrgetter("database")):
        queries = {stage.name: stage.query(state.folder.date) for stage in group}
        yield DatabaseRead(DATABASES[database], database, connection_of(database, state.settings), queries)
