"""Workers: tasks, messages, errors, and no process left at the end."""

import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

from oldump.engine.workers import Crew, Task, TaskFunction, TaskMessage
from oldump.errors import SourceDamaged, WorkerError


def performing(perform: TaskFunction) -> Callable[[int], TaskFunction]:
    """Return a function that gives every worker the same task function."""
    return lambda number: perform


def named(contents: Iterable[Any]) -> list[tuple[str, Any]]:
    """Return tasks with descriptions."""
    return [(f"task {content}", content) for content in contents]


def results(crew: Crew, contents: Iterable[Any]) -> list[Any]:
    """Run tasks that send no messages; return their results in the order of the tasks."""
    said = list(crew.run(named(contents)))
    assert all(each.finished for each in said)
    return [each.message for each in sorted(said, key=lambda each: each.number)]


def are_gone(process_ids: Iterable[int]) -> bool:
    """Whether all of the processes have ended and been reaped."""
    return not any(psutil.pid_exists(process_id) for process_id in process_ids)


def doubled(content: int) -> Task:
    """A task that sends no messages."""
    yield from ()
    return 2 * content


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("tasks", [0, 1, 2, 50])
def test_every_task_has_its_result(workers: int, tasks: int) -> None:
    """Exactly one, for any numbers of tasks and workers. A crew can run again."""
    with Crew(workers, performing(doubled)) as crew:
        assert results(crew, range(tasks)) == list(range(0, 2 * tasks, 2))
        assert results(crew, range(3)) == [0, 2, 4]


def test_a_worker_knows_its_number() -> None:
    """The function is called once in each worker, with its number."""

    def begin(number: int) -> TaskFunction:
        def perform(content: object) -> Task:
            yield from ()
            return number, os.getpid()

        return perform

    with Crew(3, begin) as crew:
        assert crew.each("naming", None) == list(enumerate(crew.process_ids))


def test_results_arrive_in_any_order() -> None:
    """A slow task does not delay the results of later ones."""

    def perform(content: float) -> Task:
        yield from ()
        time.sleep(content)
        return content

    with Crew(2, performing(perform)) as crew:
        numbers = [said.number for said in crew.run(named([0.3, 0, 0, 0]))]
    assert numbers == [1, 2, 3, 0]


def test_tasks_are_drawn_when_a_worker_is_idle() -> None:
    """No earlier, because a task may be large and need memory that other tasks still use."""
    drawn: list[int] = []

    def tasks() -> Iterable[tuple[str, int]]:
        for content in range(10):
            drawn.append(content)
            yield "counting", content

    with Crew(2, performing(doubled)) as crew:
        for done, _ in enumerate(crew.run(tasks())):
            assert len(drawn) <= done + 2
    assert drawn == list(range(10))


def waiting(content: tuple[int, int] | None) -> Task:
    """A task that waits until its pipe, if any, has data."""
    yield from ()
    if content is not None:
        os.read(content[0], 1)


@pytest.mark.parametrize(("window", "ahead"), [(1, 1), (2, 2), (5, 5), (None, 20)])
def test_tasks_are_drawn_within_a_window(window: int | None, ahead: int) -> None:
    """While the oldest task is slow, idle workers wait for it. In the end, all tasks are done.

    The first task ends when what may be done ahead of it has been done.
    """
    release = os.pipe()
    drawn: list[int] = []

    def tasks() -> Iterable[tuple[str, tuple[int, int] | None]]:
        for number in range(20):
            drawn.append(number)
            yield "waiting", release if number == 0 else None

    finished: list[int] = []
    with Crew(2, performing(waiting)) as crew:
        if ahead == 1:
            os.write(release[1], b"x")
        for said in crew.run(tasks(), window=window):
            finished.append(said.number)
            assert window is None or len(drawn) <= min(set(range(20)) - set(finished), default=20) + window
            if len(finished) == ahead - 1:
                assert finished == list(range(1, ahead))
                assert len(drawn) == ahead
                os.write(release[1], b"x")
    for each in release:
        os.close(each)
    assert sorted(finished) == list(range(20))
    assert drawn == list(range(20))


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_ordered_messages_follow_the_tasks(ahead: int) -> None:
    """Results are in the order of the tasks. While the first is slow, few later tasks are started.

    The first task ends when all tasks that may be started ahead of it have been drawn.
    """
    release = os.pipe()
    drawn: list[int] = []

    def tasks() -> Iterable[tuple[str, tuple[int, int] | None]]:
        for number in range(20):
            drawn.append(number)
            if number == 2 * ahead - 1:
                os.write(release[1], b"x")
            yield "waiting", release if number == 0 else None

    with Crew(2, performing(waiting)) as crew:
        for number, message in enumerate(crew.run_ordered(tasks(), ahead=ahead)):
            assert message.number == number
            assert len(drawn) <= number + 1 + 2 * ahead
    for each in release:
        os.close(each)
    assert drawn == list(range(20))


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_messages_of_tasks_that_wait_for_answers(workers: int) -> None:
    """All messages of a task come before those of the next. A task continues with its answer."""
    with Crew(workers, performing(adding)) as crew:
        messages = []
        for message in crew.run_ordered(named(range(12))):
            messages.append(message)
            if not message.finished:
                crew.answer(message.number, 1)
    assert [each.number for each in messages] == sorted(each.number for each in messages)
    assert [each.message for each in messages if each.finished] == [number + 3 for number in range(12)]


@pytest.mark.parametrize("workers", [1, 3])
def test_conversations_within_a_window(workers: int) -> None:
    """A task that waits for an answer is unfinished, so the window does not move."""
    with Crew(workers, performing(adding)) as crew:
        sums, oldest = {}, 0
        for said in crew.run(named(range(12)), window=2):
            assert said.number < oldest + 2
            if said.finished:
                sums[said.number] = said.message
                while oldest in sums:
                    oldest += 1
            else:
                crew.answer(said.number, 1)
    assert sums == {number: number + 3 for number in range(12)}


def test_results_arrive_while_the_next_task_is_not_yet_available() -> None:
    """Here the second task is available only after the result of the first."""
    arrivals, arrived = multiprocessing.Pipe(duplex=False)

    def tasks() -> Iterator[tuple[str, int]]:
        for content in range(3):
            arrivals.recv_bytes()
            yield "counting", content

    heard = []
    with Crew(2, performing(doubled)) as crew:
        arrived.send_bytes(b"+")
        for said in crew.run(tasks(), arrivals=arrivals):
            heard.append(said.message)
            arrived.send_bytes(b"+")
    assert heard == [0, 2, 4]


def adding(content: int) -> Task:
    """A task that asks for three numbers and returns their sum."""
    total = content
    for place in range(3):
        total += yield place
    return total


def test_a_task_receives_answers_to_its_messages() -> None:
    """The yield returns the leader's answer. The result ends the task."""
    with Crew(2, performing(adding)) as crew:
        sums = {}
        for said in crew.run(named([0, 1000])):
            if said.finished:
                sums[said.number] = said.message
            else:
                crew.answer(said.number, 10 * said.message)
    assert sums == {0: 30, 1: 1030}


def test_answers_may_be_delayed() -> None:
    """The leader receives all messages of another task before it answers the first."""
    with Crew(2, performing(adding)) as crew:
        waiting: list[TaskMessage] = []
        order = []
        for said in crew.run(named([0, 1000])):
            if said.finished:
                order.append(said.number)
            elif said.number == 0 and 1 not in order:
                waiting.append(said)
            else:
                crew.answer(said.number, 0)
            if 1 in order and waiting:
                crew.answer(waiting.pop().number, 0)
    assert order == [1, 0]


def test_messages_may_be_large() -> None:
    """Larger than a pipe's buffer, in both directions, like records of 10 MB."""

    def perform(content: bytes) -> Task:
        answer = yield content * 2
        return answer * 2

    with Crew(2, performing(perform)) as crew:
        lengths = []
        for said in crew.run(named([bytes(5_000_000)] * 3)):
            if said.finished:
                lengths.append(len(said.message))
            else:
                crew.answer(said.number, said.message)
    assert lengths == [20_000_000] * 3


# Errors


def test_an_error_of_oldump_is_raised_in_the_leader() -> None:
    """Unchanged, with its text and hint, and without a traceback."""

    def perform(content: object) -> Task:
        yield from ()
        raise SourceDamaged("data.txt.gz: damaged")

    with pytest.raises(SourceDamaged, match=r"^data\.txt\.gz: damaged$"), Crew(2, performing(perform)) as crew:
        list(crew.run(named([1])))


def test_an_unforeseen_error_keeps_the_worker_s_traceback() -> None:
    """The leader raises it, with a note that contains the worker's traceback."""

    def stumble(content: dict[str, int]) -> int:
        return content["nowhere"]

    def perform(content: object) -> Task:
        yield from ()
        return stumble({})

    with pytest.raises(KeyError, match="nowhere") as caught, Crew(2, performing(perform)) as crew:
        list(crew.run(named([1])))
    (note,) = caught.value.__notes__
    assert "In a worker process" in note
    assert "in stumble" in note
    assert "KeyError: 'nowhere'" in note


class Unpicklable(Exception):
    """An error that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("it cannot leave")
        self.lock = threading.Lock()


class Unreadable(Exception):
    """An error that can be pickled but not unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one}, {two}: it cannot be read")


@pytest.mark.parametrize("error", [Unpicklable(), Unreadable("a", "b")], ids=lambda error: type(error).__name__)
def test_an_error_that_cannot_be_sent_is_reported(error: Exception) -> None:
    """Some libraries have such errors. Text and traceback are kept."""

    def perform(content: object) -> Task:
        yield from ()
        raise error

    with pytest.raises(RuntimeError, match="it cannot") as caught, Crew(1, performing(perform)) as crew:
        list(crew.run(named([1])))
    assert f"{type(error).__name__}: " in caught.value.__notes__[0]
    assert "in perform" in caught.value.__notes__[0]


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    """It is a bug of the task, and reported like any other."""

    def perform(content: object) -> Task:
        yield from ()
        return threading.Lock()

    with pytest.raises((TypeError, pickle.PicklingError), match="pickle"), Crew(1, performing(perform)) as crew:
        list(crew.run(named([1])))


def test_an_error_between_messages() -> None:
    """The leader raises it when it waits for the next message."""

    def perform(content: object) -> Task:
        yield "well"
        raise ValueError("no")

    with Crew(1, performing(perform)) as crew:
        run = crew.run(named([1]))
        assert next(run) == TaskMessage(0, "well", finished=False)
        crew.answer(0, None)
        with pytest.raises(ValueError, match="no"):
            next(run)


# Deaths


def killing(content: object) -> Task:
    """A task whose worker is killed, as for lack of memory. Task 0 takes longer than the time limit of a test."""
    yield from ()
    if content == 0:
        time.sleep(1000)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_killed_during_a_task_is_reported_at_once() -> None:
    """The error names the task, the signal and the likely reason; the leader does not wait for the other worker."""
    with (
        pytest.raises(WorkerError, match=r"died of signal SIGKILL during: task 1\. .*--memory") as caught,
        Crew(2, performing(killing)) as crew,
    ):
        list(crew.run(named([0, 1])))
    assert any(f"pid {process_id})" in str(caught.value) for process_id in crew.process_ids)
    assert are_gone(crew.process_ids)


def test_a_worker_that_exits_during_a_task_is_reported() -> None:
    """With its exit code. A library that calls exit(3) must not end the table silently."""

    def perform(content: object) -> Task:
        yield from ()
        os._exit(3)

    with pytest.raises(WorkerError, match="exit code 3 during: task 7"), Crew(1, performing(perform)) as crew:
        list(crew.run(named([7])))


def test_a_worker_killed_during_a_message_is_reported() -> None:
    """Half a message is in the pipe. This counts as the end of the pipe, not as an error of the operating system."""

    def perform(content: object) -> Task:
        yield from ()
        return bytes(50_000_000)

    def tasks() -> Iterable[tuple[str, object]]:
        yield "task 1", None
        time.sleep(0.5)  # it is sending now, and nobody listens
        os.kill(crew.process_ids[0], signal.SIGKILL)

    with pytest.raises(WorkerError, match="SIGKILL during: task 1"), Crew(2, performing(perform)) as crew:
        list(crew.run(tasks()))


def test_a_worker_killed_between_two_messages_is_reported() -> None:
    """The worker is waiting for an answer."""
    with Crew(2, performing(adding)) as crew:
        run = crew.run(named([5]))
        next(run)
        os.kill(crew.process_ids[0], signal.SIGKILL)
        time.sleep(0.1)
        with pytest.raises(WorkerError, match="SIGKILL during: task 5"):
            crew.answer(0, 0)


def test_a_worker_killed_while_idle_is_reported_when_needed() -> None:
    """With the next task, or the next task for all workers. No task is lost."""
    with Crew(2, performing(doubled)) as crew:
        assert results(crew, range(4)) == [0, 2, 4, 6]
        os.kill(crew.process_ids[0], signal.SIGKILL)
        with pytest.raises(WorkerError, match="SIGKILL"):
            results(crew, range(4))
    with Crew(2, performing(doubled)) as crew:
        os.kill(crew.process_ids[1], signal.SIGKILL)
        with pytest.raises(WorkerError, match="SIGKILL during: the last"):
            crew.each("the last", 1)


def test_a_worker_killed_after_its_last_task_is_no_error() -> None:
    """All results have been received."""
    with Crew(2, performing(doubled)) as crew:
        assert results(crew, range(4)) == [0, 2, 4, 6]
        os.kill(crew.process_ids[0], signal.SIGKILL)
    assert are_gone(crew.process_ids)


@pytest.mark.parametrize("drawn", [0, 1])
def test_a_worker_killed_while_no_task_is_available_is_reported(drawn: int) -> None:
    """Idle or after its task: the leader must not wait for the next task, which may never come."""
    arrivals, arrived = multiprocessing.Pipe(duplex=False)
    with pytest.raises(WorkerError, match="SIGKILL"), Crew(2, performing(adding)) as crew:  # noqa: PT012 - a run is two
        run = crew.run(named([5]), arrivals=arrivals)
        if drawn:
            arrived.send_bytes(b"+")
            next(run)
            arrivals.recv_bytes()
        os.kill(crew.process_ids[0], signal.SIGKILL)
        list(run)
    assert are_gone(crew.process_ids)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGUSR1, "SIGUSR1"), (signal.SIGRTMIN + 1, "35")])
def test_every_signal_can_be_named(number: int, name: str) -> None:
    """Also a signal without a name."""

    def perform(content: object) -> Task:
        yield from ()
        os.kill(os.getpid(), number)

    with (
        pytest.raises(WorkerError, match=f"died of signal {name} during: task 1"),
        Crew(1, performing(perform)) as crew,
    ):
        list(crew.run(named([1])))


# Starting


@pytest.fixture
def before_forks() -> Iterator[list[Callable[[], object]]]:
    """Functions that are called before each fork. They cannot be unregistered, so the list is emptied at the end."""
    calls: list[Callable[[], object]] = []
    os.register_at_fork(before=lambda: [call() for call in calls])
    yield calls
    calls.clear()


STOPPING = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def mask() -> set[int]:
    """Return the signals that are blocked in this thread."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_signals_are_blocked_until_all_workers_have_started(before_forks: list[Callable[[], object]]) -> None:
    """Signals are blocked at every fork, and unblocked afterwards in the leader and the workers."""

    def perform(content: object) -> Task:
        yield from ()
        return mask()

    held: list[set[int]] = []
    before_forks.append(lambda: held.append(mask()))
    with Crew(3, performing(perform)) as crew:
        assert held == [STOPPING] * 3
        assert mask() == set()
        assert crew.each("looking", None) == [set()] * 3


def test_a_signal_during_the_start_of_workers_is_handled(before_forks: list[Callable[[], object]]) -> None:
    """The signal is handled when all workers have started, and no worker is left."""

    class StoppedError(Exception):
        """The exception of the signal handler."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    forks: list[None] = []
    before_forks += [lambda: os.kill(os.getpid(), signal.SIGTERM), lambda: forks.append(None)]
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(StoppedError):
            Crew(3, performing(doubled))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(forks) == 3
    assert mask() == set()
    assert psutil.Process().children() == []


def test_a_worker_that_cannot_be_started_is_named() -> None:
    """If the system's limit is reached, the error has the worker's number, and no other worker is left."""
    Crew(1, performing(doubled)).__exit__(None, None, None)  # all that a fork needs is imported now
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open("rb") as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + 24, limits[1]))
    try:
        with pytest.raises(WorkerError, match=r"worker \d+ of 99: Too many open files\..* fewer --workers"):
            Crew(99, performing(doubled))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert mask() == set()
    assert psutil.Process().children() == []


# Nobody is left


def test_no_process_is_left_after_success() -> None:
    """Neither running nor as a zombie."""
    with Crew(3, performing(doubled)) as crew:
        results(crew, range(10))
        assert not are_gone(crew.process_ids)
    assert are_gone(crew.process_ids)


def stalling(content: object) -> Task:
    """Task 0 takes longer than the time limit of a test. The others end at once."""
    yield from ()
    if content == 0:
        time.sleep(1000)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_no_process_is_left_after_an_exception(error: type[BaseException]) -> None:
    """The leader fails while a worker runs a task longer than the test's time limit: the worker is stopped at once."""
    with pytest.raises(error), Crew(2, performing(stalling)) as crew:  # noqa: PT012 - a worker must be at a task
        for _ in crew.run(named([0, 1])):
            raise error
    assert are_gone(crew.process_ids)


def test_no_process_is_left_when_the_leader_stops_listening() -> None:
    """In the middle of tasks, without an error."""
    with Crew(2, performing(adding)) as crew:
        for _ in crew.run(named(range(10))):
            break
    assert are_gone(crew.process_ids)


def test_ctrl_c_reaches_only_the_leader() -> None:
    """The terminal sends SIGINT to all processes. Workers ignore it, and the leader ends them."""
    with Crew(2, performing(doubled)) as crew:
        for process_id in crew.process_ids:
            os.kill(process_id, signal.SIGINT)
        assert results(crew, range(4)) == [0, 2, 4, 6]
