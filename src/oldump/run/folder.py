"""Where a run's files lie.

    DIR/
      ol_cdump_DATE/  ol_dump_DATE/     the items: what is published, under these names only when it is complete
      run-DATE/                         private: journal, lock, log, status, rejects, spill, data.txt.gz
        making/                         the items while they are made
      history.jsonl                     how long completed runs took

Does not: create or delete anything but folders.
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
        """What is never uploaded."""
        return self.out / f"run-{self.date}"

    @property
    def journal(self) -> Path:
        """What is committed."""
        return self.private / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the run."""
        return self.private / "lock"

    @property
    def log(self) -> Path:
        """The run's log lines."""
        return self.private / "run.log"

    @property
    def status(self) -> Path:
        """How the run stands, renewed every few seconds."""
        return self.private / "status.json"

    @property
    def history(self) -> Path:
        """How long the stages of completed runs took, of all dates."""
        return self.out / "history.jsonl"

    @property
    def rejects(self) -> Path:
        """Rows that could not become records."""
        return self.private / "rejects.txt.gz"

    @property
    def data(self) -> Path:
        """Table `data`, as it was extracted."""
        return self.private / "data.txt.gz"

    @property
    def ia_metadata(self) -> Path:
        """The archive's items, as they were extracted."""
        return self.private / f"ia_metadata_dump_{self.date}.txt.gz"

    @property
    def spill(self) -> Path:
        """Holds the intermediate files of stages."""
        return self.private / "spill"

    def checkpoint(self, stage: str) -> Path:
        """Where a stage notes how far it has got, among its intermediate files: worthless when it is committed."""
        return self.spill / stage / CHECKPOINT

    @property
    def making(self) -> Path:
        """Holds the items while they are made."""
        return self.private / "making"

    @property
    def items(self) -> tuple[str, str]:
        """The names of the two items."""
        return f"ol_cdump_{self.date}", f"ol_dump_{self.date}"

    @property
    def cdump_item(self) -> Path:
        """Where the complete dump is, or is made."""
        return self._item(self.items[0])

    @property
    def dump_item(self) -> Path:
        """Where the dump and its parts are, or are made."""
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
        """The part of this name."""
        return self.dump_item / f"ol_dump_{name}_{self.date}.txt.gz"

    def made(self, item: str) -> Path:
        """Where the item lies while it is made."""
        return self.making / item

    def published(self, item: str) -> Path:
        """Where the item lies when it is complete."""
        return self.out / item

    def artifact(self, name: str, item: str | None) -> Path:
        """Where an artifact is."""
        return (self._item(item) if item else self.private) / name

    def _item(self, item: str) -> Path:
        made = self.made(item)
        return made if made.exists() or not self.published(item).exists() else self.published(item)
