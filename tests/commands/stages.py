"""Read from a log which stages a run has executed."""


def stages_run(err: str) -> list[str]:
    """The stages that a run's log says have begun."""
    return [line.split()[-2].removesuffix(":") for line in err.splitlines() if line.endswith(": started")]
