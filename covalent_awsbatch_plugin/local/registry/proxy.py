"""The registry's interface at `/v2/`, with ECR's rules before it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..calls import CallCounts
from ..errors import ApiError
from ..jobs import Account
from .faults import Faults
from .records import Records, Repository
from .refusals import API_VERSION, Refusal, disk_full, expired, not_authorized, refused
from .relay import Relay, streamed
from .store import ImageStore
from .tokens import Tokens, Verdict

ROOT = "/v2"
PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<reference>[^/]*)")

OPERATIONS = {
    ("GET", "manifests"): ("GetManifest", "BatchGetImage"),
    ("HEAD", "manifests"): ("HeadManifest", "BatchGetImage"),
    ("PUT", "manifests"): ("PutManifest", "PutImage"),
    ("GET", "blobs"): ("GetBlob", "GetDownloadUrlForLayer"),
    ("HEAD", "blobs"): ("HeadBlob", "BatchCheckLayerAvailability"),
    ("POST", "blobs/uploads"): ("StartUpload", "InitiateLayerUpload"),
    ("GET", "blobs/uploads"): ("GetUpload", "UploadLayerPart"),
    ("PATCH", "blobs/uploads"): ("PatchUpload", "UploadLayerPart"),
    ("PUT", "blobs/uploads"): ("PutBlob", "CompleteLayerUpload"),
    ("DELETE", "blobs/uploads"): ("DeleteUpload", "UploadLayerPart"),
    ("GET", "tags"): ("ListTags", "ListImages"),
}
"""By method and kind of path: the name under which a request is counted, and the right that ECR asks for."""


@dataclass(frozen=True)
class Call:
    """A request concerning a repository; `reference` is a tag, a digest or an upload."""

    operation: str
    repository: Repository
    reference: str


@dataclass
class RegistryProxy:
    """Answers requests below `/v2/`, or has the registry answer them."""

    account: Account
    relay: Relay
    records: Records
    tokens: Tokens
    images: ImageStore
    faults: Faults
    counts: CallCounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have the registry answer it."""
        request = Request(scope, receive)
        try:
            self._authenticate(request)
            if request.url.path.rstrip("/") == ROOT:
                self.counts.add("registry", "Ping")
                response: Response = JSONResponse({}, headers=API_VERSION)
            else:
                response = await self._passed_on(request, self._call(request))
        except Refusal as refusal:
            response = refusal.response
        await response(scope, receive, send)

    def _authenticate(self, request: Request) -> None:
        verdict = self.tokens.judge(request.headers.get("authorization", ""))
        if verdict is Verdict.EXPIRED:
            raise expired()
        if verdict is Verdict.UNKNOWN:
            raise not_authorized(str(request.base_url))

    def _call(self, request: Request) -> Call:
        """Tell what a request wants, and refuse what ECR refuses."""
        match = PATH.fullmatch(request.url.path)
        names = OPERATIONS.get((request.method, match["kind"])) if match is not None else None
        if match is None or names is None:
            what = f"{request.method} {request.url.path}"
            raise refused(405, "UNSUPPORTED", f"the local ECR does not have {what}")
        operation, right = names
        self.counts.add("registry", operation)
        return Call(operation, self._allowed(right, match["name"]), match["reference"])

    def _allowed(self, right: str, name: str) -> Repository:
        try:
            self.faults.check_right(self.account, right, name)
        except ApiError as error:
            raise refused(403, "DENIED", error.message) from error
        try:
            return self.records.find(name)
        except ApiError as error:
            raise refused(404, "NAME_UNKNOWN", error.message) from error

    async def _passed_on(self, request: Request, call: Call) -> Response:
        await self._check_tag(call)
        if call.operation == "StartUpload" and self.faults.disk_bytes == 0:
            raise disk_full()
        answer = await self.relay.ask(request)
        if call.operation == "PutManifest" and answer.status == 201:
            self.records.note_push(call.repository, answer.headers["Docker-Content-Digest"])
        if call.operation == "GetManifest" and answer.status == 404:
            answer.close()
            raise refused(404, "MANIFEST_UNKNOWN", "Requested image not found")
        return streamed(answer)

    async def _check_tag(self, call: Call) -> None:
        immutable = call.operation == "PutManifest" and call.repository.tags_are_immutable
        is_digest = ":" in call.reference
        if immutable and not is_digest and await self.images.has(call.repository, call.reference):
            raise refused(
                400,
                "TAG_INVALID",
                f"The image tag '{call.reference}' already exists in the '{call.repository.name}' repository "
                "and cannot be overwritten because the tag is immutable.",
            )
