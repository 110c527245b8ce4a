"""Check digits of book numbers."""

import pytest

from oldump.synth.isbn import isbns


@pytest.mark.parametrize(
    ("groups", "ten", "thirteen"),
    [
        ((48, 640, 664), "0486406644", "9780486406640"),
        ((140, 811, 347), "1408113473", "9781408113479"),
        ((80, 442, 957), "080442957X", "9780804429573"),
        ((0, 0, 0), "0000000000", "9780000000002"),
    ],
)
def test_check_digits(groups: tuple[int, int, int], ten: str, thirteen: str) -> None:
    """ISBNs carry the check digits that real books of these numbers carry."""
    assert isbns(*groups) == (ten, thirteen)
