"""Blocks of the official messages that nobody signed: for what reads blocks and trusts their maker."""

from __future__ import annotations

from collections.abc import Sequence

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from protocol.blocks import data_hash, header_hash
from protocol.encodings import Json, canonical_json


def result(function: str, value: Json) -> bytes:
    """A response payload as the contracts wrap it."""
    return canonical_json({"result": value, "type": function})


def envelope(
    function: str,
    argument: bytes = b"{}",
    payload: bytes = b"",
    *,
    transaction: str = "t",
    creator: bytes = b"creator",
    timestamp_ms: int = 1_760_000_000_123,
    chaincode: str = "edgeproof",
    status: int = 200,
    actions: int = 1,
) -> bytes:
    """An endorser transaction without signatures."""
    named = chaincode_pb2.ChaincodeID(name=chaincode)
    spec = chaincode_pb2.ChaincodeInvocationSpec(
        chaincode_spec=chaincode_pb2.ChaincodeSpec(
            chaincode_id=named, input=chaincode_pb2.ChaincodeInput(args=[function.encode(), argument])
        )
    )
    answer = proposal_pb2.ChaincodeAction(
        response=proposal_response_pb2.Response(status=status, payload=payload), chaincode_id=named
    )
    response = proposal_response_pb2.ProposalResponsePayload(extension=answer.SerializeToString())
    proposed = proposal_pb2.ChaincodeProposalPayload(input=spec.SerializeToString())
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposed.SerializeToString(),
        action=transaction_pb2.ChaincodeEndorsedAction(
            proposal_response_payload=response.SerializeToString()
        ),
    )
    data = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(payload=action.SerializeToString())] * actions
    )
    extension = proposal_pb2.ChaincodeHeaderExtension(chaincode_id=named)
    return _wrap(
        common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
            timestamp=Timestamp(seconds=timestamp_ms // 1000, nanos=timestamp_ms % 1000 * 1_000_000),
            tx_id=transaction,
            extension=extension.SerializeToString(),
        ),
        creator,
        data.SerializeToString(),
    )


def configuration(creator: bytes = b"orderer") -> bytes:
    """A configuration envelope (its content is never read here)."""
    return _wrap(common_pb2.ChannelHeader(type=common_pb2.HeaderType.CONFIG), creator, b"\x0a\x01x")


def cut(number: int, latest: Json = None) -> bytes:
    """A cut of the chain."""
    value = {"number": number, "latest": [] if latest is None else latest}
    return envelope("interlock:cut", canonical_json({"number": number}), result("interlock:cut", value))


def make_block(
    number: int, previous: bytes, envelopes: Sequence[bytes], codes: Sequence[int] | None = None
) -> common_pb2.Block:
    """A block with its header's hashes right and the validation codes given (all valid by default)."""
    block = common_pb2.Block()
    block.header.number = number
    block.header.previous_hash = previous
    block.header.data_hash = data_hash(envelopes)
    block.data.data.extend(envelopes)
    block.metadata.metadata.extend([b"", b"", bytes(codes if codes is not None else [0] * len(envelopes))])
    return block


class FakeChain:
    """A chain that grows by ``add``."""

    def __init__(self) -> None:
        self.blocks: list[common_pb2.Block] = []

    def add(self, *envelopes: bytes, codes: Sequence[int] | None = None) -> common_pb2.Block:
        """Append a block of these envelopes."""
        previous = header_hash(self.blocks[-1].header) if self.blocks else b""
        block = make_block(len(self.blocks), previous, envelopes, codes)
        self.blocks.append(block)
        return block


def _wrap(channel: common_pb2.ChannelHeader, creator: bytes, data: bytes) -> bytes:
    header = common_pb2.Header(
        channel_header=channel.SerializeToString(),
        signature_header=common_pb2.SignatureHeader(creator=creator, nonce=b"n").SerializeToString(),
    )
    payload = common_pb2.Payload(header=header, data=data)
    return common_pb2.Envelope(payload=payload.SerializeToString(), signature=b"s").SerializeToString()
