"""A transaction as a block carries it: who asked for what, what came of it, who endorsed that.

The view reads the official messages from ``common.Envelope`` down to ``peer.ChaincodeAction`` and keeps the
exact bytes that were hashed and signed. Verification follows Fabric's validation (core/common/validation/
msgvalidation.go; core/committer/txvalidator): creator's signature, transaction id, proposal hash, then the
endorsements under a policy with one principal an organisation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from fabric_protos.common import common_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from identity.errors import IdentityError
from identity.msp import Identity
from identity.signers import verify_ecdsa
from protocol.errors import InvalidEnvelope

if TYPE_CHECKING:
    from protocol.configuration import Configuration, EndorsementPolicy

__all__ = [
    "Endorsement",
    "Transaction",
    "proposal_hash",
    "read_envelope",
    "transaction_id",
    "verify_creator",
    "verify_endorsements",
]

M = TypeVar("M", bound=Message)

PEER_CLASS: Final = "peer"
_CODE = transaction_pb2.TxValidationCode


@dataclass(frozen=True)
class Endorsement:
    """One organisation's signature over the response payload followed by ``endorser``."""

    endorser: bytes
    """``msp.SerializedIdentity``."""
    signature: bytes


@dataclass(frozen=True)
class Transaction:
    """An endorsed transaction, read from its envelope."""

    envelope: bytes
    """The raw envelope."""
    signed: bytes
    """``common.Payload`` bytes: what the creator signed."""
    signature: bytes
    channel: str
    identifier: str
    """Transaction id: lower-case hex of SHA-256(nonce, creator)."""
    timestamp_ms: int
    """The creator's claim, milliseconds since 1970 UTC."""
    creator: bytes
    """``msp.SerializedIdentity``."""
    nonce: bytes
    chaincode: str
    """The chaincode that was asked, by the signed header extension."""
    arguments: tuple[bytes, ...]
    proposal_hash: bytes
    """SHA-256 over the proposal's three parts as they stand here."""
    endorsed: bytes
    """``peer.ProposalResponsePayload`` bytes: what every endorser signed."""
    endorsements: tuple[Endorsement, ...]
    results: bytes
    """``rwset.TxReadWriteSet`` bytes."""
    status: int
    payload: bytes
    """The chaincode's response payload."""
    event_name: str
    """Empty where the transaction emitted none."""
    event_payload: bytes

    @property
    def function(self) -> str:
        """First argument: the contract function's name."""
        return self.arguments[0].decode(errors="replace") if self.arguments else ""

    @property
    def argument(self) -> bytes:
        """Second argument: the message."""
        return self.arguments[1] if len(self.arguments) > 1 else b""

    @classmethod
    def from_envelope(cls, raw: bytes) -> Transaction:
        """Read an envelope.

        Cost: about 50 µs, and hashing what it holds.

        Raises:
            InvalidEnvelope: it is no endorsed transaction, is not in its one encoding, or contradicts itself.
        """
        if not raw:
            raise InvalidEnvelope("the envelope is empty", _CODE.NIL_ENVELOPE)
        envelope = read_envelope(raw)
        payload = _read(common_pb2.Payload, envelope.payload, "payload", _CODE.BAD_PAYLOAD)
        if not payload.HasField("header"):
            raise InvalidEnvelope("the payload has no header", _CODE.BAD_COMMON_HEADER)
        channel = _read(
            common_pb2.ChannelHeader, payload.header.channel_header, "channel header", _CODE.BAD_COMMON_HEADER
        )
        signature = _read(
            common_pb2.SignatureHeader,
            payload.header.signature_header,
            "signature header",
            _CODE.BAD_COMMON_HEADER,
        )
        if not signature.nonce or not signature.creator or channel.epoch != 0:
            raise InvalidEnvelope("a header lacks nonce or creator, or has an epoch", _CODE.BAD_COMMON_HEADER)
        if channel.type != common_pb2.HeaderType.ENDORSER_TRANSACTION:
            raise InvalidEnvelope(f"header type {channel.type} is no transaction", _CODE.UNKNOWN_TX_TYPE)
        extension = _read(
            proposal_pb2.ChaincodeHeaderExtension,
            channel.extension,
            "header extension",
            _CODE.BAD_HEADER_EXTENSION,
        )
        if not extension.chaincode_id.name:
            raise InvalidEnvelope("the header extension names no chaincode", _CODE.BAD_HEADER_EXTENSION)
        return cls._from_parts(raw, envelope, payload, channel, signature, extension.chaincode_id.name)

    @classmethod
    def _from_parts(
        cls,
        raw: bytes,
        envelope: common_pb2.Envelope,
        payload: common_pb2.Payload,
        channel: common_pb2.ChannelHeader,
        header: common_pb2.SignatureHeader,
        chaincode: str,
    ) -> Transaction:
        invalid = _CODE.INVALID_ENDORSER_TRANSACTION
        data = _read(transaction_pb2.Transaction, payload.data, "transaction", invalid)
        if len(data.actions) != 1:
            raise InvalidEnvelope("a transaction has exactly one action", invalid)
        action = _read(transaction_pb2.ChaincodeActionPayload, data.actions[0].payload, "action", invalid)
        endorsed = bytes(action.action.proposal_response_payload)
        response = _read(proposal_response_pb2.ProposalResponsePayload, endorsed, "response payload", invalid)
        asked = bytes(action.chaincode_proposal_payload)
        computed = proposal_hash(payload.header.channel_header, payload.header.signature_header, asked)
        if bytes(response.proposal_hash) != computed:
            raise InvalidEnvelope("the endorsed response answers another proposal", invalid)
        result = _read(
            proposal_pb2.ChaincodeAction, response.extension, "chaincode action", _CODE.BAD_RESPONSE_PAYLOAD
        )
        if result.chaincode_id.name != chaincode:
            raise InvalidEnvelope("another chaincode answered", _CODE.INVALID_CHAINCODE)
        proposed = _read(proposal_pb2.ChaincodeProposalPayload, asked, "proposal payload", invalid)
        invocation = _read(chaincode_pb2.ChaincodeInvocationSpec, proposed.input, "invocation", invalid)
        event = chaincode_event_pb2.ChaincodeEvent()
        if result.events:
            event = _read(chaincode_event_pb2.ChaincodeEvent, result.events, "event", invalid)
        return cls(
            envelope=raw,
            signed=bytes(envelope.payload),
            signature=bytes(envelope.signature),
            channel=channel.channel_id,
            identifier=channel.tx_id,
            timestamp_ms=channel.timestamp.seconds * 1000 + channel.timestamp.nanos // 1_000_000,
            creator=bytes(header.creator),
            nonce=bytes(header.nonce),
            chaincode=chaincode,
            arguments=tuple(bytes(argument) for argument in invocation.chaincode_spec.input.args),
            proposal_hash=computed,
            endorsed=endorsed,
            endorsements=tuple(
                Endorsement(bytes(entry.endorser), bytes(entry.signature))
                for entry in action.action.endorsements
            ),
            results=bytes(result.results),
            status=result.response.status,
            payload=bytes(result.response.payload),
            event_name=event.event_name,
            event_payload=bytes(event.payload),
        )


def read_envelope(raw: bytes) -> common_pb2.Envelope:
    """Read one envelope: content, signature, then nothing of these two again.

    Data hashes do not tell [a, b] from [a + b]. That each envelope begins with its content, in the shortest
    form, and has it once, does: there is one way to cut a block's bytes into such envelopes. Fields that this
    version does not know may follow, for Fabric keeps and orders what a client adds.

    Raises:
        InvalidEnvelope: anything else; glued and cut envelopes among it.
    """
    code = _CODE.INVALID_OTHER_REASON
    envelope = _read(common_pb2.Envelope, raw, "envelope", code)
    known = common_pb2.Envelope(payload=envelope.payload, signature=envelope.signature)
    encoded = known.SerializeToString(deterministic=True)
    if not raw.startswith(encoded):
        raise InvalidEnvelope("the envelope is not in its one encoding", code)
    if len(raw) > len(encoded):
        rest = UnknownFieldSet(_read(Empty, raw[len(encoded) :], "rest of the envelope", code))
        own = common_pb2.Envelope.DESCRIPTOR.fields_by_number
        if not known.payload or any(rest[at].field_number in own for at in range(len(rest))):
            raise InvalidEnvelope("the envelope is not in its one encoding", code)
    return envelope


def transaction_id(nonce: bytes, creator: bytes) -> str:
    """Lower-case hex of SHA-256 over nonce and creator (protoutil/proputils.go, ComputeTxID)."""
    return hashlib.sha256(nonce + creator).hexdigest()


def proposal_hash(channel_header: bytes, signature_header: bytes, payload: bytes) -> bytes:
    """SHA-256 over a proposal's parts, ``payload`` without transient fields (GetProposalHash1), 32 bytes."""
    hasher = hashlib.sha256(channel_header)
    hasher.update(signature_header)
    hasher.update(payload)
    return hasher.digest()


def verify_creator(transaction: Transaction, configuration: Configuration) -> Identity:
    """See that a member of the channel signed the transaction, and that its id is the right one.

    Returns:
        The creator.

    Raises:
        InvalidEnvelope: not so, with Fabric's code.
    """
    if transaction.channel != configuration.chain:
        raise InvalidEnvelope(
            f"the transaction is for channel {transaction.channel!r}", _CODE.TARGET_CHAIN_NOT_FOUND
        )
    try:
        identity = configuration.msps.validate(transaction.creator)
        verify_ecdsa(identity.spki, transaction.signed, transaction.signature)
    except IdentityError as error:
        raise InvalidEnvelope(f"creator's signature: {error}", _CODE.BAD_CREATOR_SIGNATURE) from error
    if transaction.identifier != transaction_id(transaction.nonce, transaction.creator):
        raise InvalidEnvelope("the transaction id is not that of nonce and creator", _CODE.BAD_PROPOSAL_TXID)
    return identity


def verify_endorsements(
    envelope: bytes | Transaction, configuration: Configuration, policy: EndorsementPolicy | None = None
) -> tuple[str, ...]:
    """See that peers of enough distinct organisations endorsed exactly this transaction.

    Endorsements that do not hold are not counted, as in Fabric; nor is a second one of an organisation.

    Args:
        envelope: the transaction, raw or read.
        configuration: whose MSPs vouch for the endorsers.
        policy: the configuration's own where not given.

    Returns:
        The organisations that endorsed, sorted.

    Raises:
        InvalidEnvelope: the envelope does not hold (see ``Transaction.from_envelope``), or too few endorsed.
    """
    transaction = envelope if isinstance(envelope, Transaction) else Transaction.from_envelope(envelope)
    wanted = policy or configuration.endorsement
    found: set[str] = set()
    for endorsement in transaction.endorsements:
        try:
            identity = configuration.msps.validate(endorsement.endorser)
            if identity.msp_id in found or identity.msp_id not in wanted.organisations:
                continue
            if wanted.peers_only and identity.node_class != PEER_CLASS:
                continue
            verify_ecdsa(identity.spki, transaction.endorsed + endorsement.endorser, endorsement.signature)
        except IdentityError:
            continue
        found.add(identity.msp_id)
    if len(found) < wanted.required:
        raise InvalidEnvelope(
            f"{len(found)} of {wanted.required} organisations endorsed", _CODE.ENDORSEMENT_POLICY_FAILURE
        )
    return tuple(sorted(found))


def _read(kind: type[M], raw: bytes, what: str, code: int) -> M:
    message = kind()
    try:
        message.ParseFromString(raw)
    except (DecodeError, TypeError, ValueError) as error:
        raise InvalidEnvelope(f"the {what} cannot be read", code) from error
    return message
