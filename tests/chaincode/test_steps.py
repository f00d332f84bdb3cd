from __future__ import annotations

from dataclasses import replace

import pytest
from contract_people import Interlocked
from contract_training import (
    ENVIRONMENT,
    Training,
    commit_step,
    start_training,
    step_vote,
    trainer,
)
from world_state import ReadConflict, caller

from chaincode.api import Expire, GetStep, Outcome, State, Subject, SubmitStep
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
from identity import Role
from protocol.encodings import sha256


@pytest.fixture
def training(chains: Interlocked) -> Training:
    return start_training(chains)


def refusal(training: Training, message: SubmitStep, by: object = None) -> type[ContractError]:
    edge = training.chains.a
    with pytest.raises(ContractError) as caught:
        edge.submit(message, by or trainer(message.step.trainer))
    return type(caught.value)


def test_the_first_step_starts_from_the_initial_weights(training: Training) -> None:
    edge = training.chains.a
    step = training.submit_step(edge, 1)
    assert edge.evaluate(GetStep("digits", 1, 1)) == step
    assert edge.evaluate(GetStep("digits", 1, 0)) == step
    for number, attempt in ((1, 2), (2, 1), (2, 0), (-1, 0)):
        with pytest.raises(NotFound):
            edge.evaluate(GetStep("digits", number, attempt))


def test_a_later_step_follows_the_accepted_one_and_mains_version(training: Training) -> None:
    for edge in training.edges:
        training.accept_step(edge, 1)
    training.accept_model(1)
    assert training.accept_step(training.chains.a, 2).state is State.ACCEPTED


def test_who_may_submit(training: Training) -> None:
    step = training.next_step(training.chains.a, 1)
    message = SubmitStep(step, None)
    assert refusal(training, message, caller("A1", Role.AGGREGATOR)) is AccessDenied
    assert refusal(training, message, caller("A1", Role.CLIENT)) is AccessDenied
    assert refusal(training, message, trainer("A2")) is AccessDenied
    assert refusal(training, SubmitStep(replace(step, trainer="B1"), None)) is AccessDenied
    with pytest.raises(Conflict):
        training.chains.main.submit(message, trainer("A1"))


def test_the_first_step_is_checked_field_by_field(training: Training) -> None:
    step = training.next_step(training.chains.a, 1)
    other = sha256(b"other")
    cases: list[tuple[dict[str, object], type[ContractError]]] = [
        ({"run": "unknown"}, NotFound),
        ({"number": 0}, InvalidArgument),
        ({"number": 4}, InvalidArgument),
        ({"attempt": 0}, InvalidArgument),
        ({"attempt": 2}, Gap),
        ({"parent": other}, InvalidArgument),
        ({"aggregate": other}, InvalidArgument),
        ({"aggregate_version": 1}, InvalidArgument),
        ({"data": b""}, InvalidArgument),
        ({"examples": 0}, InvalidArgument),
        ({"result": b"\x00" * 31}, InvalidArgument),
        ({"environment": replace(ENVIRONMENT, torch="")}, InvalidArgument),
        ({"number": 2, "aggregate_version": 1}, Conflict),
    ]
    for changes, kind in cases:
        assert refusal(training, SubmitStep(commit_step(replace(step, **changes)), None)) is kind, changes
    for name in ("data", "result"):
        # Signed off under the old commitment.
        assert refusal(training, SubmitStep(replace(step, **{name: other}), None)) is InvalidArgument
    assert refusal(training, SubmitStep(replace(step, commitment=other), None)) is InvalidArgument


def test_the_aggregate_must_be_the_version_that_main_accepted(training: Training) -> None:
    for edge in training.edges:
        training.accept_step(edge, 1)
    training.accept_model(1)
    for edge in training.edges:
        training.accept_step(edge, 2)
    training.accept_model(2)
    step = training.next_step(training.chains.a, 3)
    right = training.step_proof(3)
    assert refusal(training, SubmitStep(step, None)) is BadCrossChainProof
    assert refusal(training, SubmitStep(step, training.step_proof(2))) is BadCrossChainProof
    of_a_step = training.outcome_proofs[("edge-b", 2)]
    assert refusal(training, SubmitStep(step, of_a_step)) is BadCrossChainProof
    other = commit_step(replace(step, aggregate=sha256(b"other")))
    assert refusal(training, SubmitStep(other, right)) is BadCrossChainProof
    old = commit_step(replace(step, aggregate=training.models[1].result, aggregate_version=1))
    assert refusal(training, SubmitStep(old, training.step_proof(2))) is InvalidArgument
    training.chains.a.submit(SubmitStep(step, right), trainer("A1"))


def test_a_first_step_takes_no_proof(training: Training) -> None:
    for edge in training.edges:
        training.accept_step(edge, 1)
    training.accept_model(1)
    fresh = training.next_step(training.chains.b, 1, attempt=1)
    with pytest.raises(AlreadyExists):
        training.chains.b.submit(SubmitStep(fresh, training.step_proof(2)), trainer("B1"))


def test_one_attempt_stands_at_a_time(training: Training) -> None:
    edge = training.chains.a
    step = training.submit_step(edge, 1)
    assert refusal(training, SubmitStep(step, None)) is AlreadyExists
    second = training.next_step(edge, 1, attempt=2)
    assert refusal(training, SubmitStep(second, None)) is Conflict
    third = training.next_step(edge, 1, attempt=3)
    assert refusal(training, SubmitStep(third, None)) is Gap
    for organisation in ("A2", "A3"):
        edge.submit(step_vote(step, organisation, agrees=False), trainer(organisation))
    assert refusal(training, SubmitStep(third, None)) is Gap
    by_another = commit_step(replace(second, trainer="A2"))
    edge.submit(SubmitStep(by_another, None), trainer("A2"))
    assert edge.evaluate(GetStep("digits", 1, 0)).attempt == 2
    outcome: Outcome = edge.submit(step_vote(by_another, "A1"), trainer("A1"))
    assert outcome.state is State.ACCEPTED
    assert refusal(training, SubmitStep(third, None)) is Conflict
    # The next step starts from the attempt that was accepted.
    following = commit_step(replace(training.next_step(edge, 2), parent=step.result))
    assert refusal(training, SubmitStep(following, None)) is InvalidArgument


def test_two_trainers_of_one_attempt_conflict(training: Training) -> None:
    edge = training.chains.a
    step = training.next_step(edge, 1)
    one = edge.simulate(SubmitStep(step, None), trainer("A1"))
    two = edge.simulate(SubmitStep(replace(step, trainer="A2"), None), trainer("A2"))
    edge.commit(one)
    with pytest.raises(ReadConflict):
        edge.commit(two)


def test_the_deadline_ends_everything(training: Training) -> None:
    edge = training.chains.a
    step = training.submit_step(edge, 1)
    training.chains.at(training.run.deadline * 1000 - 1)
    edge.simulate(step_vote(step, "A2"), trainer("A2"))
    with pytest.raises(Conflict):
        edge.submit(Expire(Subject.STEP, "digits", 1, 1), caller("A3"))
    training.chains.at(training.run.deadline * 1000)
    for message, by in ((step_vote(step, "A2"), trainer("A2")), (SubmitStep(step, None), trainer("A1"))):
        with pytest.raises(DeadlinePassed):
            edge.submit(message, by)
