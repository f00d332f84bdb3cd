"""Transactions: read strictly, verified as Fabric does, never more than a typed error for any bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from chains import TestChain, make_chain
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2, transaction_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch_contract import Emit, Put, invoke

from identity.roles import Role
from ledger.embedded.proposals import Proposal, assemble, endorse, response_payload
from protocol.configuration import EndorsementPolicy
from protocol.errors import InvalidEnvelope
from protocol.transactions import Transaction, verify_creator, verify_endorsements

CODE = transaction_pb2.TxValidationCode


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    made = make_chain(tmp_path_factory.mktemp("transactions"), invoke=invoke)
    yield made
    made.close()


@pytest.fixture
def envelope(chain: TestChain) -> bytes:
    return chain.ledger.endorsed(Emit("name", "text"))


class Opened:
    """An envelope taken apart, to be changed and put together (and signed) again."""

    def __init__(self, raw: bytes) -> None:
        self.envelope = common_pb2.Envelope.FromString(raw)
        self.payload = common_pb2.Payload.FromString(self.envelope.payload)
        self.channel = common_pb2.ChannelHeader.FromString(self.payload.header.channel_header)
        self.header = common_pb2.SignatureHeader.FromString(self.payload.header.signature_header)
        self.transaction = transaction_pb2.Transaction.FromString(self.payload.data)
        self.action = transaction_pb2.ChaincodeActionPayload.FromString(self.transaction.actions[0].payload)
        self.response = proposal_response_pb2.ProposalResponsePayload.FromString(
            self.action.action.proposal_response_payload
        )
        self.result = proposal_pb2.ChaincodeAction.FromString(self.response.extension)

    def closed(self, signer: Any = None, *, inner: bool = True) -> bytes:
        if inner:
            self.response.extension = self.result.SerializeToString()
            self.action.action.proposal_response_payload = self.response.SerializeToString()
        if self.transaction.actions:
            self.transaction.actions[0].payload = self.action.SerializeToString()
        self.payload.header.channel_header = self.channel.SerializeToString()
        self.payload.header.signature_header = self.header.SerializeToString()
        self.payload.data = self.transaction.SerializeToString()
        self.envelope.payload = self.payload.SerializeToString()
        if signer is not None:
            self.envelope.signature = signer.sign(self.envelope.payload)
        return bytes(self.envelope.SerializeToString())


def refused(raw: bytes) -> int:
    with pytest.raises(InvalidEnvelope) as caught:
        Transaction.from_envelope(raw)
    return caught.value.code


def test_view(chain: TestChain, envelope: bytes) -> None:
    transaction = Transaction.from_envelope(envelope)
    assert transaction.channel == "main"
    assert transaction.chaincode == "edgeproof"
    assert (transaction.function, transaction.argument) == ("scratch:emit", b'{"name":"name","text":"text"}')
    assert (transaction.event_name, transaction.event_payload) == ("name", b"text")
    assert transaction.status == 200
    assert transaction.payload == b'{"result":{"text":"text"},"type":"scratch:emit"}'
    assert transaction.creator == chain.signer("Org1MSP", Role.CLIENT).serialized()
    assert len(transaction.nonce) == 24
    assert verify_creator(transaction, chain.ledger.configuration).msp_id == "Org1MSP"
    assert verify_endorsements(envelope, chain.ledger.configuration) == ("Org1MSP", "Org2MSP")


def test_envelope_has_one_encoding(envelope: bytes) -> None:
    """Data hashes do not tell [a, b] from [a + b], and protobuf merges what is glued."""
    assert refused(b"") == CODE.NIL_ENVELOPE
    assert refused(b"\xff" + envelope) == CODE.INVALID_OTHER_REASON
    assert refused(envelope + envelope) == CODE.INVALID_OTHER_REASON
    opened = common_pb2.Envelope.FromString(envelope)
    cut = common_pb2.Envelope(payload=opened.payload).SerializeToString()
    assert envelope.startswith(cut)  # the payload alone is an envelope, without signature
    swapped = envelope[len(cut) :] + cut
    assert common_pb2.Envelope.FromString(swapped) == opened
    assert refused(swapped) == CODE.INVALID_OTHER_REASON
    for rest in (b"\x0a\x00", b"\x12\x00", b"\x1a\x01x\x0a\x01x", b"\x1a"):
        assert refused(envelope + rest) == CODE.INVALID_OTHER_REASON


def test_fields_of_a_newer_client_may_follow(envelope: bytes) -> None:
    """Fabric orders and validates an envelope with fields that it does not know."""
    added = Transaction.from_envelope(envelope + b"\x1a\x01x")
    assert dataclasses.replace(added, envelope=envelope) == Transaction.from_envelope(envelope)


def test_every_layer_is_read_strictly(chain: TestChain, envelope: bytes) -> None:
    def changed(change: Any, *, inner: bool = True) -> int:
        opened = Opened(envelope)
        change(opened)
        return refused(opened.closed(inner=inner))

    def put(target: str, name: str, value: Any) -> Any:
        return lambda opened: setattr(getattr(opened, target), name, value)

    assert changed(put("channel", "type", common_pb2.HeaderType.CONFIG)) == CODE.UNKNOWN_TX_TYPE
    assert changed(put("channel", "epoch", 1)) == CODE.BAD_COMMON_HEADER
    assert changed(put("channel", "extension", b"")) == CODE.BAD_HEADER_EXTENSION
    assert changed(put("channel", "extension", b"\xff")) == CODE.BAD_HEADER_EXTENSION
    assert changed(put("header", "nonce", b"")) == CODE.BAD_COMMON_HEADER
    assert changed(put("header", "creator", b"")) == CODE.BAD_COMMON_HEADER
    assert changed(put("response", "proposal_hash", bytes(32))) == CODE.INVALID_ENDORSER_TRANSACTION
    assert changed(lambda opened: opened.transaction.actions.add()) == CODE.INVALID_ENDORSER_TRANSACTION
    assert (
        changed(lambda opened: opened.transaction.ClearField("actions")) == CODE.INVALID_ENDORSER_TRANSACTION
    )
    assert (
        changed(lambda opened: setattr(opened.result.chaincode_id, "name", "other")) == CODE.INVALID_CHAINCODE
    )
    assert (
        changed(
            lambda opened: setattr(opened.action.action, "proposal_response_payload", b"\xff"), inner=False
        )
        == CODE.INVALID_ENDORSER_TRANSACTION
    )
    # What was asked is bound by the hash that was endorsed: another time or argument has another hash.
    assert changed(lambda opened: setattr(opened.channel.timestamp, "seconds", 5)) == (
        CODE.INVALID_ENDORSER_TRANSACTION
    )
    assert changed(put("action", "chaincode_proposal_payload", b"")) == CODE.INVALID_ENDORSER_TRANSACTION
    garbage = common_pb2.Envelope(payload=b"\xff").SerializeToString()
    assert refused(garbage) == CODE.BAD_PAYLOAD
    assert (
        refused(common_pb2.Envelope(payload=b"", signature=b"s").SerializeToString())
        == CODE.BAD_COMMON_HEADER
    )


def test_creator_signs_the_payload(chain: TestChain, envelope: bytes) -> None:
    configuration = chain.ledger.configuration
    opened = Opened(envelope)
    opened.envelope.signature = chain.signer("Org2MSP", Role.CLIENT).sign(opened.envelope.payload)
    with pytest.raises(InvalidEnvelope) as caught:
        verify_creator(Transaction.from_envelope(opened.envelope.SerializeToString()), configuration)
    assert caught.value.code == CODE.BAD_CREATOR_SIGNATURE


def test_transaction_id_is_that_of_nonce_and_creator(chain: TestChain) -> None:
    """Even where peers would have endorsed another id."""
    signer = chain.signer("Org1MSP", Role.CLIENT)
    made = Proposal.create(signer, "main", (b"scratch:put", b"{}"), 1_700_000_000_000)
    channel = common_pb2.ChannelHeader.FromString(made.channel_header)
    channel.tx_id = "00" * 32
    forged = dataclasses.replace(made, channel_header=channel.SerializeToString(deterministic=True))
    response = response_payload(forged, b"", b"", None)
    raw = assemble(forged, response, [endorse(entry, response) for entry in chain.endorsers], signer)
    with pytest.raises(InvalidEnvelope) as caught:
        verify_creator(Transaction.from_envelope(raw), chain.ledger.configuration)
    assert caught.value.code == CODE.BAD_PROPOSAL_TXID
    assert chain.ledger.order(raw).code == CODE.BAD_PROPOSAL_TXID


def test_channel_must_be_the_configuration_s(chain: TestChain, tmp_path: Any) -> None:
    other = make_chain(tmp_path, "edge-a", invoke=invoke)
    envelope = other.ledger.endorsed(Put("a", "1"))
    with pytest.raises(InvalidEnvelope) as caught:
        verify_creator(Transaction.from_envelope(envelope), chain.ledger.configuration)
    assert caught.value.code == CODE.TARGET_CHAIN_NOT_FOUND
    other.close()


def test_endorsements_bind_the_result(chain: TestChain, envelope: bytes) -> None:
    opened = Opened(envelope)
    opened.result.response.payload = b"forged"
    raw = opened.closed(chain.signer("Org1MSP", Role.CLIENT))
    assert Transaction.from_envelope(raw).payload == b"forged"
    with pytest.raises(InvalidEnvelope) as caught:
        verify_endorsements(raw, chain.ledger.configuration)
    assert caught.value.code == CODE.ENDORSEMENT_POLICY_FAILURE
    assert chain.ledger.order(raw).code == CODE.ENDORSEMENT_POLICY_FAILURE


def test_endorsements_are_counted_by_organisation(chain: TestChain, envelope: bytes) -> None:
    configuration = chain.ledger.configuration
    opened = Opened(envelope)
    endorsements = opened.action.action.endorsements
    first, second = list(endorsements)
    del endorsements[:]
    endorsements.extend([first, first])
    with pytest.raises(InvalidEnvelope, match="1 of 2"):
        verify_endorsements(opened.closed(), configuration)
    endorsements.append(second)
    assert verify_endorsements(opened.closed(), configuration) == ("Org1MSP", "Org2MSP")
    endorsements[2].signature = first.signature
    with pytest.raises(InvalidEnvelope, match="1 of 2"):
        verify_endorsements(opened.closed(), configuration)


def test_policy_can_be_another(chain: TestChain, envelope: bytes) -> None:
    configuration = chain.ledger.configuration
    one = EndorsementPolicy(1, frozenset({"Org2MSP"}))
    assert verify_endorsements(envelope, configuration, one) == ("Org2MSP",)
    three = EndorsementPolicy(3, frozenset({"Org1MSP", "Org2MSP", "Org3MSP"}))
    with pytest.raises(InvalidEnvelope, match="2 of 3"):
        verify_endorsements(envelope, configuration, three)


@given(st.binary(max_size=400))
def test_garbage_is_typed(raw: bytes) -> None:
    with pytest.raises(InvalidEnvelope):
        Transaction.from_envelope(raw)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused_somewhere(chain: TestChain, data: st.DataObject) -> None:
    envelope = _one(chain)
    position = data.draw(st.integers(0, len(envelope) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = envelope[:position] + bytes([envelope[position] ^ flip]) + envelope[position + 1 :]
    with pytest.raises(InvalidEnvelope):
        verify_creator(Transaction.from_envelope(changed), chain.ledger.configuration)


_kept: list[bytes] = []


def _one(chain: TestChain) -> bytes:
    if not _kept:
        _kept.append(chain.ledger.endorsed(Put("a", "1")))
    return _kept[0]
