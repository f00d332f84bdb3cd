"""TLS identities: certificates under which endpoints are reached, with their keys."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from identity.certificates import read_pem, spki_of_certificate, to_pem
from identity.errors import KeyStoreError, MalformedIdentity, UnsupportedKey
from identity.files import make_private_folder, read_file, read_private_key, write_file, write_private_key
from identity.signatures import spki_of

__all__ = ["TlsIdentity", "tls_extensions"]

_CERTIFICATE_FILE = "cert.pem"
_KEY_FILE = "key.pem"
_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


def tls_extensions(hosts: Sequence[str]) -> tuple[x509.ExtensionType, ...]:
    """Extended key usage for both ends, and the alternative names.

    Raises:
        MalformedIdentity: a host that is neither an IP address nor a DNS name.
    """
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    if not hosts:
        return (usage,)
    return usage, x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if _DNS_NAME.fullmatch(host) is None:
            raise MalformedIdentity(f"{host!r} is neither an IP address nor a DNS name") from None
        return x509.DNSName(host)


class TlsIdentity:
    """A certificate for TLS with its private key. The key is never shown.

    Attributes:
        certificate_pem: the certificate in PEM.
        key: the private key.
    """

    __slots__ = ("certificate_pem", "key")

    def __init__(self, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        """Join certificate and key.

        Raises:
            MalformedIdentity: the certificate cannot be read.
            UnsupportedKey: the key is not the certificate's.
        """
        certificate = read_pem(certificate_pem, strict=False)
        if spki_of(key.public_key()) != spki_of_certificate(certificate):
            raise UnsupportedKey("private key is not the certificate's")
        self.certificate_pem = to_pem(certificate)
        self.key = key

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS #8 PEM, for a TLS library; never to be shown."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate's DER, which Fabric's mutual TLS binds into a request's header."""
        return read_pem(self.certificate_pem).fingerprint(hashes.SHA256())

    @property
    def valid_until(self) -> datetime:
        """The end of the certificate's validity."""
        return read_pem(self.certificate_pem).not_valid_after_utc

    @property
    def hosts(self) -> tuple[str, ...]:
        """IP addresses and DNS names that the certificate carries."""
        try:
            names = read_pem(self.certificate_pem).extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
        except x509.ExtensionNotFound:
            return ()
        return tuple(str(name.value) for name in names.value)

    def save(self, folder: Path) -> None:
        """Write ``cert.pem`` and ``key.pem`` (0600, atomically) into ``folder``, made 0700; the key first.

        Raises:
            KeyStoreError: the disk refuses.
        """
        make_private_folder(folder)
        write_private_key(folder / _KEY_FILE, self.key)
        write_file(folder / _CERTIFICATE_FILE, self.certificate_pem, mode=0o644)

    @classmethod
    def load(cls, folder: Path) -> TlsIdentity:
        """Read back what `save` wrote.

        Raises:
            KeyStoreError: a file is missing, or the key is open to others or of another kind.
            MalformedIdentity, UnsupportedKey: as the constructor.
        """
        pem = read_file(folder / _CERTIFICATE_FILE)
        key = read_private_key(folder / _KEY_FILE)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyStoreError(f"{folder / _KEY_FILE} is not an ECDSA P-256 key")
        return cls(pem, key)

    def __repr__(self) -> str:
        return f"TlsIdentity(hosts={self.hosts!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TLS identity is not pickled: save it to a folder")
