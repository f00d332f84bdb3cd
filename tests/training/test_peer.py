"""Training peers and aggregators on real chains: whole runs, cheats and withheld inputs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from training_play import ENVIRONMENT, ArithmeticWorker, Play, digits, stage
from world import MAIN

from chaincode.api import (
    Attestations,
    Environment,
    GetAttestations,
    GetModel,
    GetOutcome,
    GetPublished,
    GetStep,
    Outcome,
    State,
    Step,
    Subject,
    SubmitStep,
)
from identity.roles import Role
from ledger.port import evaluate_typed
from protocol.commitments import manifest_bytes
from training.chainview import ChainView
from training.datasets import MEDIA_TYPES
from training.errors import UnprovenInput
from training.machine import Done, Finished, Waiting
from training.recipe import DIGITS
from training.replay import commitment_of


def _step(play: Play, edge: str, number: int, attempt: int = 0) -> Step:
    return evaluate_typed(play.world.ledgers[edge], GetStep(play.run.run, number, attempt))


def _outcome(play: Play, chain: str, subject: Subject, number: int, attempt: int = 1) -> Outcome:
    return evaluate_typed(play.world.ledgers[chain], GetOutcome(subject, play.run.run, number, attempt))


def _votes(play: Play, chain: str, subject: Subject, number: int, attempt: int = 1) -> Attestations:
    return evaluate_typed(play.world.ledgers[chain], GetAttestations(subject, play.run.run, number, attempt))


def _adopted(play: Play) -> Play:
    """Drive until every edge has adopted the run."""
    aggregators = [play.aggregator(0), play.aggregator(1)]
    play.world.interlock()
    for _ in range(len(play.edges)):
        for aggregator in aggregators:
            aggregator.advance()
    return play


def test_a_whole_run(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=3)
    play.thorough = True
    play.drive(play.machines())
    trainers = {edge: [_step(play, edge, n).trainer for n in (1, 2, 3)] for edge in play.edges}
    for edge in play.edges:
        # Every organisation has trained once, and every other one has recomputed it.
        assert trainers[edge] == list(play.world.chains[edge].organisations)
        for number in (1, 2, 3):
            step, outcome = _step(play, edge, number), _outcome(play, edge, Subject.STEP, number)
            assert (step.attempt, outcome.state, outcome.disagreeing) == (1, State.ACCEPTED, ())
            votes = _votes(play, edge, Subject.STEP, number).attestations
            others = set(play.world.chains[edge].organisations) - {step.trainer}
            assert {vote.organisation for vote in votes} == others
            assert {(vote.verdict, vote.recomputed) for vote in votes} == {("equal", step.result)}
            assert step.parent == (play.run.initial if number == 1 else _step(play, edge, number - 1).result)
            published = evaluate_typed(play.world.ledgers[edge], GetPublished(play.run.run, number))
            model = evaluate_typed(play.world.ledgers[MAIN], GetModel(play.run.run, number, 0))
            assert published.result == model.result
            assert [entry.result for entry in model.inputs] == [
                _step(play, e, number).result for e in play.edges
            ]
            if number > 1:
                before = evaluate_typed(play.world.ledgers[MAIN], GetModel(play.run.run, number - 1, 0))
                assert step.aggregate == before.result
    authors = {evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", n, 0)).author for n in (1, 2, 3)}
    assert authors == set(play.world.chains[MAIN].organisations)
    play.world.close()


def test_new_records_enter_the_next_step_and_bad_ones_stay_out(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), edges=("edge-a",))
    sent = [*digits(5, 2), b"not a digit"]
    machines = play.machines()
    for _ in range(100):
        events = [machine.advance() for machine in machines]
        if any(isinstance(event, Done) and event.what == "trained" for event in events):
            break
        if not any(isinstance(event, Done) for event in events):
            play.world.interlock()
    play.stores["edge-a"].put_pack(sent)
    late = play.world.submit_contents(play.world.devices["edge-a", "camera-1"], sent)
    play.drive(machines)
    first, second = _step(play, "edge-a", 1), _step(play, "edge-a", 2)
    assert (first.examples, second.examples) == (6, 8)
    assert second.data != first.data
    manifest = play.stores["edge-a"].get(second.data)
    assert manifest == manifest_bytes(play.world.records["edge-a"])
    assert all(record.hex().encode() in manifest for record in late)
    play.world.close()


# ------------------------------------------------------------------ cheats


class AlteringWorker(ArithmeticWorker):
    """Trains a little differently from what it says."""

    def __init__(self) -> None:
        super().__init__(error=1e-3)


def test_altered_weights_are_voted_down_and_the_next_organisation_takes_over(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), edges=("edge-a",))
    cheat, second, third = play.world.chains["edge-a"].organisations
    play.workers[cheat] = AlteringWorker()
    play.drive(play.machines())
    assert _step(play, "edge-a", 1, 1).trainer == cheat
    rejected = _outcome(play, "edge-a", Subject.STEP, 1, 1)
    assert (rejected.state, rejected.disagreeing) == (State.REJECTED, (second, third))
    assert _step(play, "edge-a", 1, 2).trainer == second
    # The cheat's own recomputation cannot outvote the third organisation's.
    assert _outcome(play, "edge-a", Subject.STEP, 1, 2).state is State.ACCEPTED
    wrong = _step(play, "edge-a", 1, 1).result
    model = evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", 1, 0))
    assert wrong not in {entry.result for entry in model.inputs}
    play.world.close()


def test_another_environment_may_be_a_little_off_and_an_equal_one_may_not(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",))
    first, second, third = play.world.chains["edge-a"].organisations
    elsewhere = Environment("3.12", "2.9", "aarch64", "neon")
    play.workers[second] = ArithmeticWorker(elsewhere, error=1e-5)
    play.workers[third] = ArithmeticWorker(ENVIRONMENT, error=1e-5)
    _adopted(play)
    trainer, near, same = (play.peer("edge-a", position) for position in range(3))
    assert isinstance(trainer.advance(), Done)
    assert same.advance().what == "rejected"
    assert near.advance().what == "attested"
    verdicts = {v.organisation: v.verdict for v in _votes(play, "edge-a", Subject.STEP, 1).attestations}
    assert verdicts == {second: "within", third: "differs"}
    assert first not in verdicts
    play.world.close()


def _submit_instead(play: Play, change) -> Step:
    """The first trainer's step, changed, submitted by the first trainer past its own peer's checks."""
    edge = "edge-a"
    view = ChainView(play.world.ledgers[edge])
    view.sync()
    records = change(view.records(MEDIA_TYPES[DIGITS]))
    store = play.stores[edge]
    result = play.run.initial
    unsealed = Step(
        run=play.run.run,
        number=1,
        attempt=1,
        trainer=play.world.chains[edge].organisations[0],
        parent=play.run.initial,
        aggregate=play.run.initial,
        aggregate_version=0,
        data=store.put(manifest_bytes(records)),
        examples=len(records),
        result=result,
        commitment=b"",
        environment=ENVIRONMENT,
    )
    step = replace(unsealed, commitment=commitment_of(play.run, unsealed))
    play.world.acting_as(edge, Role.TRAINER, 0).submit(SubmitStep(step, None))
    return step


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records[1:],
        lambda records: records[:-1],
        lambda records: tuple(reversed(records)),
        lambda records: (*records, b"\x07" * 32),
    ],
    ids=["first left out", "last left out", "other order", "unrecorded"],
)
def test_a_chosen_data_set_is_voted_down(tmp_path, change):
    play = _adopted(stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",)))
    _submit_instead(play, change)
    event = play.peer("edge-a", 1).advance()
    assert (event.what, "records" in event.detail) == ("rejected", True)
    vote = _votes(play, "edge-a", Subject.STEP, 1).attestations[0]
    assert (vote.agrees, vote.verdict, vote.recomputed) == (False, "differs", b"")
    assert play.worker.updates == []  # nothing is computed for inputs that do not stand
    play.world.close()


def test_a_turn_out_of_order_is_voted_down(tmp_path):
    play = _adopted(stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",)))
    peer = play.peer("edge-a", 1)
    genuine = play.peer("edge-a", 0)
    # The second organisation trains where the first one's turn is: the contract knows no turns, peers do.
    peer._view.sync()
    assert peer._train(play.run, 1, 1).what == "trained"
    event = genuine.advance()
    assert (event.what, "not" in event.detail) == ("rejected", True)
    play.world.close()


@pytest.mark.parametrize("what", ["manifest", "reading", "aggregate"])
def test_a_withheld_input_is_waited_for_and_then_voted_down(tmp_path, what):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",))
    now = time.time()
    play.clock, play.patience_s, play.thorough = lambda: now, 10.0, True
    _adopted(play)
    assert play.peer("edge-a", 0).advance().what == "trained"
    step, store = _step(play, "edge-a", 1), play.stores["edge-a"]
    store.hidden.add(
        {"manifest": step.data, "aggregate": step.aggregate, "reading": next(iter(play.world.contents))}[what]
    )
    attester = play.peer("edge-a", 1)
    assert isinstance(attester.advance(), Waiting)
    now += 9
    assert isinstance(attester.advance(), Waiting)
    hidden, store.hidden = store.hidden, set()
    assert play.peer("edge-a", 2).advance().what == "attested"  # it turned up for the third
    store.hidden = hidden
    now += 2
    assert attester.advance().what == "rejected"
    vote = next(v for v in _votes(play, "edge-a", Subject.STEP, 1).attestations if not v.agrees)
    assert vote.recomputed == b""
    play.world.close()


def test_an_aggregate_that_main_did_not_accept_is_refused_by_the_trainer(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=2, edges=("edge-a",))
    machines = play.machines()
    peers = machines[:3]
    for _ in range(60):
        events = [machine.advance() for machine in machines]
        if any(isinstance(e, Done) and e.what == "published" for e in events):
            break
        if not any(isinstance(e, Done) for e in events):
            play.world.interlock()
    trainer = peers[1]
    trainer._view.sync()
    published = trainer._view.published("run-1", 1)
    for forged in (
        replace(
            published,
            proof=replace(published.proof, payload=published.proof.payload.replace("accepted", "rejected")),
        ),
        replace(published, proof=replace(published.proof, number=published.proof.number + 1)),
        replace(published, proof=replace(published.proof, chain="edge-a")),
        replace(published, model=replace(published.model, result=b"\x01" * 32)),
    ):
        trainer._view._published["run-1", 1] = forged
        with pytest.raises(UnprovenInput):
            trainer.advance()
    trainer._view._published["run-1", 1] = published
    assert trainer.advance().what == "trained"
    play.world.close()


# ------------------------------------------------------------------ ends


def test_after_the_deadline_pending_steps_expire_and_everybody_stops(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",), seconds=3)
    _adopted(play)
    assert play.peer("edge-a", 0).advance().what == "trained"
    play.clock = lambda: play.run.deadline + 1.0
    while time.time() < play.run.deadline:  # the contract goes by the transaction's own time
        time.sleep(0.05)
    assert play.peer("edge-a", 1).advance().what == "expired"
    assert _outcome(play, "edge-a", Subject.STEP, 1).state is State.EXPIRED
    for machine in play.machines():
        assert isinstance(machine.advance(), Finished)
    play.world.close()


def test_an_organisation_outside_the_roster_has_no_part(tmp_path):
    play = _adopted(stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",)))
    peer = play.peer("edge-a", 0)
    stranger = type(peer)("run-1", "StrangerMSP", peer.ledger, play.stores["edge-a"], play.worker)
    assert isinstance(stranger.advance(), Finished)
    unknown = type(peer)("run-2", "edge-a-1", peer.ledger, play.stores["edge-a"], play.worker)
    assert isinstance(unknown.advance(), Waiting)
    play.world.close()


def test_a_chain_without_records_waits(tmp_path):
    play = _adopted(
        stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",), contents={"edge-a": [b"noise"]})
    )
    assert play.peer("edge-a", 0).advance() == Waiting("no record on edge-a is an example")
    play.world.close()
