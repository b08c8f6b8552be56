"""ECR's JSON interface: from the body of an HTTP request to an operation and back."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from .. import model
from ..api import Answer, defect, error_answer, offered, parse
from ..errors import ApiError, NotLocal, invalid
from ..jobs import Account, Json
from .faults import Faults

logger = logging.getLogger(__name__)

SERVICE = "ecr"

Operation = Callable[[Json], Awaitable[Json]]


class EcrApi:
    """Answers the calls of one local ECR."""

    def __init__(self, account: Account, faults: Faults, providers: Iterable[object]) -> None:
        """Offer the operations that any of the providers has a method for."""
        self._account = account
        self._faults = faults
        self._operations: dict[str, Operation] = offered(SERVICE, providers)

    async def answer(self, operation: str, body: bytes) -> Answer:
        """Perform an operation and return its response, or the error that AWS would give."""
        try:
            return Answer(await self._perform(operation, body))
        except ApiError as error:
            return typed(error_answer(error))
        except Exception as error:
            logger.exception("the local ECR failed in %s", operation)
            return typed(error_answer(defect(operation, repr(error))))

    async def _perform(self, operation: str, body: bytes) -> Json:
        if operation not in self._operations:
            raise NotLocal(operation, "ECR")
        request = parse(body)
        self._faults.check_right(self._account, operation, request.get("repositoryName"))
        if request.get("registryId", self._account.account_id) != self._account.account_id:
            raise NotLocal("the registries of other accounts", "ECR")
        problems = model.request_problems(operation, request, SERVICE)
        if problems:
            raise invalid("; ".join(problems))
        response = await self._operations[operation](request)
        problems = model.response_problems(operation, response, SERVICE)
        if problems:
            raise defect(operation, "; ".join(problems))
        return response


def typed(answer: Answer) -> Answer:
    """Return an error with its code in the body, where JSON services have it."""
    return Answer({"__type": answer.error_code, **answer.body}, answer.status, answer.error_code)
