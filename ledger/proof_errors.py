"""Errors of following a chain and making proofs; a branch of ``ledger.errors.LedgerError``.

::

    LedgerError
    ├── Pending              not anchored or not held elsewhere yet: says what is awaited
    ├── NotIndexed           no such element, transaction or anchor in what was read
    ├── ChainDiverged        not the chain that was read, or that others hold anchors of
    ├── IndexDamaged         the index's own file: delete it and it is rebuilt
    ├── NotAbsent            what is to be shown absent is there
    ├── UnsuitableHolder     the chain that was named cannot show that main's anchors are held
    └── IncompleteEvidence   the chain holds it, but what a proof of it needs cannot be had
"""

from __future__ import annotations

from ledger.errors import LedgerError

__all__ = [
    "ChainDiverged",
    "IncompleteEvidence",
    "IndexDamaged",
    "NotAbsent",
    "NotIndexed",
    "Pending",
    "UnsuitableHolder",
]


class Pending(LedgerError):
    """Recorded, but the anchors that a proof needs are not there yet; ask again later."""

    retryable = True


class NotIndexed(LedgerError):
    """No such element, transaction or anchor in what was read of the chain."""


class ChainDiverged(LedgerError):
    """The ledger's chain is not the one that was read, or that others hold anchors of: rollback or fork."""


class IndexDamaged(LedgerError):
    """The index's own file cannot be used; it is a cache and may be deleted."""


class NotAbsent(LedgerError):
    """What is to be shown absent is in the range; says where."""


class UnsuitableHolder(LedgerError):
    """The chain that was named is no edge, or the evidence is its own: its block shows nothing of it."""


class IncompleteEvidence(LedgerError):
    """What a proof needs beside the chains is missing, such as a data set's manifest."""
