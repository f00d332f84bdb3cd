"""Pushing down: weights that no recipe derives travel too, and what an edge has already is left alone."""

from __future__ import annotations

from dataclasses import replace

from training_play import ArithmeticWorker, stage
from world import MAIN

from chaincode.api import GetRun
from identity.roles import Role
from ledger.port import evaluate_typed
from training.machine import Done, Waiting
from training.setup import create_run
from training.snapshots import initial_snapshot


def test_a_run_from_other_weights_takes_them_along(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",))
    pretrained = initial_snapshot(replace(play.run.recipe, seed=77))
    other = replace(play.run, run="run-2", initial=play.stores[MAIN].put_tree(pretrained))
    create_run(play.world.acting_as(MAIN, Role.AGGREGATOR), other)
    play.run = other
    aggregator = play.aggregator(0)
    assert isinstance(aggregator.advance(), Waiting)
    play.world.interlock()
    assert aggregator.advance() == Done("adopted", "edge-a", "run-2", 0)
    assert play.stores["edge-a"].get_tree(other.initial) == pretrained
    assert evaluate_typed(play.world.ledgers["edge-a"], GetRun("run-2")) == other
    assert play.peer("edge-a", 0).advance().what == "trained"
    play.world.close()


def test_a_slower_carrier_finds_it_done(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), rounds=1, edges=("edge-a",))
    play.world.interlock()
    first, second = play.aggregator(0), play.aggregator(1)
    view = second._edge_views["edge-a"]
    view.sync()
    assert first.advance().what == "adopted"
    # The second decides by what it read before the first was done.
    second._view.sync()
    seen = second._view.run("run-1")
    assert second._publisher.push_down(seen.run, seen.transaction) == Waiting("edge-a has it already")
    view.sync()
    assert second._publisher.push_down(seen.run, seen.transaction) is None
    play.world.close()
