"""Finding a peer, and noticing that it is gone."""

from __future__ import annotations

import dataclasses
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from fake_gateway import FakeGateway

from ledger.fabric import CallOptions, Endpoint, GatewayError, Identity, Sign, sync

Member = tuple[Identity, Sign]


class Wire:
    """A forwarder that can fall silent: the connection stays, and nothing comes through."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.cut = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far:
            other = {near: far, far: near}
            while not self._ended.is_set():
                ready, _, _ = select.select([] if self.cut.is_set() else [near, far], [], [], 0.05)
                for side in ready:
                    if self.cut.is_set():
                        break
                    data = side.recv(65_536)
                    if not data:
                        return
                    other[side].sendall(data)


@pytest.fixture
def wire(fake: FakeGateway) -> Iterator[Wire]:
    made = Wire(fake.port)
    yield made
    made.close()


def test_a_proxy_variable_does_not_come_between(
    endpoint: Endpoint, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with sync.connect(endpoint, member[0], sign=member[1]) as gateway:
        contract = gateway.get_network("chain").get_contract("basic")
        assert contract.evaluate_transaction("read", "a") == b"read|a"


def test_a_silent_peer_is_noticed_and_the_stream_goes_on_where_it_was(
    fake: FakeGateway, wire: Wire, member: Member
) -> None:
    """No end of the connection is seen: only the unanswered question tells."""
    peer = Endpoint(f"127.0.0.1:{wire.port}", keepalive=1.0)
    with (
        sync.connect(peer, member[0], sign=member[1]) as gateway,
        gateway.get_network("chain").get_block_events(start_block=0) as events,
    ):
        assert next(events).header.number == 0
        time.sleep(3.5)  # longer than the two questions that gRPC asks by itself where nothing else is sent
        wire.cut.set()
        cut = time.monotonic()
        fake.append()
        threading.Timer(7.0, wire.cut.clear).start()
        assert next(events).header.number == 1
        assert wire.connections > 1
        assert time.monotonic() - cut < 12


def test_a_call_to_a_silent_peer_ends_before_its_timeout(
    fake: FakeGateway, wire: Wire, member: Member
) -> None:
    peer = Endpoint(f"127.0.0.1:{wire.port}", keepalive=1.0)
    patience = {"evaluate": CallOptions(timeout=60)}
    with sync.connect(peer, member[0], sign=member[1], options=patience) as gateway:
        contract = gateway.get_network("chain").get_contract("basic")
        contract.evaluate_transaction("read", "a")
        wire.cut.set()
        started = time.monotonic()
        with pytest.raises(GatewayError):
            contract.evaluate_transaction("read", "b")
        assert time.monotonic() - started < 9


def test_by_itself_it_asks_no_peer_more_often_than_fabric_allows() -> None:
    (field,) = [each for each in dataclasses.fields(Endpoint) if each.name == "keepalive"]
    assert field.default > 60
