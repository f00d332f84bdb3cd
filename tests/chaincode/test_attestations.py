from __future__ import annotations

from dataclasses import replace

import pytest
from contract_people import Interlocked
from contract_training import (
    ENVIRONMENT,
    INITIAL,
    Training,
    aggregator,
    commit_step,
    example_run,
    start_training,
    step_vote,
    trainer,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from world_state import FakeChain, ReadConflict, caller

from chaincode.api import (
    Attest,
    EdgeRoster,
    Expire,
    GetAttestations,
    GetOutcome,
    Outcome,
    State,
    Step,
    Subject,
    SubmitStep,
)
from chaincode.errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    DeadlinePassed,
    InvalidArgument,
    NotFound,
)
from chaincode.runs import run_key
from protocol.encodings import encode, sha256


@pytest.fixture
def training(chains: Interlocked) -> Training:
    return start_training(chains)


@pytest.fixture
def step(training: Training) -> Step:
    return training.submit_step(training.chains.a, 1)


def changed(step: Step, organisation: str, **changes: object) -> Attest:
    return Attest(replace(step_vote(step, organisation).attestation, **changes))


def test_a_submission_is_its_authors_agreement(training: Training, step: Step) -> None:
    edge = training.chains.a
    outcome = edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 1))
    assert (outcome.state, outcome.agreeing, outcome.disagreeing) == (State.PENDING, ("A1",), ())
    with pytest.raises(AlreadyExists, match="submission"):
        edge.submit(step_vote(step, "A1"), trainer("A1"))


def test_two_of_three_accept_and_a_late_vote_changes_no_state(training: Training, step: Step) -> None:
    edge = training.chains.a
    accepted = edge.submit(step_vote(step, "A3"), trainer("A3"))
    assert (accepted.state, accepted.agreeing) == (State.ACCEPTED, ("A1", "A3"))
    assert (accepted.commitment, accepted.result, accepted.examples) == (step.commitment, step.result, 100)
    late = edge.simulate(step_vote(step, "A2", agrees=False), trainer("A2"))
    assert late.simulation.writes.keys() == {"attestation/step/digits/1/1/A2"}
    edge.commit(late)
    assert (late.result.state, late.result.disagreeing) == (State.ACCEPTED, ("A2",))
    assert edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 1)) == accepted
    votes = edge.evaluate(GetAttestations(Subject.STEP, "digits", 1, 1)).attestations
    assert [(vote.organisation, vote.agrees) for vote in votes] == [("A2", False), ("A3", True)]


def test_a_step_is_rejected_when_it_cannot_be_accepted_any_more(training: Training, step: Step) -> None:
    edge = training.chains.a
    withheld = changed(step, "A2", agrees=False, verdict="differs", recomputed=b"")
    assert edge.submit(withheld, trainer("A2")).state is State.PENDING
    rejected = edge.submit(step_vote(step, "A3", agrees=False), trainer("A3"))
    assert (rejected.state, rejected.disagreeing) == (State.REJECTED, ("A2", "A3"))


def test_who_may_vote(training: Training, step: Step) -> None:
    edge = training.chains.a
    vote = step_vote(step, "A2")
    for by in (caller("A2"), aggregator("A2"), trainer("A3")):
        with pytest.raises(AccessDenied):
            edge.submit(vote, by)
    with pytest.raises(AccessDenied, match="roster"):
        edge.submit(step_vote(step, "B1"), trainer("B1"))


def test_an_organisation_votes_once(training: Training, step: Step) -> None:
    edge = training.chains.a
    edge.submit(step_vote(step, "A2", agrees=False), trainer("A2"))
    for agrees in (True, False):
        with pytest.raises(AlreadyExists):
            edge.submit(step_vote(step, "A2", agrees), trainer("A2"))


def test_a_vote_must_agree_with_itself(training: Training, step: Step) -> None:
    other = sha256(b"other")
    cases: list[dict[str, object]] = [
        {"commitment": other},
        {"recomputed": other},
        {"recomputed": b""},
        {"recomputed": b"\x01" * 31},
        {"agrees": False},
        {"verdict": "within"},
        {"verdict": "differs"},
        {"verdict": "Equal"},
        {"verdict": "within", "recomputed": b""},
        {"verdict": "within", "agrees": False, "recomputed": other},
        {"verdict": "differs", "agrees": False},
        {"environment": replace(ENVIRONMENT, python="")},
    ]
    for changes in cases:
        with pytest.raises(InvalidArgument):
            training.chains.a.submit(changed(step, "A2", **changes), trainer("A2"))
    within = changed(step, "A2", verdict="within", recomputed=other)
    assert training.chains.a.submit(within, trainer("A2")).state is State.ACCEPTED


def test_votes_on_nothing_are_not_found(training: Training, step: Step) -> None:
    edge = training.chains.a
    for changes in ({"run": "unknown"}, {"number": 2}, {"attempt": 2}):
        with pytest.raises(NotFound):
            edge.submit(changed(step, "A2", **changes), trainer("A2"))
    with pytest.raises(NotFound):
        edge.submit(changed(step, "A2", subject=Subject.AGGREGATE), aggregator("A2"))


def test_two_votes_at_once_conflict_so_that_none_miscounts(training: Training) -> None:
    edge = training.chains.a
    step = training.submit_step(edge, 1)
    one, two = (edge.simulate(step_vote(step, name, agrees=False), trainer(name)) for name in ("A2", "A3"))
    assert one.result.state is two.result.state is State.PENDING
    edge.commit(one)
    with pytest.raises(ReadConflict):
        edge.commit(two)
    again = edge.simulate(step_vote(step, "A3", agrees=False), trainer("A3"))
    assert edge.commit(again).result.state is State.REJECTED


def test_votes_are_read_by_the_rosters_keys(training: Training, step: Step) -> None:
    pending = training.chains.a.simulate(step_vote(step, "A2"), trainer("A2"))
    assert not pending.simulation.ranges
    reads = {key for key in pending.simulation.reads if key.startswith("attestation/")}
    assert reads == {"attestation/step/digits/1/1/A2", "attestation/step/digits/1/1/A3"}


def test_attempt_0_asks_for_the_newest(training: Training, step: Step) -> None:
    edge = training.chains.a
    for organisation in ("A2", "A3"):
        edge.submit(step_vote(step, organisation, agrees=False), trainer(organisation))
    assert edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 0)).state is State.REJECTED
    edge.submit(SubmitStep(training.next_step(edge, 1, attempt=2), None), trainer("A1"))
    newest = edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 0))
    assert (newest.attempt, newest.state) == (2, State.PENDING)
    assert edge.evaluate(GetAttestations(Subject.STEP, "digits", 1, 0)).attestations == ()
    assert len(edge.evaluate(GetAttestations(Subject.STEP, "digits", 1, 1)).attestations) == 2
    with pytest.raises(NotFound):
        edge.evaluate(GetOutcome(Subject.STEP, "digits", 2, 0))
    training.chains.at(training.run.deadline * 1000)
    with pytest.raises(NotFound):  # what changes something names its attempt
        edge.submit(Expire(Subject.STEP, "digits", 1, 0), caller("A2"))


def test_anybody_expires_a_pending_attempt_after_the_deadline(training: Training, step: Step) -> None:
    edge = training.chains.a
    message = Expire(Subject.STEP, "digits", 1, 1)
    with pytest.raises(Conflict, match="ahead"):
        edge.submit(message, caller("A2"))
    vote = edge.simulate(step_vote(step, "A2"), trainer("A2"))
    training.chains.at(training.run.deadline * 1000)
    expired = edge.submit(message, caller("A2"))
    assert (expired.state, expired.agreeing) == (State.EXPIRED, ("A1",))
    assert edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 1)) == expired
    with pytest.raises(Conflict, match="expired"):
        edge.submit(message, caller("A2"))
    with pytest.raises(DeadlinePassed):
        edge.submit(step_vote(step, "A2"), trainer("A2"))
    # A vote endorsed before the deadline does not commit over the expiry …
    with pytest.raises(ReadConflict):
        edge.commit(vote)
    # … and one that claims an earlier time is recorded and changes nothing.
    training.chains.at(training.run.deadline * 1000 - 1)
    late = edge.submit(step_vote(step, "A2"), trainer("A2"))
    assert (late.state, late.agreeing) == (State.EXPIRED, ("A1", "A2"))
    assert edge.evaluate(GetOutcome(Subject.STEP, "digits", 1, 1)).state is State.EXPIRED


def test_what_is_final_does_not_expire(training: Training, step: Step) -> None:
    edge = training.chains.a
    edge.submit(step_vote(step, "A2"), trainer("A2"))
    training.chains.at(training.run.deadline * 1000)
    with pytest.raises(Conflict, match="accepted"):
        edge.submit(Expire(Subject.STEP, "digits", 1, 1), caller("A2"))
    with pytest.raises(NotFound):
        edge.submit(Expire(Subject.STEP, "digits", 2, 1), caller("A2"))


class Votes(RuleBasedStateMachine):
    """Tallies over rosters of any size against a count by hand, attempt after attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = FakeChain("edge-a")
        self.organisations: tuple[str, ...] = ()
        self.threshold = 0
        self.step: Step | None = None
        self.cast: dict[str, bool] = {}
        self.final: State | None = None
        self.expired = False

    @initialize(size=st.integers(2, 7), data=st.data())
    def adopt(self, size: int, data: st.DataObject) -> None:
        self.organisations = tuple(f"A{number}" for number in range(1, size + 1))
        self.threshold = data.draw(st.integers(2, size))
        run = example_run()
        roster = EdgeRoster("edge-a", self.organisations, self.threshold)
        run = replace(run, rosters=(roster, *run.rosters[1:]))
        self.chain.world.values[run_key("digits")] = encode(run)
        self.submit_attempt(1, self.organisations[0])

    def submit_attempt(self, attempt: int, author: str) -> None:
        step = commit_step(
            Step(
                run="digits",
                number=1,
                attempt=attempt,
                trainer=author,
                parent=INITIAL,
                aggregate=INITIAL,
                aggregate_version=0,
                data=sha256(b"manifest"),
                examples=5,
                result=sha256(b"result %d" % attempt),
                commitment=b"",
                environment=ENVIRONMENT,
            )
        )
        self.step = self.chain.submit(SubmitStep(step, None), trainer(author))
        self.cast, self.final = {author: True}, None

    def expected(self) -> State:
        agreeing = sum(self.cast.values())
        if self.expired:
            return State.EXPIRED
        if agreeing >= self.threshold:
            return State.ACCEPTED
        unheard = len(self.organisations) - len(self.cast)
        return State.PENDING if agreeing + unheard >= self.threshold else State.REJECTED

    @precondition(lambda self: not self.expired)
    @rule(voter=st.integers(0, 6), agrees=st.booleans())
    def vote(self, voter: int, agrees: bool) -> None:
        assert self.step is not None
        name = self.organisations[voter % len(self.organisations)]
        before = self.expected()
        try:
            outcome: Outcome = self.chain.submit(step_vote(self.step, name, agrees), trainer(name))
        except AlreadyExists:
            assert name in self.cast
            return
        assert name not in self.cast
        self.cast[name] = agrees
        assert outcome.state is self.expected()
        if before is not State.PENDING:
            assert outcome.state is before, "a final state never turns"
        assert set(outcome.agreeing) == {each for each, yes in self.cast.items() if yes}
        assert set(outcome.disagreeing) == {each for each, yes in self.cast.items() if not yes}

    @precondition(lambda self: not self.expired)
    @rule(author=st.integers(0, 6))
    def try_again(self, author: int) -> None:
        assert self.step is not None
        allowed = self.expected() is State.REJECTED
        attempt = self.step.attempt + 1
        try:
            self.submit_attempt(attempt, self.organisations[author % len(self.organisations)])
        except Conflict:
            assert not allowed
        else:
            assert allowed

    @rule()
    def expire(self) -> None:
        assert self.step is not None
        now, self.chain.now_ms = self.chain.now_ms, example_run().deadline * 1000
        allowed = self.expected() is State.PENDING
        try:
            self.chain.submit(Expire(Subject.STEP, "digits", 1, self.step.attempt), caller("Anybody"))
        except Conflict:
            assert not allowed
        else:
            assert allowed
            self.expired = True
        self.chain.now_ms = now

    @invariant()
    def the_outcome_agrees(self) -> None:
        if self.step is None:
            return
        outcome = self.chain.evaluate(GetOutcome(Subject.STEP, "digits", 1, self.step.attempt))
        assert outcome.state is self.expected()


Votes.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestVotes = Votes.TestCase
