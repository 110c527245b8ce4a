"""A synthetic `data` table in COPY text: the same arguments give the same bytes."""
