"""What the suite of all ledgers needs of a backend."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from identity.roles import Role
from ledger.port import Ledger


class Harness(abc.ABC):
    """What the suite needs of a backend."""

    organisations: tuple[str, ...]

    @abc.abstractmethod
    def open(self, msp_id: str = "", role: Role = Role.CLIENT, *, attempts: int | None = None) -> Ledger:
        """A ledger on the chain for a member; ``attempts`` limits the ledger's own retries."""

    @abc.abstractmethod
    def stranger(self) -> Ledger:
        """A ledger for an identity of the first organisation's name that its authority never issued."""

    @abc.abstractmethod
    def expired(self) -> Ledger:
        """A ledger for a member whose certificate has run out."""

    @abc.abstractmethod
    def under_endorsed(self) -> Ledger:
        """A ledger that has only one organisation endorse."""

    @abc.abstractmethod
    def endorsed(self, message: Any) -> bytes:
        """An endorsed, signed envelope that was not ordered yet."""

    @abc.abstractmethod
    def order(self, envelope: bytes) -> int:
        """Order any envelope and wait; its validation code."""

    @abc.abstractmethod
    def recipe(self) -> tuple[Callable[..., Ledger], tuple[Any, ...]]:
        """A picklable way to open the chain in another process."""
