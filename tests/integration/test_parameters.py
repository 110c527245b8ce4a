"""libpq's variables and service files are honoured, before oldump's own defaults."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from integration.conftest import Database
from oldump.outside.postgres.conninfo import public_parameters
from oldump.outside.postgres.session import connect

pytestmark = pytest.mark.postgres

SETTINGS = ("search_path", "application_name", "timezone", "default_transaction_read_only")


def session_values(conninfo: str) -> tuple[str, ...]:
    """Return the session's values of SETTINGS; oldump sets the last two itself."""
    with closing(connect(conninfo)) as connection:
        return tuple(str(row[0]) for name in SETTINGS for row in connection.execute(f"SHOW {name}".encode()))


def test_options_in_variables_are_honoured(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGOPTIONS and PGAPPNAME are honoured, but time zone and read-only mode are fixed."""
    assert session_values(server) == ('"$user", public', "oldump", "UTC", "on")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere -c timezone=Asia/Tokyo")
    monkeypatch.setenv("PGAPPNAME", "monthly")
    assert session_values(server) == ("elsewhere", "monthly", "UTC", "on")
    assert session_values(make_conninfo(server, options="-c search_path=here"))[0] == "here"


@pytest.fixture
def service(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes a service file for `library`, which names the test server."""

    def write(**more: str) -> None:
        parameters = {**conninfo_to_dict(server), **more}
        lines = [f"{name}={value}\n" for name, value in parameters.items() if value]
        (tmp_path / "services").write_text("[library]\n" + "".join(lines))
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))

    return write


@pytest.mark.parametrize("named_by", ["variable", "connection"])
def test_a_service_is_honoured(service: Callable[..., None], monkeypatch: pytest.MonkeyPatch, named_by: str) -> None:
    """A service's values take precedence over the variables, as in libpq."""
    service(options="-c search_path=served", application_name="served", dbname="template1")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    monkeypatch.setenv("PGAPPNAME", "monthly")
    if named_by == "variable":
        monkeypatch.setenv("PGSERVICE", "library")
    conninfo = "service=library" if named_by == "connection" else ""
    assert session_values(conninfo) == ("served", "served", "UTC", "on")
    assert public_parameters(conninfo)["dbname"] == "template1"


def test_the_operator_sets_the_connect_timeout(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default connect timeout applies only if neither the connection nor PGCONNECT_TIMEOUT sets one."""

    def timeout(conninfo: str) -> str:
        with closing(connect(conninfo)) as connection:
            return connection.info.get_parameters()["connect_timeout"]

    assert timeout(server) == "15"
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "77")
    with closing(connect(server)) as connection:
        used = connection.pgconn.info
    assert {each.keyword: each.val for each in used}[b"connect_timeout"] == b"77"
    assert timeout(make_conninfo(server, connect_timeout=9)) == "9"


def test_a_session_is_read_only(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are read-only, whatever PGOPTIONS says."""
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
    with closing(connect(database())) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE x ()")
