"""Read from a log which stages a run has executed."""


def stages_run(err: str) -> list[str]:
    """Return the stages that the log reports as started."""
    return [line.split()[-2].removesuffix(":") for line in err.splitlines() if line.endswith(": started")]
