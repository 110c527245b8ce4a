"""Every setting is documented, and every documented setting exists."""

import re
from pathlib import Path

from oldump.settings import Settings

ROOT = Path(__file__).parents[2]


def test_settings_table_and_example_are_complete() -> None:
    """docs/settings.md has variable and key in one row; oldump.toml.example has the key commented out."""
    names = set(Settings.model_fields)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\|[^|]*\| `OLDUMP_([A-Z_]+)` \| `([a-z_]+)` \|", page)
    assert {key for _, key in rows} == names
    assert all(variable == key.upper() for variable, key in rows)
    example = (ROOT / "oldump.toml.example").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^#([a-z_]+) = ", example)) == names
