"""Signers: an X.509 identity together with its private key."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.msp import identities_pb2

from identity.certificates import (
    common_name_of,
    organisation_of,
    read_pem,
    spki_of_certificate,
    subject_units,
    to_pem,
)
from identity.errors import KeyStoreError, MalformedIdentity, UnsupportedKey
from identity.files import make_private_folder, read_file, read_private_key, write_file, write_private_key
from identity.roles import Role, classify_units
from identity.signatures import low_s, sign_der, spki_of, verify_ecdsa

__all__ = ["Signer", "low_s", "serialize_identity", "verify_ecdsa"]

_CERTIFICATE_FILE = "cert.pem"
_KEY_FILE = "key.pem"


def serialize_identity(msp_id: str, certificate_pem: bytes) -> bytes:
    """Bytes of ``msp.SerializedIdentity``: what Fabric calls the creator."""
    message = identities_pb2.SerializedIdentity(mspid=msp_id, id_bytes=certificate_pem)
    return bytes(message.SerializeToString(deterministic=True))


class Signer:
    """An identity of an organisation that can sign. Immutable; safe to share between threads.

    The private key is never shown: not in ``repr``, not in errors, not by pickling.

    Attributes:
        msp_id: the organisation's MSP identifier.
        certificate_pem: the certificate in canonical PEM, with a low-S signature.
        role: read from the certificate's OUs.
        common_name: read from the certificate's subject.
        spki: DER SubjectPublicKeyInfo of the public key.
    """

    __slots__ = ("_key", "_serialized", "certificate_pem", "common_name", "msp_id", "role", "spki")

    msp_id: str
    certificate_pem: bytes
    role: Role
    common_name: str
    spki: bytes

    def __init__(self, msp_id: str, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        """Join certificate and key.

        Raises:
            MalformedIdentity: the certificate cannot be read, or `msp_id` is empty.
            UntrustedCertificate: its OUs name no role.
            UnsupportedKey: `key` is not P-256, or not the certificate's.
        """
        certificate = read_pem(certificate_pem, strict=False)
        if not msp_id:
            raise MalformedIdentity("an identity needs an MSP identifier")
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UnsupportedKey("a signer's key is ECDSA P-256")
        self.spki = spki_of_certificate(certificate)
        if spki_of(key.public_key()) != self.spki:
            raise UnsupportedKey("private key is not the certificate's")
        self._key = key
        self.msp_id = msp_id
        self.certificate_pem = to_pem(certificate)
        self.common_name = common_name_of(certificate)
        _, self.role = classify_units(subject_units(certificate))
        self._serialized = serialize_identity(msp_id, self.certificate_pem)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The private key, for whoever writes it where another program reads it; never to be shown."""
        return self._key

    def serialized(self) -> bytes:
        """Bytes of ``msp.SerializedIdentity``, the same at every call."""
        return self._serialized

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256 of `message`: DER, low S, the same for the same message (RFC 6979)."""
        return sign_der(self._key, message)

    def save(self, folder: Path) -> None:
        """Write ``cert.pem`` and ``key.pem`` (0600, atomically) into `folder`, made 0700.

        The key goes first: a crash between the two leaves no certificate, or an old one that does not fit the
        new key, and `load` refuses both.

        Raises:
            KeyStoreError: the disk refuses.
        """
        make_private_folder(folder)
        write_private_key(folder / _KEY_FILE, self._key)
        write_file(folder / _CERTIFICATE_FILE, self.certificate_pem, mode=0o644)

    @classmethod
    def load(cls, folder: Path, *, msp_id: str | None = None) -> Signer:
        """Read back what `save` wrote.

        Args:
            folder: holds ``cert.pem`` and ``key.pem``.
            msp_id: the MSP identifier where the certificate's organisation (O) is not it, as with
                certificates of a foreign authority.

        Raises:
            KeyStoreError: a file is missing, or the key is open to others or of another kind.
            MalformedIdentity, UntrustedCertificate, UnsupportedKey: as the constructor.
        """
        pem = read_file(folder / _CERTIFICATE_FILE)
        key = read_private_key(folder / _KEY_FILE)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyStoreError(f"{folder / _KEY_FILE} is not an ECDSA P-256 key")
        name = msp_id or organisation_of(read_pem(pem, strict=False))
        if name is None:
            raise MalformedIdentity("certificate names no organisation: give the MSP identifier")
        return cls(name, pem, key)

    def __repr__(self) -> str:
        return f"Signer(msp_id={self.msp_id!r}, common_name={self.common_name!r}, role={self.role.value!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled: save it to a folder")
