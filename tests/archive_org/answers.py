"""Answers of the fake archive.org: JSON, files, HTML pages, and S3 errors as XML."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4
from xml.sax.saxutils import escape


class Cut(Exception):
    """Reset the connection, before or during the answer. A hook may raise it too."""


class Refused(Exception):
    """S3 refuses the request: the error code and the resource."""

    def __init__(self, code: str, resource: str = "") -> None:
        super().__init__(f"{code}: {resource}")
        self.code = code
        self.resource = resource


@dataclass
class Answer:
    """Status, headers and body of an answer. Long bodies are in `file` (path, first byte, end) instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    file: tuple[Path, int, int] | None = None
    ends_connection: bool = False
    cut_at_bytes: int | None = None
    """The position in the body at which the connection is reset."""

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return len(self.body) if self.file is None else self.file[2] - self.file[1]


S3_ERRORS = {
    "AccessDenied": (403, "Forbidden", "Access Denied"),
    "BadContent": (400, "Bad Data", "Uploaded content is unacceptable."),
    "BadDigest": (400, "Bad Request", "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyExists": (
        409,
        "Conflict",
        "The requested bucket name is not available. Please select a different name and try again.",
    ),
    "InternalError": (500, "Internal Server Error", "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "Forbidden", "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidBucketName": (400, "Bad Request", "The specified bucket is not valid."),
    "InvalidDigest": (400, "Bad Request", "The Content-MD5 you specified was invalid."),
    "MethodNotAllowed": (
        405,
        "Method Not Allowed",
        "The specified method is not allowed against this resource.",
    ),
    "MissingContentLength": (411, "Length Required", "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "Not Found", "The specified bucket does not exist."),
    "NoSuchKey": (404, "Not Found", "The specified key does not exist."),
    "SignatureDoesNotMatch": (
        403,
        "Forbidden",
        "The request signature we calculated does not match the signature you provided.",
    ),
    "SlowDown": (503, "Slow Down", "Please reduce your request rate."),
    "TemporaryRedirect": (
        307,
        "Temporary Redirect",
        "Please re-send this request to the specified temporary endpoint.",
    ),
}
"""Status, reason and message of each: S3's own, except BadContent, which is archive.org's."""


def s3_error(code: str, resource: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error as S3's XML."""
    status, reason, message = S3_ERRORS[code]
    body = (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><Resource>{escape(resource)}</Resource>"
        f"<RequestId>{uuid4()}</RequestId></Error>"
    )
    return Answer(status, body.encode(), {"Content-Type": "application/xml", **(headers or {})}, reason)


def json_answer(document: object, status: int = 200) -> Answer:
    """Return a document as JSON."""
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def page(status: int) -> Answer:
    """Return the HTML page of a proxy in front of archive.org when the server behind it is unavailable."""
    title = f"{status} {HTTPStatus(status).phrase}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"
    return Answer(status, body.encode(), {"Content-Type": "text/html"})


def moved(status: int, location: str) -> Answer:
    """Return a redirect."""
    return Answer(status, b"", {"Location": location})
