"""Fail skipped tests where skipping is forbidden."""

import os
from collections.abc import Generator

import pytest

FORBID_SKIP = "OLDUMP_TESTS_FORBID_SKIP"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where FORBID_SKIP is set. An expected failure is not a skip."""
    if not os.environ.get(FORBID_SKIP) or not report.skipped or hasattr(report, "wasxfail"):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped, though {FORBID_SKIP} is set: {report.longreprtext}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Check each phase of a test, with its fixtures."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check the collection of whole modules, which pytest.importorskip skips."""
    report = yield
    refuse_skip(report)
    return report
