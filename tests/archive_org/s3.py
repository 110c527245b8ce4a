"""The S3-like interface of the fake archive.org: uploads, check_auth and check_limit."""

import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from archive_org.answers import Answer, Refused, json_answer, moved, s3_error
from archive_org.body import Body
from archive_org.request import Action, LoggedRequest
from archive_org.store import Account, Digests, Item, Store, Value

_META = re.compile(r"x-(?:archive|amz)-meta(\d*)-(.+)", re.DOTALL)
_IDENTIFIER = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._-]{2,99}")
OPEN_COLLECTION = "opensource"
"""The collection of an item that names none; everyone may add to it."""


@dataclass
class UploadFaults:
    """Faults of an upload that is answered with 200."""

    late_looks: int = 0
    item_late_looks: int = 0
    has_wrong_byte: bool = False


class S3:
    """Answer as s3.us.archive.org."""

    def __init__(self, store: Store) -> None:
        """Use the store's items and accounts."""
        self._store = store
        self.accepts_chunks = False
        """The internetarchive library says that the interface does not accept chunked bodies."""

    def answer(self, request: LoggedRequest, body: Body, upload_faults: UploadFaults) -> Answer:
        """Return S3's answer; a refusal is S3's XML."""
        if request.action is Action.AUTH:
            return self._auth(request)
        if request.action is Action.DOWNLOAD:
            return moved(307, request.elsewhere("archive.org", f"/download{request.path}"))
        if request.action is Action.DELETE:
            return self._delete(request)
        if request.action is Action.UPLOAD:
            return self._put(request, body, upload_faults)
        return s3_error("MethodNotAllowed", request.method)

    def limit(self, request: LoggedRequest, is_over: bool) -> Answer:
        """Return the number of queued tasks, and whether it is over the limit."""
        detail = {
            "accesskey_ration": 74,
            "accesskey_tasks_queued": 74 if is_over else 0,
            "bucket_ration": 24,
            "bucket_tasks_queued": 0,
            "limit_reason": "accesskey over ration" if is_over else "",
            "rationing_engaged": int(is_over),
            "rationing_level": 1399,
            "total_global_limit": 1799,
            "total_tasks_queued": 1500 if is_over else 308,
        }
        named = {name: request.query.get(name, "") for name in ("accesskey", "bucket")}
        return json_answer({**named, "detail": detail, "over_limit": int(is_over)})

    def _auth(self, request: LoggedRequest) -> Answer:
        try:
            account = self._account(request)
        except Refused as refused:
            return json_answer({"authorized": False, "error": s3_message(refused.code)})
        return json_answer({
            "authorized": True,
            "username": account.email,
            "screenname": account.screenname,
            "itemname": f"@{account.screenname}",
        })  # fmt: skip

    def _account(self, request: LoggedRequest) -> Account:
        """Return the account of the request's keys."""
        scheme, _, keys = request.headers.get("authorization", "").partition(" ")
        access, _, secret = keys.partition(":")
        if scheme.upper() not in {"LOW", "AWS"} or not access:
            raise Refused("AccessDenied", "no keys were sent")
        account = self._store.accounts.get(access)
        if account is None:
            raise Refused("InvalidAccessKeyId")
        if account.secret != secret:
            raise Refused("SignatureDoesNotMatch")
        return account

    def _put(self, request: LoggedRequest, body: Body, upload_faults: UploadFaults) -> Answer:
        account = self._account(request)
        with self._store.lock:
            self._check_target(request, account)
        if not request.key:
            body.discard()
            return self._make_bucket(request, account, upload_faults)
        if body.length is None and not (body.is_chunked and self.accepts_chunks):
            raise Refused("MissingContentLength", "chunked bodies are not supported" if body.is_chunked else "")
        path = self._store.new_path()
        try:
            digests = _received(request, body, path, upload_faults.has_wrong_byte)
            self._keep(request, account, digests, path, upload_faults)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Answer(200, b"", {"ETag": f'"{digests.md5}"'})

    def _check_target(self, request: LoggedRequest, account: Account) -> None:
        """Raise Refused unless this account may write there."""
        if not _IDENTIFIER.fullmatch(request.item):
            raise Refused("InvalidBucketName", request.item)
        item = self._store.items.get(request.item)
        if request.item in self._store.collections or (item is not None and item.owner != account.access):
            raise Refused("AccessDenied", "You lack sufficient privileges to write to this item")
        if item is not None:
            return
        if request.key and request.headers.get("x-archive-auto-make-bucket", "0") == "0":
            raise Refused("NoSuchBucket", request.item)
        for collection in _listed(metadata_of(request.headers).get("collection", OPEN_COLLECTION)):
            self._check_collection(collection, account)

    def _check_collection(self, collection: str, account: Account) -> None:
        if not _IDENTIFIER.fullmatch(collection):
            raise Refused("BadContent", f"error checking metadata: {collection} is no name of a collection")
        is_known = collection in self._store.collections and collection in account.collections
        if collection != OPEN_COLLECTION and not is_known:
            raise Refused("AccessDenied", "You lack sufficient privileges to write to those collections")

    def _make_bucket(self, request: LoggedRequest, account: Account, upload_faults: UploadFaults) -> Answer:
        with self._store.lock:
            if request.item in self._store.items:
                raise Refused("BucketAlreadyExists", request.item)
            self._item(request, account, upload_faults)
        return Answer(200)

    def _keep(
        self, request: LoggedRequest, account: Account, digests: Digests, path: Path, upload_faults: UploadFaults
    ) -> None:
        with self._store.lock:
            self._check_target(request, account)
            item = self._item(request, account, upload_faults)
            item.derives.append(request.headers.get("x-archive-queue-derive", "1") != "0")
            item.add(digests.file(request.key, path), upload_faults.late_looks)

    def _item(self, request: LoggedRequest, account: Account, upload_faults: UploadFaults) -> Item:
        """Return the item; create it if necessary with the metadata of this request."""
        item = self._store.items.get(request.item)
        metadata = _item_metadata(request, account)
        if item is None:
            item = Item(request.item, account.access, metadata, hidden_looks=upload_faults.item_late_looks)
            self._store.items[request.item] = item
        elif request.headers.get("x-archive-ignore-preexisting-bucket", "0") != "0":
            item.metadata = metadata
        return item

    def _delete(self, request: LoggedRequest) -> Answer:
        account = self._account(request)
        with self._store.lock:
            item = self._store.items.get(request.item)
            if item is None:
                raise Refused("NoSuchBucket", request.item)
            if not request.key:
                raise Refused("MethodNotAllowed", "DELETE bucket is not allowed")
            if item.owner != account.access:
                raise Refused("AccessDenied", "You lack sufficient privileges to write to this item")
            item.remove(request.key)
        return Answer(204)


def s3_message(code: str) -> str:
    """Return S3's message for an error."""
    return s3_error(code).body.decode().partition("<Message>")[2].partition("</Message>")[0]


def _received(request: LoggedRequest, body: Body, path: Path, has_wrong_byte: bool) -> Digests:
    """Store the body at `path` and return its digests; raises Refused if it does not match its Content-MD5."""
    came, stored = Digests(), Digests()
    with path.open("wb") as file:
        for piece in body.pieces():
            kept = bytes([piece[0] ^ 1]) + piece[1:] if has_wrong_byte and not came.size_bytes else piece
            came.update(piece)
            stored.update(kept)
            file.write(kept)
    expected = request.headers.get("content-md5")
    if expected is not None and _md5_of(expected) != came.md5:
        raise Refused("BadDigest", f"expected {expected}, received {came.md5}")
    return stored


def _md5_of(header: str) -> str:
    """Return a Content-MD5 in hexadecimal: S3's is base64, the internetarchive library sends hexadecimal."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", header):
        return header.lower()
    with suppress(binascii.Error):
        digest = binascii.a2b_base64(header, strict_mode=True)
        if len(digest) == 16:
            return digest.hex()
    raise Refused("InvalidDigest", header)


def metadata_of(headers: Mapping[str, str]) -> dict[str, Value]:
    """Return the metadata in the headers: numbered ones in order, `--` for `_`, `uri(…)` decoded."""
    found: dict[str, list[tuple[str, str]]] = {}
    for header, text in headers.items():
        if match := _META.fullmatch(header):
            found.setdefault(match[2].replace("--", "_"), []).append((match[1], _decoded(text)))
    values = {name: [text for _, text in sorted(numbered)] for name, numbered in found.items()}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


def _decoded(text: str) -> str:
    if text.startswith("uri(") and text.endswith(")"):
        return unquote(text[4:-1])
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _item_metadata(request: LoggedRequest, account: Account) -> dict[str, Value]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    given = {"mediatype": "data", "collection": OPEN_COLLECTION, **metadata_of(request.headers)}
    return {
        **given,
        "identifier": request.item,
        "uploader": account.email,
        "publicdate": now,
        "addeddate": now,
    }


def _listed(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else value
