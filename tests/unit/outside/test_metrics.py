"""The text of metrics: what Prometheus wants of it, and that it is read back as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldump.outside.metrics import METRICS, Figures, figures_in, text_of
from promtool import complaints

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
