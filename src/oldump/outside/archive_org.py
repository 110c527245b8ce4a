"""archive.org: items, their files and what its catalogue shows of them, through the library `internetarchive`.

The only module that imports that library: only when it is needed, since it is an extra. One question, one request:
nothing here tries again, and the library's own new tries are off (see oldump.outside.retries). Whatever the library
raises becomes an ArchiveError, in which no key stands: addresses, headers and causes may bear them.
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
"""To connect or to take the next piece of a file; and to answer, which takes long when a big file has arrived."""
_PASSING = {408, 409, 425, 429}
_PASSING_CODES = {"BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "OperationAborted"}
"""Codes of S3 that speak of this one request, whatever their status: the body was damaged or cut on its way, say."""
_TOLD_CHARACTERS = 300
_TOLD_BYTES = 1 << 20
_CHECK_KEYS = "Get keys at https://archive.org/account/s3.php or by `ia configure`, and see that ia.ini has them."
_REMEDIES = {
    400: "See what it says: a wrong collection or name of an item stays wrong. Mend the settings archive_….",
    401: _CHECK_KEYS,
    403: "See that the keys in ia.ini are those of an account that may write to the collection and owns the item; "
    "the people of archive.org grant that right.",
    404: "See that the collection exists, and is spelled as in its address.",
}


class ArchiveOrg:
    """archive.org, with somebody's keys."""

    def __init__(self, ia_config: Path | None, timeout_seconds: tuple[float, float] = _TIMEOUT_SECONDS) -> None:
        """Read the keys; ia_config: the file ia.ini, None for where the library looks. Asks archive.org nothing.

        Raises ConfigurationError if the file cannot be read, ArchiveRefused if there are no keys.
        """
        self._session = _session(ia_config)
        self._timeout = timeout_seconds
        self._keys = [self._session.access_key or "", self._session.secret_key or ""]
        if not all(self._keys):
            raise ArchiveRefused(f"{ia_config or 'ia.ini'}: there are no keys to archive.org", _CHECK_KEYS)
        self._auth = S3Auth(*self._keys)
        self._s3 = f"{self._session.protocol}//s3.us.archive.org"

    def username(self) -> str:
        """Whose the keys are. Raises ArchiveError."""
        answer = self._asked("the keys", self._s3, {"check_auth": "1"})
        if answer.get("error") or answer.get("authorized") is False:
            raise ArchiveRefused(f"the keys: archive.org says {self._told(answer.get('error'))}", _CHECK_KEYS)
        return str(answer.get("username", ""))

    def is_overloaded(self, item: str) -> bool:
        """Whether archive.org takes nothing more at present, of this account or for this item. Raises ArchiveError."""
        parameters = {"check_limit": "1", "accesskey": self._keys[0], "bucket": item}
        return bool(self._asked("the limit", self._s3, parameters).get("over_limit", 1))

    def item(self, identifier: str) -> Item:
        """The item; without files if there is none of this name. Raises ArchiveError."""
        url = f"{self._session.protocol}//{self._session.host}/metadata/{quote(identifier)}"
        answer = self._asked(identifier, url, {})
        if answer.get("is_dark"):
            raise ArchiveRefused(f"{identifier}: the item is dark", "Ask the people of archive.org to undo it.")
        try:
            files = {str(file["name"]): _entry(file) for file in answer.get("files", [])}
            return Item(files, dict(answer.get("metadata", {})))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArchiveUnreachable(f"{identifier}: its metadata cannot be read ({type(error).__name__})") from error

    def send(self, upload: Upload, told: Callable[[int], None]) -> None:
        """Put the file into the item; nothing is derived from it. told: hears how many bytes are gone.

        Raises ArchiveError, StorageError if the file cannot be read, or changes meanwhile.
        """
        body = _Body(upload.path, told)
        renewing = {"x-archive-ignore-preexisting-bucket": "1"} if upload.renews else {}
        try:
            with self._translated(f"{upload.item}/{upload.path.name}"):
                # an item of which something is known: else the library would ask
                item = self._session.get_item(upload.item, {"metadata": {"identifier": upload.item}})
                item.upload_file(
                    body,
                    key=upload.path.name,
                    metadata=dict(upload.metadata),
                    headers={"Content-MD5": upload.md5, **renewing},
                    queue_derive=False,
                    request_kwargs={"timeout": self._timeout},
                )
        except ArchiveError as error:
            if body.is_read and body.md5 != upload.md5:
                raise StorageError(f"{upload.path}: changed while it was uploaded", "See what writes there.") from error
            raise
        finally:
            body.close()

    def _asked(self, what: str, url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object that a GET brings."""
        with self._translated(what):
            response = self._session.get(url, params=dict(parameters), auth=self._auth, timeout=self._timeout)
            response.raise_for_status()
            answer = response.json()
        if not isinstance(answer, dict):
            raise ArchiveUnreachable(f"{what}: archive.org answers with something else than a JSON object")
        return answer

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Make errors of the library, of requests and of the system below it ArchiveErrors, without keys."""
        try:
            yield
            return
        except (AuthenticationError, OSError) as error:  # those of requests are OSErrors
            failure, cause = self._failure(what, error), self._bared(error)
        raise failure from cause

    def _failure(self, what: str, error: Exception) -> ArchiveError:
        response = getattr(error, "response", None)
        if response is not None:
            return self._refusal(what, response)
        innermost = _innermost(error)
        told = f"{what}: archive.org: {self._told(f'{type(innermost).__name__}: {innermost}')}"
        if isinstance(error, AuthenticationError):
            return ArchiveRefused(told, _CHECK_KEYS)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ArchiveRefused(told, "Who answers for archive.org here? Its certificate is not trusted.")
        return ArchiveUnreachable(told, "See that this machine reaches archive.org, and give the command again.")

    def _refusal(self, what: str, response: "requests.Response") -> ArchiveError:
        """What an answer other than 2xx means."""
        status, (code, message) = response.status_code, _s3_error(response)
        response.close()
        told = f"{what}: archive.org answers {status} {self._told(f'{code} {message}')}"
        is_passing = status >= 500 or status in _PASSING or code in _PASSING_CODES
        if is_passing and "appears to be spam" not in message:
            again = "Give the command again, later: it goes on from there."
            return ArchiveUnreachable(told, again, retry_after_seconds(response.headers.get("Retry-After", "")))
        return ArchiveRefused(told, _REMEDIES.get(status, "Read what it says, and https://archive.org/services/docs."))

    def _told(self, text: object) -> str:
        """What may be shown of a text: without keys, on one line, not too long."""
        shown = str(text)
        for key in self._keys:
            for spelled in (key, quote(key, safe=""), quote(key)):
                shown = shown.replace(spelled, "…")
        return " ".join(shown.split())[:_TOLD_CHARACTERS]

    def _bared(self, error: Exception) -> Exception:
        """The error's text as a cause: it and its own causes may bear addresses with keys in them."""
        return ConnectionError(self._told(f"{type(error).__name__}: {error}"))


class _Body:
    """A file that tells how much of it was read, and knows the MD5 of that."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        self._path, self._told = path, told
        self.name = str(path)
        with storage_errors(path):
            self._stream = path.open("rb")
            self._size_bytes = path.stat().st_size
        self._sum = hashlib.md5(usedforsecurity=False)
        self._summed_bytes = self._reported_bytes = 0

    @property
    def is_read(self) -> bool:
        """Whether all of it was read, in order."""
        return self._summed_bytes >= self._size_bytes

    @property
    def md5(self) -> str:
        """Of what was read."""
        return self._sum.hexdigest()

    def read(self, size_bytes: int = -1) -> bytes:
        """The next bytes. Raises StorageError."""
        with storage_errors(self._path):
            piece = self._stream.read(size_bytes)
        self._sum.update(piece)
        self._summed_bytes += len(piece)
        if not piece or self._summed_bytes >= self._reported_bytes + _TOLD_BYTES:
            self._reported_bytes = self._summed_bytes
            self._told(self._summed_bytes)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        """In pieces: requests takes for a stream only what can be iterated, and then reads all the same."""
        return iter(lambda: self.read(1 << 16), b"")

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go there: to the beginning, to be sent again after a redirect."""
        self._sum = hashlib.md5(usedforsecurity=False)
        self._summed_bytes = self._reported_bytes = 0
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _session(ia_config: Path | None) -> internetarchive.ArchiveSession:
    """The library's session: no tries of its own, no log of its own. Raises ConfigurationError."""
    if ia_config is not None and not ia_config.is_file():
        raise ConfigurationError(f"ia_config: {ia_config} is no file. Write it by `ia --config-file … configure`.")
    config: dict[str, dict[str, object]] = {"logging": {"level": ""}}
    try:
        session = _session_with(config, ia_config)
        if session.config.get("general", {}).get("secure") == "False":  # a text, which the library takes for true
            session = _session_with({**config, "general": {"secure": False}}, ia_config)
        return session
    except (configparser.Error, ValueError, OSError) as error:
        kind = type(error).__name__  # its text may have a line of the file, with a key
    raise ConfigurationError(f"{ia_config or 'ia.ini'}: cannot be read ({kind}). Write it by `ia configure`.")


def _session_with(config: dict[str, dict[str, object]], ia_config: Path | None) -> internetarchive.ArchiveSession:
    path = str(ia_config) if ia_config else None
    return internetarchive.get_session(config, config_file=path, http_adapter_kwargs={"max_retries": 0})


def _innermost(error: BaseException) -> BaseException:
    """What an error of requests is about: it wraps one of urllib3's, which wraps the system's."""
    wrapped = [each for each in (getattr(error, "reason", None), *error.args) if isinstance(each, BaseException)]
    return _innermost(wrapped[-1]) if wrapped else error


def _entry(file: Mapping[str, Any]) -> ItemFile:
    size = file.get("size")
    return ItemFile(None if size is None else int(size), file.get("md5"), str(file.get("mtime", "")))


def _s3_error(response: "requests.Response") -> tuple[str, str]:
    """Code and message of an answer, in the XML of S3; else the status's words, and how the answer begins."""
    try:
        text = response.content.decode(errors="replace")
    except (OSError, RuntimeError):  # the connection broke meanwhile
        text = ""
    code = re.search(r"<Code>\s*([^<]*?)\s*</Code>", text)
    if code is None:
        return response.reason or "", re.sub(r"<[^>]*>", " ", text)
    message = re.search(r"<Message>\s*([^<]*?)\s*</Message>", text)
    resource = re.search(r"<Resource>\s*([^<]*?)\s*</Resource>", text)
    return code[1], " - ".join(found[1] for found in (message, resource) if found and found[1])


def retry_after_seconds(text: str, now: Callable[[], float] = time.time) -> float:
    """What Retry-After asks for, seconds or a date (RFC 9110, section 10.2.3); 0 for anything else."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (TypeError, ValueError, OverflowError):
        return 0.0
