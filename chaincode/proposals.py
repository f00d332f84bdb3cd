"""What a peer's proposal says of the transaction: channel, id, time and creator.

The peer has verified the proposal's signature and validated the creator under the channel's MSPs before it
calls a chaincode; here the identity is only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2
from google.protobuf.message import DecodeError

from chaincode.errors import InvalidArgument
from identity import Identity, IdentityError, parse_serialized_identity
from identity.certificates import common_name_of, read_pem, spki_of_certificate, subject_units
from identity.roles import classify_units

__all__ = ["Proposal", "read_proposal"]


@dataclass(frozen=True)
class Proposal:
    """The facts of a transaction."""

    channel: str
    transaction: str
    timestamp_ms: int
    creator: Identity


def read_proposal(signed: Any) -> Proposal:
    """Read a ``SignedProposal`` that the peer has checked.

    Raises:
        InvalidArgument: it cannot be read, or its creator has none of our roles.
    """
    try:
        proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
        header = common_pb2.Header.FromString(proposal.header)
        channel = common_pb2.ChannelHeader.FromString(header.channel_header)
        creator = common_pb2.SignatureHeader.FromString(header.signature_header).creator
        identity = _identity(bytes(creator))
    except DecodeError as error:
        raise InvalidArgument("the proposal cannot be read") from error
    except IdentityError as error:
        raise InvalidArgument(f"creator: {error}") from error
    return Proposal(
        channel=channel.channel_id,
        transaction=channel.tx_id,
        timestamp_ms=channel.timestamp.seconds * 1000 + channel.timestamp.nanos // 1_000_000,
        creator=identity,
    )


@lru_cache(maxsize=1024)
def _identity(serialized: bytes) -> Identity:
    msp_id, pem = parse_serialized_identity(serialized)
    certificate = read_pem(pem)
    node_class, role = classify_units(subject_units(certificate))
    return Identity(
        msp_id=msp_id,
        role=role,
        node_class=node_class,
        common_name=common_name_of(certificate),
        certificate_der=certificate.public_bytes(Encoding.DER),
        spki=spki_of_certificate(certificate),
    )
