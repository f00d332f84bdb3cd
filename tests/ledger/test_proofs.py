"""What the prover gathers, and what it says when something is still awaited."""

import pytest
from fabric_protos.common import common_pb2
from world import MAIN, build_world, empty_world
from world_training import start_training

from chaincode.api import GetRecord
from ledger.errors import Unavailable
from ledger.port import evaluate_typed
from ledger.proof_errors import ChainDiverged, IncompleteEvidence, NotIndexed, Pending, UnsuitableHolder
from ledger.proofs import Prover
from protocol.bundle import parse_bundle, serialise_bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = build_world(tmp_path_factory.mktemp("world"))
    made.training = start_training(made)
    made.training.play()
    yield made
    made.close()


def test_a_record_bundle_holds_the_way_up_and_no_more(world):
    record = world.records["edge-a"][0]
    bundle = world.prover.record_bundle("edge-a", record)
    assert parse_bundle(serialise_bundle(bundle)) == bundle
    assert [(one.statement.chain, one.statement.number) for one in bundle.statements] == [
        ("edge-a", 1),
        (MAIN, 1),
    ]
    assert [one.chain for one in bundle.elements] == ["edge-a", "edge-a", MAIN]
    assert [one.chain for one in bundle.holdings] == ["edge-b"]
    assert [(one.chain, one.number) for one in bundle.blocks] == [("edge-b", bundle.holdings[0].block)]


def test_a_single_record_needs_no_path_and_one_of_a_batch_has_one(world):
    alone, first, *_ = world.records["edge-a"]
    (batch,) = world.prover.record_bundle("edge-a", alone).batches
    assert batch.whole
    (batch,) = world.prover.record_bundle("edge-a", first).batches
    assert [len(leaf.path) for leaf in batch.leaves] == [2]


def test_the_full_profile_adds_the_block_of_every_element(world):
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][1], profile="full")
    shown = {(one.chain, one.number) for one in bundle.blocks}
    assert shown == {(one.chain, one.block) for one in bundle.elements} | {
        (one.chain, one.block) for one in bundle.holdings
    }


def test_the_smallest_block_of_all_holders_is_taken_unless_one_is_named(tmp_path):
    world = build_world(tmp_path, ("edge-a", "edge-b", "edge-c"))
    record = world.records["edge-a"][0]
    assert world.prover.record_bundle("edge-a", record).holdings[0].chain in ("edge-b", "edge-c")
    assert world.prover.record_bundle("edge-a", record, "edge-c").holdings[0].chain == "edge-c"
    world.close()


@pytest.mark.parametrize("holder", [MAIN, "edge-z", "edge-a"])
def test_who_cannot_hold_mains_anchors_is_refused_by_name(world, holder):
    """Main's own, no chain's, and the one whose evidence it is: no waiting would mend it."""
    with pytest.raises(UnsuitableHolder, match=f"^{holder} "):
        world.prover.record_bundle("edge-a", world.records["edge-a"][0], holder)


@pytest.mark.parametrize("holder", ["edge-a", "edge-b"])
def test_of_edges_that_all_have_a_part_in_a_model_none_may_be_named(world, holder):
    with pytest.raises(UnsuitableHolder, match="the evidence is its own"):
        world.prover.model_bundle("digits", 1, holder=holder)
    with pytest.raises(UnsuitableHolder, match="the evidence is its own"):
        world.prover.round_bundle("digits", 1, holder=holder)


def test_where_main_carries_every_edge_two_of_them_hold_its_anchor(world):
    bundle = world.prover.model_bundle("digits", 1)
    main = [one.statement for one in bundle.statements if one.statement.chain == MAIN]
    holders = [
        [one.chain for one in bundle.holdings if one.statement == statement.digest()] for statement in main
    ]
    # Anchors 1 and 3 carry both edges' evidence; 2 and 4 carry main's own alone.
    assert [len(set(chains)) for chains in holders] == [len(chains) for chains in holders] == [2, 1, 2, 1]


def test_a_lone_edge_holds_mains_anchors_itself(tmp_path):
    world = build_world(tmp_path, ("edge-a",))
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    assert [one.chain for one in bundle.holdings] == ["edge-a"]
    assert world.prover.record_bundle("edge-a", world.records["edge-a"][0], "edge-a") == bundle
    world.close()


def test_every_stage_that_is_awaited_is_named(tmp_path):
    world = empty_world(tmp_path)
    device = world.enrol("edge-a", "meter-1")
    (record,) = world.submit_contents(device, [b"1"])
    with pytest.raises(Pending, match="after the newest anchor 0"):
        world.prover.record_bundle("edge-a", record)
    up = world.cut("edge-a")
    with pytest.raises(Pending, match="anchor 1 of edge-a is not on main yet"):
        world.prover.record_bundle("edge-a", record)
    world.carry(up, MAIN)
    with pytest.raises(Pending, match="of main comes after the newest anchor 0"):
        world.prover.record_bundle("edge-a", record)
    down = world.cut(MAIN)
    world.carry(down, "edge-a")
    with pytest.raises(Pending, match="anchor 1 of main is not held on edge-b yet"):
        world.prover.record_bundle("edge-a", record)
    world.carry(down, "edge-b")
    assert world.prover.record_bundle("edge-a", record).subject == record.hex()
    world.close()


class Silent:
    """An index, or a ledger, whose chain does not answer while ``away``; nothing else is changed."""

    def __init__(self, part, question, error=None):
        self.part = part
        self.question = question
        self.error = error or Unavailable("no route to the peer")
        self.away = True

    def __getattr__(self, name):
        if name == self.question and self.away:
            raise self.error
        return getattr(self.part, name)


@pytest.mark.parametrize(("part", "question"), [("index", "sync"), ("ledger", "block")])
def test_an_edge_that_does_not_answer_keeps_no_other_from_proving(tmp_path, part, question):
    world = build_world(tmp_path, ("edge-a", "edge-b", "edge-c"))
    parts = {"index": dict(world.indexes), "ledger": dict(world.ledgers)}
    prover = Prover(parts["index"], parts["ledger"], main=MAIN)
    record = world.records["edge-a"][0]
    for chain in ("edge-b", "edge-c"):
        parts[part][chain] = silent = Silent(parts[part][chain], question)
        (holding,) = prover.record_bundle("edge-a", record).holdings
        assert holding.chain not in (chain, "edge-a")
        silent.away = False
    for chain in ("edge-b", "edge-c"):
        parts[part][chain].away = True
    with pytest.raises(Pending, match="edge-b or edge-c yet; edge-b does not answer; edge-c does not"):
        prover.record_bundle("edge-a", record)
    # What is needed of a chain cannot be had without it.
    with pytest.raises(Unavailable):
        prover.record_bundle("edge-b", world.records["edge-b"][0], profile="full")
    with pytest.raises(Unavailable):
        prover.record_bundle("edge-a", record, "edge-c")
    world.close()


class Lying:
    """A ledger whose blocks are not its chain's."""

    def __init__(self, ledger, block):
        self.ledger = ledger
        self.wrong = block

    def __getattr__(self, name):
        return getattr(self.ledger, name)

    def block(self, number):
        return self.wrong


@pytest.mark.parametrize("lie", ["empty", "shortened", "another"])
def test_an_edge_that_lies_keeps_no_other_from_proving(tmp_path, lie):
    world = build_world(tmp_path, ("edge-a", "edge-b", "edge-c"))
    record = world.records["edge-a"][0]
    true = world.ledgers["edge-b"].block(2)
    wrong = {"empty": common_pb2.Block(), "another": true, "shortened": common_pb2.Block()}[lie]
    if lie == "shortened":
        wrong.CopyFrom(true)
        wrong.data.data[0] = wrong.data.data[0][:-7]
    for liar, honest in (("edge-b", "edge-c"), ("edge-c", "edge-b")):
        ledgers = dict(world.ledgers)
        ledgers[liar] = Lying(ledgers[liar], wrong)
        (holding,) = Prover(world.indexes, ledgers, main=MAIN).record_bundle("edge-a", record).holdings
        assert holding.chain == honest
        with pytest.raises(ChainDiverged):
            Prover(world.indexes, ledgers, main=MAIN).record_bundle("edge-a", record, liar)
    world.close()


def test_a_fork_is_told_where_no_other_edge_will_do(tmp_path):
    world = build_world(tmp_path, ("edge-a", "edge-b", "edge-c"))
    indexes = dict(world.indexes)
    prover = Prover(indexes, dict(world.ledgers), main=MAIN)
    record = world.records["edge-a"][0]
    indexes["edge-b"] = Silent(indexes["edge-b"], "sync", ChainDiverged("rolled back"))
    (holding,) = prover.record_bundle("edge-a", record).holdings
    assert holding.chain == "edge-c"
    indexes["edge-c"] = Silent(indexes["edge-c"], "sync")
    with pytest.raises(ChainDiverged, match="rolled back"):
        prover.record_bundle("edge-a", record)
    world.close()


def test_what_is_not_there_is_said_to_be_not_there(world):
    with pytest.raises(NotIndexed, match="is not on edge-a"):
        world.prover.record_bundle("edge-a", b"\x01" * 32)
    with pytest.raises(NotIndexed, match="not followed"):
        world.prover.record_bundle("edge-z", b"\x01" * 32)
    with pytest.raises(NotIndexed, match="no runs:create of other"):
        world.prover.model_bundle("other", 1)
    with pytest.raises(NotIndexed):
        world.prover.model_bundle("digits", 2)
    with pytest.raises(NotIndexed):
        world.prover.model_bundle("digits", 0)
    with pytest.raises(NotIndexed):
        world.prover.cross_chain_proof("edge-a", "00" * 32)


def test_manifests_must_be_at_hand_and_be_what_the_step_names(world):
    plain = Prover(world.indexes, world.ledgers)
    with pytest.raises(IncompleteEvidence, match="no source"):
        plain.model_bundle("digits", 1)
    for wrong in (b"[]", b"nonsense", b'["00"]'):
        prover = Prover(world.indexes, world.ledgers, lambda chain, address, wrong=wrong: wrong)
        with pytest.raises(IncompleteEvidence, match="manifest"):
            prover.model_bundle("digits", 1)


def test_a_model_bundle_shows_every_record_of_every_data_set(world):
    bundle = world.prover.model_bundle("digits", 1)
    shown = {(batch.chain, leaf.leaf.record) for batch in bundle.batches for leaf in batch.leaves}
    assert shown == {(edge, one) for edge in ("edge-a", "edge-b") for one in world.records[edge]}
    assert all(batch.whole for batch in bundle.batches)
    assert len(bundle.manifests) == 2


def test_a_cross_chain_proof_is_held_where_it_shall_be_checked(world):
    stored = evaluate_typed(world.ledgers["edge-a"], GetRecord(world.records["edge-a"][0]))
    proof = world.prover.cross_chain_proof("edge-a", stored.transaction, holder=MAIN)
    assert (proof.chain, proof.anchor, proof.code) == ("edge-a", 1, 0)
    with pytest.raises(Pending, match="not held on edge-b"):
        world.prover.cross_chain_proof("edge-a", stored.transaction, holder="edge-b")


def test_a_gateways_signature_brings_the_grant_in_force(tmp_path):
    world = empty_world(tmp_path)
    device = world.enrol("edge-a", "meter-1")
    first = world.grant(device, "gate")
    old = world.read(device, b"old", gateway="gate", key=first)
    world.submit("edge-a", [old])
    second = world.grant(device, "gate", sequence=2)
    own, new = world.read(device, b"own"), world.read(device, b"new", gateway="gate", key=second)
    world.submit("edge-a", [own, new])
    world.interlock()
    functions = {}
    for record in world.records["edge-a"]:
        bundle = world.prover.record_bundle("edge-a", record)
        grants = [one for one in bundle.elements if '"type":"devices:grant"' in one.payload]
        functions[record] = [one.number for one in grants]
    numbers = [functions[record] for record in world.records["edge-a"]]
    assert [len(one) for one in numbers] == [1, 0, 1]
    assert numbers[0] < numbers[2]
    world.close()


def test_an_edge_that_was_rewritten_proves_nothing(tmp_path):

    world = build_world(tmp_path / "w")
    other = build_world(tmp_path / "other")
    # The same chain, another history: its index serves the prover, main holds the first one's anchor.
    ledgers = world.ledgers | {"edge-a": other.ledgers["edge-a"]}
    prover = Prover(world.indexes | {"edge-a": other.indexes["edge-a"]}, ledgers)
    with pytest.raises(ChainDiverged, match="not what its blocks give"):
        prover.record_bundle("edge-a", other.records["edge-a"][0])
    world.close()
    other.close()
