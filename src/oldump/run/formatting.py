"""Format what people read: sizes, counts and durations; and text that may come from data."""

_SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def format_bytes(size_bytes: float) -> str:
    """Return a size in powers of 1000, such as 31.0 GB."""
    for unit in _SIZE_UNITS[:-1]:
        if size_bytes < 999.95:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} {_SIZE_UNITS[-1]}"


def format_amount(amount: float, unit: str) -> str:
    """Return an amount of a unit, such as 1,234 rows; bytes as `format_bytes` does."""
    return format_bytes(amount) if unit == "bytes" else f"{amount:,.0f} {unit}"


def format_seconds(seconds: float | None) -> str:
    """Return a duration, such as 25 h 01 min; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def printable(text: str, keep: str = "") -> str:
    """Escape control characters, direction marks and lone surrogates, as Python's literals do. keep: exceptions.

    Text from data, servers and file names may contain them, and a terminal would obey them.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text)
