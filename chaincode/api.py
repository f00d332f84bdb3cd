"""The typed arguments that callers hand to the contracts, and what the contracts answer.

Every message is a frozen dataclass with ``FUNCTION`` (``contract:function``) and ``RESULT`` (the type of the
response payload). On the wire a call is two chaincode arguments: the function's name, and the canonical JSON
of the message; the response payload is canonical JSON of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from protocol.anchors import AnchorSignature, AnchorStatement, LatestAnchor, Roster, SignedStatement
from protocol.readings import RecordLeaf, SignedReading


class Message(Protocol):
    """Anything that can be submitted or evaluated."""

    FUNCTION: ClassVar[str]
    RESULT: ClassVar[type[Any]]


# ------------------------------------------------------------------ organisations and devices


@dataclass(frozen=True)
class Organisation:
    """An organisation as the chain knows it. State key ``organisation/<msp_id>``."""

    msp_id: str
    name: str
    owner_key: bytes
    """DER SPKI (P-256 or Ed25519) of the key that authorises this owner's devices and grants."""


@dataclass(frozen=True)
class RegisterOrganisation:
    """By an admin of that very organisation; once, or again to replace its owner key."""

    FUNCTION: ClassVar[str] = "organisations:register"
    RESULT: ClassVar[type[Organisation]] = Organisation
    organisation: Organisation


@dataclass(frozen=True)
class GetOrganisation:
    """An organisation that is registered here."""

    FUNCTION: ClassVar[str] = "organisations:get"
    RESULT: ClassVar[type[Organisation]] = Organisation
    msp_id: str


class DeviceStatus(StrEnum):
    """Where a device stands in its life."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    """Final: a retired device never comes back."""


@dataclass(frozen=True)
class Device:
    """An enrolled device. State key ``device/<device>``."""

    device: str
    owner: str
    """MSP id of the owner's organisation."""
    algorithm: str
    key: bytes
    """DER SPKI."""
    status: DeviceStatus
    sequence: int
    """Counts the owner's changes to this device, from 1; an authorisation names the next one."""


@dataclass(frozen=True)
class OwnerAuthorisation:
    """The owner's signature (its registered owner key) over ``authorisation_bytes`` of the request."""

    algorithm: str
    signature: bytes


@dataclass(frozen=True)
class EnrolDevice:
    """``possession``: the device's signature over the same bytes, so that nobody enrols a key it lacks."""

    FUNCTION: ClassVar[str] = "devices:enrol"
    RESULT: ClassVar[type[Device]] = Device
    device: str
    owner: str
    algorithm: str
    key: bytes
    possession: bytes
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class SetDeviceStatus:
    """Suspends, resumes or retires a device; authorised by its owner."""

    FUNCTION: ClassVar[str] = "devices:setStatus"
    RESULT: ClassVar[type[Device]] = Device
    device: str
    status: DeviceStatus
    sequence: int
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class GetDevice:
    """A device that is enrolled here."""

    FUNCTION: ClassVar[str] = "devices:get"
    RESULT: ClassVar[type[Device]] = Device
    device: str


@dataclass(frozen=True)
class Grant:
    """A gateway's key may sign for a device. State key ``grant/<device>/<gateway>``."""

    device: str
    gateway: str
    """Name of the gateway's signing key: the part after @ in a record's keyid."""
    algorithm: str
    key: bytes
    active: bool
    sequence: int


@dataclass(frozen=True)
class GrantDelegation:
    """Gives (active) or takes back a grant; authorised by the device's owner."""

    FUNCTION: ClassVar[str] = "devices:grant"
    RESULT: ClassVar[type[Grant]] = Grant
    device: str
    gateway: str
    algorithm: str
    key: bytes
    active: bool
    sequence: int
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class GetGrant:
    """A grant, active or not."""

    FUNCTION: ClassVar[str] = "devices:getGrant"
    RESULT: ClassVar[type[Grant]] = Grant
    device: str
    gateway: str


# ------------------------------------------------------------------ records


@dataclass(frozen=True)
class BatchRecorded:
    """Response payload of a recording transaction: what the element binds."""

    root: bytes
    """RFC 6962 root over the canonical encodings of the batch's ``RecordLeaf``s in order."""
    count: int


@dataclass(frozen=True)
class SubmitBatch:
    """1 to 512 readings, at most 256 KiB encoded. One bad reading refuses the call and is named."""

    FUNCTION: ClassVar[str] = "records:submitBatch"
    RESULT: ClassVar[type[BatchRecorded]] = BatchRecorded
    readings: tuple[SignedReading, ...]


@dataclass(frozen=True)
class SubmitReading:
    """One reading: a batch of one."""

    FUNCTION: ClassVar[str] = "records:submit"
    RESULT: ClassVar[type[BatchRecorded]] = BatchRecorded
    reading: SignedReading


@dataclass(frozen=True)
class StoredRecord:
    """A record as the chain keeps it."""

    leaf: RecordLeaf
    transaction: str
    index: int
    """Position in the batch, from 0."""
    count: int


@dataclass(frozen=True)
class GetRecord:
    """A record by its id."""

    FUNCTION: ClassVar[str] = "records:get"
    RESULT: ClassVar[type[StoredRecord]] = StoredRecord
    record: bytes


@dataclass(frozen=True)
class NonceUse:
    """Which record used a device's nonce; ``record`` is empty when none did."""

    record: bytes


@dataclass(frozen=True)
class FindNonce:
    """Which record used a device's nonce, if any."""

    FUNCTION: ClassVar[str] = "records:findNonce"
    RESULT: ClassVar[type[NonceUse]] = NonceUse
    device: str
    nonce: str


@dataclass(frozen=True)
class Inference:
    """A model's application, recorded (seed 003: nobody can cheat in the model application)."""

    run: str
    version: int
    model: bytes
    input: bytes
    output: bytes


@dataclass(frozen=True)
class RecordInference:
    """The version must be accepted on, or pushed down to, this chain. Key ``inference/<transaction id>``."""

    FUNCTION: ClassVar[str] = "inferences:record"
    RESULT: ClassVar[type[Inference]] = Inference
    inference: Inference


@dataclass(frozen=True)
class GetInference:
    """A recorded inference by the id of its transaction (64 hex digits)."""

    FUNCTION: ClassVar[str] = "inferences:get"
    RESULT: ClassVar[type[Inference]] = Inference
    transaction: str


# ------------------------------------------------------------------ interlock


@dataclass(frozen=True)
class Source:
    """A chain whose anchors this chain accepts, or this chain itself. State key ``source/<chain>``."""

    chain: str
    modulus: bytes
    origin: str
    roster: Roster


@dataclass(frozen=True)
class RegisterSource:
    """By an admin; once a chain (its own chain too). The roster changes by ``ReplaceRoster`` only."""

    FUNCTION: ClassVar[str] = "interlock:registerSource"
    RESULT: ClassVar[type[Source]] = Source
    source: Source


@dataclass(frozen=True)
class ReplaceRoster:
    """Signed by the quorum of the roster it replaces, over ``Roster.digest``; version + 1."""

    FUNCTION: ClassVar[str] = "interlock:replaceRoster"
    RESULT: ClassVar[type[Source]] = Source
    roster: Roster
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class Cut:
    """Cut ``number`` of this chain covers every block before the one that carries the transaction."""

    number: int
    latest: tuple[LatestAnchor, ...]


@dataclass(frozen=True)
class FixCut:
    """Compare-and-swap: ``number`` must be the last cut's plus one, and the last one must be signed."""

    FUNCTION: ClassVar[str] = "interlock:cut"
    RESULT: ClassVar[type[Cut]] = Cut
    number: int


@dataclass(frozen=True)
class StatementSigned:
    """Response payload of ``SignAnchor``: who signed which statement."""

    number: int
    msp_id: str
    statement: bytes
    """Digest."""


@dataclass(frozen=True)
class SignAnchor:
    """By an anchor signer of the organisation. Write-once: ``anchor-signature/<number>/<msp_id>``."""

    FUNCTION: ClassVar[str] = "interlock:sign"
    RESULT: ClassVar[type[StatementSigned]] = StatementSigned
    statement: AnchorStatement
    signature: AnchorSignature


@dataclass(frozen=True)
class AnchorAccepted:
    """Response payload of an accepted Type-II or Type-III: names the statement."""

    chain: str
    number: int
    statement: bytes
    """Digest."""
    news: int


@dataclass(frozen=True)
class AcceptAnchor:
    """Type-II on main, Type-III on an edge. Keys ``anchor/<chain>/<number>`` (immutable), ``head/<chain>``.

    An already accepted, identical statement is refused with ``AlreadyAnchored`` (harmless: the relay takes it
    as done).
    """

    FUNCTION: ClassVar[str] = "interlock:accept"
    RESULT: ClassVar[type[AnchorAccepted]] = AnchorAccepted
    signed: SignedStatement
    append_only: bytes
    """PoKE2 from value_before to value_after, context = the statement's digest."""


@dataclass(frozen=True)
class Rebased:
    """Response payload of ``Rebase``: which statement stands in whose place."""

    chain: str
    number: int
    statement: bytes
    replaces: bytes
    """Digest of the head that is superseded."""


@dataclass(frozen=True)
class Rebase:
    """Quorum-signed replacement of a wrong head; the wrong statement stays readable.

    The signatures cover ``rebase_bytes`` (tag ``edgeproof/rebase/v1``, wrong head's digest, new statement's
    digest). The new statement takes the number after the wrong head's and continues from anchor ``base``.
    """

    FUNCTION: ClassVar[str] = "interlock:rebase"
    RESULT: ClassVar[type[Rebased]] = Rebased
    statement: AnchorStatement
    base: int
    """Number of the accepted anchor that the new statement continues; 0 for the chain's start."""
    replaces: bytes
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class GetAnchor:
    """An accepted statement of another chain; ``number`` 0 asks for the head."""

    FUNCTION: ClassVar[str] = "interlock:get"
    RESULT: ClassVar[type[SignedStatement]] = SignedStatement
    chain: str
    number: int


@dataclass(frozen=True)
class CutStatus:
    """This chain's newest cut and the signatures that it has gathered."""

    number: int
    """0 before the first cut."""
    statements: tuple[AnchorStatement, ...]
    """Distinct statements that were signed (more than one is evidence of misbehaviour)."""
    signatures: tuple[AnchorSignature, ...]


@dataclass(frozen=True)
class GetCut:
    """``number`` 0 asks for the newest."""

    FUNCTION: ClassVar[str] = "interlock:getCut"
    RESULT: ClassVar[type[CutStatus]] = CutStatus
    number: int


@dataclass(frozen=True)
class GetSource:
    """A registered chain, or this chain itself."""

    FUNCTION: ClassVar[str] = "interlock:getSource"
    RESULT: ClassVar[type[Source]] = Source
    chain: str


@dataclass(frozen=True)
class Heads:
    """The newest accepted anchor of every other chain."""

    heads: tuple[LatestAnchor, ...]


@dataclass(frozen=True)
class GetHeads:
    """Heads of every chain that this one accepts anchors from, sorted by chain."""

    FUNCTION: ClassVar[str] = "interlock:getHeads"
    RESULT: ClassVar[type[Heads]] = Heads


@dataclass(frozen=True)
class CrossChainProof:
    """A membership proof of another chain's transaction, checked against an anchor held on this chain."""

    chain: str
    anchor: int
    number: int
    block: int
    index: int
    code: int
    envelope_hash: bytes
    payload: str
    """The response payload (canonical JSON text)."""
    offset: int
    """Certificate: the prime representative's distance from the hash."""
    witness: bytes


# ------------------------------------------------------------------ runs, steps, attestations, models


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
