"""Whose AWS, where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """Whose AWS, where: everything that decides which clients serve a task."""

    credentials: str
    profile: str
    region: str
    endpoint_url: str

    def __str__(self) -> str:
        """Describe the account for an error, without anything secret."""
        parts = [
            f"profile {self.profile!r}" if self.profile else "the default profile",
            f"credentials file {self.credentials!r}" if self.credentials else "",
            f"region {self.region!r}" if self.region else "",
            f"endpoint {self.endpoint_url}" if self.endpoint_url else "",
        ]
        return ", ".join(part for part in parts if part)
