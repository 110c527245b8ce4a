"""What all tests share: where skipping is forbidden, a skipped test fails."""

import os
from collections.abc import Generator

import pytest

FORBID_SKIP = "OLDUMP_TESTS_FORBID_SKIP"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where FORBID_SKIP is set; an expected failure stays one."""
    if not os.environ.get(FORBID_SKIP) or not report.skipped or hasattr(report, "wasxfail"):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped, though {FORBID_SKIP} is set: {report.longreprtext}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Watch the tests and their fixtures."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Watch whole modules, which pytest.importorskip leaves out."""
    report = yield
    refuse_skip(report)
    return report
