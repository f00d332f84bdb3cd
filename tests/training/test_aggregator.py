"""Aggregators: wrong means are voted down, missing weights waited for, publication taken over."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from training_play import ArithmeticWorker, Play, stage
from world import MAIN

from chaincode.api import GetModel, GetOutcome, GetPublished, GetRun, Outcome, State, Subject
from ledger.errors import ContractRefused
from ledger.port import evaluate_typed
from training import aggregator as module
from training.aggregation import aggregate_snapshots
from training.errors import UnprovenInput
from training.machine import Done, Finished, Waiting
from training.models import initial_weights
from training.snapshots import encode_snapshot


@pytest.fixture
def play(tmp_path) -> Play:
    """A run of one round whose steps are accepted and anchored; nothing is aggregated yet."""
    made = stage(tmp_path, ArithmeticWorker(), rounds=1)
    now = time.time()
    made.clock, made.patience_s = lambda: now, 5.0
    machines = [made.peer(edge, n) for edge in made.edges for n in range(3)]
    carriers = [made.aggregator(0), made.aggregator(1)]
    made.world.interlock()
    for _ in range(2):
        for carrier in carriers:
            carrier.advance()
    for _ in range(2):
        for machine in machines:
            machine.advance()
    made.world.interlock()
    yield made
    made.world.close()


def _outcome(play: Play, attempt: int = 1) -> Outcome:
    return evaluate_typed(play.world.ledgers[MAIN], GetOutcome(Subject.AGGREGATE, "run-1", 1, attempt))


def test_the_mean_is_what_a_plain_mean_says(play):
    first = play.aggregator(0)
    assert first.advance() == Done("aggregated", MAIN, "run-1", 1, "14 examples")
    model = evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", 1, 0))
    assert [(entry.chain, entry.examples) for entry in model.inputs] == [("edge-a", 6), ("edge-b", 8)]
    assert isinstance(first.advance(), Waiting)
    assert play.aggregator(1).advance().what == "attested"
    assert _outcome(play).state is State.ACCEPTED


def test_a_wrong_mean_is_voted_down_and_falls_to_the_other_organisation(play, monkeypatch):
    def forged(recipe, inputs):
        genuine = aggregate_snapshots(recipe, inputs)
        weights = {n: t + np.float32(2**-20) for n, t in initial_weights(recipe).items()}
        return encode_snapshot(weights) if genuine else b""

    monkeypatch.setattr(module, "aggregate_snapshots", forged)
    assert play.aggregator(0).advance().what == "aggregated"
    monkeypatch.undo()
    assert play.aggregator(1).advance().what == "rejected"
    assert _outcome(play).state is State.REJECTED
    assert isinstance(play.aggregator(0).advance(), Waiting)
    second = play.aggregator(1)
    assert second.advance().what == "aggregated"
    assert evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", 1, 0)).author == "main-2"
    assert play.aggregator(0).advance().what == "attested"
    assert _outcome(play, 2).state is State.ACCEPTED


def test_weights_that_an_edge_withholds_are_waited_for(play):
    store = play.stores["edge-b"]
    assert play.aggregator(0).advance().what == "aggregated"
    model = evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", 1, 0))
    store.hidden.add(model.inputs[1].result)
    attester = play.aggregator(1)
    assert isinstance(attester.advance(), Waiting)
    now = play.clock()
    play.clock = lambda: now
    attester._clock = lambda: now + 6
    event = attester.advance()
    assert (event.what, "step 1 of edge-b" in event.detail) == ("rejected", True)
    store.hidden.clear()


def test_a_step_that_is_not_anchored_on_main_is_waited_for(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",))
    play.world.interlock()
    play.aggregator(0).advance()
    peers = [play.peer("edge-a", n) for n in range(3)]
    for peer in peers:
        peer.advance()
    aggregator = play.aggregator(0)
    assert "anchor" in aggregator.advance().reason
    play.world.interlock()
    assert aggregator.advance().what == "aggregated"
    play.world.close()


def test_a_proof_of_something_else_is_refused(play):
    aggregator = play.aggregator(0)
    genuine = play.world.prover

    class Swapping:
        def cross_chain_proof(self, chain, transaction, *, holder=None):
            other = {"edge-a": "edge-b", "edge-b": "edge-a"}[chain]
            accepted = aggregator._edge_views[other].accepted(Subject.STEP, "run-1", 1)
            return genuine.cross_chain_proof(other, accepted.transaction, holder=holder)

    aggregator._prover = Swapping()
    with pytest.raises(UnprovenInput):
        aggregator.advance()


def test_publication_waits_for_mains_anchor_and_is_taken_over(play):
    first, second = play.aggregator(0), play.aggregator(1)
    first.advance()
    second.advance()
    # Version 1 is the second organisation's to publish; main's anchor has not come down yet.
    assert isinstance(second.advance(), Waiting)
    play.world.interlock()
    assert isinstance(first.advance(), Waiting)
    with pytest.raises(ContractRefused):
        evaluate_typed(play.world.ledgers["edge-a"], GetPublished("run-1", 1))
    later = play.clock() + 6
    first._clock = lambda: later
    assert first.advance() == Done("published", "edge-a", "run-1", 1)
    model = evaluate_typed(play.world.ledgers[MAIN], GetModel("run-1", 1, 0))
    assert play.stores["edge-a"].has_tree(model.result)
    assert second.advance() == Done("published", "edge-b", "run-1", 1)
    assert isinstance(first.advance(), Finished)
    assert isinstance(second.advance(), Finished)


def test_after_the_deadline_everything_stops(play):
    assert play.aggregator(0).advance().what == "aggregated"
    run = evaluate_typed(play.world.ledgers[MAIN], GetRun("run-1"))
    late = play.aggregator(1)
    late._clock = lambda: run.deadline + 1.0
    # The contract goes by the transaction's time, which is not late: it does not let the version expire.
    assert isinstance(late.advance(), Waiting)
    assert _outcome(play).state is State.PENDING


def test_who_is_not_on_the_roster_has_no_part(play):
    aggregator = play.aggregator(0)
    aggregator.organisation = "edge-a-1"
    assert isinstance(aggregator.advance(), Finished)
    assert isinstance(replace_run(play).advance(), Waiting)


def replace_run(play: Play):
    other = replace(play, run=replace(play.run, run="run-2"))
    return other.aggregator(0)
