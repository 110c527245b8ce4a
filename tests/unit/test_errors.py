"""The log fields attached to an error that ends a run."""

import pytest

from oldump.errors import SourceUnreachable, Stopped, attach_log_fields, failed_stage_of, log_fields_of


@pytest.mark.parametrize("error", [SourceUnreachable("gone"), Stopped(15), ZeroDivisionError(), KeyboardInterrupt()])
def test_every_kind_of_error_can_carry_its_stage(error: BaseException) -> None:
    """Bugs as well as expected errors."""
    attach_log_fields(error, {"run_date": "2022-07-31", "stage": "dumps"})
    assert failed_stage_of(error) == "dumps"
    assert log_fields_of(error)["run_date"] == "2022-07-31"


def test_an_error_outside_any_stage_has_no_stage() -> None:
    """For example before the first stage. Nor does None."""
    error = SourceUnreachable("gone")
    assert failed_stage_of(error) == failed_stage_of(None) == ""
    attach_log_fields(error, {"run_date": "2022-07-31", "stage": None})
    assert failed_stage_of(error) == ""
