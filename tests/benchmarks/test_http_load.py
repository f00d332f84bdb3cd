from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.errors import MeasurementFailed
from benchmarks.http_load import drive, request_bytes


class Server(ThreadingHTTPServer):
    """Notes what it gets; answers 201, or as the path says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, bytes]] = []
        self.peers: set[tuple[str, int]] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body))
        self.server.peers.add(self.client_address)
        if self.path == "/close":
            self.close_connection = True
            return
        answer = b"x" * (200_000 if self.path == "/long" else 3)
        self.send_response(409 if self.path == "/conflict" else 201)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_every_request_is_sent_once_over_so_many_connections(server: Server) -> None:
    requests = [request_bytes("POST", "/", {"X": "y"}, f"body {n}".encode()) for n in range(40)]
    answers = drive(server.server_address, requests, 4)
    assert sorted(body for _, body in server.got) == sorted(f"body {n}".encode() for n in range(40))
    assert len(server.peers) == 4
    assert answers.statuses == {201: 40}
    assert answers.bodies == [b"xxx"] * 40
    assert 0 < min(answers.times) <= max(answers.times) <= answers.seconds


def test_large_requests_and_answers_come_through_whole(server: Server) -> None:
    body = bytes(range(256)) * 20_000  # 5 MB: more than the socket takes at once
    answers = drive(server.server_address, [request_bytes("POST", "/long", {}, body)] * 2, 2)
    assert [got for _, got in server.got] == [body, body]
    assert [len(one) for one in answers.bodies] == [200_000, 200_000]


def test_statuses_are_told_apart(server: Server) -> None:
    requests = [request_bytes("POST", path, {}, b"b") for path in ("/", "/conflict", "/")]
    requests.append(request_bytes("GET", "/", {}))
    assert drive(server.server_address, requests, 1).statuses == {201: 2, 409: 1, 200: 1}


def test_pauses_are_not_part_of_a_request(server: Server) -> None:
    requests = [request_bytes("GET", "/", {})] * 3
    answers = drive(server.server_address, requests, 1, pause_s=0.2)
    assert answers.seconds >= 0.6
    assert sum(answers.times) < 0.4


@pytest.mark.parametrize("path", ["/close", "/endless"])
def test_a_server_that_does_not_answer_properly_fails_the_measurement(server: Server, path: str) -> None:
    with pytest.raises(MeasurementFailed):
        drive(server.server_address, [request_bytes("POST", path, {}, b"b")], 1)
