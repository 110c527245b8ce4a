"""PostgreSQL through psycopg: connection settings, sessions, snapshots and COPY."""
