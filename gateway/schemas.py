"""The shapes of requests: what the OpenAPI document says and what is checked on the way in.

``answers`` has those of what comes back.

Bytes travel as lower-case hex, as everywhere in the project; only a batch's data is base64 (a third shorter
than hex).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol import names

__all__ = [
    "AnchorPath",
    "AnchorsQuery",
    "BatchBody",
    "ChainPath",
    "DevicePath",
    "ElementPath",
    "EnrolBody",
    "GrantBody",
    "InferenceBody",
    "ProofQuery",
    "ReadingHeaders",
    "ReadingItem",
    "RecordPath",
    "RunPath",
    "StatusBody",
]

_MAX_INT: Final = 2**53 - 1

Name = Annotated[str, Field(pattern=f"^{names.NAME}$", examples=["sensor-7"])]
Organisation = Annotated[str, Field(pattern=f"^{names.ORGANISATION}$")]
Chain = Annotated[str, Field(pattern=f"^{names.CHAIN}$", examples=["edge-a"])]
RunName = Annotated[str, Field(pattern=f"^{names.RUN}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="32 bytes in lower-case hex.")]
Hex = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){1,512}$")]
SignatureHex = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Algorithm = Literal["ed25519", "ecdsa-p256-sha256"]
Counter = Annotated[int, Field(ge=1, le=_MAX_INT)]
Index = Annotated[int, Field(ge=0, le=_MAX_INT)]
Status = Literal["active", "suspended", "retired"]
IdempotencyKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# ------------------------------------------------------------------ where things are


class DevicePath(_Input):
    """Names a device."""

    device: Name


class RecordPath(_Input):
    """Names a record."""

    record: Digest


class ChainPath(_Input):
    """Names a chain."""

    chain: Chain


class AnchorPath(_Input):
    """Names an anchor of a chain."""

    model_config = ConfigDict(strict=False)

    chain: Chain
    number: Counter


class ElementPath(_Input):
    """Names an element of a chain."""

    model_config = ConfigDict(strict=False)

    chain: Chain
    number: Counter


class RunPath(_Input):
    """Names a training run."""

    run: RunName


class ProofQuery(_Input):
    """Which proof is wanted."""

    holder: Chain | None = Field(
        None, description="Edge that is to hold main's anchor, not this one; any other if absent."
    )
    profile: Literal["compact", "full"] = "compact"


class AnchorsQuery(_Input):
    """Which anchors are wanted."""

    model_config = ConfigDict(strict=False)

    first: Counter = Field(1, description="Smallest anchor number.")
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class ReadingHeaders(BaseModel):
    """The signature's fields (RFC 9421, RFC 9530); see docs for the profile."""

    content_digest: str = Field(
        alias="Content-Digest", examples=["sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"]
    )
    edgeproof_chain: str = Field(alias="Edgeproof-Chain", examples=["edge-a"])
    signature_input: str = Field(
        alias="Signature-Input",
        examples=[
            'reading=("content-digest" "content-type" "edgeproof-chain");created=1700000000;nonce="n1"'
            ';keyid="sensor-7";alg="ed25519";tag="edgeproof-reading-v1"'
        ],
    )
    signature: str = Field(alias="Signature", examples=["reading=:" + "A" * 86 + "==:"])
    idempotency_key: IdempotencyKey | None = Field(None, alias="Idempotency-Key")


# ------------------------------------------------------------------ what comes in


class AuthorisationBody(_Input):
    """The owner's signature over the request; made by the owner, offline."""

    algorithm: Algorithm
    signature: SignatureHex


class EnrolBody(_Input):
    """Enrols a device; authorised by its owner, with the device's proof of possession."""

    device: Name
    owner: Organisation
    algorithm: Algorithm
    key: Hex = Field(description="DER SubjectPublicKeyInfo.")
    possession: SignatureHex
    authorisation: AuthorisationBody


class StatusBody(_Input):
    """Suspends, resumes or retires a device."""

    status: Status
    sequence: Counter
    authorisation: AuthorisationBody


class GrantBody(_Input):
    """Lets a gateway's key sign for a device, or takes that back."""

    gateway: Name
    algorithm: Algorithm
    key: Hex
    active: bool
    sequence: Counter
    authorisation: AuthorisationBody


class ReadingItem(_Input):
    """One signed reading of a batch."""

    device: Name
    keyid: Annotated[str, Field(pattern=f"^{names.NAME}(?:@{names.NAME})?$")]
    algorithm: Algorithm
    created: Index
    nonce: Annotated[str, Field(pattern=f"^{names.NONCE}$")]
    content_digest: Digest
    content_type: Annotated[str, Field(max_length=128)]
    signature: SignatureHex
    data: Annotated[str, Field(description="The reading's bytes, base64 with padding.")]
    idempotency_key: IdempotencyKey | None = None


class BatchBody(_Input):
    """1 to 512 readings, each answered by itself."""

    readings: Annotated[list[ReadingItem], Field(min_length=1, max_length=512)]


class InferenceBody(_Input):
    """A model's application: which version turned which input into which output."""

    run: RunName
    version: Index
    model: Digest
    input: Digest
    output: Digest
