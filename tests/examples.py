"""How many examples a property test tries: fewer in `make quick`."""

import os

QUICK = "OLDUMP_TESTS_QUICK"
_QUICK_EXAMPLES = 5


def examples(number: int) -> int:
    """Return the number of examples to try: `number`, or at most 5 where QUICK is set."""
    return min(number, _QUICK_EXAMPLES) if os.environ.get(QUICK) else number
