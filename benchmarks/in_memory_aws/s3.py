"""S3, as obstore, botocore and s3fs use it: objects, listings, multipart uploads; path-style addresses."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import format_datetime
from html import unescape
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from .http import Request, Response
from .objects import Bucket, StoredObject

MAX_KEYS = 1000
"""S3's largest page of a listing."""

_XML = [("content-type", "application/xml")]
_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")
_KEY_IN_XML = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)
_PART_IN_XML = re.compile(rb"<PartNumber>(\d+)</PartNumber>")
_HEADER_PREFIX = b"x-amz-meta-"

Query = dict[str, str]
Operation = Callable[[Request, Bucket, str, Query], Response]


@dataclass
class S3:
    """The buckets of one AWS; `answer` names the operation too, for it to be counted."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    _uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _upload_numbers: Iterable[int] = field(default_factory=itertools.count)

    def answer(self, request: Request) -> tuple[str, Response]:
        """Do what a request asks, and return the operation's name and the answer."""
        name, _, key = request.path.lstrip("/").partition("/")
        query = dict(parse_qsl(request.query, keep_blank_values=True)) if request.query else {}
        operation = _operation(request.method, key, query)
        if operation == "CreateBucket":
            self.buckets.setdefault(name, Bucket())
            return operation, Response()
        bucket = self.buckets.get(name)
        if bucket is None:
            return operation, _error(request, 404, "NoSuchBucket")
        perform: Operation | None = getattr(self, _METHODS.get(operation, ""), None)
        if perform is None:
            return operation, _error(request, 501, "NotImplemented")
        return operation, perform(request, bucket, unquote(key) if "%" in key else key, query)

    # --- objects ---

    def head_bucket(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Say that there is such a bucket."""
        return Response(headers=[("x-amz-bucket-region", "us-east-1")])

    def put_object(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Store an object; with `If-None-Match: *` only where there is none."""
        metadata = {
            name[len(_HEADER_PREFIX) :].decode(): value.decode("latin-1")
            for name, value in request.headers.items()
            if name.startswith(_HEADER_PREFIX)
        }
        stored = StoredObject([_content(request)], metadata)
        if request.headers.get(b"if-none-match") != b"*":
            bucket.put(key, stored)
        elif not bucket.create(key, stored):
            return _error(request, 412, "PreconditionFailed")
        return Response(headers=[("etag", stored.etag)])

    def get_object(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Return an object or one range of it."""
        stored = bucket.get(key)
        if stored is None:
            return _error(request, 404, "NoSuchKey")
        match = _RANGE.fullmatch(request.headers.get(b"range", b""))
        if match is None:
            return Response(200, stored.range(0, stored.size), _headers(stored))
        start, end = _bounds(match, stored.size)
        if start >= end:
            return _error(request, 416, "InvalidRange")
        place = ("content-range", f"bytes {start}-{end - 1}/{stored.size}")
        return Response(206, stored.range(start, end), [*_headers(stored), place])

    def head_object(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Return what a GET would, without the body."""
        stored = bucket.get(key)
        if stored is None:
            return _error(request, 404, "NoSuchKey")
        return Response(headers=_headers(stored), length=stored.size)

    def delete_object(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Delete an object; one that is not there is deleted too."""
        bucket.delete(key)
        return Response(204)

    def delete_objects(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Delete many objects."""
        keys = [_unescaped(each) for each in _KEY_IN_XML.findall(_content(request))]
        for each in keys:
            bucket.delete(each)
        deleted = "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys)
        return _xml(f"<DeleteResult>{deleted}</DeleteResult>")

    # --- listings ---

    def list_objects_v2(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Return a page of a listing; its token is the last key, or common prefix, that it shows."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        most = min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS)
        shown: dict[str, StoredObject | None] = {}
        for each in bucket.keys(prefix, after):
            name = _grouped(each, prefix, delimiter)
            if name in shown or (name != each and name == after):
                continue
            if len(shown) == most:
                return _listing(shown, prefix, next_token=next(reversed(shown), ""))
            shown[name] = bucket[each] if name == each else None
        return _listing(shown, prefix)

    # --- multipart uploads ---

    def create_multipart_upload(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Begin an upload in parts."""
        upload_id = f"upload-{next(iter(self._upload_numbers))}"
        self._uploads[upload_id] = {}
        return _xml(
            f"<InitiateMultipartUploadResult><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>"
            "</InitiateMultipartUploadResult>"
        )

    def upload_part(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Take a part."""
        parts = self._uploads.get(query["uploadId"])
        if parts is None:
            return _error(request, 404, "NoSuchUpload")
        number = int(query["partNumber"])
        parts[number] = _content(request)
        return Response(headers=[("etag", f'"part-{number}"')])

    def complete_multipart_upload(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Make an object of the parts."""
        parts = self._uploads.pop(query["uploadId"], None)
        if parts is None:
            return _error(request, 404, "NoSuchUpload")
        numbers = [int(each) for each in _PART_IN_XML.findall(_content(request))]
        stored = StoredObject([parts[number] for number in numbers])
        bucket.put(key, stored)
        return _xml(
            f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>{escape(stored.etag)}</ETag>"
            "</CompleteMultipartUploadResult>"
        )

    def abort_multipart_upload(self, request: Request, bucket: Bucket, key: str, query: Query) -> Response:
        """Forget an upload."""
        self._uploads.pop(query["uploadId"], None)
        return Response(204)


_METHODS = {
    "HeadBucket": "head_bucket",
    "PutObject": "put_object",
    "GetObject": "get_object",
    "HeadObject": "head_object",
    "DeleteObject": "delete_object",
    "DeleteObjects": "delete_objects",
    "ListObjectsV2": "list_objects_v2",
    "CreateMultipartUpload": "create_multipart_upload",
    "UploadPart": "upload_part",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "AbortMultipartUpload": "abort_multipart_upload",
}


def _operation(method: str, key: str, query: Query) -> str:
    if method == "POST":
        if "delete" in query:
            return "DeleteObjects"
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if "uploadId" in query:
        return {"PUT": "UploadPart", "DELETE": "AbortMultipartUpload"}.get(method, "ListParts")
    if key == "":
        return {"HEAD": "HeadBucket", "PUT": "CreateBucket", "GET": "ListObjectsV2"}.get(method, method)
    return {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(
        method, method
    )


def _content(request: Request) -> bytes:
    """Return a body, out of its chunks where it came signed or summed in chunks."""
    body = request.body
    if b"aws-chunked" not in request.headers.get(b"content-encoding", b"") and not request.headers.get(
        b"x-amz-content-sha256", b""
    ).startswith(b"STREAMING-"):
        return body
    pieces: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        length = int(body[at:line_end].partition(b";")[0], 16)
        if length == 0:
            return b"".join(pieces)
        pieces.append(body[line_end + 2 : line_end + 2 + length])
        at = line_end + 2 + length + 2


def _bounds(match: re.Match[bytes], size: int) -> tuple[int, int]:
    first, last = match[1], match[2]
    if first == b"":
        return max(size - int(last), 0), size
    return int(first), size if last == b"" else min(int(last) + 1, size)


def _headers(stored: StoredObject) -> list[tuple[str, str]]:
    return [
        ("etag", stored.etag),
        ("last-modified", format_datetime(stored.modified_at, usegmt=True)),
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
        *((f"x-amz-meta-{name}", value) for name, value in stored.metadata.items()),
    ]


def _grouped(key: str, prefix: str, delimiter: str) -> str:
    """Return the common prefix that a key is shown as, or the key itself."""
    if not delimiter:
        return key
    at = key.find(delimiter, len(prefix))
    return key if at < 0 else key[: at + len(delimiter)]


def _listing(shown: dict[str, StoredObject | None], prefix: str, next_token: str = "") -> Response:
    parts = [
        "<ListBucketResult>",
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount><MaxKeys>{MAX_KEYS}</MaxKeys>",
        f"<IsTruncated>{'true' if next_token else 'false'}</IsTruncated>",
    ]
    if next_token:
        parts.append(f"<NextContinuationToken>{escape(next_token)}</NextContinuationToken>")
    for name, stored in shown.items():
        if stored is None:
            parts.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            continue
        parts.append(
            f"<Contents><Key>{escape(name)}</Key><LastModified>{stored.modified_at:%Y-%m-%dT%H:%M:%S}.000Z"
            f"</LastModified><ETag>{escape(stored.etag)}</ETag><Size>{stored.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
    parts.append("</ListBucketResult>")
    return _xml("".join(parts))


def _xml(text: str) -> Response:
    return Response(200, [f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()], _XML)


def _error(request: Request, status: int, code: str) -> Response:
    if request.method == "HEAD":
        return Response(status, headers=_XML, length=0)
    resource = quote(request.path)
    text = f"<Error><Code>{code}</Code><Message>{code}</Message><Resource>{resource}</Resource></Error>"
    return Response(status, [text.encode()], _XML)


def _unescaped(text: bytes) -> str:
    return unescape(text.decode())
