"""Proposals, endorsements and envelopes, in Fabric's bytes.

Sources: Fabric 3.1.5 protoutil/proputils.go (proposal, transaction id, proposal hash), protoutil/txutils.go
(endorsement over payload and endorser, the transaction's envelope).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from fabric_protos.common import common_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from identity.signers import Signer
from protocol.elements import CHAINCODE
from protocol.transactions import proposal_hash, transaction_id

__all__ = ["Proposal", "assemble", "endorse", "response_payload"]

_OK: Final = 200


@dataclass(frozen=True)
class Proposal:
    """A call, as its submitter signs it."""

    transaction: str
    """Transaction id."""
    chain: str
    chaincode: str
    timestamp_ms: int
    creator: bytes
    arguments: tuple[bytes, ...]
    channel_header: bytes
    signature_header: bytes
    payload: bytes
    """``peer.ChaincodeProposalPayload``."""
    signed: bytes
    """``peer.Proposal`` bytes: what the signature covers."""
    signature: bytes

    @classmethod
    def create(
        cls,
        signer: Signer,
        chain: str,
        arguments: tuple[bytes, ...],
        timestamp_ms: int,
        chaincode: str = CHAINCODE,
    ) -> Proposal:
        """Make and sign a proposal with a fresh nonce."""
        nonce, creator = os.urandom(24), signer.serialized()
        identifier = transaction_id(nonce, creator)
        named = chaincode_pb2.ChaincodeID(name=chaincode)
        channel_header = common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
            timestamp=Timestamp(seconds=timestamp_ms // 1000, nanos=timestamp_ms % 1000 * 1_000_000),
            channel_id=chain,
            tx_id=identifier,
            extension=_bytes(proposal_pb2.ChaincodeHeaderExtension(chaincode_id=named)),
        )
        invocation = chaincode_pb2.ChaincodeInvocationSpec(
            chaincode_spec=chaincode_pb2.ChaincodeSpec(
                chaincode_id=named, input=chaincode_pb2.ChaincodeInput(args=arguments)
            )
        )
        headers = (_bytes(channel_header), _bytes(common_pb2.SignatureHeader(creator=creator, nonce=nonce)))
        payload = _bytes(proposal_pb2.ChaincodeProposalPayload(input=_bytes(invocation)))
        header = common_pb2.Header(channel_header=headers[0], signature_header=headers[1])
        signed = _bytes(proposal_pb2.Proposal(header=_bytes(header), payload=payload))
        return cls(
            transaction=identifier,
            chain=chain,
            chaincode=chaincode,
            timestamp_ms=timestamp_ms,
            creator=creator,
            arguments=arguments,
            channel_header=headers[0],
            signature_header=headers[1],
            payload=payload,
            signed=signed,
            signature=signer.sign(signed),
        )

    def to_proto(self) -> proposal_pb2.SignedProposal:
        """The message that a peer takes."""
        return proposal_pb2.SignedProposal(proposal_bytes=self.signed, signature=self.signature)


def response_payload(
    proposal: Proposal, results: bytes, payload: bytes, event: tuple[str, bytes] | None
) -> bytes:
    """``peer.ProposalResponsePayload``: what came of the proposal, for endorsers to sign.

    Args:
        proposal: what was asked.
        results: ``rwset.TxReadWriteSet``.
        payload: the contract's answer.
        event: name and payload of the transaction's event.
    """
    named = chaincode_pb2.ChaincodeID(name=proposal.chaincode)
    action = proposal_pb2.ChaincodeAction(
        results=results,
        response=proposal_response_pb2.Response(status=_OK, payload=payload),
        chaincode_id=named,
    )
    if event is not None:
        action.events = _bytes(
            chaincode_event_pb2.ChaincodeEvent(
                chaincode_id=proposal.chaincode,
                tx_id=proposal.transaction,
                event_name=event[0],
                payload=event[1],
            )
        )
    asked = proposal_hash(proposal.channel_header, proposal.signature_header, proposal.payload)
    return _bytes(
        proposal_response_pb2.ProposalResponsePayload(proposal_hash=asked, extension=_bytes(action))
    )


def endorse(endorser: Signer, response: bytes) -> proposal_response_pb2.Endorsement:
    """One organisation's endorsement: a signature over response and endorser."""
    identity = endorser.serialized()
    return proposal_response_pb2.Endorsement(endorser=identity, signature=endorser.sign(response + identity))


def assemble(
    proposal: Proposal,
    response: bytes,
    endorsements: list[proposal_response_pb2.Endorsement],
    submitter: Signer,
) -> bytes:
    """The signed envelope that goes to the orderer."""
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposal.payload,
        action=transaction_pb2.ChaincodeEndorsedAction(
            proposal_response_payload=response, endorsements=endorsements
        ),
    )
    data = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(header=proposal.signature_header, payload=_bytes(action))]
    )
    header = common_pb2.Header(
        channel_header=proposal.channel_header, signature_header=proposal.signature_header
    )
    signed = _bytes(common_pb2.Payload(header=header, data=_bytes(data)))
    return _bytes(common_pb2.Envelope(payload=signed, signature=submitter.sign(signed)))


def _bytes(message: ProtobufMessage) -> bytes:
    return message.SerializeToString(deterministic=True)
