"""Metrics of runs, as the text file that node_exporter's textfile collector reads.

Pure: text in, text out. A failed run changes what it says of beginnings and failures, and leaves the rest as the last
complete run wrote it.

Source: Prometheus, "Exposition formats" and "Metric and label naming".
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Figures = dict[str, dict[str, float]]
"""By metric, the values by the value of its label; "" where it has none."""


class _Kind(NamedTuple):
    """What a metric is."""

    help: str
    label: str | None = None


_LAST = "of the last complete run"
METRICS: Mapping[str, _Kind] = {
    "oldump_last_start_timestamp_seconds": _Kind("When the last run began."),
    "oldump_last_success_timestamp_seconds": _Kind("When the last run ended that is complete."),
    "oldump_last_archived_timestamp_seconds": _Kind("When the last run ended that is complete and archived."),
    "oldump_last_failure_timestamp_seconds": _Kind("When the last run ended that failed."),
    "oldump_last_failure_exit_code": _Kind("The exit code of the last run that failed."),
    "oldump_dump_date_timestamp_seconds": _Kind(f"The date {_LAST}, its midnight in UTC."),
    "oldump_run_duration_seconds": _Kind(f"What the stages {_LAST} took, together."),
    "oldump_stage_duration_seconds": _Kind(f"What a stage {_LAST} took.", "stage"),
    "oldump_peak_memory_bytes": _Kind(f"Memory {_LAST} at its peak, all processes together."),
    "oldump_artifact_records": _Kind(f"Records, or rows, in an artifact {_LAST}.", "artifact"),
    "oldump_artifact_size_bytes": _Kind(f"The size of an artifact {_LAST}.", "artifact"),
    "oldump_dump_records": _Kind(f"Records of a type in the dump {_LAST}.", "type"),
    "oldump_rows": _Kind(f"Rows of table data {_LAST}."),
    "oldump_rejects": _Kind(f"Rows {_LAST} that could not become records.", "reason"),
    "oldump_drops": _Kind(f"Rows {_LAST} that were left out on purpose.", "reason"),
}
"""All are gauges: they say how it was, and do not count on."""


class _Families(Collector):
    """What the library makes its text from."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """The metrics that have a value."""
        for name, kind in METRICS.items():
            if name in self._figures:
                family = GaugeMetricFamily(name, kind.help, labels=[kind.label] if kind.label else [])
                for label, value in sorted(self._figures[name].items()):
                    family.add_metric([label] if kind.label else [], value)
                yield family


def text_of(figures: Figures) -> bytes:
    """The file's text."""
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    return generate_latest(registry)


def figures_in(text: str) -> Figures:
    """What an earlier file says. Raises ValueError if it is none."""
    try:
        families = list(text_string_to_metric_families(text))
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # the parser is not strict
        raise ValueError(f"{type(error).__name__}: {error}") from error
    figures: Figures = {}
    for family in families:
        kind = METRICS.get(family.name)
        if kind is not None:
            figures[family.name] = {
                sample.labels.get(kind.label, "") if kind.label else "": sample.value for sample in family.samples
            }
    return figures
