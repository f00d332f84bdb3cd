"""Admission: what is checked of a reading before it may wait for a transaction.

All but its idempotency key, which is looked up with those of its whole batch.

What is checked here is checked again by the contract, which alone decides; this sees to it that a bad reading
is answered at once, by itself, and costs nobody else a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chaincode.api import FindNonce, GetRecord, NonceUse, StoredRecord
from gateway.directory import Directory
from gateway.keybook import KeyBook, KeyUse
from gateway.problems import Refusal
from identity import IdentityError, verify_key
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.encodings import encode, sha256
from protocol.errors import InvalidSignatureBase
from protocol.readings import SignedReading
from protocol.signature_base import signature_base

__all__ = ["Admission", "Candidate", "Recorded", "Submission", "encoded_size"]

# The keys and punctuation, the digest and the signature in hex, and a comma; less the one digit of the time.
_FIXED_BYTES: Final = len(encode(SignedReading("", "", "", 0, "", bytes(32), "", bytes(64))))


@dataclass(frozen=True)
class Submission:
    """A reading as it came in."""

    reading: SignedReading
    data: bytes
    key: str | None = None
    """Idempotency-Key."""


@dataclass(frozen=True)
class Recorded:
    """The answer to a recorded reading. It follows from the chain alone: a repeat gets the same bytes."""

    chain: str
    record: bytes
    transaction: str
    index: int
    """Position in the transaction's batch, from 0."""
    count: int
    """Readings in that batch."""
    repeated: bool = False
    """Whether this is the first answer, given again."""


@dataclass(frozen=True)
class Candidate:
    """A reading that may wait for a transaction."""

    submission: Submission
    record: bytes
    size: int
    """Bytes that it adds to the encoded argument."""
    asked: bool = False
    """Whether the key book was asked what its key stands for."""
    known: bool = False
    """Whether its key stood for this very record before (an earlier attempt that was cut short)."""

    @property
    def key_use(self) -> KeyUse | None:
        """What its idempotency key stands for; None without one."""
        key = self.submission.key
        return None if key is None else KeyUse(self.submission.reading.device, key, self.record)


def encoded_size(reading: SignedReading) -> int:
    """Bytes that a well-formed reading and a comma take in the encoded argument.

    Reckoned, not encoded: encoding every reading would cost half as much as checking its signature.
    """
    return (
        _FIXED_BYTES
        + len(reading.device)
        + len(reading.keyid)
        + len(reading.algorithm)
        + len(str(reading.created))
        + len(reading.nonce)
        + len(reading.content_type)
        + reading.content_type.count('"')
        + reading.content_type.count("\\")
        + reading.content_type.count("\t")
    )


class Admission:
    """The rules of ingest.

    Args:
        ledger: the chain that records.
        directory: keys that may sign.
        keys: idempotency keys of earlier attempts.
        clock: seconds since 1970 UTC.
        skew: how far a reading's time may lie from the clock, seconds.
        max_bytes: of one reading.
    """

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        keys: KeyBook,
        *,
        clock: Callable[[], float],
        skew: float,
        max_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._keys = keys
        self._clock = clock
        self._skew = skew
        self._max_bytes = max_bytes

    def admit(self, submission: Submission) -> Candidate | Recorded:
        """Check a reading. What its key stands for is asked later, of a whole batch at once.

        Returns:
            A candidate for the next transaction, or the first answer when this is a repetition that could not
            be recorded today.

        Raises:
            Refusal: with the problem and the field at fault; first what ``earlier`` or ``look_up`` raise.
            LedgerError: the chain does not answer.
        """
        base = self._check_form(submission)
        candidate = Candidate(submission, sha256(base), encoded_size(submission.reading))
        try:
            self._check_signature(submission.reading, base)
            self._check_time(submission.reading)
        except Refusal:
            # What was recorded is answered again however old it is, and whatever became of its device.
            first = self.look_up(candidate, self.earlier([candidate]))
            if isinstance(first, Candidate):
                raise
            return first
        return candidate

    def earlier(self, candidates: Sequence[Candidate]) -> dict[tuple[str, str], bytes]:
        """What the candidates' keys stand for already: device and key to record.

        Raises:
            Refusal: the key book cannot be read.
        """
        return self._keys.find([use.slot for one in candidates if (use := one.key_use) is not None])

    def look_up(self, candidate: Candidate, earlier: Mapping[tuple[str, str], bytes]) -> Candidate | Recorded:
        """Ask the chain what became of the record that a candidate's key stands for.

        Args:
            candidate: the reading.
            earlier: what keys stand for.

        Returns:
            The first answer when this is its repetition; else the candidate, which may be queued.

        Raises:
            Refusal: the key stands for another reading that is recorded.
            LedgerError: the chain does not answer.
        """
        reading, use = candidate.submission.reading, candidate.key_use
        record = None if use is None else earlier.get(use.slot)
        stored = None if record is None else self.find(record)
        if stored is None:
            return replace(candidate, asked=True, known=record == candidate.record)
        if record != candidate.record:
            raise Refusal(
                "idempotency-key-reused",
                f"the key stands for record {stored.leaf.record.hex()}",
                field="Idempotency-Key",
            )
        if stored.leaf.reading != reading:
            raise Refusal("bad-signature", "not the signature that was recorded", field="signature")
        return self.first_answer(candidate.record, stored)

    def find(self, record: bytes) -> StoredRecord | None:
        """The record as the chain keeps it, or None.

        Raises:
            LedgerError: the chain does not answer.
        """
        try:
            stored: StoredRecord = evaluate_typed(self._ledger, GetRecord(record))
        except ContractRefused as error:
            if error.code == "not-found":
                return None
            raise
        return stored

    def first_answer(self, record: bytes, stored: StoredRecord) -> Recorded:
        """The answer that a recorded reading got at first."""
        return Recorded(
            self._ledger.chain, record, stored.transaction, stored.index, stored.count, repeated=True
        )

    def _check_form(self, submission: Submission) -> bytes:
        reading = submission.reading
        if len(submission.data) > self._max_bytes:
            raise Refusal("too-large", f"a reading has at most {self._max_bytes} bytes", field="data")
        try:
            base = signature_base(self._ledger.chain, reading)
        except InvalidSignatureBase as error:
            raise Refusal("malformed", str(error), field=error.field) from error
        if sha256(submission.data) != reading.content_digest:
            raise Refusal(
                "digest-mismatch", "content_digest is not the data's SHA-256", field="content_digest"
            )
        return base

    def _check_signature(self, reading: SignedReading, base: bytes) -> None:
        key = self._directory.signing_key(reading)
        if key.algorithm != reading.algorithm:
            raise Refusal("wrong-algorithm", f"the enrolled key is of {key.algorithm}", field="algorithm")
        try:
            verify_key(key.spki, key.algorithm, base, reading.signature)
        except IdentityError as error:
            if "@" in reading.keyid:
                # A grant's key may be replaced: the next attempt asks the chain again. A device's never is.
                self._directory.forget(reading.device)
            # Whoever builds a signer sees here what was verified.
            covered = ", ".join(base.decode("ascii").split("\n")[1:3])
            raise Refusal(
                "bad-signature", f"{error}; it was read with {covered}", field="signature"
            ) from error

    def _check_time(self, reading: SignedReading) -> None:
        ahead = reading.created - self._clock()
        if abs(ahead) <= self._skew:
            return
        # A replay is named as one however old it is.
        use: NonceUse = evaluate_typed(self._ledger, FindNonce(reading.device, reading.nonce))
        if use.record:
            raise Refusal(
                "replayed-nonce", f"the nonce was used for record {use.record.hex()}", field="nonce"
            )
        if ahead < 0:
            detail = f"signed {-ahead:.0f} s ago; at most {self._skew:.0f} s are taken"
            raise Refusal("stale", detail, field="created")
        detail = f"signed {ahead:.0f} s in the future; at most {self._skew:.0f} s are taken"
        raise Refusal("future", detail, field="created")
