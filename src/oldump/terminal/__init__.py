"""Live progress and tables on a terminal."""
