"""What can go wrong between a caller and a chain, by the stage that failed.

::

    LedgerError                       .transaction (id, or ""), .retryable (whether a new submission can help)
    ├── ProposalRefused               a peer did not take the proposal: identity, expiry, time window, size
    ├── ContractRefused               the contract said no: code, message, status, details
    ├── EndorsementMismatch           the organisations' results differ
    ├── InvalidTransaction            in a block, but not valid: code (a TxValidationCode), name
    │   ├── EndorsementPolicyFailure
    │   └── CommitConflict            MVCC or phantom read conflict, after the ledger's own retries
    ├── Unavailable                   nothing was recorded; another time it may be
    ├── UnknownOutcome                it may be recorded or not: look the transaction up by its id
    ├── ChainNotFound                 no chain there
    ├── ChainExists                   another chain is there already
    ├── BlockNotFound                 the chain is not as high as that
    └── CorruptLedger                 the stored chain is damaged
"""

from __future__ import annotations

from typing import ClassVar

from fabric_protos.peer import transaction_pb2

from protocol.encodings import Json

__all__ = [
    "BlockNotFound",
    "ChainExists",
    "ChainNotFound",
    "CommitConflict",
    "ContractRefused",
    "CorruptLedger",
    "EndorsementMismatch",
    "EndorsementPolicyFailure",
    "InvalidTransaction",
    "LedgerError",
    "ProposalRefused",
    "Unavailable",
    "UnknownOutcome",
    "code_name",
    "invalid_transaction",
]

_CODE = transaction_pb2.TxValidationCode


class LedgerError(Exception):
    """Root of this room's errors."""

    retryable: ClassVar[bool] = False
    """Whether submitting again (with a new transaction id) can help."""

    def __init__(self, message: str, *, transaction: str = "") -> None:
        super().__init__(message)
        self.transaction = transaction
        """Transaction id; empty where no transaction came into being."""


class ProposalRefused(LedgerError):
    """A peer refused the proposal before it ran: unknown, expired or revoked identity, time window, size."""


class ContractRefused(LedgerError):
    """The contract refused. Nothing was recorded."""

    def __init__(
        self, code: str, message: str, status: int, details: Json = None, *, transaction: str = ""
    ) -> None:
        super().__init__(f"{code}: {message}", transaction=transaction)
        self.code = code
        """Stable slug of ``chaincode.errors``."""
        self.message = message
        self.status = status
        """HTTP-like."""
        self.details = details


class EndorsementMismatch(LedgerError):
    """Two organisations simulated the same proposal to different results. Nothing was recorded."""


class InvalidTransaction(LedgerError):
    """The transaction stands in a block and has no effect."""

    def __init__(self, code: int, *, transaction: str = "", block: int | None = None) -> None:
        where = "" if block is None else f" in block {block}"
        super().__init__(f"transaction{where} is invalid: {code_name(code)}", transaction=transaction)
        self.code = code
        """``TxValidationCode``."""
        self.name = code_name(code)
        self.block = block


class EndorsementPolicyFailure(InvalidTransaction):
    """Too few distinct organisations endorsed."""


class CommitConflict(InvalidTransaction):
    """What the transaction had read was changed before it was committed."""

    retryable = True


class Unavailable(LedgerError):
    """The ledger cannot be reached or written at present. Nothing was recorded."""

    retryable = True


class UnknownOutcome(LedgerError):
    """The transaction may have been recorded: look it up by its id before trying again."""


class ChainNotFound(LedgerError):
    """There is no such chain."""


class ChainExists(LedgerError):
    """Another chain stands where this one was to be made."""


class BlockNotFound(LedgerError):
    """The chain is not as high as that."""


class CorruptLedger(LedgerError):
    """The stored chain is damaged, or was changed by something that is no ledger."""


def code_name(code: int) -> str:
    """Fabric's name of a validation code."""
    try:
        return str(_CODE.Name(code))
    except ValueError:
        return f"code {code}"


def invalid_transaction(code: int, *, transaction: str = "", block: int | None = None) -> InvalidTransaction:
    """The error for a validation code other than VALID."""
    kind = InvalidTransaction
    if code == _CODE.ENDORSEMENT_POLICY_FAILURE:
        kind = EndorsementPolicyFailure
    elif code in (_CODE.MVCC_READ_CONFLICT, _CODE.PHANTOM_READ_CONFLICT):
        kind = CommitConflict
    return kind(code, transaction=transaction, block=block)
