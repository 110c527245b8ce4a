"""What is not this machine: PostgreSQL, archive.org, notifications."""
