"""Checkpoints: the saved state of a stage, from which the next run resumes.

Each stage has one checkpoint file: a line that identifies the stage's inputs, followed by the state as MessagePack. It
is written at a *pause*: no task is in progress, and everything done is on the disk. Output that a stopped stage wrote
after its last checkpoint is invalid; the run that resumes truncates it.

Does not: know what a state means.
"""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import msgspec
from xxhash import xxh3_64_hexdigest

from oldump.engine.commit import begun_bytes, write_whole
from oldump.errors import storage_errors

log = logging.getLogger("oldump")


S = TypeVar("S")
"""The state of a stage: a msgspec.Struct, or a tagged union of them."""


class Pause(NamedTuple):
    """When a scatter or a gather pauses, and what it does then."""

    is_due: Callable[[], bool]
    save: Callable[[], None]


NO_PAUSE = Pause(lambda: False, lambda: None)
"""For work that cannot be resumed, or that is short."""


class Checkpoint:
    """The checkpoint of one stage of one run."""

    def __init__(
        self,
        path: Path,
        made_from: Mapping[str, Any],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """made_from: the stage's inputs as plain JSON; a checkpoint of other inputs is ignored.

        seconds: the least time between two checkpoints.
        """
        self.path = path
        self._made_from = json.dumps(made_from, sort_keys=True)
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    @property
    def folder(self) -> Path:
        """The folder of the checkpoint and of the stage's other intermediate files."""
        return self.path.parent

    @property
    def exists(self) -> bool:
        """Whether a checkpoint was saved, from whatever inputs."""
        return self.path.is_file()

    def resumed(self, kind: type[S], files: Callable[[S], Mapping[Path, int]]) -> S | None:
        """Return the state that was saved last, or None, with a warning in the log, if it cannot be resumed.

        kind: type of the state; files: returns the files that a state needs, and the least size of each in bytes.
        Raises StorageError.
        """
        if not self.exists:
            return None
        with storage_errors(self.path):
            heading, _, content = self.path.read_bytes().partition(b"\n")
        if heading.decode(errors="replace") != self._heading(content):
            log.warning("%s: checkpoint of other inputs or another version, or damaged; the stage restarts", self.path)
            return None
        try:
            state = msgspec.msgpack.decode(content, type=kind, dec_hook=_counter)
        except msgspec.MsgspecError as error:
            raise AssertionError(f"{self.path}: this version wrote it and cannot read it") from error
        for path, size_bytes in files(state).items():
            if begun_bytes(path) < size_bytes:
                log.warning("%s: %s is missing or too short; the stage restarts", self.path, path)
                return None
        return state

    def is_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint or the start of the stage."""
        return self._clock() - self._last >= self._seconds

    def save(self, state: object) -> None:
        """Replace the saved state durably. Raises StorageError, StorageFull."""
        content = msgspec.msgpack.encode(state)
        write_whole(self.path, self._heading(content).encode() + b"\n" + content)
        self._last = self._clock()

    def pause(self, state: Callable[[], object]) -> Pause:
        """Return a pause that saves the current state whenever a checkpoint is due."""
        return Pause(self.is_due, lambda: self.save(state()))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Create the folder; if the block fails, remove the folder unless it holds a checkpoint.

        Raises StorageError if the folder cannot be created.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            if not self.exists:
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def clear(self) -> None:
        """Remove the files of an earlier attempt. Raises StorageError."""
        with storage_errors(self.folder):
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    def _heading(self, content: bytes) -> str:
        return f"{xxh3_64_hexdigest(content)} {self._made_from}"


def _counter(kind: Any, value: Any) -> Any:  # noqa: ANN401 - msgspec's signature
    """Decode a Counter, which msgspec can encode but not decode."""
    if get_origin(kind) is not Counter:
        raise NotImplementedError(f"a checkpoint cannot hold {kind}")
    (member,) = get_args(kind)
    return Counter({member(name): count for name, count in value.items()})


class _Leg(Iterator[tuple[str, Any]]):
    """The tasks up to the next pause: at least one, unless none is left."""

    def __init__(self, tasks: Iterator[tuple[str, Any]], pause: Pause) -> None:
        self._tasks = tasks
        self._pause = pause
        self.begun = 0
        self.is_last = False

    def __next__(self) -> tuple[str, Any]:
        if self.begun and self._pause.is_due():
            raise StopIteration
        try:
            task = next(self._tasks)
        except StopIteration:
            self.is_last = True
            raise
        self.begun += 1
        return task

    def end(self) -> None:
        """Pause, if that is why the leg ended."""
        if not self.is_last:
            self._pause.save()


def legs(tasks: Iterable[tuple[str, Any]], pause: Pause) -> Iterator[_Leg]:
    """Yield all tasks in legs that end at pauses. Exhaust each leg before drawing the next."""
    remaining = iter(tasks)
    while True:
        leg = _Leg(remaining, pause)
        yield leg
        if leg.is_last:
            return
