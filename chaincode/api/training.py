"""Runs, steps, attestations and models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from chaincode.api.interlock import CrossChainProof

__all__ = [
    "AdoptRun",
    "AggregateInput",
    "Attest",
    "Attestation",
    "Attestations",
    "CommitModel",
    "CreateRun",
    "EdgeRoster",
    "Environment",
    "Expire",
    "GetAttestations",
    "GetModel",
    "GetOutcome",
    "GetPublished",
    "GetRun",
    "GetStep",
    "ModelVersion",
    "Outcome",
    "PublishModel",
    "PublishedModel",
    "Recipe",
    "Run",
    "State",
    "Step",
    "Subject",
    "SubmitStep",
]


@dataclass(frozen=True)
class Recipe:
    """All that decides a step's result beside its inputs; frozen with the run."""

    code: str
    """Versioned name of the update rule, for example ``edgeproof/sgd/v1``."""
    model: str
    """``logistic``, ``mlp`` or ``cnn``."""
    data_set: str
    """How a reading's bytes become an example, for example ``edgeproof/digits/v1``."""
    classes: int
    features: int
    epochs: int
    """Local passes over the data set a step."""
    batch_size: int
    learning_rate_ppm: int
    """Learning rate in millionths."""
    momentum_ppm: int
    seed: int
    fixed_point_bits: int
    """Scale of the integer aggregation: weights are rounded to multiples of 2^-bits."""


@dataclass(frozen=True)
class EdgeRoster:
    """The organisations that train and attest on one chain, and the chain's threshold."""

    chain: str
    organisations: tuple[str, ...]
    threshold: int
    """Distinct organisations, the trainer included, that make a step accepted."""


@dataclass(frozen=True)
class Run:
    """A training run. State key ``run/<run>`` on main, and on each edge once adopted."""

    run: str
    recipe: Recipe
    rounds: int
    rosters: tuple[EdgeRoster, ...]
    """One a chain, main included (main's organisations aggregate), sorted by chain."""
    initial: bytes
    """Tree hash of the initial weights (model version 0)."""
    deadline: int
    """Seconds since 1970 UTC after which steps expire."""


@dataclass(frozen=True)
class CreateRun:
    """On main, by an aggregator or admin of the run's main roster."""

    FUNCTION: ClassVar[str] = "runs:create"
    RESULT: ClassVar[type[Run]] = Run
    run: Run


@dataclass(frozen=True)
class AdoptRun:
    """On an edge: takes over a run of main, proved by main's anchor held here."""

    FUNCTION: ClassVar[str] = "runs:adopt"
    RESULT: ClassVar[type[Run]] = Run
    proof: CrossChainProof


@dataclass(frozen=True)
class GetRun:
    """A run that was created, or adopted, here."""

    FUNCTION: ClassVar[str] = "runs:get"
    RESULT: ClassVar[type[Run]] = Run
    run: str


@dataclass(frozen=True)
class Environment:
    """Fingerprint of where a result was computed; equal fingerprints promise bit-equal results."""

    python: str
    torch: str
    """Version; ``none`` where integers alone were computed."""
    machine: str
    """Architecture, and the processor's vendor, family and model where the system tells."""
    capability: str
    """Vector instructions that torch uses; ``exact-integer`` where integers alone were computed."""


class State(StrEnum):
    """Where an attempt at a step or an aggregate stands."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Step:
    """One local update on an edge. State key ``step/<run>/<number>/<attempt>``."""

    run: str
    number: int
    """i + 1 of the paper's equation (2), dense from 1; one a round."""
    attempt: int
    """Dense from 1; a new one only after the last was rejected or expired."""
    trainer: str
    """MSP id."""
    parent: bytes
    """Tree hash of M_i (the result of the step before; the run's initial weights for step 1)."""
    aggregate: bytes
    """Tree hash of M_O."""
    aggregate_version: int
    data: bytes
    """Data set d_{i+1}: store address (SHA-256) of its manifest, the canonical JSON list of record ids."""
    examples: int
    result: bytes
    """Tree hash of M_{i+1}."""
    commitment: bytes
    """``step_commitment`` over all of the above."""
    environment: Environment


@dataclass(frozen=True)
class SubmitStep:
    """By a trainer of the roster; M_O is proved by main's anchor held here.

    That the manifest's records stand on this chain is checked by every peer before it computes (a contract
    that read them all would make each step conflict with nothing but cost a read a record).

    ``proof`` is null only for aggregate version 0 (the run's initial weights, which the run names).
    """

    FUNCTION: ClassVar[str] = "steps:submit"
    RESULT: ClassVar[type[Step]] = Step
    step: Step
    proof: CrossChainProof | None


class Subject(StrEnum):
    """What is voted on."""

    STEP = "step"
    AGGREGATE = "aggregate"


@dataclass(frozen=True)
class Attestation:
    """One organisation's vote after recomputing.

    State key ``attestation/<subject>/<run>/<number>/<attempt>/<msp_id>``, write-once.
    """

    subject: Subject
    run: str
    number: int
    attempt: int
    commitment: bytes
    organisation: str
    agrees: bool
    verdict: str
    """``equal``, ``within`` or ``differs``."""
    recomputed: bytes
    """Tree hash that the peer computed; empty when an input was withheld."""
    environment: Environment


@dataclass(frozen=True)
class Outcome:
    """Where a subject stands after a vote. State key ``outcome/<subject>/<run>/<number>/<attempt>``."""

    subject: Subject
    run: str
    number: int
    attempt: int
    commitment: bytes
    result: bytes
    examples: int
    state: State
    agreeing: tuple[str, ...]
    """MSP ids, the author's included, sorted."""
    disagreeing: tuple[str, ...]


@dataclass(frozen=True)
class Attest:
    """By a trainer (on a step) or an aggregator (on an aggregate) of the run's roster; once."""

    FUNCTION: ClassVar[str] = "attestations:attest"
    RESULT: ClassVar[type[Outcome]] = Outcome
    attestation: Attestation


@dataclass(frozen=True)
class Expire:
    """Anyone, after the run's deadline: a pending attempt becomes expired."""

    FUNCTION: ClassVar[str] = "attestations:expire"
    RESULT: ClassVar[type[Outcome]] = Outcome
    subject: Subject
    run: str
    number: int
    attempt: int


@dataclass(frozen=True)
class GetStep:
    """``attempt`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "steps:get"
    RESULT: ClassVar[type[Step]] = Step
    run: str
    number: int
    attempt: int


@dataclass(frozen=True)
class GetOutcome:
    """``attempt`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "attestations:outcome"
    RESULT: ClassVar[type[Outcome]] = Outcome
    subject: Subject
    run: str
    number: int
    attempt: int


@dataclass(frozen=True)
class Attestations:
    """The votes on one attempt, sorted by organisation; the author's submission is not among them."""

    attestations: tuple[Attestation, ...]


@dataclass(frozen=True)
class GetAttestations:
    """``attempt`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "attestations:list"
    RESULT: ClassVar[type[Attestations]] = Attestations
    subject: Subject
    run: str
    number: int
    attempt: int


@dataclass(frozen=True)
class AggregateInput:
    """An accepted step that entered an aggregate."""

    chain: str
    number: int
    attempt: int
    commitment: bytes
    result: bytes
    examples: int


@dataclass(frozen=True)
class ModelVersion:
    """An aggregate, on main. State key ``model/<run>/<version>/<attempt>``; ``version`` is the round."""

    run: str
    version: int
    attempt: int
    parent: bytes
    """Tree hash of version - 1."""
    inputs: tuple[AggregateInput, ...]
    """Sorted by chain."""
    result: bytes
    commitment: bytes
    """``aggregate_commitment`` over all of the above and the recipe."""
    author: str
    environment: Environment


@dataclass(frozen=True)
class CommitModel:
    """By an aggregator of main's roster; each input is proved by the ``Outcome`` element of its edge."""

    FUNCTION: ClassVar[str] = "models:commit"
    RESULT: ClassVar[type[ModelVersion]] = ModelVersion
    model: ModelVersion
    proofs: tuple[CrossChainProof, ...]
    """One an input, in order: the accepting ``attestations:attest`` of the edge."""


@dataclass(frozen=True)
class GetModel:
    """``version`` 0 is the run's initial weights and not found here; ``attempt`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "models:get"
    RESULT: ClassVar[type[ModelVersion]] = ModelVersion
    run: str
    version: int
    attempt: int


@dataclass(frozen=True)
class PublishedModel:
    """An accepted version as an edge knows it. State key ``published/<run>/<version>`` on an edge."""

    run: str
    version: int
    result: bytes


@dataclass(frozen=True)
class PublishModel:
    """Pushes an accepted model version down to an edge, proved by main's anchor held there."""

    FUNCTION: ClassVar[str] = "models:publish"
    RESULT: ClassVar[type[PublishedModel]] = PublishedModel
    proof: CrossChainProof
    """Of the accepting ``attestations:attest`` on main (payload: ``Outcome``)."""


@dataclass(frozen=True)
class GetPublished:
    """``version`` 0 asks for the newest published one."""

    FUNCTION: ClassVar[str] = "models:published"
    RESULT: ClassVar[type[PublishedModel]] = PublishedModel
    run: str
    version: int
