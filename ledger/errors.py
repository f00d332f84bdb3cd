"""What can go wrong between a caller and a chain, by the stage that failed.

::

    LedgerError                       .transaction (id, or ""), .retryable (whether a new submission can help)
    ├── ProposalRefused               a peer did not take the proposal
    │   ├── IdentityRefused           the organisation's authority did not issue it, or has revoked it
    │   │   ├── UnknownOrganisation   the channel has no such MSP, or the certificate is not one
    │   │   ├── IdentityExpired
    │   │   └── IdentityRevoked       it was accepted before, and is not any more
    │   ├── SignatureRefused          the proposal was changed after it was signed, or another key signed it
    │   ├── ClockRefused              the proposal's time is too far from the peer's
    │   └── MessageTooLarge
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
    "ClockRefused",
    "CommitConflict",
    "ContractRefused",
    "CorruptLedger",
    "EndorsementMismatch",
    "EndorsementPolicyFailure",
    "IdentityExpired",
    "IdentityRefused",
    "IdentityRevoked",
    "InvalidTransaction",
    "LedgerError",
    "MessageTooLarge",
    "ProposalRefused",
    "SignatureRefused",
    "Unavailable",
    "UnknownOrganisation",
    "UnknownOutcome",
    "code_name",
    "invalid_transaction",
]

_CODE = transaction_pb2.TxValidationCode


class LedgerError(Exception):
    """Root of this room's errors."""

    retryable: ClassVar[bool] = False
    """Whether submitting again (with a new transaction id) can help."""

    advice: ClassVar[str] = ""
    """What can be done about it; the end of the message."""

    def __init__(self, message: str, *, transaction: str = "") -> None:
        super().__init__(f"{message}. {self.advice}" if self.advice else message)
        self.transaction = transaction
        """Transaction id; empty where no transaction came into being."""


class ProposalRefused(LedgerError):
    """A peer refused the proposal before it ran: unknown, expired or revoked identity, time window, size."""


class IdentityRefused(ProposalRefused):
    """The channel's organisations do not accept the submitter's certificate."""

    advice = (
        "Use a certificate that the organisation's authority on this channel has issued and not revoked; "
        "the peer's log says which of the two it is"
    )


class UnknownOrganisation(IdentityRefused):
    """The channel knows no such MSP, or the certificate cannot be read."""

    advice = "Check the MSP id against the channel's organisations, and that the certificate is X.509 in PEM"


class IdentityExpired(IdentityRefused):
    """The submitter's certificate has run out."""

    advice = "Renew the certificate"


class IdentityRevoked(IdentityRefused):
    """The peer accepted this certificate before, and does not any more, though it has not run out."""

    advice = (
        "Its organisation has revoked it, gave up the authority that issued it, or has left the channel: "
        "have another one issued"
    )


class SignatureRefused(ProposalRefused):
    """The proposal's signature is not the certificate's over these bytes."""

    advice = "It was changed after signing, or signed by another key: check what lies between, and sign anew"


class ClockRefused(ProposalRefused):
    """The proposal's time is too far from the peer's clock."""

    advice = "Set this machine's clock"


class MessageTooLarge(ProposalRefused):
    """Some limit on a message's size refused it."""

    advice = "Send less at once, or raise the channel's batch limits and the peers' message limits"


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

    advice = "Try again; if it stays so, compare the contracts' versions at the organisations that endorse"


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

    advice = "Check its name, and that what was asked holds that chain"


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
