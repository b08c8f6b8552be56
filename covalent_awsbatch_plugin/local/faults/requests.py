"""What happens to a request: it waits, it is refused, its answer gets lost, or only half of it comes.

A request that is struck is read to its end first, so that clients see the answer and not their own
broken upload. Of several faults for one call all delays count, and the first of the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..calls import Call
from . import refusals
from .effects import Cut, ExpiredToken, HalfBody, HalfWritten, Latency, Refusal, RequestEffect
from .plan import RequestFault
from .standing import Standing, concerns, is_chosen

Transports = Callable[[tuple[str, int]], list[asyncio.Transport]]
"""Returns the connection to a client's address and port, none where the client has gone."""

HalveObject = Callable[[str, str], None]
"""Cuts the object of a bucket and key to its first half."""


class RequestFaults:
    """Strikes calls on their way to the services."""

    def __init__(self, transports: Transports, halve_object: HalveObject) -> None:
        self._standing: Sequence[Standing[RequestFault]] = ()
        self._transports = transports
        self._halve_object = halve_object

    def begin(self, standing: Sequence[Standing[RequestFault]]) -> None:
        """Take over these faults and forget the ones before."""
        self._standing = standing

    async def answer(self, call: Call, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call through the app that serves it, or as the plan wants it."""
        due = self._due(call)
        delays = [each for each in due if isinstance(each.fault.effect, Latency)]
        others = [each for each in due if each not in delays][:1]
        for standing in (*delays, *others):
            standing.struck += 1
        await asyncio.sleep(sum(_delay_s(each.fault.effect) for each in delays))
        if others:
            await self._befall(others[0].fault.effect, call, app, scope, receive, send)
        else:
            await app(scope, receive, send)

    def _due(self, call: Call) -> list[Standing[RequestFault]]:
        """Count a call, and return the faults that are to strike it."""
        concerned = [each for each in self._standing if concerns(each.fault, call)]
        for standing in concerned:
            standing.seen += 1
        return [each for each in concerned if not each.is_used_up and is_chosen(each.fault, each.seen)]

    async def _befall(
        self, effect: RequestEffect, call: Call, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        answer = await (_performed(app, scope, receive) if _takes_place(effect) else _drained(receive))
        if isinstance(effect, Cut):
            await self._cut(scope, receive)
        elif isinstance(effect, HalfBody):
            await self._send_half(answer, scope, receive, send)
        elif isinstance(effect, HalfWritten):
            await asyncio.to_thread(self._halve_object, call.bucket, call.key)
            for message in answer:
                await send(message)
        else:
            await _refusal(call, effect)(scope, receive, send)

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        for transport in self._transports(scope["client"]):
            transport.abort()
        await _gone(receive)

    async def _send_half(self, answer: list[Message], scope: Scope, receive: Receive, send: Send) -> None:
        start, *rest = answer
        body = b"".join(message.get("body", b"") for message in rest)
        await send(start)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        for transport in self._transports(scope["client"]):
            transport.close()  # what was written goes out first
        await _gone(receive)


def _delay_s(effect: RequestEffect) -> float:
    return effect.latency_s if isinstance(effect, Latency) else 0.0


def _takes_place(effect: RequestEffect) -> bool:
    """Tell whether the service does what it was asked for, whatever the client hears of it."""
    if isinstance(effect, Cut):
        return effect.cut == "after"
    if isinstance(effect, Refusal):
        return effect.after
    return not isinstance(effect, ExpiredToken)


def _refusal(call: Call, effect: RequestEffect) -> Response:
    if isinstance(effect, Refusal):
        return refusals.refusal(call, effect)
    return refusals.expired_token(call)


async def _drained(receive: Receive) -> list[Message]:
    """Return no answer, when the request has come to its end."""
    while (await receive()).get("more_body", False):
        pass
    return []


async def _performed(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Let a request take effect and return the answer that was meant for the client."""
    answer: list[Message] = []

    async def keep(message: Message) -> None:
        answer.append(message)

    await app(scope, receive, keep)
    return answer


async def _gone(receive: Receive) -> None:
    """Return when the server knows that the client is gone; before, it would answer in our place."""
    while (await receive())["type"] != "http.disconnect":
        pass
