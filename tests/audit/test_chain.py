"""A copy of a chain is judged block by block, and its anchors by what others hold."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from fabric_protos.common import common_pb2
from updated import configuration_block, signed_by
from world import build_world

from audit.blocks import TrustedChains
from audit.chain import check_chain, compare_with
from audit.copies import audit_copies
from audit.errors import AuditError, Check, Conflict
from audit.live import translated
from audit.state import load_state
from ledger.block_files import serialise_block
from protocol.blocks import data_hash, header_hash
from protocol.bundle import serialise_bundle
from protocol.constraints import to_base64
from protocol.trust import Checkpoint


@pytest.fixture
def blocks(world):
    return [copy.deepcopy(block) for block in world.ledgers["edge-a"].blocks(0)]


@pytest.fixture
def known(world):
    """What main holds of edge-a."""
    facts = check_chain(world.ledgers["main"].blocks(0), TrustedChains(world.trust()), "main")
    return {
        signed.statement.number: (signed.statement.digest(), "main")
        for signed in facts.accepted
        if signed.statement.chain == "edge-a"
    }


def refused(blocks, trust, check, where, exit_code=1):
    with pytest.raises(AuditError) as refusal:
        check_chain(blocks, TrustedChains(trust), "edge-a")
    error = refusal.value
    assert (error.check, error.exit_code) == (check, exit_code), error
    assert error.where.startswith(where), error
    return error


def rewritten(world, blocks, at, change):
    """The chain with block ``at`` changed and everything from there on linked and signed anew."""
    change(blocks[at])
    previous = header_hash(blocks[at - 1].header)
    for number in range(at, len(blocks)):
        block = blocks[number]
        block.header.previous_hash = previous
        block.header.data_hash = data_hash(block.data.data)
        codes = [bytes(slot) for slot in block.metadata.metadata]
        signed = signed_by(block, 0, world.chains["edge-a"].orderer)
        codes[0] = signed.metadata.metadata[0]
        del block.metadata.metadata[:]
        block.metadata.metadata.extend(codes)
        previous = header_hash(block.header)
    return blocks


def test_every_chain_of_a_world_holds(world, trust):
    for chain, ledger in world.ledgers.items():
        facts = check_chain(ledger.blocks(0), TrustedChains(trust), chain)
        assert facts.height == ledger.information().height
        assert facts.header_hash == ledger.information().header_hash
        assert [one.digest() for one in facts.statements] == [
            one.digest() for one in world.indexes[chain].statements()
        ]


def test_it_agrees_with_what_main_holds(world, trust, blocks, known):
    facts = check_chain(blocks, TrustedChains(trust), "edge-a")
    assert compare_with(facts, known) == len(known) > 2


@pytest.mark.parametrize("at", [1, 7])
def test_a_changed_envelope_is_found_by_the_data_hash(trust, blocks, at):
    envelope = blocks[at].data.data[0]
    blocks[at].data.data[0] = envelope[:-1] + bytes([envelope[-1] ^ 1])
    refused(blocks, trust, Check.BLOCK_LINKAGE, f"edge-a block {at}")


def test_a_header_that_fits_is_found_by_the_signature(trust, blocks):
    blocks[7].data.data[0] = blocks[6].data.data[0]
    blocks[7].header.data_hash = data_hash(blocks[7].data.data)
    refused(blocks, trust, Check.BLOCK_SIGNATURE, "edge-a block 7")


def test_blocks_left_out_or_swapped_are_found(trust, blocks):
    refused(blocks[:5] + blocks[6:], trust, Check.BLOCK_LINKAGE, "edge-a block 6")
    refused([*blocks[:5], blocks[6], blocks[5]], trust, Check.BLOCK_LINKAGE, "edge-a block 6")
    refused(blocks[1:], trust, Check.BLOCK_LINKAGE, "edge-a block 1")
    refused([], trust, Check.MISSING, "edge-a", 3)


def test_another_genesis_is_not_believed(world, trust):
    refused(list(world.ledgers["edge-b"].blocks(0)), trust, Check.TRUST, "edge-a block 0", 4)


def test_orderers_alone_cannot_make_up_a_transaction(world, trust, blocks):
    """They sign every block; the endorsements do not fit."""

    def forge(block):
        envelope = common_pb2.Envelope.FromString(block.data.data[0])
        envelope.payload = envelope.payload.replace(b"edge-a-1", b"edge-a-2")
        block.data.data[0] = envelope.SerializeToString(deterministic=True)

    at = next(at for at, block in enumerate(blocks) if at > 6 and b"edge-a-1" in block.data.data[0])
    where = f"edge-a block {at} transaction 0"
    refused(rewritten(world, blocks, at, forge), trust, Check.ENDORSEMENT, where)


def test_a_transaction_is_valid_once(world, trust, blocks):
    def repeat(block):
        block.data.data[0] = blocks[6].data.data[0]

    refused(rewritten(world, blocks, 7, repeat), trust, Check.ENVELOPE, "edge-a block 7")


def test_a_changed_validation_code_is_found_by_the_next_anchor(trust, blocks, known):
    """Nobody signs the codes: what other chains hold shows that they are not those of before."""
    chains = TrustedChains(trust)
    at = next(
        number for number, block in enumerate(blocks) if number and block.metadata.metadata[2] == b"\x00"
    )
    blocks[at].metadata.metadata[2] = b"\x0b"
    with pytest.raises(Conflict) as refusal:
        compare_with(check_chain(blocks, chains, "edge-a"), known)
    assert refusal.value.where.startswith("edge-a blocks 0 to ")


def test_a_history_rewritten_with_every_key_is_found_by_the_others(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = build_world(tmp_path / "first")
    second = build_world(tmp_path / "second", like=first)
    trust = second.trust()  # its genesis: the keys are the same
    known = {1: (first.indexes["edge-a"].statement(1).digest(), "main")}
    facts = check_chain(second.ledgers["edge-a"].blocks(0), TrustedChains(trust), "edge-a")
    with pytest.raises(Conflict, match="blocks 0 to"):
        compare_with(facts, known)
    first.close()
    second.close()


def test_a_copy_that_ends_too_early_is_a_rollback(trust, blocks, known):
    facts = check_chain(blocks[:12], TrustedChains(trust), "edge-a")
    with pytest.raises(AuditError) as refusal:
        compare_with(facts, known)
    assert (refusal.value.check, refusal.value.where) == (Check.ROLLBACK, "edge-a block 12")


# ---------------------------------------------------------------------- configurations


def update(world, blocks, *signers, change=lambda config: None, at=None):
    """A configuration block at the end of the chain."""
    made = configuration_block(blocks[0], len(blocks) if at is None else at, change)
    made.header.previous_hash = header_hash(blocks[-1].header)
    signed = signed_by(made, made.header.number, *(signers or [world.chains["edge-a"].orderer]))
    signed.metadata.metadata.extend([b"", b"\x00"])
    return signed


def test_configurations_are_followed(world, trust, blocks, tmp_path):
    chain = [*blocks, update(world, blocks)]
    facts = check_chain(chain, TrustedChains(trust), "edge-a")
    assert facts.configurations == (0, len(blocks))
    assert [one.number for one in facts.configuration_blocks] == [len(blocks)]
    # What is remembered must be there the next time, and no other.
    seen = replace(
        trust,
        chains=tuple(
            replace(one, config_blocks=(*one.config_blocks, to_base64(chain[-1].SerializeToString())))
            if one.chain == "edge-a"
            else one
            for one in trust.chains
        ),
    )
    check_chain(chain, TrustedChains(seen), "edge-a")
    refused(blocks, seen, Check.ROLLBACK, f"edge-a block {len(blocks)}")
    other = update(world, blocks, change=lambda config: config.channel_group.values.clear())
    refused([*blocks, other], seen, Check.CONFIGURATION, f"edge-a block {len(blocks)}")
    plain = signed_by(blocks[-1], 0, world.chains["edge-a"].orderer)
    plain.header.number = len(blocks)
    plain.header.previous_hash = header_hash(blocks[-1].header)
    plain = signed_by(plain, 0, world.chains["edge-a"].orderer)
    plain.metadata.metadata.extend([b"", b"\x0b"])
    refused([*blocks, plain], seen, Check.CONFIGURATION, f"edge-a block {len(blocks)}")


def test_a_configuration_that_does_not_follow_is_named(world, trust, blocks):
    last = f"edge-a block {len(blocks)}"
    peer = world.chains["edge-a"].endorsers[0]
    refused([*blocks, update(world, blocks, peer)], trust, Check.BLOCK_SIGNATURE, last)
    skipping = update(world, blocks, change=lambda config: setattr(config, "sequence", 3))
    refused([*blocks, skipping], trust, Check.CONFIGURATION, last)
    following = [*blocks, update(world, blocks)]
    stale = update(world, following)  # configuration 1 once more
    refused([*following, stale], trust, Check.CONFIGURATION, f"edge-a block {len(blocks) + 1}")


def test_a_block_names_a_configuration_of_this_chain(world, trust, blocks):
    wrong = signed_by(blocks[-1], 3, world.chains["edge-a"].orderer)
    wrong.metadata.metadata.extend([b"", bytes(blocks[-1].metadata.metadata[2])])
    refused([*blocks[:-1], wrong], trust, Check.CONFIGURATION, f"edge-a block {len(blocks) - 1}")


def test_of_the_metadata_signatures_and_codes_alone_are_evidence(trust, blocks):
    """As docs/trust-model.md says it."""
    before = check_chain(blocks, TrustedChains(trust), "edge-a")
    for block in blocks[1:]:
        block.metadata.metadata.extend([b""] * (5 - len(block.metadata.metadata)))
        for slot in (1, 3, 4):
            block.metadata.metadata[slot] = b"anything"
    assert check_chain(blocks, TrustedChains(trust), "edge-a") == before
    blocks[7].metadata.metadata[2] += b"\x00"
    refused(blocks, trust, Check.BLOCK_LINKAGE, "edge-a block 7")


# ---------------------------------------------------------------------- files


def written(folder, blocks):
    folder.mkdir()
    (folder / "blockfile_000000").write_bytes(b"".join(map(serialise_block, blocks)))
    return folder


def test_copies_are_held_against_one_another_and_the_auditor_s_files(world, trust, blocks, tmp_path):
    copied = written(tmp_path / "edge-a", blocks)
    bundle, state = tmp_path / "bundle.json", tmp_path / "state.json"
    record = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    bundle.write_bytes(serialise_bundle(record))
    outcome = audit_copies([copied], trust, [bundle], state)
    (fields,) = outcome.fields["chains"]
    assert fields["anchors_compared"] >= 1  # main's lists in edge-a's own blocks count too
    whole = [copied, *(world.chains[chain].path for chain in ("main", "edge-b"))]
    compared = [one["anchors_compared"] for one in audit_copies(whole, trust).fields["chains"]]
    assert min(compared) > 1
    for number in range(1, len(blocks)):  # some code of the anchored part
        if blocks[number].metadata.metadata[2] == b"\x00":
            blocks[number].metadata.metadata[2] = b"\x0b"
            break
    forged = written(tmp_path / "forged", blocks)
    for anchors, others in (([bundle], []), ([], whole[1:])):
        with pytest.raises(Conflict):
            audit_copies([forged, *others], trust, anchors)
    checked = replace(
        trust,
        chains=tuple(
            replace(one, checkpoint=Checkpoint(1, world.indexes["edge-a"].statement(1).digest()))
            if one.chain == "edge-a"
            else one
            for one in trust.chains
        ),
    )
    with pytest.raises(Conflict):
        audit_copies([forged], checked)


def test_what_a_copy_showed_is_remembered(world, trust, blocks, tmp_path):
    state = tmp_path / "state.json"
    audit_copies([written(tmp_path / "edge-a", blocks)], trust, state=state)
    statements = world.indexes["edge-a"].statements()
    known = {one.chain: one for one in load_state(state).chains}
    assert [one.statement for one in known["edge-a"].seen] == [one.digest() for one in statements]
    assert known["main"].newest.signatures  # which edge-a accepted
    earlier = written(tmp_path / "earlier", blocks[: statements[-1].height])
    with pytest.raises(AuditError) as refusal:
        audit_copies([earlier], trust, state=state)
    assert refusal.value.check is Check.ROLLBACK
    for block in blocks[1:]:
        if block.metadata.metadata[2] == b"\x00":
            block.metadata.metadata[2] = b"\x0b"
            break
    with pytest.raises(Conflict):
        audit_copies([written(tmp_path / "forged", blocks)], trust, state=state)


def test_what_is_left_out_at_the_end_is_said_and_never_hides_blocks(world, trust, blocks, tmp_path):
    copied = written(tmp_path / "edge-a", blocks)
    file = copied / "blockfile_000000"
    whole = file.read_bytes()
    outcome = audit_copies([copied], trust)
    assert "left out" not in outcome.line
    assert outcome.fields["chains"][0]["bytes_left_out"] == 0
    file.write_bytes(whole[:-7])
    left = len(serialise_block(blocks[-1])) - 7
    outcome = audit_copies([copied], trust)
    assert f"{left} bytes at the end left out" in outcome.line
    assert outcome.fields["chains"][0]["bytes_left_out"] == left
    assert outcome.fields["chains"][0]["height"] == len(blocks) - 1
    raw = bytearray(whole)
    raw[sum(len(serialise_block(block)) for block in blocks[:-2]) + 1] |= (
        0x7C  # of the length: beyond the end
    )
    file.write_bytes(raw)
    with pytest.raises(AuditError, match="damaged") as refusal, translated():
        audit_copies([copied], trust)
    assert refusal.value.exit_code == 1


def test_what_is_no_copy_of_a_chain_is_no_evidence(trust, tmp_path):
    (tmp_path / "notes.txt").write_text("no ledger")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "notes.txt"):
        with pytest.raises(AuditError) as refusal:
            audit_copies([path], trust)
        assert (refusal.value.exit_code, refusal.value.check, refusal.value.where) == (2, "usage", str(path))


def test_what_is_no_file_of_anchors_is_said_so(world, trust, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(b"[")
    with pytest.raises(AuditError) as refusal:
        audit_copies([world.chains["edge-a"].path], trust, [wrong])
    assert refusal.value.exit_code == 2
    with pytest.raises(AuditError) as refusal:
        audit_copies([world.chains["edge-a"].path] * 2, trust)
    assert refusal.value.exit_code == 2
