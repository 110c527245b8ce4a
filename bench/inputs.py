"""The options and the input files of the benchmarks. Each file is made on first use."""

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
    """Input files in a temporary folder, and the options of the benchmarks."""

    folder: Path
    rows: int
    workers: int
    memory: str
    rounds: int

    @property
    def limits(self) -> list[str]:
        """The flags that set the number of workers and the memory."""
        return ["--workers", str(self.workers), "--memory", self.memory]

    @cached_property
    def text(self) -> Path:
        """Synthetic rows as plain COPY text."""
        return self._made("data.txt", f"{shlex.join(OLDUMP)} synth --rows {self.rows}")

    @cached_property
    def text_bytes(self) -> int:
        """The size of the plain text."""
        return self.text.stat().st_size

    @cached_property
    def gzipped(self) -> Path:
        """The rows as psql and gzip write them."""
        return self._made("data.txt.gz", f"gzip -6 -c {self.text}")

    @cached_property
    def seekable(self) -> Path:
        """The rows as extract writes them."""
        return seekable(self.text, self.folder / "seekable")

    @cached_property
    def records(self) -> Path:
        """The records of the rows, in the order of the rows."""
        return self._made("records.txt", f"{shlex.join(OLDUMP)} cdump {self.text} {DAY} {shlex.join(self.limits)}")

    def run_of(self, source: Path, out: str) -> list[str]:
        """Return the command of a run. The caller adds --only for single stages."""
        return [*OLDUMP, "run", DAY, "--source", str(source), "--out", str(self.folder / out), *self.limits]

    def _made(self, name: str, command: str) -> Path:
        path = self.folder / name
        shell(f"{command} > {path}", self.folder)
        return path


def seekable(text: Path, folder: Path) -> Path:
    """Write the rows of a plain text as extract writes them, and return the path."""
    folder.mkdir()
    measured([sys.executable, "-m", "bench.seekable", str(text), str(folder)], HERE.parent)
    return folder / "data.txt.gz"
