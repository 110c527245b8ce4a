"""Worker processes that hold conversations with the process that leads them.

A task is a generator function, run in a worker: what it yields goes to the leader, what the leader answers comes back
from the yield, and what it returns ends the task. So a worker keeps large intermediate results to itself while the
leader decides, from little, what becomes of them.

Workers are forked: they inherit what the task functions refer to, and nothing is pickled but messages. Fork before
starting threads. A worker that dies while tasks are run is noticed at once, by the end of its pipe: whether it is busy
or idle, and also while the leader waits for the next task to arrive.
"""

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Any, NamedTuple, Self

from oldump.errors import OldumpError, WorkerError
from oldump.run.signals import STOP_SIGNALS, stop_signals_held
from oldump.run.steps import STEPS
from oldump.run.watch import WATCH

Task = Generator[Any, Any, Any]
TaskFunction = Callable[[Any], Task]
"""What a worker does with the description of a task."""


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
"""What a worker keeps of freed memory: more than most tasks need again."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class TaskMessage(NamedTuple):
    """A task's intermediate message, which waits for an answer; or its result, which does not."""

    number: int
    """The task's, counted from 0 in the order of submission."""
    message: Any
    finished: bool


@dataclass
class _Worker:
    process: ForkProcess
    pipe: Connection
    task: int | None = None


class Crew:
    """Workers, for `with`. Tasks are begun in the order in which they are given."""

    def __init__(self, workers: int, perform: Callable[[int], TaskFunction]) -> None:
        """Fork the workers. perform is called once in each, with its number, and gives what it does with tasks.

        Raises WorkerError if not all can be started; none is left then.
        """
        self._workers: list[_Worker] = []
        self._descriptions: dict[int, str] = {}
        try:
            with stop_signals_held(block=True):
                for number in range(workers):
                    try:
                        self._workers.append(self._forked(number, perform))
                    except OSError as error:
                        raise WorkerError(
                            f"Cannot start worker {number + 1} of {workers}: {error.strerror or error}. "
                            "Give fewer --workers, or raise the limits on processes, open files or memory."
                        ) from error
        except BaseException:  # that, or what the handler of a signal that waited has raised
            self._end(at_once=True)
            raise

    def _forked(self, number: int, perform: Callable[[int], TaskFunction]) -> _Worker:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        inherited = [worker.pipe for worker in self._workers] + [ours]
        process = context.Process(
            target=_serve,
            args=(theirs, inherited, perform, number),
            name=f"oldump-worker-{number}",
            daemon=True,
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers: at once after an error, otherwise when they have heard that there is no more."""
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
        """What the tasks say, as it comes. tasks: (description for errors, content); drawn when a worker is idle.

        window: so many tasks may be begun, counted from the oldest that is not finished; None: any number. It bounds
        what a caller must keep who needs the results in order, while one task takes long; the others then wait for it.

        arrivals is readable when the next task can be drawn without waiting; None: it always can. So the workers are
        heard, and missed, while tasks are slow to come.

        A message that is not `finished` must be answered, sooner or later, before its task goes on. Raises WorkerError
        if a worker dies, and whatever OldumpError a task or the run's watch raises.
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
                said = self._receive(worker)
                if said.finished:
                    worker.task = None
                    del self._descriptions[said.number]
                yield said

    def _begin(self, worker: _Worker, number: int, task: tuple[str, Any]) -> None:
        self._descriptions[number], content = task
        worker.task = number
        self._send(worker, content)

    def each(self, description: str, content: object) -> list[Any]:
        """The results of the same task in every worker; none of them may be at another."""
        for number, worker in enumerate(self._workers):
            self._descriptions[number] = description
            worker.task = number
            self._send(worker, content)
        results = [self._receive(worker).message for worker in self._workers]
        for worker in self._workers:
            worker.task = None
        return results

    def answer(self, number: int, message: object) -> None:
        """Answer a task's message."""
        self._send(next(worker for worker in self._workers if worker.task == number), message)

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.process.pid or 0 for worker in self._workers]

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.task is None), None)

    def _within(self, window: int | None, number: int) -> bool:
        """Whether the window reaches to this task, the next one to begin; it does when no other is unfinished."""
        oldest = min((worker.task for worker in self._workers if worker.task is not None), default=number)
        return window is None or number < oldest + window

    def _ready(self, arrivals: Connection | None) -> list[_Worker]:
        """Workers that have said something, or died; waits for one, or for arrivals."""
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
        except (EOFError, OSError) as error:  # OSError: it died in the midst of a message
            raise self._death(worker) from error
        if kind == "error":
            raise message
        if kind == "result":
            message, spent = message
            STEPS.add(spent)
        if worker.task is None:
            raise AssertionError("an idle worker speaks")
        return TaskMessage(worker.task, message, finished=kind == "result")

    def _death(self, worker: _Worker) -> WorkerError:
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        cause = f"signal {_name_of(-code)}" if code is not None and code < 0 else f"exit code {code}"
        hint = " Perhaps memory ran out: give a smaller --memory or fewer --workers." if code == -signal.SIGKILL else ""
        what = self._descriptions.get(worker.task, "starting") if worker.task is not None else "idle"
        return WorkerError(
            f"A worker process (pid {worker.process.pid}) died of {cause} while at: {what}.{hint} "
            "Give the command again: it continues from the last committed stage."
        )


def _name_of(number: int) -> str:
    """The signal's name; or its number, since real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _serve(pipe: Connection, inherited: list[Connection], perform: Callable[[int], TaskFunction], number: int) -> None:
    """The life of a worker: tasks from the pipe, until it ends."""
    for other in inherited:
        other.close()  # else a worker would keep its siblings' pipes open, and nobody would notice a death
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the leader, which ends the workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # to the leader too
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _keep_freed_memory()
    gc.freeze()
    gc.disable()  # batches have no cycles: searching them for some costs a tenth of the time
    STEPS.take()  # the leader's
    try:
        begin = perform(number)
        while True:
            _hold_conversation(pipe, begin(pipe.recv()))
            _return_scattered_memory()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the leader has no more to do, or is gone
    finally:
        os._exit(0)  # no atexit handlers of the leader's


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next batch: to give it back and fault it in again costs much.

    Source: mallopt(3). Another C library goes on as it is.
    """
    most = 1 << 30
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, most)
        mallopt(_M_TRIM_THRESHOLD, most)


class _Heap(ctypes.Structure):
    """What glibc says of its heap, in bytes; see mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _HEAP_FIGURES)


def _return_scattered_memory() -> None:
    """Return what is freed to the system if it is much: pieces of many sizes leave ever more holes between them.

    Where glibc is older than 2.33, or another library, nothing is done.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Heap
        if library.mallinfo2().fordblks > _MOST_FREED_BYTES:
            library.malloc_trim(0)


def _hold_conversation(pipe: Connection, task: Task) -> None:
    answer = None
    try:
        while True:
            try:
                message = task.send(answer)
            except StopIteration as end:
                pipe.send(("result", (end.value, STEPS.take())))
                return
            pipe.send(("message", message))
            answer = pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except OldumpError as error:
        pipe.send(("error", error))
    except Exception as error:  # noqa: BLE001 - a bug: the leader shows it, with the worker's own traceback
        error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
        pipe.send(("error", _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """The error; or another one with its text and notes, if it cannot be pickled or read back."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever an error of a library does when it is pickled
        other = RuntimeError(f"{type(error).__name__}: {error}")
        other.__notes__ = error.__notes__
        return other
    return error
