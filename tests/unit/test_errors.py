"""What is noted with an error that ends a run."""

import pytest

from oldump.errors import SourceUnreachable, Stopped, mark, marks_of, stage_of


@pytest.mark.parametrize("error", [SourceUnreachable("gone"), Stopped(15), ZeroDivisionError(), KeyboardInterrupt()])
def test_whatever_ends_a_run_knows_its_stage(error: BaseException) -> None:
    """A bug as well as what was foreseen."""
    mark(error, {"run_date": "2022-07-31", "stage": "dumps"})
    assert stage_of(error) == "dumps"
    assert marks_of(error)["run_date"] == "2022-07-31"


def test_outside_of_a_stage_there_is_none() -> None:
    """Before the first one, say; nor without an error."""
    error = SourceUnreachable("gone")
    assert stage_of(error) == stage_of(None) == ""
    mark(error, {"run_date": "2022-07-31", "stage": None})
    assert stage_of(error) == ""
