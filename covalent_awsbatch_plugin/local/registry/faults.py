"""What tests may break: rights that are missing, a disk that is full."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ApiError
from ..jobs import Account


@dataclass
class Faults:
    """The faults in force; `disk_bytes` is what still fits on the registry's disk, None without a limit."""

    denied: set[str] = field(default_factory=set)
    disk_bytes: int | None = None

    def fitting(self, size_bytes: int) -> int:
        """Return how much of something still fits on the disk, and take it from there."""
        if self.disk_bytes is None:
            return size_bytes
        fits_bytes = min(size_bytes, self.disk_bytes)
        self.disk_bytes -= fits_bytes
        return fits_bytes

    def check_right(self, account: Account, operation: str, repository: str | None) -> None:
        """Raise AccessDeniedException for an operation that is denied."""
        if operation in self.denied:
            raise ApiError(_denial(account, operation, repository), "AccessDeniedException")


def _denial(account: Account, operation: str, repository: str | None) -> str:
    user = f"arn:aws:iam::{account.account_id}:user/local"
    resource = "*" if repository is None else account.arn("ecr", f"repository/{repository}")
    return (
        f"User: {user} is not authorized to perform: ecr:{operation} on resource: {resource} "
        f"because no identity-based policy allows the ecr:{operation} action"
    )
