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
from typing import IO

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

    def start(self, kill: str = "", *patience: float) -> None:
        script = str(SUPPORT / "gateway_process.py")
        with (self.folder / "stderr").open("wb") as errors:
            self._start(
                [sys.executable, script, str(self.folder), str(self.port), kill, *map(str, patience)], errors
            )

    def _start(self, command: list[str], errors: IO[bytes]) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
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


def connect(served: Served, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=15)
    connection.sendall(sent)
    return connection


def answered(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem of the one answer before the gateway closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


HEAD = b"POST /v1/devices HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
SLOW = {
    "head": b"GET /livez HTT",
    "body": HEAD + b"Content-Length: 100\r\n\r\n{}",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\n{}",
    "chunk-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_a_request_that_stops_is_answered_and_let_go(served: Served, sent: bytes) -> None:
    served.start("", 0.3, 60)
    with connect(served, sent) as connection:
        status, problem = answered(connection)
    assert (status, problem["type"]) == (408, "urn:edgeproof:problem:request-timeout")
    assert "stopped" in str(problem["detail"])
    assert "Traceback" not in (served.folder / "stderr").read_text()


def test_a_request_that_drips_for_ever_is_let_go_too(served: Served) -> None:
    served.start("", 5, 1)
    with connect(served, SLOW["body"]) as connection:
        connection.settimeout(0.05)
        for _ in range(97):
            connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                assert connection.recv(1, socket.MSG_PEEK)
                break
        else:
            pytest.fail("a dripping request was waited for")
        connection.settimeout(15)
        status, problem = answered(connection)
    assert status == 408
    assert "longer than 1 s" in str(problem["detail"])


def test_slow_requests_of_one_address_leave_threads_to_others(served: Served) -> None:
    """Forty stalled requests from one address against 32 threads: another address is served meanwhile."""
    served.start("", 60, 60)
    with contextlib.ExitStack() as stalled:
        for _ in range(40):
            stalled.enter_context(connect(served, SLOW["body"]))
        other = socket.create_connection(("127.0.0.1", served.port), 10, source_address=("127.0.0.2", 0))
        with other:
            other.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_stalled_requests_come_free_together(served: Served) -> None:
    """Their peers never close: closing one must not make the others wait."""
    served.start("", 0.5, 60)
    with contextlib.ExitStack() as stalled:
        for _ in range(64):
            stalled.enter_context(connect(served, SLOW["body"]))
        with connect(served, b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n") as honest:
            assert honest.recv(65536).startswith(b"HTTP/1.1 200 ")


def ask_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.003)


def test_an_answer_that_is_not_taken_is_given_up(served: Served) -> None:
    served.start("", 0.5, 60)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", served.port))
        # Nothing is read, until the gateway cannot write any more and ends the connection.
        with pytest.raises(ConnectionError):
            ask_without_end(connection)
    with connect(served, b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n") as honest:
        assert honest.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert "Traceback" not in (served.folder / "stderr").read_text()


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"\r\n\r\n"])
def test_a_malformed_chunk_is_the_clients_fault(served: Served, body: bytes) -> None:
    served.start()
    with connect(served, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body) as connection:
        status, problem = answered(connection)
    assert (status, problem["type"]) == (400, "urn:edgeproof:problem:bad-request")
    assert "Traceback" not in (served.folder / "stderr").read_text()
