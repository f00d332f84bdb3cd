"""The device's signature: one RFC 9421 profile for HTTP, MQTT, the chain and the audit.

Covered are ``content-digest`` (RFC 9530, sha-256), ``content-type`` and ``edgeproof-chain``; neither method
nor URI, so that the same signature verifies alone, in a batch and years later. The parameters stand in one
order: created, nonce, keyid, alg, tag. All that the base needs is in a ``SignedReading`` and the chain's id.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from identity.keys import ECDSA_P256_SHA256, ED25519, verify_key
from protocol import names
from protocol.encodings import sha256
from protocol.errors import ContentDigestMismatch, InvalidSignatureBase, MalformedHeaders, WrongChain
from protocol.readings import SignedReading

__all__ = [
    "TAG",
    "base_of",
    "check_reading",
    "http_headers",
    "parse_http_headers",
    "record_id",
    "signature_base",
    "signature_parameters",
    "verify_reading",
]

TAG: Final = "edgeproof-reading-v1"
_LABEL: Final = "reading"
_COVERED: Final = ("content-digest", "content-type", "edgeproof-chain")
_MAX_CREATED: Final = 10**15 - 1  # RFC 8941, section 3.3.1: an integer has at most 15 digits
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


def base_of(components: Iterable[tuple[str, str]], parameters: str) -> bytes:
    """A signature base (RFC 9421, section 2.5).

    Args:
        components: serialised identifiers (``"date"`` in its quotes, with parameters) and values.
        parameters: the serialised ``@signature-params`` (section 2.3).

    Raises:
        InvalidSignatureBase: a line break or a character outside ASCII, or a component twice.
    """
    lines = []
    seen = set()
    for identifier, value in components:
        if identifier in seen:
            raise InvalidSignatureBase(f"component {identifier} is covered twice")
        seen.add(identifier)
        lines.append(f"{identifier}: {value}")
    lines.append(f'"@signature-params": {parameters}')
    if not all(line.isascii() and "\n" not in line and "\r" not in line for line in lines):
        raise InvalidSignatureBase("a line of the signature base holds a line break or is not ASCII")
    return "\n".join(lines).encode("ascii")


def signature_parameters(covered: Sequence[str], parameters: Iterable[tuple[str, int | str]]) -> str:
    """The serialised inner list and its parameters in the order given (RFC 9421, section 2.3; RFC 8941).

    Raises:
        InvalidSignatureBase: text that is not printable ASCII, or an integer of more than 15 digits.
    """
    text = "(" + " ".join(covered) + ")"
    for name, value in parameters:
        if isinstance(value, int):
            if abs(value) > _MAX_CREATED:
                raise InvalidSignatureBase(f"{name} has more than 15 digits", name)
            text += f";{name}={value}"
        else:
            if not (value.isascii() and value.isprintable()):
                raise InvalidSignatureBase(f"{name} is not printable ASCII", name)
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            text += f';{name}="{quoted}"'
    return text


def check_reading(reading: SignedReading) -> None:
    """See that every signed field is in its grammar; the signature itself is not looked at.

    Raises:
        InvalidSignatureBase: with the field at fault.
    """
    device, at, gateway = reading.keyid.partition("@")
    _demand(_DEVICE.fullmatch(reading.device) is not None, "device", "is no device name")
    _demand(device == reading.device, "keyid", "does not begin with the device")
    _demand(not at or _GATEWAY.fullmatch(gateway) is not None, "keyid", "names no gateway after the @")
    _demand(reading.algorithm in (ED25519, ECDSA_P256_SHA256), "algorithm", "is not known")
    _demand(0 <= reading.created <= _MAX_CREATED, "created", "is no time in seconds since 1970")
    _demand(_NONCE.fullmatch(reading.nonce) is not None, "nonce", "is not 1 to 64 of A-Z a-z 0-9 - _")
    _demand(len(reading.content_digest) == 32, "content_digest", "is not 32 bytes")
    media_type = reading.content_type
    well_formed = len(media_type) <= 128 and _MEDIA_TYPE.fullmatch(media_type) is not None
    _demand(well_formed, "content_type", "is no media type of at most 128 characters")


def signature_base(chain: str, reading: SignedReading) -> bytes:
    """What the device (or its gateway) signs, exactly as RFC 9421, section 2.5 builds it.

    Args:
        chain: id of the chain that the reading is meant for.
        reading: its signature may still be empty.

    Raises:
        InvalidSignatureBase: a field is outside its grammar.
    """
    values = _covered_values(chain, reading)
    covered = [(f'"{name}"', value) for name, value in zip(_COVERED, values, strict=True)]
    return base_of(covered, _parameters(reading))


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
    _demand(len(reading.signature) == 64, "signature", "is not 64 bytes")
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
    return signature_parameters(
        [f'"{name}"' for name in _COVERED],
        (
            ("created", reading.created),
            ("nonce", reading.nonce),
            ("keyid", reading.keyid),
            ("alg", reading.algorithm),
            ("tag", TAG),
        ),
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


def _demand(holds: bool, field: str, wrong: str) -> None:
    if not holds:
        raise InvalidSignatureBase(f"{field} {wrong}", field)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
