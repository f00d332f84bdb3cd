"""Who signs: X.509 authorities, Fabric MSP checks, low-S signers, raw device keys."""

from __future__ import annotations

from identity.authority import DevelopmentAuthority
from identity.errors import (
    ExpiredCertificate,
    IdentityError,
    InvalidSignature,
    KeyStoreError,
    MalformedIdentity,
    RevokedCertificate,
    UnknownMsp,
    UnsupportedKey,
    UntrustedCertificate,
)
from identity.keys import ECDSA_P256_SHA256, ED25519, KeyPair, key_algorithm, verify_key
from identity.msp import Identity, Msp, MspManager, parse_serialized_identity
from identity.msp_folder import write_local_msp, write_msp_folder
from identity.roles import NODE_CLASSES, Role
from identity.signers import Signer, low_s, serialize_identity, verify_ecdsa
from identity.tls import TlsIdentity

__all__ = [
    "ECDSA_P256_SHA256",
    "ED25519",
    "NODE_CLASSES",
    "DevelopmentAuthority",
    "ExpiredCertificate",
    "Identity",
    "IdentityError",
    "InvalidSignature",
    "KeyPair",
    "KeyStoreError",
    "MalformedIdentity",
    "Msp",
    "MspManager",
    "RevokedCertificate",
    "Role",
    "Signer",
    "TlsIdentity",
    "UnknownMsp",
    "UnsupportedKey",
    "UntrustedCertificate",
    "key_algorithm",
    "low_s",
    "parse_serialized_identity",
    "serialize_identity",
    "verify_ecdsa",
    "verify_key",
    "write_local_msp",
    "write_msp_folder",
]
