"""Example statuses, completed runs and forecasts for tests."""

from dataclasses import asdict, replace

from oldump.run.forecast import Forecast
from oldump.run.history import CompletedRun, CompletedStage
from oldump.run.owner import Owner
from oldump.run.status import ReportedState, StageStatus, Status

STATUS = Status(
    date="2022-07-31",
    state=ReportedState.RUNNING,
    owner=asdict(Owner.current()),
    began="2022-08-01T02:00:00+00:00",
    resumed="2022-08-01T03:00:00+00:00",
    updated="2022-08-01T03:30:00+00:00",
    seconds=5_000.5,
    version="0.1.0",
    log="run.log",
    stage="dumps",
    step="gather",
    rows=1_000,
    warnings=["é, as it is"],
    stages=[StageStatus("dumps", "running", 12.0, None, 1_000, {"scatter": 10.0, "gather": 2.0})],
)
JUNE = CompletedRun(
    date="2022-06-30",
    began="2022-07-01T02:00:00+00:00",
    completed="2022-07-01T03:00:00+00:00",
    seconds=3_600.0,
    kind="file",
    source_bytes=1_000,
    text_bytes=None,
    rows=20,
    records=10,
    size_bytes=500,
    workers=2,
    stages={"dumps": CompletedStage(60.0, 10, {"scatter": 40.0, "gather": 20.0}), "splice": CompletedStage(1.0)},
)
JULY = replace(JUNE, date="2022-07-31", began="2022-08-01T02:00:00+00:00")
STEPS = {"dumps": {"scatter": 60.0, "gather": 40.0}, "splice": {"copy": 10.0}, "verify": {"cdump": 90.0}}
FORECAST = Forecast(STEPS, "2022-06-30")
