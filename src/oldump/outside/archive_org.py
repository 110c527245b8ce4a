"""archive.org through the library `internetarchive`: read an item from the catalogue, upload a file.

The only module that imports that library, which is an extra. Every error of the library becomes an ArchiveError without
keys: addresses, headers and causes may contain them.

Does not: retry; each call is one request, and the library's own retries are off (see oldump.outside.retries).
"""

import configparser
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import internetarchive
import requests
from internetarchive.auth import S3Auth
from internetarchive.exceptions import AuthenticationError

from oldump.errors import (
    ArchiveError,
    ArchiveRefused,
    ArchiveUnreachable,
    ConfigurationError,
    StorageError,
    storage_errors,
)
from oldump.outside.items import Item, ItemFile, Upload

_TIMEOUT_SECONDS = (60.0, 600.0)
"""Limits for connecting or sending a piece of a file, and for the answer, which takes long after a big file."""
_TRANSIENT = {408, 409, 425, 429}
_TRANSIENT_CODES = {"BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "OperationAborted"}
"""S3 error codes of transient failures whatever the HTTP status, such as a body that was damaged or cut on its way."""
_SHOWN_CHARACTERS = 300
_REPORT_BYTES = 1 << 20
_KEYS_HINT = "Get keys at https://archive.org/account/s3.php or with `ia configure`, and check that ia.ini has them."
_HINTS = {
    400: "Check the archive_… settings: a wrong collection or item name is refused every time.",
    401: _KEYS_HINT,
    403: "Check that the account of the keys in ia.ini may write to the collection and owns the item; "
    "archive.org staff grant that privilege.",
    404: "Check that the collection exists, and that its name is spelled as in its address.",
}


class ArchiveOrg:
    """archive.org, used with the keys of one account."""

    def __init__(self, ia_config: Path | None, timeout_seconds: tuple[float, float] = _TIMEOUT_SECONDS) -> None:
        """Read the keys, without a request. ia_config: the path of ia.ini; None for the library's default.

        Raises ConfigurationError if the file cannot be read, ArchiveRefused if it has no keys.
        """
        self._session = _session(ia_config)
        self._timeout = timeout_seconds
        self._keys = [self._session.access_key or "", self._session.secret_key or ""]
        if not all(self._keys):
            raise ArchiveRefused(f"{ia_config or 'ia.ini'}: no keys for archive.org", _KEYS_HINT)
        self._auth = S3Auth(*self._keys)
        self._s3 = f"{self._session.protocol}//s3.us.archive.org"

    def username(self) -> str:
        """Return the name of the account that the keys belong to. Raises ArchiveError."""
        answer = self._get_json("the keys", self._s3, {"check_auth": "1"})
        if answer.get("error") or answer.get("authorized") is False:
            raise ArchiveRefused(f"the keys: archive.org says {self._redacted(answer.get('error'))}", _KEYS_HINT)
        return str(answer.get("username", ""))

    def is_overloaded(self, item: str) -> bool:
        """Whether archive.org accepts no uploads now from this account or for this item. Raises ArchiveError."""
        parameters = {"check_limit": "1", "accesskey": self._keys[0], "bucket": item}
        return bool(self._get_json("the limit", self._s3, parameters).get("over_limit", 1))

    def item(self, identifier: str) -> Item:
        """Return the item, without files if it does not exist. Raises ArchiveError."""
        url = f"{self._session.protocol}//{self._session.host}/metadata/{quote(identifier)}"
        answer = self._get_json(identifier, url, {})
        if answer.get("is_dark"):
            raise ArchiveRefused(f"{identifier}: archive.org staff have made the item dark", "Ask them to undo it.")
        try:
            files = {str(file["name"]): _entry(file) for file in answer.get("files", [])}
            return Item(files, dict(answer.get("metadata", {})))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArchiveUnreachable(f"{identifier}: its metadata cannot be read ({type(error).__name__})") from error

    def send(self, upload: Upload, report: Callable[[int], None]) -> None:
        """Upload the file, without derived files. report: called with the number of bytes sent.

        Raises ArchiveError, and StorageError if the file cannot be read or changes meanwhile.
        """
        body = _Body(upload.path, report)
        more = {"x-archive-ignore-preexisting-bucket": "1"} if upload.renews else {}
        if upload.item_bytes:
            more["x-archive-size-hint"] = str(upload.item_bytes)
        try:
            with self._translated(f"{upload.item}/{upload.path.name}"):
                # with some metadata; otherwise the library requests it
                item = self._session.get_item(upload.item, {"metadata": {"identifier": upload.item}})
                item.upload_file(
                    body,
                    key=upload.path.name,
                    metadata=dict(upload.metadata),
                    headers={"Content-MD5": upload.md5, **more},
                    queue_derive=False,
                    request_kwargs={"timeout": self._timeout},
                )
        except ArchiveError as error:
            if body.is_read and body.md5 != upload.md5:
                raise StorageError(
                    f"{upload.path}: changed while it was uploaded", "Find out which process writes to it."
                ) from error
            raise
        finally:
            body.close()

    def _get_json(self, what: str, url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object that answers a GET."""
        with self._translated(what):
            response = self._session.get(url, params=dict(parameters), auth=self._auth, timeout=self._timeout)
            response.raise_for_status()
            answer = response.json()
        if not isinstance(answer, dict):
            raise ArchiveUnreachable(f"{what}: archive.org's answer is not a JSON object")
        return answer

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Translate errors of the library, of requests and of the system to ArchiveErrors without keys."""
        try:
            yield
            return
        except (AuthenticationError, OSError) as error:  # those of requests are OSErrors
            failure, cause = self._failure(what, error), self._cause(error)
        raise failure from cause

    def _failure(self, what: str, error: Exception) -> ArchiveError:
        response = getattr(error, "response", None)
        if response is not None:
            return self._refusal(what, response)
        innermost = _innermost(error)
        message = f"{what}: archive.org: {self._redacted(f'{type(innermost).__name__}: {innermost}')}"
        if isinstance(error, AuthenticationError):
            return ArchiveRefused(message, _KEYS_HINT)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ArchiveRefused(
                message, "Check for a proxy that answers for archive.org: its certificate is not trusted."
            )
        return ArchiveUnreachable(message, "Check that this machine can reach archive.org, then rerun.")

    def _refusal(self, what: str, response: "requests.Response") -> ArchiveError:
        """Return the error for an answer that is not 2xx."""
        status, (code, text) = response.status_code, _s3_error(response)
        response.close()
        message = f"{what}: archive.org answers {status} {self._redacted(f'{code} {text}')}"
        is_transient = status >= 500 or status in _TRANSIENT or code in _TRANSIENT_CODES
        if is_transient and "appears to be spam" not in text:
            hint = "Rerun later: files that were uploaded are not sent again."
            return ArchiveUnreachable(message, hint, retry_after_seconds(response.headers.get("Retry-After", "")))
        return ArchiveRefused(message, _HINTS.get(status, "See https://archive.org/services/docs for what it means."))

    def _redacted(self, text: object) -> str:
        """Return a text without keys, on one line and cut to a length that can be shown."""
        shown = str(text)
        for key in self._keys:
            for spelled in (key, quote(key, safe=""), quote(key)):
                shown = shown.replace(spelled, "…")
        return " ".join(shown.split())[:_SHOWN_CHARACTERS]

    def _cause(self, error: Exception) -> Exception:
        """Return an error with the redacted text, because the original and its causes may contain keys."""
        return ConnectionError(self._redacted(f"{type(error).__name__}: {error}"))


class _Body:
    """A file that computes the MD5 of what is read from it and reports how much that is."""

    def __init__(self, path: Path, report: Callable[[int], None]) -> None:
        self._path, self._report = path, report
        self.name = str(path)
        with storage_errors(path):
            self._stream = path.open("rb")
            self._size_bytes = path.stat().st_size
        self._sum = hashlib.md5(usedforsecurity=False)
        self._summed_bytes = self._reported_bytes = 0

    @property
    def is_read(self) -> bool:
        """Whether the whole file was read, in order."""
        return self._summed_bytes >= self._size_bytes

    @property
    def md5(self) -> str:
        """The MD5 of what was read."""
        return self._sum.hexdigest()

    def read(self, size_bytes: int = -1) -> bytes:
        """Return the next bytes. Raises StorageError."""
        with storage_errors(self._path):
            piece = self._stream.read(size_bytes)
        self._sum.update(piece)
        self._summed_bytes += len(piece)
        if not piece or self._summed_bytes >= self._reported_bytes + _REPORT_BYTES:
            self._reported_bytes = self._summed_bytes
            self._report(self._summed_bytes)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces: requests recognizes a stream by this method, but then calls `read`."""
        return iter(lambda: self.read(1 << 16), b"")

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek, and restart the checksum: after a redirect, requests sends the body from its start."""
        self._sum = hashlib.md5(usedforsecurity=False)
        self._summed_bytes = self._reported_bytes = 0
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _session(ia_config: Path | None) -> internetarchive.ArchiveSession:
    """Return a session of the library without retries and logging. Raises ConfigurationError."""
    if ia_config is not None and not ia_config.is_file():
        raise ConfigurationError(
            f"ia_config: {ia_config} is not a file. Create it with `ia --config-file … configure`."
        )
    config: dict[str, dict[str, object]] = {"logging": {"level": ""}}
    try:
        session = _session_with(config, ia_config)
        if (
            session.config.get("general", {}).get("secure") == "False"
        ):  # the text "False", which the library takes for true
            session = _session_with({**config, "general": {"secure": False}}, ia_config)
        return session
    except (configparser.Error, ValueError, OSError) as error:
        kind = type(error).__name__  # its text may quote a line with a key
    raise ConfigurationError(f"{ia_config or 'ia.ini'}: cannot be read ({kind}). Create it with `ia configure`.")


def _session_with(config: dict[str, dict[str, object]], ia_config: Path | None) -> internetarchive.ArchiveSession:
    path = str(ia_config) if ia_config else None
    return internetarchive.get_session(config, config_file=path, http_adapter_kwargs={"max_retries": 0})


def _innermost(error: BaseException) -> BaseException:
    """Return the system's error inside an error of requests, which wraps one of urllib3."""
    wrapped = [each for each in (getattr(error, "reason", None), *error.args) if isinstance(each, BaseException)]
    return _innermost(wrapped[-1]) if wrapped else error


def _entry(file: Mapping[str, Any]) -> ItemFile:
    size = file.get("size")
    return ItemFile(None if size is None else int(size), file.get("md5"), str(file.get("mtime", "")))


def _s3_error(response: "requests.Response") -> tuple[str, str]:
    """Return code and message of S3's XML; if the answer is not XML, the status's name and the answer's text."""
    try:
        text = response.content.decode(errors="replace")
    except (OSError, RuntimeError):  # the connection broke
        text = ""
    code = re.search(r"<Code>\s*([^<]*?)\s*</Code>", text)
    if code is None:
        return response.reason or "", re.sub(r"<[^>]*>", " ", text)
    message = re.search(r"<Message>\s*([^<]*?)\s*</Message>", text)
    resource = re.search(r"<Resource>\s*([^<]*?)\s*</Resource>", text)
    return code[1], " - ".join(found[1] for found in (message, resource) if found and found[1])


def retry_after_seconds(text: str, now: Callable[[], float] = time.time) -> float:
    """Return the delay of a Retry-After header, seconds or a date (RFC 9110, section 10.2.3); 0 for other text."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (TypeError, ValueError, OverflowError):
        return 0.0
