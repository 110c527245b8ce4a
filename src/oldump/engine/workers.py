"""Worker processes that run tasks and exchange messages with their leader, the process that forked them.

A task is a generator, run in a worker. Each value that it yields is sent to the leader, the leader's answer becomes the
value of the yield expression, and the return value is the task's result. So large intermediate results stay in the
worker while the leader decides from small messages how to proceed.

Workers are forked: they inherit everything that the task functions refer to, and only messages are pickled. Fork before
you start threads. The leader detects the death of a worker at once, by the end of its pipe: whether the worker is busy
or idle, and also while the leader waits for the next task.

Does not: know what a task does.
"""

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from oldump.errors import OldumpError, WorkerError
from oldump.run.signals import STOP_SIGNALS, stop_signals_held
from oldump.run.steps import STEPS
from oldump.run.watch import WATCH

Task = Generator[Any, Any, Any]
TaskFunction = Callable[[Any], Task]
"""Return the task for a task's content; called in a worker."""


Item = TypeVar("Item")

AHEAD = 2
"""The maximum number of tasks per worker started ahead of the task whose result is needed next."""
_HEAP_FIGURES = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
]
_MOST_FREED_BYTES = 24 << 20
"""Freed memory that a worker may keep: more than most tasks reuse."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class TaskMessage(NamedTuple):
    """An intermediate message of a task, which waits for an answer; or the task's result, which does not."""

    number: int
    """Number of the task, counted from 0 in the order of submission."""
    message: Any
    finished: bool


class TaskOrder(Generic[Item]):
    """Items of numbered tasks that arrive in any order, returned in the order of the tasks."""

    def __init__(self, first: int = 0) -> None:
        """Start with the task of this number."""
        self.current = first
        self._items: dict[int, deque[Item]] = {}

    def put(self, number: int, item: Item) -> None:
        """Add an item of this task."""
        self._items.setdefault(number, deque()).append(item)

    def take(self) -> Item | None:
        """Remove and return the oldest item of the current task, or None if there is none."""
        items = self._items.get(self.current)
        return items.popleft() if items else None

    def advance(self) -> None:
        """Make the next task the current one."""
        self._items.pop(self.current, None)
        self.current += 1


@dataclass
class _Worker:
    process: ForkProcess
    pipe: Connection
    task: int | None = None


class Crew:
    """A pool of workers, to be used in `with`. Tasks start in the order in which they are submitted."""

    def __init__(self, workers: int, begin: Callable[[int], TaskFunction]) -> None:
        """Fork the workers. begin: called once in each, with the worker's number; returns its task function.

        Raises WorkerError if a worker cannot be started; the others are stopped first.
        """
        self._workers: list[_Worker] = []
        self._descriptions: dict[int, str] = {}
        try:
            with stop_signals_held(block=True):
                for number in range(workers):
                    try:
                        self._workers.append(self._forked(number, begin))
                    except OSError as error:
                        raise WorkerError(
                            f"Cannot start worker {number + 1} of {workers}: {error.strerror or error}. "
                            "Use fewer --workers, or raise the limits on processes, open files or memory."
                        ) from error
        except BaseException:  # WorkerError, or an exception from the handler of a delayed signal
            self._end(at_once=True)
            raise

    def _forked(self, number: int, begin: Callable[[int], TaskFunction]) -> _Worker:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        inherited = [worker.pipe for worker in self._workers] + [ours]
        process = context.Process(
            target=_serve,
            args=(theirs, inherited, begin, number),
            name=f"oldump-worker-{number}",
            daemon=True,
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def __enter__(self) -> Self:
        """Return the crew, whose workers are already running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers: at once after an error, otherwise when each sees the end of its pipe."""
        self._end(at_once=kind is not None)

    def _end(self, *, at_once: bool) -> None:
        for worker in self._workers:
            worker.pipe.close()
            if at_once:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def run(
        self, tasks: Iterable[tuple[str, Any]], *, window: int | None = None, arrivals: Connection | None = None
    ) -> Iterator[TaskMessage]:
        """Run the tasks and yield their messages as they arrive.

        tasks: pairs of a description for error messages and the content; the next is taken when a worker is idle.
        window: the maximum number of started tasks, counted from the oldest unfinished one; None: no limit.
        arrivals: readable when the next task can be taken without blocking, so that messages and deaths of workers are
        noticed while tasks arrive slowly; None: taking a task never blocks.

        A task whose message is not `finished` waits until the message is answered. Raises WorkerError if a worker dies,
        and the OldumpErrors that tasks or the run's watch raise.
        """
        numbered = enumerate(tasks)
        begun, exhausted = 0, False
        while True:
            WATCH.check()
            while (awaited := not exhausted and self._within(window, begun)) and (idle := self._idle()):
                if arrivals is not None and not arrivals.poll():
                    break
                following = next(numbered, None)
                if following is None:
                    exhausted = True
                else:
                    self._begin(idle, *following)
                    begun += 1
            if exhausted and all(worker.task is None for worker in self._workers):
                return
            for worker in self._ready(arrivals if awaited and self._idle() else None):
                message = self._receive(worker)
                if message.finished:
                    worker.task = None
                    del self._descriptions[message.number]
                yield message

    def run_ordered(
        self, tasks: Iterable[tuple[str, Any]], *, arrivals: Connection | None = None, ahead: int = AHEAD
    ) -> Iterator[TaskMessage]:
        """Run the tasks and yield their messages in the order of the tasks; see run.

        ahead: the maximum number of started tasks per worker, counted from the task whose messages are yielded next. It
        limits the results held in memory while one task takes a long time.
        """
        order = TaskOrder[TaskMessage]()
        for arrived in self.run(tasks, window=ahead * len(self._workers), arrivals=arrivals):
            order.put(arrived.number, arrived)
            while (message := order.take()) is not None:
                if message.finished:
                    order.advance()
                yield message

    def _begin(self, worker: _Worker, number: int, task: tuple[str, Any]) -> None:
        self._descriptions[number], content = task
        worker.task = number
        self._send(worker, content)

    def each(self, description: str, content: object) -> list[Any]:
        """Run the same task in every worker and return the results. All workers must be idle."""
        for number, worker in enumerate(self._workers):
            self._descriptions[number] = description
            worker.task = number
            self._send(worker, content)
        results = [self._receive(worker).message for worker in self._workers]
        for worker in self._workers:
            worker.task = None
        return results

    def answer(self, number: int, message: object) -> None:
        """Answer the message of a task."""
        self._send(next(worker for worker in self._workers if worker.task == number), message)

    @property
    def process_ids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.task is None), None)

    def _within(self, window: int | None, number: int) -> bool:
        """Whether the next task, numbered `number`, may start within the window."""
        oldest = min((worker.task for worker in self._workers if worker.task is not None), default=number)
        return window is None or number < oldest + window

    def _ready(self, arrivals: Connection | None) -> list[_Worker]:
        """Wait until a worker sends a message or dies, or a task arrives; return the workers to receive from."""
        pipes = {worker.pipe: worker for worker in self._workers}
        ready = wait([*pipes, *([arrivals] if arrivals else [])])
        return [worker for pipe, worker in pipes.items() if pipe in ready]

    def _send(self, worker: _Worker, message: object) -> None:
        try:
            worker.pipe.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death(worker) from error

    def _receive(self, worker: _Worker) -> TaskMessage:
        try:
            kind, message = worker.pipe.recv()
        except (EOFError, OSError) as error:  # OSError: it died while it sent a message
            raise self._death(worker) from error
        if kind == "error":
            raise message
        if kind == "result":
            message, spent = message
            STEPS.add(spent)
        if worker.task is None:
            raise AssertionError("an idle worker sent a message")
        return TaskMessage(worker.task, message, finished=kind == "result")

    def _death(self, worker: _Worker) -> WorkerError:
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        cause = f"signal {_name_of(-code)}" if code is not None and code < 0 else f"exit code {code}"
        hint = (
            " It may have run out of memory: use a smaller --memory or fewer --workers."
            if code == -signal.SIGKILL
            else ""
        )
        what = self._descriptions.get(worker.task, "starting") if worker.task is not None else "idle"
        return WorkerError(
            f"A worker process (pid {worker.process.pid}) died of {cause} during: {what}.{hint} "
            "Rerun: the run resumes after the last committed stage."
        )


def _name_of(number: int) -> str:
    """Return the name of a signal, or its number if it has no name, as with real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _serve(pipe: Connection, inherited: list[Connection], begin: Callable[[int], TaskFunction], number: int) -> None:
    """Run tasks from the pipe until it ends: the main function of a worker."""
    for other in inherited:
        other.close()  # a pipe that a sibling keeps open would hide a worker's death
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader gets Ctrl-C too, and stops the workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the leader gets it too
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _keep_freed_memory()
    gc.freeze()
    gc.disable()  # batches have no reference cycles, and collection would take a tenth of the time
    STEPS.take()  # discard the steps inherited from the leader
    try:
        perform = begin(number)
        while True:
            _run_task(pipe, perform(pipe.recv()))
            _return_freed_memory()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the leader has no more tasks, or is gone
    finally:
        os._exit(0)  # do not run the leader's atexit handlers


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next batch: returning it and faulting it in again is expensive.

    See mallopt(3). Does nothing with another C library.
    """
    most = 1 << 30
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, most)
        mallopt(_M_TRIM_THRESHOLD, most)


class _Heap(ctypes.Structure):
    """State of glibc's heap, in bytes; see mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _HEAP_FIGURES)


def _return_freed_memory() -> None:
    """Return freed memory to the system if there is much of it: blocks of many sizes fragment the heap.

    Does nothing with glibc before 2.33 or another C library.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Heap
        if library.mallinfo2().fordblks > _MOST_FREED_BYTES:
            library.malloc_trim(0)


def _run_task(pipe: Connection, task: Task) -> None:
    answer = None
    try:
        while True:
            try:
                message = task.send(answer)
            except StopIteration as end:
                pipe.send(("result", (end.value, STEPS.take())))
                return
            pipe.send(("message", message))
            del message  # do not hold it while the task goes on
            _return_freed_memory()
            answer = pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except OldumpError as error:
        pipe.send(("error", error))
    except Exception as error:  # noqa: BLE001 - a bug: the leader raises it, with the worker's traceback as a note
        error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
        pipe.send(("error", _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """Return the error, or a RuntimeError with its text and notes if it cannot be pickled and unpickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled one call before
    except Exception:  # noqa: BLE001 - the classes of libraries may fail in any way when pickled
        other = RuntimeError(f"{type(error).__name__}: {error}")
        other.__notes__ = error.__notes__
        return other
    return error
