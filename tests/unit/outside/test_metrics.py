"""The text of metrics: what Prometheus wants of it, and that it is read back as it was written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from oldump.outside.metrics import METRICS, Figures, figures_in, text_of

LABELS = ("works", 'a "quoted" \\ back\\slash', "two\nlines", "é")
FIGURES: Figures = {
    name: dict.fromkeys(LABELS, 1.5e9) if kind.label else {"": 1_659_225_600.0} for name, kind in METRICS.items()
}


def test_what_is_written_is_read_back() -> None:
    """Whatever a label's value is made of."""
    assert figures_in(text_of(FIGURES).decode()) == FIGURES
    assert figures_in(text_of({}).decode()) == {}


def test_what_others_wrote_is_not_ours() -> None:
    """A metric that no version of ours knows is not kept."""
    assert figures_in("# TYPE other gauge\nother 1\n") == {}


@given(st.text() | st.text(alphabet='oldump_rows{}=" \n#0123456789').map("oldump_rows{}".__add__))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is read, or refused as ValueError, which the caller foresees."""
    try:
        read = figures_in(text)
    except ValueError:
        return
    assert set(read) <= set(METRICS)


def complaints(text: str) -> list[str]:
    """What `promtool check metrics` would complain of: its rules, as Prometheus documents them."""
    found = []
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    found += [f"{name}: twice" for name in names if names.count(name) > 1]
    for family in families:
        if not family.documentation:
            found.append(f"{family.name}: no help")
        if family.type == "unknown":
            found.append(f"{family.name}: no type")
        if not re.fullmatch(r"oldump_[a-z]+(_[a-z]+)*", family.name):
            found.append(f"{family.name}: not snake_case, or without our prefix")
        if family.type == "counter" or re.search(r"_(total|count|sum|bucket|info)$", family.name):
            found.append(f"{family.name}: a counter's name, or a counter")
        if re.search(r"_(ms|milliseconds|minutes|hours|days|kb|kilobytes|mb|gb|percent)(_|$)", family.name):
            found.append(f"{family.name}: not in base units")
        series = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        found += [f"{family.name}: {each} twice" for each in series if series.count(each) > 1]
        found += [f"{family.name}: {len(each)} labels" for each in series if len(each) > 1]
    return found


def test_prometheus_has_nothing_to_complain_of() -> None:
    """Each metric with help and type, once; names in base units."""
    assert complaints(text_of(FIGURES).decode()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("oldump_rows 1\n", "no type"),
        ("# TYPE oldump_rows gauge\noldump_rows 1\n", "no help"),
        ("# HELP oldump_a x\n# TYPE oldump_a counter\noldump_a_total 1\n", "a counter"),
        ("# HELP oldump_kb x\n# TYPE oldump_kb gauge\noldump_kb 1\n", "not in base units"),
        ("# HELP Rows x\n# TYPE Rows gauge\nRows 1\n", "not snake_case"),
        ("# HELP oldump_a x\n# TYPE oldump_a gauge\noldump_a 1\noldump_a 2\n", "twice"),
    ],
)
def test_a_complaint_would_be_found(text: str, complaint: str) -> None:
    """Each rule above sees what it is for."""
    assert any(complaint in each for each in complaints(text))
