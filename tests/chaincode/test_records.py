from __future__ import annotations

from dataclasses import replace

import pytest
from contract_people import ANYBODY, GATEWAY, People
from world_state import ReadConflict, caller

from chaincode.api import (
    DeviceStatus,
    FindNonce,
    GetRecord,
    GrantDelegation,
    OwnerAuthorisation,
    SetDeviceStatus,
    StoredRecord,
    SubmitBatch,
    SubmitReading,
)
from chaincode.errors import AccessDenied, BadRecords, InvalidArgument, NotFound
from chaincode.records import MAX_AGE_MS, MAX_AHEAD_MS
from identity import ECDSA_P256_SHA256, KeyPair, Role
from protocol.encodings import encode, sha256
from protocol.merkle import tree_root
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import record_id

NOBODY = OwnerAuthorisation("ed25519", b"")


def refusals(people: People, *readings: SignedReading) -> list[tuple[int, str]]:
    with pytest.raises(BadRecords) as caught:
        people.chain.submit(SubmitBatch(readings), GATEWAY)
    details = caught.value.details
    assert isinstance(details, list)
    return [(entry["index"], entry["code"]) for entry in details]


def test_a_batch_is_recorded_under_one_root(people: People) -> None:
    people.enrol("camera-1")
    people.enrol("camera-2", ECDSA_P256_SHA256)
    readings = (
        people.reading("camera-1", "n1"),
        people.reading("camera-2", "n1"),
        people.reading("camera-1", "n2", content_type="application/json; charset=utf-8"),
    )
    result = people.chain.submit(SubmitBatch(readings), GATEWAY)
    leaves = [
        RecordLeaf(record_id("edge-a", reading), sha256(people.keys[reading.device].spki), reading)
        for reading in readings
    ]
    assert result.count == 3
    assert result.root == tree_root([encode(leaf) for leaf in leaves])
    transaction = people.chain.committed[-1].transaction
    for index, leaf in enumerate(leaves):
        stored = people.chain.evaluate(GetRecord(leaf.record))
        assert stored == StoredRecord(leaf, transaction, index, 3)
    assert people.chain.evaluate(FindNonce("camera-2", "n1")).record == leaves[1].record
    assert people.chain.evaluate(FindNonce("camera-2", "n9")).record == b""


def test_every_reading_that_the_grammar_passes_is_written_in_canonical_form(people: People) -> None:
    """The contract puts the forms together by hand: each field at its bounds, whatever JSON escapes in it."""
    people.enrol("camera-1")
    people.enrol("Z9" + "a._:-" * 12 + "zz")
    types = ["a/b", 'a/b; c="x y"', 'a/b;c="\t!#[]~/"', "a/b \t;\t c=d", "!#$%&'*+.^_`|~/x-1"]
    readings = tuple(
        people.reading(device, f"n{number}", content_type=kind, data=bytes([number]))
        for device in people.keys
        for number, kind in enumerate(types)
    )
    longest = people.reading("camera-1", "A_-9" * 16, data=b"\xff" * 100)
    result = people.chain.submit(SubmitBatch((*readings, longest)), GATEWAY)
    leaves = [
        RecordLeaf(record_id("edge-a", reading), sha256(people.keys[reading.device].spki), reading)
        for reading in (*readings, longest)
    ]
    assert result.root == tree_root([encode(leaf) for leaf in leaves])
    for leaf in leaves:
        assert people.chain.evaluate(GetRecord(leaf.record)).leaf == leaf
        assert people.chain.evaluate(FindNonce(leaf.reading.device, leaf.reading.nonce)).record == leaf.record


def test_one_reading_is_a_batch_of_one(people: People) -> None:
    people.enrol("camera-1")
    reading = people.reading()
    single = people.chain.simulate(SubmitReading(reading), GATEWAY)
    batch = people.chain.simulate(SubmitBatch((reading,)), GATEWAY)
    assert single.result == batch.result


def test_a_transaction_writes_only_keys_of_its_own(people: People) -> None:
    people.enrol("camera-1")
    first = people.chain.simulate(SubmitReading(people.reading(nonce="n1")), GATEWAY)
    second = people.chain.simulate(SubmitReading(people.reading(nonce="n2")), GATEWAY)
    assert not first.simulation.ranges
    assert first.simulation.reads.keys() == {"device/camera-1", "nonce/camera-1/n1"}
    assert {key.split("/")[0] for key in first.simulation.writes} == {"record", "nonce", "leaves"}
    people.chain.commit(first)
    people.chain.commit(second)


def test_the_device_is_proved_current_at_commit(people: People) -> None:
    people.enrol("camera-1")
    pending = people.chain.simulate(SubmitReading(people.reading()), GATEWAY)
    suspend(people, "camera-1")
    with pytest.raises(ReadConflict):
        people.chain.commit(pending)


def suspend(
    people: People, device: str, to: DeviceStatus = DeviceStatus.SUSPENDED, sequence: int = 2
) -> None:
    blank = SetDeviceStatus(device, to, sequence, NOBODY)
    people.chain.submit(replace(blank, authorisation=people.authorise(blank)), ANYBODY)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.GATEWAY])
def test_only_a_gateway_records(people: People, role: Role) -> None:
    people.enrol("camera-1")
    with pytest.raises(AccessDenied):
        people.chain.submit(SubmitReading(people.reading()), caller("A1", role))


def test_a_batch_is_of_1_to_512(people: People) -> None:
    people.enrol("camera-1")
    with pytest.raises(InvalidArgument):
        people.chain.submit(SubmitBatch(()), GATEWAY)
    # Short names, so that 513 stay below the limit of an argument's size.
    reading = people.reading()
    with pytest.raises(InvalidArgument):
        people.chain.submit(SubmitBatch((reading,) * 513), GATEWAY)


def test_a_full_batch_passes(people: People) -> None:
    people.enrol("camera-1")
    readings = tuple(people.reading(nonce=f"n{number}") for number in range(512))
    assert len(encode(SubmitBatch(readings))) <= 256 * 1024
    assert people.chain.submit(SubmitBatch(readings), GATEWAY).count == 512
    for index in (0, 31, 32, 33, 500, 511):
        stored = people.chain.evaluate(GetRecord(record_id("edge-a", readings[index])))
        assert (stored.leaf.reading, stored.index, stored.count) == (readings[index], index, 512)


def test_every_bad_reading_is_named_and_none_is_recorded(people: People) -> None:
    people.enrol("camera-1")
    people.enrol("suspended")
    suspend(people, "suspended")
    people.enrol("retired")
    suspend(people, "retired", DeviceStatus.RETIRED)
    people.keys["unknown"] = KeyPair.generate()
    now = people.chain.now_ms // 1000
    good = people.reading(nonce="good")
    # Canonical, with each covered field or the signature altered after signing.
    altered = replace(people.reading(nonce="altered"), content_digest=sha256(b"other"))
    truncated = replace(people.reading(nonce="short"), signature=b"\x01" * 63)
    readings = (
        good,
        people.reading("unknown", "n"),
        people.reading("suspended", "n"),
        people.reading("retired", "n"),
        altered,
        truncated,
        people.reading(nonce="other-chain", chain="edge-b"),
        people.reading(nonce="other-key", key=people.keys["unknown"]),
        people.reading(nonce="algorithm", key=KeyPair.generate(ECDSA_P256_SHA256)),
        people.reading(nonce="old", created=now - MAX_AGE_MS // 1000 - 1),
        people.reading(nonce="new", created=now + MAX_AHEAD_MS // 1000 + 1),
        good,
        people.reading(nonce="good", data=b"another"),
        replace(good, nonce="a/b"),
        replace(good, nonce="n" * 65),
        replace(good, content_type="text"),
        replace(good, content_digest=b"\x00" * 31),
        replace(good, keyid="camera-2"),
        replace(good, created=-1),
        people.reading(nonce="grantless", keyid="camera-1@gw"),
    )
    before = dict(people.chain.world.values)
    assert refusals(people, *readings) == [
        (1, "unknown-device"),
        (2, "suspended-device"),
        (3, "retired-device"),
        (4, "bad-signature"),
        (5, "bad-signature"),
        (6, "bad-signature"),
        (7, "bad-signature"),
        (8, "wrong-algorithm"),
        (9, "stale"),
        (10, "future"),
        (11, "duplicate-record"),
        (12, "replayed-nonce"),
        (13, "malformed"),
        (14, "malformed"),
        (15, "malformed"),
        (16, "malformed"),
        (17, "malformed"),
        (18, "malformed"),
        (19, "unknown-grant"),
    ]
    assert people.chain.world.values == before


def test_the_window_of_time_is_closed_at_both_ends(people: People) -> None:
    people.enrol("camera-1")
    now = people.chain.now_ms // 1000
    readings = (
        people.reading(nonce="old", created=now - MAX_AGE_MS // 1000),
        people.reading(nonce="new", created=now + MAX_AHEAD_MS // 1000),
    )
    assert people.chain.submit(SubmitBatch(readings), GATEWAY).count == 2


def test_what_is_recorded_is_refused_again(people: People) -> None:
    people.enrol("camera-1")
    reading = people.reading()
    people.chain.submit(SubmitReading(reading), GATEWAY)
    assert refusals(people, reading, people.reading(data=b"other")) == [
        (0, "duplicate-record"),
        (1, "replayed-nonce"),
    ]


def test_two_uses_of_a_nonce_conflict_at_commit(people: People) -> None:
    people.enrol("camera-1")
    first = people.chain.simulate(SubmitReading(people.reading(data=b"1")), GATEWAY)
    second = people.chain.simulate(SubmitReading(people.reading(data=b"2")), GATEWAY)
    people.chain.commit(first)
    with pytest.raises(ReadConflict, match="nonce/camera-1/n1"):
        people.chain.commit(second)


def test_a_refused_reading_does_not_use_up_its_nonce(people: People) -> None:
    people.enrol("camera-1")
    forged = replace(people.reading(data=b"forged"), signature=b"\x01" * 64)
    assert refusals(people, forged, people.reading()) == [(0, "bad-signature")]


def test_a_granted_gateway_signs_until_the_grant_is_taken_back(people: People) -> None:
    people.enrol("camera-1")
    key = KeyPair.generate(ECDSA_P256_SHA256)
    for sequence, active in ((1, True), (2, False)):
        blank = GrantDelegation("camera-1", "gw", key.algorithm, key.spki, active, sequence, NOBODY)
        people.chain.submit(replace(blank, authorisation=people.authorise(blank)), ANYBODY)
        reading = people.reading(nonce=f"n{sequence}", keyid="camera-1@gw", key=key)
        if active:
            people.chain.submit(SubmitReading(reading), GATEWAY)
            stored = people.chain.evaluate(GetRecord(record_id("edge-a", reading)))
            assert stored.leaf.key == sha256(key.spki)
        else:
            assert refusals(people, reading) == [(0, "revoked-grant")]


def test_a_suspended_device_records_nothing_through_a_gateway(people: People) -> None:
    people.enrol("camera-1")
    key = KeyPair.generate()
    blank = GrantDelegation("camera-1", "gw", key.algorithm, key.spki, True, 1, NOBODY)
    people.chain.submit(replace(blank, authorisation=people.authorise(blank)), ANYBODY)
    suspend(people, "camera-1")
    assert refusals(people, people.reading(keyid="camera-1@gw", key=key)) == [(0, "suspended-device")]


def test_queries_refuse_what_is_no_id(people: People) -> None:
    with pytest.raises(NotFound):
        people.chain.evaluate(GetRecord(b"\x00" * 32))
    with pytest.raises(InvalidArgument):
        people.chain.evaluate(GetRecord(b"\x00" * 31))
    with pytest.raises(InvalidArgument):
        people.chain.evaluate(FindNonce("camera-1", "a/b"))
    with pytest.raises(InvalidArgument):
        people.chain.evaluate(FindNonce("a/b", "n"))
