"""The S3-like interface of the fake archive.org: uploads, and the questions that an uploader asks beforehand."""

import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from archive_org.answers import Answer, Refused, json_answer, moved, s3_error
from archive_org.asked import Asked, What
from archive_org.body import Body
from archive_org.store import Account, Digests, Item, Store, Value

_META = re.compile(r"x-(?:archive|amz)-meta(\d*)-(.+)", re.DOTALL)
_IDENTIFIER = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._-]{2,99}")
OPEN_COLLECTION = "opensource"
"""Where an item goes that names no collection: anybody may add to it."""


@dataclass
class Mishaps:
    """What goes wrong with one upload, though it is answered with 200."""

    late_looks: int = 0
    item_late_looks: int = 0
    has_wrong_byte: bool = False


class S3:
    """Answers on behalf of s3.us.archive.org."""

    def __init__(self, store: Store) -> None:
        """Take what there is."""
        self._store = store
        self.accepts_chunks = False
        """archive.org's own library says that the interface does not take chunked bodies."""

    def answer(self, asked: Asked, body: Body, mishaps: Mishaps) -> Answer:
        """What S3 says; a refusal is S3's XML."""
        if asked.what is What.AUTH:
            return self._auth(asked)
        if asked.what is What.DOWNLOAD:
            return moved(307, asked.elsewhere("archive.org", f"/download{asked.path}"))
        if asked.what is What.DELETE:
            return self._delete(asked)
        if asked.what is What.UPLOAD:
            return self._put(asked, body, mishaps)
        return s3_error("MethodNotAllowed", asked.method)

    def limit(self, asked: Asked, is_over: bool) -> Answer:
        """How much there is to do, and whether it is too much."""
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
        named = {name: asked.query.get(name, "") for name in ("accesskey", "bucket")}
        return json_answer({**named, "detail": detail, "over_limit": int(is_over)})

    def _auth(self, asked: Asked) -> Answer:
        try:
            account = self._account(asked)
        except Refused as refused:
            return json_answer({"authorized": False, "error": s3_message(refused.code)})
        return json_answer({
            "authorized": True,
            "username": account.email,
            "screenname": account.screenname,
            "itemname": f"@{account.screenname}",
        })  # fmt: skip

    def _account(self, asked: Asked) -> Account:
        """Whose keys came with the request."""
        scheme, _, keys = asked.headers.get("authorization", "").partition(" ")
        access, _, secret = keys.partition(":")
        if scheme.upper() not in {"LOW", "AWS"} or not access:
            raise Refused("AccessDenied", "no keys were sent")
        account = self._store.accounts.get(access)
        if account is None:
            raise Refused("InvalidAccessKeyId")
        if account.secret != secret:
            raise Refused("SignatureDoesNotMatch")
        return account

    def _put(self, asked: Asked, body: Body, mishaps: Mishaps) -> Answer:
        account = self._account(asked)
        with self._store.lock:
            self._check_target(asked, account)
        if not asked.key:
            body.discard()
            return self._make_bucket(asked, account, mishaps)
        if body.length is None and not (body.is_chunked and self.accepts_chunks):
            raise Refused("MissingContentLength", "chunked bodies are not supported" if body.is_chunked else "")
        path = self._store.new_path()
        try:
            digests = _received(asked, body, path, mishaps.has_wrong_byte)
            self._keep(asked, account, digests, path, mishaps)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Answer(200, b"", {"ETag": f'"{digests.md5}"'})

    def _check_target(self, asked: Asked, account: Account) -> None:
        """Whether this account may write there; raises Refused if not."""
        if not _IDENTIFIER.fullmatch(asked.item):
            raise Refused("InvalidBucketName", asked.item)
        item = self._store.items.get(asked.item)
        if asked.item in self._store.collections or (item is not None and item.owner != account.access):
            raise Refused("AccessDenied", "You lack sufficient privileges to write to this item")
        if item is not None:
            return
        if asked.key and asked.headers.get("x-archive-auto-make-bucket", "0") == "0":
            raise Refused("NoSuchBucket", asked.item)
        for collection in _listed(metadata_of(asked.headers).get("collection", OPEN_COLLECTION)):
            self._check_collection(collection, account)

    def _check_collection(self, collection: str, account: Account) -> None:
        if not _IDENTIFIER.fullmatch(collection):
            raise Refused("BadContent", f"error checking metadata: {collection} is no name of a collection")
        is_known = collection in self._store.collections and collection in account.collections
        if collection != OPEN_COLLECTION and not is_known:
            raise Refused("AccessDenied", "You lack sufficient privileges to write to those collections")

    def _make_bucket(self, asked: Asked, account: Account, mishaps: Mishaps) -> Answer:
        with self._store.lock:
            if asked.item in self._store.items:
                raise Refused("BucketAlreadyExists", asked.item)
            self._item(asked, account, mishaps)
        return Answer(200)

    def _keep(self, asked: Asked, account: Account, digests: Digests, path: Path, mishaps: Mishaps) -> None:
        with self._store.lock:
            self._check_target(asked, account)
            item = self._item(asked, account, mishaps)
            item.derives.append(asked.headers.get("x-archive-queue-derive", "1") != "0")
            item.add(digests.file(asked.key, path), mishaps.late_looks)

    def _item(self, asked: Asked, account: Account, mishaps: Mishaps) -> Item:
        """The item, made if need be with the metadata of this request."""
        item = self._store.items.get(asked.item)
        metadata = _item_metadata(asked, account)
        if item is None:
            item = Item(asked.item, account.access, metadata, hidden_looks=mishaps.item_late_looks)
            self._store.items[asked.item] = item
        elif asked.headers.get("x-archive-ignore-preexisting-bucket", "0") != "0":
            item.metadata = metadata
        return item

    def _delete(self, asked: Asked) -> Answer:
        account = self._account(asked)
        with self._store.lock:
            item = self._store.items.get(asked.item)
            if item is None:
                raise Refused("NoSuchBucket", asked.item)
            if not asked.key:
                raise Refused("MethodNotAllowed", "DELETE bucket is not allowed")
            if item.owner != account.access:
                raise Refused("AccessDenied", "You lack sufficient privileges to write to this item")
            item.remove(asked.key)
        return Answer(204)


def s3_message(code: str) -> str:
    """S3's words for an error."""
    return s3_error(code).body.decode().partition("<Message>")[2].partition("</Message>")[0]


def _received(asked: Asked, body: Body, path: Path, has_wrong_byte: bool) -> Digests:
    """The digests of what is stored at `path`; raises Refused if what came is not what its Content-MD5 says."""
    came, stored = Digests(), Digests()
    with path.open("wb") as file:
        for piece in body.pieces():
            kept = bytes([piece[0] ^ 1]) + piece[1:] if has_wrong_byte and not came.size_bytes else piece
            came.update(piece)
            stored.update(kept)
            file.write(kept)
    expected = asked.headers.get("content-md5")
    if expected is not None and _md5_of(expected) != came.md5:
        raise Refused("BadDigest", f"expected {expected}, received {came.md5}")
    return stored


def _md5_of(header: str) -> str:
    """A Content-MD5 in hexadecimal digits: S3's is base64, archive.org's library sends digits."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", header):
        return header.lower()
    with suppress(binascii.Error):
        digest = binascii.a2b_base64(header, strict_mode=True)
        if len(digest) == 16:
            return digest.hex()
    raise Refused("InvalidDigest", header)


def metadata_of(headers: Mapping[str, str]) -> dict[str, Value]:
    """The metadata that came in headers: numbered ones in their order, `--` for `_`, `uri(…)` decoded."""
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


def _item_metadata(asked: Asked, account: Account) -> dict[str, Value]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    given = {"mediatype": "data", "collection": OPEN_COLLECTION, **metadata_of(asked.headers)}
    return {
        **given,
        "identifier": asked.item,
        "uploader": account.email,
        "publicdate": now,
        "addeddate": now,
    }


def _listed(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else value
