"""The walk from a subject to another edge: what it needs, and that nothing else may be there."""

from dataclasses import replace

import pytest
from audit_refusals import refused
from world import MAIN, build_world, empty_world

from audit.anchors import check_signatures
from audit.errors import AuditError, Check, Conflict
from audit.live import audit_anchors, translated
from audit.ports import AuditedSystem
from audit.verifier import read_bundle, read_trust, verify_bundle
from chaincode.api import FixCut, SignAnchor
from identity.roles import Role
from ledger.lookups import ANCHOR
from ledger.port import call
from protocol.anchors import AnchorSignature, SignedStatement
from protocol.bundle import BlockEvidence, Holding, serialise_bundle
from protocol.trust import Checkpoint, serialise_trust


@pytest.fixture(scope="module")
def bundle(world):
    return world.prover.record_bundle("edge-a", world.records["edge-a"][2])


@pytest.fixture(scope="module")
def model(world):
    return world.prover.model_bundle("digits", 3)


def merged(field, bundle, other, key):
    """The bundle with one valid part of another bundle that it does not have."""
    have = {key(one) for one in getattr(bundle, field)}
    more = next(one for one in getattr(other, field) if key(one) not in have)
    return replace(bundle, **{field: tuple(sorted((*getattr(bundle, field), more), key=key))})


def held_by(world, bundle, holder):
    """The bundle with one chain's blocks alone for main's anchors."""
    index = world.indexes[holder]
    holdings = []
    for held in sorted({one.statement for one in bundle.holdings}):
        (number,) = (s.statement.number for s in bundle.statements if s.statement.digest() == held)
        (place, *_) = (index.element(n).element for n in index.find_all(ANCHOR, f"{MAIN}/{number}"))
        holdings.append(Holding(holder, place.block, place.index, held))
    blocks = [BlockEvidence.of(holder, world.ledgers[holder].block(one.block)) for one in holdings]
    return replace(
        bundle,
        holdings=tuple(sorted(holdings, key=lambda one: one.key)),
        blocks=tuple(sorted({one.key: one for one in blocks}.values(), key=lambda one: one.key)),
    )


def resigned(world, statement):
    """A statement signed by all the right keys of its chain."""
    made = world.chains[statement.chain]
    return SignedStatement(
        statement,
        tuple(
            AnchorSignature(name, made.signer(name, Role.ANCHOR_SIGNER).sign(statement.signing_bytes()))
            for name in sorted(made.organisations)[:2]
        ),
    )


@pytest.mark.parametrize("quick", [True, False], ids=["512 bits", "RSA-2048"])
def test_what_was_made_verifies_after_a_round_trip(tmp_path, quick):
    world = build_world(tmp_path, quick=quick)
    trust = read_trust(serialise_trust(world.trust()))
    for profile in ("compact", "full"):
        for record in world.records["edge-b"]:
            raw = serialise_bundle(world.prover.record_bundle("edge-b", record, profile=profile))
            result = verify_bundle(read_bundle(raw), trust)
            assert result.facts.record == record.hex()
    world.close()


@pytest.mark.parametrize("kind", ["model", "round"])
@pytest.mark.parametrize("profile", ["compact", "full"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_round_verifies_in_every_form(world, trust, kind, profile, number):
    made = getattr(world.prover, f"{kind}_bundle")("digits", number, profile=profile)
    assert verify_bundle(read_bundle(serialise_bundle(made)), trust).facts.version == number


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("statements", lambda one: (one.statement.chain, one.statement.number)),
        ("blocks", lambda one: one.key),
    ],
)
def test_a_valid_part_that_nothing_leads_to_is_refused(bundle, model, trust, field, key):
    refused(merged(field, bundle, model, key), trust, Check.UNUSED)


def test_a_valid_element_under_the_same_anchor_too(world, bundle, trust):
    other = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    refused(merged("elements", bundle, other, lambda one: one.key), trust, Check.UNUSED)


def test_a_data_set_that_no_step_uses_too(bundle, model, trust):
    refused(replace(bundle, manifests=model.manifests), trust, Check.UNUSED)


def test_a_second_holding_too(tmp_path):
    world = build_world(tmp_path, ("edge-a", "edge-b", "edge-c"))
    record = world.records["edge-a"][0]
    first, second = (world.prover.record_bundle("edge-a", record, holder) for holder in ("edge-b", "edge-c"))
    for one in (first, second):
        verify_bundle(one, world.trust())
    both = replace(
        first, holdings=(*first.holdings, *second.holdings), blocks=(*first.blocks, *second.blocks)
    )
    assert refused(both, world.trust(), Check.UNUSED).where == "holdings"
    world.close()


def test_a_neighbours_leaf_is_refused(world, bundle, trust):
    (batch,) = bundle.batches
    (other,) = world.prover.record_bundle("edge-a", world.records["edge-a"][3]).batches
    leaves = tuple(sorted((*batch.leaves, *other.leaves), key=lambda one: one.index))
    refused(replace(bundle, batches=(replace(batch, leaves=leaves),)), trust, Check.UNUSED)


def test_an_edge_does_not_hold_mains_anchors_for_itself(world, trust):
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][2])
    verify_bundle(held_by(world, bundle, "edge-b"), trust)
    refused(held_by(world, bundle, "edge-a"), trust, Check.HOLDING_BLOCK)


@pytest.mark.parametrize("holder", ["edge-a", "edge-b"])
def test_nor_for_its_own_steps_and_records_in_a_model(world, model, trust, holder):
    """Main and one edge could else make up that edge's part of a model by themselves."""
    verify_bundle(model, trust)
    assert {one.chain for one in model.holdings} == {"edge-a", "edge-b"}
    refused(held_by(world, model, holder), trust, Check.HOLDING_BLOCK)


def test_a_lone_edge_may(tmp_path):
    world = build_world(tmp_path, ("edge-a",))
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    assert verify_bundle(bundle, world.trust()).chain == "edge-a"
    world.close()


def test_a_statement_that_main_did_not_accept_is_refused(world, bundle, trust):
    """The edge's keys sign another history of their own: main's Type-II does not fit."""
    forged = resigned(world, replace(bundle.statements[0].statement, tree_root=b"\x09" * 32))
    error = refused(replace(bundle, statements=(forged, bundle.statements[1])), trust, Check.CONFLICT)
    assert isinstance(error, Conflict)  # main's own list of heads names the other one
    assert len(error.evidence) == 2


def test_mains_statement_must_list_the_edges_anchor(world, bundle, trust):
    main = bundle.statements[1].statement
    unlisted = resigned(world, replace(main, latest=tuple(x for x in main.latest if x.chain != "edge-a")))
    changed = replace(bundle, statements=(bundle.statements[0], unlisted))
    # No edge ever accepted it either: its digest is held nowhere.
    refused(changed, trust, Check.MAIN_ANCHOR)


def test_main_rewritten_with_all_its_keys_is_held_nowhere(world, bundle, trust):
    forged = resigned(world, replace(bundle.statements[1].statement, tree_root=b"\x09" * 32))
    changed = replace(bundle, statements=(bundle.statements[0], forged))
    refused(changed, trust, Check.MISSING, 3)


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"parameters": b"\x01" * 32}, Check.PARAMETERS),
        ({"value_after": bytes(64) + b"\x01"}, Check.PARAMETERS),
        ({"value_after": b""}, Check.PARAMETERS),
        ({"first": 2}, Check.ANCHOR_LINKAGE),
        ({"last": 0}, Check.ANCHOR_LINKAGE),
        ({"height": 0}, Check.ANCHOR_LINKAGE),
        ({"last": 3}, Check.ELEMENT),
    ],
)
def test_a_signed_statement_must_make_sense(world, bundle, trust, fields, check):
    forged = resigned(world, replace(bundle.statements[0].statement, **fields))
    listed = bundle.statements[1].statement
    latest = tuple(
        replace(one, statement=forged.statement.digest()) if one.chain == "edge-a" else one
        for one in listed.latest
    )
    main = resigned(world, replace(listed, latest=latest))
    refused(replace(bundle, statements=(forged, main)), trust, check)


def test_the_tip_of_an_anchor_is_the_block_that_it_names(world, trust):
    full = world.prover.record_bundle("edge-a", world.records["edge-a"][3], profile="full")
    shown = next(one for one in full.blocks if one.chain == "edge-a")
    statement = full.statements[0].statement
    forged = resigned(world, replace(statement, height=shown.number + 1))
    main = full.statements[1].statement
    latest = tuple(
        replace(one, statement=forged.statement.digest()) if one.chain == "edge-a" else one
        for one in main.latest
    )
    changed = replace(full, statements=(forged, resigned(world, replace(main, latest=latest))))
    refused(changed, trust, Check.ANCHOR_LINKAGE)


# ---------------------------------------------------------------------- live chains


def system_of(world, trust, **chains):
    """An audited system in which some chains are another world's."""
    ledgers = world.ledgers | {name: other.ledgers[name] for name, other in chains.items()}
    indexes = world.indexes | {name: other.indexes[name] for name, other in chains.items()}
    return AuditedSystem(trust, ledgers, indexes, world.prover, {}, None)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two histories signed by the same keys: each chain of one is that of the other, rewritten."""
    folder = tmp_path_factory.mktemp("pair")
    first = build_world(folder / "first")
    (folder / "second").mkdir()
    second = build_world(folder / "second", like=first)
    yield first, second
    first.close()
    second.close()


def test_honest_chains_agree(pair):
    first, _ = pair
    report, newest = audit_anchors(system_of(first, first.trust()), first.trust())
    assert report.heads["main"] == {"edge-a": 1, "edge-b": 1, "main": 1}
    assert [one.statement.chain for one in newest] == ["edge-a", "edge-b", "main"]


@pytest.mark.parametrize("chain", ["edge-a", MAIN])
def test_a_chain_rewritten_with_all_its_keys_is_found_by_what_the_others_hold(pair, chain):
    first, second = pair
    system = system_of(first, first.trust(), **{chain: second})
    with pytest.raises(AuditError) as refusal:
        audit_anchors(system, first.trust())
    assert isinstance(refusal.value, Conflict)
    # Beside its own anchor, the other history also accepted other anchors than the chains have.
    assert f"{chain} anchor 1" in refusal.value.where
    # All of them carry the quorum of the chain that told two stories.
    for one in refusal.value.evidence:
        check_signatures(one, first.roster(one.statement.chain), "")


def test_a_chain_below_the_trusted_checkpoint_is_a_rollback(pair, tmp_path):
    first, _ = pair
    trust = first.trust({"edge-a": Checkpoint(2, b"\x01" * 32)})
    with pytest.raises(AuditError) as refusal:
        audit_anchors(system_of(first, trust), trust)
    assert refusal.value.check is Check.ROLLBACK
    trust = first.trust({"edge-a": Checkpoint(1, b"\x01" * 32)})
    with pytest.raises(AuditError) as refusal:
        audit_anchors(system_of(first, trust), trust)
    assert refusal.value.check is Check.CHECKPOINT


def test_signers_that_sign_two_statements_are_both_shown(tmp_path):
    world = build_world(tmp_path)
    index = world.indexes["edge-a"]
    number = index.anchor + 1
    call(world.acting_as("edge-a", Role.RELAY), FixCut(number))
    index.sync()
    honest = index.statement(number)
    made = world.chains["edge-a"]
    for name, statement in (("edge-a-1", honest), ("edge-a-2", replace(honest, tree_root=b"\x0a" * 32))):
        signer = made.signer(name, Role.ANCHOR_SIGNER)
        signature = AnchorSignature(name, signer.sign(statement.signing_bytes()))
        call(made.ledger.acting_as(signer), SignAnchor(statement, signature))
    with pytest.raises(Conflict) as refusal:
        audit_anchors(system_of(world, world.trust()), world.trust())
    assert refusal.value.where == "edge-a anchor 2"
    assert {one.signatures[0].msp_id for one in refusal.value.evidence} == {"edge-a-1", "edge-a-2"}
    world.close()


def test_a_cut_that_is_still_being_signed_is_no_fault(tmp_path):
    world = build_world(tmp_path)
    call(world.acting_as("edge-a", Role.RELAY), FixCut(world.indexes["edge-a"].anchor + 1))
    report, newest = audit_anchors(system_of(world, world.trust()), world.trust())
    assert report.heads["edge-a"] == {"edge-a": 2, "main": 1}
    assert [one.statement.number for one in newest] == [1, 1, 1]
    world.close()


def test_chains_without_anchors_are_pending(tmp_path):
    world = empty_world(tmp_path)
    with pytest.raises(AuditError) as refusal:
        audit_anchors(system_of(world, world.trust()), world.trust())
    assert refusal.value.check is Check.PENDING
    world.close()


def test_lower_rooms_errors_come_with_their_exit_codes():
    from identity.errors import KeyStoreError
    from ledger.errors import ContractRefused, CorruptLedger, Unavailable
    from ledger.proof_errors import ChainDiverged, NotIndexed, Pending
    from protocol.errors import InvalidBlock, SchemaMismatch
    from store.errors import StoreError

    for error, check, code in (
        (Pending("x"), Check.PENDING, 3),
        (NotIndexed("x"), Check.MISSING, 3),
        (ChainDiverged("x"), Check.CONFLICT, 1),
        (CorruptLedger("x"), Check.LEDGER, 1),
        (InvalidBlock("x"), Check.LEDGER, 1),
        (SchemaMismatch("x"), Check.LEDGER, 1),
        (ContractRefused("not-found", "x", 404), Check.MISSING, 3),
        (ContractRefused("access-denied", "x", 403), Check.LEDGER, 3),
        (Unavailable("x"), Check.LEDGER, 3),
        (StoreError("x"), Check.LEDGER, 3),
        (KeyStoreError("x"), Check.USAGE, 2),
    ):
        with pytest.raises(AuditError) as refusal, translated():
            raise error
        assert (refusal.value.check, refusal.value.exit_code) == (check, code)
