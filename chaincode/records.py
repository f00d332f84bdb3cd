"""Type-I records: what the chain keeps of a device's readings (seed 003, section V.A).

A reading's transaction reads the device (and the grant), so that MVCC proves them current, and writes keys
of its own alone: the record, its nonce, and the batch's leaves. The record id is the hash of the signature
base, which names the device and the nonce; an unused nonce therefore implies an unused record id, and one
state read a reading is enough to refuse both kinds of repetition.

Records have keys in no order, and so have nonces unless the device begins them with the time. A peer's
database writes such entries again and again as it grows: with whole leaves in them that was most of a peer's
time. They are therefore small; a record's says where its leaf is, which lies with its neighbours under a key
that begins with the time.

Cost: one signature verification a reading; one read of many keys a batch: each reading's nonce, each device
and each grant.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import Any, Final

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
from chaincode.errors import BadRecords, InvalidArgument, NotFound
from chaincode.names import check_digest, check_name, is_nonce
from identity import IdentityError, Role, verify_key
from protocol.encodings import canonical_json, decode, parse_json, sha256
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


_NONCES: Final = "nonce/"
_TOGETHER: Final = 32  # leaves under one key: one is read with its neighbours


def record_key(record: bytes) -> str:
    """State key of a record; the value is a ``_Place``."""
    return f"record/{record.hex()}"


def nonce_key(device: str, nonce: str) -> str:
    """State key of a device's nonce; the value is the record's id."""
    return f"{_NONCES}{device}/{nonce}"


@dataclass(frozen=True)
class _Place:
    """Where a record is: time and id of its transaction, index and size of its batch."""

    time_ms: int
    transaction: str
    index: int
    count: int

    def to_bytes(self) -> bytes:
        return f"{self.time_ms}/{self.transaction}/{self.index}/{self.count}".encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> _Place:
        time_ms, transaction, index, count = raw.decode().split("/")
        return cls(int(time_ms), transaction, int(index), int(count))

    @property
    def key(self) -> str:
        """State key of the leaves that lie together with this record's; in order of time."""
        return f"leaves/{self.time_ms:015}/{self.transaction}/{self.index // _TOGETHER:02}"


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
    raw = context.state.get(record_key(message.record))
    if raw is None:
        raise NotFound(f"record {message.record.hex()} is not known on {context.chain}")
    place = _Place.from_bytes(raw)
    leaf = _leaf_of(message.record, _require(context, place.key)[place.index % _TOGETHER])
    return StoredRecord(leaf, place.transaction, place.index, place.count)


def find_nonce(context: Context, message: FindNonce) -> NonceUse:
    """Which record used a nonce; an empty one when none did.

    Raises:
        InvalidArgument: not a device's name, or not a nonce.
    """
    check_name(message.device, "device")
    if not is_nonce(message.nonce):
        raise InvalidArgument("not a nonce")
    return NonceUse(context.state.get(nonce_key(message.device, message.nonce)) or b"")


def _record(context: Context, readings: tuple[SignedReading, ...]) -> BatchRecorded:
    context.require_role(Role.GATEWAY)
    if not 1 <= len(readings) <= MAX_BATCH:
        raise InvalidArgument(f"a batch has 1 to {MAX_BATCH} readings, not {len(readings)}")
    bases = [_base(context.chain, reading) for reading in readings]
    state = _State(
        context, [reading for reading, base in zip(readings, bases, strict=True) if isinstance(base, bytes)]
    )
    leaves: list[RecordLeaf] = []
    bad = []
    for index, (reading, base) in enumerate(zip(readings, bases, strict=True)):
        try:
            if isinstance(base, _Refused):
                raise base
            leaves.append(_check(context, reading, base, state))
        except _Refused as refused:
            bad.append({"index": index, "code": refused.code, "message": str(refused)})
    if bad:
        raise BadRecords(f"{len(bad)} of {len(readings)} readings are refused", bad)
    for index, leaf in enumerate(leaves):
        place = _Place(context.timestamp_ms, context.transaction_id, index, len(leaves))
        context.state.put(record_key(leaf.record), place.to_bytes())
        context.state.put(nonce_key(leaf.reading.device, leaf.reading.nonce), leaf.record)
        if index % _TOGETHER == 0:
            rows = [_row(leaf) for leaf in leaves[index : index + _TOGETHER]]
            context.state.put(place.key, canonical_json(rows))
    return BatchRecorded(tree_root([_encoded(leaf) for leaf in leaves]), len(leaves))


def _encoded(leaf: RecordLeaf) -> bytes:
    """The canonical form of a ``RecordLeaf`` whose reading has passed ``_check``.

    Put together by hand: encoding it field by field would be the dearest part of a batch after the
    signatures. What stands between quotes here needs no escape, because the signature base's grammar has
    passed it; the tests compare with ``encode``.
    """
    reading = leaf.reading
    return (
        f'{{"key":"{leaf.key.hex()}","reading":{{"algorithm":"{reading.algorithm}",'
        f'"content_digest":"{reading.content_digest.hex()}",'
        f'"content_type":{canonical_json(reading.content_type).decode()},'
        f'"created":{reading.created},"device":"{reading.device}","keyid":"{reading.keyid}",'
        f'"nonce":"{reading.nonce}","signature":"{reading.signature.hex()}"}},"record":"{leaf.record.hex()}"}}'
    ).encode("ascii")


def _row(leaf: RecordLeaf) -> list[Any]:
    """A leaf as the state keeps it: without what its record's key says, and bytes as base64."""
    reading = leaf.reading
    return [
        reading.device,
        reading.keyid,
        reading.algorithm,
        reading.created,
        reading.nonce,
        _base64(reading.content_digest),
        reading.content_type,
        _base64(reading.signature),
        _base64(leaf.key),
    ]


def _leaf_of(record: bytes, row: list[Any]) -> RecordLeaf:
    device, keyid, algorithm, created, nonce, digest, content_type, signature, key = row
    reading = SignedReading(
        device, keyid, algorithm, created, nonce, a2b_base64(digest), content_type, a2b_base64(signature)
    )
    return RecordLeaf(record, a2b_base64(key), reading)


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def _require(context: Context, key: str) -> list[list[Any]]:
    raw = context.state.get(key)
    assert raw is not None, "leaves are written in one transaction with their records"
    rows = parse_json(raw)
    assert isinstance(rows, list)
    return rows


def _base(chain: str, reading: SignedReading) -> bytes | _Refused:
    try:
        return signature_base(chain, reading)  # checks every covered field's grammar
    except InvalidSignatureBase as error:
        return _Refused("malformed", str(error))


def _check(context: Context, reading: SignedReading, base: bytes, state: _State) -> RecordLeaf:
    algorithm, key, fingerprint = state.key(reading)
    if reading.algorithm != algorithm:
        raise _Refused("wrong-algorithm", f"the enrolled key is of {algorithm}")
    age = context.timestamp_ms - reading.created * 1000
    if age > MAX_AGE_MS:
        raise _Refused("stale", f"signed {age // 1000} s before the transaction")
    if age < -MAX_AHEAD_MS:
        raise _Refused("future", f"signed {-age // 1000} s after the transaction")
    record = sha256(base)
    slot = nonce_key(reading.device, reading.nonce)
    used = state.used.get(slot)
    if used == record:
        raise _Refused("duplicate-record", "this very reading is recorded already")
    if used is not None:
        raise _Refused("replayed-nonce", "the device used this nonce for another reading")
    try:
        verify_key(key, algorithm, base, reading.signature)
    except IdentityError as error:
        raise _Refused("bad-signature", str(error)) from error
    state.used[slot] = record
    return RecordLeaf(record, fingerprint, reading)


class _State:
    """What a batch's readings rest on, read at once: devices, grants, and the nonces that are used."""

    def __init__(self, context: Context, readings: list[SignedReading]) -> None:
        self._context = context
        keys = dict.fromkeys(nonce_key(reading.device, reading.nonce) for reading in readings)
        keys.update(dict.fromkeys(key for reading in readings for key in _signer_keys(reading.keyid)))
        values = context.state.get_many(list(keys))
        self._values = dict(zip(keys, values, strict=True))
        self._signers: dict[str, tuple[str, bytes, bytes] | _Refused] = {}
        self.used: dict[str, bytes] = {
            key: raw for key, raw in self._values.items() if raw is not None and key.startswith(_NONCES)
        }
        """Record by the state key of its nonce; readings of this batch are added as they pass."""

    def key(self, reading: SignedReading) -> tuple[str, bytes, bytes]:
        """Algorithm and SubjectPublicKeyInfo of the reading's signer, and the latter's SHA-256.

        Raises:
            _Refused: the device or the grant is unknown, or not active.
        """
        found = self._signers.get(reading.keyid)
        if found is None:
            try:
                algorithm, key = self._look_up(reading.device, reading.keyid)
                found = (algorithm, key, sha256(key))
            except _Refused as refused:
                found = refused
            self._signers[reading.keyid] = found
        if isinstance(found, _Refused):
            raise _Refused(found.code, str(found))
        return found

    def _look_up(self, device: str, keyid: str) -> tuple[str, bytes]:
        keys = _signer_keys(keyid)
        raw = self._values[keys[0]]
        if raw is None:
            raise _Refused("unknown-device", f"device {device} is not enrolled")
        enrolled = decode(Device, raw)
        if enrolled.status is not DeviceStatus.ACTIVE:
            raise _Refused(f"{enrolled.status.value}-device", f"device {device} is {enrolled.status.value}")
        if len(keys) == 1:
            return enrolled.algorithm, enrolled.key
        gateway = keyid.partition("@")[2]
        raw = self._values[keys[1]]
        if raw is None:
            raise _Refused("unknown-grant", f"gateway {gateway} has no grant of device {device}")
        grant = decode(Grant, raw)
        if not grant.active:
            raise _Refused(
                "revoked-grant", f"the grant of device {device} to gateway {gateway} is taken back"
            )
        return grant.algorithm, grant.key


def _signer_keys(keyid: str) -> tuple[str, ...]:
    """State keys of what lets a keyid sign: the device and, where a gateway signs, its grant."""
    device, _, gateway = keyid.partition("@")
    return (device_key(device), grant_key(device, gateway)) if gateway else (device_key(device),)
