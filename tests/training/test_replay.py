"""Recomputing a step: equal, within, differs, withheld; in this process tree and in one of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from training_play import ENVIRONMENT, ArithmeticWorker, Play, digits, stage

from chaincode.api import EdgeRoster, Environment, Run, Step
from store import FileStore, NotFound
from training.chainview import ChainView
from training.datasets import decode_readings
from training.errors import InvalidRecipe
from training.inputs import InputReader
from training.models import initial_weights
from training.recipe import ABSOLUTE_TOLERANCE, default_recipe
from training.replay import (
    Verdict,
    commitment_of,
    compare,
    recompute_from_bytes,
    recompute_step,
    within_tolerance,
)
from training.snapshots import encode_snapshot, initial_snapshot, tree_hash
from training.tasks import UpdateTask

RECIPE = default_recipe("logistic")
START = initial_snapshot(RECIPE)
RUN = Run("run-1", RECIPE, 3, (EdgeRoster("edge-a", ("A", "B"), 2),), tree_hash(START), 2**40)
READINGS = [*digits(0, 12), b"no digit"]
DATA = b"\x09" * 32
ELSEWHERE = Environment("3.12", "2.9", "aarch64", "neon")


def _sealed(step: Step) -> Step:
    return replace(step, commitment=commitment_of(RUN, step))


def _step(worker) -> tuple[Step, bytes]:
    data = decode_readings(RECIPE, (), READINGS)
    made = worker.update(UpdateTask(RECIPE, "run-1", 1, DATA, START, START, data.features, data.labels))
    step = Step(
        run="run-1",
        number=1,
        attempt=1,
        trainer="A",
        parent=RUN.initial,
        aggregate=RUN.initial,
        aggregate_version=0,
        data=DATA,
        examples=12,
        result=tree_hash(made.snapshot),
        commitment=b"",
        environment=made.environment,
    )
    return _sealed(step), made.snapshot


def test_a_genuine_step_is_equal():
    step, snapshot = _step(ArithmeticWorker())
    found = recompute_from_bytes(RUN, step, START, START, READINGS, ArithmeticWorker())
    assert (found.verdict, found.result, found.snapshot) == (Verdict.EQUAL, step.result, snapshot)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"result": b"\x01" * 32}, "bits differ"),
        ({"examples": 13}, "examples"),
        ({"parent": b"\x01" * 32}, "snapshot"),
        ({"aggregate": b"\x01" * 32}, "snapshot"),
        ({"number": 2}, "bits differ"),
        ({"data": b"\x01" * 32}, None),
    ],
)
def test_an_altered_step_differs(torch_worker, change, reason):
    worker = torch_worker
    step, _ = _step(worker)
    altered = _sealed(replace(step, **change))
    found = recompute_from_bytes(RUN, altered, START, START, READINGS, worker)
    assert found.verdict is Verdict.DIFFERS
    assert reason is None or reason in found.reason


def test_a_commitment_that_does_not_follow_differs():
    step, _ = _step(ArithmeticWorker())
    found = recompute_from_bytes(RUN, replace(step, number=2), START, START, READINGS, ArithmeticWorker())
    assert (found.verdict, found.result) == (Verdict.DIFFERS, b"")
    assert "commitment" in found.reason


@pytest.mark.parametrize("position", [0, 5, 11])
def test_one_altered_reading_differs(torch_worker, position):
    step, _ = _step(torch_worker)
    altered = list(READINGS)
    reading = json.loads(altered[position])
    reading["pixels"][20] = (reading["pixels"][20] + 1) % 17
    altered[position] = json.dumps(reading, sort_keys=True, separators=(",", ":")).encode()
    found = recompute_from_bytes(RUN, step, START, START, altered, torch_worker)
    assert (found.verdict, found.result != step.result) == (Verdict.DIFFERS, True)


def _off(by: float) -> bytes:
    return encode_snapshot({n: t + np.float32(by) for n, t in initial_weights(RECIPE).items()})


@pytest.mark.parametrize(
    ("environment", "claimed", "verdict"),
    [
        (ENVIRONMENT, _off(1e-5), Verdict.DIFFERS),
        (ELSEWHERE, _off(1e-5), Verdict.WITHIN),
        (ELSEWHERE, _off(1e-2), Verdict.DIFFERS),
        (ELSEWHERE, None, Verdict.WITHHELD),
        (ELSEWHERE, b"junk", Verdict.DIFFERS),
        (ELSEWHERE, initial_snapshot(default_recipe("mlp")), Verdict.DIFFERS),
    ],
)
def test_the_tolerance_is_for_other_environments_only(environment, claimed, verdict):
    result = tree_hash(claimed) if claimed else b"\x01" * 32
    assert compare(result, environment, claimed, START, ENVIRONMENT).verdict is verdict


def test_claimed_weights_must_be_the_claimed_ones():
    # Close weights handed over for a result that they are not the bytes of.
    assert compare(b"\x01" * 32, ELSEWHERE, START, START, ENVIRONMENT).verdict is Verdict.WITHHELD


def test_the_tolerance_has_an_edge():
    weights = {"w": np.zeros(3, dtype=np.float32)}
    inside = {"w": np.asarray([0, 0, ABSOLUTE_TOLERANCE * 0.99], dtype=np.float32)}
    outside = {"w": np.asarray([0, 0, ABSOLUTE_TOLERANCE * 1.01], dtype=np.float32)}
    assert within_tolerance(encode_snapshot(inside), encode_snapshot(weights))
    assert not within_tolerance(encode_snapshot(outside), encode_snapshot(weights))


def test_a_recipe_that_this_code_does_not_know_is_no_verdict():
    step, _ = _step(ArithmeticWorker())
    unknown = replace(RUN, recipe=replace(RECIPE, code="edgeproof/sgd/v2"))
    with pytest.raises(InvalidRecipe):
        recompute_from_bytes(unknown, step, START, START, READINGS, ArithmeticWorker())


def test_a_worker_convicts(torch_worker):
    step, snapshot = _step(torch_worker)
    false = _sealed(replace(step, result=tree_hash(_off(1e-5))))
    convicted = recompute_from_bytes(RUN, false, START, START, READINGS, torch_worker)
    assert (convicted.verdict, convicted.result, convicted.environment) == (
        Verdict.DIFFERS,
        tree_hash(snapshot),
        step.environment,
    )


# ------------------------------------------------------------------ from store and ledger alone


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, torch_worker) -> Play:
    """A run of two rounds with the real worker, over a store of files."""
    folder = tmp_path_factory.mktemp("world")
    play = stage(folder, torch_worker, edges=("edge-a",))
    for chain, memory in list(play.stores.items()):
        files = FileStore(folder / f"store-{chain}")
        files.put_pack(list(memory.blobs.values()))
        for data in memory.trees.values():
            files.put_tree(data)
        play.stores[chain] = files
    play.thorough = True
    play.drive(play.machines())
    yield play
    play.world.close()
    for store in play.stores.values():
        store.close()


def test_recorded_steps_are_recomputed_from_store_and_ledger(recorded, torch_worker):
    view = ChainView(recorded.world.ledgers["edge-a"])
    view.sync()
    for number in (1, 2):
        step = view.step("run-1", number)
        inputs = InputReader(recorded.world.ledgers["edge-a"], recorded.stores["edge-a"])
        found = recompute_step(recorded.run, step, inputs, torch_worker)
        assert (found.verdict, found.result, found.environment) == (
            Verdict.EQUAL,
            step.result,
            step.environment,
        )
    # And the last one from nothing but bytes.
    readings = inputs.readings(inputs.manifest(step.data))
    parent, aggregate = (recorded.stores["edge-a"].get_tree(a) for a in (step.parent, step.aggregate))
    answer = recompute_from_bytes(recorded.run, step, parent, aggregate, readings, torch_worker)
    assert (answer.verdict, answer.result) == (Verdict.EQUAL, step.result)


@pytest.mark.parametrize("what", ["parent", "aggregate", "data"])
def test_what_the_store_withholds_is_a_failure(recorded, torch_worker, what):
    view = ChainView(recorded.world.ledgers["edge-a"])
    view.sync()
    step = view.step("run-1", 2)

    class Withholding:
        """The store without one object."""

        def get(self, address):
            return self._get("get", address)

        def get_tree(self, address):
            return self._get("get_tree", address)

        def _get(self, name, address):
            if address == getattr(step, what):
                raise NotFound(address)
            return getattr(recorded.stores["edge-a"], name)(address)

    inputs = InputReader(recorded.world.ledgers["edge-a"], Withholding())
    found = recompute_step(recorded.run, step, inputs, torch_worker)
    assert (found.verdict, found.result, found.environment) == (Verdict.WITHHELD, b"", None)
