"""Metrics of runs, as the text file that node_exporter's textfile collector reads.

Does not: read or write the file (see monitoring.metrics_file).

Source: Prometheus, "Exposition formats" and "Metric and label naming".
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Figures = dict[str, dict[str, float]]
"""The values of each metric by the value of its label; "" if the metric has no label."""


class _MetricKind(NamedTuple):
    """The help text and the label of a metric."""

    help: str
    label: str | None = None


_LAST = "of the last complete run"
METRICS: Mapping[str, _MetricKind] = {
    "oldump_last_start_timestamp_seconds": _MetricKind("When the last run started."),
    "oldump_last_success_timestamp_seconds": _MetricKind("When the last complete run ended."),
    "oldump_last_archived_timestamp_seconds": _MetricKind("When the last complete and archived run ended."),
    "oldump_last_failure_timestamp_seconds": _MetricKind("When the last failed run ended."),
    "oldump_last_failure_exit_code": _MetricKind("The exit code of the last failed run."),
    "oldump_dump_date_timestamp_seconds": _MetricKind(f"The date {_LAST}, as midnight in UTC."),
    "oldump_run_duration_seconds": _MetricKind(f"The duration of all stages {_LAST}."),
    "oldump_stage_duration_seconds": _MetricKind(f"The duration of a stage {_LAST}.", "stage"),
    "oldump_peak_memory_bytes": _MetricKind(f"The peak memory of all processes {_LAST}."),
    "oldump_artifact_records": _MetricKind(f"Records or rows in an artifact {_LAST}.", "artifact"),
    "oldump_artifact_size_bytes": _MetricKind(f"The size of an artifact {_LAST}.", "artifact"),
    "oldump_dump_records": _MetricKind(f"Records of a type in the dump {_LAST}.", "type"),
    "oldump_rows": _MetricKind(f"Rows of table data {_LAST}."),
    "oldump_rejects": _MetricKind(f"Rows {_LAST} that could not become records.", "reason"),
    "oldump_drops": _MetricKind(f"Rows {_LAST} that were dropped on purpose.", "reason"),
}
"""All metrics are gauges: they describe the last run and do not add up over runs."""


class _Families(Collector):
    """The metrics in the form that the library formats."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a value."""
        for name, kind in METRICS.items():
            if name in self._figures:
                family = GaugeMetricFamily(name, kind.help, labels=[kind.label] if kind.label else [])
                for label, value in sorted(self._figures[name].items()):
                    family.add_metric([label] if kind.label else [], value)
                yield family


def text_of(figures: Figures) -> bytes:
    """Return the metrics in the text format."""
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    return generate_latest(registry)


def figures_in(text: str) -> Figures:
    """Return the figures in the text of a metrics file. Raises ValueError if it is not valid."""
    try:
        families = list(text_string_to_metric_families(text))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
    ) as error:  # the parser raises these for invalid text
        raise ValueError(f"{type(error).__name__}: {error}") from error
    figures: Figures = {}
    for family in families:
        kind = METRICS.get(family.name)
        if kind is not None:
            figures[family.name] = {
                sample.labels.get(kind.label, "") if kind.label else "": sample.value for sample in family.samples
            }
    return figures
