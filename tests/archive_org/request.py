"""A request to the fake archive.org, parsed, with how it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit


class Action(StrEnum):
    """The purpose of a request."""

    UPLOAD = "upload"
    DELETE = "delete"
    LIMIT = "check_limit"
    AUTH = "check_auth"
    METADATA = "metadata"
    TASKS = "tasks"
    DOWNLOAD = "download"
    OTHER = "other"


@dataclass
class LoggedRequest:
    """A request, as the log keeps it. The last members are set when it is answered."""

    number: int
    """Counted from 1."""
    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """As sent, with the keys; names in lower case."""
    scheme: str = "http"
    action: Action = Action.OTHER
    item: str = ""
    key: str = ""
    status: int = 0
    """0: not answered."""
    received_bytes: int = 0
    """Bytes of the request's body."""
    sent_bytes: int = 0
    """Bytes of the answer's body."""
    fault: str = ""
    """The fault that was injected."""

    @classmethod
    def of(cls, number: int, method: str, target: str, headers: Mapping[str, str], scheme: str = "http") -> Self:
        """Parse a request line in absolute form, as proxies get it, or with the host in a header."""
        parts = urlsplit(target)
        sent = {name.lower(): value for name, value in headers.items()}
        host = (parts.hostname or sent.get("host", "").partition(":")[0]).lower()
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(number, method, host, parts.path or "/", query, sent, scheme)

    def __post_init__(self) -> None:
        """Derive action, item and key from host, method, path and query."""
        if self.is_s3:
            self._parse_s3()
        elif self.is_node:
            _, _, _, self.item, self.key = (*map(unquote, self.path.split("/", 4)), "", "", "", "")[:5]
            self.action = Action.DOWNLOAD
        else:
            self._parse_web()

    @property
    def is_s3(self) -> bool:
        """Whether it is for the S3-like interface, by its common name or one that it redirects to."""
        return self.host == "s3.us.archive.org" or self.host.endswith(".s3dns.us.archive.org")

    @property
    def is_node(self) -> bool:
        """Whether it is for a data node, which serves files."""
        return not self.is_s3 and self.host.endswith(".us.archive.org")

    def elsewhere(self, host: str, path: str | None = None) -> str:
        """Return the URL of the same path, or of another path, on another host."""
        return f"{self.scheme}://{host}{self.path if path is None else path}"

    def _parse_s3(self) -> None:
        self.item, self.key = _two(self.path[1:])
        if not self.item:
            self.action = next((action for action in (Action.LIMIT, Action.AUTH) if action in self.query), Action.OTHER)
        elif self.method in {"GET", "HEAD"}:
            self.action = Action.DOWNLOAD
        else:
            self.action = {"PUT": Action.UPLOAD, "DELETE": Action.DELETE}.get(self.method, Action.OTHER)

    def _parse_web(self) -> None:
        service, _, rest = self.path[1:].partition("/")
        if service in {"metadata", "download"}:
            self.action = Action(service)
            self.item, self.key = _two(rest)
        elif self.path == "/services/tasks.php":
            self.action, self.item = Action.TASKS, self.query.get("identifier", "")


def _two(path: str) -> tuple[str, str]:
    item, _, key = path.partition("/")
    return unquote(item), unquote(key)
