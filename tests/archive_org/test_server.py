"""The fake archive.org does what archive.org does, and fails as it is told to: the real library is its client."""

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
from archive_org.asked import Asked, What
from archive_org.faults import CONCERNS, PASSING, Faults, Kind
from archive_org.server import ACCOUNT, OTHER_ACCOUNT, ArchiveOrg, archive_org

ITEM = "ol_dump_2022-07-31"
KEY = "ol_dump_2022-07-31.txt.gz"
METADATA = {"collection": "ol_exports", "title": "Open Library Data Dump 2022-07-31"}
BYTES = bytes(range(256)) * 600


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(name="archive")
def _archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ArchiveOrg]:
    """A fake, and this process a client of it."""
    with archive_org(tmp_path / "archive", faults=Faults(still_seconds=0.3)) as archive:
        for name, value in archive.environment().items():
            monkeypatch.setenv(name, value)
        yield archive


@pytest.fixture(name="session")
def _session(archive: ArchiveOrg) -> Generator[ArchiveSession]:
    """The library, as the default account, trying nothing again by itself."""
    with _session_with() as session:
        yield session


def _session_with(access: str = "", secret: str = "") -> ArchiveSession:
    keys = {"s3": {"access": access, "secret": secret}} if access else {}
    config = {"general": {"secure": False}, **keys}
    return get_session(config=config, http_adapter_kwargs={"max_retries": 0})


def _upload(session: ArchiveSession, content: bytes = BYTES, key: str = KEY, **more: Any) -> Response:
    """Upload something as oldump would: with its MD5, and no derivation."""
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
    """What comes back on a connection of one's own, till it ends."""
    with socket.create_connection(("127.0.0.1", archive.port)) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _put(path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"PUT http://s3.us.archive.org{path} HTTP/1.1", f"Authorization: LOW {ACCOUNT.access}:{ACCOUNT.secret}"]
    lines += ["x-archive-auto-make-bucket: 1", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ------------------------------------------------------------------------------------------------------ uploading ---


@pytest.mark.parametrize("size_bytes", [0, 1, 65_536, 3_000_001])
def test_an_upload_is_kept_byte_for_byte_and_its_digests_are_shown(
    archive: ArchiveOrg, session: ArchiveSession, size_bytes: int
) -> None:
    """What the library sends is what is stored, and the metadata say so, every value as text."""
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
    """Lists, spaces, other alphabets and underscores arrive; a later upload changes nothing, unless it insists."""
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


def test_there_is_no_item_before_its_first_upload(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The metadata of what does not exist are {}; those of a collection exist."""
    assert _metadata(session) == {}
    assert not session.get_item(ITEM).exists
    assert session.get_item(ITEM).identifier_available()
    assert session.get_item("ol_exports").metadata["mediatype"] == "collection"
    _upload(session)
    assert session.get_item(ITEM).exists
    assert not session.get_item(ITEM).identifier_available()


def test_parts_of_the_metadata_have_paths(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """As the metadata API says: a part is a result, and what is not there is an error."""
    _upload(session)
    assert session.get(f"http://archive.org/metadata/{ITEM}/files/0/name").json() == {"result": KEY}
    assert session.get(f"http://archive.org/metadata/{ITEM}/metadata/title").json() == {"result": METADATA["title"]}
    assert "error" in session.get(f"http://archive.org/metadata/{ITEM}/nothing").json()


def test_the_list_of_files_names_what_archive_org_writes_itself(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """ITEM_files.xml has neither size nor date: a client that expects them of each file fails here too."""
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


def test_the_library_skips_what_is_there_by_its_checksum(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The same MD5 there: the library's own checksum mode sends nothing."""
    _upload(session)
    session.get_item(ITEM).upload_file(io.BytesIO(BYTES), key=KEY, checksum=True)
    assert archive.puts() == {(ITEM, KEY): 1}


def test_a_dry_item_can_be_made(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """PUT without a key makes an item without files, once."""
    headers = {"x-archive-meta-collection": "ol_exports"}
    auth = S3Auth(ACCOUNT.access, ACCOUNT.secret)
    assert session.put(f"http://s3.us.archive.org/{ITEM}", headers=headers, auth=auth).status_code == 200
    assert _metadata(session)["metadata"]["collection"] == "ol_exports"
    again = session.put(f"http://s3.us.archive.org/{ITEM}", headers=headers, auth=auth)
    assert (again.status_code, b"<Code>BucketAlreadyExists</Code>" in again.content) == (409, True)


def test_a_large_body_is_not_held_in_memory(archive: ArchiveOrg, session: ArchiveSession, tmp_path: Path) -> None:
    """A file of 24 MiB passes through in pieces."""
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


# ------------------------------------------------------------------------------------------------------- refusals ---


def _refused(session: ArchiveSession, **more: Any) -> tuple[int, str]:
    with pytest.raises(HTTPError) as caught:
        _upload(session, **more)
    assert caught.value.response is not None
    return caught.value.response.status_code, str(caught.value)


@pytest.mark.parametrize(
    ("access", "secret"), [("nobody", ACCOUNT.secret), (ACCOUNT.access, "wrong"), (OTHER_ACCOUNT.access, "wrong")]
)
def test_wrong_keys_are_refused(archive: ArchiveOrg, access: str, secret: str) -> None:
    """403 in S3's XML, which the library understands; nothing is stored."""
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
    """Somebody else's collection and one that does not exist look the same."""
    refusal = _refused(session, metadata={"collection": collection})
    assert refusal[0] == 403
    assert "Access Denied - You lack sufficient privileges to write to those collections" in refusal[1]


def test_a_collection_that_cannot_be_one_is_bad_content(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """400 with archive.org's own code."""
    status, message = _refused(session, metadata={"collection": "ol exports"})
    assert (status, "Uploaded content is unacceptable." in message) == (400, True)


def test_somebody_elses_item_is_refused(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Only who made an item may write to it; nobody may write to a collection."""
    with _session_with(OTHER_ACCOUNT.access, OTHER_ACCOUNT.secret) as stranger:
        _upload(stranger, metadata={"title": "squatting"})
    status, message = _refused(session)
    assert (status, "You lack sufficient privileges to write to this item" in message) == (403, True)
    with pytest.raises(HTTPError, match="this item"):
        session.get_item("ol_exports").upload_file(io.BytesIO(b""), key="x")


def test_without_auto_make_bucket_there_must_be_an_item(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """404 NoSuchBucket."""
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
def test_a_body_must_have_the_md5_that_it_came_with(archive: ArchiveOrg, digest: str, answer: bytes) -> None:
    """S3's base64 and the library's digits are understood; what arrived otherwise is not kept."""
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
def test_what_makes_no_sense_is_refused(archive: ArchiveOrg, request_line: bytes, answer: bytes) -> None:
    """Wrong methods, names and paths have the answers that S3 and archive.org give; the end is announced."""
    keys = f"Authorization: LOW {ACCOUNT.access}:{ACCOUNT.secret}".encode()
    answered = _raw(archive, request_line + b" HTTP/1.1\r\nConnection: close\r\n" + keys + b"\r\n\r\n")
    assert answer in answered
    assert b"\r\nConnection: close\r\n" in answered


# ----------------------------------------------------------------------------------------------- questions, bodies ---


def test_keys_are_checked_by_check_auth(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The account's name for right keys, an error for wrong ones."""
    url, ask = "http://s3.us.archive.org", {"check_auth": "1"}
    right = session.get(url, params=ask, auth=S3Auth(ACCOUNT.access, ACCOUNT.secret)).json()
    assert (right["authorized"], right["username"]) == (True, ACCOUNT.email)
    wrong = session.get(url, params=ask, auth=S3Auth(ACCOUNT.access, "wrong")).json()
    assert (wrong["authorized"], "error" in wrong) == (False, True)


def test_the_limit_is_not_reached_unless_told(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """check_limit as the library reads it."""
    assert session.s3_is_overloaded(ITEM, ACCOUNT.access) is False
    assert archive.asked(What.LIMIT)[0].query == {"check_limit": "1", "accesskey": ACCOUNT.access, "bucket": ITEM}


@pytest.mark.parametrize("key", ["wanted", ""])
def test_leave_to_send_the_body_is_given_only_where_it_is_wanted(archive: ArchiveOrg, key: str) -> None:
    """With `Expect: 100-continue` a refusal comes without the body having been sent."""
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


def test_bodies_in_chunks_are_refused_as_there_unless_told(archive: ArchiveOrg) -> None:
    """The library says that the interface takes none; the fake can, and can read past one that it refuses."""
    chunks = b"3\r\nhel\r\n2;more=1\r\nlo\r\n0\r\n\r\n"
    request = _put(f"/{ITEM}/{KEY}", "Transfer-Encoding: chunked", body=chunks)
    assert b"<Code>MissingContentLength</Code>" in _raw(archive, request)
    archive.s3.accepts_chunks = True
    assert b" 200 " in _raw(archive, request)
    assert archive.file(ITEM, KEY) == b"hello"
    assert archive.log[1].received_bytes == 5


def test_a_connection_serves_many_requests(archive: ArchiveOrg) -> None:
    """HTTP/1.1: after an upload, a refusal and a download the connection is still good."""
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
    assert [asked.status for asked in archive.log] == [200, 400, 200]
    assert len(ports) == 1


def test_https_goes_nowhere(archive: ArchiveOrg) -> None:
    """A client that speaks https is refused by the proxy: nothing leaves the machine by mistake."""
    with pytest.raises(requests.exceptions.ProxyError, match="501"):
        requests.get("https://archive.org/metadata/nasa", timeout=5)


def test_the_usual_config_is_read(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The keys come from the ia.ini that the environment names; only its owner may read it."""
    assert (session.access_key, session.secret_key) == (ACCOUNT.access, ACCOUNT.secret)
    assert archive.config.stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------------------------------------------------- https ---


@pytest.fixture(name="secure")
def _secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[ArchiveOrg, ArchiveSession]]:
    """A fake that speaks https, and the library as it is, but for whom it trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    with archive_org(tmp_path / "archive", tls=True, faults=Faults(still_seconds=0.3)) as archive:
        for name, value in archive.environment().items():
            monkeypatch.setenv(name, value)
        with get_session(http_adapter_kwargs={"max_retries": 0}) as session:
            session.verify = str(archive.certificate)
            yield archive, session


def test_the_library_as_it_is_speaks_https(secure: tuple[ArchiveOrg, ArchiveSession]) -> None:
    """Upload with a redirect, metadata, keys and download, all over TLS, each on its own host's name."""
    archive, session = secure
    archive.faults.at(1, Kind.REDIRECT, What.UPLOAD)
    _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert _shown(session) == [KEY]
    assert get_username(ACCOUNT.access, ACCOUNT.secret) == ACCOUNT.email
    assert session.get(f"https://archive.org/download/{ITEM}/{KEY}").content == BYTES
    assert {asked.scheme for asked in archive.log} == {"https"}
    assert {asked.host for asked in archive.log if asked.method == "CONNECT"} == {
        "archive.org",
        "s3.us.archive.org",
        "ia601207.s3dns.us.archive.org",
        "ia801207.us.archive.org",
    }


@pytest.mark.parametrize("kind", [Kind.RESET_IN_BODY, Kind.RESET_AFTER_STORING, Kind.STILL, Kind.SLOW_DOWN_EARLY])
def test_connections_break_under_tls_too(secure: tuple[ArchiveOrg, ArchiveSession], kind: Kind) -> None:
    """A broken connection looks different to a client there, and the next one is good."""
    archive, session = secure
    archive.faults.at(1, kind, What.UPLOAD)
    with pytest.raises((HTTPError, NoConnection, ConnectionResetError)):
        _upload(session, BYTES * 50)
    _upload(session, b"again")
    assert archive.file(ITEM, KEY) == b"again"


def test_who_does_not_trust_the_certificate_gets_nothing(secure: tuple[ArchiveOrg, ArchiveSession]) -> None:
    """It is signed by nobody: a client that was told nothing refuses it."""
    archive, session = secure
    session.verify = True
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        _upload(session)
    assert [asked.method for asked in archive.log] == ["CONNECT"]


# ------------------------------------------------------------------------------------------------------ downloads ---


def test_what_was_uploaded_can_be_downloaded(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """From archive.org by way of a data node, from the S3-like interface, whole and in ranges; and HEAD."""
    _upload(session)
    url = f"http://archive.org/download/{ITEM}/{KEY}"
    assert requests.get(url, timeout=5).content == BYTES
    assert requests.get(f"http://s3.us.archive.org/{ITEM}/{KEY}", timeout=5).content == BYTES
    assert [asked.host for asked in archive.asked(What.DOWNLOAD)][:2] == ["archive.org", "ia801207.us.archive.org"]
    head = requests.head(url, allow_redirects=True, timeout=5)
    assert (head.headers["Content-Length"], head.content) == (str(len(BYTES)), b"")
    assert requests.get(f"{url}.nothing", timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "first", "end"), [("bytes=3-6", 3, 7), ("bytes=100-", 100, None), ("bytes=-5", -5, None)]
)
def test_a_range_can_be_downloaded(
    archive: ArchiveOrg, session: ArchiveSession, wanted: str, first: int, end: int | None
) -> None:
    """206 with the very bytes, and where they stand in the file."""
    _upload(session)
    answer = requests.get(f"http://archive.org/download/{ITEM}/{KEY}", headers={"Range": wanted}, timeout=5)
    start, stop, _ = slice(first, end).indices(len(BYTES))
    assert (answer.status_code, answer.content) == (206, BYTES[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"


def test_another_unit_than_bytes_is_no_range(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """What is not understood is left out of account: all is sent."""
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


# --------------------------------------------------------------------------------------------------------- faults ---


def _fails_with(session: ArchiveSession, status: int, code: str) -> HTTPError:
    """The upload fails with this, and nothing is stored."""
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
    """The chosen request fails as chosen, with nothing stored; the next one succeeds."""
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
    """The server reads no body and ends the connection: the client sees a 503 or a broken connection."""
    archive.faults.at(1, Kind.SLOW_DOWN_EARLY)
    with pytest.raises((HTTPError, NoConnection, ConnectionResetError)):
        _upload(session, BYTES * 100)
    assert (archive.log[0].status, archive.log[0].received_bytes) == (503, 0)
    assert archive.items == {}


@pytest.mark.parametrize("content", [BYTES * 100, b"tiny"])
def test_a_connection_is_reset_in_mid_body(archive: ArchiveOrg, session: ArchiveSession, content: bytes) -> None:
    """Half has arrived, nothing is kept, and there is no answer."""
    archive.faults.at(1, Kind.RESET_IN_BODY)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session, content)
    assert archive.log[0].received_bytes == len(content) // 2
    assert archive.log[0].status == 0
    assert archive.items == {}
    assert list((archive.folder / "files").iterdir()) == []


def test_a_reset_is_a_reset(archive: ArchiveOrg) -> None:
    """On the wire it is RST, not an end in good order: a bare socket sees it."""
    archive.faults.at(1, Kind.RESET_IN_BODY)
    with pytest.raises(ConnectionResetError):
        _raw(archive, _put(f"/{ITEM}/{KEY}", "Content-Length: 10", body=b"hello"))


def test_a_connection_is_reset_though_the_file_was_stored(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """The client cannot know: the file is there."""
    archive.faults.at(1, Kind.RESET_AFTER_STORING)
    with pytest.raises((NoConnection, ConnectionResetError), match="reset by peer"):
        _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert archive.log[0].status == 0
    assert _shown(session) == [KEY]


def test_the_server_holds_still(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client with less patience gives up by its own time-out; nothing is stored."""
    archive.faults.still_seconds = 5
    archive.faults.at(1, Kind.STILL).at(2, Kind.STILL)
    with pytest.raises((ReadTimeout, NoConnection), match="timed out"):
        _upload(session, request_kwargs={"timeout": 0.2})
    with pytest.raises(ReadTimeout):
        session.get_metadata(ITEM, {"timeout": 0.2})
    assert archive.items == {}


def test_the_end_of_standing_still_is_the_end_of_the_connection(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client with more patience sees the connection end."""
    archive.faults.still_seconds = 0.05
    archive.faults.at(1, Kind.STILL)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session)


def test_a_redirect_is_followed_with_the_body(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """307 to another host: the library sends keys, headers and the whole body again."""
    archive.faults.at(1, Kind.REDIRECT)
    _upload(session)
    assert [(asked.status, asked.received_bytes) for asked in archive.log] == [(307, len(BYTES)), (200, len(BYTES))]
    assert archive.log[0].host != archive.log[1].host
    assert archive.file(ITEM, KEY) == BYTES
    assert _metadata(session)["metadata"]["title"] == METADATA["title"]


def test_an_upload_shows_late(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """For so many looks a new item does not exist; then it does."""
    archive.faults.late_looks = 2
    archive.faults.at(1, Kind.LATE_METADATA)
    _upload(session)
    assert archive.file(ITEM, KEY) == BYTES
    assert [_metadata(session) for _ in range(2)] == [{}, {}]
    assert requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5).status_code == 404
    assert _shown(session) == [KEY]
    assert requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5).content == BYTES


def test_what_is_written_again_shows_late(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Till then the catalogue shows the old file and says that there is work to do, and readers get the old file."""
    archive.faults.late_looks = 1
    archive.faults.at(2, Kind.LATE_METADATA, What.UPLOAD)
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
    """What waited and was overtaken never shows."""
    archive.late_looks = 2
    _upload(session, b"first")
    archive.late_looks = 1
    _upload(session, b"second")
    shown = [_metadata(session).get("files", []) for _ in range(5)]
    sizes = [file["size"] for files in shown for file in files if file["name"] == KEY]
    assert sizes == ["6"] * 3


def test_the_queue_of_tasks_is_a_look_too(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A client may ask for the tasks instead of the metadata, and gets on."""
    archive.late_looks = 2
    _upload(session)
    item = session.get_item(ITEM, {"uniq": 1})
    assert item.get_task_summary()["queued"] == 1
    assert [task.args["next_file"] for task in item.get_all_item_tasks()] == [KEY]
    assert item.no_tasks_pending()
    assert _shown(session) == [KEY]


def test_an_item_exists_before_its_files_show(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Who takes the item's existence for completeness is wrong (incident 9835)."""
    archive.faults.late_looks = 1
    archive.faults.at(1, Kind.ITEM_FIRST)
    _upload(session)
    item = session.get_item(ITEM)
    assert (item.exists, item.get_file(KEY).exists) == (True, False)
    assert _shown(session) == [KEY]


def test_a_file_is_stored_wrong(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A byte differs, and the metadata have the MD5 of what is stored, though Content-MD5 was right."""
    archive.faults.at(1, Kind.WRONG_BYTE)
    assert _upload(session).status_code == 200
    stored = archive.file(ITEM, KEY)
    assert sum(there != here for there, here in zip(stored, BYTES, strict=True)) == 1
    file = session.get_item(ITEM).get_file(KEY)
    assert file.md5 == _md5(stored) != _md5(BYTES)


def test_the_limit_is_reached(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """check_limit says so for as long as it is told to."""
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
    """The chosen look fails, by its number among the looks."""
    archive.faults.at(2, kind, What.METADATA)
    _upload(session)
    _metadata(session)
    with pytest.raises((HTTPError, NoConnection), match=status):
        _metadata(session)
    assert _shown(session) == [KEY]


def test_a_download_breaks_off(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Half of the file, then a reset."""
    _upload(session)
    archive.faults.at(2, Kind.RESET_IN_BODY, What.DOWNLOAD)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, NoConnection)):
        requests.get(f"http://archive.org/download/{ITEM}/{KEY}", timeout=5)
    assert archive.log[-1].sent_bytes == len(BYTES) // 2


def test_a_kind_that_a_request_cannot_have_does_not_happen_to_it(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """A plan for uploads leaves everything else alone."""
    archive.faults.always(Kind.DENIED)
    assert _metadata(session) == {}
    assert archive.faults.happened == []
    with pytest.raises(ValueError, match="cannot happen"):
        archive.faults.at(1, Kind.DENIED, What.METADATA)


def _plan(faults: Faults, count: int, what: What = What.UPLOAD) -> list[Kind | None]:
    return [faults.next(Asked(number, "PUT", "", "", {}, {}, what=what)) for number in range(count)]


def test_a_plan_follows_from_its_seed() -> None:
    """The same seed gives the same faults whatever else is asked in between; another one gives others."""
    first, busy = Faults(0.3, 7), Faults(0.3, 7)
    _plan(busy, 50, What.METADATA)
    assert _plan(first, 200) == _plan(busy, 200)
    assert _plan(Faults(0.3, 8), 200) != _plan(Faults(0.3, 7), 200)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_all_requests_fails_in_all_the_ways(share: float) -> None:
    """Each way comes in turn, so none is left out."""
    kinds = [kind for kind in _plan(Faults(share, 1), 1000) if kind is not None]
    assert abs(len(kinds) - share * 1000) < 50
    counts = Counter(kinds)
    possible = {kind for kind in PASSING if What.UPLOAD in CONCERNS[kind]}
    assert set(counts) == (possible if share else set())
    assert not counts or max(counts.values()) - min(counts.values()) <= 1


def test_whoever_tries_again_gets_there(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """With every third request failing, a client that repeats and compares ends with equal files."""
    archive.faults = Faults(0.35, 3, still_seconds=0.05, late_looks=2)
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


# ------------------------------------------------------------------------------------------------- seeing, meddling ---


def test_the_log_tells_everything(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Method, host, path, status, bytes and the keys that came; what is printed of it has no keys."""
    _upload(session)
    asked = archive.log[0]
    assert (asked.number, asked.method, asked.host, asked.path) == (1, "PUT", "s3.us.archive.org", f"/{ITEM}/{KEY}")
    assert (asked.what, asked.item, asked.key, asked.status) == (What.UPLOAD, ITEM, KEY, 200)
    assert asked.received_bytes == len(BYTES)
    assert asked.headers["authorization"] == f"LOW {ACCOUNT.access}:{ACCOUNT.secret}"
    assert asked.headers["x-archive-size-hint"] == str(len(BYTES))
    assert ACCOUNT.secret not in repr(asked)
    session.s3_is_overloaded(ITEM, ACCOUNT.access)
    assert ACCOUNT.access not in repr(archive.log)


def test_a_hook_sees_the_bytes_and_may_cut(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """So a test can do something in the very middle of an upload."""
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
    """It may change what is to come, or cut."""

    def hook(asked: Asked) -> None:
        if asked.what is What.UPLOAD:
            raise Cut
        archive.faults.at(1, Kind.UNAVAILABLE, asked.what)

    archive.on_request = hook
    with pytest.raises(HTTPError, match="503"):
        _metadata(session)
    with pytest.raises((NoConnection, ConnectionResetError)):
        _upload(session)
    assert archive.items == {}


def test_a_client_that_dies_in_mid_body_leaves_nothing(archive: ArchiveOrg) -> None:
    """What came of the body is thrown away, and the fake goes on."""
    answered = threading.Event()
    archive.on_answer = lambda _: answered.set()
    with socket.create_connection(("127.0.0.1", archive.port)) as connection:
        connection.sendall(_put(f"/{ITEM}/{KEY}", "Content-Length: 1000", body=b"only this"))
    assert answered.wait(5)
    assert (archive.log[0].status, archive.log[0].received_bytes) == (0, 9)
    assert archive.items == {}
    assert list((archive.folder / "files").iterdir()) == []


def test_it_can_be_paused(archive: ArchiveOrg, session: ArchiveSession) -> None:
    """Nothing goes on till it is resumed."""
    arrived = threading.Event()
    archive.on_request = lambda _: arrived.set()
    archive.pause()
    with pytest.raises(ReadTimeout):
        session.get_metadata(ITEM, {"timeout": 0.2})
    assert arrived.wait(10)
    assert archive.log[0].status == 0
    archive.resume()
    assert _metadata(session) == {}


def test_a_mistake_of_the_fake_is_not_taken_for_a_fault(tmp_path: Path) -> None:
    """What a hook or the fake itself does wrong is raised at the end: no client's retry hides it."""

    def mistaken(_: Asked) -> None:
        raise LookupError("mistaken")

    with pytest.raises(LookupError, match="mistaken"):
        _serve_one(tmp_path, mistaken)


def _serve_one(folder: Path, on_request: Callable[[Asked], None]) -> None:
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
    """It says what a client's environment needs, fails as told, shows no keys, and ends on SIGTERM."""
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
    assert "1 requests, 1 of them failed on purpose" in rest
    assert ACCOUNT.secret not in rest
    assert process.returncode == 0
