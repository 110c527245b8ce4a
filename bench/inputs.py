"""What the tables measure with: the options, and the inputs, each made when the first table asks for it."""

import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.measure import measured, shell

DAY = "2022-07-31"
HERE = Path(__file__).parent
OLDUMP = [sys.executable, "-m", "oldump"]


@dataclass(frozen=True)
class Inputs:
    """Lie in a temporary folder, and stay until the last table is printed."""

    folder: Path
    rows: int
    workers: int
    memory: str
    rounds: int

    @property
    def limits(self) -> list[str]:
        """The flags that say with how much oldump works."""
        return ["--workers", str(self.workers), "--memory", self.memory]

    @cached_property
    def text(self) -> Path:
        """Synth's rows as plain COPY text."""
        return self._made("data.txt", f"{shlex.join(OLDUMP)} synth --rows {self.rows}")

    @cached_property
    def text_bytes(self) -> int:
        """The size of the text."""
        return self.text.stat().st_size

    @cached_property
    def gzipped(self) -> Path:
        """The same as psql and gzip make it."""
        return self._made("data.txt.gz", f"gzip -6 -c {self.text}")

    @cached_property
    def seekable(self) -> Path:
        """The same as extract makes it."""
        return seekable(self.text, self.folder / "seekable")

    @cached_property
    def records(self) -> Path:
        """The records of the rows, in the rows' order."""
        return self._made("records.txt", f"{shlex.join(OLDUMP)} cdump {self.text} {DAY} {shlex.join(self.limits)}")

    def run_of(self, source: Path, out: str) -> list[str]:
        """The command that makes the dumps of a source; without --only it is a whole run."""
        return [*OLDUMP, "run", DAY, "--source", str(source), "--out", str(self.folder / out), *self.limits]

    def _made(self, name: str, command: str) -> Path:
        path = self.folder / name
        shell(f"{command} > {path}", self.folder)
        return path


def seekable(text: Path, folder: Path) -> Path:
    """Rows as extract makes them, from plain text."""
    folder.mkdir()
    measured([sys.executable, "-m", "bench.seekable", str(text), str(folder)], HERE.parent)
    return folder / "data.txt.gz"
