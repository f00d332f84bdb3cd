"""What a contract refuses, and why.

::

    ContractError                  code, message, status, details: all that a caller ever sees
    ├── InvalidArgument        400  malformed call, or fields that contradict each other
    │   └── UnknownFunction    404
    ├── AccessDenied           403  the caller's organisation or role may not do this
    │   └── InvalidAuthorisation    an owner's or a device's signature does not hold
    ├── NotFound               404
    ├── Conflict               409  the state does not allow it (any more, or yet)
    │   ├── AlreadyExists           write-once keys
    │   ├── AlreadyAnchored         this very statement is accepted already: take it as done
    │   ├── StaleAnchor             a re-base superseded the anchor: nothing is proved against it any more
    │   ├── ConflictingAnchor       another statement with this number is accepted: evidence
    │   ├── Gap                     an anchor before this one is missing
    │   ├── AlreadyCut              this cut is fixed already: take it as done
    │   ├── AlreadySigned           this organisation signed this cut's statement already: take it as done
    │   ├── ConflictingStatement    this organisation signed another statement of this cut
    │   ├── UnfinishedCut           the last cut lacks its quorum
    │   └── DeadlinePassed
    ├── BadRecords             422  every bad reading of a batch, named by its index
    ├── InvalidProof           422  something that was to be proved is not
    │   ├── BadContinuity           a statement does not continue the accepted one
    │   ├── BadSignature            an anchor signature does not verify, or its signer is in no roster
    │   ├── ThresholdNotMet         not exactly the threshold of signatures
    │   ├── BadAppendOnlyProof
    │   ├── WrongParameters         accumulator parameters differ from the source's
    │   └── BadCrossChainProof      membership, certificate or payload of another chain's transaction
    ├── UnknownSource          404  the chain is not registered here
    ├── Passing                503  nothing is wrong with the call: the same one may succeed another time
    │   ├── Busy                    too many transactions are open, or the chaincode is stopping
    │   ├── PeerRefused             the peer answered a request for state with ERROR
    │   └── StreamLost              the stream to the peer ended while the contract ran
    └── InternalError          500  a fault of ours; the message leaks nothing

Codes of ``Passing`` are in ``PASSING_CODES``: a caller takes them as a ledger that is away.
"""

from __future__ import annotations

from typing import ClassVar, Final

from protocol.encodings import Json, canonical_json, parse_json
from protocol.errors import EncodingError

__all__ = [
    "PASSING_CODES",
    "AccessDenied",
    "AlreadyAnchored",
    "AlreadyCut",
    "AlreadyExists",
    "AlreadySigned",
    "BadAppendOnlyProof",
    "BadContinuity",
    "BadCrossChainProof",
    "BadRecords",
    "BadSignature",
    "Busy",
    "Conflict",
    "ConflictingAnchor",
    "ConflictingStatement",
    "ContractError",
    "DeadlinePassed",
    "Gap",
    "InternalError",
    "InvalidArgument",
    "InvalidAuthorisation",
    "InvalidProof",
    "NotFound",
    "Passing",
    "PeerRefused",
    "StaleAnchor",
    "StreamLost",
    "ThresholdNotMet",
    "UnfinishedCut",
    "UnknownFunction",
    "UnknownSource",
    "WrongParameters",
    "error_from_message",
]


class ContractError(Exception):
    """A refusal. ``code`` is a stable slug, ``status`` is HTTP-like, ``details`` is JSON.

    Fabric refuses to endorse a response whose status is 400 or more, so no refusal ever writes.
    """

    CODE: ClassVar[str] = "contract-error"
    STATUS: ClassVar[int] = 400

    def __init__(self, message: str, details: Json = None) -> None:
        super().__init__(message)
        self.code = self.CODE
        self.status = self.STATUS
        self.message = message
        self.details = details

    def response_message(self) -> str:
        """Canonical JSON text of code, message and details: the message of the chaincode's response."""
        return canonical_json({"code": self.code, "message": self.message, "details": self.details}).decode()


class InvalidArgument(ContractError):
    """The argument is malformed, or its fields contradict each other."""

    CODE = "invalid-argument"


class UnknownFunction(InvalidArgument):
    """No contract function has this name."""

    CODE = "unknown-function"
    STATUS = 404


class AccessDenied(ContractError):
    """The caller's organisation or role may not do this."""

    CODE = "access-denied"
    STATUS = 403


class InvalidAuthorisation(AccessDenied):
    """An owner's authorisation, or a device's proof of possession, does not verify."""

    CODE = "invalid-authorisation"


class NotFound(ContractError):
    """The state holds nothing under this name."""

    CODE = "not-found"
    STATUS = 404


class UnknownSource(ContractError):
    """The chain is not registered as a source here."""

    CODE = "unknown-source"
    STATUS = 404


class Conflict(ContractError):
    """The state does not allow it, any more or yet."""

    CODE = "conflict"
    STATUS = 409


class AlreadyExists(Conflict):
    """What is written once is written already."""

    CODE = "already-exists"


class AlreadyAnchored(Conflict):
    """This very statement is accepted already: whoever carries it takes it as done."""

    CODE = "already-anchored"


class StaleAnchor(Conflict):
    """The anchor was superseded by a re-base, and nothing is proved against it any more."""

    CODE = "stale-anchor"


class ConflictingAnchor(Conflict):
    """Another statement with this number is accepted: the two together are evidence."""

    CODE = "conflicting-anchor"


class Gap(Conflict):
    """An anchor before this one is missing here."""

    CODE = "gap"


class AlreadyCut(Conflict):
    """This cut is fixed already: whoever asks for it takes it as done."""

    CODE = "already-cut"


class AlreadySigned(Conflict):
    """The organisation signed this very statement already: its signer takes it as done."""

    CODE = "already-signed"


class ConflictingStatement(Conflict):
    """The organisation signed another statement of this cut: never two under one number."""

    CODE = "conflicting-statement"


class UnfinishedCut(Conflict):
    """The last cut has not gathered its quorum of signatures yet."""

    CODE = "unfinished-cut"


class DeadlinePassed(Conflict):
    """The run's deadline is over."""

    CODE = "deadline-passed"


class BadRecords(ContractError):
    """Some readings of a batch are refused; ``details`` is a list of ``{"index", "code", "message"}``."""

    CODE = "bad-records"
    STATUS = 422


class InvalidProof(ContractError):
    """Something that was to be proved is not."""

    CODE = "invalid-proof"
    STATUS = 422


class BadContinuity(InvalidProof):
    """A statement does not continue the one accepted before it."""

    CODE = "bad-continuity"


class BadSignature(InvalidProof):
    """A signature does not verify, or its signer is in no roster."""

    CODE = "bad-signature"


class ThresholdNotMet(InvalidProof):
    """There are not exactly as many signatures as the roster's threshold."""

    CODE = "threshold-not-met"


class BadAppendOnlyProof(InvalidProof):
    """The later accumulator value is not shown to contain the earlier one."""

    CODE = "bad-append-only-proof"


class WrongParameters(InvalidProof):
    """The statement was made with other accumulator parameters than the source's."""

    CODE = "wrong-parameters"


class BadCrossChainProof(InvalidProof):
    """Another chain's transaction is not proved, or is not what the call needs."""

    CODE = "bad-cross-chain-proof"


class Passing(ContractError):
    """Nothing is wrong with the call: the same one may succeed another time. Raised as one of its kinds."""

    CODE = "passing"
    STATUS = 503


class Busy(Passing):
    """More transactions are open than the chaincode runs at once, or it is stopping."""

    CODE = "busy"


class PeerRefused(Passing):
    """The peer answered a state request with ERROR; its text may quote values and is left in its own log."""

    CODE = "peer-refused"


class StreamLost(Passing):
    """The stream to the peer ended while the contract ran."""

    CODE = "stream-lost"


PASSING_CODES: Final = frozenset(kind.CODE for kind in (Busy, PeerRefused, StreamLost))
"""What ``Passing`` refusals say of themselves on the wire."""


class InternalError(ContractError):
    """A fault of ours. The cause stays with this process; the message leaks nothing."""

    CODE = "internal-error"
    STATUS = 500


def error_from_message(text: str, status: int) -> ContractError | None:
    """Read back what ``ContractError.response_message`` wrote; None when the text is nothing of the kind.

    The class is always ``ContractError`` itself, with the code that was sent: callers look at ``code``.
    """
    try:
        value = parse_json(text)
    except EncodingError:
        return None
    if not isinstance(value, dict) or value.keys() != {"code", "message", "details"}:
        return None
    code, message = value["code"], value["message"]
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    error = ContractError(message, value["details"])
    error.code, error.status = code, status
    return error
