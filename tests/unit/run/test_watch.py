"""The watch over a run: conditions are checked between tasks, at most every few seconds, and only during a run."""

import pytest

from oldump.errors import RunBusy
from oldump.run.watch import CHECK_SECONDS, Watch


def test_conditions_are_checked_every_few_seconds() -> None:
    """However often a loop asks."""
    now = [100.0]
    checked: list[float] = []
    watch = Watch(lambda: now[0])
    with watch.over(lambda: checked.append(now[0])):
        for tenth in range(100):
            now[0] = 100 + tenth / 10
            watch.check()
        watch.check_now()
    assert checked == [100.0, 100 + CHECK_SECONDS, 109.9]


def test_a_condition_that_does_not_hold_stops_the_loop() -> None:
    """Its error reaches the loop, and conditions after it are not checked."""

    def lost() -> None:
        raise RunBusy("taken over")

    reached: list[str] = []
    watch = Watch()
    with pytest.raises(RunBusy, match="taken over"), watch.over(lost, lambda: reached.append("next")):
        watch.check_now()
    assert reached == []


def test_outside_of_a_run_nothing_is_checked() -> None:
    """Neither before nor after it."""
    checked: list[int] = []
    watch = Watch()
    watch.check_now()
    with watch.over(lambda: checked.append(1)):
        pass
    watch.check_now()
    watch.check()
    assert checked == []
