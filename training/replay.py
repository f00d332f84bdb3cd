"""Recomputing a step and saying what came out (design "Models"; seed 003, section V.B).

Peers use it before they vote, auditors for spot checks. A verdict is one of

- ``equal``: the same bits;
- ``within``: another environment, and every weight inside the tolerance that the update rule declares;
- ``differs``: anything else, as are inputs that are not what the step says;
- ``withheld``: an input cannot be had, which counts as a failure, else hiding would beat auditing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from chaincode.api import Environment, Recipe, Run, Step
from protocol.commitments import recipe_digest, step_commitment
from training.datasets import DataSet, decode_readings
from training.errors import InputError, SnapshotError, Withheld
from training.inputs import InputReader
from training.recipe import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, check_recipe
from training.snapshots import decode_snapshot, tree_hash
from training.tasks import UpdateTask, Worker

__all__ = [
    "Recomputed",
    "Verdict",
    "commitment_of",
    "compare",
    "recompute_from_bytes",
    "recompute_step",
    "within_tolerance",
]


class Verdict(StrEnum):
    """What recomputing said."""

    EQUAL = "equal"
    WITHIN = "within"
    DIFFERS = "differs"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Recomputed:
    """The outcome of a recomputation."""

    verdict: Verdict
    result: bytes
    """Tree hash of what was computed; empty when nothing was."""
    snapshot: bytes
    """What was computed; empty when nothing was."""
    environment: Environment | None
    """Where it was computed; ``None`` when nothing was."""
    reason: str
    """One line for people; empty when equal."""


def commitment_of(run: Run, step: Step) -> bytes:
    """The commitment that a step must carry (equation (2) and what it forgot)."""
    return step_commitment(
        step.result, step.parent, step.aggregate, step.data, recipe_digest(run.recipe), step.number, step.run
    )


def within_tolerance(claimed: bytes, recomputed: bytes) -> bool:
    """Whether every weight of ``claimed`` lies within the declared tolerance of the recomputed one.

    Raises:
        SnapshotError: one of them is no snapshot.
    """
    theirs, ours = decode_snapshot(claimed), decode_snapshot(recomputed)
    if {name: tensor.shape for name, tensor in theirs.items()} != {n: t.shape for n, t in ours.items()}:
        return False
    return all(
        bool(np.allclose(theirs[name], ours[name], rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE))
        for name in ours
    )


def compare(
    claimed_result: bytes,
    claimed_environment: Environment,
    claimed_snapshot: bytes | None,
    snapshot: bytes,
    environment: Environment,
) -> Recomputed:
    """Judge a claimed result by the recomputed one.

    Args:
        claimed_result: tree hash in the step.
        claimed_environment: where the trainer says it was computed.
        claimed_snapshot: the claimed weights; only the tolerance needs them.
        snapshot: what was recomputed.
        environment: where.
    """
    result = tree_hash(snapshot)
    if result == claimed_result:
        return Recomputed(Verdict.EQUAL, result, snapshot, environment, "")
    if environment == claimed_environment:
        reason = "equal environments promise equal bits, and the bits differ"
        return Recomputed(Verdict.DIFFERS, result, snapshot, environment, reason)
    if claimed_snapshot is None or tree_hash(claimed_snapshot) != claimed_result:
        return Recomputed(
            Verdict.WITHHELD, result, snapshot, environment, "the claimed weights cannot be had"
        )
    try:
        close = within_tolerance(claimed_snapshot, snapshot)
    except SnapshotError as error:
        return Recomputed(Verdict.DIFFERS, result, snapshot, environment, f"the claimed weights: {error}")
    if close:
        reason = "another environment, inside the declared tolerance"
        return Recomputed(Verdict.WITHIN, result, snapshot, environment, reason)
    reason = "another environment, and outside the declared tolerance"
    return Recomputed(Verdict.DIFFERS, result, snapshot, environment, reason)


def recompute_from_bytes(
    run: Run,
    step: Step,
    parent: bytes,
    aggregate: bytes,
    readings: Sequence[bytes],
    worker: Worker,
    claimed_snapshot: bytes | None = None,
) -> Recomputed:
    """Recompute a step from its inputs' bytes.

    Args:
        run: the frozen run.
        step: the step as recorded.
        parent: snapshot M_i.
        aggregate: snapshot M_O.
        readings: bytes of the data set's records, in the manifest's order (whose digest the caller checked).
        worker: computes.
        claimed_snapshot: the step's result, for the tolerance.

    Raises:
        InvalidRecipe: this code cannot follow the recipe.
        WorkerError: nothing was computed.
    """
    check_recipe(run.recipe)
    data = decode_readings(run.recipe, (), readings)
    return _recompute(run, step, parent, aggregate, data, worker, claimed_snapshot)


def recompute_step(run: Run, step: Step, inputs: InputReader, worker: Worker) -> Recomputed:
    """Recompute a step from the store and the ledger alone.

    Whether its parent, aggregate and choice of records are the right ones is for the caller, who knows the
    chain's course (``training.peer``).

    Raises:
        InvalidRecipe, WorkerError: as ``recompute_from_bytes``.
        LedgerError, store.errors.Unavailable: the chain or the store does not answer.
    """
    recipe: Recipe = run.recipe
    check_recipe(recipe)
    try:
        parent = inputs.snapshot(recipe, step.parent, "the step's parent")
        aggregate = inputs.snapshot(recipe, step.aggregate, "the step's aggregate")
        data = inputs.data_set(recipe, step.data)
    except Withheld as error:
        return Recomputed(Verdict.WITHHELD, b"", b"", None, str(error))
    except (InputError, SnapshotError) as error:
        return _differs(str(error))
    try:
        claimed: bytes | None = inputs.snapshot(recipe, step.result, "the step's result")
    except (Withheld, SnapshotError):
        claimed = None  # decides only where bits may differ; see compare
    return _recompute(run, step, parent, aggregate, data, worker, claimed)


def _recompute(
    run: Run,
    step: Step,
    parent: bytes,
    aggregate: bytes,
    data: DataSet,
    worker: Worker,
    claimed: bytes | None,
) -> Recomputed:
    if commitment_of(run, step) != step.commitment:
        return _differs("the commitment is not that of the step's fields")
    if tree_hash(parent) != step.parent or tree_hash(aggregate) != step.aggregate:
        return _differs("a snapshot handed over is not the one that the step names")
    if data.examples != step.examples:
        return _differs(f"the data set has {data.examples} examples, not {step.examples}")
    task = UpdateTask(
        run.recipe, run.run, step.number, step.data, parent, aggregate, data.features, data.labels
    )
    try:
        computed = worker.update(task)
    except SnapshotError as error:
        return _differs(f"the inputs do not allow the step: {error}")
    return compare(step.result, step.environment, claimed, computed.snapshot, computed.environment)


def _differs(reason: str) -> Recomputed:
    return Recomputed(Verdict.DIFFERS, b"", b"", None, reason)
