"""Checkpoints: how far a stage has got, so that the next run goes on from there and not from the beginning.

A stage has one file for it, which holds its state as MessagePack behind a line that says what it is made from. It is
written at a *rest*: a moment at which no task is under way and all that was done is on the disk. What a stage has
written beyond its checkpoint when it is stopped is worthless, and is cut off by whoever goes on.

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
"""What a stage keeps: a msgspec.Struct, or a tagged union of such."""


class Pause(NamedTuple):
    """When a scatter or a gather is to come to rest, and what it does then."""

    is_due: Callable[[], bool]
    take: Callable[[], None]


NO_PAUSE = Pause(lambda: False, lambda: None)
"""For what cannot be continued: a pipe, a unit of work that is short."""


class Checkpoint:
    """The checkpoint of one stage of one run."""

    def __init__(
        self,
        path: Path,
        made_from: Mapping[str, Any],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where it lies, and what the stage works from: another state of things makes the old one worthless.

        made_from: plain JSON; seconds: between two checkpoints.
        """
        self.path = path
        self._made_from = json.dumps(made_from, sort_keys=True)
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    @property
    def folder(self) -> Path:
        """Where it lies, among the stage's other intermediate files."""
        return self.path.parent

    @property
    def exists(self) -> bool:
        """Whether something was saved, for whatever it was made from."""
        return self.path.is_file()

    def resumed(self, kind: type[S], files: Callable[[S], Mapping[Path, int]]) -> S | None:
        """The state that was saved last; None if there is none that can be gone on from, and the log says why.

        kind: of the state, or the union of what it may be; files: those that a state cannot do without, and the bytes
        that each must have at least. Raises StorageError.
        """
        if not self.exists:
            return None
        with storage_errors(self.path):
            heading, _, content = self.path.read_bytes().partition(b"\n")
        if heading.decode(errors="replace") != self._heading(content):
            log.warning("%s: is of other input, another version, or damaged; the stage begins anew", self.path)
            return None
        try:
            state = msgspec.msgpack.decode(content, type=kind, dec_hook=_counter)
        except msgspec.MsgspecError as error:
            raise AssertionError(f"{self.path}: this version wrote it and cannot read it") from error
        for path, size_bytes in files(state).items():
            if begun_bytes(path) < size_bytes:
                log.warning("%s: %s is not there, or too short; the stage begins anew", self.path, path)
                return None
        return state

    def is_due(self) -> bool:
        """Whether the last one, or the stage's beginning, is long enough ago."""
        return self._clock() - self._last >= self._seconds

    def save(self, state: object) -> None:
        """Keep the state, durably and instead of the one before. Raises StorageError, StorageFull."""
        content = msgspec.msgpack.encode(state)
        write_whole(self.path, self._heading(content).encode() + b"\n" + content)
        self._last = self._clock()

    def resting(self, state: Callable[[], object]) -> Pause:
        """A rest whenever it is due, at which the state is saved as it then is."""
        return Pause(self.is_due, lambda: self.save(state()))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever fails meanwhile: the folder stays if one can go on with what is in it, and is removed otherwise.

        Raises StorageError if the folder cannot be made.
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
        """Remove what an earlier try has left. Raises StorageError."""
        with storage_errors(self.folder):
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    def _heading(self, content: bytes) -> str:
        return f"{xxh3_64_hexdigest(content)} {self._made_from}"


def _counter(kind: Any, value: Any) -> Any:  # noqa: ANN401 - msgspec's signature
    """A Counter, which msgspec writes and does not read: what it asks of types that it does not know."""
    if get_origin(kind) is not Counter:
        raise NotImplementedError(f"a checkpoint cannot hold {kind}")
    (member,) = get_args(kind)
    return Counter({member(name): count for name, count in value.items()})


class _Leg(Iterator[tuple[str, Any]]):
    """Tasks up to a rest: at least one, unless there is none any more."""

    def __init__(self, tasks: Iterator[tuple[str, Any]], rest: Pause) -> None:
        self._tasks = tasks
        self._rest = rest
        self.begun = 0
        self.is_last = False

    def __next__(self) -> tuple[str, Any]:
        if self.begun and self._rest.is_due():
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
            self._rest.take()


def legs(tasks: Iterable[tuple[str, Any]], rest: Pause) -> Iterator[_Leg]:
    """All tasks, in legs. Draw each to its end before the next."""
    remaining = iter(tasks)
    while True:
        leg = _Leg(remaining, rest)
        yield leg
        if leg.is_last:
            return
