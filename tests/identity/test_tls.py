from __future__ import annotations

import pickle
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from identity import DevelopmentAuthority, KeyStoreError, MalformedIdentity, TlsIdentity, UnsupportedKey
from identity.certificates import read_pem

NOW = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentAuthority:
    return DevelopmentAuthority.create("Org1MSP", tmp_path / "tls-ca", now=NOW, common_name="tlsca.Org1MSP")


def test_a_certificate_carries_its_hosts_and_both_uses(authority: DevelopmentAuthority) -> None:
    identity = authority.issue_tls("main.peer.org1", ["127.0.0.1", "main.peer.org1", "127.0.0.1"], now=NOW)
    assert identity.hosts == ("127.0.0.1", "main.peer.org1")
    certificate = read_pem(identity.certificate_pem)
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {use._name for use in uses} == {"serverAuth", "clientAuth"}
    assert certificate.subject.rfc4514_string() == "CN=main.peer.org1,O=Org1MSP"


def test_a_client_has_no_hosts(authority: DevelopmentAuthority) -> None:
    assert authority.issue_tls("client", [], now=NOW).hosts == ()


@pytest.mark.parametrize("host", ["", "a b", "-a", "a..b", "*.example", "a" * 64, "127.0.0.1:7051"])
def test_what_is_no_host_is_refused(authority: DevelopmentAuthority, host: str) -> None:
    with pytest.raises(MalformedIdentity):
        authority.issue_tls("x", [host], now=NOW)


def test_a_key_can_be_certified_again(authority: DevelopmentAuthority) -> None:
    first = authority.issue_tls("x", ["localhost"], now=NOW, lifetime=timedelta(days=1))
    again = authority.issue_tls("x", ["localhost"], now=NOW, lifetime=timedelta(days=9), key=first.key)
    assert read_pem(first.certificate_pem).public_key() == read_pem(again.certificate_pem).public_key()
    assert again.valid_until - first.valid_until == timedelta(days=8)
    assert again.fingerprint != first.fingerprint


def test_it_is_saved_and_loaded_with_a_private_key(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    identity = authority.issue_tls("x", ["localhost"], now=NOW)
    identity.save(tmp_path / "x")
    assert (tmp_path / "x" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert TlsIdentity.load(tmp_path / "x").certificate_pem == identity.certificate_pem
    (tmp_path / "x" / "key.pem").chmod(0o644)
    with pytest.raises(KeyStoreError):
        TlsIdentity.load(tmp_path / "x")


def test_anothers_key_is_refused(authority: DevelopmentAuthority) -> None:
    one, other = (authority.issue_tls(name, [], now=NOW) for name in "ab")
    with pytest.raises(UnsupportedKey):
        TlsIdentity(one.certificate_pem, other.key)


def test_the_key_is_never_shown(authority: DevelopmentAuthority) -> None:
    identity = authority.issue_tls("x", ["localhost"], now=NOW)
    assert "PRIVATE" not in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)


@pytest.mark.parametrize(("name", "welcome"), [("main.peer.org1", True), ("somebody.else", False)])
def test_openssl_agrees_on_both_ends(
    authority: DevelopmentAuthority, tmp_path: Path, name: str, welcome: bool
) -> None:
    """A handshake with certificates on both sides, the server asked for by its name."""
    (tmp_path / "ca.pem").write_bytes(authority.root_certificate_pem)
    authority.issue_tls("s", ["main.peer.org1"], now=NOW).save(tmp_path / "s")
    authority.issue_tls("c", [], now=NOW).save(tmp_path / "c")

    def context(side: str, protocol: int) -> ssl.SSLContext:
        made = ssl.SSLContext(protocol)
        made.load_verify_locations(tmp_path / "ca.pem")
        made.load_cert_chain(tmp_path / side / "cert.pem", tmp_path / side / "key.pem")
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    ours, theirs = socket.socketpair()
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            with context("s", ssl.PROTOCOL_TLS_SERVER).wrap_socket(theirs, server_side=True) as server:
                server.sendall(b"hello")
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    client = context("c", ssl.PROTOCOL_TLS_CLIENT)
    try:
        if welcome:
            with client.wrap_socket(ours, server_hostname=name) as connection:
                assert connection.recv(5) == b"hello"
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                client.wrap_socket(ours, server_hostname=name)
    finally:
        ours.close()
        thread.join()
        theirs.close()
    assert bool(failures) is not welcome
