"""AWS's query protocol, in which CloudFormation and IAM speak: forms in, XML out, by botocore's models."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from moto.core.parse import QueryParser
from moto.core.serialize import QuerySerializer, SerializationContext
from moto.core.utils import get_service_model
from starlette.responses import Response

from . import model
from .api import defect, offered
from .errors import ApiError, NotLocal
from .jobs import Json

logger = logging.getLogger(__name__)

XML = "text/xml"

Operation = Callable[[Json], Json]


class QueryApi:
    """Answers the calls of one service.

    Where it is `partial`, another application serves the operations that are not here.
    """

    def __init__(self, service: str, providers: Iterable[object], partial: bool = False) -> None:
        """Offer the operations that any of the providers has a method for."""
        self._service = service
        self._operations: dict[str, Operation] = offered(service, providers)
        self._partial = partial

    def serves(self, operation: str) -> bool:
        """Tell whether a call is for this application, were it only to be refused."""
        return not self._partial or operation in self._operations

    def answer(self, operation: str, body: bytes) -> Response:
        """Perform an operation and return its response, or the error that AWS would give."""
        try:
            return self._perform(operation, body)
        except ApiError as error:
            return refused(error)
        except Exception as error:
            logger.exception("the local %s failed in %s", self._service, operation)
            return refused(defect(operation, repr(error)))

    def _perform(self, operation: str, body: bytes) -> Response:
        if operation not in self._operations:
            raise NotLocal(operation, self._service)
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation_model = get_service_model(self._service).operation_model(operation)
        request = QueryParser(operation_model).parse({"values": form})  # type: ignore[typeddict-item]
        self._check(operation, model.request_problems(operation, request, self._service))
        response = self._operations[operation](request)
        problems = model.response_problems(operation, response, self._service)
        if problems:
            raise defect(operation, "; ".join(problems))
        return _written(operation_model, response)

    def _check(self, operation: str, problems: list[str]) -> None:
        if problems:
            count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
            raise ApiError(f"{count}: {'; '.join(problems)}", "ValidationError")


def _written(operation_model: Any, response: Json) -> Response:
    context = SerializationContext(str(uuid.uuid4()))
    written = QuerySerializer(operation_model, context).serialize(response)
    return Response(written["body"], written["status_code"], media_type=XML)


def refused(error: ApiError) -> Response:
    """Return an error as AWS's query services send it."""
    kind = "Receiver" if error.status >= 500 else "Sender"
    told = f"<Type>{kind}</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    body = f"<ErrorResponse><Error>{told}</Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    return Response(body, error.status, media_type=XML)
