"""The official messages, built and read: proposals, prepared transactions, requests for blocks."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import (
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)
from google.protobuf.message import DecodeError

from .errors import MalformedMessage

__all__ = [
    "Argument",
    "PreparedParts",
    "Seek",
    "build_proposal",
    "parse",
    "proposal_channel",
    "read_prepared",
    "seek_payload",
    "seek_position",
]

Argument: TypeAlias = str | bytes

Seek: TypeAlias = int | Literal["newest"] | None
"""A block: its number, the newest there is, or (None) the next that will be committed."""

_NONCE_BYTES: Final = 24
_LAST_BLOCK: Final = 2**63 - 1


def parse(kind: Any, raw: bytes, what: str) -> Any:
    """A message of ``kind``.

    Raises:
        MalformedMessage: ``raw`` is none.
    """
    try:
        return kind.FromString(raw)
    except (DecodeError, TypeError) as error:
        raise MalformedMessage(f"these bytes are no {what}") from error


def build_proposal(
    channel: str,
    chaincode: str,
    arguments: Sequence[Argument],
    creator: bytes,
    *,
    transient: Mapping[str, bytes] | None = None,
) -> tuple[str, bytes]:
    """A proposal under a fresh transaction id.

    Returns:
        The id, lower-case hex of SHA-256(nonce ‖ creator), and the bytes of ``peer.Proposal``.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    identifier = hashlib.sha256(nonce + creator).hexdigest()
    name = chaincode_pb2.ChaincodeID(name=chaincode)
    header = common_pb2.ChannelHeader(
        type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
        channel_id=channel,
        tx_id=identifier,
        extension=proposal_pb2.ChaincodeHeaderExtension(chaincode_id=name).SerializeToString(),
    )
    _stamp(header)
    call = chaincode_pb2.ChaincodeInvocationSpec(
        chaincode_spec=chaincode_pb2.ChaincodeSpec(
            chaincode_id=name,
            input=chaincode_pb2.ChaincodeInput(
                args=[each.encode() if isinstance(each, str) else each for each in arguments]
            ),
        )
    )
    proposal = proposal_pb2.Proposal(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(),
            signature_header=common_pb2.SignatureHeader(creator=creator, nonce=nonce).SerializeToString(),
        ).SerializeToString(),
        payload=proposal_pb2.ChaincodeProposalPayload(
            input=call.SerializeToString(), TransientMap=transient or {}
        ).SerializeToString(),
    )
    return identifier, proposal.SerializeToString()


def proposal_channel(proposal: bytes) -> str:
    """The channel that a ``peer.Proposal`` is for."""
    header = parse(common_pb2.Header, parse(proposal_pb2.Proposal, proposal, "proposal").header, "header")
    return str(parse(common_pb2.ChannelHeader, header.channel_header, "channel header").channel_id)


@dataclass(frozen=True)
class PreparedParts:
    """What a prepared transaction's payload says."""

    channel: str
    result: bytes
    """The chaincode's response payload."""
    endorsers: tuple[bytes, ...]
    """``msp.SerializedIdentity`` of who endorsed, one an endorsement; not read yet."""


def read_prepared(payload: bytes) -> PreparedParts:
    """Read the ``common.Payload`` of an endorsed transaction.

    Raises:
        MalformedMessage: it is no endorsed transaction.
    """
    outer = parse(common_pb2.Payload, payload, "payload")
    channel = parse(common_pb2.ChannelHeader, outer.header.channel_header, "channel header").channel_id
    actions = parse(transaction_pb2.Transaction, outer.data, "transaction").actions
    if not actions:
        raise MalformedMessage("the prepared transaction has no action")
    action = parse(transaction_pb2.ChaincodeActionPayload, actions[0].payload, "chaincode action").action
    endorsed = parse(
        proposal_response_pb2.ProposalResponsePayload, action.proposal_response_payload, "proposal response"
    )
    outcome = parse(proposal_pb2.ChaincodeAction, endorsed.extension, "chaincode action")
    endorsers = tuple(bytes(each.endorser) for each in action.endorsements)
    return PreparedParts(str(channel), bytes(outcome.response.payload), endorsers)


def seek_payload(
    channel: str,
    creator: bytes,
    start: Seek,
    *,
    stop: Seek = _LAST_BLOCK,
    tls_certificate_hash: bytes | None = None,
) -> bytes:
    """``common.Payload`` of a request for blocks, to be signed.

    Args:
        start: the first block.
        stop: the last block, which must be there already; by default the stream goes on for ever.
    """
    behaviours = ab_pb2.SeekInfo.SeekBehavior
    endless = stop == _LAST_BLOCK
    seek = ab_pb2.SeekInfo(
        start=seek_position(start),
        stop=seek_position(stop),
        behavior=behaviours.BLOCK_UNTIL_READY if endless else behaviours.FAIL_IF_NOT_READY,
    )
    header = common_pb2.ChannelHeader(
        type=common_pb2.HeaderType.DELIVER_SEEK_INFO, channel_id=channel, tls_cert_hash=tls_certificate_hash
    )
    _stamp(header)
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(),
            signature_header=common_pb2.SignatureHeader(
                creator=creator, nonce=secrets.token_bytes(_NONCE_BYTES)
            ).SerializeToString(),
        ),
        data=seek.SerializeToString(),
    )
    return bytes(payload.SerializeToString())


def seek_position(seek: Seek) -> Any:
    """``orderer.SeekPosition`` of a block."""
    if seek is None:
        return ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())
    if seek == "newest":
        return ab_pb2.SeekPosition(newest=ab_pb2.SeekNewest())
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=seek))


def _stamp(header: Any) -> None:
    now = time.time_ns()
    header.timestamp.seconds, header.timestamp.nanos = divmod(now, 1_000_000_000)
