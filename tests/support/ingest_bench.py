"""Group commit over fakes: a chain and a store that do what a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chaincode.api import (
    Device,
    DeviceStatus,
    FindNonce,
    GetDevice,
    GetRecord,
    Message,
    NonceUse,
    StoredRecord,
    SubmitBatch,
)
from chaincode.payloads import encode_result
from gateway.admission import Admission, Recorded, Submission
from gateway.client import PreparedReading, ReadingSigner
from gateway.directory import Directory
from gateway.ingest import Ingest
from gateway.keybook import KeyBook
from gateway.metrics import Metrics
from gateway.problems import Refusal
from gateway.recording import Recorder
from gateway.services import Limits
from identity import KeyPair
from ledger.errors import ContractRefused, LedgerError
from ledger.port import Receipt, TransactionStatus
from protocol.readings import RecordLeaf
from protocol.signature_base import record_id
from store import StoreError

KEY = KeyPair.generate()


@dataclass
class FakeLedger:
    """Keeps records in memory; ``gate`` holds commits back, ``refuse`` names bad readings."""

    chain: str = "edge-a"
    batches: list[SubmitBatch] = field(default_factory=list)
    attempts: int = 0
    records: dict[bytes, StoredRecord] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    refuse: Callable[[SubmitBatch], list[dict[str, Any]]] = lambda batch: []
    fail: LedgerError | None = None
    status: TransactionStatus | None = None
    evaluations: list[Message] = field(default_factory=list)

    def evaluate(self, message: Message) -> bytes:
        self.evaluations.append(message)
        if isinstance(message, GetDevice):
            device = Device(message.device, "Org1MSP", KEY.algorithm, KEY.spki, DeviceStatus.ACTIVE, 1)
            return encode_result(GetDevice.FUNCTION, device)
        if isinstance(message, GetRecord) and message.record in self.records:
            return encode_result(GetRecord.FUNCTION, self.records[message.record])
        if isinstance(message, FindNonce):
            return encode_result(FindNonce.FUNCTION, NonceUse(b""))
        assert isinstance(message, GetRecord)
        raise ContractRefused("not-found", "no such record", 404)

    def submit(self, message: SubmitBatch, *, timeout: float = 30.0) -> Receipt:
        self.attempts += 1
        self.entered.release()
        assert self.gate.wait(10)
        if self.fail is not None:
            raise self.fail
        if bad := self.refuse(message):
            raise ContractRefused("bad-records", f"{len(bad)} bad", 422, bad)
        self.batches.append(message)
        transaction = f"{len(self.batches):064x}"
        for index, reading in enumerate(message.readings):
            record = record_id(self.chain, reading)
            leaf = RecordLeaf(record, sha256(KEY.spki).digest(), reading)
            self.records[record] = StoredRecord(leaf, transaction, index, len(message.readings))
        return Receipt(transaction, len(self.batches), b"")

    def find(self, transaction: str) -> TransactionStatus | None:
        return self.status


@dataclass
class FakeStore:
    """Remembers what was put, and in which pack."""

    packs: list[list[bytes]] = field(default_factory=list)
    fail: StoreError | None = None

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        if self.fail is not None:
            raise self.fail
        self.packs.append(list(items))
        return [sha256(item).digest() for item in items]


class Pauses:
    """Counts the waits for company; no time passes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, condition: threading.Condition, seconds: float) -> None:
        self.seconds.append(seconds)
        condition.wait(seconds)


@dataclass
class Bench:
    ledger: FakeLedger
    store: FakeStore
    keys: KeyBook
    directory: Directory
    ingest: Ingest
    pauses: Pauses
    now: float = 1_700_000_000.0
    threads: list[threading.Thread] = field(default_factory=list)

    def sign(self, data: bytes, *, key: str = "", nonce: str | None = None, at: float = 0.0) -> Submission:
        signer = ReadingSigner("edge-a", "sensor-1", KEY, clock=lambda: self.now + at)
        made: PreparedReading = signer.sign(data, "text/plain", nonce=nonce, idempotency_key=key)
        return Submission(made.reading, data, key or None)

    def later(self, submission: Submission) -> list[Recorded | Refusal]:
        """Submit in a thread; the answer appears in the list."""
        answers: list[Recorded | Refusal] = []
        thread = threading.Thread(target=lambda: answers.extend(self.ingest.submit_many([submission])))
        thread.start()
        self.threads.append(thread)
        return answers

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def queued(self, count: int) -> None:
        """Wait until so many readings are queued."""
        deadline = time.monotonic() + 5
        while len(self.ingest._queue) != count:
            assert time.monotonic() < deadline, len(self.ingest._queue)
            time.sleep(0.001)


def make_bench(folder: Path, limits: Limits | None = None) -> Bench:
    limits = limits or Limits()
    ledger, store = FakeLedger(), FakeStore()
    ledger.gate.set()
    keys = KeyBook(folder / "keys.sqlite", limits.key_retention)
    directory = Directory(ledger, limits.device_cache, time.monotonic)
    bench = Bench(ledger, store, keys, directory, None, Pauses())
    admission = Admission(
        ledger,
        directory,
        keys,
        clock=lambda: bench.now,
        skew=limits.skew,
        max_bytes=limits.reading_bytes,
    )
    metrics = Metrics()
    recorder = Recorder(ledger, store, admission, directory, keys, limits, metrics, clock=lambda: bench.now)
    bench.ingest = Ingest(recorder, admission, limits, metrics, pause=bench.pauses)
    return bench


def slug(bench: Bench, submission: Submission) -> str:
    with pytest.raises(Refusal) as caught:
        bench.ingest.submit(submission)
    return caught.value.problem.slug
