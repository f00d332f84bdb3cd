"""Readings and inferences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from protocol.readings import RecordLeaf, SignedReading

__all__ = [
    "BatchRecorded",
    "FindNonce",
    "GetInference",
    "GetRecord",
    "Inference",
    "NonceUse",
    "RecordInference",
    "StoredRecord",
    "SubmitBatch",
    "SubmitReading",
]


@dataclass(frozen=True)
class BatchRecorded:
    """Response payload of a recording transaction: what the element binds."""

    root: bytes
    """RFC 6962 root over the canonical encodings of the batch's ``RecordLeaf``s in order."""
    count: int


@dataclass(frozen=True)
class SubmitBatch:
    """1 to 512 readings, at most 256 KiB encoded. One bad reading refuses the call and is named."""

    FUNCTION: ClassVar[str] = "records:submitBatch"
    RESULT: ClassVar[type[BatchRecorded]] = BatchRecorded
    readings: tuple[SignedReading, ...]


@dataclass(frozen=True)
class SubmitReading:
    """One reading: a batch of one."""

    FUNCTION: ClassVar[str] = "records:submit"
    RESULT: ClassVar[type[BatchRecorded]] = BatchRecorded
    reading: SignedReading


@dataclass(frozen=True)
class StoredRecord:
    """A record as the chain keeps it."""

    leaf: RecordLeaf
    transaction: str
    index: int
    """Position in the batch, from 0."""
    count: int


@dataclass(frozen=True)
class GetRecord:
    """A record by its id."""

    FUNCTION: ClassVar[str] = "records:get"
    RESULT: ClassVar[type[StoredRecord]] = StoredRecord
    record: bytes


@dataclass(frozen=True)
class NonceUse:
    """Which record used a device's nonce; ``record`` is empty when none did."""

    record: bytes


@dataclass(frozen=True)
class FindNonce:
    """Which record used a device's nonce, if any."""

    FUNCTION: ClassVar[str] = "records:findNonce"
    RESULT: ClassVar[type[NonceUse]] = NonceUse
    device: str
    nonce: str


@dataclass(frozen=True)
class Inference:
    """A model's application, recorded (seed 003: nobody can cheat in the model application)."""

    run: str
    version: int
    model: bytes
    input: bytes
    output: bytes


@dataclass(frozen=True)
class RecordInference:
    """The version must be accepted on, or pushed down to, this chain. Key ``inference/<transaction id>``."""

    FUNCTION: ClassVar[str] = "inferences:record"
    RESULT: ClassVar[type[Inference]] = Inference
    inference: Inference


@dataclass(frozen=True)
class GetInference:
    """A recorded inference by the id of its transaction (64 hex digits)."""

    FUNCTION: ClassVar[str] = "inferences:get"
    RESULT: ClassVar[type[Inference]] = Inference
    transaction: str
