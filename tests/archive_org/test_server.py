"""The fake archive.org behaves as archive.org does and injects faults as requested; its client is the real library."""

import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tracemalloc
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Generator
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
import requests
from internetarchive import ArchiveSession, get_session, get_username
from internetarchive.auth import S3Auth
from requests import HTTPError, Response
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout, SSLError

from archive_org.answers import Cut
from archive_org.faults import CONCERNS, PASSING, Faults, Kind
from archive_org.request import Action, LoggedRequest
from archive_org.server import ACCOUNT, OTHER_ACCOUNT, ArchiveOrg, archive_org

ITEM = "ol_dump_2022-07-31"
KEY = "ol_dump_2022-07-31.txt.gz"
METADATA = {"collection": "ol_exports", "title": "Open Library Data Dump 2022-07-31"}
BYTES = bytes(range(256)) * 600


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(name="archive")
def _archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ArchiveOrg]:
    """Run a fake with this process as its client."""
    with archive_org(tmp_path / "archive", faults=Faults(stall_seconds=0.3)) as archive:
        for name, value in archive.environment().items():
            monkeypatch.setenv(name, value)
        yield archive


@pytest.fixture(name="session")
def _session(archive: ArchiveOrg) -> Generator[ArchiveSession]:
    """Return the library's session for the default account, without retries."""
    with _session_with() as session:
        yield session


def _session_with(access: str = "", secret: str = "") -> ArchiveSession:
    keys = {"s3": {"access": access, "secret": secret}} if access else {}
    config = {"general": {"secure": False}, **keys}
    return get_session(config=config, http_adapter_kwargs={"max_retries": 0})


def _upload(session: ArchiveSession, content: bytes = BYTES, key: str = KEY, **more: Any) -> Response:
    """Upload a file as oldump does: with its MD5 and no derivation."""
    arguments = {"metadata": METADATA, "verify": True, "queue_derive": False, **more}
    answer = session.get_item(ITEM, {"uniq": 1}).upload_file(io.BytesIO(content), key=key, **arguments)
    assert isinstance(answer, Response)
    return answer


def _metadata(session: ArchiveSession, item: str = ITEM) -> dict[str, Any]:
    document: dict[str, Any] = session.get_metadata(item)
    return document


def _shown(session: ArchiveSession) -> list[str]:
    return [file["name"] for file in _metadata(session).get("files", []) if file["format"] != "Metadata"]


def _raw(archive: ArchiveOrg, request: bytes) -> bytes:
    """Send bytes on a new connection; return everything received until its end."""
    with socket.create_connection(("127.0.0.1", archive.port)) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _put(path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"PUT http://s3.us.archive.org{path} HTTP/1.1", f"Authorization: LOW {ACCOUNT.access}:{ACCOUNT.secret}"]
    lines += ["x-archive-auto-make-bucket: 1", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# Uploads


@pytest.mark.parametrize("size_bytes", [0, 1, 65_536, 3_000_001])
def test_an_upload_is_stored_byte_for_byte_with_its_digests(
    archive: ArchiveOrg, session: ArchiveSession, size_bytes: int
) -> None:
    """The metadata show its digests, every value as text."""
    content = (BYTES * 20)[:size_bytes]
    assert _upload(session, content).status_code == 200
    assert archive.file(ITEM, KEY) == content
    file = session.get_item(ITEM).get_file(KEY)
    assert (file.metadata["size"], file.size) == (str(size_bytes), size_bytes)
    assert file.md5 == _md5(content)
    assert file.sha1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert file.crc32 == f"{zlib.crc32(content):08x}"
    assert (file.source, file.format) == ("original", "GZIP")


def test_an_item_keeps_the_metadata_of_its_first_upload(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Lists, spaces, non-ASCII text and underscores arrive. A later upload changes them only if it requests that."""
    given = {"collection": "ol_exports", "title": "Öffne Ünï", "subject": ["b", "a"], "open_library": "1"}
    _upload(session, metadata=given)
    _upload(session, key="second", metadata={"collection": "ol_exports", "title": "other"})
    metadata = _metadata(session)["metadata"]
    assert {name: metadata[name] for name in given} == given
    assert (metadata["identifier"], metadata["uploader"]) == (ITEM, ACCOUNT.email)
    insisting = {"x-archive-ignore-preexisting-bucket": "1"}
    _upload(session, key="third", metadata={"collection": "ol_exports", "title": "new"}, headers=insisting)
    assert _metadata(session)["metadata"]["title"] == "new"
    assert archive.items[ITEM].derives == [False] * 3


def test_an_item_starts_with_its_first_upload(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The metadata of a missing item are {}; a collection exists."""
    assert _metadata(session) == {}
    assert not session.get_item(ITEM).exists
    assert session.get_item(ITEM).identifier_available()
    assert session.get_item("ol_exports").metadata["mediatype"] == "collection"
    _upload(session)
    assert session.get_item(ITEM).exists
    assert not session.get_item(ITEM).identifier_available()


def test_parts_of_the_metadata_have_paths(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """As in the metadata API: a part is in `result`, a missing part is an error."""
    _upload(session)
    assert session.get(f"http://archive.org/metadata/{ITEM}/files/0/name").json() == {"result": KEY}
    assert session.get(f"http://archive.org/metadata/{ITEM}/metadata/title").json() == {"result": METADATA["title"]}
    assert "error" in session.get(f"http://archive.org/metadata/{ITEM}/nothing").json()


def test_the_file_list_has_archive_orgs_own_files(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """ITEM_files.xml has neither size nor date: a client that expects them fails here too."""
    _upload(session)
    document = _metadata(session)
    by_name = {file["name"]: file for file in document["files"]}
    assert set(by_name) == {KEY, f"{ITEM}_meta.xml", f"{ITEM}_files.xml"}
    assert set(by_name[f"{ITEM}_files.xml"]) == {"name", "source", "format", "md5"}
    assert document["files_count"] == 3
    assert document["item_size"] == len(BYTES) + int(by_name[f"{ITEM}_meta.xml"]["size"])


def test_a_key_can_be_written_again_and_deleted(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The last upload counts."""
    _upload(session)
    _upload(session, b"second")
    assert archive.file(ITEM, KEY) == b"second"
    assert archive.items[ITEM].uploads == {KEY: 2}
    assert archive.puts() == {(ITEM, KEY): 2}
    session.get_item(ITEM).get_file(KEY).delete()
    assert _shown(session) == []


def test_the_library_skips_equal_files_by_checksum(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """If the MD5 is equal, the library's checksum mode sends nothing."""
    _upload(session)
    session.get_item(ITEM).upload_file(io.BytesIO(BYTES), key=KEY, checksum=True)
    assert archive.puts() == {(ITEM, KEY): 1}


def test_an_empty_item_can_be_made(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """PUT without a key makes an item without files, once."""
    headers = {"x-archive-meta-collection": "ol_exports"}
    auth = S3Auth(ACCOUNT.access, ACCOUNT.secret)
    assert session.put(f"http://s3.us.archive.org/{ITEM}", headers=headers, auth=auth).status_code == 200
    assert _metadata(session)["metadata"]["collection"] == "ol_exports"
    again = session.put(f"http://s3.us.archive.org/{ITEM}", headers=headers, auth=auth)
    assert (again.status_code, b"<Code>BucketAlreadyExists</Code>" in again.content) == (409, True)


def test_a_large_body_is_not_held_in_memory(archive: ArchiveOrg, session: ArchiveSession, tmp_path: Path) -> None:
    """A file of 24 MiB is stored in pieces."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(24 << 20)
    tracemalloc.start()
    try:
        session.get_item(ITEM, {"uniq": 1}).upload_file(str(large), key=KEY, metadata=METADATA)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert archive.items[ITEM].files[KEY].size_bytes == 24 << 20


# Refusals


def _refused(session: ArchiveSession, **more: Any) -> tuple[int, str]:
    with pytest.raises(HTTPError) as caught:
        _upload(session, **more)
    assert caught.value.response is not None
    return caught.value.response.status_code, str(caught.value)


@pytest.mark.parametrize(
    ("access", "secret"), [("nobody", ACCOUNT.secret), (ACCOUNT.access, "wrong"), (OTHER_ACCOUNT.access, "wrong")]
)
def test_wrong_keys_are_refused(archive: ArchiveOrg, access: str, secret: str) -> None:
    """403 as S3's XML, which the library parses; nothing is stored."""
    with _session_with(access, secret) as session:
        status, message = _refused(session)
    assert status == 403
    assert "invalid XML" not in message
    assert archive.items == {}
    assert list((archive.folder / "files").iterdir()) == []


@pytest.mark.parametrize("collection", ["prelinger", "no_such_collection"])
def test_a_collection_without_the_right_to_it_is_refused(
    archive: ArchiveOrg, session: ArchiveSession, collection: str
) -> None:
    """Another account's collection and a missing one give the same answer."""
    refusal = _refused(session, metadata={"collection": collection})
    assert refusal[0] == 403
    assert "Access Denied - You lack sufficient privileges to write to those collections" in refusal[1]


def test_an_invalid_collection_is_bad_content(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """400 with archive.org's own code."""
    status, message = _refused(session, metadata={"collection": "ol exports"})
    assert (status, "Uploaded content is unacceptable." in message) == (400, True)


def test_an_item_of_another_account_is_refused(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Only the account that made an item may write to it; nobody may write to a collection."""
    with _session_with(OTHER_ACCOUNT.access, OTHER_ACCOUNT.secret) as stranger:
        _upload(stranger, metadata={"title": "squatting"})
    status, message = _refused(session)
    assert (status, "You lack sufficient privileges to write to this item" in message) == (403, True)
    with pytest.raises(HTTPError, match="this item"):
        session.get_item("ol_exports").upload_file(io.BytesIO(b""), key="x")


def test_without_auto_make_bucket_there_must_be_an_item(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Without the header, a missing item is 404 NoSuchBucket."""
    status, message = _refused(session, headers={"x-archive-auto-make-bucket": "0"})
    assert (status, "The specified bucket does not exist. - ol_dump" in message) == (404, True)


@pytest.mark.parametrize(
    ("digest", "answer"),
    [
        (_md5(b"hello"), b"HTTP/1.1 200 "),
        (b64encode(bytes.fromhex(_md5(b"hello"))).decode(), b"HTTP/1.1 200 "),
        (_md5(b"other"), b"<Code>BadDigest</Code>"),
        (b64encode(bytes.fromhex(_md5(b"other"))).decode(), b"<Code>BadDigest</Code>"),
        ("no digest", b"<Code>InvalidDigest</Code>"),
    ],
)
def test_a_body_must_match_its_md5(archive: ArchiveOrg, digest: str, answer: bytes) -> None:
    """Base64 as in S3 and hexadecimal as in the library are accepted; a body that differs is not stored."""
    request = _put(f"/{ITEM}/{KEY}", f"Content-MD5: {digest}", "Content-Length: 5", body=b"hello")
    assert answer in _raw(archive, request)
    assert len(list((archive.folder / "files").iterdir())) == (b"200" in answer)


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"PUT http://s3.us.archive.org/-/x", b"<Code>InvalidBucketName</Code>"),
        (b"POST http://s3.us.archive.org/item", b"<Code>MethodNotAllowed</Code>"),
        (b"DELETE http://s3.us.archive.org/item/x", b"<Code>NoSuchBucket</Code>"),
        (b"PUT http://archive.org/metadata/item", b" 405 "),
        (b"GET http://archive.org/nowhere", b" 404 "),
        (b"GET http://archive.org/download/item/x", b" 404 "),
    ],
)
def test_invalid_requests_are_refused(archive: ArchiveOrg, request_line: bytes, answer: bytes) -> None:
    """Invalid methods, names and paths get the answers of S3 and archive.org, with `Connection: close`."""
    keys = f"Authorization: LOW {ACCOUNT.access}:{ACCOUNT.secret}".encode()
    answered = _raw(archive, request_line + b" HTTP/1.1\r\nConnection: close\r\n" + keys + b"\r\n\r\n")
    assert answer in answered
    assert b"\r\nConnection: close\r\n" in answered


# Checks and bodies


def test_keys_are_checked_by_check_auth(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The account's name for valid keys, an error for others."""
    url, ask = "http://s3.us.archive.org", {"check_auth": "1"}
    right = session.get(url, params=ask, auth=S3Auth(ACCOUNT.access, ACCOUNT.secret)).json()
    assert (right["authorized"], right["username"]) == (True, ACCOUNT.email)
    wrong = session.get(url, params=ask, auth=S3Auth(ACCOUNT.access, "wrong")).json()
    assert (wrong["authorized"], "error" in wrong) == (False, True)


def test_the_limit_is_not_reached_by_default(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The library parses check_limit."""
    assert session.s3_is_overloaded(ITEM, ACCOUNT.access) is False
    assert archive.requests(Action.LIMIT)[0].query == {"check_limit": "1", "accesskey": ACCOUNT.access, "bucket": ITEM}


@pytest.mark.parametrize("key", ["wanted", ""])
def test_100_continue_is_sent_only_for_a_body_that_is_needed(archive: ArchiveOrg, key: str) -> None:
    """With `Expect: 100-continue`, a refusal comes before the body is sent."""
    path = f"/{ITEM}/{key}" if key else "/-/x"
    with socket.create_connection(("127.0.0.1", archive.port)) as connection:
        connection.sendall(_put(path, "Expect: 100-continue", "Content-Length: 5"))
        first = connection.recv(1 << 16)
        if key:
            assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"hello")
            assert b" 200 " in connection.recv(1 << 16)
            assert archive.file(ITEM, key) == b"hello"
        else:
            assert (b" 400 " in first, archive.log[0].received_bytes) == (True, 0)


def test_chunked_bodies_are_refused_by_default(archive: ArchiveOrg) -> None:
    """The library says that archive.org accepts none. The fake can, and it can skip one that it refuses."""
    chunks = b"3\r\nhel\r\n2;more=1\r\nlo\r\n0\r\n\r\n"
    request = _put(f"/{ITEM}/{KEY}", "Transfer-Encoding: chunked", body=chunks)
    assert b"<Code>MissingContentLength</Code>" in _raw(archive, request)
    archive.s3.accepts_chunks = True
    assert b" 200 " in _raw(archive, request)
    assert archive.file(ITEM, KEY) == b"hello"
    assert archive.log[1].received_bytes == 5


def test_a_connection_serves_many_requests(archive: ArchiveOrg) -> None:
    """HTTP/1.1: after an upload, a refusal and a download the connection still works."""
    connection = HTTPConnection("127.0.0.1", archive.port)
    keys = {"Authorization": f"LOW {ACCOUNT.access}:{ACCOUNT.secret}", "x-archive-auto-make-bucket": "1"}
    ports = set()
    for path in (f"/{ITEM}/{KEY}", "/-/refused", f"/{ITEM}/{KEY}"):
        connection.request("PUT", f"http://s3.us.archive.org{path}", BYTES, keys)
        answer = connection.getresponse()
        answer.read()
        assert connection.sock is not None
        ports.add(connection.sock.getsockname())
    connection.close()
    assert [request.status for request in archive.log] == [200, 400, 200]
    assert len(ports) == 1


def test_https_is_refused_by_default(archive: ArchiveOrg) -> None:
    """An https client is refused by the proxy: nothing leaves the machine by mistake."""
    with pytest.raises(requests.exceptions.ProxyError, match="501"):
        requests.get("https://archive.org/metadata/nasa", timeout=5)


def test_the_config_is_read(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The keys come from the ia.ini that the environment names; only its owner may read it."""
    assert (session.access_key, session.secret_key) == (ACCOUNT.access, ACCOUNT.secret)
    assert archive.config.stat().st_mode & 0o777 == 0o600


# https


@pytest.fixture(name="secure")
def _secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[ArchiveOrg, ArchiveSession]]:
    """Run a fake that speaks https; the library is unchanged, except that it trusts the certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    with archive_org(tmp_path / "archive", tls=True, faults=Faults(stall_seconds=0.3)) as archive:
        for name, value in archive.environment().items():
            monkeypatch.setenv(name, value)
        with get_session(http_adapter_kwargs={"max_retries": 0}) as session:
            session.verify = str(archive.certificate)
            yield archive, session


def test_the_unchanged_library_speaks_https(secure: tuple[ArchiveOrg, ArchiveSession]) -> None:
    """Upload with a redirect, metadata, keys and download, all over TLS, each under its own host name."""
    archive, session = secure
    archive.faults.at(1, Kind.REDIRECT, Action.UPLOAD)
    _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert _shown(session) == [KEY]
    assert get_username(ACCOUNT.access, ACCOUNT.secret) == ACCOUNT.email
    assert session.get(f"https://archive.org/download/{ITEM}/{KEY}").content == BYTES
    assert {request.scheme for request in archive.log} == {"https"}
    assert {request.host for request in archive.log if request.method == "CONNECT"} == {
        "archive.org",
        "s3.us.archive.org",
        "ia601207.s3dns.us.archive.org",
        "ia801207.us.archive.org",
    }


@pytest.mark.parametrize("kind", [Kind.RESET_IN_BODY, Kind.RESET_AFTER_STORING, Kind.STALL, Kind.SLOW_DOWN_EARLY])
def test_connections_reset_under_tls_too(secure: tuple[ArchiveOrg, ArchiveSession], kind: Kind) -> None:
    """A client sees another kind of error, and the next connection works."""
    archive, session = secure
    archive.faults.at(1, kind, Action.UPLOAD)
    with pytest.raises((HTTPError, NoConnection, ConnectionResetError)):
        _upload(session, BYTES * 50)
    _upload(session, b"again")
    assert archive.file(ITEM, KEY) == b"again"


def test_an_untrusted_certificate_is_refused(secure: tuple[ArchiveOrg, ArchiveSession]) -> None:
    """It is self-signed: a client without it refuses the connection."""
    archive, session = secure
    session.verify = True
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        _upload(session)
    assert [request.method for request in archive.log] == ["CONNECT"]


# Downloads


def test_an_upload_can_be_downloaded(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """From archive.org through a data node, from the S3-like interface, whole and in ranges; and HEAD."""
    _upload(session)
    url = f"http://archive.org/download/{ITEM}/{KEY}"
    assert requests.get(url, timeout=5).content == BYTES
    assert requests.get(f"http://s3.us.archive.org/{ITEM}/{KEY}", timeout=5).content == BYTES
    assert [request.host for request in archive.requests(Action.DOWNLOAD)][:2] == [
        "archive.org",
        "ia801207.us.archive.org",
    ]
    head = requests.head(url, allow_redirects=True, timeout=5)
    assert (head.headers["Content-Length"], head.content) == (str(len(BYTES)), b"")
    assert requests.get(f"{url}.nothing", timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "first", "end"), [("bytes=3-6", 3, 7), ("bytes=100-", 100, None), ("bytes=-5", -5, None)]
)
def test_a_range_can_be_downloaded(
    archive: ArchiveOrg, session: ArchiveSession, wanted: str, first: int, end: int | None
) -> None:
    """206 with the bytes and their position in the file."""
    _upload(session)
    answer = requests.get(f"http://archive.org/download/{ITEM}/{KEY}", headers={"Range": wanted}, timeout=5)
    start, stop, _ = slice(first, end).indices(len(BYTES))
    assert (answer.status_code, answer.content) == (206, BYTES[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"


def test_an_unknown_range_unit_is_ignored(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The whole file is sent."""
    _upload(session)
    url = f"http://archive.org/download/{ITEM}/{KEY}"
    answer = requests.get(url, headers={"Range": "lines=1-2"}, timeout=5)
    assert (answer.status_code, answer.content) == (200, BYTES)


def test_a_range_past_the_end_is_refused(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """416, with the size."""
    _upload(session)
    url = f"http://archive.org/download/{ITEM}/{KEY}"
    answer = requests.get(url, headers={"Range": f"bytes={len(BYTES)}-"}, timeout=5)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(BYTES)}")


# Faults


def _fails_with(session: ArchiveSession, status: int, code: str) -> HTTPError:
    """Require the upload to fail with this status; nothing is stored."""
    with pytest.raises(HTTPError) as caught:
        _upload(session)
    assert caught.value.response is not None
    assert caught.value.response.status_code == status
    assert code in caught.value.response.text
    return caught.value


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (Kind.SLOW_DOWN, 503, "<Code>SlowDown</Code>"),
        (Kind.SLOW_DOWN_RETRY_AFTER, 503, "<Code>SlowDown</Code>"),
        (Kind.INTERNAL_ERROR, 500, "<Code>InternalError</Code>"),
        (Kind.BAD_GATEWAY, 502, "<html>"),
        (Kind.GATEWAY_TIMEOUT, 504, "<html>"),
        (Kind.DENIED, 403, "<Code>AccessDenied</Code>"),
    ],
)
def test_an_upload_fails_with_a_status_once(
    archive: ArchiveOrg, session: ArchiveSession, kind: Kind, status: int, code: str
) -> None:
    """The chosen request fails and nothing is stored; the next one succeeds."""
    archive.faults.at(1, kind)
    error = _fails_with(session, status, code)
    assert error.response is not None
    assert error.response.headers.get("Retry-After") == ("1" if kind is Kind.SLOW_DOWN_RETRY_AFTER else None)
    assert archive.items == {}
    assert (archive.log[0].status, archive.log[0].fault) == (status, kind.name)
    assert archive.log[0].received_bytes == len(BYTES)
    _upload(session)
    assert archive.faults.happened == [(1, kind)]
    assert archive.file(ITEM, KEY) == BYTES


def test_a_slow_down_can_come_before_the_body(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The server ends the connection without reading the body: the client sees a 503 or a broken connection."""
    archive.faults.at(1, Kind.SLOW_DOWN_EARLY)
    with pytest.raises((HTTPError, NoConnection, ConnectionResetError)):
        _upload(session, BYTES * 100)
    assert (archive.log[0].status, archive.log[0].received_bytes) == (503, 0)
    assert archive.items == {}


@pytest.mark.parametrize("content", [BYTES * 100, b"tiny"])
def test_a_connection_is_reset_within_the_body(archive: ArchiveOrg, session: ArchiveSession, content: bytes) -> None:
    """Half has arrived, nothing is stored, and there is no answer."""
    archive.faults.at(1, Kind.RESET_IN_BODY)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session, content)
    assert archive.log[0].received_bytes == len(content) // 2
    assert archive.log[0].status == 0
    assert archive.items == {}
    assert list((archive.folder / "files").iterdir()) == []


def test_a_reset_is_a_tcp_reset(archive: ArchiveOrg) -> None:
    """The connection ends with RST, not with FIN: a plain socket sees it."""
    archive.faults.at(1, Kind.RESET_IN_BODY)
    with pytest.raises(ConnectionResetError):
        _raw(archive, _put(f"/{ITEM}/{KEY}", "Content-Length: 10", body=b"hello"))


def test_a_connection_is_reset_after_the_file_is_stored(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The client cannot know that the file is stored."""
    archive.faults.at(1, Kind.RESET_AFTER_STORING)
    with pytest.raises((NoConnection, ConnectionResetError), match="reset by peer"):
        _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert archive.log[0].status == 0
    assert _shown(session) == [KEY]


def test_the_server_stalls(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client with a shorter time-out gives up; nothing is stored."""
    archive.faults.stall_seconds = 5
    archive.faults.at(1, Kind.STALL).at(2, Kind.STALL)
    with pytest.raises((ReadTimeout, NoConnection), match="timed out"):
        _upload(session, request_kwargs={"timeout": 0.2})
    with pytest.raises(ReadTimeout):
        session.get_metadata(ITEM, {"timeout": 0.2})
    assert archive.items == {}


def test_a_stalled_connection_is_closed(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client with a longer time-out sees the connection end."""
    archive.faults.stall_seconds = 0.05
    archive.faults.at(1, Kind.STALL)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session)


def test_a_redirect_is_followed_with_the_body(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """307 to another host: the library sends keys, headers and the whole body again."""
    archive.faults.at(1, Kind.REDIRECT)
    _upload(session)
    assert [(request.status, request.received_bytes) for request in archive.log] == [
        (307, len(BYTES)),
        (200, len(BYTES)),
    ]
    assert archive.log[0].host != archive.log[1].host
    assert archive.file(ITEM, KEY) == BYTES
    assert _metadata(session)["metadata"]["title"] == METADATA["title"]


def test_an_upload_shows_late(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """For some looks a new item does not exist; then it does."""
    archive.faults.late_looks = 2
    archive.faults.at(1, Kind.LATE_METADATA)
    _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert [_metadata(session) for _ in range(2)] == [{}, {}]
    assert requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5).status_code == 404
    assert _shown(session) == [KEY]
    assert requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5).content == BYTES


def test_a_second_upload_shows_late(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Until then the catalog shows the old file and a pending task, and readers get the old file."""
    archive.faults.late_looks = 1
    archive.faults.at(2, Kind.LATE_METADATA, Action.UPLOAD)
    _upload(session)
    _upload(session, b"new")
    assert requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5).content == BYTES
    old, new = _metadata(session), _metadata(session)
    assert [file["size"] for document in (old, new) for file in document["files"] if file["name"] == KEY] == [
        str(len(BYTES)),
        "3",
    ]
    assert (old["pending_tasks"], "tasks" in old, "pending_tasks" in new) == (True, True, False)


def test_the_last_of_two_late_uploads_shows(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """An upload that was replaced while it waited never shows."""
    archive.late_looks = 2
    _upload(session, b"first")
    archive.late_looks = 1
    _upload(session, b"second")
    shown = [_metadata(session).get("files", []) for _ in range(5)]
    sizes = [file["size"] for files in shown for file in files if file["name"] == KEY]
    assert sizes == ["6"] * 3


def test_reading_the_task_queue_is_a_look_too(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client may poll the tasks instead of the metadata."""
    archive.late_looks = 2
    _upload(session)
    item = session.get_item(ITEM, {"uniq": 1})
    assert item.get_task_summary()["queued"] == 1
    assert [task.args["next_file"] for task in item.get_all_item_tasks()] == [KEY]
    assert item.no_tasks_pending()
    assert _shown(session) == [KEY]


def test_an_item_exists_before_its_files_show(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """An existing item is not necessarily complete (incident 9835)."""
    archive.faults.late_looks = 1
    archive.faults.at(1, Kind.ITEM_FIRST)
    _upload(session)
    item = session.get_item(ITEM)
    assert (item.exists, item.get_file(KEY).exists) == (True, False)
    assert _shown(session) == [KEY]


def test_a_file_is_stored_wrong(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """One byte differs, and the metadata have the MD5 of the stored bytes, though Content-MD5 was right."""
    archive.faults.at(1, Kind.WRONG_BYTE)
    assert _upload(session).status_code == 200
    stored = archive.file(ITEM, KEY)
    assert sum(there != here for there, here in zip(stored, BYTES, strict=True)) == 1
    file = session.get_item(ITEM).get_file(KEY)
    assert file.md5 == _md5(stored) != _md5(BYTES)


def test_the_limit_is_reached(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """check_limit reports it for as long as the fault is set."""
    archive.faults.always(Kind.OVER_LIMIT)
    assert [session.s3_is_overloaded(ITEM, ACCOUNT.access) for _ in range(2)] == [True, True]
    archive.faults.never()
    assert session.s3_is_overloaded(ITEM, ACCOUNT.access) is False


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.INTERNAL_ERROR, "500"),
        (Kind.BAD_GATEWAY, "502"),
        (Kind.UNAVAILABLE, "503"),
        (Kind.GATEWAY_TIMEOUT, "504"),
        (Kind.RESET_BEFORE_ANSWER, "reset by peer"),
    ],
)
def test_metadata_fail(archive: ArchiveOrg, session: ArchiveSession, kind: Kind, status: str) -> None:
    """The chosen request fails, by its number among the metadata requests."""
    archive.faults.at(2, kind, Action.METADATA)
    _upload(session)
    _metadata(session)
    with pytest.raises((HTTPError, NoConnection), match=status):
        _metadata(session)
    assert _shown(session) == [KEY]


def test_a_download_breaks_off(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Half of the file, then a reset."""
    _upload(session)
    archive.faults.at(2, Kind.RESET_IN_BODY, Action.DOWNLOAD)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, NoConnection)):
        requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5)
    assert archive.log[-1].sent_bytes == len(BYTES) // 2


def test_a_fault_affects_only_its_own_requests(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A plan for uploads does not affect other requests."""
    archive.faults.always(Kind.DENIED)
    assert _metadata(session) == {}
    assert archive.faults.happened == []
    with pytest.raises(ValueError, match="cannot occur"):
        archive.faults.at(1, Kind.DENIED, Action.METADATA)


def _plan(faults: Faults, count: int, action: Action = Action.UPLOAD) -> list[Kind | None]:
    return [faults.next(LoggedRequest(number, "PUT", "", "", {}, {}, action=action)) for number in range(count)]


def test_a_plan_follows_from_its_seed() -> None:
    """The same seed gives the same faults, whatever other requests there are; another seed gives others."""
    first, busy = Faults(0.3, 7), Faults(0.3, 7)
    _plan(busy, 50, Action.METADATA)
    assert _plan(first, 200) == _plan(busy, 200)
    assert _plan(Faults(0.3, 8), 200) != _plan(Faults(0.3, 7), 200)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_all_requests_fails_in_every_way(share: float) -> None:
    """Each kind occurs in turn, so none is missing."""
    kinds = [kind for kind in _plan(Faults(share, 1), 1000) if kind is not None]
    assert abs(len(kinds) - share * 1000) < 50
    counts = Counter(kinds)
    possible = {kind for kind in PASSING if Action.UPLOAD in CONCERNS[kind]}
    assert set(counts) == (possible if share else set())
    assert not counts or max(counts.values()) - min(counts.values()) <= 1


def test_a_client_that_retries_succeeds(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """With every third request failing, a client that retries and compares ends with equal files."""
    archive.faults = Faults(0.35, 3, stall_seconds=0.05, late_looks=2)
    contents = {f"part-{number}": BYTES[number:1000] for number in range(30)}
    for _ in range(1000):
        try:
            files = {file["name"]: file for file in _metadata(session).get("files", [])}
            wrong = [key for key in contents if files.get(key, {}).get("md5") != _md5(contents[key])]
            if not wrong:
                break
            _upload(session, contents[wrong[0]], wrong[0])
        except (requests.RequestException, ConnectionResetError):
            continue
    assert {key: archive.file(ITEM, key) for key in contents} == contents
    assert len({kind for _, kind in archive.faults.happened}) > 10


# Log and hooks


def test_the_log_has_every_request(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Method, host, path, status, bytes and keys; its printed form has no keys."""
    _upload(session)
    request = archive.log[0]
    assert (request.number, request.method, request.host, request.path) == (
        1,
        "PUT",
        "s3.us.archive.org",
        f"/{ITEM}/{KEY}",
    )
    assert (request.action, request.item, request.key, request.status) == (Action.UPLOAD, ITEM, KEY, 200)
    assert request.received_bytes == len(BYTES)
    assert request.headers["authorization"] == f"LOW {ACCOUNT.access}:{ACCOUNT.secret}"
    assert request.headers["x-archive-size-hint"] == str(len(BYTES))
    assert ACCOUNT.secret not in repr(request)
    session.s3_is_overloaded(ITEM, ACCOUNT.access)
    assert ACCOUNT.access not in repr(archive.log)


def test_a_hook_sees_the_bytes_and_may_reset(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A test can act in the middle of an upload."""
    seen: list[tuple[str, str, int]] = []

    def cut_at_half(item: str, key: str, received_bytes: int) -> None:
        seen.append((item, key, received_bytes))
        if received_bytes > len(BYTES) // 2:
            raise Cut

    archive.on_bytes = cut_at_half
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session)
    assert seen[-1][:2] == (ITEM, KEY)
    assert len(BYTES) // 2 < seen[-1][2] <= len(BYTES)
    assert archive.items == {}


def test_a_hook_sees_each_request_before_its_answer(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """It may change the answer or reset the connection."""

    def hook(request: LoggedRequest) -> None:
        if request.action is Action.UPLOAD:
            raise Cut
        archive.faults.at(1, Kind.UNAVAILABLE, request.action)

    archive.on_request = hook
    with pytest.raises(HTTPError, match="503"):
        _metadata(session)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session)
    assert archive.items == {}


def test_a_client_that_dies_within_the_body_leaves_nothing(archive: ArchiveOrg) -> None:
    """The received part is discarded, and the fake continues."""
    answered = threading.Event()
    archive.on_answer = lambda _: answered.set()
    with socket.create_connection(("127.0.0.1", archive.port)) as connection:
        connection.sendall(_put(f"/{ITEM}/{KEY}", "Content-Length: 1000", body=b"only this"))
    assert answered.wait(5)
    assert (archive.log[0].status, archive.log[0].received_bytes) == (0, 9)
    assert archive.items == {}
    assert list((archive.folder / "files").iterdir()) == []


def test_it_can_be_paused(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """No request proceeds until it is resumed."""
    arrived = threading.Event()
    archive.on_request = lambda _: arrived.set()
    archive.pause()
    with pytest.raises(ReadTimeout):
        session.get_metadata(ITEM, {"timeout": 0.2})
    assert arrived.wait(10)
    assert archive.log[0].status == 0
    archive.resume()
    assert _metadata(session) == {}


def test_an_error_of_the_fake_is_not_a_fault(tmp_path: Path) -> None:
    """An error of a hook or of the fake itself is raised at the end: a client's retry cannot hide it."""

    def mistaken(_: LoggedRequest) -> None:
        raise LookupError("mistaken")

    with pytest.raises(LookupError, match="mistaken"):
        _serve_one(tmp_path, mistaken)


def _serve_one(folder: Path, on_request: Callable[[LoggedRequest], None]) -> None:
    with archive_org(folder) as archive:
        archive.on_request = on_request
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            _get(archive, f"http://archive.org/metadata/{ITEM}")


def _get(archive: ArchiveOrg, url: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", archive.port)
    try:
        connection.request("GET", url)
        return connection.getresponse()
    finally:
        connection.close()


def test_it_can_be_run_by_hand(tmp_path: Path) -> None:
    """It prints the client's environment variables, injects faults, shows no keys, and ends on SIGTERM."""
    tests = Path(__file__).parents[1]
    arguments = ["--folder", str(tmp_path), "--share", "1", "--kinds", "UNAVAILABLE", "--verbose"]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "archive_org", *arguments],
        env={**os.environ, "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        proxy = next(line.partition("=")[2].strip() for line in lines if line.startswith("export http_proxy="))
        answer = requests.get("http://archive.org/metadata/x", proxies={"http": proxy}, timeout=5)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=10)
    assert answer.status_code == 503
    assert f"export IA_CONFIG_FILE={tmp_path / 'ia.ini'}\n" in lines
    assert "1 requests, 1 of them with a fault" in rest
    assert ACCOUNT.secret not in rest
    assert process.returncode == 0
