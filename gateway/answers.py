"""The shapes of answers, as the OpenAPI document gives them; ``schemas`` has those of requests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.schemas import Digest, Status

__all__ = [
    "AnchorView",
    "AnchorsView",
    "AnswerView",
    "BatchAnswer",
    "ChainView",
    "ChainsView",
    "DeviceView",
    "GrantView",
    "HealthView",
    "InferenceView",
    "LineageView",
    "MembershipView",
    "ProblemView",
    "RecordView",
    "RecordedView",
    "WitnessesView",
]


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True)


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
