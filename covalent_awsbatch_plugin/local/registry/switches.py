"""The switches under `/_local/registry/` and `/_local/ecr/`; `server` documents them."""

from __future__ import annotations

import json

from starlette.responses import JSONResponse

from ..model import service_model
from .ecr import Registry
from .tokens import LIFETIME_S


def answer(registry: Registry, room: str, switch: str, body: bytes) -> JSONResponse | None:
    """Turn a switch and return the response; None where there is no such switch."""
    turn = SWITCHES.get((room, switch))
    if turn is None:
        return None
    try:
        turn(registry, body)
    except (ValueError, KeyError, TypeError) as error:
        return JSONResponse({"message": f"the body does not fit: {error!r}"}, 400)
    return JSONResponse({})


def _revoke_tokens(registry: Registry, _: bytes) -> None:
    registry.tokens.revoke_all()


def _token_lifetime(registry: Registry, body: bytes) -> None:
    lifetime_s = json.loads(body)["seconds"]
    registry.tokens.lifetime_s = LIFETIME_S if lifetime_s is None else float(lifetime_s)


def _limit(registry: Registry, body: bytes) -> None:
    size_bytes = json.loads(body)["bytes"]
    if size_bytes is not None and (not isinstance(size_bytes, int) or size_bytes < 0):
        raise ValueError("bytes must be a number or null")
    registry.faults.disk_bytes = size_bytes


def _deny(registry: Registry, body: bytes) -> None:
    operations = set(json.loads(body)["operations"])
    unknown = operations - set(service_model("ecr").operation_names)
    if unknown:
        raise ValueError(f"ECR has no {', '.join(sorted(unknown))}")
    registry.faults.denied |= operations


def _allow(registry: Registry, _: bytes) -> None:
    registry.faults.denied.clear()


SWITCHES = {
    ("registry", "revoke-tokens"): _revoke_tokens,
    ("registry", "token-lifetime"): _token_lifetime,
    ("registry", "limit"): _limit,
    ("ecr", "deny"): _deny,
    ("ecr", "allow"): _allow,
}
