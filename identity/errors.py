"""What can be wrong with an identity, a key or a signature.

::

    IdentityError
    ├── MalformedIdentity      bytes that are not, strictly, what they claim to be
    ├── UnknownMsp             no organisation of that name is configured
    ├── UntrustedCertificate   well-formed, but no configured authority vouches for it in this use
    │   ├── ExpiredCertificate     outside its validity at the instant the caller named
    │   └── RevokedCertificate     listed by its issuer's revocation list
    ├── InvalidSignature       the signature does not verify, or is not in its one canonical form
    ├── UnsupportedKey         a key of a kind, curve or encoding that is not accepted
    └── KeyStoreError          a private key on disk is missing, readable by others, or would be overwritten

No message of this tree holds key material: messages name files, fields and subjects, never their contents.
"""

from __future__ import annotations

__all__ = [
    "ExpiredCertificate",
    "IdentityError",
    "InvalidSignature",
    "KeyStoreError",
    "MalformedIdentity",
    "RevokedCertificate",
    "UnknownMsp",
    "UnsupportedKey",
    "UntrustedCertificate",
]


class IdentityError(Exception):
    """Root of this package's errors."""


class MalformedIdentity(IdentityError):
    """The bytes are not a strictly encoded identity, certificate, revocation list or MSP configuration."""


class UnknownMsp(IdentityError):
    """The identity names an organisation that is not configured."""


class UntrustedCertificate(IdentityError):
    """No configured authority vouches for this certificate in this use."""


class ExpiredCertificate(UntrustedCertificate):
    """The certificate, or one above it, is not valid at the instant asked about (too late or too early)."""


class RevokedCertificate(UntrustedCertificate):
    """The certificate, or one above it, is on its issuer's revocation list."""


class InvalidSignature(IdentityError):
    """The signature does not verify under this key, or is not in canonical form."""


class UnsupportedKey(IdentityError):
    """The public key is not an Ed25519 or ECDSA P-256 key in its one DER form."""


class KeyStoreError(IdentityError):
    """A private key cannot be read from, or safely written to, its folder."""
