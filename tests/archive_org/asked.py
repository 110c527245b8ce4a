"""What one request asks the fake archive.org for, whatever name it was sent to, and how it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit


class What(StrEnum):
    """What a request is about."""

    UPLOAD = "upload"
    DELETE = "delete"
    LIMIT = "check_limit"
    AUTH = "check_auth"
    METADATA = "metadata"
    TASKS = "tasks"
    DOWNLOAD = "download"
    OTHER = "other"


@dataclass
class Asked:
    """A request, and a line of the log: the last members are filled in as it is answered."""

    number: int
    """The first is 1."""
    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """As they were sent, with the keys; their names in lower case."""
    scheme: str = "http"
    what: What = What.OTHER
    item: str = ""
    key: str = ""
    status: int = 0
    """0: it was never answered."""
    received_bytes: int = 0
    """Of the body."""
    sent_bytes: int = 0
    """Of the answer's body."""
    fault: str = ""
    """What went wrong on purpose."""

    @classmethod
    def of(cls, number: int, method: str, target: str, headers: Mapping[str, str], scheme: str = "http") -> Self:
        """Understand a request line, in the absolute form that proxies get or with the host in a header."""
        parts = urlsplit(target)
        sent = {name.lower(): value for name, value in headers.items()}
        host = (parts.hostname or sent.get("host", "").partition(":")[0]).lower()
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = cls(number, method, host, parts.path or "/", query, sent, scheme)
        asked._understand()
        return asked

    @property
    def is_s3(self) -> bool:
        """Whether it went to the S3-like interface: its usual name or one that it redirects to."""
        return self.host == "s3.us.archive.org" or self.host.endswith(".s3dns.us.archive.org")

    @property
    def is_node(self) -> bool:
        """Whether it went to a data node, which serves files."""
        return not self.is_s3 and self.host.endswith(".us.archive.org")

    def elsewhere(self, host: str, path: str | None = None) -> str:
        """The same on another host, or another path there."""
        return f"{self.scheme}://{host}{self.path if path is None else path}"

    def _understand(self) -> None:
        if self.is_s3:
            self._understand_s3()
        elif self.is_node:
            _, _, _, self.item, self.key = (*map(unquote, self.path.split("/", 4)), "", "", "", "")[:5]
            self.what = What.DOWNLOAD
        else:
            self._understand_web()

    def _understand_s3(self) -> None:
        self.item, self.key = _two(self.path[1:])
        if not self.item:
            self.what = next((what for what in (What.LIMIT, What.AUTH) if what in self.query), What.OTHER)
        elif self.method in {"GET", "HEAD"}:
            self.what = What.DOWNLOAD
        else:
            self.what = {"PUT": What.UPLOAD, "DELETE": What.DELETE}.get(self.method, What.OTHER)

    def _understand_web(self) -> None:
        service, _, rest = self.path[1:].partition("/")
        if service in {"metadata", "download"}:
            self.what = What(service)
            self.item, self.key = _two(rest)
        elif self.path == "/services/tasks.php":
            self.what, self.item = What.TASKS, self.query.get("identifier", "")


def _two(path: str) -> tuple[str, str]:
    item, _, key = path.partition("/")
    return unquote(item), unquote(key)
