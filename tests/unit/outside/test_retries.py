"""New tries: which failures get them, how the pauses grow, and when it is enough."""

import logging

import pytest

from oldump.errors import ArchiveRefused, ArchiveUnreachable
from oldump.outside.retries import RetryPolicy
from unit.stages.shelf import Time


class Answers:
    """Gives one answer after the other; errors are raised."""

    def __init__(self, *answers: object) -> None:
        """Take them."""
        self.left = list(answers)

    def __call__(self) -> object:
        """The next one; the last one for ever."""
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def patience(time: Time, total: float = 1000, dice: float = 1.0) -> RetryPolicy:
    """A patience that loses no time."""
    return RetryPolicy(total, 1, clock=time.read, now=time.read, sleep=time.sleep, dice=lambda: dice)


def test_a_failure_that_may_pass_is_tried_again_after_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    """1, 2, 4 seconds at most, at least half of each; every new try is a line in the log."""
    for dice, slept in ((1.0, 7.0), (0.0, 3.5)):
        time = Time()
        later = ArchiveUnreachable("later", "Give the command again.")
        logger = logging.getLogger("oldump")
        logger.addHandler(caplog.handler)
        assert patience(time, dice=dice).call("it", Answers(later, later, later, "done")) == "done"
        logger.removeHandler(caplog.handler)
        assert time.now == slept
    assert len({each for each in caplog.messages if "failed, retrying in" in each}) >= 3
    assert not any("Give the command again" in each for each in caplog.messages)  # it is at it


def test_the_server_says_when_to_come_again() -> None:
    """Not sooner than Retry-After."""
    time = Time()
    patience(time).call("it", Answers(ArchiveUnreachable("later", wait_seconds=90), "done"))
    assert time.now == 90


def test_patience_ends() -> None:
    """After its time from the first failure on, however long what was tried took; the error is the last one."""
    time = Time()
    with pytest.raises(ArchiveUnreachable, match="later"):
        patience(time).call("it", Answers(ArchiveUnreachable("later")))
    assert 500 < time.now <= 1000
    with pytest.raises(ArchiveUnreachable):
        patience(time, total=10).call("it", Answers(ArchiveUnreachable("later", wait_seconds=11)))


def test_a_refusal_is_no_matter_of_patience() -> None:
    """It is raised at once."""
    time = Time()
    with pytest.raises(ArchiveRefused):
        patience(time).call("it", Answers(ArchiveRefused("never")))
    assert time.now == 0


def test_whoever_waits_is_told_every_few_seconds() -> None:
    """So that a lock has its heartbeat, and a status its renewal, while archive.org is waited for."""
    time = Time()
    told: list[float] = []
    patience(time).wait(21, lambda: told.append(time.now))
    assert len(told) == 6
    assert max(b - a for a, b in zip([0.0, *told], told, strict=False)) <= 5


def test_rounds_end_when_patience_does() -> None:
    """With a last look at the very end."""
    time = Time()
    looks = []
    for pause in patience(time, total=100).rounds():
        looks.append(time.now)
        assert pause <= 64
    assert looks[:4] == [0, 1, 3, 7]
    assert looks[-1] == 100
