"""Certification paths: which authority of an organisation vouches for a certificate.

A small explicit check instead of ``cryptography.x509.verification``: that verifier follows the web's profile
(by default it demands a subject alternative name), always judges at an instant, the clock's where none is
given, and knows no revocation lists; an MSP must not look at the clock. Every rule below names its source:
RFC 5280, section 6.1, or Fabric's msp package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature as CryptoInvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from identity.certificates import PARSE_ERRORS, key_usage_of
from identity.errors import MalformedIdentity, RevokedCertificate, UntrustedCertificate

__all__ = ["Authority", "AuthorityTree", "is_authority"]


@dataclass(frozen=True)
class Authority:
    """A certificate authority that was itself checked up to a root.

    Attributes:
        certificate: its certificate.
        parent: the authority above; None for a root.
        depth_left: how many authorities may stand below it; None for any number.
        revoked: serial numbers that it has revoked.
    """

    certificate: x509.Certificate
    parent: Authority | None
    depth_left: int | None
    revoked: frozenset[int] = field(repr=False)

    @property
    def valid_from(self) -> datetime:
        """Latest start of validity from here to the root."""
        own = self.certificate.not_valid_before_utc
        return own if self.parent is None else max(own, self.parent.valid_from)

    @property
    def valid_until(self) -> datetime:
        """Earliest end of validity from here to the root."""
        own = self.certificate.not_valid_after_utc
        return own if self.parent is None else min(own, self.parent.valid_until)


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the CA flag is set (RFC 5280, 4.2.1.9)."""
    constraints = _basic_constraints(certificate)
    return constraints is not None and constraints.ca


def _key_identifier(certificate: x509.Certificate) -> bytes:
    """An authority's subject key identifier (RFC 5280, 4.2.1.2; Fabric: finalizeSetupCAs)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound as cause:
        raise UntrustedCertificate("authority has no subject key identifier") from cause


def _names_issuer(extensions: x509.Extensions, authority: x509.Certificate) -> bool:
    """Whether an authority key identifier, where there is one, is this authority's (RFC 5280, 4.2.1.1)."""
    try:
        named = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return True
    return named is None or named == _key_identifier(authority)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """RFC 5280, 6.1.3 (a)(1) and (a)(4): the issuer's name matches, and its key made the signature."""
    if certificate.issuer != issuer.subject or not _names_issuer(certificate.extensions, issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (CryptoInvalidSignature, *PARSE_ERRORS):
        return False
    return True


def _check_authority(certificate: x509.Certificate) -> x509.BasicConstraints:
    """What an authority's own certificate must say, wherever it stands."""
    constraints = _basic_constraints(certificate)
    # RFC 5280, 6.1.4 (k): the CA flag.
    if constraints is None or not constraints.ca:
        raise UntrustedCertificate("a configured authority lacks the CA flag")
    # RFC 5280, 6.1.4 (n): its key may sign certificates.
    if not key_usage_of(certificate).key_cert_sign:
        raise UntrustedCertificate("a configured authority may not sign certificates")
    _key_identifier(certificate)
    # RFC 5280, 4.2.1.10: name constraints would have to be enforced; they are not, so they refuse.
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            raise UntrustedCertificate("name constraints are not supported")
    return constraints


class AuthorityTree:
    """The authorities of one organisation, checked once, when the configuration is read."""

    def __init__(
        self,
        roots: Sequence[x509.Certificate],
        intermediates: Sequence[x509.Certificate],
        revocation_lists: Sequence[x509.CertificateRevocationList],
    ) -> None:
        """Check every authority up to a root.

        Raises:
            UntrustedCertificate: a root does not sign itself; an intermediate reaches no root; CA flag, key
                usage or path length missing or exceeded; or a revocation list that no authority here has
                signed.
            RevokedCertificate: an intermediate was revoked by its issuer.
            MalformedIdentity: a revocation list of a kind that is not understood.
        """
        certificates = [*roots, *intermediates]
        revoked = _read_revocations(revocation_lists, certificates)
        self._authorities: list[Authority] = []
        for root in roots:
            constraints = _check_authority(root)
            # A root is trusted because it is configured; that it signs itself shows it is meant to be one.
            if not _issued_by(root, root):
                raise UntrustedCertificate("a configured root does not sign itself")
            self._authorities.append(Authority(root, None, constraints.path_length, revoked[root]))
        pending = list(intermediates)
        while pending:
            waiting = [certificate for certificate in pending if not self._adopt(certificate, revoked)]
            if len(waiting) == len(pending):
                raise UntrustedCertificate("a configured intermediate authority reaches no root")
            pending = waiting
        # Fabric: only authorities without others below them certify identities (mspimpl.go,
        # certificationTreeInternalNodesMap).
        inner = {id(authority.parent) for authority in self._authorities}
        self._issuers = [authority for authority in self._authorities if id(authority) not in inner]

    def _adopt(self, certificate: x509.Certificate, revoked: dict[x509.Certificate, frozenset[int]]) -> bool:
        parent = next((a for a in self._authorities if _issued_by(certificate, a.certificate)), None)
        if parent is None:
            return False
        constraints = _check_authority(certificate)
        _check_revocation(certificate, parent)
        # RFC 5280, 6.1.4 (l) and (m): path length.
        if parent.depth_left == 0:
            raise UntrustedCertificate("an intermediate authority exceeds the path length of the one above")
        bounds = [constraints.path_length, None if parent.depth_left is None else parent.depth_left - 1]
        known = [bound for bound in bounds if bound is not None]
        self._authorities.append(
            Authority(certificate, parent, min(known) if known else None, revoked[certificate])
        )
        return True

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return any(authority.certificate == certificate for authority in self._authorities)

    def issuer_of(self, certificate: x509.Certificate) -> Authority:
        """The authority that issued an identity's certificate, after all checks that need no clock.

        Raises:
            UntrustedCertificate: an authority's certificate, no signing key usage, no issuer here, or issued
                outside its issuer's validity.
            RevokedCertificate: on its issuer's list.
        """
        # Fabric: an authority's certificate is not an identity (mspimpl.go,
        # getCertificationChainForBCCSPIdentity).
        if is_authority(certificate):
            raise UntrustedCertificate("an authority's certificate cannot be used as an identity")
        # RFC 5280, 4.2.1.3: the key may sign.
        if not key_usage_of(certificate).digital_signature:
            raise UntrustedCertificate("certificate's key may not sign")
        issuer = next((a for a in self._issuers if _issued_by(certificate, a.certificate)), None)
        if issuer is None:
            raise UntrustedCertificate("certificate was issued by no authority of this organisation")
        _check_revocation(certificate, issuer)
        # Fabric validates a path as of one second after the leaf's start (mspimplvalidate.go,
        # getValidityOptsForCert), so an authority that was not valid when the leaf began vouches for nothing.
        # No clock is involved.
        start = certificate.not_valid_before_utc
        if not issuer.valid_from <= start <= issuer.valid_until:
            raise UntrustedCertificate("certificate begins outside the validity of its authority")
        return issuer


def _check_revocation(certificate: x509.Certificate, issuer: Authority) -> None:
    # Fabric: a listed serial is revoked, whatever date or reason the list gives (mspimplvalidate.go,
    # validateCertAgainstChain). A list takes effect with the configuration that carries it.
    if certificate.serial_number in issuer.revoked:
        raise RevokedCertificate("certificate was revoked by its authority")


def _read_revocations(
    lists: Sequence[x509.CertificateRevocationList], authorities: Sequence[x509.Certificate]
) -> dict[x509.Certificate, frozenset[int]]:
    """Serial numbers revoked by each authority, from lists whose signatures are checked."""
    revoked: dict[x509.Certificate, frozenset[int]] = {
        certificate: frozenset() for certificate in authorities
    }
    try:
        for listed in lists:
            signers = [a for a in authorities if _signed_list(listed, a)]
            # Fabric only warns here; a list that nobody signed is refused, not ignored: someone meant to
            # revoke.
            if not signers:
                raise UntrustedCertificate(
                    "a revocation list was signed by no authority of this organisation"
                )
            # RFC 5280, 5.2 and 5.3: delta lists, partial lists and indirect entries are marked critical.
            if any(extension.critical for extension in listed.extensions):
                raise MalformedIdentity(
                    "a revocation list holds a critical extension: only full lists are accepted"
                )
            serials = set()
            for entry in listed:
                if any(extension.critical for extension in entry.extensions):
                    raise MalformedIdentity("a revocation entry holds a critical extension")
                serials.add(entry.serial_number)
            for signer in signers:
                revoked[signer] |= serials
    except PARSE_ERRORS as cause:
        raise MalformedIdentity("a revocation list cannot be read") from cause
    return revoked


def _signed_list(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    # RFC 5280, 6.3.3 (f) and (g): issuer's name and key identifier, the right to sign lists, the signature.
    if listed.issuer != authority.subject or not _names_issuer(listed.extensions, authority):
        return False
    if not isinstance(listed.signature_hash_algorithm, hashes.SHA256) or not key_usage_of(authority).crl_sign:
        return False
    key = authority.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and listed.is_signature_valid(key)
