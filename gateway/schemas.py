"""The shapes of requests and answers: what the OpenAPI document says and what is checked on the way in.

Bytes travel as lower-case hex, as everywhere in the project; only a batch's data is base64 (a third shorter
than hex).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol import names

__all__ = [
    "AnchorPath",
    "AnchorView",
    "AnchorsQuery",
    "AnchorsView",
    "BatchAnswer",
    "BatchBody",
    "ChainPath",
    "ChainsView",
    "DevicePath",
    "DeviceView",
    "ElementPath",
    "EnrolBody",
    "GrantBody",
    "GrantView",
    "HealthView",
    "InferenceBody",
    "InferenceView",
    "LineageView",
    "MembershipView",
    "ProblemView",
    "ProofQuery",
    "ReadingHeaders",
    "ReadingItem",
    "RecordPath",
    "RecordView",
    "RecordedView",
    "RunPath",
    "StatusBody",
    "WitnessesView",
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


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True)


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
        None, description="Chain that is to hold the anchor; any other edge if absent."
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


# ------------------------------------------------------------------ what goes out


class ProblemView(_Output):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


class DeviceView(_Output):
    """A device as the chain has it."""

    device: str
    owner: str
    algorithm: str
    key: str
    status: Status
    sequence: int


class GrantView(_Output):
    """A grant as the chain has it."""

    device: str
    gateway: str
    algorithm: str
    key: str
    active: bool
    sequence: int


class RecordedView(_Output):
    """A recorded reading: committed on the chain, its bytes durable."""

    record: Digest
    chain: str
    transaction: str
    index: int
    count: int


class AnswerView(_Output):
    """One reading's answer in a batch."""

    status: Literal["recorded", "refused"]
    recorded: RecordedView | None = None
    problem: ProblemView | None = None


class BatchAnswer(_Output):
    """The answers to a batch, in its order."""

    answers: list[AnswerView]


class RecordView(_Output):
    """A record as the chain keeps it."""

    record: Digest
    chain: str
    transaction: str
    index: int
    count: int
    device: str
    keyid: str
    algorithm: str
    created: int
    nonce: str
    content_digest: Digest
    content_type: str
    signature: str
    key: Digest = Field(description="SHA-256 of the key that verified it.")


class ChainView(_Output):
    """Where a chain stands."""

    chain: str
    height: int
    header_hash: Digest
    role: Literal["edge", "main"]


class ChainsView(_Output):
    """The chains that this gateway reads."""

    chains: list[ChainView]


class AnchorView(_Output):
    """An anchor statement and who signed it."""

    chain: str
    number: int
    held_by: str = Field(description="The chain that this was read from.")
    digest: Digest
    statement: dict[str, Any]
    signatures: list[dict[str, Any]]


class AnchorsView(_Output):
    """Anchors of one chain, by number."""

    chain: str
    held_by: str
    newest: int = Field(description="Number of the newest anchor; 0 for none.")
    anchors: list[AnchorView]


class MembershipView(_Output):
    """An element, and its membership in the accumulator value of an anchor."""

    chain: str
    number: int
    block: int
    index: int = Field(description="Position in the block, from 0.")
    code: int = Field(description="Validation code, 0 for valid.")
    envelope_hash: Digest
    payload: str = Field(description="The chaincode's response payload; its SHA-256 is in the element.")
    anchor: int = Field(description="Number of the anchor whose range holds the element.")
    offset: int = Field(description="How far the prime representative lies from the element's hash.")
    witness: str = Field(description="Membership witness, big-endian, as wide as the modulus, in hex.")


class WitnessesView(_Output):
    """How far the membership witnesses of an anchor's range are."""

    chain: str
    anchor: int
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    made: int
    whole: int = Field(description="Membership witnesses of the range; 0 until that is known.")
    cancelled: bool = Field(description="Whether somebody asked to stop.")
    reason: str = Field(description="Why it failed; else empty.")


class InferenceView(_Output):
    """A recorded inference."""

    transaction: str
    chain: str
    run: str
    version: int
    model: Digest
    input: Digest
    output: Digest


class LineageView(_Output):
    """Where a model comes from, as far as this gateway's chains tell."""

    run: str
    chain: str = Field(description="The chain that the run was read from.")
    recipe: dict[str, Any]
    rounds: int
    initial: Digest
    versions: list[dict[str, Any]] = Field(description="Aggregates on main, each with its outcome.")
    steps: list[dict[str, Any]] = Field(description="This edge's steps, each with its outcome.")
    published: dict[str, Any] | None = Field(None, description="Newest version that this edge holds.")


class HealthView(_Output):
    """Whether the gateway lives, or is ready."""

    status: Literal["ok"]
