"""The passwords that GetAuthorizationToken gives out; only digests of them are kept."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from enum import Enum

USER = "AWS"
LIFETIME_S = 12 * 3600.0
SECRET_BYTES = 96


class Verdict(Enum):
    """What a request's credentials are worth."""

    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Token:
    """A password and the time when it ends, in seconds since the epoch."""

    password: str
    expires_at_s: float

    @property
    def basic(self) -> str:
        """The credentials of HTTP's Basic scheme."""
        return base64.b64encode(f"{USER}:{self.password}".encode()).decode()


class Tokens:
    """The tokens of one local AWS."""

    def __init__(self) -> None:
        self.lifetime_s = LIFETIME_S
        self._expires_at_s: dict[bytes, float] = {}

    def issue(self) -> Token:
        """Return a new token."""
        token = Token(secrets.token_urlsafe(SECRET_BYTES), time.time() + self.lifetime_s)
        self._expires_at_s[_digest(token.basic)] = token.expires_at_s
        return token

    def judge(self, authorization: str) -> Verdict:
        """Say what the credentials in an Authorization header are worth."""
        scheme, _, credentials = authorization.partition(" ")
        expires_at_s = self._expires_at_s.get(_digest(credentials.strip()))
        if scheme.lower() != "basic" or expires_at_s is None:
            return Verdict.UNKNOWN
        return Verdict.VALID if time.time() < expires_at_s else Verdict.EXPIRED

    def revoke_all(self) -> None:
        """Make every token that was issued an expired one."""
        self._expires_at_s = dict.fromkeys(self._expires_at_s, 0.0)


def _digest(basic: str) -> bytes:
    return hashlib.sha256(basic.encode()).digest()
