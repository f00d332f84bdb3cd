"""A block is believed in its one encoding, under its own orderers and endorsers."""

import datetime
from dataclasses import replace

import pytest
from chains import authorities_in
from fabric_protos.common import common_pb2

from audit.blocks import TrustedChains, check_block, check_transaction
from audit.errors import AuditError, Check, Unverifiable
from identity.roles import Role
from protocol.blocks import block_signature_bytes, data_hash
from protocol.bundle import BlockEvidence
from protocol.constraints import from_base64, to_base64
from protocol.trust import TrustRoot


@pytest.fixture(scope="module")
def chains(trust):
    return TrustedChains(trust)


@pytest.fixture(scope="module")
def blocks(world):
    return [BlockEvidence.of("edge-a", block) for block in world.ledgers["edge-a"].blocks(1)]


@pytest.fixture(scope="module")
def block(blocks):
    return blocks[4]


def refused(evidence, chain, check, exit_code=1):
    with pytest.raises(AuditError) as refusal:
        check_block(evidence, chain)
    assert (refusal.value.check, refusal.value.exit_code) == (check, exit_code), refusal.value


def signed_anew(world, evidence, signers):
    """The block with its data hash and signatures made anew."""
    raw = [from_base64(one) for one in evidence.envelopes]
    evidence = replace(evidence, data_hash=data_hash(raw))
    old = common_pb2.Metadata.FromString(from_base64(evidence.signatures))
    made = common_pb2.Metadata(value=old.value)
    for signer in signers:
        header = common_pb2.SignatureHeader(creator=signer.serialized(), nonce=b"n" * 24).SerializeToString()
        signature = signer.sign(block_signature_bytes(made.value, header, evidence.block().header))
        made.signatures.add(signature_header=header, signature=signature)
    return replace(evidence, signatures=to_base64(made.SerializeToString(deterministic=True)))


def test_every_block_of_a_chain_is_believed(blocks, chains):
    for one in blocks:
        check_block(one, chains.find("edge-a"))


def test_an_orderer_signs_anew_what_is_believed_again(world, block, chains):
    check_block(signed_anew(world, block, [world.chains["edge-a"].orderer]), chains.find("edge-a"))


def test_envelopes_are_not_merged_nor_split(world, block, chains):
    """The data hash is the same for [a, b] and [a + b], and for a in two parts."""
    orderer = [world.chains["edge-a"].orderer]
    (raw,) = (from_base64(one) for one in block.envelopes)
    envelope = common_pb2.Envelope.FromString(raw)
    first = common_pb2.Envelope(payload=envelope.payload).SerializeToString()
    second = common_pb2.Envelope(signature=envelope.signature).SerializeToString()
    assert first + second == raw
    split = replace(block, envelopes=(to_base64(first), to_base64(second)))
    assert split.data_hash == data_hash([first, second])
    refused(split, chains.find("edge-a"), Check.HOLDING_BLOCK)
    doubled = signed_anew(world, replace(block, envelopes=(to_base64(raw + raw),)), orderer)
    refused(doubled, chains.find("edge-a"), Check.HOLDING_BLOCK)
    for rest in (b"\x0a\x00", b"\x12\x01x", b"\xa2"):
        padded = signed_anew(world, replace(block, envelopes=(to_base64(raw + rest),)), orderer)
        refused(padded, chains.find("edge-a"), Check.HOLDING_BLOCK)


def test_fields_that_fabric_keeps_of_a_newer_client_are_no_fault(world, block, chains):
    """What a client adds to an envelope, orderers order and peers validate."""
    (raw,) = (from_base64(one) for one in block.envelopes)
    padded = replace(block, envelopes=(to_base64(raw + b"\xa2\x06\x01x"),))
    check_block(signed_anew(world, padded, [world.chains["edge-a"].orderer]), chains.find("edge-a"))


def test_only_one_encoding_and_exactly_a_quorum_of_signatures(world, block, chains):
    chain = chains.find("edge-a")
    raw = from_base64(block.signatures)
    refused(replace(block, signatures=to_base64(raw + b"\xa2\x06\x01x")), chain, Check.BLOCK_SIGNATURE)
    refused(replace(block, signatures=to_base64(raw[:-1])), chain, Check.BLOCK_SIGNATURE)
    orderer = world.chains["edge-a"].orderer
    refused(signed_anew(world, block, [orderer, orderer]), chain, Check.BLOCK_SIGNATURE)
    refused(signed_anew(world, block, []), chain, Check.BLOCK_SIGNATURE)


def test_a_member_that_is_no_orderer_does_not_sign_blocks(world, block, chains):
    peer = world.chains["edge-a"].endorsers[0]
    refused(signed_anew(world, block, [peer]), chains.find("edge-a"), Check.BLOCK_SIGNATURE)


def test_a_strangers_signature_is_untrusted(world, block, chains, tmp_path):
    (stranger,) = authorities_in(tmp_path, ["OrdererMSP"]).values()
    orderer = stranger.issue("orderer0", Role.ORDERER, now=datetime.datetime.now(datetime.UTC))
    refused(signed_anew(world, block, [orderer]), chains.find("edge-a"), Check.BLOCK_SIGNATURE, 4)


def test_a_signer_that_is_no_identity_is_invalid_not_untrusted(world, block, chains):
    """A flipped bit in a certificate must not read as if somebody else had signed."""
    signatures = common_pb2.Metadata.FromString(from_base64(block.signatures))
    header = common_pb2.SignatureHeader.FromString(signatures.signatures[0].signature_header)
    header.creator = header.creator.replace(b"-----BEGIN", b"-----BEGIO")
    signatures.signatures[0].signature_header = header.SerializeToString()
    damaged = replace(block, signatures=to_base64(signatures.SerializeToString(deterministic=True)))
    refused(damaged, chains.find("edge-a"), Check.BLOCK_SIGNATURE)


def test_block_one_follows_the_trusted_genesis(world, blocks, chains):
    first = replace(blocks[0], previous_hash=b"\x01" * 32)
    forged = signed_anew(world, first, [world.chains["edge-a"].orderer])
    refused(forged, chains.find("edge-a"), Check.HOLDING_BLOCK)


def test_block_zero_is_signed_by_nobody(world, chains):
    zero = BlockEvidence.of("edge-a", world.chains["edge-a"].genesis)
    with pytest.raises(Unverifiable):
        check_block(zero, chains.find("edge-a"))


def test_enough_distinct_organisations_endorsed(world, trust, block):
    (raw,) = (from_base64(one) for one in block.envelopes)

    def under(policy):
        stricter = [replace(one, policy=policy) for one in trust.chains]
        return TrustedChains(TrustRoot(trust.schema, trust.main, tuple(stricter))).find("edge-a")

    def under_policy(policy):
        chain = under(policy)
        check_transaction(raw, chain, chain.history.genesis, "here")

    under_policy(2)
    with pytest.raises(AuditError) as refusal:
        under_policy(3)  # two of them endorsed
    assert refusal.value.check is Check.ENDORSEMENT
    with pytest.raises(AuditError) as refusal:
        under_policy(4)
    assert refusal.value.check is Check.TRUST


def test_a_transaction_of_another_channel_or_chaincode_is_refused(world, block, chains, monkeypatch):
    (raw,) = (from_base64(one) for one in block.envelopes)
    main, edge = chains.find("main"), chains.find("edge-a")
    with pytest.raises(AuditError) as refusal:
        check_transaction(raw, main, main.history.genesis, "here")
    assert refusal.value.check is Check.ENDORSEMENT
    monkeypatch.setattr("audit.blocks.CHAINCODE", "another")
    with pytest.raises(AuditError) as refusal:
        check_transaction(raw, edge, edge.history.genesis, "here")
    assert refusal.value.check is Check.ENDORSEMENT


@pytest.mark.parametrize("field", ["genesis_hash", "config_blocks"])
def test_a_trust_root_that_contradicts_itself_is_refused(trust, block, field):
    wrong = {"genesis_hash": b"\x01" * 32, "config_blocks": trust.find("edge-b").config_blocks}[field]
    chains = [replace(one, **{field: wrong}) if one.chain == "edge-a" else one for one in trust.chains]
    trusted = TrustedChains(TrustRoot(trust.schema, trust.main, tuple(chains)))
    refused(block, trusted.find("edge-a"), Check.TRUST)
