"""Uploads to the fake archive.org with the real library: the result of each kind of answer."""

import logging
import re
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from archive_org.faults import CONCERNS, PASSING, Faults, Kind
from archive_org.request import Action, LoggedRequest
from archive_org.server import ACCOUNT, OTHER_ACCOUNT, ArchiveOrg, archive_org
from archive_org.store import Account
from integration.archiving import TIMEOUT_SECONDS, archived, config_of
from oldump.errors import (
    ArchiveError,
    ArchiveMismatch,
    ArchiveRefused,
    ArchiveUnreachable,
    ConfigurationError,
    OldumpError,
    StorageError,
)
from oldump.outside import archive_org as seam
from oldump.outside.items import Upload
from oldump.outside.retries import RetryPolicy
from oldump.run.folder import RunFolder
from oldump.settings import Settings
from oldump.stages.archive import stage
from oldump.stages.archive.pointer import LATEST
from oldump.stages.archive.site import site_of
from unit.stages.published import DAY, publish

BIG = f"ol_dump_editions_{DAY}.txt.gz"
TEXT = "x" * 300_000


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ArchiveOrg]:
    """Yield a fake archive.org, with this process configured as its client."""
    with archive_org(tmp_path / "archive", faults=Faults(stall_seconds=0.2, retry_after_seconds=1)) as archive:
        for name, value in archive.environment().items():
            monkeypatch.setenv(name, value)
        yield archive


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return a published run with files of some size."""
    return publish(tmp_path / "out", text=TEXT)


def site(ia_config: Path | None = None) -> seam.ArchiveOrg:
    """Return the real client."""
    return seam.ArchiveOrg(ia_config, TIMEOUT_SECONDS)


def upload(tmp_path: Path, item: str = "ol_dump_x", collection: str = "ol_exports") -> Upload:
    """Return a small file for an item."""
    path = tmp_path / "file.txt"
    path.write_bytes(b"hello")
    return Upload(item, path, "5d41402abc4b2a76b9719d911017c592", {"collection": collection, "title": "x"})


def assert_complete(fake: ArchiveOrg, folder: RunFolder) -> None:
    """Require that both items hold exactly the run's files, byte for byte, and that nothing was to be derived."""
    for item in folder.items:
        here = {path.name: path.read_bytes() for path in folder.published(item).iterdir()}
        assert {name: file.read_bytes() for name, file in fake.items[item].files.items()} == here
        assert not any(fake.items[item].derives)


@pytest.mark.parametrize("kind", PASSING, ids=lambda kind: kind.name)
def test_passing_failures_are_retried(fake: ArchiveOrg, folder: RunFolder, kind: Kind) -> None:
    """After any passing failure, at several requests, both items are complete before the pointer moves."""
    for what in CONCERNS[kind]:
        fake.faults.at(1, kind, what).at(3, kind, what)
    archived(folder)
    assert {each for _, each in fake.faults.happened} == {kind}
    assert_complete(fake, folder)
    assert (folder.out / LATEST).exists()


def test_retry_after_is_honoured(fake: ArchiveOrg, folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    """A retry waits as long as Retry-After says, and the log names the delay."""
    fake.faults.at(4, Kind.SLOW_DOWN_RETRY_AFTER, Action.UPLOAD)
    lines = log_lines_of(lambda: archived(folder), caplog)
    (line,) = (line for line in lines if "SlowDown" in line)
    assert "retrying in 1.0 s" in line


def log_lines_of(act: object, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines, including those of libraries, while the function runs."""
    logger = logging.getLogger("oldump")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "oldump"):
            assert callable(act)
            act()
    finally:
        logger.removeHandler(caplog.handler)
    return list(dict.fromkeys(caplog.messages))


@pytest.mark.parametrize(
    ("account", "collection", "message"),
    [
        (OTHER_ACCOUNT, "ol_exports", "403 AccessDenied"),
        (ACCOUNT, "no_such_collection", "403 AccessDenied"),
        (ACCOUNT, "no name at all", "400 InvalidBucketName"),
    ],
    ids=["no privilege", "no collection", "invalid name"],
)
def test_a_missing_privilege_is_reported_at_once(
    fake: ArchiveOrg, tmp_path: Path, account: Account, collection: str, message: str
) -> None:
    """Preflight needs one request to detect a missing privilege, and its error has a hint."""
    ini = config_of(fake, account, tmp_path / "ia.ini")
    settings = Settings.of(archive_collection=collection)
    with pytest.raises(ArchiveRefused, match=message) as caught:
        stage.preflight(site(ini), settings, RetryPolicy(30, 0.01))
    assert caught.value.hint
    assert len(fake.requests(Action.UPLOAD)) == 1
    assert fake.items == {}


@pytest.mark.parametrize(
    ("access", "secret", "message"),
    [("accessKeyOfTheDumps", "wrong", "the keys"), ("nobody", "wrong", "the keys"), ("", "", "no keys")],
)
def test_wrong_keys_are_refused(fake: ArchiveOrg, tmp_path: Path, access: str, secret: str, message: str) -> None:
    """Wrong keys are refused before anything is sent, and the error does not show them."""
    ini = tmp_path / "ia.ini"
    ini.write_text(f"[s3]\naccess = {access}\nsecret = {secret}\n[general]\nscreenname = x\nsecure = false\n")
    with pytest.raises(ArchiveRefused, match=message) as caught:
        stage.preflight(site(ini), Settings.of(), RetryPolicy(30, 0.01))
    assert "ia configure" in str(caught.value)
    assert fake.requests(Action.UPLOAD) == []


@pytest.mark.parametrize(
    "text", ["secret = sesame\n", "[s3]\naccess\nsecret sesame\n", "[general]\nsecure = perhaps\n"]
)
def test_a_broken_ia_ini_is_refused_without_its_text(tmp_path: Path, text: str) -> None:
    """The error about a broken ia.ini does not quote its lines, although the library's does."""
    ini = tmp_path / "ia.ini"
    ini.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        site(ini)
    assert "sesame" not in text_of(caught.value)
    with pytest.raises(ConfigurationError, match="not a file"):
        site(tmp_path / "gone.ini")


def text_of(error: BaseException | None) -> str:
    """Return everything that a traceback of the error would show, including causes and contexts."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(texts)


def test_an_item_of_another_account_is_refused(fake: ArchiveOrg, tmp_path: Path) -> None:
    """An item of another account is refused without a retry."""
    site().send(upload(tmp_path), lambda _: None)
    ini = config_of(fake, OTHER_ACCOUNT, tmp_path / "other.ini")
    with pytest.raises(ArchiveRefused, match="privileges"):
        site(ini).send(upload(tmp_path), lambda _: None)


def test_a_file_that_changed_is_not_uploaded(fake: ArchiveOrg, tmp_path: Path) -> None:
    """A file that changed since its MD5 was committed is not stored, and the error names it."""
    sending = upload(tmp_path)
    sending.path.write_bytes(b"world")
    with pytest.raises(StorageError, match="changed while it was uploaded"):
        site().send(sending, lambda _: None)
    assert fake.items == {} or fake.items["ol_dump_x"].files == {}


def test_a_file_that_is_always_stored_wrong_ends_in_an_error(fake: ArchiveOrg, folder: RunFolder) -> None:
    """If archive.org keeps storing wrong bytes, the upload fails before the manifest is sent or the pointer moves."""
    fake.faults.always(Kind.WRONG_BYTE)
    with pytest.raises((ArchiveMismatch, ArchiveUnreachable)):
        archived(folder, total_seconds=3)
    assert not (folder.out / LATEST).exists()
    assert "manifest.json" not in fake.items[folder.items[1]].files


def test_a_late_listing_is_awaited(fake: ArchiveOrg, folder: RunFolder) -> None:
    """Each file is sent once, even if archive.org lists an upload only after five queries."""
    fake.late_looks = 5
    archived(folder)
    assert_complete(fake, folder)
    assert max(fake.puts().values()) == 1


def test_a_refused_connection_is_retried(folder: RunFolder, fake: ArchiveOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is retried until the time is up, and the error is retryable."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(ArchiveUnreachable) as caught:
        archived(folder, total_seconds=0.1)
    assert caught.value.retryable
    assert not (folder.out / LATEST).exists()


def errors_of_all_requests(fake: ArchiveOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[OldumpError]:
    """Yield errors of every request: no connection, and answers that quote the keys."""
    asking = site()
    questions = (
        asking.username,
        lambda: asking.is_overloaded("x"),
        lambda: asking.item("x"),
        lambda: asking.send(upload(tmp_path), lambda _: None),
    )
    for proxy in (fake.url, "http://127.0.0.1:9"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        for kind in (Kind.RESET_BEFORE_ANSWER, Kind.INTERNAL_ERROR, Kind.RESET_IN_BODY, Kind.DENIED):
            fake.faults.never().always(kind)
            for ask in questions:
                try:
                    ask()
                except OldumpError as error:
                    yield error


def test_no_error_shows_the_keys(fake: ArchiveOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error and none of its causes shows the keys, although libraries quote addresses that contain one."""
    errors = list(errors_of_all_requests(fake, tmp_path, monkeypatch))
    assert len(errors) >= 10
    assert all(isinstance(error, ArchiveError) for error in errors)
    for error in errors:
        assert ACCOUNT.access not in text_of(error)
        assert ACCOUNT.secret not in text_of(error)


class QuotingServer(BaseHTTPRequestHandler):
    """An S3 server that refuses every upload with an error that quotes the keys."""

    def do_PUT(self) -> None:
        """Answer 403."""
        self.rfile.read(int(self.headers["Content-Length"]))
        keys = f"{ACCOUNT.access}:{ACCOUNT.secret}"
        body = f"<Error><Code>AccessDenied</Code><Message>for\n{keys}</Message><Resource>r</Resource></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_keys_that_a_server_quotes_are_not_shown(
    fake: ArchiveOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error shows only code, message and resource of S3's XML, on one line and without keys."""
    client = site()
    with HTTPServer(("127.0.0.1", 0), QuotingServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for name in ("HTTP_PROXY", "http_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
            with pytest.raises(ArchiveRefused, match="AccessDenied for …:… - r"):
                client.send(upload(tmp_path), lambda _: None)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), (" 7 ", 7), ("", 0), ("soon", 0), ("-3", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 37), ("9" * 40, 0)],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    """Retry-After is read as seconds or as a date; any other text means no delay."""
    moment = 784_111_777 - 37
    assert seam.retry_after_seconds(text, now=lambda: moment) == seconds


def test_the_library_does_not_log(
    fake: ArchiveOrg, folder: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library's own logging stays off whatever ia.ini says, because its lines contain keys."""
    ini = config_of(fake, ACCOUNT, tmp_path / "ia.ini")
    ini.write_text(ini.read_text() + "[logging]\nlevel = DEBUG\nlog_to_stdout = true\n")
    fake.faults.at(2, Kind.RESET_IN_BODY, Action.UPLOAD)
    archived(folder, ini)
    assert capfd.readouterr().out == ""


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional library, the error names the command that installs it."""
    monkeypatch.delitem(sys.modules, "oldump.outside.archive_org")
    monkeypatch.setitem(sys.modules, "internetarchive", None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'oldump[archive]'")):
        site_of(None)


def test_metadata_of_a_new_run_replaces_that_of_the_old(fake: ArchiveOrg, tmp_path: Path) -> None:
    """An existing item gets its new description with its first new file."""
    archived(publish(tmp_path / "out"))
    before = str(fake.items[f"ol_dump_{DAY}"].metadata["description"])
    folder = publish(tmp_path / "out", text="longer")
    archived(folder)
    assert_complete(fake, folder)
    assert fake.items[f"ol_dump_{DAY}"].metadata["description"] != before


def test_overload_is_logged(fake: ArchiveOrg, folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    """An overloaded archive.org is reported in the log and does not fail the run."""
    fake.faults.at(1, Kind.OVER_LIMIT, Action.LIMIT)
    assert any("accepts no uploads at the moment" in line for line in log_lines_of(lambda: archived(folder), caplog))


def test_every_request_is_logged_by_its_file(
    fake: ArchiveOrg, folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has bytes, seconds and rate of each file, and the user agent holds no secret key."""
    lines = log_lines_of(lambda: archived(folder), caplog)
    for item in folder.items:
        for path in folder.published(item).iterdir():
            (line,) = (line for line in lines if f"{item}/{path.name} sent" in line)
            assert re.search(r", [0-9,]+ bytes, [0-9.]+ s, [0-9.]+ MB/s$", line)
    request: list[LoggedRequest] = fake.log
    assert not any(ACCOUNT.secret in each.headers.get("user-agent", "") for each in request)


def test_uploads_have_the_size_of_their_item(fake: ArchiveOrg, folder: RunFolder) -> None:
    """The size hint is that of the whole item, as in an upload by the library's own command."""
    archived(folder)
    sizes = {item: sum(path.stat().st_size for path in folder.published(item).iterdir()) for item in folder.items}
    uploads = [request for request in fake.log if request.method == "PUT" and request.item in sizes]
    hints = {(request.item, request.headers["x-archive-size-hint"]) for request in uploads}
    assert hints == {(item, str(size)) for item, size in sizes.items()}
