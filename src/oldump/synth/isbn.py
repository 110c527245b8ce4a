"""ISBNs with valid check digits."""

_DIGITS = tuple(f"{number:03}" for number in range(1000))
_GROUPS = [(number // 100, number // 10 % 10, number % 10) for number in range(1000)]


def _weighed(first: int, second: int, third: int) -> list[int]:
    """Return the weighted sum of the digits of each group of three."""
    return [first * a + second * b + third * c for a, b, c in _GROUPS]


_TEN = (_weighed(10, 9, 8), _weighed(7, 6, 5), _weighed(4, 3, 2))
_THIRTEEN = (_weighed(3, 1, 3), _weighed(1, 3, 1), _weighed(3, 1, 3))
_PREFIX_SUM = 9 + 3 * 7 + 8


def isbns(first: int, second: int, third: int) -> tuple[str, str]:
    """Return ISBN-10 and ISBN-13 of a book, from its nine digits in three groups (each 0 to 999).

    ISO 2108: the weighted sum of an ISBN-10 is a multiple of 11, of an ISBN-13 of 10.
    """
    digits = f"{_DIGITS[first]}{_DIGITS[second]}{_DIGITS[third]}"
    ten = -(_TEN[0][first] + _TEN[1][second] + _TEN[2][third]) % 11
    thirteen = _THIRTEEN[0][first] + _THIRTEEN[1][second] + _THIRTEEN[2][third] + _PREFIX_SUM
    return f"{digits}{'0123456789X'[ten]}", f"978{digits}{-thirteen % 10}"
