"""What an edge gateway is made of: the parts that ``edgeproof`` hands in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ledger.port import Ledger
from protocol.bundle import Bundle, ProvenElement
from store import Store

__all__ = ["MIN_TOKEN", "Limits", "Prover", "Services"]


MIN_TOKEN: Final = 32
"""Characters of an operator's token, at least."""


class Prover(Protocol):
    """Makes proofs; ``ledger.proofs.Prover`` is one. Threads share it."""

    def record_bundle(
        self,
        chain: str,
        record: bytes,
        holder: str | None = None,
        profile: str = "compact",
        *,
        turn: AbstractContextManager[object] = ...,
    ) -> Bundle:
        """The bundle that proves a record; ``turn`` is held while it is made, not while chains are awaited.

        Raises:
            ledger.proof_errors.Pending: not anchored, or not held by the holder, yet.
            ledger.proof_errors.NotIndexed: no such record or chain.
            ledger.proof_errors.UnsuitableHolder: it is no edge, or the one that recorded it.
        """
        ...

    def membership(
        self, chain: str, number: int, *, turn: AbstractContextManager[object] = ...
    ) -> ProvenElement:
        """An element of a chain with its membership proof; ``turn`` as for ``record_bundle``.

        Raises:
            ledger.proof_errors.Pending: not anchored yet.
            ledger.proof_errors.NotIndexed: no such chain or element.
        """
        ...

    def prepare_witnesses(
        self,
        chain: str,
        anchor: int,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Make and keep all membership witnesses of an anchor's range.

        Raises:
            ledger.proof_errors.NotIndexed: no such chain or anchor.
            accumulator.Cancelled: ``cancelled`` said so.
        """
        ...


@dataclass(frozen=True)
class Limits:
    """Bounds of what the gateway takes; sizes in bytes, times in seconds."""

    reading_bytes: int = 1024 * 1024
    batch_bytes: int = 16 * 1024 * 1024
    """Of the body of one batch request."""
    batch_readings: int = 512
    """In one batch request."""
    transaction_readings: int = 512
    transaction_bytes: int = 256 * 1024
    """Of the encoded argument of one recording transaction."""
    transactions: int = 8
    """Recording transactions under way at once."""
    beside_readings: int = 64
    """A transaction with fewer waits for those under way, so that few readings make few transactions."""
    queue_readings: int = 4096
    queue_bytes: int = 256 * 1024 * 1024
    """Readings that wait for a transaction, beyond which the gateway answers 503."""
    linger: float = 0.010
    """How long a batch waits for readings that are being checked; one alone never waits."""
    skew: float = 60.0
    """How far a reading's time may lie from the gateway's clock."""
    device_cache: float = 5.0
    """How long an enrolled key is taken for current; the contract checks it again."""
    commit_timeout: float = 30.0
    key_retention: float = 30 * 24 * 3600.0
    """How long an idempotency key is remembered."""


@dataclass(frozen=True)
class Services:
    """The parts of one edge gateway. Whoever made them closes them."""

    ledger: Ledger
    """This edge's chain, with the gateway's identity."""
    store: Store
    state: Path
    """Folder of the gateway's own durable state (idempotency keys); made when missing."""
    main: Ledger | None = None
    """The main chain, where the gateway can read it."""
    prover: Prover | None = None
    clock: Callable[[], float] = time.time
    """Seconds since 1970 UTC."""
    limits: Limits = field(default_factory=Limits)
    operator_token: str | None = field(default=None, repr=False)
    """Shown by whoever has the gateway record in its own name; None: nobody can. A secret."""

    def __post_init__(self) -> None:
        # An empty token would be shown by everybody who shows none.
        if self.operator_token is not None and len(self.operator_token) < MIN_TOKEN:
            raise ValueError(f"an operator's token has at least {MIN_TOKEN} characters")

    @property
    def chain(self) -> str:
        """Id of this edge's chain."""
        return self.ledger.chain

    @property
    def chains(self) -> Mapping[str, Ledger]:
        """Every chain that this gateway can read, by id; its own first."""
        known = {self.ledger.chain: self.ledger}
        if self.main is not None:
            known[self.main.chain] = self.main
        return known
