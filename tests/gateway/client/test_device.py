"""The device's client against the real application over a socket, and against things that are no gateway."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from gateway_site import CHAIN, Site, make_site
from werkzeug.serving import make_server

from chaincode.api import DeviceStatus, SubmitBatch
from gateway.client import (
    BadAnswer,
    DeviceClient,
    GatewayClient,
    RecordedReading,
    Refused,
    Transport,
    Unreachable,
    enrolment,
    grant,
    status_change,
)
from identity import KeyPair


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(site: Site) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, site.app, threaded=True)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def client(url: str, site: Site, device: str = "sensor-1") -> DeviceClient:
    return DeviceClient(url, device, site.keys[device], CHAIN)


def test_a_devices_life(url: str, site: Site) -> None:
    key = KeyPair.generate("ecdsa-p256-sha256")
    gateway = GatewayClient(url)
    enrolled = gateway.enrol(enrolment(CHAIN, "lamp", key, site.owner, site.owner_key))
    assert (enrolled.device, enrolled.status, enrolled.sequence) == ("lamp", DeviceStatus.ACTIVE, 1)
    assert gateway.device("lamp") == enrolled
    device = DeviceClient(url, "lamp", key, CHAIN)
    recorded = device.submit(b"on", "text/plain")
    assert device.record(recorded.record)["transaction"] == recorded.transaction
    assert device.content(recorded.record) == b"on"
    gateway_key = KeyPair.generate()
    assert gateway.grant(grant(CHAIN, "lamp", "gw", gateway_key, site.owner_key)).active
    DeviceClient(url, "lamp", gateway_key, CHAIN, gateway="gw").submit(b"off", "text/plain")
    change = status_change(CHAIN, "lamp", DeviceStatus.SUSPENDED, 2, site.owner_key)
    assert gateway.set_status(change).status is DeviceStatus.SUSPENDED
    with pytest.raises(Refused) as caught:
        device.submit(b"on", "text/plain")
    assert (caught.value.status, caught.value.slug) == (403, "suspended-device")
    assert [chain["chain"] for chain in gateway.chains()] == [CHAIN]


def test_a_batch_is_answered_reading_by_reading(url: str, site: Site) -> None:
    device = client(url, site)
    first = device.submit(b"0", "text/plain")
    good, bad = device.prepare(b"1", "text/plain"), device.prepare(b"2", "text/plain")
    bad = replace(bad, data=b"other")
    answers = device.send_batch([good, bad])
    assert isinstance(answers[0], RecordedReading)
    assert answers[0].record == good.record != first.record
    assert isinstance(answers[1], Refused)
    assert answers[1].slug == "digest-mismatch"
    assert [type(answer) for answer in device.submit_batch([(b"3", "a/b"), (b"4", "c/d")])] == [
        RecordedReading,
        RecordedReading,
    ]


def test_a_replay_is_refused_and_a_repetition_answered(url: str, site: Site) -> None:
    device = client(url, site)
    prepared = device.prepare(b"x", "text/plain")
    first = device.send(prepared)
    assert device.send(prepared) == first
    with pytest.raises(Refused) as caught:
        device.send(replace(prepared, idempotency_key="another"))
    assert (caught.value.status, caught.value.slug, caught.value.field) == (409, "replayed-nonce", "nonce")


def test_a_lost_answer_is_asked_for_again_and_nothing_is_recorded_twice(url: str, site: Site) -> None:
    transport = Transport(url, sleep=lambda seconds: None)
    session, lost = transport._session, 0
    request = session.request

    def lose(*arguments: object, **options: object) -> object:
        nonlocal lost
        response = request(*arguments, **options)
        if lost < 2:
            lost += 1
            raise ConnectionResetError
        return response

    def lose_as_requests_does(*arguments: object, **options: object) -> object:
        import requests

        try:
            return lose(*arguments, **options)
        except ConnectionResetError as error:
            raise requests.ConnectionError(error) from error

    session.request = lose_as_requests_does
    before = site.ledger.count(SubmitBatch.FUNCTION)
    device = DeviceClient(url, "sensor-1", site.keys["sensor-1"], CHAIN, transport=transport)
    recorded = device.submit(b"x", "text/plain")
    assert lost == 2
    assert device.content(recorded.record) == b"x"
    assert site.ledger.count(SubmitBatch.FUNCTION) == before + 1


# ------------------------------------------------------------------ things that are no gateway


Answer = tuple[int, str, bytes]


@pytest.fixture
def stub() -> Iterator[Callable[[list[Answer]], tuple[str, list[str]]]]:
    """A server that gives the answers in turn (the last one for ever) and tells what was asked."""
    servers = []

    def start(answers: list[Answer]) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.headers.get("Idempotency-Key", ""))
                self.rfile.read(int(self.headers["Content-Length"]))
                status, kind, body = answers[min(len(asked), len(answers)) - 1]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "http://elsewhere.invalid/")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=lambda: server.serve_forever(0.01))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def device_at(url: str, attempts: int = 4) -> tuple[DeviceClient, list[float]]:
    slept: list[float] = []
    transport = Transport(url, attempts=attempts, sleep=slept.append, timeout=5)
    return DeviceClient(url, "d", KeyPair.generate(), CHAIN, transport=transport), slept


PROBLEM = "application/problem+json"
BUSY = json.dumps({"type": "urn:edgeproof:problem:overloaded", "status": 503, "detail": "busy"}).encode()
GOOD = json.dumps({"record": "ab" * 32, "chain": CHAIN, "transaction": "t", "index": 0, "count": 1}).encode()


def test_a_gateway_without_tls_is_told_at_once(
    stub: Callable[[list[Answer]], tuple[str, list[str]]],
) -> None:
    url, asked = stub([(201, "application/json", GOOD)])
    device, slept = device_at(url.replace("http:", "https:"))
    with pytest.raises(BadAnswer, match="does not speak TLS"):
        device.submit(b"x", "text/plain")
    assert (asked, slept) == ([], [])


def test_where_nobody_listens_the_system_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    device, slept = device_at(f"http://127.0.0.1:{port}", 2)
    with pytest.raises(Unreachable, match=r"after 2 attempts \(Connection refused\)"):
        device.submit(b"x", "text/plain")
    assert len(slept) == 1


def test_a_busy_gateway_is_asked_again_with_the_same_key(
    stub: Callable[[list[Answer]], tuple[str, list[str]]],
) -> None:
    late = json.dumps({"type": "urn:edgeproof:problem:request-timeout", "status": 408}).encode()
    busy = [(503, PROBLEM, BUSY), (502, "text/html", b"<p>"), (408, PROBLEM, late)]
    url, asked = stub([*busy, (201, "application/json", GOOD)])
    device, slept = device_at(url)
    assert device.submit(b"x", "text/plain").record == b"\xab" * 32
    assert len(asked) == 4
    assert len(set(asked)) == 1
    assert asked[0]
    assert slept == sorted(slept)
    assert len(slept) == 3


def test_a_gateway_that_stays_busy_is_refused(stub: Callable[[list[Answer]], tuple[str, list[str]]]) -> None:
    url, asked = stub([(503, PROBLEM, BUSY)])
    device, _ = device_at(url, 3)
    with pytest.raises(Refused) as caught:
        device.submit(b"x", "text/plain")
    assert (caught.value.status, caught.value.slug) == (503, "overloaded")
    assert len(asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (404, "text/html", b"<p>not found</p>"),
        (400, PROBLEM, b"not json"),
        (400, PROBLEM, b"[]"),
        (302, "text/plain", b""),
        (200, "text/html", b"<p>hello</p>"),
        (200, "application/json", b"{}"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"record":"zz","chain":"c","transaction":"t","index":0,"count":1}'),
    ],
)
def test_what_is_no_gateway_is_said(
    stub: Callable[[list[Answer]], tuple[str, list[str]]], answer: Answer
) -> None:
    url, _ = stub([answer])
    device, _ = device_at(url)
    with pytest.raises(BadAnswer):
        device.submit(b"x", "text/plain")


def test_nobody_there() -> None:
    device, slept = device_at("http://127.0.0.1:9", 3)
    with pytest.raises(Unreachable):
        device.submit(b"x", "text/plain")
    assert len(slept) == 2


def test_the_client_loads_neither_flask_nor_grpc() -> None:
    script = (
        "import sys, gateway.client\n"
        "bad = {'flask', 'grpc', 'torch', 'gunicorn', 'werkzeug', 'pydantic', 'gmpy2'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_key_files_serve_as_they_are(tmp_path: Path, url: str, site: Site) -> None:
    site.keys["sensor-1"].save(tmp_path / "device.pem")
    key = KeyPair.load(tmp_path / "device.pem")
    assert DeviceClient(url, "sensor-1", key, CHAIN).submit(b"x", "text/plain").count >= 1
