from __future__ import annotations

from dataclasses import replace

import pytest
from contract_chains import carry, proof_of
from contract_people import Interlocked
from contract_training import (
    ENVIRONMENT,
    INITIAL,
    Training,
    aggregator,
    commit_model,
    model_vote,
    start_training,
    step_vote,
    trainer,
)
from world_state import caller

from chaincode.api import (
    CommitModel,
    GetInference,
    GetModel,
    GetOutcome,
    GetPublished,
    Inference,
    PublishModel,
    RecordInference,
    State,
    Subject,
)
from chaincode.errors import (
    AccessDenied,
    AlreadyExists,
    BadCrossChainProof,
    Conflict,
    ContractError,
    DeadlinePassed,
    Gap,
    InvalidArgument,
    NotFound,
)
from chaincode.runs import run_key
from identity import Role
from protocol.encodings import encode, sha256


@pytest.fixture
def training(chains: Interlocked) -> Training:
    """The first round's steps are accepted and carried to main."""
    started = start_training(chains)
    for edge in started.edges:
        started.accept_step(edge, 1)
    return started


def refusal(training: Training, message: CommitModel, by: object = None) -> type[ContractError]:
    with pytest.raises(ContractError) as caught:
        training.chains.main.submit(message, by or aggregator(message.model.author))
    return type(caught.value)


def test_versions_are_committed_attested_and_published(training: Training) -> None:
    published = training.accept_model(1)
    main, edge = training.chains.main, training.chains.a
    model = main.evaluate(GetModel("digits", 1, 0))
    assert (published.version, published.result) == (1, model.result)
    assert edge.evaluate(GetPublished("digits", 0)) == edge.evaluate(GetPublished("digits", 1)) == published
    outcome = main.evaluate(GetOutcome(Subject.AGGREGATE, "digits", 1, 1))
    assert (outcome.state, outcome.agreeing, outcome.examples) == (State.ACCEPTED, ("Cloud1", "Cloud2"), 200)
    for each in training.edges:
        training.accept_step(each, 2)
    assert training.accept_model(2).version == 2
    assert edge.evaluate(GetPublished("digits", 0)).version == 2


def test_who_may_commit(training: Training) -> None:
    message = training.next_model(1)
    assert refusal(training, message, caller("Cloud1", Role.ADMIN)) is AccessDenied
    assert refusal(training, message, aggregator("Cloud2")) is AccessDenied
    assert refusal(training, replace(message, model=replace(message.model, author="A1"))) is AccessDenied
    with pytest.raises(Conflict):
        training.chains.a.submit(message, aggregator("Cloud1"))
    training.chains.at(training.run.deadline * 1000)
    assert refusal(training, message) is DeadlinePassed


def test_a_version_is_checked_field_by_field(training: Training) -> None:
    message = training.next_model(1)
    model = message.model
    a, b = model.inputs
    other = sha256(b"other")
    cases: list[tuple[dict[str, object], type[ContractError]]] = [
        ({"run": "unknown"}, NotFound),
        ({"version": 0}, InvalidArgument),
        ({"version": 4}, InvalidArgument),
        ({"version": 2}, Conflict),
        ({"attempt": 2}, Gap),
        ({"parent": other}, InvalidArgument),
        ({"result": b""}, InvalidArgument),
        ({"environment": replace(ENVIRONMENT, machine="")}, InvalidArgument),
        ({"inputs": (a,)}, InvalidArgument),
        ({"inputs": (b, a)}, InvalidArgument),
        ({"inputs": (a, a)}, InvalidArgument),
        ({"inputs": (a, b, b)}, InvalidArgument),
        ({"inputs": (replace(a, number=2), b)}, BadCrossChainProof),
        ({"inputs": (replace(a, attempt=2), b)}, BadCrossChainProof),
        ({"inputs": (replace(a, commitment=other), b)}, BadCrossChainProof),
        ({"inputs": (replace(a, result=other), b)}, BadCrossChainProof),
        ({"inputs": (a, replace(b, examples=10**6))}, BadCrossChainProof),
    ]
    for changes, kind in cases:
        bad = replace(message, model=commit_model(replace(model, **changes)))
        assert refusal(training, bad) is kind, changes
    assert refusal(training, replace(message, model=replace(model, result=other))) is InvalidArgument
    for proofs in ((), message.proofs[:1], (*message.proofs, message.proofs[0])):
        assert refusal(training, replace(message, proofs=proofs)) is InvalidArgument
    swapped = replace(message, proofs=message.proofs[::-1])
    assert refusal(training, swapped) is BadCrossChainProof


def test_an_input_must_be_accepted(chains: Interlocked) -> None:
    training = start_training(chains)
    training.accept_step(chains.b, 1)
    # On edge a the step is rejected; its last vote's element says so.
    step = training.submit_step(chains.a, 1)
    for organisation in ("A2", "A3"):
        vote = step_vote(step, organisation, agrees=False)
        pending = chains.a.commit(chains.a.simulate(vote, trainer(organisation)))
    anchored = chains.a.anchor()
    carry(anchored, chains.main)
    training.steps[("edge-a", 1)] = step
    training.outcome_proofs[("edge-a", 1)] = proof_of(anchored, pending.transaction)
    with pytest.raises(BadCrossChainProof, match="rejected"):
        chains.main.submit(training.next_model(1), aggregator("Cloud1"))


def test_a_rejected_version_gives_way_to_a_new_attempt(training: Training) -> None:
    main = training.chains.main
    first = main.submit(training.next_model(1), aggregator("Cloud1"))
    assert refusal(training, training.next_model(1)) is AlreadyExists
    assert refusal(training, training.next_model(1, attempt=2)) is Conflict
    outcome = main.submit(model_vote(first, "Cloud2", agrees=False), aggregator("Cloud2"))
    assert outcome.state is State.REJECTED
    main.submit(training.next_model(1, attempt=2), aggregator("Cloud1"))
    assert main.evaluate(GetModel("digits", 1, 0)).attempt == 2
    assert main.evaluate(GetModel("digits", 1, 1)) == first


def test_refused_publications(training: Training) -> None:
    training.accept_model(1)
    proof = training.outcome_proofs[("main", 1)]
    with pytest.raises(AlreadyExists):
        training.chains.a.submit(PublishModel(proof), caller("A1"))
    with pytest.raises(Conflict):
        training.chains.main.submit(PublishModel(proof), caller("Cloud1"))
    with pytest.raises(BadCrossChainProof):
        training.chains.b.submit(PublishModel(training.outcome_proofs[("edge-a", 1)]), caller("B1"))
    for run, version in (("digits", 2), ("unknown", 0)):
        with pytest.raises(NotFound):
            training.chains.a.evaluate(GetPublished(run, version))
    with pytest.raises(NotFound):
        training.chains.b.evaluate(GetPublished("digits", 0))


def test_an_edge_that_has_not_adopted_the_run_publishes_nothing(training: Training) -> None:
    training.accept_model(1)
    training.chains.b.world.values.pop("run/digits")
    with pytest.raises(NotFound):
        training.chains.b.submit(PublishModel(training.outcome_proofs[("main", 1)]), caller("B1"))


def test_an_older_version_does_not_become_the_newest(training: Training) -> None:
    training.accept_model(1)
    for each in training.edges:
        training.accept_step(each, 2)
    training.accept_model(2)
    edge = training.chains.b
    for version in (2, 1):
        edge.submit(PublishModel(training.outcome_proofs[("main", version)]), caller("B1"))
    assert edge.evaluate(GetPublished("digits", 0)).version == 2


@pytest.mark.parametrize("where", ["main", "edge-a"])
@pytest.mark.parametrize("role", [Role.GATEWAY, Role.CLIENT, Role.TRAINER])
def test_an_inference_names_a_usable_version(training: Training, where: str, role: Role) -> None:
    training.accept_model(1)
    chain = training.chains.main if where == "main" else training.chains.a
    inference = Inference("digits", 1, training.models[1].result, sha256(b"in"), sha256(b"out"))
    assert chain.submit(RecordInference(inference), caller("A1", role)) == inference
    assert chain.evaluate(GetInference(chain.committed[-1].transaction)) == inference


def test_refused_inferences(training: Training) -> None:
    training.accept_model(1)
    edge, by = training.chains.a, caller("A1", Role.CLIENT)
    good = Inference("digits", 1, training.models[1].result, sha256(b"in"), sha256(b"out"))
    cases: list[tuple[Inference, type[ContractError]]] = [
        (replace(good, run="unknown"), NotFound),
        (replace(good, version=2), NotFound),
        (replace(good, version=0, model=INITIAL), NotFound),
        (replace(good, model=sha256(b"other")), InvalidArgument),
        (replace(good, input=b""), InvalidArgument),
        (replace(good, output=b"\x00" * 33), InvalidArgument),
    ]
    for inference, kind in cases:
        with pytest.raises(ContractError) as caught:
            edge.submit(RecordInference(inference), by)
        assert type(caught.value) is kind
    with pytest.raises(AccessDenied):
        edge.submit(RecordInference(good), caller("A1", Role.RELAY))
    with pytest.raises(NotFound):
        training.chains.b.submit(RecordInference(good), by)
    with pytest.raises(NotFound):
        edge.evaluate(GetInference("0" * 64))
    with pytest.raises(InvalidArgument):
        edge.evaluate(GetInference("A" * 64))


def test_an_edge_that_accepted_by_another_roster_is_not_believed(chains: Interlocked) -> None:
    training = start_training(chains)
    training.accept_step(chains.b, 1)
    # Edge a's peers conspire and keep a run whose roster of one other organisation suits them.
    others = replace(training.run.rosters[0], organisations=("A1", "X1"))
    forged = replace(training.run, rosters=(others, *training.run.rosters[1:]))
    chains.a.world.values[run_key("digits")] = encode(forged)
    step = training.submit_step(chains.a, 1)
    pending = chains.a.commit(chains.a.simulate(step_vote(step, "X1"), trainer("X1")))
    assert pending.result.state is State.ACCEPTED
    anchored = chains.a.anchor()
    carry(anchored, chains.main)
    training.steps[("edge-a", 1)] = step
    training.outcome_proofs[("edge-a", 1)] = proof_of(anchored, pending.transaction)
    with pytest.raises(BadCrossChainProof, match="roster"):
        chains.main.submit(training.next_model(1), aggregator("Cloud1"))
