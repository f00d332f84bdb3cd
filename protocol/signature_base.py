"""The device's signature: one RFC 9421 profile for HTTP, MQTT, the chain and the audit.

Covered are ``content-digest`` (RFC 9530, sha-256), ``content-type`` and ``edgeproof-chain``; neither method
nor URI, so that the same signature verifies alone, in a batch and years later. The parameters stand in one
order: created, nonce, keyid, alg, tag. All that the base needs is in a ``SignedReading`` and the chain's id.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final

from identity.keys import ECDSA_P256_SHA256, ED25519, verify_key
from protocol import names
from protocol.encodings import sha256
from protocol.errors import ContentDigestMismatch, InvalidSignatureBase, MalformedHeaders, WrongChain
from protocol.readings import SignedReading

__all__ = [
    "TAG",
    "check_reading",
    "http_headers",
    "parse_http_headers",
    "record_id",
    "signature_base",
    "verify_reading",
]

TAG: Final = "edgeproof-reading-v1"
_LABEL: Final = "reading"
_MAX_CREATED: Final = 10**15 - 1  # RFC 8941, section 3.3.1: an integer has at most 15 digits
_ALGORITHMS: Final = frozenset({ED25519, ECDSA_P256_SHA256})
_MAX_HEADER: Final = 1024

_CHAIN: Final = re.compile(names.CHAIN)
_DEVICE: Final = re.compile(names.NAME)
_GATEWAY: Final = re.compile(names.NAME)
_NONCE: Final = re.compile(names.NONCE)
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# RFC 9110, section 8.3.1; printable ASCII, so that the field's value enters the base as it is.
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[\t !#-\[\]-~]*"))*')

_DIGEST_FIELD: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_SIGNATURE_FIELD: Final = re.compile(rf"{_LABEL}=:([A-Za-z0-9+/]{{86}}==):")
_INPUT_FIELD: Final = re.compile(
    rf'{_LABEL}=\("content-digest" "content-type" "edgeproof-chain"\)'
    r';created=(0|[1-9][0-9]{0,14});nonce="([^"\\]*)";keyid="([^"\\]*)";alg="([^"\\]*)"'
    rf';tag="{TAG}"'
)
_HEADERS: Final = ("Content-Digest", "Content-Type", "Edgeproof-Chain", "Signature-Input", "Signature")


def check_reading(reading: SignedReading) -> None:
    """See that every signed field is in its grammar; the signature itself is not looked at.

    Raises:
        InvalidSignatureBase: with the field at fault.
    """
    device, at, gateway = reading.keyid.partition("@")
    media_type = reading.content_type
    if _DEVICE.fullmatch(reading.device) is None:
        raise _outside("device", "is no device name")
    if device != reading.device:
        raise _outside("keyid", "does not begin with the device")
    if at and _GATEWAY.fullmatch(gateway) is None:
        raise _outside("keyid", "names no gateway after the @")
    if reading.algorithm not in _ALGORITHMS:
        raise _outside("algorithm", "is not known")
    if not 0 <= reading.created <= _MAX_CREATED:
        raise _outside("created", "is no time in seconds since 1970")
    if _NONCE.fullmatch(reading.nonce) is None:
        raise _outside("nonce", "is not 1 to 64 of A-Z a-z 0-9 - _")
    if len(reading.content_digest) != 32:
        raise _outside("content_digest", "is not 32 bytes")
    if len(media_type) > 128 or _MEDIA_TYPE.fullmatch(media_type) is None:
        raise _outside("content_type", "is no media type of at most 128 characters")


def signature_base(chain: str, reading: SignedReading) -> bytes:
    """What the device (or its gateway) signs, exactly as RFC 9421, section 2.5 builds it.

    Args:
        chain: id of the chain that the reading is meant for.
        reading: its signature may still be empty.

    Raises:
        InvalidSignatureBase: a field is outside its grammar.
    """
    digest, media_type, chain = _covered_values(chain, reading)
    return (
        f'"content-digest": {digest}\n"content-type": {media_type}\n"edgeproof-chain": {chain}\n'
        f'"@signature-params": {_parameters(reading)}'
    ).encode("ascii")


def record_id(chain: str, reading: SignedReading) -> bytes:
    """SHA-256 of the signature base, 32 bytes.

    Raises:
        InvalidSignatureBase: a field is outside its grammar.
    """
    return sha256(signature_base(chain, reading))


def verify_reading(chain: str, reading: SignedReading, key_spki: bytes) -> None:
    """Check a reading's signature under an enrolled (or granted) key.

    Raises:
        InvalidSignatureBase: a field is outside its grammar.
        identity.errors.InvalidSignature: the signature does not hold, or claims another algorithm.
        identity.errors.UnsupportedKey: the key is none that devices use.
    """
    verify_key(key_spki, reading.algorithm, signature_base(chain, reading), reading.signature)


def http_headers(chain: str, reading: SignedReading) -> dict[str, str]:
    """The HTTP fields that carry a signed reading beside its bytes.

    Raises:
        InvalidSignatureBase: a field is outside its grammar, or the signature is not 64 bytes.
    """
    digest, media_type, chain = _covered_values(chain, reading)
    if len(reading.signature) != 64:
        raise _outside("signature", "is not 64 bytes")
    values = (
        digest,
        media_type,
        chain,
        f"{_LABEL}={_parameters(reading)}",
        f"{_LABEL}=:{_base64(reading.signature)}:",
    )
    return dict(zip(_HEADERS, values, strict=True))


def parse_http_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes, chain: str | None = None
) -> SignedReading:
    """Read what ``http_headers`` wrote, and nothing else; the signature is not verified here.

    Args:
        headers: all fields of the request; names in any case; fields that are not ours are left alone.
        body: the reading's bytes, whose digest is compared.
        chain: id of the chain that is asked to record; any well-formed one when None.

    Raises:
        MalformedHeaders: a field is missing, appears twice, or is not in the one accepted form.
        ContentDigestMismatch: the digest is not that of ``body``.
        WrongChain: signed for another chain.
        InvalidSignatureBase: a well-formed header holds a value outside its grammar.
    """
    values = _select(headers)
    digest = _match(_DIGEST_FIELD, values, "Content-Digest")
    signature = _match(_SIGNATURE_FIELD, values, "Signature")
    inputs = _match(_INPUT_FIELD, values, "Signature-Input")
    reading = SignedReading(
        device=inputs[3].partition("@")[0],
        keyid=inputs[3],
        algorithm=inputs[4],
        created=int(inputs[1]),
        nonce=inputs[2],
        content_digest=base64.b64decode(digest[1]),
        content_type=values["Content-Type"],
        signature=base64.b64decode(signature[1]),
    )
    named = values["Edgeproof-Chain"]
    # Base64 has spare bits: only the form that we would write ourselves is accepted.
    if http_headers(named, reading) != values:
        raise MalformedHeaders("the signature's fields are not in their canonical form", "Signature")
    if chain is not None and named != chain:
        raise WrongChain(f"signed for chain {named}, not for {chain}", "Edgeproof-Chain")
    if sha256(body) != reading.content_digest:
        raise ContentDigestMismatch("Content-Digest is not the body's SHA-256", "Content-Digest")
    return reading


def _covered_values(chain: str, reading: SignedReading) -> tuple[str, str, str]:
    check_reading(reading)
    if _CHAIN.fullmatch(chain) is None:
        raise InvalidSignatureBase("chain is no chain id", "chain")
    return f"sha-256=:{_base64(reading.content_digest)}:", reading.content_type, chain


def _parameters(reading: SignedReading) -> str:
    """The serialised inner list and its parameters; what ``check_reading`` has passed needs no escape."""
    return (
        f'("content-digest" "content-type" "edgeproof-chain");created={reading.created}'
        f';nonce="{reading.nonce}";keyid="{reading.keyid}";alg="{reading.algorithm}";tag="{TAG}"'
    )


def _select(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    wanted = {name.lower(): name for name in _HEADERS}
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        known = wanted.get(name.lower())
        if known is None:
            continue
        if known in found:
            raise MalformedHeaders(f"{known} appears twice", known)
        if len(value) > _MAX_HEADER:
            raise MalformedHeaders(f"{known} is longer than {_MAX_HEADER} characters", known)
        found[known] = value
    for name in _HEADERS:
        if name not in found:
            raise MalformedHeaders(f"{name} is missing", name)
    return found


def _match(pattern: re.Pattern[str], values: Mapping[str, str], name: str) -> re.Match[str]:
    match = pattern.fullmatch(values[name])
    if match is None:
        raise MalformedHeaders(f"{name} is not in the one accepted form", name)
    return match


def _outside(field: str, wrong: str) -> InvalidSignatureBase:
    return InvalidSignatureBase(f"{field} {wrong}", field)


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")
