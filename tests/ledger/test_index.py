"""The index follows one chain, survives kills, and refuses another chain in its place."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chains import make_chain
from hung_ledger import HungLedger
from world import DEALER, MAIN, build_world

import accumulator
from accumulator import Cancelled, Parameters
from chaincode.api import AcceptAnchor, AnchorAccepted, EnrolDevice, Organisation, RegisterOrganisation
from chaincode.payloads import decode_result
from identity.keys import KeyPair
from identity.roles import Role
from ledger.index import ChainIndex
from ledger.index_file import IndexFile
from ledger.lookups import ANCHOR
from ledger.proof_errors import ChainDiverged, IndexDamaged, NotIndexed, Pending
from protocol.chainstate import ChainState
from protocol.elements import views
from protocol.encodings import sha256
from protocol.merkle import tree_root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = build_world(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def fresh(world, chain, path, **options):
    index = ChainIndex(world.chains[chain].ledger, world.parameters[chain], path, **options)
    index.sync()
    return index


def test_every_envelope_is_an_element_with_a_dense_number(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    envelopes = [
        (block.header.number, view.index, view.envelope)
        for block in world.ledgers["edge-a"].blocks(0)
        for view in views(block)
    ]
    assert index.elements == len(envelopes)
    for number, (block, position, envelope) in enumerate(envelopes, start=1):
        found = index.element(number).element
        assert (found.number, found.block, found.index) == (number, block, position)
        assert found.envelope_hash == sha256(envelope)
    with pytest.raises(NotIndexed):
        index.element(len(envelopes) + 1)
    with pytest.raises(NotIndexed):
        index.element(0)


def test_statements_are_those_of_the_fold_and_of_what_was_signed(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    state = ChainState("edge-a", world.parameters["edge-a"])
    computed = [one for block in world.ledgers["edge-a"].blocks(0) for one in state.feed(block).statements]
    assert list(index.statements()) == computed != []
    last = computed[-1]
    digests = [index.element(number).element.digest() for number in range(1, last.last + 1)]
    assert last.tree_root == tree_root(digests)
    with pytest.raises(NotIndexed):
        index.statement(last.number + 1)


def test_memberships_verify_against_the_first_covering_anchor(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    parameters = world.parameters["edge-a"]
    last = index.statements()[-1].last
    for proven in index.memberships(range(1, last + 1)):
        statement = index.statement(proven.anchor)
        assert statement.first <= proven.number <= statement.last
        prime = accumulator.check_certificate(proven.element().digest(), proven.offset)
        value = accumulator.decode_value(parameters, statement.value_after)
        witness = accumulator.decode_value(parameters, proven.witness)
        accumulator.verify_membership(parameters, value, prime, witness)
    assert index.memberships([3, 1, 3])[0] == index.membership(3)


def test_what_lies_after_the_last_anchor_is_pending(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    with pytest.raises(Pending, match="after the newest anchor 1"):
        index.membership(index.elements)


def test_append_only_proofs_verify_and_are_kept(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    parameters, statement = world.parameters["edge-a"], index.statement(1)
    proof = accumulator.decode_append_only(parameters, index.append_only(1))
    before, after = (
        accumulator.decode_value(parameters, raw) for raw in (statement.value_before, statement.value_after)
    )
    accumulator.verify_append_only(parameters, before, after, proof, statement.digest())
    assert index.append_only(1) == index.append_only(1)
    with pytest.raises(NotIndexed):
        index.append_only(99)


def test_elements_are_found_by_function_and_key(world, tmp_path):
    index = fresh(world, "edge-a", tmp_path / "i")
    number = index.find(EnrolDevice.FUNCTION, "meter-1")
    assert decode_result(EnrolDevice, index.element(number).payload).device == "meter-1"
    with pytest.raises(NotIndexed):
        index.find(EnrolDevice.FUNCTION, "meter-2")
    main = fresh(world, MAIN, tmp_path / "m")
    accepted = main.element(main.find(ANCHOR, "edge-a/1"))
    result: AnchorAccepted = decode_result(AcceptAnchor, accepted.payload)
    assert result.statement == index.statement(1).digest()
    assert main.number_of(accepted.transaction) == accepted.element.number
    with pytest.raises(NotIndexed):
        main.number_of("00" * 32)


def test_an_index_goes_on_where_it_stopped_and_two_share_a_file(world, tmp_path):
    path = tmp_path / "i"
    first = ChainIndex(world.chains["edge-b"].ledger, world.parameters["edge-b"], path)
    second = ChainIndex(world.chains["edge-b"].ledger, world.parameters["edge-b"], path)
    blocks = iter(list(world.ledgers["edge-b"].blocks(0)))
    for index, block in zip([first, second] * 100, blocks, strict=False):
        index._take(block)  # taking turns: each finds that the other was faster
    assert first.sync() + second.sync() == 0 or first.statements() == second.statements()
    assert first.statements() == second.statements() == fresh(world, "edge-b", tmp_path / "o").statements()
    first.close()
    third = fresh(world, "edge-b", path)
    assert third.memberships([1, 2]) == second.memberships([1, 2])


def test_an_index_is_opened_while_another_process_goes_on_with_its_file(tmp_path, monkeypatch):
    """Between the reads of where it stands and of what lies after the last anchor others may write."""
    world = build_world(tmp_path, ("edge-a",))
    path = tmp_path / "i"
    device = world.enrol("edge-a", "late")
    other = fresh(world, "edge-a", path)
    stood = other.height
    world.submit_contents(device, [b"1", b"2"])
    read = IndexFile.one

    def one_and_then_others_write(file, sql, *values):
        row = read(file, sql, *values)
        if file is not other._file and "snapshot" in sql:
            other.sync()
        return row

    monkeypatch.setattr(IndexFile, "one", one_and_then_others_write)
    late = ChainIndex(world.chains["edge-a"].ledger, world.parameters["edge-a"], path)
    assert late.height == stood < other.height
    late.sync()
    assert (late.height, late.elements) == (other.height, other.elements)
    world.close()


def test_kept_witnesses_are_bounded_by_whole_ranges(tmp_path):
    world = build_world(tmp_path / "w", ("edge-a",))
    device = world.devices["edge-a", "meter-1"]
    for value in range(3):
        world.submit_contents(device, [b"%d" % value])
        world.interlock()
    index = fresh(world, "edge-a", tmp_path / "i", witness_limit=20)
    everything = index.memberships(range(1, index.statements()[-1].last + 1))
    database = sqlite3.connect(tmp_path / "i")
    kept = dict(database.execute("SELECT anchor, count(*) FROM membership_witness GROUP BY 1").fetchall())
    assert sum(kept.values()) <= 20 or len(kept) == 1
    assert max(kept) == index.anchor
    assert index.memberships(range(1, 6)) == everything[:5]
    world.close()


def large_range(folder):
    world = build_world(folder / "w", ("edge-a",))
    device = world.devices["edge-a", "meter-1"]
    for value in range(70):
        world.submit_contents(device, [b"%d" % value])
    world.interlock()
    index = fresh(world, "edge-a", folder / "i")
    return world, index, index.statements()[-1], sqlite3.connect(folder / "i")


def kept(database):
    return database.execute("SELECT count(*) FROM membership_witness").fetchone()[0]


def test_a_large_range_rents_single_witnesses_before_it_buys_a_group(tmp_path):
    world, index, statement, database = large_range(tmp_path)
    size = statement.last - statement.first + 1
    assert size > 64
    singles = [index.membership(statement.first + at) for at in range(3)]
    assert kept(database) == 3
    for at in range(3, 8):
        index.membership(statement.first + at)
    assert 8 < kept(database) < size
    assert index.memberships([one.number for one in singles]) == singles
    world.close()


def test_a_range_is_prepared_with_progress_and_goes_on_where_it_was_stopped(tmp_path):
    world, index, statement, database = large_range(tmp_path)
    size = statement.last - statement.first + 1
    seen = []
    with pytest.raises(Cancelled):
        index.prepare_witnesses(
            statement.number, lambda made, whole: seen.append((made, whole)), lambda: bool(seen)
        )
    assert seen == [(64, size)]
    assert 64 <= kept(database) <= size
    index.prepare_witnesses(statement.number, lambda made, whole: seen.append((made, whole)))
    assert seen[1:] == [(64, size), (size, size)]
    assert kept(database) == size
    other = fresh(world, "edge-a", tmp_path / "other")
    numbers = range(statement.first, statement.last + 1)
    assert index.memberships(numbers) == [other.membership(number) for number in numbers]
    with pytest.raises(Cancelled):
        other.prepare_witnesses(1, cancelled=lambda: True)
    with pytest.raises(NotIndexed):
        index.prepare_witnesses(99)
    world.close()


def test_threads_ask_side_by_side_over_many_ranges(tmp_path):
    world = build_world(tmp_path / "w", ("edge-a",))
    device = world.devices["edge-a", "meter-1"]
    for value in range(4):
        world.submit_contents(device, [b"%d" % value])
        world.interlock()
    alone, shared = (
        fresh(world, "edge-a", tmp_path / "a"),
        fresh(world, "edge-a", tmp_path / "s", witness_limit=9),
    )
    numbers = list(range(1, shared.statements()[-1].last + 1))
    expected = alone.memberships(numbers)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(shared.membership, number) for number in numbers * 4]
        assert [each.result() for each in asked] == expected * 4
    assert sum(map(len, shared._cache._ranges.values())) <= 9 or len(shared._cache._ranges) == 1
    world.close()


def test_a_ledger_that_hangs_holds_up_nobody_who_asks_for_what_was_read(world, tmp_path):
    fresh(world, "edge-a", tmp_path / "i").close()
    ledger = HungLedger(world.chains["edge-a"].ledger)
    index = ChainIndex(ledger, world.parameters["edge-a"], tmp_path / "i")
    with ThreadPoolExecutor(3) as pool:
        follows = [pool.submit(index.sync) for _ in range(2)]
        try:
            assert ledger.asked.wait(20)
            assert pool.submit(index.membership, 1).result(20).number == 1
            assert not any(each.done() for each in follows)
        finally:
            ledger.go.set()
        assert [each.result(20) for each in follows] == [0, 0]
    index.close()


def test_an_append_only_proof_is_made_once_and_holds_up_nobody(world, tmp_path, monkeypatch):
    index = fresh(world, "edge-a", tmp_path / "i")
    go, entered, made = threading.Event(), threading.Event(), []

    def prove(*arguments):
        made.append(arguments)
        entered.set()
        assert go.wait(60)
        return accumulator.append_only.prove_append_only(*arguments)

    monkeypatch.setattr("ledger.index.accumulator.prove_append_only", prove)
    with ThreadPoolExecutor(3) as pool:
        proofs = [pool.submit(index.append_only, 1) for _ in range(2)]
        try:
            assert entered.wait(20)
            assert pool.submit(index.membership, 1).result(20).number == 1
        finally:
            go.set()
        one, other = (each.result(20) for each in proofs)
    assert one == other
    assert len(made) == 1


def test_a_rolled_back_or_rewritten_ledger_is_refused(tmp_path):
    parameters = Parameters(DEALER, "edge-a")
    chain = make_chain(tmp_path / "one", "edge-a")
    before = tmp_path / "before.sqlite"
    index = ChainIndex(chain.ledger, parameters, tmp_path / "i")
    register(chain, b"1")
    copy_chain(chain.path, before)
    register(chain, b"2")
    index.sync()
    height = index.height
    chain.close()
    copy_chain(before, chain.path)
    rolled = chain.open()
    index = ChainIndex(rolled, parameters, tmp_path / "i")
    with pytest.raises(ChainDiverged, match="rolled back"):
        index.sync()
    chain.ledger = rolled
    register(chain, b"3")  # as high as before, but another history
    assert rolled.information().height == height
    with pytest.raises(ChainDiverged, match="rewritten"):
        index.sync()
    register(chain, b"4")  # and higher
    with pytest.raises(ChainDiverged, match="rewritten"):
        index.sync()
    rolled.close()


def register(chain, seed):
    organisation = Organisation("Org1MSP", seed.decode(), KeyPair.generate().spki)
    chain.ledger.acting_as(chain.signer("Org1MSP", Role.ADMIN)).submit(RegisterOrganisation(organisation))


def copy_chain(source, target):
    for old in target.parent.glob(target.name + "*"):
        old.unlink()
    with sqlite3.connect(source) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(source, target)


@pytest.mark.parametrize("damage", [b"garbage", "position", "prime"])
def test_a_damaged_file_is_named_and_can_be_deleted(world, tmp_path, damage):
    path = tmp_path / "i"
    fresh(world, "edge-a", path).close()
    if isinstance(damage, bytes):
        path.write_bytes(damage * 1000)
    else:
        with sqlite3.connect(path) as database:
            if damage == "position":
                database.execute("UPDATE position SET snapshot = x'7b7d'")
            else:
                database.execute("DELETE FROM element WHERE number = (SELECT max(number) FROM element)")
    with pytest.raises(IndexDamaged, match="delete it"):
        fresh(world, "edge-a", path)
    for file in tmp_path.glob("i*"):
        file.unlink()
    assert fresh(world, "edge-a", path).statements()


_READER = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from accumulator import Cancelled, Parameters
from ledger.embedded import EmbeddedLedger
from identity.keys import KeyPair
from identity.roles import Role
from ledger.index import ChainIndex
from ledger.index_file import IndexFile
from world import DEALER
ledger = EmbeddedLedger(Path({chain!r}))
index = ChainIndex(ledger, Parameters(DEALER, "edge-a"), Path({index!r}))
print("ready", flush=True)
index.sync()
"""


def test_killed_at_any_instant_it_loses_and_repeats_nothing(world, tmp_path):
    root = Path(__file__).parents[2]
    script = _READER.format(
        paths=[str(root), str(root / "tests" / "support")],
        chain=str(world.chains["edge-a"].path),
        index=str(tmp_path / "i"),
    )
    for delay in (0.0, 0.004, 0.008, 0.015):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with sqlite3.connect(tmp_path / "i") as database:
            row = database.execute("SELECT height FROM position").fetchone()
            blocks = database.execute("SELECT count(DISTINCT block) FROM element").fetchone()[0]
            assert blocks == (row[0] if row else 0)
    index = fresh(world, "edge-a", tmp_path / "i")
    other = fresh(world, "edge-a", tmp_path / "other")
    assert index.statements() == other.statements()
    assert [index.element(n) for n in range(1, index.elements + 1)] == [
        other.element(n) for n in range(1, other.elements + 1)
    ]
