"""The development authority: one organisation's certificate authority in one folder.

For demonstrations, tests and small set-ups. An organisation with an authority of its own needs nothing of
this: `identity.msp` reads any MSP configuration that Fabric reads.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature as CryptoInvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.msp import msp_config_pb2

from identity.certificates import (
    PARSE_ERRORS,
    authority_key_identifier,
    build_certificate,
    make_name,
    organisation_of,
    read_pem,
    spki_of_certificate,
    to_pem,
)
from identity.errors import KeyStoreError, MalformedIdentity, UntrustedCertificate
from identity.files import make_private_folder, read_file, read_private_key, write_file, write_private_key
from identity.roles import Role, units_of
from identity.signatures import low_s, spki_of
from identity.signers import Signer
from identity.tls import TlsIdentity, tls_extensions

__all__ = ["DevelopmentAuthority"]

_CERTIFICATE_FILE = "cert.pem"
_KEY_FILE = "key.pem"
_REVOCATIONS_FILE = "crl.pem"
_LOCK_FILE = ".lock"
_TEN_YEARS = timedelta(days=3650)
_ONE_YEAR = timedelta(days=365)


class DevelopmentAuthority:
    """One organisation's root authority: issues and revokes identities, describes itself as a Fabric MSP.

    Its folder holds ``cert.pem``, ``key.pem`` (0600) and, once something was revoked, ``crl.pem``. Several
    processes may use one folder at once.

    Attributes:
        msp_id: the organisation's MSP identifier, also the O of every subject.
        root_certificate_pem: the self-signed root in PEM.
    """

    __slots__ = ("_certificate", "_folder", "_key", "msp_id", "root_certificate_pem")

    msp_id: str
    root_certificate_pem: bytes

    def __init__(self, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey, folder: Path) -> None:
        """Use `load` or `create`.

        Raises:
            MalformedIdentity: certificate unreadable or without organisation.
            KeyStoreError: the key is not the certificate's.
        """
        self._certificate = read_pem(certificate_pem, strict=False)
        if spki_of(key.public_key()) != spki_of_certificate(self._certificate):
            raise KeyStoreError(f"{folder / _KEY_FILE} is not the key of {folder / _CERTIFICATE_FILE}")
        name = organisation_of(self._certificate)
        if name is None:
            raise MalformedIdentity("root certificate names no organisation")
        self.msp_id = name
        self.root_certificate_pem = to_pem(self._certificate)
        self._key = key
        self._folder = folder

    @classmethod
    def create(
        cls,
        msp_id: str,
        folder: Path,
        *,
        now: datetime,
        lifetime: timedelta = _TEN_YEARS,
        common_name: str | None = None,
    ) -> DevelopmentAuthority:
        """Make a new authority in `folder` (made 0700).

        Args:
            msp_id: MSP identifier, at most 64 printable characters.
            folder: where it lives; must hold no authority yet.
            now: start of validity, with a time zone.
            lifetime: length of validity.
            common_name: of the root's subject; ``ca.<msp_id>`` where not given.

        Raises:
            KeyStoreError: `folder` already holds an authority, or the disk refuses.
            MalformedIdentity: bad name or validity.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = make_name(msp_id, (), common_name or f"ca.{msp_id}"[:64])
        certificate = build_certificate(
            subject=name,
            public_key=key.public_key(),
            issuer=None,
            issuer_key=key,
            now=now,
            lifetime=lifetime,
            authority=True,
        )
        make_private_folder(folder)
        if (folder / _CERTIFICATE_FILE).exists():
            raise KeyStoreError(f"{folder} already holds an authority")
        # The key is never overwritten: a lost authority key cannot be had again.
        write_private_key(folder / _KEY_FILE, key, replace=False)
        write_file(folder / _CERTIFICATE_FILE, to_pem(certificate), mode=0o644)
        return cls(to_pem(certificate), key, folder)

    @classmethod
    def load(cls, folder: Path) -> DevelopmentAuthority:
        """Open the authority in `folder`.

        Raises:
            KeyStoreError: nothing there, or the key is open to others or does not fit.
            MalformedIdentity: the certificate cannot be read.
        """
        pem = read_file(folder / _CERTIFICATE_FILE)
        key = read_private_key(folder / _KEY_FILE)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyStoreError(f"{folder / _KEY_FILE} is not an ECDSA P-256 key")
        return cls(pem, key, folder)

    @property
    def valid_from(self) -> datetime:
        """The start of the root's validity; nothing is issued for an earlier time."""
        return self._certificate.not_valid_before_utc

    @property
    def valid_until(self) -> datetime:
        """The end of the root's validity; nothing is valid beyond it."""
        return self._certificate.not_valid_after_utc

    def issue(
        self, common_name: str, role: Role, *, now: datetime, lifetime: timedelta = _ONE_YEAR
    ) -> Signer:
        """Make a key and certify it. Nothing is written: `Signer.save` does that.

        Args:
            common_name: at most 64 printable characters.
            role: becomes the subject's OUs.
            now: start of validity, with a time zone, not before the root's own.
            lifetime: length of validity; cut where the root ends.

        Raises:
            MalformedIdentity: bad name or validity, or `now` outside the root's validity.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(units_of(Role(role)), common_name, key.public_key(), now, lifetime)
        return Signer(self.msp_id, to_pem(certificate), key)

    def renew(self, signer: Signer, *, now: datetime, lifetime: timedelta = _ONE_YEAR) -> Signer:
        """Certify a signer's key again, under the same name and role, for a new time.

        Raises:
            UntrustedCertificate: another organisation's signer.
            MalformedIdentity: as `issue`.
        """
        if signer.msp_id != self.msp_id:
            raise UntrustedCertificate(f"{signer.msp_id!r} is not this authority's organisation")
        units = units_of(signer.role)
        certificate = self._certify(units, signer.common_name, signer.key.public_key(), now, lifetime)
        return Signer(self.msp_id, to_pem(certificate), signer.key)

    def issue_tls(
        self,
        common_name: str,
        hosts: Sequence[str],
        *,
        now: datetime,
        lifetime: timedelta = _ONE_YEAR,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> TlsIdentity:
        """Certify a TLS endpoint, good as server and as client (RFC 5280, sections 4.2.1.6 and 4.2.1.12).

        To be asked of an authority kept for TLS alone: a TLS certificate carries no node class, and nobody is
        a member by it.

        Args:
            common_name: at most 64 printable characters.
            hosts: IP addresses and DNS names under which it is reached; none for a client.
            now: start of validity, with a time zone, not before the root's own.
            lifetime: length of validity; cut where the root ends.
            key: a key to certify again; a new one where not given.

        Raises:
            MalformedIdentity: bad name, host or validity, or `now` outside the root's validity.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions = tls_extensions(hosts)
        certificate = self._certify((), common_name, key.public_key(), now, lifetime, extensions)
        return TlsIdentity(to_pem(certificate), key)

    def _certify(
        self,
        units: tuple[str, ...],
        common_name: str,
        key: ec.EllipticCurvePublicKey,
        now: datetime,
        lifetime: timedelta,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> x509.Certificate:
        # A leaf that outlives its root, or precedes it, is refused by every verifier of its chain.
        root = self._certificate
        if (
            now.tzinfo is None
            or not root.not_valid_before_utc <= now.replace(microsecond=0) < root.not_valid_after_utc
        ):
            raise MalformedIdentity(
                "the start of validity must carry a time zone and lie within the root's validity"
            )
        return build_certificate(
            subject=make_name(self.msp_id, units, common_name),
            public_key=key,
            issuer=root,
            issuer_key=self._key,
            now=now,
            lifetime=min(lifetime, root.not_valid_after_utc - now.replace(microsecond=0)),
            authority=False,
            extensions=extensions,
        )

    def revoke(self, certificate: bytes | Signer, *, now: datetime | None = None) -> bytes:
        """Put a certificate on the revocation list, for good.

        Takes effect for a verifier when it is given a configuration that holds the new list.

        Args:
            certificate: PEM of a certificate that this authority issued, or its signer.
            now: the list's date; the system's clock where not given (it decides nothing: see `identity.msp`).

        Returns:
            The new revocation list, PEM; also kept in the folder. Revoking twice changes nothing but its
            number.

        Raises:
            UntrustedCertificate: not issued by this authority.
            MalformedIdentity: not a certificate.
            KeyStoreError: the disk refuses.
        """
        pem = certificate.certificate_pem if isinstance(certificate, Signer) else certificate
        target = read_pem(pem, strict=False)
        try:
            target.verify_directly_issued_by(self._certificate)
        except (CryptoInvalidSignature, *PARSE_ERRORS) as cause:
            raise UntrustedCertificate("certificate was not issued by this authority") from cause
        date = (now or datetime.now(UTC)).replace(microsecond=0)
        with self._locked():
            old = self.revocation_list_pem
            entries: dict[int, datetime] = {}
            number = 1
            if old is not None:
                listed = x509.load_pem_x509_crl(old)
                entries = {entry.serial_number: entry.revocation_date_utc for entry in listed}
                number = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
            entries.setdefault(target.serial_number, date)
            pem = self._sign_list(entries, number, date)
            write_file(self._folder / _REVOCATIONS_FILE, pem, mode=0o644)
        return pem

    def _sign_list(self, entries: dict[int, datetime], number: int, date: datetime) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(date)
            .next_update(date + _TEN_YEARS)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(authority_key_identifier(self._certificate), critical=False)
        )
        for serial, revoked in sorted(entries.items()):
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked).build()
            )
        while True:  # a fresh nonce each time: low S after two attempts on average
            signed = builder.sign(self._key, hashes.SHA256())
            if low_s(signed.signature) == signed.signature:
                return signed.public_bytes(serialization.Encoding.PEM)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock: two processes that revoke at once must not lose one entry."""
        try:
            descriptor = os.open(self._folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as cause:
            raise KeyStoreError(f"cannot lock {self._folder}: {cause.strerror}") from cause
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @property
    def revocation_list_pem(self) -> bytes | None:
        """The current revocation list, None while nothing was revoked."""
        path = self._folder / _REVOCATIONS_FILE
        return read_file(path) if path.exists() else None

    def fabric_msp_config(self) -> msp_config_pb2.MSPConfig:
        """The organisation as Fabric's ``msp.MSPConfig``: root, NodeOUs, current revocation list.

        It holds no secret.
        """
        root = self.root_certificate_pem

        def unit(name: str) -> msp_config_pb2.FabricOUIdentifier:
            return msp_config_pb2.FabricOUIdentifier(certificate=root, organizational_unit_identifier=name)

        revocations = self.revocation_list_pem
        inner = msp_config_pb2.FabricMSPConfig(
            name=self.msp_id,
            root_certs=[root],
            revocation_list=[] if revocations is None else [revocations],
            crypto_config=msp_config_pb2.FabricCryptoConfig(
                signature_hash_family="SHA2", identity_identifier_hash_function="SHA256"
            ),
            fabric_node_ous=msp_config_pb2.FabricNodeOUs(
                enable=True,
                client_ou_identifier=unit("client"),
                peer_ou_identifier=unit("peer"),
                admin_ou_identifier=unit("admin"),
                orderer_ou_identifier=unit("orderer"),
            ),
        )
        return msp_config_pb2.MSPConfig(type=0, config=inner.SerializeToString(deterministic=True))

    def __repr__(self) -> str:
        return f"DevelopmentAuthority(msp_id={self.msp_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an authority is not pickled: load it from its folder")
