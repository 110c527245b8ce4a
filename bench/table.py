"""A table that is printed line by line, while the benchmark runs."""

_NAME_WIDTH = 36
_MIN_WIDTH = 9


class Table:
    """A table with names on the left, and right-aligned figures under their headings."""

    def __init__(self, *headings: str) -> None:
        """Print an empty line and the headings."""
        self._widths = [max(len(heading), _MIN_WIDTH) for heading in headings]
        print()
        self.row("", *headings)

    def row(self, name: str, *cells: str) -> None:
        """Print a line."""
        figures = (cell.rjust(width + 2) for cell, width in zip(cells, self._widths, strict=True))
        print(name.ljust(_NAME_WIDTH) + "".join(figures), flush=True)


def count(number: float) -> str:
    """Return the integer with thousands separators."""
    return f"{number:,.0f}"


def ratio(number: float) -> str:
    """Return the number with two decimals."""
    return f"{number:.2f}"


def mebibytes(size_bytes: int) -> str:
    """Return the size in whole MiB."""
    return f"{size_bytes >> 20:,}"
