"""Type-I records: what the chain keeps of a device's readings (seed 003, section V.A).

A reading's transaction reads the device (and the grant), so that MVCC proves them current, and writes keys
of its own alone: the record and its nonce. The record id is the hash of the signature base, which names the
device and the nonce; an unused nonce therefore implies an unused record id, and one state read a reading is
enough to refuse both kinds of repetition.

Cost: one signature verification and one state read a reading, one more read a device and grant of the batch.
"""

from __future__ import annotations

from typing import Final

from chaincode.api import (
    BatchRecorded,
    Device,
    DeviceStatus,
    FindNonce,
    GetRecord,
    Grant,
    NonceUse,
    StoredRecord,
    SubmitBatch,
    SubmitReading,
)
from chaincode.context import Context
from chaincode.devices import device_key, grant_key
from chaincode.errors import BadRecords, InvalidArgument
from chaincode.names import check_digest, check_name, is_nonce
from identity import IdentityError, Role, verify_key
from protocol.encodings import canonical_json, sha256
from protocol.errors import InvalidSignatureBase
from protocol.merkle import tree_root
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import signature_base

__all__ = ["MAX_AGE_MS", "MAX_AHEAD_MS", "MAX_BATCH", "find_nonce", "get", "submit", "submit_batch"]

MAX_BATCH: Final = 512
"""Readings in one transaction."""

MAX_AGE_MS: Final = (60 + 600) * 1000
"""How far a signature's time may lie behind the transaction's. The gateway took the reading within 60 s; ten
minutes more let it submit again, after a crash, what it has stored and acknowledged to nobody yet."""

MAX_AHEAD_MS: Final = (60 + 5) * 1000
"""How far a signature's time may lie ahead of the transaction's: the gateway's 60 s, and 5 s for a clock that
is set back in between."""


class _Refused(Exception):
    """One reading is refused; code and message go into ``BadRecords.details``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def record_key(record: bytes) -> str:
    """State key of a record."""
    return f"record/{record.hex()}"


def nonce_key(device: str, nonce: str) -> str:
    """State key of a device's nonce."""
    return f"nonce/{device}/{nonce}"


def submit(context: Context, message: SubmitReading) -> BatchRecorded:
    """Record one reading: a batch of one. By a gateway.

    Raises:
        AccessDenied: the caller is no gateway.
        BadRecords: the reading is refused.
    """
    return _record(context, (message.reading,))


def submit_batch(context: Context, message: SubmitBatch) -> BatchRecorded:
    """Record 1 to 512 readings under one RFC 6962 root, or none of them. By a gateway.

    Raises:
        AccessDenied: the caller is no gateway.
        InvalidArgument: no reading, or more than 512.
        BadRecords: every refused reading with its index, code and message. Codes: ``malformed``,
            ``unknown-device``, ``suspended-device``, ``retired-device``, ``unknown-grant``,
            ``revoked-grant``, ``wrong-algorithm``, ``stale``, ``future``, ``duplicate-record``,
            ``replayed-nonce``, ``bad-signature``.
    """
    return _record(context, message.readings)


def get(context: Context, message: GetRecord) -> StoredRecord:
    """A record as the chain keeps it.

    Raises:
        InvalidArgument: not a record id.
        NotFound: no such record.
    """
    check_digest(message.record, "record")
    return context.require(StoredRecord, record_key(message.record), f"record {message.record.hex()}")


def find_nonce(context: Context, message: FindNonce) -> NonceUse:
    """Which record used a nonce; an empty one when none did.

    Raises:
        InvalidArgument: not a device's name, or not a nonce.
    """
    check_name(message.device, "device")
    if not is_nonce(message.nonce):
        raise InvalidArgument("not a nonce")
    return context.read(NonceUse, nonce_key(message.device, message.nonce)) or NonceUse(b"")


def _record(context: Context, readings: tuple[SignedReading, ...]) -> BatchRecorded:
    context.require_role(Role.GATEWAY)
    if not 1 <= len(readings) <= MAX_BATCH:
        raise InvalidArgument(f"a batch has 1 to {MAX_BATCH} readings, not {len(readings)}")
    keys = _Keys(context)
    leaves: list[RecordLeaf] = []
    seen: dict[tuple[str, str], bytes] = {}
    bad = []
    for index, reading in enumerate(readings):
        try:
            leaves.append(_check(context, reading, keys, seen))
        except _Refused as refused:
            bad.append({"index": index, "code": refused.code, "message": str(refused)})
    if bad:
        raise BadRecords(f"{len(bad)} of {len(readings)} readings are refused", bad)
    encoded = [_leaf(leaf) for leaf in leaves]
    transaction = canonical_json(context.transaction_id)
    for index, (leaf, raw) in enumerate(zip(leaves, encoded, strict=True)):
        context.state.put(record_key(leaf.record), _stored(raw, transaction, index, len(leaves)))
        context.state.put(nonce_key(leaf.reading.device, leaf.reading.nonce), _use(leaf.record))
    return BatchRecorded(tree_root(encoded), len(leaves))


# The canonical forms of what each reading writes, put together by hand: encoding them field by field would be
# the dearest part of a batch after the signatures. What stands between quotes here needs no escape, because
# the signature base's grammar has passed it; the tests compare every form with ``encode``.


def _leaf(leaf: RecordLeaf) -> bytes:
    """The canonical form of a ``RecordLeaf`` whose reading has passed ``_check``."""
    reading = leaf.reading
    return (
        f'{{"key":"{leaf.key.hex()}","reading":{{"algorithm":"{reading.algorithm}",'
        f'"content_digest":"{reading.content_digest.hex()}",'
        f'"content_type":{canonical_json(reading.content_type).decode()},'
        f'"created":{reading.created},"device":"{reading.device}","keyid":"{reading.keyid}",'
        f'"nonce":"{reading.nonce}","signature":"{reading.signature.hex()}"}},"record":"{leaf.record.hex()}"}}'
    ).encode("ascii")


def _use(record: bytes) -> bytes:
    """The canonical form of a ``NonceUse``."""
    return f'{{"record":"{record.hex()}"}}'.encode("ascii")


def _stored(leaf: bytes, transaction: bytes, index: int, count: int) -> bytes:
    """The canonical form of a ``StoredRecord`` from that of its leaf, which is half the batch's encoding."""
    return b'{"count":%d,"index":%d,"leaf":%b,"transaction":%b}' % (count, index, leaf, transaction)


def _check(
    context: Context, reading: SignedReading, keys: _Keys, seen: dict[tuple[str, str], bytes]
) -> RecordLeaf:
    try:
        base = signature_base(context.chain, reading)  # checks every covered field's grammar
    except InvalidSignatureBase as error:
        raise _Refused("malformed", str(error)) from error
    gateway = reading.keyid.partition("@")[2] or None
    algorithm, key, fingerprint = keys.of(reading.device, gateway)
    if reading.algorithm != algorithm:
        raise _Refused("wrong-algorithm", f"the enrolled key is of {algorithm}")
    age = context.timestamp_ms - reading.created * 1000
    if age > MAX_AGE_MS:
        raise _Refused("stale", f"signed {age // 1000} s before the transaction")
    if age < -MAX_AHEAD_MS:
        raise _Refused("future", f"signed {-age // 1000} s after the transaction")
    record = sha256(base)
    slot = (reading.device, reading.nonce)
    use = context.read(NonceUse, nonce_key(*slot))
    used = use.record if use is not None else seen.get(slot)
    if used == record:
        raise _Refused("duplicate-record", "this very reading is recorded already")
    if used is not None:
        raise _Refused("replayed-nonce", "the device used this nonce for another reading")
    try:
        verify_key(key, algorithm, base, reading.signature)
    except IdentityError as error:
        raise _Refused("bad-signature", str(error)) from error
    seen[slot] = record
    return RecordLeaf(record, fingerprint, reading)


class _Keys:
    """The keys that may sign in this batch, each looked up once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found: dict[tuple[str, str | None], tuple[str, bytes, bytes] | _Refused] = {}

    def of(self, device: str, gateway: str | None) -> tuple[str, bytes, bytes]:
        """Algorithm, SubjectPublicKeyInfo and its SHA-256.

        Raises:
            _Refused: the device or the grant is unknown, or not active.
        """
        name = (device, gateway)
        if name not in self._found:
            try:
                algorithm, key = self._look_up(device, gateway)
                self._found[name] = (algorithm, key, sha256(key))
            except _Refused as refused:
                self._found[name] = refused
        found = self._found[name]
        if isinstance(found, _Refused):
            raise _Refused(found.code, str(found))
        return found

    def _look_up(self, device: str, gateway: str | None) -> tuple[str, bytes]:
        enrolled = self._context.read(Device, device_key(device))
        if enrolled is None:
            raise _Refused("unknown-device", f"device {device} is not enrolled")
        if enrolled.status is not DeviceStatus.ACTIVE:
            raise _Refused(f"{enrolled.status.value}-device", f"device {device} is {enrolled.status.value}")
        if gateway is None:
            return enrolled.algorithm, enrolled.key
        grant = self._context.read(Grant, grant_key(device, gateway))
        if grant is None:
            raise _Refused("unknown-grant", f"gateway {gateway} has no grant of device {device}")
        if not grant.active:
            raise _Refused(
                "revoked-grant", f"the grant of device {device} to gateway {gateway} is taken back"
            )
        return grant.algorithm, grant.key
