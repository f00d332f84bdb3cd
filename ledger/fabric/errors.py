"""What can go wrong between a client and a peer's Fabric Gateway, by the stage that failed.

::

    GatewayError               .transaction_id, .code (gRPC status), .details (one a peer or orderer)
    ├── EvaluateError          no peer answered the query
    ├── EndorseError           the endorsements were not had: nothing was recorded
    ├── SubmitError            the orderers did not confirm; .is_definite says whether nothing was recorded
    ├── CommitStatusError      what became of the transaction could not be asked
    ├── CommitError            it stands in a block and is not valid: .status
    ├── OutcomeUnknown         sent, and then nothing could be learnt of it before the time was up
    ├── EventsError            a stream of blocks or events ended; .deliver_status
    ├── CheckpointError        a cursor's file cannot be read or written
    ├── MalformedMessage       bytes handed in for signing or sending cannot be read
    └── GatewayClosed          used after ``close``
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import transaction_pb2
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

__all__ = [
    "ChaincodeResponse",
    "CheckpointError",
    "CommitError",
    "CommitStatusError",
    "EndorseError",
    "ErrorDetail",
    "EvaluateError",
    "EventsError",
    "GatewayClosed",
    "GatewayError",
    "MalformedMessage",
    "OutcomeUnknown",
    "SubmitError",
    "read_response",
    "status_name",
]

_DETAILS_TRAILER: Final = "grpc-status-details-bin"
_DETAILS_FIELD: Final = 3  # of google.rpc.Status
_RESPONSE: Final = re.compile(r"chaincode response (\d+), (.*)\Z", re.DOTALL)
_NO_PLAN: Final = "no combination of peers can be derived"
_MISMATCH: Final = "ProposalResponsePayloads do not match"
_TOO_MANY: Final = "too many requests for "
_TOO_LARGE: Final = ("larger than max", "REQUEST_ENTITY_TOO_LARGE", "maximum allowed")
# What a connection that never was proves: the envelope was not taken. It proves so only where every orderer
# was tried and failed. Of SmartBFT's orderers all are sent the envelope, and a peer gives up ("insufficient
# number of orderers") once a quorum cannot confirm: its details name the failed alone, others may have it.
_ALL_FAILED: Final = "no orderers could successfully process"
_NOT_REACHED: Final = ("error while dialing", "connection refused")


@dataclass(frozen=True)
class ErrorDetail:
    """What one peer or orderer said."""

    address: str
    msp_id: str
    message: str


@dataclass(frozen=True)
class ChaincodeResponse:
    """An error that the chaincode itself answered with."""

    status: int
    """400 or more."""
    message: str


def read_response(text: str) -> ChaincodeResponse | None:
    """The chaincode's own error answer that a peer's words tell of; None: they tell of none."""
    found = _RESPONSE.search(text)
    return None if found is None else ChaincodeResponse(int(found[1]), found[2])


def status_name(code: int) -> str:
    """Fabric's name of a transaction's validation code."""
    try:
        return str(transaction_pb2.TxValidationCode.Name(code))
    except ValueError:
        return f"code {code}"


class GatewayError(Exception):
    """Root of the client's errors."""

    def __init__(
        self,
        message: str,
        *,
        transaction_id: str = "",
        code: grpc.StatusCode | None = None,
        details: Sequence[ErrorDetail] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.transaction_id = transaction_id
        """Lower-case hex; empty where there is no transaction."""
        self.code = code
        """gRPC status; None where no call failed."""
        self.details = tuple(details)

    def __str__(self) -> str:
        told = [f"{entry.msp_id or '?'} at {entry.address}: {entry.message}" for entry in self.details]
        return "; ".join([self.message, *told])

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that was said: the details' messages, then the call's own."""
        return (*(entry.message for entry in self.details), self.message)

    @property
    def chaincode_response(self) -> ChaincodeResponse | None:
        """The chaincode's own error answer, where that is what failed the call."""
        return next(filter(None, map(read_response, self.texts)), None)

    @property
    def is_too_large(self) -> bool:
        """Whether some limit on a message's size refused it."""
        return any(mark in text for text in self.texts for mark in _TOO_LARGE)

    @property
    def is_busy(self) -> bool:
        """Whether the peer's limit on concurrent requests refused the call before anything was done."""
        return any(_TOO_MANY in text for text in self.texts)

    @property
    def is_unreachable(self) -> bool:
        """Whether no answer came at all: no connection, or the time was up."""
        return not self.details and self.code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
        )


class EvaluateError(GatewayError):
    """A query got no answer."""


class EndorseError(GatewayError):
    """The endorsements that the policy wants were not had. Nothing was recorded."""

    @property
    def is_mismatch(self) -> bool:
        """Whether peers came to different results: the contract wavers, or one peer is a block behind."""
        return any(_MISMATCH in text for text in self.texts)

    def is_refused_elsewhere(self, msp_id: str) -> bool:
        """Whether the contract refused on other organisations' peers, and not on this one's.

        Args:
            msp_id: the caller's organisation, whose peer is asked too (``Contract.msp_id``).
        """
        refused = {entry.msp_id for entry in self.details if read_response(entry.message) is not None}
        return bool(refused) and msp_id not in refused

    @property
    def is_unplanned(self) -> bool:
        """Whether the peer does not know at present who could endorse: peers that have just come up, or were
        busy, are known again within seconds."""
        return any(_NO_PLAN in text for text in self.texts)


class SubmitError(GatewayError):
    """The ordering service did not confirm that it took the transaction."""

    @property
    def is_refused(self) -> bool:
        """Whether the orderers (or the peer) refused the transaction as such: it was not taken."""
        return self.code in (
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )

    @property
    def is_definite(self) -> bool:
        """Whether the transaction certainly was not taken. Otherwise it may yet be recorded.

        Where SmartBFT orders, an orderer's refusal or absence never says so: others were sent it too.
        """
        return (
            self.is_refused
            or self.is_busy
            or "no orderer nodes available" in self.message
            or (_ALL_FAILED in self.message and bool(self.details) and all(map(_not_reached, self.details)))
        )


def _not_reached(entry: ErrorDetail) -> bool:
    return any(mark in entry.message.lower() for mark in _NOT_REACHED)


class CommitStatusError(GatewayError):
    """What became of the transaction could not be learnt."""


class CommitError(GatewayError):
    """The transaction stands in a block and is not valid."""

    def __init__(self, status: int, transaction_id: str, block_number: int) -> None:
        super().__init__(
            f"transaction {transaction_id} failed to commit with status {status} ({status_name(status)})",
            transaction_id=transaction_id,
        )
        self.status = status
        """``TxValidationCode``."""
        self.block_number = block_number

    @property
    def is_conflict(self) -> bool:
        """Whether a concurrent change of what it had read is all that failed it: a new one may succeed."""
        codes = transaction_pb2.TxValidationCode
        return self.status in (codes.MVCC_READ_CONFLICT, codes.PHANTOM_READ_CONFLICT)

    @property
    def is_policy_failure(self) -> bool:
        """Whether its endorsements do not satisfy the policies of what it writes."""
        return bool(self.status == transaction_pb2.TxValidationCode.ENDORSEMENT_POLICY_FAILURE)


class OutcomeUnknown(GatewayError):
    """The transaction may be recorded or not: ask for its commit status before anything is tried again.

    ``details`` are the orderers' words, where they did not confirm that they have it.
    """


class EventsError(GatewayError):
    """A stream of blocks or events ended early."""

    def __init__(self, message: str, *, deliver_status: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.deliver_status = deliver_status
        """Name of the ``common.Status`` that the peer ended the stream with, such as NOT_FOUND; or empty."""

    @property
    def is_passing(self) -> bool:
        """Whether a new connection can help."""
        if self.deliver_status:
            return self.deliver_status in ("SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR")
        return self.is_busy or self.code in (
            None,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.ABORTED,
        )


class CheckpointError(GatewayError):
    """A cursor's file cannot be read or written."""


class MalformedMessage(GatewayError):
    """Bytes that should be one of the client's messages are not."""


class GatewayClosed(GatewayError):
    """The gateway was closed."""


def read_details(error: grpc.RpcError) -> tuple[ErrorDetail, ...]:
    """What each peer said, from the ``grpc-status-details-bin`` trailer.

    The trailer is a ``google.rpc.Status``; its type is not among the official protos, so its one field that
    matters is read by number.
    """
    found: list[ErrorDetail] = []
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_TRAILER:
            continue
        try:
            fields: Any = UnknownFieldSet(empty_pb2.Empty.FromString(value))
            for field in fields:
                if field.field_number == _DETAILS_FIELD:
                    packed = any_pb2.Any.FromString(field.data)
                    detail = gateway_pb2.ErrorDetail.FromString(packed.value)
                    found.append(ErrorDetail(detail.address, detail.msp_id, detail.message))
        except (DecodeError, TypeError):
            continue  # a foreign detail: the call's own message still stands
    return tuple(found)


def translate(kind: type[GatewayError], error: grpc.RpcError, transaction_id: str = "") -> GatewayError:
    """The typed error for a failed call; raise it ``from`` the cause."""
    return kind(
        error.details() or error.code().name,
        transaction_id=transaction_id,
        code=error.code(),
        details=read_details(error),
    )
