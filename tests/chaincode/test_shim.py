"""The chaincode server against a small peer that speaks the real stream over loopback."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from fabric_protos.peer import proposal_response_pb2
from fake_peer import FakePeer, Message
from stream_contract import PACKAGE, Start, contract, refusal

from chaincode.api import GetOrganisation, Organisation, RegisterOrganisation
from chaincode.context import Context
from chaincode.errors import error_from_message
from chaincode.payloads import decode_result
from chaincode.registry import invoke
from chaincode.shim import ChaincodeServer, Limits, TlsFiles
from identity import KeyPair
from protocol.encodings import encode


def test_the_chaincode_registers_under_its_package(start: Start) -> None:
    assert start().package == PACKAGE


def test_the_contract_is_told_the_transaction(start: Start, creator: bytes) -> None:
    facts = start().call(creator, b"facts", b"", transaction="ab" * 32).payload.decode()
    assert facts == repr(("edge-a", "ab" * 32, 1_750_000_000_005, "A1", "admin"))


def test_an_event_is_sent_with_the_completion(start: Start, creator: bytes) -> None:
    peer = start()
    completed = peer.begin(creator, b"event", b"moved", transaction="t1").result(20)
    event = completed.chaincode_event
    assert (event.event_name, event.payload) == ("moved", b"\x00payload")
    plain = peer.begin(creator, b"get", b"a", transaction="t2").result(20)
    assert not plain.HasField("chaincode_event")


def test_a_refusal_writes_nothing_and_emits_nothing(start: Start, creator: bytes) -> None:
    peer = start()
    completed = peer.begin(creator, b"refuse", b"because", transaction="t1").result(20)
    response = proposal_response_pb2.Response.FromString(completed.payload)
    assert response.status == 409
    error = error_from_message(response.message, response.status)
    assert error is not None
    assert (error.code, error.details) == ("conflict", {"why": "because"})
    assert not completed.HasField("chaincode_event")
    assert not peer.log


def test_even_an_exit_is_answered(start: Start, creator: bytes) -> None:
    peer = start()
    assert refusal(peer.call(creator, b"exit", b"")) == "internal-error"
    assert peer.call(creator, b"get", b"a").status == 200


def test_malformed_calls_are_answered(start: Start, creator: bytes) -> None:
    peer = start()
    for number, arguments in enumerate([(), (b"get",), (b"get", b"a", b"b"), (b"\xff", b"a")]):
        response = peer.call(creator, *arguments, transaction=f"t{number}")
        assert (refusal(response), response.status) == ("invalid-argument", 400)
    for number, wrong in enumerate([b"", b"\xff", creator[:-1], creator + b"\x00"]):
        assert refusal(peer.call(wrong, b"get", b"a", transaction=f"c{number}")) == "invalid-argument"
    completed = peer.begin(
        creator, b"get", b"a", transaction="x", channel="edge-a", said_channel="edge-b"
    ).result(20)
    response = proposal_response_pb2.Response.FromString(completed.payload)
    assert refusal(response) == "invalid-argument"


def test_two_hundred_of_two_hundred_concurrent_transactions_succeed(start: Start, creator: bytes) -> None:
    peer = start(values={f"k{number}": b"%d" % number for number in range(200)})
    pending = [
        peer.begin(creator, b"put", b"k%d=n%d" % (number, number), transaction=f"t{number}")
        for number in range(200)
    ]
    responses = [proposal_response_pb2.Response.FromString(future.result(30).payload) for future in pending]
    assert [response.payload for response in responses] == [b"%d" % number for number in range(200)]
    assert all(response.status == 200 for response in responses)
    assert peer.values == {f"k{number}": b"n%d" % number for number in range(200)}


def test_a_keepalive_is_echoed(start: Start) -> None:
    peer = start()
    peer.send(Message(type=Message.KEEPALIVE, payload=b"beat"))
    assert peer.keepalives.get(timeout=10).payload == b"beat"


def test_large_arguments_and_payloads_pass(start: Start, creator: bytes) -> None:
    size = 8 * 1024 * 1024
    peer = start()
    assert len(peer.call(creator, b"big", b"%d" % size).payload) == size
    assert peer.call(creator, b"put", b"a=" + b"x" * size).status == 200
    assert len(peer.values["a"]) == size


def test_more_transactions_than_are_run_are_refused_as_busy(start: Start, creator: bytes) -> None:
    peer = start(open_transactions=2, workers=2)
    peer.silent.add("slow")
    slow = [peer.begin(creator, b"get", b"slow", transaction=f"t{number}") for number in range(2)]
    response = peer.call(creator, b"get", b"a")
    assert (refusal(response), response.status) == ("busy", 503)
    assert not any(future.done() for future in slow)
    for number in range(2):
        peer.send(Message(type=Message.RESPONSE, payload=b"v", txid=f"t{number}", channel_id="edge-a"))
    for future in slow:
        assert proposal_response_pb2.Response.FromString(future.result(20).payload).payload == b"v"
    assert peer.call(creator, b"get", b"b").status == 200


def test_a_transaction_that_is_open_is_not_opened_twice(start: Start, creator: bytes) -> None:
    peer = start()
    peer.silent.add("slow")
    first = peer.begin(creator, b"get", b"slow", transaction="t1")
    second = peer.begin(creator, b"get", b"slow", transaction="t1")
    peer.call(creator, b"get", b"a")
    assert [kind for name, kind in peer.log if name == "t1"] == ["GET_STATE"]
    peer.send(Message(type=Message.RESPONSE, payload=b"v", txid="t1", channel_id="edge-a"))
    second.result(20)
    assert not first.done()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ONE = Limits(workers=1, open_transactions=1)


def assert_is_free(server: ChaincodeServer, creator: bytes) -> None:
    """The only worker and the only place are free again as soon as the loss is noticed."""
    peer = FakePeer(server.port, {"a": b"1"})
    deadline = time.monotonic() + 10
    while (response := peer.call(creator, b"get", b"a", transaction="t2")).status == 503:
        assert time.monotonic() < deadline
    assert response.payload == b"1"
    peer.hang_up()


@pytest.mark.parametrize("function", [b"get", b"delete"])
def test_a_lost_stream_frees_its_transactions_and_the_peer_comes_back(
    creator: bytes, function: bytes
) -> None:
    server = ChaincodeServer(contract, PACKAGE, "127.0.0.1:0", limits=ONE)
    server.start()
    try:
        peer = FakePeer(server.port, {})
        peer.silent.add("slow")
        peer.begin(creator, function, b"slow", transaction="t1")
        until(lambda: bool(peer.log))
        peer.hang_up()
        assert_is_free(server, creator)
    finally:
        server.stop(2)


def test_a_stream_that_is_lost_before_the_first_request_frees_its_transaction(creator: bytes) -> None:
    entered, leave = threading.Event(), threading.Event()

    def run(context: Context, function: str, argument: bytes) -> bytes:
        if function != "delete":
            return contract(context, function, argument)
        entered.set()
        assert leave.wait(20)
        return contract(context, function, argument)

    server = ChaincodeServer(run, PACKAGE, "127.0.0.1:0", limits=ONE)
    server.start()
    try:
        peer = FakePeer(server.port, {})
        peer.begin(creator, b"delete", b"a", transaction="t1")
        assert entered.wait(20)
        peer.hang_up()
        until(lambda: not server._servicer._streams)
        leave.set()
        assert_is_free(server, creator)
        assert not peer.log
    finally:
        server.stop(2)


@pytest.mark.parametrize("offer", [None, (1000, 1000)])
def test_the_last_writes_answer_takes_no_worker(
    start: Start, creator: bytes, offer: tuple[int, int] | None
) -> None:
    peer = start(workers=1, open_transactions=9, offer=offer)
    peer.silent.add("slow")
    slow = peer.begin(creator, b"delete", b"slow", transaction="t1")
    assert peer.call(creator, b"get", b"a", transaction="t2").status == 200
    assert not slow.done()
    peer.send(Message(type=Message.RESPONSE, txid="t1", channel_id="edge-a"))
    assert proposal_response_pb2.Response.FromString(slow.result(20).payload).status == 200


@pytest.mark.parametrize("function", ["text", "text after a write", "event"])
def test_what_cannot_be_told_is_an_internal_error_and_ends_nothing_else(
    start: Start, creator: bytes, function: str
) -> None:
    def run(context: Context, called: str, argument: bytes) -> Any:
        if called == "get":
            return b"1"
        if called != "text":
            context.state.put("a", b"1")
        if called == "event":
            context.state.set_event("\ud800", b"")
            return b""
        return "no bytes"

    peer = start(run=run, open_transactions=1)
    assert refusal(peer.call(creator, function.encode(), b"")) == "internal-error"
    assert peer.call(creator, b"get", b"", transaction="t2").payload == b"1"


def test_a_stop_lets_open_transactions_end(creator: bytes) -> None:
    server = ChaincodeServer(contract, PACKAGE, "127.0.0.1:0")
    server.start()
    peer = FakePeer(server.port, {})
    peer.silent.add("slow")
    slow = peer.begin(creator, b"get", b"slow", transaction="t1")
    while not peer.log:
        time.sleep(0.01)
    stopping = threading.Thread(target=server.stop, args=(20,))
    stopping.start()
    while peer.call(creator, b"get", b"a", transaction=f"t{time.monotonic_ns()}").status != 503:
        time.sleep(0.01)
    peer.send(Message(type=Message.RESPONSE, payload=b"v", txid="t1", channel_id="edge-a"))
    completed = proposal_response_pb2.Response.FromString(slow.result(20).payload)
    assert completed.payload == b"v"
    stopping.join(20)
    assert not stopping.is_alive()
    peer.hang_up()


def test_no_log_holds_a_key_a_value_or_the_peers_text(
    start: Start, creator: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        peer = start()
        peer.refused.add("refused-key")
        peer.call(creator, b"put", b"private-key=private-value")
        peer.call(creator, b"get", b"refused-key")
        peer.call(creator, b"exit", b"private-argument")
    assert caplog.text
    for word in ("private-", "refused-key", "secret"):
        assert word not in caplog.text


def test_the_products_contracts_run_behind_it(start: Start, creator: bytes) -> None:
    peer = start(run=invoke)
    organisation = Organisation("A1", "Orchard", KeyPair.generate().spki)
    call = RegisterOrganisation(organisation)
    response = peer.call(creator, call.FUNCTION.encode(), encode(call))
    assert decode_result(RegisterOrganisation, response.payload) == organisation
    query = GetOrganisation("A1")
    response = peer.call(creator, query.FUNCTION.encode(), encode(query))
    assert decode_result(GetOrganisation, response.payload) == organisation
    response = peer.call(creator, b"organisations:get", encode(GetOrganisation("A9")))
    assert (refusal(response), response.status) == ("not-found", 404)


def test_an_address_in_use_is_refused() -> None:
    server = ChaincodeServer(contract, PACKAGE, "127.0.0.1:0")
    with pytest.raises(RuntimeError):
        ChaincodeServer(contract, PACKAGE, f"127.0.0.1:{server.port}")
    server.stop(0)


def self_signed(name: str) -> tuple[bytes, bytes]:
    """Key and certificate for localhost, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def test_mutual_tls_between_peer_and_chaincode(creator: bytes) -> None:
    key, certificate = self_signed("chaincode")
    peer_key, peer_certificate = self_signed("peer")
    stranger_key, stranger_certificate = self_signed("stranger")
    tls = TlsFiles(key, certificate, client_roots=peer_certificate)
    server = ChaincodeServer(contract, PACKAGE, "127.0.0.1:0", tls=tls)
    server.start()
    try:
        good = grpc.ssl_channel_credentials(certificate, peer_key, peer_certificate)
        peer = FakePeer(server.port, {"a": b"1"}, credentials=good)
        assert peer.call(creator, b"get", b"a").payload == b"1"
        peer.hang_up()
        for credentials in (
            grpc.ssl_channel_credentials(certificate),
            grpc.ssl_channel_credentials(certificate, stranger_key, stranger_certificate),
            None,
        ):
            address = f"localhost:{server.port}"
            channel = (
                grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
            )
            with channel, pytest.raises(grpc.FutureTimeoutError):
                grpc.channel_ready_future(channel).result(0.5)
    finally:
        server.stop(0)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_process_loads_neither_torch_nor_flask_and_stops_when_told(
    tmp_path: Path, stop: signal.Signals
) -> None:
    script = (
        "import sys, chaincode.__main__\n"
        "heavy = {'torch', 'flask', 'numpy', 'sklearn', 'requests', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(chaincode.__main__.main(sys.argv[1:]))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, "--address", "127.0.0.1:0", "--ccid", PACKAGE],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            port = int(line.rsplit(" ", 1)[1])
            peer = FakePeer(port, {})
            assert peer.package == PACKAGE
            process.send_signal(stop)
            assert process.wait(20) == 0
            peer.hang_up()
        finally:
            process.kill()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls-key", "k"],
        ["--tls-client-roots", "r"],
        ["--tls-key", "missing", "--tls-certificate", "missing"],
    ],
)
def test_unusable_options_end_with_status_2(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "chaincode", "--address", "127.0.0.1:0", "--ccid", "x", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
