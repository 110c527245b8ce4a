"""The rules of `promtool check metrics`, as Prometheus documents them."""

import re

from prometheus_client.parser import text_string_to_metric_families


def complaints(text: str) -> list[str]:
    """Return the complaints that `promtool check metrics` would have."""
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
