"""AWS Batch's REST interface: from an HTTP request to an operation and back.

Requests and responses are checked against botocore's model. A response that does not fit is a defect
of the local AWS and answers 500.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore import xform_name

from . import model, rules
from .errors import ApiError, NotLocal, refused
from .jobs import Json

logger = logging.getLogger(__name__)

Operation = Callable[[Json], Json]


@dataclass(frozen=True)
class Answer:
    """An HTTP response: JSON, status and, for errors, AWS's code."""

    body: Json
    status: int = 200
    error_code: str | None = None


class BatchApi:
    """Answers the calls of one local AWS Batch."""

    def __init__(self, providers: Iterable[object]) -> None:
        """Offer the operations that any of the providers has a method for."""
        self._operations: dict[str, Operation] = offered("batch", providers)

    def answer(
        self, operation: str, path_parameters: Json, query: list[tuple[str, str]], body: bytes
    ) -> Answer:
        """Perform an operation and return its response, or the error that AWS would give."""
        try:
            return Answer(self._perform(operation, path_parameters, query, body))
        except ApiError as error:
            return error_answer(error)
        except Exception as error:
            logger.exception("the local AWS Batch failed in %s", operation)
            return error_answer(defect(operation, repr(error)))

    def _perform(
        self, operation: str, path_parameters: Json, query: list[tuple[str, str]], body: bytes
    ) -> Json:
        if operation not in self._operations:
            raise NotLocal(operation)
        if operation == "SubmitJob":
            rules.check_size(len(body), rules.SUBMIT_REQUEST_KIB, "Job")
        request = parse(body) | path_parameters | model.query_parameters(operation, query)
        problems = model.request_problems(operation, request)
        if problems:
            raise refused("; ".join(problems))
        response = self._operations[operation](request)
        problems = model.response_problems(operation, response)
        if problems:
            raise defect(operation, "; ".join(problems))
        return response


def error_answer(error: ApiError) -> Answer:
    """Return an error as AWS's REST services send it."""
    return Answer({"message": error.message}, error.status, error.code)


def offered(service: str, providers: Iterable[object]) -> dict[str, Any]:
    """Return a service's operations by name: the methods that the providers have for them."""
    return {
        name: method
        for name in model.service_model(service).operation_names
        for provider in providers
        if (method := getattr(provider, xform_name(name), None)) is not None
    }


def parse(body: bytes) -> Json:
    """Return the JSON object in the body of a request."""
    if not body:
        return {}
    try:
        request = json.loads(body)
    except ValueError as error:
        raise ApiError("Could not parse request body into json", "SerializationException") from error
    if not isinstance(request, dict):
        raise ApiError("Request body must be a JSON object", "SerializationException")
    return request


def defect(operation: str, what: str) -> ApiError:
    """Return the error for a mistake of the local AWS itself."""
    return ApiError(f"defect of the local AWS in {operation}: {what}", "ServerException", 500)
