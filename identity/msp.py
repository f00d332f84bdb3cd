"""Membership: from a creator's bytes to a checked identity.

Follows Fabric's msp package; stricter where Fabric leaves one identity several encodings. Nothing here reads
a clock: expiry is looked at only for an instant that the caller names, and revocation comes with the
configuration. What was valid under a configuration block therefore stays verifiable under that block for
ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.msp import identities_pb2, msp_config_pb2
from google.protobuf.message import DecodeError, EncodeError

from identity.certificates import (
    PARSE_ERRORS,
    common_name_of,
    read_pem,
    spki_of_certificate,
    subject_units,
)
from identity.errors import ExpiredCertificate, MalformedIdentity, UnknownMsp, UntrustedCertificate
from identity.paths import AuthorityTree
from identity.roles import Role, classify_units

__all__ = ["Identity", "Msp", "MspManager", "parse_serialized_identity"]

MAX_IDENTITY_BYTES = 20 * 1024
MAX_MSP_ID_CHARACTERS = 128
_CACHED_IDENTITIES = 2048
_FABRIC = 0  # msp.ProviderType FABRIC


@dataclass(frozen=True)
class Identity:
    """A member of an organisation, checked.

    Attributes:
        msp_id: the organisation's MSP identifier.
        role: our role, from the certificate's OUs.
        node_class: Fabric's node class: client, peer, orderer or admin.
        common_name: subject's common name.
        certificate_der: the certificate, with a low-S signature; the same bytes however it was sent.
        spki: DER SubjectPublicKeyInfo, for `verify_ecdsa`.
    """

    msp_id: str
    role: Role
    node_class: str
    common_name: str
    certificate_der: bytes
    spki: bytes


@dataclass(frozen=True)
class _Checked:
    """An identity with the validity of its whole path."""

    identity: Identity
    valid_from: datetime
    valid_until: datetime


def parse_serialized_identity(serialized: bytes) -> tuple[str, bytes]:
    """Split ``msp.SerializedIdentity`` into MSP identifier and certificate PEM; nothing is trusted yet.

    Strict: the bytes must be what encoding the result gives, so an identity has one serialisation.

    Raises:
        MalformedIdentity: anything else.
    """
    if not isinstance(serialized, bytes) or not 0 < len(serialized) <= MAX_IDENTITY_BYTES:
        raise MalformedIdentity(f"a serialised identity is 1 to {MAX_IDENTITY_BYTES} bytes")
    message = identities_pb2.SerializedIdentity()
    try:
        message.ParseFromString(serialized)
        message.DiscardUnknownFields()
        again = message.SerializeToString(deterministic=True)
    except (DecodeError, EncodeError, ValueError) as cause:
        raise MalformedIdentity("not an msp.SerializedIdentity") from cause
    if again != serialized:
        raise MalformedIdentity("serialised identity is not in its one encoding")
    if not message.mspid or not message.id_bytes:
        raise MalformedIdentity("serialised identity lacks the MSP identifier or the certificate")
    if len(message.mspid) > MAX_MSP_ID_CHARACTERS:  # it is quoted in errors, hence in logs
        raise MalformedIdentity(f"an MSP identifier is at most {MAX_MSP_ID_CHARACTERS} characters")
    return str(message.mspid), bytes(message.id_bytes)


class Msp:
    """One organisation under one configuration. Immutable, safe to share between threads.

    Attributes:
        msp_id: its identifier.
    """

    def __init__(
        self, msp_id: str, tree: AuthorityTree, certifiers: dict[str, x509.Certificate | None]
    ) -> None:
        """Use `from_config`.

        Args:
            msp_id: its identifier.
            tree: its authorities.
            certifiers: for each node class the authority that must have issued it; None for any.
        """
        self.msp_id = msp_id
        self._tree = tree
        self._certifiers = certifiers
        # A ledger asks for the same few identities with every envelope. Only successes are kept (lru_cache
        # keeps no exceptions), so a flood of garbage cannot push the members out.
        self._check = lru_cache(maxsize=_CACHED_IDENTITIES)(self._check_uncached)

    @classmethod
    def from_config(cls, config: bytes | msp_config_pb2.MSPConfig) -> Msp:
        """Read Fabric's MSP configuration, with every authority and revocation list checked.

        ``admins`` is not used: administrators are those of node class admin. Configurations whose rules would
        not be enforced here are refused, never loosened.

        Raises:
            MalformedIdentity: not such a message, NodeOUs not enabled or with other names than Fabric's own,
                a restriction to listed OUs, other hashes than SHA-256, or a private key in it.
            UntrustedCertificate, RevokedCertificate, UnsupportedKey: an authority or revocation list fails.
        """
        inner = _read_config(config)
        roots = [read_pem(bytes(pem), strict=False) for pem in inner.root_certs]
        intermediates = [read_pem(bytes(pem), strict=False) for pem in inner.intermediate_certs]
        lists = [_read_list(bytes(raw)) for raw in inner.revocation_list]
        try:
            tree = AuthorityTree(roots, intermediates, lists)
        except (ValueError, TypeError, x509.DuplicateExtension) as cause:  # names and extensions parse late
            raise MalformedIdentity("an authority's fields cannot be read") from cause
        units = inner.fabric_node_ous
        named = {
            "client": units.client_ou_identifier,
            "peer": units.peer_ou_identifier,
            "admin": units.admin_ou_identifier,
            "orderer": units.orderer_ou_identifier,
        }
        certifiers: dict[str, x509.Certificate | None] = {}
        for node_class, unit in named.items():
            if unit.organizational_unit_identifier != node_class:
                raise MalformedIdentity(f"the OU of node class {node_class!r} must be {node_class!r}")
            certifier = read_pem(bytes(unit.certificate), strict=False) if unit.certificate else None
            if certifier is not None and certifier not in tree:
                raise UntrustedCertificate(f"the certifier of node class {node_class!r} is no authority here")
            certifiers[node_class] = certifier
        return cls(str(inner.name), tree, certifiers)

    def validate(self, serialized_identity: bytes, *, at: datetime | None = None) -> Identity:
        """Check that the bytes are a member of this organisation.

        Args:
            serialized_identity: ``msp.SerializedIdentity``.
            at: the instant at which the whole path must be valid, with a time zone; None leaves expiry out.

        Returns:
            The identity. Cost: about 2 µs when seen before, else a signature check and parsing (below 1 ms).

        Raises:
            MalformedIdentity: not strictly encoded.
            UnknownMsp: of another organisation.
            UntrustedCertificate: no authority here vouches for it as a member.
            RevokedCertificate: revoked under this configuration.
            ExpiredCertificate: not valid at `at`.
            UnsupportedKey: not a P-256 key.
        """
        if not isinstance(serialized_identity, bytes):
            raise MalformedIdentity("a serialised identity is bytes")
        checked = self._check(serialized_identity)
        if at is not None:
            if at.tzinfo is None:
                raise ExpiredCertificate("the instant asked about carries no time zone")
            # RFC 5280, 4.1.2.5: validity includes both ends.
            if at < checked.valid_from:
                raise ExpiredCertificate(f"certificate is not valid before {checked.valid_from.isoformat()}")
            if at > checked.valid_until:
                raise ExpiredCertificate(f"certificate is not valid after {checked.valid_until.isoformat()}")
        return checked.identity

    def _check_uncached(self, serialized: bytes) -> _Checked:
        msp_id, pem = parse_serialized_identity(serialized)
        if msp_id != self.msp_id:
            raise UnknownMsp(f"identity is of MSP {msp_id!r}, not of {self.msp_id!r}")
        certificate = read_pem(pem)
        try:
            issuer = self._tree.issuer_of(certificate)
            node_class, role = classify_units(subject_units(certificate))
            certifier = self._certifiers[node_class]
            # Fabric: a node class counts only under the authority that the configuration names for it.
            if certifier is not None and certifier != issuer.certificate:
                raise UntrustedCertificate(f"another authority certifies node class {node_class!r}")
            identity = Identity(
                msp_id=msp_id,
                role=role,
                node_class=node_class,
                common_name=common_name_of(certificate),
                certificate_der=certificate.public_bytes(Encoding.DER),
                spki=spki_of_certificate(certificate),
            )
            return _Checked(
                identity,
                max(certificate.not_valid_before_utc, issuer.valid_from),
                min(certificate.not_valid_after_utc, issuer.valid_until),
            )
        except PARSE_ERRORS as cause:
            raise MalformedIdentity("certificate's fields cannot be read") from cause

    def __repr__(self) -> str:
        return f"Msp(msp_id={self.msp_id!r})"


class MspManager:
    """The organisations of one channel under one configuration."""

    def __init__(self) -> None:
        self._msps: dict[str, Msp] = {}

    def add(self, msp: Msp) -> None:
        """Add an organisation.

        Raises:
            MalformedIdentity: one of that identifier is there already.
        """
        if msp.msp_id in self._msps:
            raise MalformedIdentity(f"MSP {msp.msp_id!r} is configured twice")
        self._msps[msp.msp_id] = msp

    @property
    def msp_ids(self) -> frozenset[str]:
        """Identifiers of the organisations here."""
        return frozenset(self._msps)

    def validate(self, serialized: bytes, at: datetime | None = None) -> Identity:
        """Check that the bytes are a member of the organisation that they name; else as `Msp.validate`.

        Raises:
            UnknownMsp: no such organisation here.
        """
        msp_id, _ = parse_serialized_identity(serialized)
        msp = self._msps.get(msp_id)
        if msp is None:
            raise UnknownMsp(f"MSP {msp_id!r} is not configured")
        return msp.validate(serialized, at=at)


def _read_config(config: bytes | msp_config_pb2.MSPConfig) -> msp_config_pb2.FabricMSPConfig:
    """Decode both layers and refuse what would not be enforced."""
    outer, inner = msp_config_pb2.MSPConfig(), msp_config_pb2.FabricMSPConfig()
    try:
        if isinstance(config, bytes):
            outer.ParseFromString(config)
        else:
            outer.CopyFrom(config)
        inner.ParseFromString(outer.config)
    except (DecodeError, TypeError) as cause:
        raise MalformedIdentity("not an msp.MSPConfig") from cause
    if outer.type != _FABRIC:
        raise MalformedIdentity("MSP is not of type FABRIC (X.509)")
    if not inner.name or not inner.root_certs:
        raise MalformedIdentity("MSP configuration lacks its name or its root")
    if not inner.fabric_node_ous.enable:
        raise MalformedIdentity("MSP configuration must enable NodeOUs")
    if inner.organizational_unit_identifiers:
        raise MalformedIdentity("MSP configuration restricts members to listed OUs, which is not supported")
    if inner.HasField("signing_identity"):
        raise MalformedIdentity("MSP configuration must not hold a signing identity")
    crypto = inner.crypto_config
    if crypto.signature_hash_family not in ("", "SHA2") or crypto.identity_identifier_hash_function not in (
        "",
        "SHA256",
    ):
        raise MalformedIdentity("MSP configuration must use SHA-256")
    return inner


def _read_list(raw: bytes) -> x509.CertificateRevocationList:
    try:
        return (
            x509.load_pem_x509_crl(raw) if raw.lstrip().startswith(b"-----") else x509.load_der_x509_crl(raw)
        )
    except PARSE_ERRORS as cause:
        raise MalformedIdentity("not a certificate revocation list") from cause
