"""The command split: write records to one file per part.

Memory:     one block, and one open segment per part
"""

from contextlib import ExitStack
from pathlib import Path

from oldump.engine.commit import CommittedFile
from oldump.engine.segment_writer import Compressing, SegmentWriter
from oldump.engine.segments import Packer
from oldump.errors import ConfigurationError
from oldump.records.record import PARTS, columns, part_number, revision_of
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.gather import compressor
from oldump.stages.dumps.record_input import blocks_of_lines, no_records, not_a_record


def write_parts(path: Path | None, name_format: str, settings: Settings, progress: Progress) -> dict[str, int]:
    """Write the records to one file per part, and return the number in each. path: None for standard input.

    name_format: %s stands for the part's name. Names that end in .gz become seekable gzip with an index, others plain
    text. No file has its final name before all are complete.
    Raises ConfigurationError, RecordError, SourceError, StorageError.
    """
    if name_format.count("%s") != 1:
        raise ConfigurationError(f"--format {name_format!r}: %s must occur once", "Put %s where the part's name goes.")
    source_name = str(path or "standard input")
    counts = [0] * len(PARTS)
    with ExitStack() as stack:
        compressing = stack.enter_context(Compressing(settings.workers, compressor(settings.level)))
        files: list[_CompressedFile | _PlainFile] = []
        for each in (Path(name_format.replace("%s", part)) for part in PARTS):
            files.append(_CompressedFile(each, compressing) if each.suffix == ".gz" else _PlainFile(each))
            stack.callback(files[-1].discard)
        lines_before = 0
        progress.begin("split", "read")
        for lines in blocks_of_lines(path, progress):
            for number, records in enumerate(_by_part(lines, source_name, lines_before)):
                files[number].add(records)
                counts[number] += len(records)
            lines_before += len(lines)
        if not lines_before:
            raise no_records(source_name)
        for file in files:
            file.finish()
        compressing.finish()
        for file in files:
            file.commit()
    progress.end("split")
    return dict(zip(PARTS, counts, strict=True))


def _by_part(lines: list[bytes], source_name: str, lines_before: int) -> list[list[bytes]]:
    """Return the records of each part, with newlines. Raises RecordError."""
    of_part: list[list[bytes]] = [[] for _ in PARTS]
    for line_number, line in enumerate(lines, start=lines_before + 1):
        try:
            record = columns(line)
            revision_of(record.revision)
        except ValueError as error:
            raise not_a_record(source_name, line_number) from error
        of_part[part_number(record.type_key)].append(line + b"\n")
    return of_part


class _CompressedFile:
    """A part as seekable gzip."""

    def __init__(self, path: Path, compressing: Compressing) -> None:
        self._writer = SegmentWriter(path)
        self._packer = Packer()
        self._compressing = compressing

    def add(self, lines: list[bytes]) -> None:
        for text in self._packer.add(lines):
            self._compressing.add(text, self._writer)

    def finish(self) -> None:
        """Compress the last segment."""
        for text in self._packer.rest():
            self._compressing.add(text, self._writer)

    def commit(self) -> None:
        self._writer.commit()

    def discard(self) -> None:
        """Remove the file if it was not committed."""
        self._writer.__exit__(None, None, None)


class _PlainFile:
    """A part as plain text."""

    def __init__(self, path: Path) -> None:
        self._file = CommittedFile(path)

    def add(self, lines: list[bytes]) -> None:
        self._file.write(b"".join(lines))

    def finish(self) -> None:
        """Do nothing: no text is held back."""

    def commit(self) -> None:
        self._file.commit()

    def discard(self) -> None:
        """Remove the file if it was not committed."""
        self._file.__exit__(None, None, None)
