"""What makes a record believed: its device's signature, the device's enrolment, and its place in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.errors import Check, Invalid, failing
from audit.evidence import Evidence, Shown
from chaincode.api import (
    BatchRecorded,
    Device,
    DeviceStatus,
    EnrolDevice,
    Grant,
    GrantDelegation,
    SubmitBatch,
    SubmitReading,
)
from identity.errors import IdentityError
from protocol.bundle import BatchEvidence
from protocol.encodings import encode, sha256
from protocol.errors import MerkleError, ProtocolError
from protocol.merkle import tree_root, verify_inclusion
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import record_id, verify_reading

__all__ = ["RecordFacts", "check_batches", "check_record"]


@dataclass(frozen=True)
class RecordFacts:
    """What is known of a verified record."""

    record: str
    chain: str
    device: str
    owner: str
    """MSP id of the device's owner."""
    signed_by: str
    """``device``, or ``gateway <name>`` where a granted gateway signed for it."""
    created: int
    """The signer's claim, seconds since 1970 UTC."""
    content_digest: str
    content_type: str


def check_record(evidence: Evidence, chain: str, record: bytes) -> RecordFacts:
    """Check a record up to the element that carries its batch.

    Raises:
        Unverifiable: a part is not in the bundle.
        Invalid: checks ``element``, ``device-enrolment``, ``delegation``, ``device-signature``.
    """
    where = f"record {record.hex()}"
    # 1. Its leaf (which ``check_batches`` has checked) and its batch's element.
    batch, shown_leaf = evidence.leaf(chain, record)
    leaf = shown_leaf.leaf
    carrier = evidence.element(batch.chain, batch.number)
    # 2. The device was enrolled before, and the key is its own, or one granted to a gateway for it.
    device, key = _key(evidence, chain, leaf, carrier, where)
    # 3. The signature holds under that key.
    with failing(Check.DEVICE_SIGNATURE, IdentityError, ProtocolError, where=where):
        verify_reading(chain, leaf.reading, key)
    return _facts(chain, leaf, device)


def check_batches(evidence: Evidence) -> None:
    """Check that every leaf is in the batch that its element recorded, and is what its own fields hash to.

    Raises:
        Unverifiable: the element is not in the bundle.
        Invalid: checks ``element``, ``record-id``, ``batch-path``.
    """
    for batch in evidence.bundle.batches:
        where = f"{batch.chain} batch {batch.number}"
        carrier = evidence.look_element(batch.chain, batch.number)
        if carrier.kind not in (SubmitBatch, SubmitReading):
            raise Invalid(Check.ELEMENT, f"{carrier.kind.FUNCTION} records no batch", carrier.where)
        for leaf in batch.leaves:
            with failing(Check.RECORD_ID, ProtocolError, where=where):
                if record_id(batch.chain, leaf.leaf.reading) != leaf.leaf.record:
                    raise Invalid(Check.RECORD_ID, "a record id is not the hash of its signature base", where)
        recorded: BatchRecorded = carrier.result
        if batch.whole:
            _check_whole(batch, recorded, where)
            continue
        for leaf in batch.leaves:
            with failing(Check.BATCH_PATH, MerkleError, ValueError, where=where):
                verify_inclusion(recorded.root, recorded.count, leaf.index, encode(leaf.leaf), leaf.path)


def _check_whole(batch: BatchEvidence, recorded: BatchRecorded, where: str) -> None:
    if len(batch.leaves) != recorded.count:
        raise Invalid(
            Check.BATCH_PATH, f"{len(batch.leaves)} leaves of {recorded.count}, without paths", where
        )
    if tree_root(encode(leaf.leaf) for leaf in batch.leaves) != recorded.root:
        raise Invalid(Check.BATCH_PATH, "the leaves do not make the recorded root", where)


def _key(
    evidence: Evidence, chain: str, leaf: RecordLeaf, carrier: Shown[Any], where: str
) -> tuple[Device, bytes]:
    reading = leaf.reading
    enrolled = evidence.find(EnrolDevice, chain, reading.device)
    device: Device = enrolled.result
    if enrolled.proven.number >= carrier.proven.number or device.status is not DeviceStatus.ACTIVE:
        raise Invalid(Check.DEVICE_ENROLMENT, "the device was not enrolled when it was recorded", where)
    name, _, gateway = reading.keyid.partition("@")
    if name != reading.device:
        raise Invalid(Check.DEVICE_ENROLMENT, "the key's name is not the device's", where)
    if not gateway:
        _check_same_key(Check.DEVICE_ENROLMENT, reading, leaf.key, device.algorithm, device.key, where)
        return device, device.key
    granted = evidence.find_before(
        GrantDelegation,
        chain,
        reading.keyid,
        carrier.proven.number,
        lambda grant: grant.active and sha256(grant.key) == leaf.key,
    )
    grant: Grant = granted.result
    _check_same_key(Check.DELEGATION, reading, leaf.key, grant.algorithm, grant.key, where)
    return device, grant.key


def _check_same_key(
    check: Check, reading: SignedReading, fingerprint: bytes, algorithm: str, key: bytes, where: str
) -> None:
    if sha256(key) != fingerprint:
        raise Invalid(check, "the leaf names another key than was enrolled", where)
    if reading.algorithm != algorithm:
        raise Invalid(check, f"the key was enrolled for {algorithm}", where)


def _facts(chain: str, leaf: RecordLeaf, device: Device) -> RecordFacts:
    reading = leaf.reading
    gateway = reading.keyid.partition("@")[2]
    return RecordFacts(
        record=leaf.record.hex(),
        chain=chain,
        device=reading.device,
        owner=device.owner,
        signed_by=f"gateway {gateway}" if gateway else "device",
        created=reading.created,
        content_digest=reading.content_digest.hex(),
        content_type=reading.content_type,
    )
