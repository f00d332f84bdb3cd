"""X.509 certificates: read strictly, built in Fabric's shape.

Sources: RFC 5280 (profile), Fabric's msp package (which rules Fabric itself applies: low-S certificates, a
    subject key identifier on every authority, no authority used as an identity).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from identity.errors import InvalidSignature, MalformedIdentity, UnsupportedKey, UntrustedCertificate
from identity.signatures import low_s, p256_public_key, spki_of

__all__ = [
    "MAX_CERTIFICATE_BYTES",
    "PARSE_ERRORS",
    "authority_key_identifier",
    "build_certificate",
    "canonical",
    "common_name_of",
    "key_usage_of",
    "make_name",
    "organisation_of",
    "read_pem",
    "spki_of_certificate",
    "subject_units",
    "to_pem",
]

MAX_CERTIFICATE_BYTES = 16 * 1024
PARSE_ERRORS = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm)
"""What ``cryptography`` raises for bytes that are not what they claim; some only when a field is used."""

_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""DER of AlgorithmIdentifier ecdsa-with-SHA256, parameters absent (RFC 5758, section 3.2)."""

# Extensions whose meaning this package checks or knows to be harmless here. Any other critical one refuses.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,  # a TLS matter; Fabric's MSP accepts any
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,  # a TLS matter
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)


def to_pem(certificate: x509.Certificate) -> bytes:
    """PEM with 64-character lines and one newline at the end, as Go and OpenSSL write it."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _sequence(tag: int, content: bytes) -> bytes:
    """One DER tag-length-value."""
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _assemble(tbs: bytes, signature: bytes) -> bytes:
    """DER of a Certificate from its signed part and an ECDSA signature (RFC 5280, section 4.1)."""
    return _sequence(0x30, tbs + _ECDSA_WITH_SHA256 + _sequence(0x03, b"\x00" + signature))


def canonical(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate's one form, after every check that needs no issuer.

    The issuer's ECDSA signature can be turned by anyone into its high-S twin, which would give one identity
    two serialisations. Fabric rewrites to low S before it looks (msp/cert.go, sanitizeECDSASignedCert); so do
    we.

    Returns:
        The certificate with a low-S signature.

    Raises:
        MalformedIdentity: version, serial, extensions or encoding are not as RFC 5280 and DER demand.
        UntrustedCertificate: signed by another algorithm than ECDSA with SHA-256, or with an extension marked
            critical that is not understood.
        UnsupportedKey: the subject's key is not P-256 in its one DER form.
    """
    try:
        # RFC 5280, 4.1.2.1: extensions need version 3.
        if certificate.version is not x509.Version.v3:
            raise MalformedIdentity("certificate is not of version 3")
        # RFC 5280, 4.1.2.2: a positive serial of at most 20 octets.
        if not 0 < certificate.serial_number < 1 << 160:
            raise MalformedIdentity("certificate's serial number is not positive or too long")
        # One algorithm only: a weak hash on any link would void the chain.
        if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise UntrustedCertificate("certificate is not signed by ECDSA with SHA-256")
        # DER outside the signed part must leave no choice, else a stranger could re-encode the identity.
        der = certificate.public_bytes(serialization.Encoding.DER)
        if _assemble(certificate.tbs_certificate_bytes, certificate.signature) != der:
            raise MalformedIdentity("certificate is not in its one DER form")
        fixed = low_s(certificate.signature)
        # RFC 5280, 4.2: an extension that is critical and not understood refuses the certificate
        # (reading them also refuses duplicates).
        for extension in certificate.extensions:
            if extension.critical and extension.oid not in _UNDERSTOOD:
                raise UntrustedCertificate(
                    f"critical extension {extension.oid.dotted_string} is not understood"
                )
        spki_of_certificate(certificate)
        if fixed == certificate.signature:
            return certificate
        return x509.load_der_x509_certificate(_assemble(certificate.tbs_certificate_bytes, fixed))
    except InvalidSignature as cause:
        raise MalformedIdentity(
            "certificate's signature is not the DER of an ECDSA P-256 signature"
        ) from cause
    except PARSE_ERRORS as cause:
        raise MalformedIdentity("certificate's fields cannot be read") from cause


def read_pem(pem: bytes, *, strict: bool = True) -> x509.Certificate:
    """Read one certificate and bring it to its canonical form.

    Args:
        pem: one PEM block.
        strict: True where the bytes name an identity (envelopes): they must be exactly what `to_pem` writes,
            so that an identity has one text. False where they come from an operator's file: text around the
            block is allowed.

    Raises:
        MalformedIdentity: too large, not one PEM certificate, or not canonical PEM.
        UntrustedCertificate, UnsupportedKey: as `canonical`.
    """
    if not isinstance(pem, bytes) or len(pem) > MAX_CERTIFICATE_BYTES:
        raise MalformedIdentity(f"a certificate is at most {MAX_CERTIFICATE_BYTES} bytes of PEM")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except PARSE_ERRORS as cause:
        raise MalformedIdentity("not a PEM certificate") from cause
    if len(certificates) != 1:
        raise MalformedIdentity("not exactly one PEM certificate")
    if strict and to_pem(certificates[0]) != pem:
        raise MalformedIdentity("certificate is not in canonical PEM")
    return canonical(certificates[0])


def spki_of_certificate(certificate: x509.Certificate) -> bytes:
    """The subject's public key as strict DER SubjectPublicKeyInfo.

    Raises:
        UnsupportedKey: not P-256 in its one DER form.
    """
    try:
        key = certificate.public_key()
    except PARSE_ERRORS as cause:
        raise UnsupportedKey("certificate's key cannot be read") from cause
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UnsupportedKey("certificate's key is not ECDSA P-256")
    spki = spki_of(key)
    p256_public_key(spki)
    # The encoding inside the certificate must be that one form as well (no compressed point).
    if spki not in certificate.tbs_certificate_bytes:
        raise UnsupportedKey("certificate's key is not in its one DER form")
    return spki


def _attributes(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    try:
        values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    except PARSE_ERRORS as cause:
        raise MalformedIdentity("certificate's subject cannot be read") from cause
    if not all(isinstance(value, str) for value in values):
        raise MalformedIdentity("certificate's subject holds an attribute that is not text")
    return [str(value) for value in values]


def subject_units(certificate: x509.Certificate) -> list[str]:
    """All organisational units of the subject, in the certificate's order."""
    return _attributes(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)


def common_name_of(certificate: x509.Certificate) -> str:
    """The subject's one common name.

    Raises:
        MalformedIdentity: none, several or an empty one.
    """
    names = _attributes(certificate, NameOID.COMMON_NAME)
    if len(names) != 1 or not names[0]:
        raise MalformedIdentity("certificate's subject must have exactly one common name")
    return names[0]


def organisation_of(certificate: x509.Certificate) -> str | None:
    """The subject's organisation where there is exactly one, else None."""
    names = _attributes(certificate, NameOID.ORGANIZATION_NAME)
    return names[0] if len(names) == 1 and names[0] else None


def key_usage_of(certificate: x509.Certificate) -> x509.KeyUsage:
    """The key usage extension.

    Raises:
        UntrustedCertificate: absent. RFC 5280 demands it of authorities; we demand it of everyone, so that a
            key made for another purpose is never taken for a signing identity.
    """
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as cause:
        raise UntrustedCertificate("certificate has no key usage extension") from cause


def make_name(msp_id: str, units: tuple[str, ...], common_name: str) -> x509.Name:
    """A subject: O = MSP identifier, then the OUs one RDN each, then the common name.

    Raises:
        MalformedIdentity: empty, longer than 64 characters, or with unprintable characters.
    """
    for value in (msp_id, common_name):
        # RFC 5280, appendix A.1: ub-organization-name and ub-common-name are 64.
        if not 0 < len(value) <= 64 or not value.isprintable() or value != value.strip():
            raise MalformedIdentity("names are 1 to 64 printable characters without space at the ends")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, msp_id),
            *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def authority_key_identifier(
    issuer: x509.Certificate | ec.EllipticCurvePublicKey,
) -> x509.AuthorityKeyIdentifier:
    """How a certificate or list names its issuer's key: as the issuer's certificate does.

    Authorities not made here may have an identifier that is no SHA-1 (RFC 7093), so it is not computed anew.

    Args:
        issuer: its certificate; or the key of a root that has none yet.
    """
    if isinstance(issuer, x509.Certificate):
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)


def build_certificate(
    *,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
    authority: bool,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """Sign a certificate with a low-S signature and a random serial of 159 bits.

    Args:
        subject: subject name.
        public_key: subject's key.
        issuer: the issuer's certificate; None for a root.
        issuer_key: issuer's private key.
        now: start of validity, with a time zone; cut to whole seconds.
        lifetime: length of validity, positive.
        authority: True for an authority that certifies identities only (path length 0).
        extensions: more extensions, none of them critical.

    Raises:
        MalformedIdentity: `now` has no time zone, or the lifetime is not positive or leaves the calendar.
    """
    if now.tzinfo is None:
        raise MalformedIdentity("the start of validity must carry a time zone")
    if lifetime < timedelta(seconds=1):
        raise MalformedIdentity("validity must be a positive time")
    start = now.replace(microsecond=0)
    usage = {
        "digital_signature": not authority,
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": authority,
        "crl_sign": authority,
        "encipher_only": False,
        "decipher_only": False,
    }
    try:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + lifetime)
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True
            )
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(authority_key_identifier(public_key if issuer is None else issuer), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
    except (ValueError, OverflowError) as cause:
        raise MalformedIdentity("validity must lie within the calendar") from cause
    return canonical(builder.sign(issuer_key, hashes.SHA256()))
