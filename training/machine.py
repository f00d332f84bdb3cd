"""What training machines have in common: one small piece of work at a time, each decided from the chains.

A machine keeps no state that the chains do not hold: ``advance`` reads them, does the next thing that this
organisation owes, and says what it did. Killed at any instant and started again it goes on from there; what
was recorded meanwhile, by itself before it died or by a peer, it finds recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from chaincode.api import Message
from ledger.errors import ContractRefused
from ledger.port import Ledger, Receipt

__all__ = ["Advance", "Done", "Finished", "Machine", "Waiting", "submit_once"]

_DECIDED: Final = frozenset({"already-exists", "conflict", "deadline-passed"})
"""Refusals that say that somebody was faster, or that the state has moved on."""


@dataclass(frozen=True)
class Done:
    """Something was recorded on a chain."""

    what: str
    """``adopted``, ``trained``, ``attested``, ``rejected``, ``aggregated``, ``published`` or ``expired``."""
    chain: str
    run: str
    number: int
    """Step or version; 0 for what concerns the run as a whole."""
    detail: str = ""


@dataclass(frozen=True)
class Waiting:
    """Nothing to do until a chain moves."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """Nothing is owed to this run any more."""

    reason: str


Advance: TypeAlias = Done | Waiting | Finished


class Machine(Protocol):
    """One organisation's part in one run on one chain."""

    @property
    def name(self) -> str:
        """For logs and progress."""

    @property
    def ledger(self) -> Ledger:
        """The chain whose new blocks are waited for."""

    def advance(self) -> Advance:
        """Do the next piece of work, if any.

        Raises:
            LedgerError, store.errors.Unavailable, TrainingError: it did not work out; ask again later.
        """
        ...


def submit_once(ledger: Ledger, message: Message) -> Receipt | None:
    """Submit what can be recorded once only.

    Returns:
        The receipt, or None when the contract answers that the like is recorded already, or that the state
        has moved on: the caller looks at the chain again and decides anew.

    Raises:
        LedgerError: anything else.
    """
    try:
        return ledger.submit(message)
    except ContractRefused as refusal:
        if refusal.code not in _DECIDED:
            raise
        return None
