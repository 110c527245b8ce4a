"""Read the table that `oldump doctor` prints."""

from commands.command import Ran

HEADING = ["check", "verdict", "found", "what to do"]


def verdicts(ran: Ran) -> dict[str, str]:
    """Return the verdict of each check. Columns are at least two spaces apart."""
    heading, *lines = ran.out.decode().splitlines()
    assert [word.strip() for word in heading.split("  ") if word.strip()] == HEADING
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    return {what: verdict for what, verdict, *_ in cells}
