"""What peers and orderers say, as the ledger's errors. The texts are Fabric 3.1's own."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from fabric_protos.peer import transaction_pb2
from refusals import documented_refusals

from chaincode.errors import Busy, ContractError, PeerRefused, StreamLost
from ledger import errors
from ledger.errors import (
    ChainNotFound,
    ClockRefused,
    CommitConflict,
    ContractRefused,
    EndorsementMismatch,
    EndorsementPolicyFailure,
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
)
from ledger.fabric import (
    CommitError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    EventsError,
    GatewayClosed,
    GatewayError,
    OutcomeUnknown,
    SubmitError,
)
from ledger.fabric_faults import is_vague, is_without_peers, ledger_error

CODE = transaction_pb2.TxValidationCode
STATUS = grpc.StatusCode


def endorse(said: str) -> EndorseError:
    detail = ErrorDetail("127.0.0.1:7051", "Org1MSP", said)
    return EndorseError(
        "failed to endorse transaction, see attached details for more info",
        transaction_id="ab",
        code=STATUS.ABORTED,
        details=[detail],
    )


DENIED = "error validating proposal: access denied: channel [edge-a] creator org [Org1MSP]"
MALFORMED = "access denied: channel [edge-a] creator org unknown, creator is malformed"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (endorse(DENIED), IdentityRefused),
        (endorse(MALFORMED), UnknownOrganisation),
        (endorse("error validating proposal: proposal client identity expired"), IdentityExpired),
        (endorse("ProposalResponsePayloads do not match"), EndorsementMismatch),
        (
            endorse("rpc error: code = ResourceExhausted desc = message larger than max (2 vs. 1)"),
            MessageTooLarge,
        ),
        (
            EndorseError("CLIENT: Sent message larger than max (2 vs. 1)", code=STATUS.RESOURCE_EXHAUSTED),
            MessageTooLarge,
        ),
        (
            SubmitError(
                "received unsuccessful response from orderer: status=BAD_REQUEST, info=message payload is 2 "
                "bytes and exceeds maximum allowed 1 bytes",
                code=STATUS.ABORTED,
            ),
            MessageTooLarge,
        ),
        (
            SubmitError(
                "received unsuccessful response from orderer: status=FORBIDDEN, info=implicit policy "
                "evaluation failed",
                code=STATUS.ABORTED,
            ),
            ProposalRefused,
        ),
        (SubmitError("no orderers could successfully process", code=STATUS.UNAVAILABLE), Unavailable),
        (
            EvaluateError(
                "failed to get config for channel [x]: could not get last config for channel x",
                code=STATUS.UNAVAILABLE,
            ),
            ChainNotFound,
        ),
        (EventsError("ended", deliver_status="NOT_FOUND"), ChainNotFound),
        (EventsError("ended", deliver_status="FORBIDDEN"), IdentityRefused),
        (endorse("request unauthorized due to incorrect timestamp"), ClockRefused),
        (
            EvaluateError("failed to unpack proposal", code=STATUS.INVALID_ARGUMENT),
            ProposalRefused,
        ),
        (EvaluateError("failed to connect to all addresses", code=STATUS.UNAVAILABLE), Unavailable),
        (endorse("error in simulation: chaincode stream terminated"), Unavailable),
        (GatewayClosed("closed"), Unavailable),
        (OutcomeUnknown("who knows", transaction_id="ab"), UnknownOutcome),
        (CommitError(CODE.MVCC_READ_CONFLICT, "ab", 7), CommitConflict),
        (CommitError(CODE.PHANTOM_READ_CONFLICT, "ab", 7), CommitConflict),
        (CommitError(CODE.ENDORSEMENT_POLICY_FAILURE, "ab", 7), EndorsementPolicyFailure),
    ],
)
def test_every_fault_has_its_error(error: GatewayError, kind: type[LedgerError]) -> None:
    found = ledger_error(error)
    assert type(found) is kind
    assert found.transaction == error.transaction_id
    assert found.advice in str(found)


def test_contract_errors_come_through_whole() -> None:
    said = 'chaincode response 409, {"code":"conflict","details":[{"index":3}],"message":"not today"}'
    found = ledger_error(endorse(said))
    assert isinstance(found, ContractRefused)
    assert (found.code, found.message, found.status) == ("conflict", "not today", 409)
    assert found.details == [{"index": 3}]


@pytest.mark.parametrize("kind", [Busy, PeerRefused, StreamLost])
def test_a_chaincode_that_cannot_answer_is_away_and_has_not_refused(kind: type[ContractError]) -> None:
    said = f"chaincode response {kind.STATUS}, {kind('not now').response_message()}"
    found = ledger_error(endorse(said))
    assert type(found) is Unavailable
    assert found.retryable
    assert f"{kind.CODE}: not now" in str(found)


def test_a_foreign_chaincode_s_error_keeps_its_words() -> None:
    found = ledger_error(endorse("chaincode response 500, access denied, says the chaincode"))
    assert isinstance(found, ContractRefused)
    assert (found.code, found.message, found.status) == (
        "chaincode-error",
        "access denied, says the chaincode",
        500,
    )


@pytest.mark.parametrize(
    ("said", "known", "kind"),
    [
        (DENIED, {"was_accepted": True}, IdentityRevoked),
        (DENIED, {"was_accepted": True, "signature_fits": lambda: False}, SignatureRefused),
        (MALFORMED, {"organisation_is_known": lambda: True}, IdentityRefused),
    ],
)
def test_what_the_client_knows_decides(said: str, known: dict[str, Any], kind: type[LedgerError]) -> None:
    assert type(ledger_error(endorse(said), **known)) is kind


def test_vague_words() -> None:
    nothing = "No metadata was found for chaincode x in channel y"
    assert is_vague(EndorseError(nothing))
    assert is_vague(EventsError("ended", deliver_status="FORBIDDEN"))
    assert not is_vague(endorse(DENIED))
    assert is_without_peers(EvaluateError("no peers available to evaluate chaincode qscc in channel y"))
    assert not is_without_peers(endorse(DENIED))


def test_the_operator_s_guide_says_what_each_error_says() -> None:
    documented = documented_refusals()
    advised = {
        name: kind.advice
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, LedgerError) and kind.advice
    }
    assert len(advised) > 8
    assert {name: documented.get(name) for name in advised} == advised
    assert all(hasattr(errors, name) and what for name, what in documented.items())
