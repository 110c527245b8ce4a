"""The paths of a run's files.

    DIR/
      ol_cdump_DATE/  ol_dump_DATE/     the published items; they have these names only once complete
      run-DATE/                         private: journal, lock, log, status, rejects, spill, data.txt.gz
        making/                         the items before publication
        replaced/                       published items that are being replaced
      history.jsonl                     durations of completed runs

Does not: create or delete anything.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run."""

    out: Path
    date: date

    @property
    def private(self) -> Path:
        """The folder of files that are never uploaded."""
        return self.out / f"run-{self.date}"

    @property
    def journal(self) -> Path:
        """The record of what is committed."""
        return self.private / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """The lock of the process that works on the run."""
        return self.private / "lock"

    @property
    def log(self) -> Path:
        """The run's log lines."""
        return self.private / "run.log"

    @property
    def status(self) -> Path:
        """The current status, rewritten every few seconds."""
        return self.private / "status.json"

    @property
    def history(self) -> Path:
        """The durations of completed runs of all dates."""
        return self.out / "history.jsonl"

    @property
    def rejects(self) -> Path:
        """The rows that were rejected."""
        return self.private / "rejects.txt.gz"

    @property
    def data(self) -> Path:
        """Table `data`, as extracted."""
        return self.private / "data.txt.gz"

    @property
    def ia_metadata(self) -> Path:
        """The items of the archive's database, as extracted."""
        return self.private / f"ia_metadata_dump_{self.date}.txt.gz"

    @property
    def spill(self) -> Path:
        """The folder of intermediate files."""
        return self.private / "spill"

    def checkpoint(self, stage: str) -> Path:
        """Return the path of a stage's checkpoint, which is valid until the stage is committed."""
        return self.spill / stage / CHECKPOINT

    @property
    def making(self) -> Path:
        """The folder of the items before publication."""
        return self.private / "making"

    @property
    def replaced(self) -> Path:
        """The folder of published items while new ones replace them."""
        return self.private / "replaced"

    @property
    def items(self) -> tuple[str, str]:
        """The names of the two items."""
        return f"ol_cdump_{self.date}", f"ol_dump_{self.date}"

    @property
    def cdump_item(self) -> Path:
        """The folder of the complete dump, published or not."""
        return self._item(self.items[0])

    @property
    def dump_item(self) -> Path:
        """The folder of the dump and its parts, published or not."""
        return self._item(self.items[1])

    @property
    def cdump(self) -> Path:
        """The complete dump."""
        return self.cdump_item / f"ol_cdump_{self.date}.txt.gz"

    @property
    def dump(self) -> Path:
        """The dump of the latest records."""
        return self.dump_item / f"ol_dump_{self.date}.txt.gz"

    def part(self, name: str) -> Path:
        """Return the path of a part of the dump."""
        return self.dump_item / f"ol_dump_{name}_{self.date}.txt.gz"

    def made(self, item: str) -> Path:
        """Return the path of an item before publication."""
        return self.making / item

    def published(self, item: str) -> Path:
        """Return the path of a published item."""
        return self.out / item

    def artifact(self, name: str, item: str | None) -> Path:
        """Return the path of an artifact; item is None for private ones."""
        return (self._item(item) if item else self.private) / name

    def _item(self, item: str) -> Path:
        made = self.made(item)
        return made if made.exists() or not self.published(item).exists() else self.published(item)
