"""What libpq's own variables and service files say holds, and oldump's own wishes stand behind it."""

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

ASKED = ("search_path", "application_name", "timezone", "default_transaction_read_only")


def told(conninfo: str) -> tuple[str, ...]:
    """What a session of oldump's has for ASKED; the last two are oldump's own business."""
    with closing(connect(conninfo)) as connection:
        return tuple(str(row[0]) for name in ASKED for row in connection.execute(f"SHOW {name}".encode()))


def test_options_of_a_variable_hold(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGOPTIONS is not silently ignored; but time zone and the rest are what the dumps need."""
    assert told(server) == ('"$user", public', "oldump", "UTC", "on")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere -c timezone=Asia/Tokyo")
    monkeypatch.setenv("PGAPPNAME", "monthly")
    assert told(server) == ("elsewhere", "monthly", "UTC", "on")
    assert told(make_conninfo(server, options="-c search_path=here"))[0] == "here"


@pytest.fixture
def service(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a service file with the service `library`, which is the server's, and more."""

    def write(**more: str) -> None:
        parameters = {**conninfo_to_dict(server), **more}
        lines = [f"{name}={value}\n" for name, value in parameters.items() if value]
        (tmp_path / "services").write_text("[library]\n" + "".join(lines))
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))

    return write


@pytest.mark.parametrize("named_by", ["variable", "connection"])
def test_a_service_holds(service: Callable[..., None], monkeypatch: pytest.MonkeyPatch, named_by: str) -> None:
    """Its options and its name, before the variables: as libpq has it."""
    service(options="-c search_path=served", application_name="served", dbname="template1")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    monkeypatch.setenv("PGAPPNAME", "monthly")
    if named_by == "variable":
        monkeypatch.setenv("PGSERVICE", "library")
    conninfo = "service=library" if named_by == "connection" else ""
    assert told(conninfo) == ("served", "served", "UTC", "on")
    assert public_parameters(conninfo)["dbname"] == "template1"


def test_patience_is_the_operators(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours for who says nothing; PGCONNECT_TIMEOUT, or what the connection says, for who does."""

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
    """Whatever a variable says."""
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
    with closing(connect(database())) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE x ()")
