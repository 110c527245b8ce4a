"""A table that is printed line by line, as its figures come."""

_NAME_WIDTH = 36
_LEAST_WIDTH = 9


class Table:
    """Names to the left, figures to the right under their headings."""

    def __init__(self, *headings: str) -> None:
        """Print the headings, behind an empty line."""
        self._widths = [max(len(heading), _LEAST_WIDTH) for heading in headings]
        print()
        self.row("", *headings)

    def row(self, name: str, *cells: str) -> None:
        """Print a line."""
        figures = (cell.rjust(width + 2) for cell, width in zip(cells, self._widths, strict=True))
        print(name.ljust(_NAME_WIDTH) + "".join(figures), flush=True)


def count(number: float) -> str:
    """The number in full, thousands apart."""
    return f"{number:,.0f}"


def ratio(number: float) -> str:
    """The number with two decimals."""
    return f"{number:.2f}"


def mebibytes(size_bytes: int) -> str:
    """Whole MiB."""
    return f"{size_bytes >> 20:,}"
