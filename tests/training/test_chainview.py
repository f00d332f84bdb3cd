"""The view of a chain: only what is valid counts, in the chain's order, however the blocks are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from training_play import ArithmeticWorker, Play, stage
from world import MAIN

from chaincode.api import State, Subject
from protocol.elements import views
from training.chainview import ChainView

JSON = "application/json"


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Play:
    made = stage(tmp_path_factory.mktemp("world"), ArithmeticWorker(), edges=("edge-a",))
    made.drive(made.machines())
    yield made
    made.world.close()


def _view(play: Play, chain: str) -> ChainView:
    view = ChainView(play.world.ledgers[chain])
    view.sync()
    return view


def test_records_stand_in_order_and_are_counted_by_block(play):
    view = _view(play, "edge-a")
    records = play.world.records["edge-a"]
    assert view.records({JSON}) == tuple(records)
    assert view.records({JSON, "text/plain"}) == tuple(records)
    assert view.records({"text/plain"}) == ()
    counts = [view.records_before({JSON}, block) for block in range(view.height + 1)]
    assert counts[0] == 0
    assert counts[-1] == len(records)
    assert counts == sorted(counts)
    assert set(counts) == {0, len(records)}  # one batch: all of it or nothing


def test_runs_steps_votes_versions_and_publications(play):
    edge, main = _view(play, "edge-a"), _view(play, MAIN)
    assert edge.run("run-1").run == main.run("run-1").run == play.run
    assert edge.run("run-2") is None
    for number in (1, 2):
        step, version = edge.step("run-1", number), main.version("run-1", number)
        accepted = edge.accepted(Subject.STEP, "run-1", number)
        assert accepted.outcome.result == step.result == version.inputs[0].result
        assert edge.state(Subject.STEP, "run-1", number, 1) is State.ACCEPTED
        assert edge.published("run-1", number).model.result == version.result
        for organisation in accepted.outcome.agreeing:
            voted = edge.voted(Subject.STEP, "run-1", number, 1, organisation)
            assert voted == (organisation != step.trainer)
    assert (edge.step("run-1", 3), main.version("run-1", 3), edge.published("run-1", 3)) == (None, None, None)
    assert edge.accepted(Subject.STEP, "run-1", 3) is None
    assert edge.state(Subject.STEP, "run-1", 3, 1) is State.PENDING


def test_reading_block_by_block_or_at_once_is_the_same(play):
    whole = _view(play, "edge-a")
    ledger = play.world.ledgers["edge-a"]

    class Growing:
        """A chain that shows one more block at each look."""

        chain = "edge-a"
        height = 0

        def blocks(self, start):
            return [block for block in ledger.blocks(start) if block.header.number < self.height]

    growing = Growing()
    view = ChainView(growing)
    for growing.height in range(1, whole.height + 1):
        assert view.sync() == 1
    assert view.sync() == 0
    assert (view._steps, view._outcomes, view._votes) == (whole._steps, whole._outcomes, whole._votes)
    assert view.records({JSON}) == whole.records({JSON})


@pytest.mark.parametrize("field", ["code", "chaincode"])
def test_what_is_not_valid_or_another_chaincodes_does_not_count(play, field):
    other = {"code": 11, "chaincode": "somebody-elses"}[field]

    def altered(block):
        return [replace(view, **{field: other}) for view in views(block)]

    view = ChainView(play.world.ledgers["edge-a"], views=altered)
    view.sync()
    assert view.run("run-1") is None
    assert view.step("run-1", 1) is None
    assert view.records({JSON}) == ()
