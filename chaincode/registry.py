"""Every contract function, and how a call is run.

A call is decoded strictly, handed to its function, and the result wrapped as ``payloads`` says. A refusal is
a ``ContractError``; anything else that is raised is a fault of ours and leaves as ``InternalError`` without a
word about its cause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chaincode import (
    api,
    attestations,
    cuts,
    devices,
    inferences,
    interlock,
    models,
    organisations,
    records,
    runs,
    sources,
    steps,
)
from chaincode.api import Message
from chaincode.context import Context
from chaincode.errors import ContractError, InternalError, InvalidArgument, UnknownFunction
from chaincode.faults import told_safely
from chaincode.payloads import encode_result
from protocol.encodings import decode
from protocol.errors import EncodingError

__all__ = ["CONTRACTS", "MAX_ARGUMENT", "Contract", "invoke"]

MAX_ARGUMENT: Final = 256 * 1024
"""Bytes of an encoded argument."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contract:
    """One function: the message it takes and what runs it."""

    message: type[Message]
    handler: Callable[[Context, Any], Any]


def _table(*contracts: tuple[type[Message], Callable[[Context, Any], Any]]) -> dict[str, Contract]:
    return {message.FUNCTION: Contract(message, handler) for message, handler in contracts}


CONTRACTS: Final = _table(
    (api.RegisterOrganisation, organisations.register),
    (api.GetOrganisation, organisations.get),
    (api.EnrolDevice, devices.enrol),
    (api.SetDeviceStatus, devices.set_status),
    (api.GetDevice, devices.get),
    (api.GrantDelegation, devices.grant),
    (api.GetGrant, devices.get_grant),
    (api.SubmitReading, records.submit),
    (api.SubmitBatch, records.submit_batch),
    (api.GetRecord, records.get),
    (api.FindNonce, records.find_nonce),
    (api.RegisterSource, sources.register),
    (api.ReplaceRoster, sources.replace_roster),
    (api.GetSource, sources.get),
    (api.GetHeads, sources.get_heads),
    (api.FixCut, cuts.fix),
    (api.SignAnchor, cuts.sign),
    (api.GetCut, cuts.get),
    (api.AcceptAnchor, interlock.accept),
    (api.Rebase, interlock.rebase),
    (api.GetAnchor, interlock.get),
    (api.CreateRun, runs.create),
    (api.AdoptRun, runs.adopt),
    (api.GetRun, runs.get),
    (api.SubmitStep, steps.submit),
    (api.GetStep, steps.get),
    (api.Attest, attestations.attest),
    (api.Expire, attestations.expire),
    (api.GetOutcome, attestations.get_outcome),
    (api.GetAttestations, attestations.list_votes),
    (api.CommitModel, models.commit),
    (api.GetModel, models.get),
    (api.PublishModel, models.publish),
    (api.GetPublished, models.get_published),
    (api.RecordInference, inferences.record),
    (api.GetInference, inferences.get),
)
"""Function name to contract."""


def invoke(context: Context, function: str, argument: bytes) -> bytes:
    """Run one call.

    Args:
        context: state and transaction.
        function: ``contract:function``.
        argument: canonical JSON of the function's message.

    Returns:
        The response payload (see ``payloads``).

    Raises:
        ContractError: any refusal; ``UnknownFunction`` and ``InvalidArgument`` for calls that no function
            takes; ``InternalError`` for a fault of ours, whose cause is logged and not told.
    """
    contract = CONTRACTS.get(function)
    if contract is None:
        raise UnknownFunction(f"there is no function {function[:80]!r}")
    if len(argument) > MAX_ARGUMENT:
        raise InvalidArgument(f"the argument has {len(argument)} bytes; {MAX_ARGUMENT} are allowed")
    try:
        message = decode(contract.message, argument)
    except EncodingError as error:
        raise InvalidArgument(f"{function}: {error}") from error
    try:
        return encode_result(function, contract.handler(context, message))
    except ContractError:
        raise
    except Exception as error:
        _log.error("%s failed in transaction %s: %s", function, context.transaction_id, told_safely(error))
        raise InternalError("the contract failed; the peer's log names the transaction") from error
