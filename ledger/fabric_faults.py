"""From the Fabric client's errors to the ledger's: the one place that reads what peers and orderers say.

Peers hide why they refuse an identity (it goes to their log alone), so what can be told apart is: an MSP that
the channel does not know, an expired certificate, and all else. Of the rest the client tells itself whether
its key fits its certificate, and whether this peer accepted the identity before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import grpc

from chaincode.errors import PASSING_CODES, error_from_message
from ledger.errors import (
    ChainNotFound,
    ClockRefused,
    ContractRefused,
    EndorsementMismatch,
    IdentityExpired,
    IdentityRefused,
    IdentityRevoked,
    LedgerError,
    MessageTooLarge,
    ProposalRefused,
    SignatureRefused,
    Unavailable,
    UnknownOrganisation,
    UnknownOutcome,
    invalid_transaction,
)
from ledger.fabric.errors import (
    CommitError,
    EndorseError,
    EvaluateError,
    EventsError,
    GatewayClosed,
    GatewayError,
    OutcomeUnknown,
    SubmitError,
)

__all__ = ["is_vague", "is_without_peers", "ledger_error"]

_NO_CHANNEL: Final = ("failed to get config for channel", "channel does not exist", "not found: channel")
_NO_PEERS: Final = "no peers available to evaluate"
_VAGUE: Final = ("No metadata was found for chaincode", _NO_PEERS)
_NO_CREATOR: Final = ("creator org unknown", "creator is malformed")
_CLOCK: Final = ("incorrect timestamp", "from current server time")


def ledger_error(
    error: GatewayError,
    *,
    was_accepted: bool = False,
    organisation_is_known: Callable[[], bool] = lambda: False,
    signature_fits: Callable[[], bool] = lambda: True,
) -> LedgerError:
    """The ledger's error for a failure of the client; raise it ``from`` the cause.

    Args:
        error: the failure.
        was_accepted: whether the peer has accepted this identity before.
        organisation_is_known: asks whether the channel knows the submitter's organisation.
        signature_fits: checks that the submitter's key and certificate belong together.
    """
    told = str(error)
    name = error.transaction_id
    if isinstance(error, GatewayClosed):
        return Unavailable("the ledger is closed", transaction=name)
    if isinstance(error, CommitError):
        return invalid_transaction(error.status, transaction=name, block=error.block_number)
    if isinstance(error, OutcomeUnknown):
        return UnknownOutcome(told, transaction=name)
    if (response := error.chaincode_response) is not None:
        parsed = error_from_message(response.message, response.status)
        code, message, details = (
            ("chaincode-error", response.message, None)
            if parsed is None
            else (parsed.code, parsed.message, parsed.details)
        )
        if code in PASSING_CODES:  # the chaincode or its peer is away; the contract said nothing
            return Unavailable(f"{code}: {message}", transaction=name)
        return ContractRefused(code, message, response.status, details, transaction=name)
    if error.is_too_large:
        return MessageTooLarge(told, transaction=name)
    if isinstance(error, EndorseError) and error.is_mismatch:
        return EndorsementMismatch(told, transaction=name)
    if _says(error, _NO_CHANNEL) or getattr(error, "deliver_status", "") == "NOT_FOUND":
        return ChainNotFound(told, transaction=name)
    if _says(error, _NO_CREATOR):
        kind = IdentityRefused if organisation_is_known() else UnknownOrganisation
        return kind(told, transaction=name)
    if (refused := _identity_error(error, was_accepted, signature_fits)) is not None:
        return refused
    if _says(error, _CLOCK):
        return ClockRefused(told, transaction=name)
    if isinstance(error, SubmitError) and error.is_refused:
        return ProposalRefused(told, transaction=name)
    if isinstance(error, EndorseError | EvaluateError) and error.code == grpc.StatusCode.INVALID_ARGUMENT:
        return ProposalRefused(told, transaction=name)
    return Unavailable(told, transaction=name)


def is_vague(error: GatewayError) -> bool:
    """Whether the same words are said for different reasons.

    No such channel or chaincode, a foreign identity, a peer that has not heard of the others yet: another
    question may tell which.
    """
    return _says(error, _VAGUE) or getattr(error, "deliver_status", "") == "FORBIDDEN"


def is_without_peers(error: GatewayError) -> bool:
    """Whether the peer knows no peer, on this channel, of the organisation that was asked for."""
    return _says(error, (_NO_PEERS,))


def _identity_error(
    error: GatewayError, was_accepted: bool, signature_fits: Callable[[], bool]
) -> LedgerError | None:
    told, name = str(error), error.transaction_id
    if _says(error, ("identity expired", "identity is expired")):
        return IdentityExpired(told, transaction=name)
    forbidden = isinstance(error, EventsError) and error.deliver_status == "FORBIDDEN"
    if not forbidden and not _says(error, ("access denied",)):
        return None
    if not signature_fits():
        return SignatureRefused(told, transaction=name)
    if was_accepted:
        return IdentityRevoked(told, transaction=name)
    return IdentityRefused(told, transaction=name)


def _says(error: GatewayError, marks: tuple[str, ...]) -> bool:
    return any(mark in text for text in error.texts for mark in marks)
