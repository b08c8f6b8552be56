"""The local AWS as one ASGI application: Batch, CloudFormation and ECR from here, the rest from moto.

ECR is moto's too where jobs are processes.

Beside AWS's own interfaces it has switches for tests, without authentication, under `/_local/`:

    GET    /_local/health                   {"status": "ok"} once requests are served
    GET    /_local/calls                    calls since start, {"batch": {"SubmitJob": 3}, "s3": …};
                                            the names of moto's operations are a best effort
    DELETE /_local/calls                    start counting anew
    POST   /_local/pause                    place no more jobs: they stay RUNNABLE
    POST   /_local/resume                   place jobs again
    POST   /_local/jobs/{jobId}/lose-host   end the running attempt as a Spot reclaim does
    POST   /_local/jobs/{jobId}/kill        SIGKILL to the running attempt; the JSON body
                                            {"reason": "OutOfMemoryError: …"} sets container.reason

    GET    /_local/faults                   the plan of faults, each with how often it has struck
    PUT    /_local/faults                   a plan that replaces it (docs/local-faults.md has the format);
                                            its calls and jobs are counted from now on
    DELETE /_local/faults                   no more faults

Those for a job answer 404 for an unknown one and 409 for one that is not RUNNING. Where jobs run in
containers there are more:

    POST   /_local/registry/revoke-tokens   every token that was issued is an expired one
    POST   /_local/registry/token-lifetime  {"seconds": 60}: so long do new tokens hold; 0: never;
                                            {"seconds": null}: 12 hours again
    POST   /_local/registry/limit           {"bytes": 1000000}: no more than these fit on the registry's
                                            disk; {"bytes": null} makes room
    POST   /_local/ecr/deny                 {"operations": ["PutImage", …]}: AccessDeniedException for these
                                            operations, and for the requests at /v2/ that need such a right
    POST   /_local/ecr/allow                allow everything again
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import calls
from .api import Answer, BatchApi, error_answer
from .calls import Call
from .control import Control
from .errors import ApiError, NotLocal, Throttled
from .faults.requests import RequestFaults
from .model import find_operation
from .query import QueryApi, refused
from .registry.ecr import Registry
from .throttle import BatchThrottle

MAX_REQUEST_BYTES = 1_048_576
"""Larger bodies of Batch's and ECR's requests are refused unread; AWS's own limits are far below."""

TOO_LARGE = ApiError("Request body is too large", status=413)


@dataclass
class LocalApp:
    """Routes each request by the service it is signed for, or by its path, through the plan of faults."""

    batch: BatchApi
    queries: Mapping[str, QueryApi]
    others: ASGIApp
    control: Control
    faults: RequestFaults
    registry: Registry | None = None
    throttle: BatchThrottle | None = None
    latency_s: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the local AWS does not speak {scope['type']}")
        request = Request(scope, receive)
        if scope["path"].startswith("/_local/"):
            await (await self.control.answer(request))(scope, receive, send)
            return
        await asyncio.sleep(self.latency_s)
        if self.registry is not None and _is_registry(request):
            await self.registry.proxy(scope, receive, send)
            return
        call, receive = await _named(request, receive)
        self.control.counts.add(call.service, call.operation)
        await self.faults.answer(call, self._server_of(call), scope, receive, send)

    def _server_of(self, call: Call) -> ASGIApp:
        if call.service == "batch":
            return self._serve_batch
        if self.registry is not None and call.service == "ecr":
            return partial(self._serve_ecr, self.registry, call)
        query = self.queries.get(call.service)
        if query is not None and query.serves(call.operation):
            return partial(self._serve_query, query, call)
        return self.others

    async def _serve_batch(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._batch_answer(Request(scope, receive))
        await _response(answer)(scope, receive, send)

    async def _batch_answer(self, request: Request) -> Answer:
        found = find_operation(request.method, _raw_path(request))
        if found is None:
            return error_answer(NotLocal(f"{request.method} {request.url.path}"))
        operation, path_parameters = found
        if self.throttle is not None and not self.throttle.take(operation):
            return error_answer(Throttled())
        if _is_too_large(request):
            return error_answer(TOO_LARGE)
        body = await request.body()
        return self.batch.answer(operation, path_parameters, request.query_params.multi_items(), body)

    async def _serve_ecr(
        self, registry: Registry, call: Call, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = Request(scope, receive)
        if _is_too_large(request):
            answer = error_answer(TOO_LARGE)
        else:
            answer = await registry.api.answer(call.operation, await request.body())
        await _response(answer)(scope, receive, send)

    async def _serve_query(
        self, api: QueryApi, call: Call, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = Request(scope, receive)
        if _is_too_large(request):
            await refused(TOO_LARGE)(scope, receive, send)
        else:
            await api.answer(call.operation, await request.body())(scope, receive, send)


async def _named(request: Request, receive: Receive) -> tuple[Call, Receive]:
    """Return what a request asks for, and what receives it: a form is read for the name that it holds."""
    authorization, query = request.headers.get("authorization", ""), request.url.query
    by_job = calls.is_by_job(authorization, query)
    if _is_batch(request):
        return Call("batch", _batch_operation(request), by_job), receive
    service = _service(request) or "s3"
    if "x-amz-target" in request.headers:
        return Call(service, calls.target_operation(request.headers["x-amz-target"]), by_job), receive
    if request.headers.get("content-type", "").startswith(calls.FORM):
        body = await request.body()
        return Call(service, calls.form_operation(body) or "unknown", by_job), _again(body, receive)
    if service != "s3":
        return Call(service, request.method, by_job), receive
    operation = calls.s3_operation(request.method, request.url.path, query)
    return Call(service, operation, by_job, *calls.s3_object(request.scope["path"], query)), receive


def _batch_operation(request: Request) -> str:
    found = find_operation(request.method, _raw_path(request))
    return "unknown" if found is None else found[0]


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was read already, and then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def _response(answer: Answer) -> JSONResponse:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    if answer.error_code is not None:
        headers["x-amzn-ErrorType"] = answer.error_code
    return JSONResponse(answer.body, answer.status, headers)


def _is_too_large(request: Request) -> bool:
    return int(request.headers.get("content-length", "0")) > MAX_REQUEST_BYTES


def _is_registry(request: Request) -> bool:
    """Tell registry clients, which sign nothing, from a bucket that is called v2."""
    return _service(request) is None and request.url.path.split("/")[1] == "v2"


def _is_batch(request: Request) -> bool:
    service = _service(request)
    if service is not None:
        return service == "batch"
    return find_operation(request.method, _raw_path(request)) is not None


def _service(request: Request) -> str | None:
    return calls.signed_service(request.headers.get("authorization", ""), request.url.query)


def _raw_path(request: Request) -> str:
    raw: Any = request.scope.get("raw_path", request.scope["path"].encode())
    return str(raw.decode("latin-1"))
