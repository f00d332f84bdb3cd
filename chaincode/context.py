"""What a contract sees of the world: a world state, and the facts of the transaction that calls it.

The world state has Fabric's semantics: ``get`` and ``range`` answer what is committed and never what this
transaction has put; a contract that needs its own writes keeps them in variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from chaincode.errors import AccessDenied, NotFound
from identity.msp import Identity
from identity.roles import Role
from protocol.encodings import decode, encode

__all__ = ["Context", "WorldState"]

T = TypeVar("T")


class WorldState(Protocol):
    """Keys are text without NUL, values are bytes (never empty: Fabric reads an empty value as no value)."""

    def get(self, key: str) -> bytes | None:
        """The committed value, or None. The version that was read enters the read set."""

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The committed values of ``keys`` in their order, as ``get`` answers each; cheaper on a peer."""

    def put(self, key: str, value: bytes) -> None:
        """Write at commit; not visible to ``get`` before."""

    def delete(self, key: str) -> None:
        """Remove at commit; not visible to ``get`` before."""

    def range(self, start: str, end: str) -> Iterator[tuple[str, bytes]]:
        """Committed keys with start <= key < end in order of UTF-8 bytes; the range enters the read set."""

    def set_event(self, name: str, payload: bytes) -> None:
        """Emit the transaction's one event; a later call replaces it."""


@dataclass(frozen=True)
class Context:
    """One call: its state and its transaction."""

    state: WorldState
    chain: str
    transaction_id: str
    timestamp_ms: int
    """The submitter's claim, milliseconds since 1970 UTC (bounded by the peers' time-window check)."""
    creator: Identity
    """Who signed the proposal, validated by the chain's MSPs."""

    def read(self, kind: type[T], key: str) -> T | None:
        """The committed message under ``key``, or None."""
        raw = self.state.get(key)
        return None if raw is None else decode(kind, raw)

    def require(self, kind: type[T], key: str, what: str) -> T:
        """The committed message under ``key``.

        Raises:
            NotFound: there is none; ``what`` names it to the caller.
        """
        message = self.read(kind, key)
        if message is None:
            raise NotFound(f"{what} is not known on {self.chain}")
        return message

    def write(self, key: str, message: object) -> None:
        """Put a message under ``key`` in its canonical form."""
        self.state.put(key, encode(message))

    def require_role(self, *roles: Role) -> None:
        """Let only callers of these roles pass.

        Raises:
            AccessDenied: the caller has another role.
        """
        if self.creator.role not in roles:
            wanted = " or ".join(role.value for role in roles)
            raise AccessDenied(f"this takes the role {wanted}, not {self.creator.role.value}")
