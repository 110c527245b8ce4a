"""A password that must appear in no output."""

SECRET = "s3cr3t"  # noqa: S105 - it protects nothing
