"""Every setting is documented, and every documented one exists."""

import re
from pathlib import Path

from oldump.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_in_the_table_and_in_the_example_and_no_other() -> None:
    """docs/settings.md has variable and key in one row; oldump.toml.example has it commented out."""
    names = set(Settings.model_fields)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\|[^|]*\| `OLDUMP_([A-Z_]+)` \| `([a-z_]+)` \|", page)
    assert {key for _, key in rows} == names
    assert all(variable == key.upper() for variable, key in rows)
    example = (ROOT / "oldump.toml.example").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^#([a-z_]+) = ", example)) == names
