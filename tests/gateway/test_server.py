"""The gateway as it is served: by gunicorn, over HTTP, killed at any time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gateway_process import open_ledger, prepare

from chaincode.api import GetRecord, StoredRecord
from gateway.client import DeviceClient, PreparedReading, RecordedReading, Refused, Transport
from identity import KeyPair
from ledger.port import evaluate_typed
from store import FileStore

SUPPORT = Path(__file__).parents[1] / "support"


@dataclass
class Served:
    """A gateway's process group and its files."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self, kill: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "gateway_process.py"), str(self.folder), str(self.port), kill],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.strip().isdigit(), "the gateway did not start"
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL to master and worker alike."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def client(self, attempts: int = 300) -> DeviceClient:
        url = f"http://127.0.0.1:{self.port}"
        transport = Transport(url, timeout=5, attempts=attempts, sleep=lambda seconds: time.sleep(0.05))
        return DeviceClient(
            url, "sensor-1", KeyPair.load(self.folder / "device.pem"), "edge-a", transport=transport
        )


@dataclass
class Devices:
    """Threads that submit one reading after another, each until it is acknowledged."""

    served: Served
    acknowledged: list[tuple[PreparedReading, RecordedReading]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int) -> None:
        self.threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _work(self, number: int) -> None:
        client = self.served.client()
        position = 0
        while not self.stop.is_set():
            prepared = client.prepare(b"%d/%d" % (number, position), "text/plain")
            try:
                self.acknowledged.append((prepared, client.send(prepared)))
            except Refused as error:
                self.refused.append(error)
            position += 1

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {count} acknowledged"
            time.sleep(0.01)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    prepare(tmp_path)
    made = Served(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            made.kill()


def check(served: Served, devices: Devices) -> None:
    """Everything acknowledged is on the chain as it was said, once, with its bytes in the store."""
    assert devices.refused == []
    ledger, store = open_ledger(served.folder), FileStore(served.folder / "store")
    records = [recorded.record for _, recorded in devices.acknowledged]
    assert len(set(records)) == len(records)
    for prepared, recorded in devices.acknowledged:
        assert recorded.record == prepared.record
        stored: StoredRecord = evaluate_typed(ledger, GetRecord(recorded.record))
        assert (stored.transaction, stored.index, stored.count) == (
            recorded.transaction,
            recorded.index,
            recorded.count,
        )
        assert stored.leaf.reading == prepared.reading
        assert store.get(prepared.reading.content_digest) == prepared.data
    assert store.verify().damaged == ()
    ledger.verify()
    ledger.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_the_transaction_loses_nothing_and_repeats_nothing(served: Served, when: str) -> None:
    """Every worker dies at its fourth transaction; gunicorn starts the next one; the devices just go on."""
    served.start(f"{when}:4")
    devices = Devices(served)
    devices.start(4)
    devices.wait_for(40)
    devices.finish()
    check(served, devices)


@pytest.mark.faults
def test_killed_at_random_times_loses_nothing(served: Served) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    served.start()
    devices = Devices(served)
    devices.start(4)
    for _ in range(4):
        devices.wait_for(len(devices.acknowledged) + 1)
        time.sleep(chance.uniform(0, 0.5))
        served.kill()
        served.start()
    devices.finish()
    check(served, devices)


def test_sigterm_answers_what_is_under_way(served: Served) -> None:
    served.start()
    devices = Devices(served)
    # One attempt each: who is refused or cut off after the signal is no loss, who is answered is kept.
    answers: list[tuple[PreparedReading, RecordedReading]] = []
    go = threading.Event()

    def work(number: int) -> None:
        client = served.client(attempts=1)
        for position in range(1000):
            prepared = client.prepare(b"%d/%d" % (number, position), "text/plain")
            try:
                answers.append((prepared, client.send(prepared)))
            except Exception:
                return
            go.set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert go.wait(20)
    time.sleep(0.1)
    assert served.stop() == 0
    for thread in threads:
        thread.join(20)
    assert len(answers) > 8
    devices.acknowledged = answers
    check(served, devices)
    ledger = open_ledger(served.folder)
    recorded = sum(batch_size(block) for block in ledger.blocks(1))
    ledger.close()
    assert recorded == len(answers), "a reading was recorded and its device not told"


def batch_size(block: object) -> int:
    """How many records a block's valid transactions made."""
    from chaincode.api import BatchRecorded, SubmitBatch
    from chaincode.payloads import decode_result
    from protocol.elements import views

    total = 0
    for view in views(block):
        if view.function == SubmitBatch.FUNCTION and view.code == 0:
            result: BatchRecorded = decode_result(SubmitBatch, view.payload)
            total += result.count
    return total


def test_what_is_no_http_is_answered_with_a_problem(served: Served) -> None:
    served.start()
    for sent, status in ((b"NONSENSE\r\n\r\n", 400), (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414)):
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
            connection.sendall(sent)
            received = b""
            while part := connection.recv(65536):
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == status
    assert served.stop() == 0
