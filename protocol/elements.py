"""Elements: every envelope of every block of a chain, numbered densely (seed 003, section IV.A, "blk || i").

Nothing on a chain lies outside its anchors: valid or not, configuration or transaction, an envelope is an
element. What can be read of it is shown by a *view*; what an anchor binds of it is the element's digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2
from google.protobuf.message import DecodeError

from protocol.blocks import validation_codes
from protocol.encodings import parse_canonical_json, sha256, tagged_hash
from protocol.errors import MalformedJson

__all__ = ["CHAINCODE", "Element", "ElementView", "element_of", "is_news", "result_of", "views"]

CHAINCODE: Final = "edgeproof"
"""Name of the product's chaincode; another one on the channel interlocks nothing, whatever it is asked."""
VALID: Final = 0

_ELEMENT_TAG: Final = "edgeproof/element/v1"
_INTERLOCK: Final = "interlock:"
_FAILURE_STATUS: Final = 400


@dataclass(frozen=True)
class ElementView:
    """What can be read of one envelope; fields that cannot be read are empty."""

    block: int
    index: int
    code: int
    """Validation code, 0 for valid."""
    envelope: bytes
    """The raw bytes in the block."""
    payload: bytes
    """The chaincode's response payload; empty for configuration, failures and what is not valid."""
    transaction: str
    """Transaction id as the channel header claims it (another, invalid envelope may claim the same)."""
    function: str
    """First chaincode argument."""
    argument: bytes
    """Second chaincode argument."""
    creator: bytes
    """``msp.SerializedIdentity`` bytes."""
    timestamp_ms: int
    """The submitter's claim, milliseconds since 1970 UTC; 0 when there is none."""
    chaincode: str = ""
    """Name of the chaincode that was called, by the signed header extension."""
    channel: str = ""
    """The channel that the channel header names."""
    kind: int = -1
    """``common.HeaderType`` of the channel header: a transaction is 3, a configuration 1; -1 for none."""


@dataclass(frozen=True)
class Element:
    """What an anchor binds of an envelope."""

    chain: str
    number: int
    """Dense from 1 (block 0, index 0) over the whole chain."""
    block: int
    index: int
    code: int
    envelope_hash: bytes
    """SHA-256 of the raw envelope, 32 bytes."""
    payload_hash: bytes
    """SHA-256 of the view's payload, 32 bytes."""

    def digest(self) -> bytes:
        """32 bytes: leaf of the chain's tree, and what its prime representative is made from.

        Raises:
            OverflowError: a number is negative or does not fit in eight bytes.
        """
        return tagged_hash(
            _ELEMENT_TAG,
            self.chain,
            self.number,
            self.block,
            self.index,
            self.code,
            self.envelope_hash,
            self.payload_hash,
        )


def element_of(chain: str, number: int, view: ElementView) -> Element:
    """The element that an envelope is under ``number``."""
    return Element(
        chain, number, view.block, view.index, view.code, sha256(view.envelope), sha256(view.payload)
    )


def views(block: common_pb2.Block) -> list[ElementView]:
    """All envelopes of a block in order; one that cannot be read is an element like any other.

    Raises:
        InvalidBlock: the block has not one validation code an envelope: it never passed a peer.
    """
    number = block.header.number
    codes = validation_codes(block)
    return [_view(number, index, codes[index], raw) for index, raw in enumerate(block.data.data)]


def is_news(view: ElementView, main: bool) -> bool:
    """Whether an element gives reason to anchor.

    On an edge interlocking is never news. On main neither are cuts, signatures, and Type-II that brought
    nothing new or were refused; otherwise two chains would answer each other's anchors for ever.
    """
    if view.chaincode != CHAINCODE or not view.function.startswith(_INTERLOCK):
        return True
    if not main:
        return False
    if view.function in ("interlock:cut", "interlock:sign"):
        return False
    if view.function != "interlock:accept":
        return True
    if view.code != VALID:
        return False
    accepted = result_of(view, "interlock:accept")
    news = accepted.get("news") if accepted is not None else None
    return news != 0 or news is False  # False == 0


def result_of(view: ElementView, function: str) -> dict[str, Any] | None:
    """The result in a valid element's payload ``{"result": …, "type": function}``; None if it has none.

    The payload names the function that made it, so that no other function's answer passes for this one.
    """
    if view.code != VALID or view.chaincode != CHAINCODE or view.function != function:
        return None
    try:
        wrapped = parse_canonical_json(view.payload)
    except MalformedJson:
        return None
    if not isinstance(wrapped, dict) or wrapped.keys() != {"result", "type"} or wrapped["type"] != function:
        return None
    result = wrapped["result"]
    return result if isinstance(result, dict) else None


def _view(block: int, index: int, code: int, raw: bytes) -> ElementView:
    transaction, chaincode, function, named, kind = "", "", "", "", -1
    payload = argument = creator = b""
    timestamp_ms = 0
    try:
        envelope = common_pb2.Envelope.FromString(raw)
        body = common_pb2.Payload.FromString(envelope.payload)
        channel = common_pb2.ChannelHeader.FromString(body.header.channel_header)
        creator = common_pb2.SignatureHeader.FromString(body.header.signature_header).creator
        transaction, named, kind = channel.tx_id, channel.channel_id, channel.type
        timestamp_ms = max(0, channel.timestamp.seconds * 1000 + channel.timestamp.nanos // 1_000_000)
        if channel.type == common_pb2.HeaderType.ENDORSER_TRANSACTION:
            called = proposal_pb2.ChaincodeHeaderExtension.FromString(channel.extension).chaincode_id.name
            function, argument, answer = _action(body.data)
            chaincode = called
            payload = answer if code == VALID else b""
    except (DecodeError, ValueError):
        pass  # whatever was read before the fault stays; the rest is empty
    return ElementView(
        block=block,
        index=index,
        code=code,
        envelope=raw,
        payload=payload,
        transaction=transaction,
        function=function,
        argument=argument,
        creator=creator,
        timestamp_ms=timestamp_ms,
        chaincode=chaincode,
        channel=named,
        kind=kind,
    )


def _action(data: bytes) -> tuple[str, bytes, bytes]:
    """Function, argument and response payload of an endorser transaction.

    Raises:
        DecodeError, ValueError: not exactly one readable chaincode action.
    """
    (action,) = transaction_pb2.Transaction.FromString(data).actions
    called = transaction_pb2.ChaincodeActionPayload.FromString(action.payload)
    proposal = proposal_pb2.ChaincodeProposalPayload.FromString(called.chaincode_proposal_payload)
    spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(proposal.input).chaincode_spec
    args = list(spec.input.args)
    function = args[0].decode() if args else ""
    argument = args[1] if len(args) > 1 else b""
    response_bytes = called.action.proposal_response_payload
    response_payload = proposal_response_pb2.ProposalResponsePayload.FromString(response_bytes)
    response = proposal_pb2.ChaincodeAction.FromString(response_payload.extension).response
    answer = response.payload if response.status < _FAILURE_STATUS else b""
    return function, argument, answer
