"""A record's own rules, against what a colluding chain could have recorded."""

from dataclasses import replace

import pytest
from editing import edited
from world import empty_world

from audit.errors import AuditError, Check, Invalid, Unverifiable
from audit.evidence import Evidence
from audit.records import check_batches, check_record
from audit.verifier import verify_bundle
from identity.keys import KeyPair
from protocol.encodings import sha256


def check(bundle):
    evidence = Evidence(bundle)
    check_batches(evidence)
    return check_record(evidence, bundle.chain, bytes.fromhex(bundle.subject))


def refused(bundle, check_name):
    with pytest.raises(AuditError) as refusal:
        check(bundle)
    assert refusal.value.check is check_name
    return refusal.value


@pytest.fixture(scope="module")
def delegated(tmp_path_factory):
    """A world in which a gateway signed for a device; the record's bundle."""
    world = empty_world(tmp_path_factory.mktemp("delegated"))
    device = world.enrol("edge-a", "meter-1", "ecdsa-p256-sha256")
    key = world.grant(device, "gate")
    world.submit("edge-a", [world.read(device, b"1", gateway="gate", key=key), world.read(device, b"2")])
    world.interlock()
    world.trusted = world.trust()
    yield world
    world.close()


@pytest.fixture
def bundle(world):
    return world.prover.record_bundle("edge-a", world.records["edge-a"][1])


@pytest.fixture
def by_gateway(delegated):
    return delegated.prover.record_bundle("edge-a", delegated.records["edge-a"][0])


def test_the_facts_are_those_of_the_reading(world, bundle):
    facts = check(bundle)
    assert (facts.device, facts.owner, facts.signed_by, facts.chain) == (
        "meter-1",
        "edge-a-1",
        "device",
        "edge-a",
    )
    assert facts.record == bundle.subject


def test_a_gateways_signature_is_told_from_a_devices(delegated, by_gateway):
    assert verify_bundle(by_gateway, delegated.trusted).facts.signed_by == "gateway gate"
    own = delegated.prover.record_bundle("edge-a", delegated.records["edge-a"][1])
    assert verify_bundle(own, delegated.trusted).facts.signed_by == "device"


def test_a_chain_that_records_a_bad_signature_is_refuted(tmp_path, monkeypatch):
    monkeypatch.setattr("chaincode.records.verify_key", lambda *_: None)  # all of the edge's peers collude
    world = empty_world(tmp_path)
    device = world.enrol("edge-a", "meter-1")
    reading = world.read(device, b"1")
    world.submit("edge-a", [replace(reading, signature=bytes(64))])
    world.interlock()
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    with pytest.raises(Invalid) as refusal:
        verify_bundle(bundle, world.trust())
    assert refusal.value.check is Check.DEVICE_SIGNATURE
    world.close()


def test_another_key_under_the_devices_name_is_refused(bundle):
    other = KeyPair.generate().spki.hex()
    refused(edited(bundle, "devices:enrol", lambda one: one.update(key=other)), Check.DEVICE_ENROLMENT)


def test_another_algorithm_is_refused(bundle):
    changed = edited(bundle, "devices:enrol", lambda one: one.update(algorithm="ecdsa-p256-sha256"))
    refused(changed, Check.DEVICE_ENROLMENT)


@pytest.mark.parametrize("status", ["suspended", "retired"])
def test_an_enrolment_that_is_not_active_is_refused(bundle, status):
    refused(edited(bundle, "devices:enrol", lambda one: one.update(status=status)), Check.DEVICE_ENROLMENT)


def test_a_device_enrolled_after_its_record_is_refused(bundle):
    late = edited(bundle, "devices:enrol", lambda one: None, number=10_000)
    refused(late, Check.DEVICE_ENROLMENT)


def test_another_devices_enrolment_does_not_do(bundle):
    other = edited(bundle, "devices:enrol", lambda one: one.update(device="meter-2"))
    assert isinstance(refused(other, Check.MISSING), Unverifiable)


def test_an_invalid_element_records_nothing(bundle):
    changed = edited(bundle, "records:submitBatch", lambda one: None, code=11)
    refused(changed, Check.ELEMENT)


def test_another_functions_answer_is_no_batch(bundle):
    (batch,) = bundle.batches
    enrolled = next(one for one in bundle.elements if "devices:enrol" in one.payload)
    refused(replace(bundle, batches=(replace(batch, number=enrolled.number),)), Check.ELEMENT)


def test_a_count_that_is_not_the_batchs_is_refused(bundle, world):
    refused(edited(bundle, "records:submitBatch", lambda one: one.update(count=2)), Check.BATCH_PATH)
    alone = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    refused(edited(alone, "records:submit", lambda one: one.update(count=2)), Check.BATCH_PATH)
    refused(edited(alone, "records:submit", lambda one: one.update(root="00" * 32)), Check.BATCH_PATH)


def test_a_grant_must_be_active_of_that_gateway_and_before_the_record(by_gateway):
    grant = "devices:grant"
    refused(edited(by_gateway, grant, lambda one: one.update(active=False)), Check.MISSING)
    refused(edited(by_gateway, grant, lambda one: one.update(gateway="other")), Check.MISSING)
    refused(edited(by_gateway, grant, lambda one: one.update(device="other")), Check.MISSING)
    refused(
        edited(by_gateway, grant, lambda one: one.update(key=KeyPair.generate().spki.hex())), Check.MISSING
    )
    refused(edited(by_gateway, grant, lambda one: None, number=10_000), Check.MISSING)
    wrong = edited(by_gateway, grant, lambda one: one.update(algorithm="ecdsa-p256-sha256"))
    refused(wrong, Check.DELEGATION)


def test_a_delegated_record_needs_the_devices_enrolment_too(by_gateway):
    less = tuple(one for one in by_gateway.elements if "devices:enrol" not in one.payload)
    refused(replace(by_gateway, elements=less), Check.MISSING)


def test_a_record_shown_twice_is_refused(bundle):
    (batch,) = bundle.batches
    twice = (batch, replace(batch, number=batch.number + 1))
    with pytest.raises(Invalid) as refusal:
        Evidence(replace(bundle, batches=twice))
    assert refusal.value.check is Check.UNUSED


@pytest.mark.parametrize(
    "payload", ["", "{}", "[]", "null", '{"result":{},"type":"devices:enrol"}', '{"type":7}']
)
def test_a_payload_that_no_rule_can_use_is_refused(bundle, payload):
    elements = (replace(bundle.elements[0], payload=payload), *bundle.elements[1:])
    with pytest.raises(Invalid) as refusal:
        Evidence(replace(bundle, elements=elements))
    assert refusal.value.check is Check.ELEMENT


def test_the_content_digest_is_what_the_store_is_asked_for(world, bundle):
    assert (
        sha256(world.contents[bytes.fromhex(check(bundle).content_digest)]).hex()
        == check(bundle).content_digest
    )
